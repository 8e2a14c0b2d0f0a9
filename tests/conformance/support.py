"""What the conformance tests share: the documented names in short, options, whole sessions, refusals."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import huks_async as huks
from huks_async import (
    HuksCipherMode,
    HuksErrorCode,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyPadding,
    HuksKeyPurpose,
    HuksTag,
)

Params = dict[str, Any]

AES, DES, DES3, SM4 = (HuksKeyAlg[f"HUKS_ALG_{name}"] for name in ("AES", "DES", "3DES", "SM4"))
RSA, ECC, DSA, DH, SM2 = (HuksKeyAlg[f"HUKS_ALG_{name}"] for name in ("RSA", "ECC", "DSA", "DH", "SM2"))
X25519, ED25519, ECDH = (HuksKeyAlg[f"HUKS_ALG_{name}"] for name in ("X25519", "ED25519", "ECDH"))
HMAC, SM3_MAC, CMAC = (HuksKeyAlg[f"HUKS_ALG_{name}"] for name in ("HMAC", "SM3", "CMAC"))
HKDF, PBKDF2 = HuksKeyAlg.HUKS_ALG_HKDF, HuksKeyAlg.HUKS_ALG_PBKDF2
ML_DSA, ML_KEM = HuksKeyAlg.HUKS_ALG_ML_DSA, HuksKeyAlg.HUKS_ALG_ML_KEM

_P = HuksKeyPurpose
ENCRYPT, DECRYPT = _P.HUKS_KEY_PURPOSE_ENCRYPT, _P.HUKS_KEY_PURPOSE_DECRYPT
SIGN, VERIFY = _P.HUKS_KEY_PURPOSE_SIGN, _P.HUKS_KEY_PURPOSE_VERIFY
DERIVE, AGREE, MAC = _P.HUKS_KEY_PURPOSE_DERIVE, _P.HUKS_KEY_PURPOSE_AGREE, _P.HUKS_KEY_PURPOSE_MAC
WRAP, UNWRAP = _P.HUKS_KEY_PURPOSE_WRAP, _P.HUKS_KEY_PURPOSE_UNWRAP
CIPHER, SIGNATURE = ENCRYPT | DECRYPT, SIGN | VERIFY

ECB, CBC, CTR, OFB, CFB, CCM, GCM = (
    HuksCipherMode[f"HUKS_MODE_{name}"] for name in ("ECB", "CBC", "CTR", "OFB", "CFB", "CCM", "GCM")
)
NOPAD, OAEP, PSS, PKCS1, PKCS5, PKCS7, ISO_9796_2 = (
    HuksKeyPadding[f"HUKS_PADDING_{name}"]
    for name in ("NONE", "OAEP", "PSS", "PKCS1_V1_5", "PKCS5", "PKCS7", "ISO_IEC_9796_2")
)
NO_DIGEST, MD5, SM3, SHA1, SHA224, SHA256, SHA384, SHA512 = (
    HuksKeyDigest[f"HUKS_DIGEST_{name}"]
    for name in ("NONE", "MD5", "SM3", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512")
)
PUBLIC, PRIVATE, PAIR = 0, 1, 2
ONLY_IN_HUKS, EXPORTABLE = 2, 3
DE, CE, ECE = 0, 1, 2

IV16 = bytes(range(16))
NONCE12 = b"001122334455"
SALT16 = b"sixteen bytes of"


def properties(**tags: Any) -> list[dict[str, Any]]:
    """Parameters from tags without their prefix; a None leaves the tag out."""
    return [
        {"tag": HuksTag[f"HUKS_TAG_{name}"], "value": value}
        for name, value in tags.items()
        if value is not None
    ]


def options(inData: Any = None, **tags: Any) -> dict[str, Any]:
    """Options of a call from tags without their prefix."""
    given: dict[str, Any] = {"properties": properties(**tags)}
    return given if inData is None else given | {"inData": inData}


NOTHING: dict[str, Any] = {"properties": []}


def data(segment: Any) -> dict[str, Any]:
    """Options of an update or finish that passes data alone."""
    return {"properties": [], "inData": segment}


async def run(keystore: huks.Keystore, alias: str, *updates: bytes, last: bytes = b"", **tags: Any) -> bytes:
    """All that a session gives for these segments."""
    session = await keystore.initSession(alias, options(**tags))
    out = b""
    for segment in updates:
        out += (await keystore.updateSession(session.handle, data(segment))).outData
    return out + (await keystore.finishSession(session.handle, data(last))).outData


async def verifies(
    keystore: huks.Keystore, alias: str, message: bytes, signature: bytes, **tags: Any
) -> bool:
    """Whether a verification succeeds; any other failure than a wrong signature is one of the test."""
    try:
        assert await run(keystore, alias, message, last=signature, **(tags | {"PURPOSE": VERIFY})) == b""
    except huks.CryptoError:
        return False
    return True


async def is_gone(keystore: huks.Keystore, handle: int) -> bool:
    """Whether a session has ended: its finish is refused as unknown."""
    try:
        await keystore.finishSession(handle, data(b""))
    except huks.BusinessError as error:
        return error.code == 12000011
    return False


REASONS_OF_401 = frozenset(
    HuksErrorCode[f"HUKS_ERROR_{name}"]
    for name in (
        "INVALID_ARGUMENT",
        "INSUFFICIENT_DATA",
        "BUFFER_TOO_SMALL",
        "NULL_POINTER",
        "INVALID_PUBLIC_KEY",
        "INVALID_KEY_INFO",
        "PARAM_NOT_EXIST",
    )
)
"""The conditions that HUKS reports as 401; under the deprecated functions callers see their numbers."""


@contextmanager
def refused(code: int, *words: str) -> Iterator[pytest.ExceptionInfo[huks.BusinessError]]:
    """The block ends with a BusinessError of this code, whose message holds all of `words`."""
    with pytest.raises(huks.BusinessError) as caught:
        yield caught
    assert caught.value.code == code, caught.value
    assert code != 401 or caught.value.reason in REASONS_OF_401, (caught.value, caught.value.reason)
    assert_helpful(caught.value)
    for word in words:
        assert word in caught.value.message, caught.value


def assert_helpful(error: huks.BusinessError, *secrets: bytes) -> None:
    """A message is a sentence, and shows none of `secrets` in raw, hexadecimal or escaped form."""
    assert isinstance(error.message, str)
    assert len(error.message) >= 15, error
    assert not re.search(r"Traceback|0x[0-9a-f]{12}|\\x[0-9a-f]{2}", error.message), error
    for secret in secrets:
        assert secret.hex() not in error.message.lower()
        assert repr(secret)[2:-1] not in error.message
