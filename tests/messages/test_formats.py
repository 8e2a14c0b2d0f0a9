"""The formats of sealed messages, taken apart and put together by an independent library (pycryptodomex).

Nothing here uses the library's own derivations: the constructions are those of docs/message-formats.md. The frozen
messages must open for ever.
"""

import hashlib
import hmac
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from Cryptodome.Cipher import AES
from Cryptodome.Hash import SHA256
from Cryptodome.Protocol import HPKE
from Cryptodome.Protocol.KDF import HKDF
from Cryptodome.PublicKey import ECC
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from kyber_py.ml_kem import ML_KEM_768, ML_KEM_1024

from huks_async import Keystore
from huks_async.messages.header import Kind
from tests.keystore.support import AGREE, DECRYPT, ENCRYPT, GCM, A, key, options
from tests.messages.support import add_key

pytestmark = pytest.mark.asyncio

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors.json").read_text())
DERIVE_LABEL, HPKE_LABEL = b"huks_async message ", b"huks_async seal_to "
AES_KEY = key(A.HUKS_ALG_AES, 256, ENCRYPT | DECRYPT, BLOCK_MODE=GCM)


def head(kind: int) -> bytes:
    return b"HM\x01" + bytes((kind, 0, 0, 0, 0))


def aes_parts(secret: bytes, kind: int, salt: bytes) -> tuple[bytes, bytes]:
    made = HKDF(secret, 64, salt, SHA256, context=DERIVE_LABEL + head(kind))
    return made[:32], made[32:]


def open_aes(secret: bytes, kind: int, sealed: bytes, context: bytes) -> bytes:
    """What docs/message-formats.md says of kinds 1 and 2, without this library."""
    assert sealed[:8] == head(kind)
    salt, commitment, nonce = sealed[8:24], sealed[24:56], sealed[56:68]
    made, expected = aes_parts(secret, kind, salt)
    assert commitment == expected
    cipher = AES.new(made, AES.MODE_GCM, nonce)
    cipher.update(context)
    return cipher.decrypt_and_verify(sealed[68:-16], sealed[-16:])


def seal_aes(secret: bytes, kind: int, data: bytes, context: bytes) -> bytes:
    salt, nonce = os.urandom(16), os.urandom(12)
    made, commitment = aes_parts(secret, kind, salt)
    cipher = AES.new(made, AES.MODE_GCM, nonce)
    cipher.update(context)
    ciphertext, tag = cipher.encrypt_and_digest(data)
    return head(kind) + salt + commitment + nonce + ciphertext + tag


def seal_siv(secret: bytes, data: bytes, context: bytes) -> bytes:
    made = HKDF(secret, 96, None, SHA256, context=DERIVE_LABEL + head(3))
    cipher = AES.new(made[:64], AES.MODE_SIV)
    cipher.update(context)
    ciphertext, tag = cipher.encrypt_and_digest(data)
    return head(3) + made[64:] + tag + ciphertext


