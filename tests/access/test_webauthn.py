"""Passkeys: a software passkey of the tests' own against everything an assertion can get wrong."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from huks_async import BusinessError, Keystore
from huks_async.access import AuthRequest, WebAuthnAuthenticator
from tests.access.support import (
    FINGERPRINT,
    GCM_KEY,
    PIN_KEY,
    Meddler,
    finish,
    open_session,
    options,
    refused,
)

pytest.importorskip("webauthn", reason="the extra webauthn is not installed")
import cbor2

pytestmark = pytest.mark.asyncio

RP, ORIGIN = "example.org", "https://vault.example.org"


def text(value: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class Passkey:
    """A passkey and the browser around it."""

    def __init__(self, *, counts: bool = False, synced: bool = False) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(32)
        self.handle = ""
        self.count, self.counts, self.synced = 0, counts, synced

    def data(self, flags: int, rp: str, count: int | None) -> bytes:
        """Authenticator data."""
        self.count += self.counts
        return hashlib.sha256(rp.encode()).digest() + struct.pack(
            ">BI", flags | 8 * self.synced, self.count if count is None else count
        )

    def client(self, kind: str, challenge: str, **said: Any) -> bytes:
        """Client data of the browser."""
        all_said = {"type": kind, "challenge": challenge, "origin": ORIGIN, "crossOrigin": False, **said}
        return json.dumps({name: value for name, value in all_said.items() if value is not None}).encode()

    def create(self, asked: str, flags: int = 5, rp: str = RP, **said: Any) -> dict[str, Any]:
        """Answer to `navigator.credentials.create`."""
        wanted = json.loads(asked)
        self.handle = wanted["user"]["id"]
        point = self.key.public_key().public_numbers()
        public = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32), -3: point.y.to_bytes(32)})
        data = self.data(flags | 64, rp, None) + bytes(16) + struct.pack(">H", 32) + self.id + public
        return {
            "id": text(self.id),
            "rawId": text(self.id),
            "type": "public-key",
            "response": {
                "clientDataJSON": text(self.client("webauthn.create", wanted["challenge"], **said)),
                "attestationObject": text(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
            },
        }

    def get(
        self, challenge: bytes, flags: int = 5, rp: str = RP, count: int | None = None, **said: Any
    ) -> dict[str, Any]:
        """Answer to `navigator.credentials.get`."""
        data = self.data(flags, rp, count)
        client = self.client(said.pop("type", "webauthn.get"), text(challenge), **said)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        return {
            "id": text(self.id),
            "rawId": text(self.id),
            "type": "public-key",
            "response": {
                "clientDataJSON": text(client),
                "authenticatorData": text(data),
                "signature": text(signature),
                "userHandle": self.handle,
            },
        }


async def enroll(web: WebAuthnAuthenticator, keystore: Keystore, **values: Any) -> Passkey:
    """User 100 enrols a passkey."""
    passkey = Passkey(**values)
    asked = await web.begin_enroll(keystore, 100, name="ana")
    assert await web.finish_enroll(keystore, 100, passkey.create(asked)) == text(passkey.id)
    return passkey


async def refusal(keystore: Keystore, answer: Any, challenge: bytes) -> str:
    """The name of what was wrong."""
    with pytest.raises(BusinessError) as caught:
        await keystore.authenticate(challenge, answer, auth_type=FINGERPRINT)
    assert caught.value.code == 12000008, caught.value.message
    assert isinstance(caught.value.data, dict)
    return str(caught.value.data["refused"])


@pytest.mark.parametrize("counts", [False, True])
async def test_a_key_asks_for_a_passkey(counts: bool) -> None:
    """Enrolled, used in two sessions, a second one enrolled (tokens from before are void), removed."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        passkey = await enroll(web, keystore, counts=counts)
        key = options(**{**GCM_KEY, **PIN_KEY, "USER_AUTH_TYPE": FINGERPRINT, "KEY_AUTH_ACCESS_TYPE": 2})
        await keystore.generateKeyItem("key", key)
        for number in range(3):
            session = await open_session(keystore)
            asked = json.loads(await web.options(keystore, 100, session.challenge))
            assert asked["challenge"] == text(session.challenge)
            assert asked["allowCredentials"] == [{"type": "public-key", "id": text(passkey.id)}]
            answer: Any = passkey.get(session.challenge)
            answer = json.dumps(answer) if number else answer
            token = await keystore.authenticate(session.challenge, answer, auth_type=FINGERPRINT)
            await finish(keystore, session, token)
        second = await enroll(web, keystore)
        session = await open_session(keystore)
        token = await keystore.authenticate(
            session.challenge, second.get(session.challenge), auth_type=FINGERPRINT
        )
        await refused(finish(keystore, session, token), 12000007)
        await web.clear(keystore, 100, text(passkey.id))
        assert await refusal(keystore, passkey.get(bytes(32)), bytes(32)) == "credential"
        await web.clear(keystore, 100)
        await refused(web.clear(keystore, 100), 12000013)
        await refused(
            keystore.authenticate(bytes(32), second.get(bytes(32)), auth_type=FINGERPRINT), 12000013
        )


