"""Keys that seal files, and sealed files made with nothing but `cryptography`, by the page of the format."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import anyio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

import huks_async as huks
from huks_async import (
    BusinessError,
    HuksCipherMode,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyPadding,
    HuksKeyPurpose,
    HuksParam,
    HuksTag,
)

CIPHER = HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT | HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT
_A, _D = HuksKeyAlg, HuksKeyDigest
_GCM = {"BLOCK_MODE": HuksCipherMode.HUKS_MODE_GCM, "PADDING": 0}
_AES = {"ALGORITHM": _A.HUKS_ALG_AES, "KEY_SIZE": 256}

KINDS: dict[str, dict[str, int]] = {
    "aes-gcm": _AES | _GCM | {"PURPOSE": CIPHER},
    "aes-128-open": {"ALGORITHM": _A.HUKS_ALG_AES, "KEY_SIZE": 128, "PURPOSE": CIPHER},
    "aes-ccm": _AES | {"PURPOSE": CIPHER, "PADDING": 0, "BLOCK_MODE": HuksCipherMode.HUKS_MODE_CCM},
    "sm4-gcm": {"ALGORITHM": _A.HUKS_ALG_SM4, "KEY_SIZE": 128, "PURPOSE": CIPHER} | _GCM,
    "rsa-oaep": {
        "ALGORITHM": _A.HUKS_ALG_RSA,
        "KEY_SIZE": 2048,
        "PURPOSE": CIPHER,
        "PADDING": HuksKeyPadding.HUKS_PADDING_OAEP,
        "DIGEST": _D.HUKS_DIGEST_SHA384,
    },
    "rsa-open": {"ALGORITHM": _A.HUKS_ALG_RSA, "KEY_SIZE": 3072, "PURPOSE": CIPHER},
    "sm2": {"ALGORITHM": _A.HUKS_ALG_SM2, "KEY_SIZE": 256, "PURPOSE": CIPHER, "DIGEST": _D.HUKS_DIGEST_SM3},
    "sm2-unpadded": {
        "ALGORITHM": _A.HUKS_ALG_SM2,
        "KEY_SIZE": 256,
        "PURPOSE": CIPHER,
        "PADDING": HuksKeyPadding.HUKS_PADDING_NONE,
    },
    "hkdf": _AES | {"PURPOSE": HuksKeyPurpose.HUKS_KEY_PURPOSE_DERIVE, "DIGEST": _D.HUKS_DIGEST_SHA512},
    "hkdf-open": _AES | {"PURPOSE": HuksKeyPurpose.HUKS_KEY_PURPOSE_DERIVE},
    "hmac": {
        "ALGORITHM": _A.HUKS_ALG_HMAC,
        "KEY_SIZE": 256,
        "PURPOSE": HuksKeyPurpose.HUKS_KEY_PURPOSE_MAC,
        "DIGEST": _D.HUKS_DIGEST_SHA512,
    },
    "hmac-aes": _AES | {"PURPOSE": HuksKeyPurpose.HUKS_KEY_PURPOSE_MAC},
    "sm3": {
        "ALGORITHM": _A.HUKS_ALG_SM3,
        "KEY_SIZE": 256,
        "PURPOSE": HuksKeyPurpose.HUKS_KEY_PURPOSE_MAC,
        "DIGEST": _D.HUKS_DIGEST_SM3,
    },
}
"""A key of each way to seal a file, and of each form of its parameters."""

UNFIT: dict[str, dict[str, int]] = {
    "aes-cbc": _AES | {"PURPOSE": CIPHER, "PADDING": 0, "BLOCK_MODE": HuksCipherMode.HUKS_MODE_CBC},
    "rsa-pkcs1": {
        "ALGORITHM": _A.HUKS_ALG_RSA,
        "KEY_SIZE": 2048,
        "PURPOSE": CIPHER,
        "PADDING": HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5,
        "DIGEST": _D.HUKS_DIGEST_SHA256,
    },
    "hmac-sha1": {
        "ALGORITHM": _A.HUKS_ALG_HMAC,
        "KEY_SIZE": 160,
        "PURPOSE": HuksKeyPurpose.HUKS_KEY_PURPOSE_MAC,
        "DIGEST": _D.HUKS_DIGEST_SHA1,
    },
    "ed25519": {
        "ALGORITHM": _A.HUKS_ALG_ED25519,
        "KEY_SIZE": 256,
        "PURPOSE": HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN,
    },
}
"""Keys that cannot seal one."""


def options(in_data: bytes = b"", /, **tags: int | bytes) -> huks.HuksOptions:
    """Options from tag names without their prefix."""
    return huks.HuksOptions(
        [HuksParam(HuksTag[f"HUKS_TAG_{name}"], value) for name, value in tags.items()], in_data
    )


@asynccontextmanager
async def keystore(*kinds: str, **more: dict[str, int]) -> AsyncIterator[huks.Keystore]:
    """A keystore in memory with keys of some kinds, each under the name of its kind."""
    async with huks.Keystore.open("memory:", huks.EphemeralRootKey(), monitor=False) as opened:
        for kind in kinds:
            await opened.generateKeyItem(kind, options(**(KINDS | UNFIT)[kind]))
        for name, tags in more.items():
            await opened.generateKeyItem(name, options(**tags))
        yield opened


async def import_aes(opened: huks.Keystore, alias: str, key: bytes) -> None:
    """An AES-GCM key of known bytes."""
    tags = KINDS["aes-gcm"] | {"KEY_SIZE": len(key) * 8}
    await opened.importKeyItem(alias, options(key, **tags))


async def seal(opened: huks.Keystore, alias: str | Sequence[str], data: bytes) -> bytes:
    """The whole sealed file."""
    return b"".join([piece async for piece in opened.encrypt_stream(alias, [data])])


async def unseal(opened: huks.Keystore, alias: str, *pieces: bytes) -> bytes:
    """The whole plaintext."""
    return b"".join([piece async for piece in opened.decrypt_stream(alias, pieces)])


async def until_fault(opened: huks.Keystore, alias: str, *pieces: bytes) -> tuple[bytes, int | None]:
    """What comes out before an error, and the error's code; None where there is none."""
    out = bytearray()
    try:
        async for piece in opened.decrypt_stream(alias, pieces):
            out += piece
    except BusinessError as error:
        return bytes(out), error.code
    return bytes(out), None


