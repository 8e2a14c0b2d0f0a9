"""The work that the parts of a PKCS#12 file, and keys inside them, may ask for."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from huks_async.keys.forms import key_files, pem, pkcs12
from huks_async.keys.forms.der import tlv
from huks_async.keys.forms.describe import describe
from huks_async.model.errors import BusinessError
from tests.keys.forms.test_odd_files import encrypted_with, pbkdf2, refused


def oid(digits: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    return tlv(0x06, bytes.fromhex(digits))


DATA, HMAC_SHA256 = oid("2a864886f70d010701"), tlv(0x30, oid("2a864886f70d0209"), tlv(0x05))


def pfx(parts: list[bytes], *mac: bytes) -> bytes:
    """A PKCS#12 file."""
    safe = tlv(0x04, tlv(0x30, *parts))
    return tlv(0x30, tlv(0x02, b"\x03"), tlv(0x30, DATA, tlv(0xA0, safe)), *mac)


def hashing(iterations: int) -> bytes:
    """PBKDF2 with HMAC-SHA256."""
    count = tlv(0x02, iterations.to_bytes(iterations.bit_length() // 8 + 1, "big"))
    return tlv(0x30, oid("2a864886f70d01050c"), tlv(0x30, tlv(0x04, bytes(8)), count, HMAC_SHA256))


def encrypted_part(iterations: int, content: bytes = tlv(0x80, bytes(64))) -> bytes:
    """Certificates, or keys, encrypted with PBES2 as a whole."""
    cipher = tlv(0x30, oid("60864801650304012a"), tlv(0x04, bytes(16)))
    scheme = tlv(0x30, oid("2a864886f70d01050d"), tlv(0x30, hashing(iterations), cipher))
    sealed = tlv(0x30, tlv(0x02, b"\0"), tlv(0x30, DATA, scheme, content))
    return tlv(0x30, oid("2a864886f70d010706"), tlv(0xA0, sealed))


def pbmac1(iterations: int) -> bytes:
    """A MAC by RFC 9579."""
    scheme = tlv(0x30, oid("2a864886f70d01050e"), tlv(0x30, hashing(iterations), HMAC_SHA256))
    return tlv(0x30, tlv(0x30, scheme, tlv(0x04, bytes(32))), tlv(0x04, bytes(8)), tlv(0x02, b"\x01"))


def test_all_parts_of_pkcs12_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates encrypted as a whole and the newer MAC ask for work of their own, and there may be many parts."""
    opened: list[bytes] = []

    def load(data: bytes, password: bytes | None) -> None:
        opened.append(data)
        raise ValueError

    monkeypatch.setattr(pkcs12, "_load", load)
    much, little = 2**31 - 1, 2048
    for file in (
        pfx([encrypted_part(much)]),
        pfx([encrypted_part(little)] * 2 + [encrypted_part(much)]),
        pfx([], pbmac1(much)),
    ):
        assert "iterations" in refused(lambda file=file: key_files.read(file, password=b"x"))
    assert "encrypted parts" in refused(
        lambda: key_files.read(pfx([encrypted_part(little)] * 5), password=b"x")
    )
    assert not opened
    refused(lambda: key_files.read(pfx([encrypted_part(little)] * 2, pbmac1(little)), password=b"x"))
    assert opened


def shrouded_bag(iterations: int) -> bytes:
    """A key that is encrypted by itself."""
    return tlv(0x30, oid("2a864886f70d010c0a0102"), tlv(0xA0, encrypted_with(hashing(iterations))))


def nested_bag(bag: bytes) -> bytes:
    """Bags in a bag."""
    return tlv(0x30, oid("2a864886f70d010c0a0106"), tlv(0xA0, tlv(0x30, bag)))


def sealed_part(bag: bytes, *, pieces: bool, behind: bytes = b"", is_open: bool = False) -> bytes:
    """A part that the passphrase `x` opens."""
    bags = (b"\x30\x80" + bag + bytes(2) if is_open else tlv(0x30, bag)) + behind
    left = 16 - len(bags) % 16
    key = PBKDF2HMAC(SHA256(), 32, bytes(8), 1).derive(b"x")
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    sealed = encryptor.update(bags + bytes([left]) * left) + encryptor.finalize()
    content = tlv(0xA0, tlv(0x04, sealed[:20]), tlv(0x04, sealed[20:])) if pieces else tlv(0x80, sealed)
    return encrypted_part(1, content)


def data_part(bag: bytes) -> bytes:
    """A part that is not encrypted."""
    return tlv(0x30, DATA, tlv(0xA0, tlv(0x04, tlv(0x30, bag))))


@pytest.mark.parametrize(
    "part",
    [
        data_part(nested_bag(shrouded_bag(2**31 - 1))),
        sealed_part(shrouded_bag(2**31 - 1), pieces=False),
        sealed_part(shrouded_bag(2**31 - 1), pieces=True),
        sealed_part(nested_bag(nested_bag(shrouded_bag(2**31 - 1))), pieces=False),
        sealed_part(shrouded_bag(2**31 - 1), pieces=False, behind=b"\0"),
        sealed_part(shrouded_bag(2**31 - 1), pieces=False, is_open=True),
    ],
    ids=["nested", "inside", "in-pieces", "nested-inside", "more-behind", "open-length"],
)
def test_keys_inside_parts_of_pkcs12_have_bounds(part: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is encrypted by itself is measured also where it is inside something else."""
    monkeypatch.setattr(pkcs12, "_load", lambda *_: pytest.fail("the library was asked"))
    assert "iterations" in refused(lambda: key_files.read(pfx([part]), password=b"x"))


@pytest.mark.asyncio
async def test_a_file_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be measured before it is opened has some minutes."""
    monkeypatch.setattr(key_files, "MAX_SECONDS", 0.0)
    with pytest.raises(BusinessError, match="too much work") as caught:
        await key_files.read_apart(encrypted_with(pbkdf2(1)), password=b"secret")
    assert caught.value.code == 401


def test_a_file_that_cannot_be_taken_apart_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind a file hides nothing of it, and what is nested too deep to be measured is refused."""
    monkeypatch.setattr(pkcs12, "_load", lambda *_: pytest.fail("the library was asked"))
    much = encrypted_part(2**31 - 1)
    safe = tlv(0x04, tlv(0x30, much) + b"\0")
    bags = tlv(0x30, DATA, tlv(0xA0, tlv(0x04, tlv(0x30, shrouded_bag(2**31 - 1)) + b"\0")))
    for file in (
        pfx([much]) + b"\0",
        tlv(0x30, tlv(0x02, b"\x03"), tlv(0x30, DATA, tlv(0xA0, safe))),
        pfx([bags]),
    ):
        assert "iterations" in refused(lambda file=file: key_files.read(file, "pkcs12", password=b"x"))
    deep = b""
    for _ in range(30):
        deep = tlv(0x30, deep)
    for file in (pfx([much], deep), pfx([much, deep]), pfx([data_part(deep)])):
        assert "damaged" in refused(lambda file=file: key_files.read(file, "pkcs12", password=b"x"))


def test_what_stands_behind_a_file_is_left_out() -> None:
    """The key of a whole file is read, as other programs do."""
    key = ec.generate_private_key(ec.SECP256R1())
    file = serialize_key_and_certificates(b"name", key, None, None, BestAvailableEncryption(b"x"))
    assert key_files.read(file + b"\n\n", "pkcs12", password=b"x") == key_files.read(file, password=b"x")


def test_pkcs12_in_pem_is_encrypted_as_it_is_without() -> None:
    """It is opened apart from the loop, asks for its passphrase, and is described as encrypted."""
    key = ec.generate_private_key(ec.SECP256R1())
    file = serialize_key_and_certificates(b"name", key, None, None, BestAvailableEncryption(b"x"))
    text = pem.to_pem(file, "PKCS12").encode()
    assert key_files.read(text, password=b"x") == key_files.read(file, password=b"x")
    assert key_files.needs_passphrase(text)
    assert key_files.may_take_long(text)
    assert describe(text).halves == describe(file).halves == ("private",)
    assert describe(text).note == describe(file).note