async def test_each_wrong_assertion_by_name() -> None:
    """Page, domain, frame, flags, challenge, signature, user; none of them uses the challenge up."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    challenge, other = bytes(range(32)), bytes(32)
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        passkey = await enroll(web, keystore)
        wrong: list[tuple[str, Any]] = [
            ("challenge", passkey.get(other)),
            ("type", passkey.get(challenge, type="webauthn.create")),
            *(
                ("origin", passkey.get(challenge, origin=origin))
                for origin in (
                    "https://example.org",
                    "http://vault.example.org",
                    ORIGIN + ":8443",
                    ORIGIN + "/",
                    "https://vault.example.org.evil.example",
                    "https://evil.example",
                    [ORIGIN],
                    None,
                )
            ),
            *(("crossOrigin", passkey.get(challenge, crossOrigin=value)) for value in (True, "false", 1)),
            ("crossOrigin", passkey.get(challenge, topOrigin="https://evil.example")),
            *(("rpId", passkey.get(challenge, rp=rp)) for rp in ("vault.example.org", "org", "evil.example")),
            ("user present", passkey.get(challenge, flags=4)),
            ("user verified", passkey.get(challenge, flags=1)),
            ("backup", passkey.get(challenge, flags=5 | 8)),
            ("signature", passkey.get(challenge, flags=5 | 16)),
            ("credential", Passkey().get(challenge)),
        ]
        forged = Passkey()
        forged.id = passkey.id
        forged.handle = passkey.handle
        wrong.append(("signature", forged.get(challenge)))
        stranger = passkey.get(challenge)
        stranger["response"]["userHandle"] = text(bytes(32))
        wrong.append(("user handle", stranger))
        for name, answer in wrong:
            assert await refusal(keystore, answer, challenge) == name
        for given in ("", "{}", "[]", 7, None, {"response": {}}, {"response": 1}, "{" * 5000, "x" * 70_000):
            with pytest.raises(BusinessError) as caught:
                await keystore.authenticate(challenge, given, auth_type=FINGERPRINT)
            assert caught.value.code in (401, 12000008)
        await keystore.authenticate(challenge, passkey.get(challenge), auth_type=FINGERPRINT)


async def test_a_challenge_once_and_counters_that_go_up() -> None:
    """Fifty showings of one answer: one is taken. A counter that stays or falls is a copy; zero stays zero."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        passkey = await enroll(web, keystore)
        challenge = bytes([1] * 32)
        answer = passkey.get(challenge)
        outcomes = await asyncio.gather(
            *(keystore.authenticate(challenge, answer, auth_type=FINGERPRINT) for _ in range(50)),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, bytes) for outcome in outcomes) == 1
        assert await refusal(keystore, passkey.get(challenge), challenge) == "replay"
        for number, (count, taken) in enumerate(
            [(0, True), (7, True), (7, False), (0, False), (6, False), (8, True)]
        ):
            challenge = bytes([10 + number] * 32)
            answer = passkey.get(challenge, count=count)
            if taken:
                await keystore.authenticate(challenge, answer, auth_type=FINGERPRINT)
            else:
                assert await refusal(keystore, answer, challenge) == "counter"


@pytest.mark.parametrize("again", [False, True])
async def test_another_process_removes_the_passkey_that_is_being_checked(again: bool) -> None:
    """12000008, also where the user has enrolled the same passkey anew: it is another credential."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        passkey = await enroll(web, keystore)

        async def remove() -> None:
            await web.clear(keystore, 100)
            if again:
                asked = await web.begin_enroll(keystore, 100, name="ana")
                await web.finish_enroll(keystore, 100, passkey.create(asked))

        host: Any = Meddler(keystore, "webauthn-used/100", remove)
        request = AuthRequest(bytes(32), FINGERPRINT, 100)
        error = await refused(web.authenticate(host, request, passkey.get(bytes(32))), 12000008)
        assert error.data == {"refused": "credential"}


async def test_clearing_all_passkeys_ends_an_enrolment_that_has_begun() -> None:
    """Also of a user who has none yet; removing one passkey by its id leaves the enrolment of its successor alone."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        asked = await web.begin_enroll(keystore, 100, name="ana")
        await refused(web.clear(keystore, 100), 12000013)
        await refused(web.finish_enroll(keystore, 100, Passkey().create(asked)), 12000008)
        first = await enroll(web, keystore)
        asked = await web.begin_enroll(keystore, 100, name="ana")
        await web.clear(keystore, 100)
        await refused(web.finish_enroll(keystore, 100, Passkey().create(asked)), 12000008)
        first = await enroll(web, keystore)
        asked = await web.begin_enroll(keystore, 100, name="ana")
        await web.clear(keystore, 100, text(first.id))
        await web.finish_enroll(keystore, 100, Passkey().create(asked))