async def with_aes_key(keystore: Keystore, bits: int = 256) -> bytes:
    secret = os.urandom(bits // 8)
    await keystore.importKeyItem("k", options(secret, **(AES_KEY | {"KEY_SIZE": bits})))
    return secret


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("length", [0, 1, 64, 16_385, 3_000_001])
async def test_sealed_messages_are_what_the_page_says(bits: int, length: int) -> None:
    """In both directions, of every size of key, on both sides of what is done at once."""
    data, context = os.urandom(length), b"orders/17"
    async with Keystore.open("memory:") as keystore:
        secret = await with_aes_key(keystore, bits)
        assert open_aes(secret, 1, await keystore.seal("k", data, context), context) == data
        assert await keystore.unseal("k", seal_aes(secret, 1, data, context), context) == data
        plain, wrapped = await keystore.data_key("k", context)
        assert open_aes(secret, 2, wrapped, context) == plain
        assert await keystore.unseal("k", seal_aes(secret, 2, plain, context), context) == plain


@pytest.mark.parametrize("length", [1, 64, 262_144])
@pytest.mark.parametrize("context", [b"", b"column"])
async def test_deterministic_messages_are_what_the_page_says(length: int, context: bytes) -> None:
    """AES-SIV of the other library gives the very bytes."""
    data = os.urandom(length)
    async with Keystore.open("memory:") as keystore:
        secret = await with_aes_key(keystore)
        sealed = await keystore.seal_deterministic("k", data, context)
        if context:  # the other library leaves out a component of no bytes, which RFC 5297 counts
            assert sealed == seal_siv(secret, data, context)
        assert await keystore.unseal("k", sealed, context) == data


CURVES = {
    25519: (Kind.X25519, "curve25519", A.HUKS_ALG_X25519),
    256: (Kind.P256, "p256", A.HUKS_ALG_ECC),
    384: (Kind.P384, "p384", A.HUKS_ALG_ECC),
    521: (Kind.P521, "p521", A.HUKS_ALG_ECC),
}
PRIVATE = 1  # HUKS_KEY_TYPE_PRIVATE_KEY


async def import_private(keystore: Keystore, alias: str, algorithm: int, size: int, secret: bytes) -> None:
    """Import a private key alone, in HUKS's own form."""
    bits = 256 if algorithm == A.HUKS_ALG_X25519 else size
    lengths = (0, len(secret), 0) if algorithm == A.HUKS_ALG_X25519 else (0, 0, len(secret))
    layout = struct.pack("<5I", algorithm, bits, *lengths) + secret
    await keystore.importKeyItem(
        alias, options(layout, **key(algorithm, bits, AGREE, IMPORT_KEY_TYPE=PRIVATE))
    )


@pytest.mark.parametrize("size", [256, 384, 521, 25519])
async def test_another_hpke_opens_and_makes_messages(size: int) -> None:
    """RFC 9180's base mode of pycryptodomex, in both directions."""
    data, context = b"to whom it concerns", b"letters"
    async with Keystore.open("memory:") as keystore:
        kind, curve, algorithm = CURVES[size]
        theirs = ECC.generate(curve=curve)
        secret = theirs.seed if kind is Kind.X25519 else int(theirs.d).to_bytes((size + 7) // 8, "big")
        await import_private(keystore, "mine", algorithm, size, secret)
        public = theirs.public_key().export_key(format="DER")
        info = HPKE_LABEL + head(kind) + context
        sealed = await keystore.seal_to(public, data, context)
        width = {Kind.X25519: 32, Kind.P256: 65, Kind.P384: 97, Kind.P521: 133}[kind]
        assert sealed[:8] == head(kind)
        receiver = HPKE.new(
            receiver_key=theirs, aead_id=HPKE.AEAD.AES256_GCM, enc=sealed[8 : 8 + width], info=info
        )
        assert receiver.unseal(sealed[8 + width :]) == data
        sender = HPKE.new(receiver_key=theirs.public_key(), aead_id=HPKE.AEAD.AES256_GCM, info=info)
        body = sender.seal(data)
        assert await keystore.unseal("mine", head(kind) + sender.enc + body, context) == data
        assert await keystore.unseal("mine", sealed, context) == data


def _of_vector(vector: dict[str, Any]) -> list[tuple[dict[str, Any], bytes]]:
    return [(each["parameters"], bytes.fromhex(each["material"])) for each in vector["keys"]]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda each: each["name"])
async def test_frozen_messages_open(vector: dict[str, Any]) -> None:
    """Messages of the first version of each kind."""
    async with Keystore.open("memory:") as keystore:
        aliases = []
        for number, (parameters, material) in enumerate(_of_vector(vector)):
            aliases.append(f"k{number}")
            await add_key(keystore, aliases[-1], parameters, material)
        opened = await keystore.unseal(
            aliases[0] if len(aliases) == 1 else aliases,
            bytes.fromhex(vector["sealed"]),
            bytes.fromhex(vector["context"]),
        )
        assert opened == bytes.fromhex(vector["data"])


async def test_every_kind_has_a_frozen_message() -> None:
    """And each has the header of its kind."""
    kinds = {bytes.fromhex(vector["sealed"])[3] for vector in VECTORS}
    assert kinds == set(Kind)
    assert all(bytes.fromhex(vector["sealed"])[:3] == b"HM\x01" for vector in VECTORS)


async def test_gcm_under_two_keys_opens_with_neither_once_its_commitment_is_the_others() -> None:
    """A message belongs to one key: with the right commitment of another key its tag is wrong, and reversed."""
    async with Keystore.open("memory:") as keystore:
        first = await with_aes_key(keystore)
        second = os.urandom(32)
        sealed = bytearray(seal_aes(first, 1, b"data", b""))
        _, foreign = aes_parts(second, 1, bytes(sealed[8:24]))
        sealed[24:56] = foreign
        with pytest.raises(Exception, match="do not belong together") as caught:
            await keystore.unseal("k", sealed)
        assert caught.value.code == 12000006


def _labeled(digest: str, suite: bytes, salt: bytes, label: bytes, value: bytes) -> bytes:
    return hmac.digest(salt, b"HPKE-v1" + suite + label + value, digest)


def _expanded(digest: str, suite: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    full = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(secret, full + b"\x01", digest)[:length]


def _of_the_curve(kind: int, private: bytes, ephemeral: bytes) -> tuple[bytes, bytes]:
    """The secret that a curve's key has with an ephemeral one, and its public key."""
    if kind == 0x27:
        ours = x25519.X25519PrivateKey.from_private_bytes(private)
        secret = ours.exchange(x25519.X25519PublicKey.from_public_bytes(ephemeral))
        return secret, ours.public_key().public_bytes_raw()
    point = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP384R1())
    secret = point.exchange(
        ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), ephemeral)
    )
    return secret, point.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@pytest.mark.parametrize(
    ("kind", "kem", "kdf", "digest", "label"),
    [
        (0x25, 0x0041, 1, "sha256", b""),
        (0x26, 0x0042, 2, "sha384", b""),
        (0x27, 0x647A, 1, "sha256", rb"\.//^" + b"\\"),
        (0x28, 0x0051, 2, "sha384", b"MLKEM1024-P384"),
    ],
    ids=["ML-KEM-768", "ML-KEM-1024", "with X25519", "with P-384"],
)
async def test_ml_kem_messages_open_with_an_independent_implementation(
    kind: int, kem: int, kdf: int, digest: str, label: bytes
) -> None:
    """ML-KEM of kyber-py, combiner and key schedule of the page written out here, AES-GCM of pycryptodomex."""
    vector = next(each for each in VECTORS if bytes.fromhex(each["sealed"])[3] == kind)
    keys = [material for _, material in _of_vector(vector)]
    sealed, context = bytes.fromhex(vector["sealed"]), bytes.fromhex(vector["context"])
    ml_kem, length = (ML_KEM_768, 1088) if digest == "sha256" else (ML_KEM_1024, 1568)
    ciphertext, rest = sealed[8 : 8 + length], sealed[8 + length :]
    shared = ml_kem.decaps(ml_kem.key_derive(keys[0])[1], ciphertext)
    if label:
        size = {0x27: 32, 0x28: 97}[kind]
        ephemeral, rest = rest[:size], rest[size:]
        # the key of the curve follows the five numbers of its header
        secret, public = _of_the_curve(kind, keys[1][20:], ephemeral)
        shared = hashlib.sha3_256(shared + secret + ephemeral + public + label).digest()
    suite = b"HPKE" + struct.pack(">HHH", kem, kdf, 2)
    info = HPKE_LABEL + sealed[:8] + context
    schedule = (
        b"\0"
        + _labeled(digest, suite, b"", b"psk_id_hash", b"")
        + _labeled(digest, suite, b"", b"info_hash", info)
    )
    secret = _labeled(digest, suite, shared, b"secret", b"")
    opened = AES.new(
        _expanded(digest, suite, secret, b"key", schedule, 32),
        AES.MODE_GCM,
        _expanded(digest, suite, secret, b"base_nonce", schedule, 12),
    )
    assert opened.decrypt_and_verify(rest[:-16], rest[-16:]) == bytes.fromhex(vector["data"])
