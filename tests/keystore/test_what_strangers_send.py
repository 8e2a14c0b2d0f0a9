"""What a stranger may choose does not hold up the event loop: it is refused unread, or worked on elsewhere."""

import mmap
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

import huks_async as huks
from huks_async.access import PinAuthenticator, TotpAuthenticator
from huks_async.crypto import spki
from huks_async.crypto.asymmetric import rsa as rsa_family
from huks_async.crypto.asymmetric import rsa_cipher, rsa_sign
from huks_async.crypto.asymmetric.rsa_key import power
from huks_async.crypto.mac_and_derivation import derive
from huks_async.crypto.symmetric import ccm
from huks_async.keys.attestation import path
from huks_async.model.params import as_bytes
from huks_async.runtime.process_pool import ProcessPool
from tests.conformance import support as s
from tests.keystore.attestation_support import CHALLENGE, NOW, authority, leaf, to_der

Call = Callable[[huks.Keystore, memoryview], Awaitable[Any]]
GCM = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "PADDING": s.NOPAD, "BLOCK_MODE": s.GCM}
CCM = GCM | {"BLOCK_MODE": s.CCM}
DERIVING = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "PURPOSE": s.DERIVE, "DIGEST": s.SHA256}
RSA_KEY = rsa.generate_private_key(65537, 2048)


@pytest.fixture
def huge(tmp_path: Path) -> memoryview:
    """More bytes than any memory holds: whoever copies them does not answer 401."""
    with (tmp_path / "huge").open("w+b") as file:
        file.truncate(1 << 40)
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _imports(algorithm: int, size: int, **tags: Any) -> Call:
    return lambda keystore, data: keystore.importKeyItem(
        "k", {"properties": s.properties(ALGORITHM=algorithm, KEY_SIZE=size, **tags), "inData": data}
    )