@pytest.mark.parametrize("others", [False, True], ids=["none yet", "one more"])
@pytest.mark.parametrize("change", ["clear", "begin anew"])
@pytest.mark.parametrize("step", ["taken", "looked", "written"])
async def test_an_enrolment_that_is_ended_while_its_answer_is_checked(
    step: str, change: str, others: bool
) -> None:
    """12000008 at whichever step, and the passkey is not among those that unlock keys."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        if others:
            await enroll(web, keystore)
        before = await web.enrolled(keystore.auth_host, 100)
        asked = await web.begin_enroll(keystore, 100, name="ana")
        ended: list[str] = []

        async def end() -> None:
            if not ended:
                ended.append(step)
                with contextlib.suppress(BusinessError):
                    if change == "clear":
                        await web.clear(keystore, 100)
                    else:
                        await web.begin_enroll(keystore, 100, name="ana")

        class Handle:
            auth_host: Any = Meddler(
                keystore, {"taken": "webauthn-enrolling/100", "written": "user/100"}.get(step, ""), end
            )

        if step == "looked":
            look = keystore.auth_host.vault.get

            async def then_end(name: str) -> Any:
                found = await look(name)
                if name == "user/100":
                    await end()
                return found

            Handle.auth_host.get = then_end
        passkey = Passkey()
        error = await refused(web.finish_enroll(Handle(), 100, passkey.create(asked)), 12000008)
        assert ended
        assert error.data == {"refused": "challenge"}
        if others and change == "begin anew":
            assert text(passkey.id) not in await web.options(keystore, 100, bytes(32))
            if step == "taken":
                assert await web.enrolled(keystore.auth_host, 100) == before
        else:
            await refused(web.options(keystore, 100, bytes(32)), 12000013)


async def test_a_second_answer_leaves_the_first_one_alone() -> None:
    """While the first one is being checked, another one is refused, and the first one is enrolled."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        asked = await web.begin_enroll(keystore, 100, name="ana")

        async def answer_again() -> None:
            await refused(web.finish_enroll(keystore, 100, Passkey().create(asked)), 12000008)

        class Handle:
            auth_host: Any = Meddler(keystore, "webauthn-enrolling/100", answer_again)

        passkey = Passkey()
        assert await web.finish_enroll(Handle(), 100, passkey.create(asked)) == text(passkey.id)
        assert text(passkey.id) in await web.options(keystore, 100, bytes(32))


async def test_enrolment_is_checked() -> None:
    """Each beginning once, in time, on the right page; synced passkeys where they are wanted."""
    now = 1000.0
    web = WebAuthnAuthenticator(RP, [ORIGIN], allow_synced=False, clock=lambda: now)
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:

        async def wrong(passkey: Passkey, **said: Any) -> str:
            asked = await web.begin_enroll(keystore, 100, name="ana")
            error = await refused(web.finish_enroll(keystore, 100, passkey.create(asked, **said)), 12000008)
            assert isinstance(error.data, dict)
            return str(error.data["refused"])

        assert await wrong(Passkey(), origin="https://evil.example") == "origin"
        assert await wrong(Passkey(), crossOrigin=True) == "crossOrigin"
        assert await wrong(Passkey(), rp="evil.example") == "enrolment"
        assert await wrong(Passkey(), flags=1) == "enrolment"
        assert await wrong(Passkey(synced=True)) == "backup"
        asked = await web.begin_enroll(keystore, 100, name="ana")
        passkey = Passkey()
        made = passkey.create(asked)
        now += 600
        await refused(web.finish_enroll(keystore, 100, made), 12000008)
        asked = await web.begin_enroll(keystore, 100, name="ana")
        made = passkey.create(asked)
        await web.finish_enroll(keystore, 100, made)
        await refused(web.finish_enroll(keystore, 100, made), 12000008)
        asked = await web.begin_enroll(keystore, 100, name="ana")
        assert json.loads(asked)["excludeCredentials"] == [{"type": "public-key", "id": text(passkey.id)}]
        await refused(web.finish_enroll(keystore, 100, passkey.create(asked)), 12000017)


