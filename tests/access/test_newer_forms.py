"""Values that a newer version of the library wrote: each call says so, and changes nothing; older ones are read."""

import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from huks_async import Keystore
from huks_async.access import PinAuthenticator, WebAuthnAuthenticator
from tests.access.support import ALWAYS, NONE, PIN_KEY, finish, generate, open_session, refused
from tests.access.test_totp import SECRET, Now, code_at

pytestmark = pytest.mark.asyncio

USER = 100
ANY_TIME = {**PIN_KEY, "KEY_AUTH_ACCESS_TYPE": ALWAYS, "CHALLENGE_TYPE": NONE, "AUTH_TIMEOUT": 3600}
ATTEMPTS = struct.Struct("<BI16sdd")
ROWS = [b"\2" * 25, b"\2", b"{}"]
TEXTS = [b"\2newer", b"", b"7", b"null", b"[]", b"\xff"]
PASSKEY = ["aWQ", "a2V5", 1, "aGFuZGxl", False]


async def write(keystore: Keystore, name: str, data: bytes) -> None:
    """Put a value into the vault, whatever was there."""
    vault = keystore.auth_host.vault
    kept = await vault.get(name)
    await vault.put(name, data, expect=kept.version if kept else 0)


async def values(keystore: Keystore) -> dict[str, tuple[int, bytes] | None]:
    """All that the vault may have of the user."""
    names = ["voided", "user", "webauthn-enrolling", "totp-used-by-secret"]
    names += [
        f"{kind}-{what}" for kind in ("pin", "totp", "oidc", "webauthn") for what in ("attempts", "used")
    ]
    return {name: await keystore.auth_host.vault.get(f"{name}/{USER}") for name in names}


async def told(keystore: Keystore, call: Callable[[], Awaitable[object]]) -> None:
    """The call says what is newer and what to do; nothing was changed."""
    before = await values(keystore)
    error = await refused(call(), 12000012)
    assert "was written by a newer version of this library" in error.message
    assert "Nothing was changed; update" in error.message
    assert await values(keystore) == before


async def with_data(keystore: Keystore, kind: str, data: bytes) -> None:
    """Give the user's credential of a kind other data."""
    kept = await keystore.auth_host.vault.get(f"user/{USER}")
    assert kept is not None
    record = json.loads(kept.data)
    for one in record["credentials"]:
        if one[0] == kind:
            one[3] = data.hex()
    await write(keystore, f"user/{USER}", json.dumps(record).encode())


@pytest.mark.parametrize("data", ROWS)
async def test_voided_tokens(data: bytes) -> None:
    """No token is made or admitted, and no credential changed."""
    pin = PinAuthenticator()
    async with Keystore.open("memory:", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, USER, "pin one")
        await generate(keystore, **ANY_TIME)
        token = await keystore.authenticate(b"", "pin one")
        await write(keystore, f"voided/{USER}", data)
        session = await open_session(keystore)
        await told(keystore, lambda: finish(keystore, session, token))
        await told(keystore, lambda: keystore.authenticate(b"", "wrong pin"))
        await told(keystore, lambda: pin.clear(keystore, USER))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("user", one)
        for one in [*TEXTS, b'{"format": 2}', b'{"format": 1}', b'{"format": 1, "credentials": [[]]}']
    ]
    + [("pin-attempts", one) for one in [*ROWS, b"\2" * ATTEMPTS.size, ATTEMPTS.pack(0, 1, bytes(16), 0, 0)]]
    + [("pin", one) for one in [*ROWS, b"", bytes(51), b"\x40\x08\1" + bytes(48), b"\x0f\x08\1" + bytes(49)]],
)
async def test_pins(name: str, data: bytes) -> None:
    """A PIN is neither checked nor changed, and no guess counted."""
    pin = PinAuthenticator()
    async with Keystore.open("memory:", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, USER, "pin one")
        await refused(keystore.authenticate(b"", "wrong pin"), 12000008)
        await (with_data(keystore, name, data) if name == "pin" else write(keystore, f"{name}/{USER}", data))
        await told(keystore, lambda: keystore.authenticate(b"", "wrong pin"))
        await told(keystore, lambda: keystore.authenticate(b"", "pin one"))
        await told(keystore, lambda: pin.change(keystore, USER, "pin one", "pin two"))