async def no_job_is_left(opened: huks.Keystore) -> bool:
    """Whether all jobs end. Those that were taken back count until a worker finds them in its queue."""
    for _ in range(6000):
        if not opened.statistics().jobs:
            return True
        await anyio.sleep(0.01)
    return False


# --- the format once more, by the page, with other means -------------------------------------------


def other_header(
    file_key: bytes, salt: bytes, recipients: list[tuple[int, int, int, bytes, bytes]], bits: int
) -> bytes:
    """A header: recipients are (way, digest, version, hint, body)."""
    body = b""
    for way, digest, version, hint, hidden in recipients:
        body += bytes([way, digest]) + version.to_bytes(4, "big") + hint
        body += len(hidden).to_bytes(2, "big") + hidden
    length = 32 + len(body) + 32
    plain = b"huksenc\x02\x01" + bytes([bits, len(recipients), 0]) + length.to_bytes(4, "big") + salt + body
    code_key = HKDF(SHA256(), 32, None, b"huks_async file 2 header").derive(file_key)
    return plain + hmac.new(code_key, plain, hashlib.sha256).digest()


def other_chunks(file_key: bytes, header: bytes, data: bytes, bits: int) -> Iterator[bytes]:
    """The chunks."""
    extracted = hmac.new(header[-32:], file_key, hashlib.sha256).digest()
    aead = AESGCM(HKDFExpand(SHA256(), 32, b"huks_async file 2 chunks").derive(extracted))
    size = 1 << bits
    count = max(1, (len(data) + size - 1) // size)
    for index in range(count):
        nonce = index.to_bytes(11, "big") + bytes([index == count - 1])
        yield aead.encrypt(nonce, data[index * size : (index + 1) * size], b"")


def other_file(key: bytes, data: bytes, *, bits: int = 18, file_key: bytes = bytes(range(32))) -> bytes:
    """A whole file for one AES key, made with fixed bytes in place of random ones."""
    salt, nonce = bytes(range(16)), bytes(range(100, 112))
    hidden = nonce + AESGCM(key).encrypt(nonce, file_key, b"huks_async file 2 key" + salt)
    header = other_header(file_key, salt, [(1, 0, 0, bytes(8), hidden)], bits)
    return header + b"".join(other_chunks(file_key, header, data, bits))