async def test_synced_passkeys_that_are_not_wanted_any_more(tmp_path: Path) -> None:
    """One that was enrolled while they were wanted is not asked for, and refused; others go on."""
    address = f"sqlite:///{tmp_path}/keys.db"
    any_passkey, no_copies = (
        WebAuthnAuthenticator(RP, [ORIGIN], allow_synced=synced) for synced in (True, False)
    )
    async with Keystore.open(address, authenticator=any_passkey, monitor=False) as keystore:
        synced = await enroll(any_passkey, keystore, synced=True)
        await keystore.authenticate(bytes(32), synced.get(bytes(32)), auth_type=FINGERPRINT)
    async with Keystore.open(address, authenticator=no_copies, monitor=False) as keystore:
        challenge = bytes(range(32))
        assert await refusal(keystore, synced.get(challenge), challenge) == "backup"
        await refused(no_copies.options(keystore, 100, challenge), 12000013)
        kept = await enroll(no_copies, keystore)
        asked = json.loads(await no_copies.options(keystore, 100, challenge))
        assert asked["allowCredentials"] == [{"type": "public-key", "id": text(kept.id)}]
        await keystore.authenticate(challenge, kept.get(challenge), auth_type=FINGERPRINT)


def shared(levels: int) -> bytes:
    """A map of one list, whose items are each the one before ten times over: ten to the power of `levels` numbers."""
    lists = [b"\xd8\x1c\x8a" + bytes(10)]
    lists += [b"\xd8\x1c\x8a" + (b"\xd8\x1d" + cbor2.dumps(number)) * 10 for number in range(levels)]
    return b"\xa1\x61a" + cbor2.dumps([0] * len(lists))[: 1 if len(lists) < 24 else 2] + b"".join(lists)


HOSTILE = [
    shared(20),
    shared(1),
    cbor2.dumps({"a": cbor2.CBORTag(35, "(a|b)*")}),
    b"\xbf\x61a\x01\xff",  # a length left open
    b"\xa1\x61a\x18\x01",  # numbers that could be shorter: what follows would be read from another place
    b"\xa1\x78\x01a\x01",
    b"\xa1\x61a\xf9\x3c\x00",  # a float
    b"\xa1\x61a" + b"\x81" * 1000 + b"\x01",
    b"\xa1\x61a\x9b\x00\x00\x10\x00\x00\x00\x00\x00",
    b"\xa1\x61a",
    b"\xa2\x61a\x01\x61a\x01",  # a key twice: encoded again, it is shorter
]


@pytest.mark.parametrize("cbor", HOSTILE)
async def test_hostile_cbor_is_not_decoded(cbor: bytes) -> None:
    """Neither in an assertion, where it would be decoded before its signature, nor in an enrolment."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    challenge = bytes(range(32))
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        passkey = await enroll(web, keystore)
        answer = passkey.get(challenge)
        answer["response"]["authenticatorData"] = text(passkey.data(5 | 128, RP, None) + cbor)
        with pytest.raises(BusinessError, match="no CBOR of a passkey") as caught:
            await keystore.authenticate(challenge, answer, auth_type=FINGERPRINT)
        assert caught.value.code == 401
        other = Passkey()
        good = other.create(await web.begin_enroll(keystore, 100, name="ana"))["response"]
        parts = cbor2.loads(base64.urlsafe_b64decode(good["attestationObject"] + "=="))
        for form in (
            cbor2.dumps({"fmt": "none", "attStmt": {}}).replace(b"\xa2", b"\xa3", 1) + b"\x61x" + cbor,
            cbor2.dumps(
                parts | {"authData": parts["authData"][:32] + b"\xc5" + parts["authData"][33:] + cbor}
            ),
        ):
            made = other.create(await web.begin_enroll(keystore, 100, name="ana"))
            made["response"]["attestationObject"] = text(form)
            assert (
                "no CBOR of a passkey" in (await refused(web.finish_enroll(keystore, 100, made), 401)).message
            )


async def test_extensions_are_read() -> None:
    """An assertion may have extensions, in the canonical form; numbers, strings, lists and truth values."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    challenge = bytes(range(32))
    said = {
        "a": 1,
        "b": [-1, 23, 24, 255, 256, 65535, 65536, 2**32],
        "c": {"d": bytes(300)},
        "e": [True, None],
    }
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        passkey = await enroll(web, keystore)
        answer = passkey.get(challenge)
        data = passkey.data(5 | 128, RP, None) + cbor2.dumps(said)
        client = passkey.client("webauthn.get", text(challenge))
        signature = passkey.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        answer["response"] |= {"authenticatorData": text(data), "signature": text(signature)}
        await keystore.authenticate(challenge, answer, auth_type=FINGERPRINT)


