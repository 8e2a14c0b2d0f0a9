"""The format byte by byte: frozen files, computed again from the page by other libraries."""

import hashlib
import hmac
import itertools
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gmalg
import pytest
from Cryptodome.Util.asn1 import DerSequence
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from huks_async import BusinessError, HuksImportKeyType, Keystore
from huks_async.files import recipients
from huks_async.files.chunks import extent, sealed_size
from huks_async.files.header import CHUNK_BYTES, Recipient, header_length, make_header, read_header
from huks_async.keystore import file_keys
from tests.files.support import KINDS, keystore, options, other_chunks, other_header, unseal

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors.json").read_text())
RANDOM_WAYS = {3, 4}
WRITTEN = [
    vector
    for vector in VECTORS
    if 1 << vector["bits"] == CHUNK_BYTES
    and RANDOM_WAYS.isdisjoint(one["way"] for one in (vector, *vector.get("others", ())))
]
"""Those with chunks of the size that is written, whose keys give the same again for the same random bytes."""
_LABEL = b"huks_async file 2 key"
_SHA256 = 12
_DIGESTS: dict[int, Any] = {
    2: hashes.SM3(),
    12: hashes.SHA256(),
    13: hashes.SHA384(),
    14: hashes.SHA512(),
}
_KINDS = {1: "aes-gcm", 2: "aes-ccm", 3: "rsa-oaep", 4: "sm2", 5: "hkdf", 6: "hmac"}


