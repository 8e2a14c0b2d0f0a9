// Registers a passkey, and lets it authorise a session on a key that the server holds.

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const given = await answer.json();
  if (!answer.ok) throw new Error(`${given.code}: ${given.message}`);
  return given;
}

async function enroll() {
  const options = PublicKeyCredential.parseCreationOptionsFromJSON(await post("/enroll/begin", {}));
  const made = await navigator.credentials.create({ publicKey: options });
  await post("/enroll/finish", made.toJSON());
  return "The passkey is registered.";
}

async function sign() {
  const text = document.getElementById("text").value;
  const { session, ask } = await post("/sign/begin", {});
  // the challenge in it is that of the key's session: the passkey signs it together with this page's address
  const options = PublicKeyCredential.parseRequestOptionsFromJSON(ask);
  const shown = await navigator.credentials.get({ publicKey: options });
  const { signature, verified } = await post("/sign/finish", { session, text, shown: shown.toJSON() });
  return `Signature ${verified ? "verified" : "wrong"}: ${signature}`;
}

const result = document.getElementById("result");
for (const [name, act] of Object.entries({ enroll, sign })) {
  document.getElementById(name).addEventListener("click", async () => {
    result.textContent = "…";
    try {
      result.textContent = await act();
    } catch (error) {
      result.textContent = `Refused. ${error.name === "Error" ? error.message : error.name}`;
    }
  });
}