@pytest.mark.parametrize(
    ("name", "data"),
    [(name, one) for name in ("totp-used", "totp-used-by-secret") for one in ROWS]
    + [("totp", one) for one in [*ROWS, b"", struct.pack("<BBI", 3, 6, 30) + SECRET, bytes(26), bytes(6)]],
)
async def test_codes(name: str, data: bytes) -> None:
    """A code is not looked at, and no guess counted."""
    now = Now()
    totp = now.authenticator()
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        await totp.enroll(keystore, USER, account="a", issuer="b", secret=SECRET)
        await (with_data(keystore, name, data) if name == "totp" else write(keystore, f"{name}/{USER}", data))
        await told(keystore, lambda: keystore.authenticate(b"", code_at(now.wall)))
        await told(keystore, lambda: keystore.authenticate(b"", "000000"))


@pytest.mark.parametrize(
    "data",
    [json.dumps(one).encode() for one in ([*PASSKEY, 0], dict.fromkeys("abcde"), "abcde", [1, *PASSKEY[1:]])]
    + TEXTS,
)
async def test_passkeys(data: bytes) -> None:
    """None is enrolled or removed beside it, and an enrolment that was begun stays."""
    web = WebAuthnAuthenticator("example.org", ["https://vault.example.org"])
    pin = PinAuthenticator()
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        await web.begin_enroll(keystore, USER, name="a")
        await pin.enroll(keystore, USER, "pin one")
        kept = await keystore.auth_host.vault.get(f"user/{USER}")
        assert kept is not None
        record = kept.data.replace(b'"pin"', b'"webauthn"')
        await write(keystore, f"user/{USER}", record)
        await with_data(keystore, "webauthn", data)
        answer: dict[str, Any] = {"id": "aWQ", "rawId": "aWQ", "type": "public-key"}
        answer["response"] = {"clientDataJSON": "e30", "attestationObject": "oA"}
        await told(keystore, lambda: web.begin_enroll(keystore, USER, name="a"))
        await told(keystore, lambda: web.finish_enroll(keystore, USER, answer))
        await told(keystore, lambda: web.clear(keystore, USER))
        await told(keystore, lambda: web.options(keystore, USER, bytes(32)))


@pytest.mark.parametrize("data", [*TEXTS, b'["", "", 1.0, 0]', b'{"a": 1, "b": 2, "c": 3}', b"[1, 2, 3]"])
async def test_begun_enrolments(data: bytes) -> None:
    """They are not taken, so a newer process can finish them."""
    web = WebAuthnAuthenticator("example.org", ["https://vault.example.org"])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        await write(keystore, f"webauthn-enrolling/{USER}", data)
        answer: dict[str, Any] = {"id": "aWQ", "rawId": "aWQ", "type": "public-key"}
        answer["response"] = {"clientDataJSON": "e30", "attestationObject": "oA"}
        await told(keystore, lambda: web.finish_enroll(keystore, USER, answer))
        await web.begin_enroll(keystore, USER, name="a")


@pytest.mark.parametrize("data", ROWS)
async def test_answered_challenges(data: bytes) -> None:
    """An assertion and an ID token are not taken."""
    pytest.importorskip("webauthn", reason="the extra webauthn is not installed")
    from tests.access.test_webauthn import enroll

    web = WebAuthnAuthenticator("example.org", ["https://vault.example.org"])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        passkey = await enroll(web, keystore, counts=True)
        await write(keystore, f"webauthn-used/{USER}", data)
        answer = passkey.get(bytes(32))
        await told(keystore, lambda: keystore.authenticate(bytes(32), answer, auth_type=web.auth_types))


async def test_subjects() -> None:
    """An ID token is not held against a subject of another form, and its challenge not noted in another list."""
    pytest.importorskip("joserfc", reason="the extra oidc is not installed")
    from tests.access.test_oidc import CHALLENGE, Issuer

    issuer = Issuer()
    oidc = issuer.authenticator()
    token = issuer.token()
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, USER, "ana")
        for data in ROWS:
            await write(keystore, f"oidc-used/{USER}", data)
            await told(keystore, lambda: keystore.authenticate(CHALLENGE, token))
        await write(keystore, f"oidc-used/{USER}", b"")
        for data in [*TEXTS, b'{"a": 1, "b": 2}', b'["a", "b", "c"]', b"[1, 2]"]:
            await with_data(keystore, "oidc", data)
            await told(keystore, lambda: keystore.authenticate(CHALLENGE, token))