class _Sm4Gcm:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def encrypt(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        cipher = Cipher(algorithms.SM4(self._key), modes.GCM(nonce)).encryptor()
        cipher.authenticate_additional_data(associated)
        return cipher.update(data) + cipher.finalize() + cipher.tag


def _recipients(vector: dict[str, Any]) -> list[dict[str, Any]]:
    """All of a file; what a further one does not say is as of the first."""
    return [vector, *(vector | {"kind": None, "digest": _SHA256} | one for one in vector.get("others", ()))]


def _kind(recipient: dict[str, Any]) -> str:
    return recipient.get("kind") or _KINDS[recipient["way"]]


def _digest(recipient: dict[str, Any]) -> int:
    digest: int = recipient.get("digest", _SHA256)
    return digest if recipient["way"] > 2 else 0


def _aead_body(vector: dict[str, Any], cipher: Any) -> bytes:
    nonce = bytes.fromhex(vector["random"])[:12]
    return nonce + cipher.encrypt(
        nonce, bytes.fromhex(vector["file_key"]), _LABEL + bytes.fromhex(vector["salt"])
    )


def _derived_body(vector: dict[str, Any]) -> bytes:
    key, salt, random = (bytes.fromhex(vector[name]) for name in ("key", "salt", "random"))
    digest = _DIGESTS[_digest(vector)]
    if vector["way"] == 5:
        kek = HKDF(digest, 32, random, _LABEL + salt).derive(key)
    else:
        code = HMAC(key, digest)
        code.update(_LABEL + salt + random)
        kek = code.finalize()[:32]
    return random + AESGCM(kek).encrypt(bytes(12), bytes.fromhex(vector["file_key"]), _LABEL + salt)


def _body(vector: dict[str, Any]) -> bytes:
    """The body of a recipient; of RSA and SM2, which are random, the frozen one after it was opened."""
    key = bytes.fromhex(vector["key"])
    if vector["way"] == 1:
        return _aead_body(vector, (_Sm4Gcm if _kind(vector) == "sm4-gcm" else AESGCM)(key))
    if vector["way"] == 2:
        return _aead_body(vector, AESCCM(key, 16))
    if vector["way"] in (5, 6):
        return _derived_body(vector)
    body = bytes.fromhex(vector["body"])
    if vector["way"] == 4:
        x, y, code, hidden = DerSequence().decode(body)
        point = b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
        # the rest of an OCTET STRING behind its tag and its length
        opened = gmalg.SM2(key[64:], None, b"\x04" + key[:64]).decrypt(point + code[2:] + hidden[2:])
    else:
        private = serialization.load_der_private_key(key, None)
        assert isinstance(private, rsa.RSAPrivateKey)
        digest = _DIGESTS[_digest(vector)]
        opened = private.decrypt(body, padding.OAEP(padding.MGF1(digest), digest, None))
    assert opened == bytes.fromhex(vector["file_key"])
    return body


def _plain(vector: dict[str, Any]) -> bytes:
    return bytes(index * 7 % 251 for index in range(vector["size"]))


def computed(vector: dict[str, Any]) -> bytes:
    """The file of a vector, by the page."""
    salt, file_key = bytes.fromhex(vector["salt"]), bytes.fromhex(vector["file_key"])
    found = []
    for one in _recipients(vector):
        place, alias = b"default", one["alias"].encode()
        hint = hmac.new(salt, len(place).to_bytes(4, "big") + place + alias, hashlib.sha256).digest()[:8]
        found.append((one["way"], _digest(one), 0, hint, _body(one)))
    header = other_header(file_key, salt, found, vector["bits"])
    return header + b"".join(other_chunks(file_key, header, _plain(vector), vector["bits"]))


async def _import(opened: Keystore, vector: dict[str, Any]) -> None:
    tags = KINDS[_kind(vector)] | ({"DIGEST": _digest(vector)} if vector["way"] > 2 else {})
    key = bytes.fromhex(vector["key"])
    if vector["way"] == 1:
        tags = tags | {"KEY_SIZE": len(key) * 8}
    if vector["way"] == 4:
        # the layout of a whole pair: algorithm, size and lengths, then x, y and the private key
        key = struct.pack("<5I", 150, 256, 32, 32, 32) + key
        tags = tags | {"IMPORT_KEY_TYPE": HuksImportKeyType.HUKS_KEY_TYPE_KEY_PAIR}
    if vector["way"] == 3:
        # the layout of a whole RSA pair: five numbers, then modulus, public and private exponent
        numbers = serialization.load_der_private_key(key, None).private_numbers()  # type: ignore[union-attr]
        parts = [
            number.to_bytes(length, "big")
            for number, length in (
                (numbers.public_numbers.n, 256),
                (numbers.public_numbers.e, 3),
                (numbers.d, 256),
            )
        ]
        key = struct.pack("<5I", 1, 2048, *map(len, parts)) + b"".join(parts)
        tags = tags | {"IMPORT_KEY_TYPE": HuksImportKeyType.HUKS_KEY_TYPE_KEY_PAIR}
    await opened.importKeyItem(vector["alias"], options(key, **tags))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector_is_what_the_page_says(vector: dict[str, Any]) -> None:
    """Another program, made from the page, writes the same bytes."""
    assert computed(vector).hex() == vector["file"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
@pytest.mark.asyncio
async def test_vector_is_read_and_written(vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The keystore opens it, and given the same random bytes writes it."""
    async with keystore() as opened:
        aliases = [one["alias"] for one in _recipients(vector)]
        for one in _recipients(vector):
            await _import(opened, one)
            assert await unseal(opened, one["alias"], bytes.fromhex(vector["file"])) == _plain(vector)
        if vector not in WRITTEN:
            return
        given: Iterator[bytes] = iter([bytes.fromhex(vector["file_key"]), bytes.fromhex(vector["salt"])])
        monkeypatch.setattr(file_keys, "random_bytes", lambda _: next(given))
        salts = iter([bytes.fromhex(one["random"]) for one in _recipients(vector)])
        monkeypatch.setattr(recipients, "random_bytes", lambda _: next(salts))
        pieces = [piece async for piece in opened.encrypt_stream(aliases, [_plain(vector)])]
        assert b"".join(pieces).hex() == vector["file"]


def test_vectors_of_each_kind_are_written() -> None:
    """Each kind of key that can be compared has a frozen file that the keystore writes today."""
    assert {vector["way"] for vector in WRITTEN} == {vector["way"] for vector in VECTORS} - RANDOM_WAYS


def test_lengths_tell_the_extent() -> None:
    """Of every length: the extent of a file that has it, or the refusal of one that no file has."""
    chunk, start = 4096, 140
    lengths = {sealed_size(start, chunk, size): size for size in range(3 * chunk + 3)}
    for length in range(sealed_size(start, chunk, 3 * chunk + 2)):
        if length in lengths:
            found = extent(start, chunk, length)
            assert found.size == lengths[length]
            places = [found.place(index) for index in range(found.chunks)]
            assert places[0][0] == start
            assert sum(places[-1]) == length
            assert all(sum(one) == two[0] for one, two in itertools.pairwise(places))
            assert found.is_last(found.chunks - 1)
        else:
            with pytest.raises(BusinessError):
                extent(start, chunk, length)


def test_headers_that_none_writes() -> None:
    """Other suites, versions, chunk sizes and lengths are refused with a word that says which."""
    header = make_header(bytes(32), bytes(16), [recipients_of_one()]).data
    assert header_length(header) == len(header)
    assert read_header(header).data == header
    for place, value, word in (
        (0, 0, "no sealed file"),
        (7, 3, "version 3"),
        (8, 9, "suite 9"),
        (9, 11, "number in its header is out of range"),
    ):
        wrong = bytearray(header)
        wrong[place] = value
        with pytest.raises(BusinessError, match=word):
            read_header(bytes(wrong))
    for length in range(len(header)):
        with pytest.raises(BusinessError):
            read_header(header[:length])
    with pytest.raises(BusinessError):
        read_header(header + b"x")
    for count in (0, 256):
        with pytest.raises(BusinessError) as caught:
            make_header(bytes(32), bytes(16), [recipients_of_one()] * count)
        assert caught.value.code == 401


def recipients_of_one() -> Recipient:
    """A recipient with a body of no meaning."""
    return Recipient(1, 0, 0, bytes(8), bytes(60))