@pytest.mark.parametrize(
    "form", ["packed", "fido-u2f", "tpm", "apple", "android-key", "android-safetynet", "other"]
)
async def test_attestations_by_certificates_are_refused(form: str) -> None:
    """None is asked for, and a certificate's key may be one that takes long to load."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        made = Passkey().create(await web.begin_enroll(keystore, 100, name="ana"))
        parts = cbor2.loads(base64.urlsafe_b64decode(made["response"]["attestationObject"] + "=="))
        parts |= {"fmt": form, "attStmt": {"alg": -7, "sig": b"x", "x5c": [b"x"]}}
        made["response"]["attestationObject"] = text(cbor2.dumps(parts))
        error = await refused(web.finish_enroll(keystore, 100, made), 12000008)
        assert isinstance(error.data, dict)
        assert error.data["refused"] == "attestation"


SMALL_ORDER = [
    (number.to_bytes(31, "little") + bytes([last])).hex() for number in (0, 1) for last in (0, 0x80)
] + [
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    *(f"{first}{'ff' * 30}7f" for first in ("ec", "ed", "ee")),
]


def with_key(made: dict[str, Any], key: dict[int, Any]) -> dict[str, Any]:
    """An enrolment with another public key (COSE)."""
    parts = cbor2.loads(base64.urlsafe_b64decode(made["response"]["attestationObject"] + "=="))
    parts["authData"] = parts["authData"][:87] + cbor2.dumps(key)
    made["response"]["attestationObject"] = text(cbor2.dumps(parts))
    return made


@pytest.mark.parametrize(
    "key",
    [
        {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)},
        {1: 2, 3: -7, -1: 2, -2: b"\1" * 48, -3: b"\2" * 48},
        {1: 3, 3: -7, -1: b"\xff" * 256, -2: b"\1\0\1"},
        {1: 3, 3: -257, -1: b"\xff" * 256, -2: b"\1"},
        {1: 3, 3: -257, -1: b"\xff" * 8, -2: b"\1\0\1"},
        {1: 3, 3: -257, -1: b"\xff" * 40_000, -2: b"\1\0\1"},
        {1: 3, 3: -65535, -1: b"\xff" * 256, -2: b"\1\0\1"},
        {1: 1, 3: -8, -1: 6, -2: b"x"},
        {1: 1, 3: -7, -1: 6, -2: b"\2" * 32},
        *({1: 1, 3: -8, -1: 6, -2: bytes.fromhex(point)} for point in SMALL_ORDER),
    ],
)
async def test_keys_that_prove_nothing_are_not_enrolled(key: dict[int, Any]) -> None:
    """Points that are not on their curve or of small order, short RSA, and algorithms that are not the key's."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        made = with_key(Passkey().create(await web.begin_enroll(keystore, 100, name="ana")), key)
        error = await refused(web.finish_enroll(keystore, 100, made), 12000008)
        assert isinstance(error.data, dict)
        assert error.data["refused"] == "enrolment"


@pytest.mark.parametrize("kind", [-8, -257])
async def test_the_other_algorithms_are_enrolled(kind: int) -> None:
    """Ed25519 and RSA of 2048 bits."""
    if kind == -8:
        public = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        key = {1: 1, 3: -8, -1: 6, -2: public}
    else:
        numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
        key = {1: 3, 3: -257, -1: numbers.n.to_bytes(256), -2: b"\1\0\1"}
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        made = with_key(Passkey().create(await web.begin_enroll(keystore, 100, name="ana")), key)
        assert await web.finish_enroll(keystore, 100, made) == made["id"]


async def test_pages_that_cannot_ask() -> None:
    """401 for origins outside the domain or without https."""
    for origins in (
        [],
        ORIGIN,
        ["http://example.org"],
        ["https://badexample.org"],
        ["https://example.org/"],
        ["https://example.org@evil.example"],
        ["https://evil.example"],
        ["https://["],
        [1],
    ):
        with pytest.raises(BusinessError) as caught:
            WebAuthnAuthenticator(RP, origins)  # type: ignore[arg-type]
        assert caught.value.code == 401
    WebAuthnAuthenticator("localhost", ["http://localhost:8000"])
