"""ID tokens: every claim and header that is wrong refused by name, keys cached and rolled, each nonce once."""

import asyncio
import base64
import hmac
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from huks_async import BusinessError, Keystore
from huks_async.access import OidcAuthenticator
from tests.access.support import GCM_KEY, PIN_KEY, finish, open_session, options, refused

pytest.importorskip("joserfc", reason="the extra oidc is not installed")
from joserfc import jwk, jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

pytestmark = pytest.mark.asyncio

ISSUER, CLIENT, NOW = "https://login.example.org", "vault-1", 1_800_000_000
CHALLENGE = bytes(range(32))


class Issuer:
    """An issuer: its keys, its tokens, and what it was asked for."""

    def __init__(self) -> None:
        self.keys: list[Any] = [
            RSAKey.generate_key(2048, {"kid": "rsa"}),
            ECKey.generate_key("P-256", {"kid": "ec"}),
            OKPKey.generate_key("Ed25519", {"kid": "ed"}),
        ]
        self.asked: list[str] = []
        self.now, self.since = float(NOW), 0.0
        self.failure: Exception | None = None
        self.name = ISSUER

    async def fetch(self, url: str) -> bytes:
        """Answer as a web server."""
        self.asked.append(url)
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        if url == f"{ISSUER}/.well-known/openid-configuration":
            return json.dumps({"issuer": self.name, "jwks_uri": f"{ISSUER}/keys"}).encode()
        assert url == f"{ISSUER}/keys"
        unknown = [{"kty": "AKP", "kid": "new", "alg": "ML-DSA-44"}, {"kty": "RSA", "kid": "broken"}, 7]
        unknown += [{"kty": "RSA", "key_ops": wrong} for wrong in (None, 7, "verify")]
        return json.dumps({"keys": [*unknown, *(key.as_dict(private=False) for key in self.keys)]}).encode()

    def authenticator(self, **values: Any) -> OidcAuthenticator:
        """An authenticator that trusts this issuer."""
        return OidcAuthenticator(
            values.pop("issuer", ISSUER),
            CLIENT,
            self.fetch,
            clock=lambda: self.now,
            monotonic=lambda: self.since,
            **values,
        )

    def token(
        self, key: Any = None, alg: str = "RS256", header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token; claims that are None are left out."""
        key = key or self.keys[0]
        said = {
            "iss": ISSUER,
            "sub": "ana",
            "aud": CLIENT,
            "iat": int(self.now),
            "exp": int(self.now) + 60,
            "nonce": OidcAuthenticator.nonce(CHALLENGE),
            **claims,
        }
        heads = {"alg": alg, "kid": key.kid, **(header or {})}
        return jwt.encode(
            {name: value for name, value in heads.items() if value is not None},
            {name: value for name, value in said.items() if value is not None},
            key,
            algorithms=[alg],
        )


@pytest.fixture(scope="module")
def keys() -> list[Any]:
    """Keys of the issuer, made once."""
    return Issuer().keys


@pytest.fixture
def issuer(keys: list[Any]) -> Issuer:
    """An issuer."""
    made = Issuer.__new__(Issuer)
    made.keys, made.asked, made.now, made.since = list(keys), [], float(NOW), 0.0
    made.failure, made.name = None, ISSUER
    return made


async def refusal(keystore: Keystore, token: str, challenge: bytes = CHALLENGE) -> str:
    """The name of what was wrong."""
    with pytest.raises(BusinessError) as caught:
        await keystore.authenticate(challenge, token)
    assert caught.value.code == 12000008, caught.value.message
    assert isinstance(caught.value.data, dict)
    return str(caught.value.data["refused"])


async def test_a_key_asks_for_a_token(issuer: Issuer) -> None:
    """Enrolled, used for a session, cleared: then the key is void. Keys are fetched once."""
    oidc = issuer.authenticator()
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await refused(keystore.authenticate(CHALLENGE, issuer.token()), 12000013)
        await oidc.enroll(keystore, 100, "ana")
        await refused(oidc.enroll(keystore, 100, "ana"), 12000017)
        await keystore.generateKeyItem("key", options(**GCM_KEY, **PIN_KEY))
        for number, alg in enumerate(("RS256", "ES256", "Ed25519", "PS256")):
            session = await open_session(keystore)
            key = issuer.keys[number % 3]
            token = issuer.token(key, alg, nonce=oidc.nonce(session.challenge))
            await finish(keystore, session, await keystore.authenticate(session.challenge, token))
        assert issuer.asked == [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/keys"]
        await oidc.clear(keystore, 100)
        await refused(oidc.clear(keystore, 100), 12000013)
        await oidc.enroll(keystore, 100, "ana")
        session = await open_session(keystore)
        token = issuer.token(nonce=oidc.nonce(session.challenge))
        await refused(
            finish(keystore, session, await keystore.authenticate(session.challenge, token)), 12000007
        )


WRONG_CLAIMS: list[tuple[str, dict[str, Any]]] = [
    ("iss", {"iss": ISSUER + "/"}),
    ("iss", {"iss": ISSUER.upper()}),
    ("iss", {"iss": "https://evil.example"}),
    ("iss", {"iss": [ISSUER]}),
    ("iss", {"iss": None}),
    ("aud", {"aud": "other"}),
    ("aud", {"aud": ["other"], "azp": CLIENT}),
    ("aud", {"aud": []}),
    ("aud", {"aud": CLIENT + "2"}),
    ("aud", {"aud": None}),
    ("aud", {"aud": {CLIENT: 1}}),
    ("azp", {"aud": [CLIENT, "other"]}),
    ("azp", {"aud": [CLIENT, "other"], "azp": "other"}),
    ("azp", {"azp": "other"}),
    ("exp", {"exp": NOW - 31}),
    ("exp", {"exp": NOW - 30}),
    ("exp", {"exp": None}),
    ("exp", {"exp": str(NOW + 60)}),
    ("exp", {"exp": True}),
    ("exp", {"exp": float("inf")}),
    ("exp", {"exp": float("nan")}),
    ("nbf", {"nbf": NOW + 31}),
    ("nbf", {"nbf": "now"}),
    ("iat", {"iat": NOW + 31}),
    ("iat", {"iat": NOW - 330}),
    ("iat", {"iat": None}),
    ("nonce", {"nonce": None}),
    ("nonce", {"nonce": ""}),
    ("nonce", {"nonce": OidcAuthenticator.nonce(bytes(32))}),
    ("nonce", {"nonce": OidcAuthenticator.nonce(CHALLENGE) + "="}),
    ("nonce", {"nonce": CHALLENGE.hex()}),
    ("nonce", {"nonce": [OidcAuthenticator.nonce(CHALLENGE)]}),
    ("sub", {"sub": "bob"}),
    ("sub", {"sub": "Ana"}),
    ("sub", {"sub": None}),
]


async def test_each_wrong_claim_by_name(issuer: Issuer) -> None:
    """Every claim that is wrong, missing or of another type; and none of them uses the challenge up."""
    oidc = issuer.authenticator()
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        for name, claims in WRONG_CLAIMS:
            assert (await refusal(keystore, issuer.token(**claims)), claims) == (name, claims)
        accepted: list[dict[str, Any]] = [
            {"exp": NOW - 29},
            {"nbf": NOW + 30},
            {"iat": NOW + 30, "exp": NOW + 90},
            {"iat": NOW - 329},
            {"aud": [CLIENT]},
            {"aud": ["other", CLIENT], "azp": CLIENT},
            {"iat": NOW + 0.5},
        ]
        for number, claims in enumerate(accepted):
            challenge = bytes([number] * 32)
            await keystore.authenticate(challenge, issuer.token(**{"nonce": oidc.nonce(challenge), **claims}))


async def test_algorithms_that_prove_nothing(issuer: Issuer) -> None:
    """`none` in its spellings, HS256 with the public key as secret, a key for another algorithm, a foreign key."""
    oidc = issuer.authenticator()
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        good = issuer.token()
        _, body, signature = good.split(".")

        def headed(**header: Any) -> str:
            return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()

        for alg in ("none", "None", "NONE", "nOnE", "", None, 1, ["RS256"], "RS257", "HS256", "RS512"):
            for end in ("", signature):
                assert await refusal(keystore, f"{headed(alg=alg, kid='rsa')}.{body}.{end}") == "alg"
        assert await refusal(keystore, f"{headed(kid='rsa')}.{body}.{signature}") == "alg"
        for secret in (issuer.keys[0].as_pem(private=False), issuer.keys[0].as_der(private=False)):
            forged = f"{headed(alg='HS256', kid='rsa')}.{body}"
            mac = hmac.digest(secret, forged.encode(), "sha256")
            end = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
            assert await refusal(keystore, f"{forged}.{end}") == "alg"
        foreign = RSAKey.generate_key(2048, {"kid": "rsa"})
        assert await refusal(keystore, issuer.token(foreign)) == "signature"
        assert (
            await refusal(keystore, issuer.token(foreign, header={"jwk": foreign.as_dict(private=False)}))
            == "signature"
        )
        # an RSA key's id with another family of algorithm
        assert await refusal(keystore, issuer.token(issuer.keys[1], "ES256", {"kid": "rsa"})) == "kid"
        for kind in ("at+jwt", "logout+jwt"):
            assert await refusal(keystore, issuer.token(header={"typ": kind})) == "typ"
        # one bit of each byte of the token
        refusals = 0
        for place in range(0, len(good), 7):
            if good[place] == ".":
                continue
            changed = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
            with pytest.raises(BusinessError) as caught:
                await keystore.authenticate(CHALLENGE, changed)
            assert caught.value.code in (401, 12000008)
            refusals += 1
        assert refusals > 50
        # nothing of all this has used the challenge up
        await keystore.authenticate(CHALLENGE, good)


async def test_a_key_says_what_it_is_for(issuer: Issuer) -> None:
    """A key for encryption or another algorithm is not used; without key id there must be one of the kind."""
    rsa = issuer.keys[0].as_dict(private=True)
    issuer.keys = [
        jwk.import_key({**rsa, "kid": "enc", "use": "enc"}),
        jwk.import_key({**rsa, "kid": "ps", "alg": "PS256"}),
    ]
    oidc = issuer.authenticator()
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        signer = jwk.import_key({**rsa, "kid": "ps"})
        assert await refusal(keystore, issuer.token(signer, header={"kid": "enc"})) == "kid"
        assert await refusal(keystore, issuer.token(signer)) == "alg"
        await keystore.authenticate(CHALLENGE, issuer.token(signer, "PS256", {"kid": None}))


async def test_keys_are_rolled_and_forged_tokens_fetch_nothing(issuer: Issuer) -> None:
    """An unknown key id fetches the keys, once in a while; a withdrawn key ends with the next fetch."""
    oidc = issuer.authenticator()
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        outcomes = await asyncio.gather(
            *(refusal(keystore, issuer.token(nonce="")) for _ in range(50)),
        )
        assert outcomes == ["nonce"] * 50
        assert len(issuer.asked) == 2  # the first fifty waited for one fetch
        old, new = issuer.keys[0], RSAKey.generate_key(2048, {"kid": "rsa-2"})
        issuer.keys[0] = new
        for _ in range(100):
            assert await refusal(keystore, issuer.token(new)) == "kid"
        assert len(issuer.asked) == 2
        issuer.since += 30
        await keystore.authenticate(CHALLENGE, issuer.token(new))
        assert len(issuer.asked) == 4
        assert await refusal(keystore, issuer.token(old)) == "kid"
        for number in range(100):
            assert await refusal(keystore, issuer.token(old, header={"kid": f"forged-{number}"})) == "kid"
        assert len(issuer.asked) == 4
        # kept keys grow old, too
        issuer.keys[0] = old
        issuer.since += 3599
        assert await refusal(keystore, issuer.token(new, nonce="")) == "nonce"
        issuer.since += 1
        assert await refusal(keystore, issuer.token(new)) == "kid"
        assert len(issuer.asked) == 6


async def test_an_issuer_out_of_reach(issuer: Issuer) -> None:
    """12000015, nothing is let in, and it works again when the issuer does."""
    oidc = issuer.authenticator()
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        issuer.failure = OSError("no route")
        for _ in range(3):
            await refused(keystore.authenticate(CHALLENGE, issuer.token()), 12000015)
        assert len(issuer.asked) == 1
        issuer.failure, issuer.name = None, ISSUER + "/"
        issuer.since += 2
        error = await refused(keystore.authenticate(CHALLENGE, issuer.token()), 12000015)
        assert "another name" in error.message
        issuer.name = ISSUER
        issuer.since += 2
        await keystore.authenticate(CHALLENGE, issuer.token())


async def test_a_document_of_any_length_is_not_parsed(issuer: Issuer) -> None:
    """The keys of an issuer are parsed on the event loop, so there is a most."""
    issuer.keys.append(OKPKey.generate_key("Ed25519", {"kid": "x" * 200_000}))
    oidc = issuer.authenticator()
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        error = await refused(keystore.authenticate(CHALLENGE, issuer.token()), 12000015)
        assert "larger than 128 KiB" in error.message


async def test_a_cancelled_fetch_leaves_nothing(issuer: Issuer) -> None:
    """Whoever waits behind a cancelled fetch fetches in turn."""
    asked, gate = anyio.Event(), anyio.Event()

    async def slow(url: str) -> bytes:
        asked.set()
        await gate.wait()
        return await issuer.fetch(url)

    oidc = OidcAuthenticator(
        ISSUER, CLIENT, slow, clock=lambda: issuer.now, monotonic=lambda: issuer.since, pause=0.001
    )
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        first = asyncio.create_task(keystore.authenticate(CHALLENGE, issuer.token()))
        await asked.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert first.cancelled()
        issuer.since += 1
        gate.set()
        await keystore.authenticate(CHALLENGE, issuer.token())


async def test_a_keystore_that_closes_takes_no_keys_from_another(issuer: Issuer) -> None:
    """Its fetch ends with it; a keystore with the same authenticator fetches the keys itself, at once."""
    begun = asyncio.Event()

    async def fetch(url: str) -> bytes:
        if not begun.is_set():
            begun.set()
            await asyncio.sleep(1e6)
        return await issuer.fetch(url)

    oidc = OidcAuthenticator(
        ISSUER, CLIENT, fetch, clock=lambda: issuer.now, monotonic=lambda: issuer.since, pause=1000.0
    )
    closing, other = (Keystore.open("memory:", authenticator=oidc, monitor=False) for _ in range(2))
    await closing.aopen()
    async with other:
        for keystore in (closing, other):
            await oidc.enroll(keystore, 100, "ana")
        ended = asyncio.create_task(closing.authenticate(CHALLENGE, issuer.token()))
        await begun.wait()
        waiting = asyncio.create_task(other.authenticate(CHALLENGE, issuer.token()))
        await asyncio.sleep(0.01)
        await closing.aclose()
        await refused(ended, 12000012)
        assert len(await waiting) == 280


async def test_event_loops_do_not_wait_for_each_others_keys(issuer: Issuer) -> None:
    """While one loop fetches the keys, another with the same authenticator is not told that they cannot be fetched."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def fetch(url: str) -> bytes:
        if not begun.is_set():
            begun.set()
            await go_on.wait()
        return await issuer.fetch(url)

    oidc = OidcAuthenticator(
        ISSUER, CLIENT, fetch, clock=lambda: issuer.now, monotonic=lambda: issuer.since, pause=1000.0
    )

    async def log_in() -> int:
        async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
            await oidc.enroll(keystore, 100, "ana")
            return len(await keystore.authenticate(CHALLENGE, issuer.token()))

    first = asyncio.create_task(log_in())
    await begun.wait()
    assert await asyncio.to_thread(asyncio.run, log_in()) == 280
    go_on.set()
    assert await first == 280


async def test_each_nonce_once(issuer: Issuer) -> None:
    """One token shown fifty times at once is taken once; other tokens for the same challenge are not, either."""
    oidc = issuer.authenticator()
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        token = issuer.token()
        outcomes = await asyncio.gather(
            *(keystore.authenticate(CHALLENGE, token) for _ in range(50)), return_exceptions=True
        )
        assert sum(isinstance(outcome, bytes) for outcome in outcomes) == 1
        assert await refusal(keystore, issuer.token(issuer.keys[1], "ES256")) == "replay"
        issuer.now += 329
        assert await refusal(keystore, issuer.token(iat=NOW)) == "replay"
        issuer.now += 2
        assert await refusal(keystore, token) == "exp"


async def test_what_is_no_token(issuer: Issuer) -> None:
    """401 for what has not the form of one, and for an authenticator that could not work."""
    oidc = issuer.authenticator()
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        for given in (
            "",
            "a.b",
            "a.b.c",
            "....",
            "e30",
            7,
            None,
            b"e30.e30.",
            "x" * 40_000,
            "W10.e30.",
            "é.e.e",
        ):
            await refused(keystore.authenticate(CHALLENGE, given), 401)
        assert issuer.asked == []
    for values in (
        {"issuer": "http://login.example.org"},
        {"keys_url": "http://x"},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"leeway": -1},
        {"trust_level": 5},
    ):
        with pytest.raises(BusinessError) as caught:
            issuer.authenticator(**values)
        assert caught.value.code == 401