CALLS: dict[str, Call] = {
    "context of seal": lambda keystore, data: keystore.seal("gcm", b"x", data),
    "message of unseal": lambda keystore, data: keystore.unseal("gcm", data),
    "context of unseal": lambda keystore, data: keystore.unseal("gcm", bytes(100), data),
    "context of seal_deterministic": lambda keystore, data: keystore.seal_deterministic("gcm", b"x", data),
    "recipient of seal_to": lambda keystore, data: keystore.seal_to(data, b"x"),
    "context of seal_to": lambda keystore, data: keystore.seal_to(bytes(32), b"x", data),
    "context of derive": lambda keystore, data: keystore.derive("base", data, 32),
    "code of check_mac": lambda keystore, data: keystore.check_mac("mac", b"x", data),
    "signature of verify": lambda keystore, data: keystore.verify("ed", b"x", data),
    "data to authenticate": lambda keystore, data: keystore.initSession(
        "gcm", s.options(**GCM, PURPOSE=s.ENCRYPT, NONCE=s.NONCE12, AAD=data)
    ),
    "AES key": _imports(s.AES, 256, PURPOSE=s.CIPHER),
    "public RSA key": _imports(s.RSA, 2048, PURPOSE=s.VERIFY, IMPORT_KEY_TYPE=s.PUBLIC),
    "RSA pair": _imports(s.RSA, 2048, PURPOSE=s.SIGN, IMPORT_KEY_TYPE=s.PAIR),
    "public DSA key": _imports(s.DSA, 1024, PURPOSE=s.VERIFY, IMPORT_KEY_TYPE=s.PUBLIC),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", CALLS)
async def test_bytes_without_end_are_refused_uncopied(name: str, huge: memoryview) -> None:
    """Every argument that is copied on the event loop has a most."""
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        await keystore.generateKeyItem("gcm", s.options(**GCM, PURPOSE=s.CIPHER))
        await keystore.generateKeyItem("base", s.options(**DERIVING))
        await keystore.generateKeyItem(
            "mac", s.options(ALGORITHM=s.HMAC, KEY_SIZE=256, PURPOSE=s.MAC, DIGEST=s.SHA256)
        )
        await keystore.generateKeyItem(
            "ed", s.options(ALGORITHM=s.ED25519, KEY_SIZE=256, PURPOSE=s.SIGNATURE)
        )
        with s.refused(401):
            await CALLS[name](keystore, huge)


def test_functions_without_a_keystore_copy_no_bytes_without_end(huge: memoryview) -> None:
    """The same of the functions that are not of a keystore."""
    calls: list[Callable[[], Any]] = [
        lambda: huks.pack_wrapped_key(huge, bytes(32)),
        lambda: huks.pack_wrapped_key(bytes(16), huge),
        lambda: huks.signature_from_raw(huge, s.SM2),
        lambda: huks.signature_to_raw(huge, s.SM2),
        lambda: huks.sm2_ciphertext_from_raw(huge),
        lambda: huks.sm2_ciphertext_to_raw(huge),
        lambda: huks.verify_attestation([b"x"], huge, roots=[]),
    ]
    for call in calls:
        with s.refused(401):
            call()
    with pytest.raises(huks.AttestationError, match="cannot be read"):
        huks.verify_attestation([huge], b"x", roots=[])  # type: ignore[list-item]


def test_views_with_gaps_are_measured_before_they_are_copied(huge: memoryview) -> None:
    """The buffer of such a view is a copy already."""
    with s.refused(401):
        huks.signature_from_raw(huge[::2], s.SM2)
    assert as_bytes(memoryview(b"a-b-")[::2], "text", 2) == b"ab"


@pytest.mark.asyncio
async def test_parameters_are_not_copied_beyond_their_most() -> None:
    """The copies end with the first byte string that is too much, in either form of parameters."""
    looked_at: list[int] = []

    class Asked(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            if name == "value":
                looked_at.append(1)
            return super().__getitem__(name)

    part = bytearray(3 * 1024 * 1024)
    tags = ("ASSOCIATED_DATA", "NONCE", "IV", "INFO", "SALT", "KEY_ALIAS")
    given: list[Any] = [Asked(one) for one in s.properties(**dict.fromkeys(tags, part))]
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        for properties in (given, [huks.HuksParam(one["tag"], one["value"]) for one in given]):
            with s.refused(401, "bytes together"):
                await keystore.hasKeyItem("k", {"properties": properties})
    # two of the six, and all six to make the list of the other form
    assert len(looked_at) == 2 + len(tags)


class Unencoded(str):
    """A long text that must not be copied."""

    __slots__ = ()

    def encode(self, *_: object, **__: object) -> bytes:
        pytest.fail("it was encoded")


@pytest.mark.asyncio
async def test_long_names_of_providers() -> None:
    """A provider's name is measured before it is encoded."""
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        with s.refused(12000018, "1000000 bytes"):
            await keystore.unregisterProvider(Unencoded("a" * 1_000_000))


class Spaces(str):
    """A long text that must not be copied."""

    __slots__ = ()

    def replace(self, *_: object) -> str:  # type: ignore[override]
        pytest.fail("it was copied")


@pytest.mark.asyncio
async def test_long_codes_of_an_app() -> None:
    """A code is measured before its spaces are taken out."""
    totp = TotpAuthenticator()
    async with huks.Keystore.open("memory:", monitor=False, authenticator=totp) as keystore:
        await totp.enroll(keystore, 100, account="ana", issuer="us")
        with s.refused(401, "1000 characters"):
            await keystore.authenticate(bytes(32), Spaces(" " * 1000))


@pytest.mark.asyncio
async def test_long_aliases_and_lengths_beyond_printing() -> None:
    """A text is measured before it is encoded; a number that cannot be printed is a wrong argument, too."""
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        with s.refused(401, "1000000 characters"):
            await keystore.hasKeyItem("\N{SNOWMAN}" * 1_000_000, s.NOTHING)
        await keystore.generateKeyItem("base", s.options(**DERIVING))
        with s.refused(401, "DERIVE_KEY_SIZE"):
            await keystore.derive("base", b"", 10**5000)


@pytest.mark.asyncio
async def test_more_aliases_than_are_listed() -> None:
    """The message names the limit, which a server may have set, too."""
    limits = huks.Limits(max_listed_aliases=2)
    async with huks.Keystore.open("memory:", limits=limits, monitor=False) as keystore:
        for alias in "abc":
            await keystore.generateKeyItem(alias, s.options(**DERIVING))
        with s.refused(401, "Limits.max_listed_aliases"):
            await keystore.listAliases({})
        await keystore.deleteKeyItem("a", s.NOTHING)
        assert sorted((await keystore.listAliases({})).keyAliases) == ["b", "c"]


@pytest.mark.asyncio
async def test_long_pins_and_resource_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PIN is measured before it is normalized, a resource id before it is encoded."""

    def normalize(*_: str) -> str:
        pytest.fail("it was normalized")

    pin = PinAuthenticator()
    async with huks.Keystore.open("memory:", monitor=False, authenticator=pin) as keystore:
        await pin.enroll(keystore, 100, "123456")
        with monkeypatch.context() as patch, s.refused(401, "1000000 characters"):
            patch.setattr("unicodedata.normalize", normalize)
            await keystore.authenticate(bytes(32), "1" * 1_000_000)
        # lone surrogates have no encoding: that they are not what is wrong shows that nobody tried
        with s.refused(12000018, "1000000 bytes"):
            await keystore.openResource("\ud800" * 1_000_000)


@pytest.mark.asyncio
async def test_public_keys_longer_than_any_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a number of megabytes takes long, and no key has one."""
    long = rsa.RSAPublicNumbers(3, (1 << 200_000) + 1).public_key()
    given = long.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        agrees: dict[str, Any] = {"ALGORITHM": s.ECC, "KEY_SIZE": 256, "PURPOSE": s.AGREE}
        await keystore.generateKeyItem("agree", s.options(**agrees))

        def read(_: bytes) -> None:
            pytest.fail("it was read")

        monkeypatch.setattr(spki, "load_der_public_key", read)
        with s.refused(401):
            await keystore.seal_to(given, b"x")
        with s.refused(401):
            await s.run(keystore, "agree", given, **(agrees | {"ALGORITHM": s.ECDH}))
        with s.refused(401):
            huks.pack_wrapped_key(bytes(16), given)


@pytest.mark.asyncio
async def test_no_process_is_started_for_a_dsa_key_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Public DSA keys are checked in a process; their length alone refuses most of what is none."""

    async def start(*_: Any) -> None:
        pytest.fail("a process was started")

    monkeypatch.setattr(ProcessPool, "run", start)
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        with s.refused(401, "2048 bytes"):
            await _imports(s.DSA, 1024, PURPOSE=s.VERIFY, IMPORT_KEY_TYPE=s.PUBLIC)(
                keystore, memoryview(bytes(3000))
            )


@settings(deadline=None)
@given(st.integers(0, 1 << 300), st.integers(0, 1 << 600), st.integers(2, 1 << 300))
def test_power_is_pow(base: int, exponent: int, modulus: int) -> None:
    """The way that gives others turns computes what the interpreter's own does."""
    assert power(base % modulus, exponent, modulus) == pow(base, exponent, modulus)


def _with_exponent(e: int) -> bytes:
    public = rsa.RSAPublicNumbers(e, RSA_KEY.public_key().public_numbers().n).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.asyncio
async def test_rsa_exponents_that_make_every_use_slow_are_refused() -> None:
    """256 bits is the most that the standard has."""
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        importing = {"ALGORITHM": s.RSA, "KEY_SIZE": 2048, "PURPOSE": s.VERIFY, "IMPORT_KEY_TYPE": s.PUBLIC}
        await keystore.importKeyItem("k", s.options(_with_exponent((1 << 255) + 1), **importing))
        with s.refused(401, "257 bits"):
            await keystore.importKeyItem("k", s.options(_with_exponent((1 << 256) + 1), **importing))


@pytest.mark.asyncio
@pytest.mark.parametrize("where", ["_verify", "_verify_raw", "_encrypt"])
async def test_a_long_rsa_exponent_is_worked_on_in_a_thread(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of a key that is in the store already, from a version that took it."""
    monkeypatch.setattr(rsa_family, "LONGEST_EXPONENT_BITS", 4096)
    module: Any = rsa_cipher if where == "_encrypt" else rsa_sign
    done, threads = getattr(module, where), []

    def watched(*arguments: Any) -> Any:
        threads.append(threading.get_ident())
        return done(*arguments)

    monkeypatch.setattr(module, where, watched)
    purpose = s.ENCRYPT if where == "_encrypt" else s.VERIFY
    padding, digest = (s.PSS, s.SHA256) if where == "_verify" else (s.NOPAD, s.NO_DIGEST)
    tags = {"ALGORITHM": s.RSA, "KEY_SIZE": 2048, "PURPOSE": purpose, "PADDING": padding, "DIGEST": digest}
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        for exponent, elsewhere in ((65537, False), ((1 << 2040) + 1, True)):
            await keystore.importKeyItem(
                "k", s.options(_with_exponent(exponent), **tags, IMPORT_KEY_TYPE=s.PUBLIC)
            )
            threads.clear()
            block = bytes(255) + b"\2"
            if where == "_encrypt":
                n = RSA_KEY.public_key().public_numbers().n
                assert await s.run(keystore, "k", last=block, **tags) == pow(2, exponent, n).to_bytes(
                    256, "big"
                )
            else:
                with s.refused(12000006):
                    await keystore.verify("k", block, block)
            assert [thread != threading.get_ident() for thread in threads] == [elsewhere]


@pytest.mark.asyncio
async def test_a_long_info_is_hashed_for_each_block_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate of a derivation counts what is hashed, not only what is given."""
    threads = []

    def watched(digest: int, key: bytes, salt: bytes | None, info: bytes, length: int) -> bytes:
        threads.append(threading.get_ident())
        return HKDF(hashes.SHA256(), length, salt, info).derive(key)

    monkeypatch.setattr(derive, "hkdf", watched)
    key = bytes(range(32))
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        await keystore.importKeyItem("base", s.options(key, **DERIVING))
        for info, elsewhere in ((b"x", False), (bytes(1_000_000), True)):
            tags: dict[str, Any] = {
                "ALGORITHM": s.HKDF,
                "KEY_SIZE": 256,
                "PURPOSE": s.DERIVE,
                "DIGEST": s.SHA256,
            }
            got = await s.run(keystore, "base", b"", **tags, DERIVE_KEY_SIZE=64, INFO=info, SALT=s.SALT16)
            assert got == HKDF(hashes.SHA256(), 64, s.SALT16, info).derive(key)
            assert [thread != threading.get_ident() for thread in threads] == [elsewhere]
            threads.clear()


@pytest.mark.asyncio
async def test_long_data_to_authenticate_of_ccm_is_worked_on_in_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CCM looks at it at finish, whose own data may be short."""
    threads = []

    def watched(key: bytes, tag_length: int) -> AESCCM:
        threads.append(threading.get_ident())
        return AESCCM(key, tag_length)

    monkeypatch.setattr(ccm, "AESCCM", watched)
    key = bytes(range(32))
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        await keystore.importKeyItem("ccm", s.options(key, **CCM, PURPOSE=s.CIPHER))
        for aad, elsewhere in ((b"aad", False), (bytes(2_000_000), True)):
            got = await s.run(keystore, "ccm", last=b"x", **CCM, PURPOSE=s.ENCRYPT, NONCE=s.NONCE12, AAD=aad)
            assert got == AESCCM(key).encrypt(s.NONCE12, b"x", aad)
            assert [thread != threading.get_ident() for thread in threads] == [elsewhere]
            threads.clear()


ROOT = authority(below=2)


def test_certificates_are_looked_into_once_their_issuer_signed_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever puts the public root behind certificates of his own has none of them read, and no key of theirs used."""
    false_root = authority(below=2)
    middle = authority(false_root, "middle")
    chain = to_der(leaf(middle), middle.certificate, ROOT.certificate)
    looked_into: list[x509.Certificate] = []
    check = path._check_authority

    def watched(certificate: x509.Certificate, name: str) -> int | None:
        looked_into.append(certificate)
        return check(certificate, name)

    monkeypatch.setattr(path, "_check_authority", watched)
    with pytest.raises(huks.AttestationError) as caught:
        huks.verify_attestation(chain, CHALLENGE, roots=[ROOT.certificate], at=NOW)
    assert caught.value.refusal is huks.AttestationRefusal.BAD_SIGNATURE
    assert looked_into == [ROOT.certificate]


def test_names_of_certificates_have_a_most() -> None:
    """A name of thousands of parts takes long to read, for each certificate of a chain."""
    stranger = authority(name="x" * 64)
    huks_name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "x") for _ in range(100)])
    long = (
        x509.CertificateBuilder()
        .subject_name(huks_name)
        .issuer_name(huks_name)
        .public_key(stranger.key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW)
        .sign(stranger.key, hashes.SHA256())
    )
    with pytest.raises(huks.AttestationError) as caught:
        huks.verify_attestation(to_der(long), CHALLENGE, roots=[ROOT.certificate], at=NOW)
    assert caught.value.refusal is huks.AttestationRefusal.MALFORMED_CERTIFICATE
