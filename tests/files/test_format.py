"""The format byte by byte: frozen files, computed again from the page with `cryptography` alone."""

import hashlib
import hmac
import itertools
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from huks_async import BusinessError, HuksImportKeyType, Keystore
from huks_async.files import recipients
from huks_async.files.chunks import extent, sealed_size
from huks_async.files.header import CHUNK_BYTES, Recipient, header_length, make_header, read_header
from huks_async.keystore import file_keys
from tests.files.support import KINDS, keystore, options, other_chunks, other_header, unseal

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors.json").read_text())
WRITTEN = [vector for vector in VECTORS if 1 << vector["bits"] == CHUNK_BYTES and vector["way"] != 3]
"""Those with chunks of the size that is written, whose keys give the same again for the same random bytes."""
_LABEL = b"huks_async file 2 key"
_SHA256 = 12


def _aead_body(vector: dict[str, Any], cipher: Any) -> bytes:
    nonce = bytes.fromhex(vector["random"])[:12]
    return nonce + cipher.encrypt(
        nonce, bytes.fromhex(vector["file_key"]), _LABEL + bytes.fromhex(vector["salt"])
    )


def _derived_body(vector: dict[str, Any]) -> bytes:
    key, salt, random = (bytes.fromhex(vector[name]) for name in ("key", "salt", "random"))
    if vector["way"] == 5:
        kek = HKDF(hashes.SHA256(), 32, random, _LABEL + salt).derive(key)
    else:
        kek = hmac.new(key, _LABEL + salt + random, hashlib.sha256).digest()
    return random + AESGCM(kek).encrypt(bytes(12), bytes.fromhex(vector["file_key"]), _LABEL + salt)


def _body(vector: dict[str, Any]) -> bytes:
    """The body of the recipient; of RSA, which is random, the frozen one after it was opened."""
    key = bytes.fromhex(vector["key"])
    if vector["way"] == 1:
        return _aead_body(vector, AESGCM(key))
    if vector["way"] == 2:
        return _aead_body(vector, AESCCM(key, 16))
    if vector["way"] in (5, 6):
        return _derived_body(vector)
    private = serialization.load_der_private_key(key, None)
    assert isinstance(private, rsa.RSAPrivateKey)
    body = bytes.fromhex(vector["body"])
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    assert private.decrypt(body, oaep) == bytes.fromhex(vector["file_key"])
    return body


def _plain(vector: dict[str, Any]) -> bytes:
    return bytes(index * 7 % 251 for index in range(vector["size"]))


def computed(vector: dict[str, Any]) -> bytes:
    """The file of a vector, by the page."""
    namespace, alias = b"default", vector["alias"].encode()
    salt, file_key = bytes.fromhex(vector["salt"]), bytes.fromhex(vector["file_key"])
    hint = hmac.new(salt, len(namespace).to_bytes(4, "big") + namespace + alias, hashlib.sha256).digest()[:8]
    recipient = (vector["way"], 0 if vector["way"] < 3 else _SHA256, 0, hint, _body(vector))
    header = other_header(file_key, salt, [recipient], vector["bits"])
    return header + b"".join(other_chunks(file_key, header, _plain(vector), vector["bits"]))


async def _import(opened: Keystore, vector: dict[str, Any]) -> None:
    kind = {1: "aes-gcm", 2: "aes-ccm", 3: "rsa-oaep", 5: "hkdf", 6: "hmac"}[vector["way"]]
    tags = KINDS[kind] | ({"DIGEST": _SHA256} if vector["way"] > 2 else {})
    key = bytes.fromhex(vector["key"])
    if vector["way"] == 1:
        tags = tags | {"KEY_SIZE": len(key) * 8}
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
        await _import(opened, vector)
        assert await unseal(opened, vector["alias"], bytes.fromhex(vector["file"])) == _plain(vector)
        if vector not in WRITTEN:
            return
        given: Iterator[bytes] = iter([bytes.fromhex(vector["file_key"]), bytes.fromhex(vector["salt"])])
        monkeypatch.setattr(file_keys, "random_bytes", lambda _: next(given))
        monkeypatch.setattr(recipients, "random_bytes", lambda _: bytes.fromhex(vector["random"]))
        pieces = [piece async for piece in opened.encrypt_stream(vector["alias"], [_plain(vector)])]
        assert b"".join(pieces).hex() == vector["file"]


def test_vectors_of_each_kind_are_written() -> None:
    """Each kind of key that can be compared has a frozen file that the keystore writes today."""
    assert {vector["way"] for vector in WRITTEN} == {vector["way"] for vector in VECTORS} - {3}


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