FIRST_SIGN_IN = """
import asyncio, json, sys, huks_async
from huks_async import TablePolicy
from huks_async.access import OidcAuthenticator

issuer, client, now, challenge, token, document, table = json.load(sys.stdin)

async def fetch(url):
    return json.dumps({"issuer": issuer, "jwks_uri": issuer + "/keys"} if url != issuer + "/keys" else document)

async def main():
    oidc = OidcAuthenticator(issuer, client, fetch, clock=lambda: now)
    async with huks_async.Keystore.open("memory:", authenticator=oidc) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        before = {*sys.modules}
        await keystore.authenticate(bytes.fromhex(challenge), token)
        TablePolicy.from_file(table)
        print(json.dumps(sorted({*sys.modules} - before)))

asyncio.run(main())
"""


@pytest.mark.parametrize("which", [0, 1, 2], ids=["RSA", "EC", "Ed25519"])
async def test_the_first_sign_in_loads_no_module(issuer: Issuer, which: int, tmp_path: Path) -> None:
    """joserfc itself loads none of its modules: half of cryptography came in a worker thread, where a fork met it."""
    key, alg = issuer.keys[which], ("RS256", "ES256", "Ed25519")[which]
    (tmp_path / "table.toml").write_text("version = 1\n[callers]\n")
    given = [
        ISSUER,
        CLIENT,
        NOW,
        CHALLENGE.hex(),
        issuer.token(key, alg),
        {"keys": [key.as_dict(private=False)]},
        str(tmp_path / "table.toml"),
    ]
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FIRST_SIGN_IN],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == []
