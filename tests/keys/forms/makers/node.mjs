// Keys of files/base as Node and WebCrypto write them: node node.mjs BASE TARGET
import fs from "node:fs";
import crypto from "node:crypto";

const [base, target] = process.argv.slice(2);
const put = (name, data) => fs.writeFileSync(`${target}/${name}`, data);
const pem = (name) => fs.readFileSync(`${base}/${name}.pem`);
const json = (value) => JSON.stringify(value);

for (const name of ["rsa2048", "p224", "p256", "p384", "p521", "ed25519", "x25519", "dsa2048", "dh2048", "ed448", "secp256k1"]) {
  const secret = crypto.createPrivateKey(pem(name));
  const open = crypto.createPublicKey(secret);
  put(`${name}.pkcs8.pem`, secret.export({ type: "pkcs8", format: "pem" }));
  put(`${name}.spki.der`, open.export({ type: "spki", format: "der" }));
  put(`${name}.encrypted.pem`, secret.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" }));
}
for (const name of ["rsa2048", "p256", "p384", "p521", "ed25519", "x25519", "ed448", "secp256k1"]) {
  const secret = crypto.createPrivateKey(pem(name));
  put(`${name}.jwk`, json(secret.export({ format: "jwk" })));
  put(`${name}.public.jwk`, json(crypto.createPublicKey(secret).export({ format: "jwk" })));
}
put("p256.sec1.pem", crypto.createPrivateKey(pem("p256")).export({ type: "sec1", format: "pem" }));
put("p256.old.pem", crypto.createPrivateKey(pem("p256")).export({ type: "sec1", format: "pem", cipher: "aes-128-cbc", passphrase: "secret" }));
put("rsa2048.pkcs1.pem", crypto.createPrivateKey(pem("rsa2048")).export({ type: "pkcs1", format: "pem" }));
put("rsa2048.pkcs1.public.pem", crypto.createPublicKey(pem("rsa2048")).export({ type: "pkcs1", format: "pem" }));
put("rsa2048.pkcs1.public.der", crypto.createPublicKey(pem("rsa2048")).export({ type: "pkcs1", format: "der" }));
const bytes = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");
put("aes128.jwk", json(crypto.createSecretKey(bytes).export({ format: "jwk" })));
put("set.jwks", json({ keys: [crypto.createPrivateKey(pem("p256")).export({ format: "jwk" })] }));
put("two.jwks", json({ keys: ["p256", "p384"].map((name) => crypto.createPrivateKey(pem(name)).export({ format: "jwk" })) }));

const subtle = crypto.webcrypto.subtle;
const der = (name) => crypto.createPrivateKey(pem(name)).export({ type: "pkcs8", format: "der" });
const spki = (name) => crypto.createPublicKey(pem(name)).export({ type: "spki", format: "der" });
for (const [name, curve] of [["p256", "P-256"], ["p384", "P-384"], ["p521", "P-521"]]) {
  const rule = { name: "ECDSA", namedCurve: curve };
  const secret = await subtle.importKey("pkcs8", der(name), rule, true, ["sign"]);
  const open = await subtle.importKey("spki", spki(name), rule, true, ["verify"]);
  put(`webcrypto.${name}.pkcs8`, Buffer.from(await subtle.exportKey("pkcs8", secret)));
  put(`webcrypto.${name}.raw`, Buffer.from(await subtle.exportKey("raw", open)));
  put(`webcrypto.${name}.jwk`, json(await subtle.exportKey("jwk", secret)));
}
const rule = { name: "RSA-PSS", hash: "SHA-256" };
const secret = await subtle.importKey("pkcs8", der("rsa2048"), rule, true, ["sign"]);
put("webcrypto.rsa2048.pkcs8.base64", Buffer.from(await subtle.exportKey("pkcs8", secret)).toString("base64"));
put("webcrypto.rsa2048.jwk", json(await subtle.exportKey("jwk", secret)));
for (const [name, use, openUse] of [["ed25519", ["sign"], ["verify"]], ["x25519", ["deriveBits"], []]]) {
  const rule = { name: name === "ed25519" ? "Ed25519" : "X25519" };
  const open = await subtle.importKey("spki", spki(name), rule, true, openUse);
  put(`webcrypto.${name}.raw`, Buffer.from(await subtle.exportKey("raw", open)));
  const secret = await subtle.importKey("pkcs8", der(name), rule, true, use);
  put(`webcrypto.${name}.jwk`, json(await subtle.exportKey("jwk", secret)));
}
