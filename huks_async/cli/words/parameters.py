"""Parameters of keys and sessions as the command writes them."""

from collections.abc import Callable, Iterable

from huks_async.cli.shell.console import CommandError
from huks_async.model.enums import (
    HuksAuthAccessType,
    HuksAuthStorageLevel,
    HuksChallengePosition,
    HuksChallengeType,
    HuksCipherMode,
    HuksImportKeyType,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyFlag,
    HuksKeyPadding,
    HuksKeyPurpose,
    HuksRsaPssSaltLenType,
    HuksSecureSignType,
    HuksUnwrapSuite,
    HuksUserAuthType,
)
from huks_async.model.params import HuksOptions, HuksParam, tag_name
from huks_async.model.tags import HuksTag

_A, _P = HuksKeyAlg, HuksKeyPurpose
_CIPHER = _P.HUKS_KEY_PURPOSE_ENCRYPT | _P.HUKS_KEY_PURPOSE_DECRYPT
_SIGNATURE = _P.HUKS_KEY_PURPOSE_SIGN | _P.HUKS_KEY_PURPOSE_VERIFY
_SHA256, _SHA384 = HuksKeyDigest.HUKS_DIGEST_SHA256, HuksKeyDigest.HUKS_DIGEST_SHA384
_SHA512, _SM3 = HuksKeyDigest.HUKS_DIGEST_SHA512, HuksKeyDigest.HUKS_DIGEST_SM3
_NO_DIGEST, _UNPADDED = HuksKeyDigest.HUKS_DIGEST_NONE, HuksKeyPadding.HUKS_PADDING_NONE

Tags = dict[str, int | bytes]


def _aes(size: int) -> Tags:
    return {
        "ALGORITHM": _A.HUKS_ALG_AES,
        "KEY_SIZE": size,
        "PURPOSE": _CIPHER,
        "BLOCK_MODE": HuksCipherMode.HUKS_MODE_GCM,
        "PADDING": _UNPADDED,
    }


def _signing(algorithm: int, size: int, digest: int) -> Tags:
    return {"ALGORITHM": algorithm, "KEY_SIZE": size, "PURPOSE": _SIGNATURE, "DIGEST": digest}


def _pss(size: int) -> Tags:
    return _signing(_A.HUKS_ALG_RSA, size, _SHA256) | {
        "PADDING": HuksKeyPadding.HUKS_PADDING_PSS,
        "RSA_PSS_SALT_LEN_TYPE": HuksRsaPssSaltLenType.HUKS_RSA_PSS_SALT_LEN_DIGEST,
    }


def _unwrapping(algorithm: int) -> Tags:
    return {"ALGORITHM": algorithm, "KEY_SIZE": 256, "PURPOSE": _P.HUKS_KEY_PURPOSE_UNWRAP}


KINDS: dict[str, Tags] = {
    "aes-128-gcm": _aes(128),
    "aes-192-gcm": _aes(192),
    "aes-256-gcm": _aes(256),
    "ecdsa-p256": _signing(_A.HUKS_ALG_ECC, 256, _SHA256),
    "ecdsa-p384": _signing(_A.HUKS_ALG_ECC, 384, _SHA384),
    "ecdsa-p521": _signing(_A.HUKS_ALG_ECC, 521, _SHA512),
    "ed25519": _signing(_A.HUKS_ALG_ED25519, 256, _NO_DIGEST),
    "ml-dsa-65": _signing(_A.HUKS_ALG_ML_DSA, 65, _NO_DIGEST),
    "rsa-2048-pss": _pss(2048),
    "rsa-3072-pss": _pss(3072),
    "rsa-4096-pss": _pss(4096),
    "sm2": _signing(_A.HUKS_ALG_SM2, 256, _SM3),
    "unwrap-p256": _unwrapping(_A.HUKS_ALG_ECC),
    "unwrap-sm2": _signing(_A.HUKS_ALG_SM2, 256, _SM3) | {"PURPOSE": _CIPHER},
    "unwrap-x25519": _unwrapping(_A.HUKS_ALG_X25519),
}
"""Kinds of keys that the command makes, with what a key of each is allowed to do.

The `unwrap-…` kinds open wrapped keys of suite 2, 5 and 1.
"""


def properties(**tags: int | bytes) -> list[HuksParam]:
    """Parameters from tag names without their prefix: `properties(KEY_SIZE=256)`."""
    return [HuksParam(HuksTag[f"HUKS_TAG_{name}"], value) for name, value in tags.items()]


def options(in_data: bytes = b"", /, **tags: int | bytes) -> HuksOptions:
    """Options from tag names without their prefix, and input data."""
    return HuksOptions(properties=properties(**tags), inData=in_data)


# what a session must repeat of its key
_REPEATED = frozenset(
    {
        HuksTag.HUKS_TAG_ALGORITHM,
        HuksTag.HUKS_TAG_KEY_SIZE,
        HuksTag.HUKS_TAG_BLOCK_MODE,
        HuksTag.HUKS_TAG_PADDING,
        HuksTag.HUKS_TAG_DIGEST,
        HuksTag.HUKS_TAG_RSA_PSS_SALT_LEN_TYPE,
    }
)


def session_tags(alias: str, stored: Iterable[HuksParam], purpose: HuksKeyPurpose) -> Tags:
    """The tags of a session of one purpose, taken from those of its key.

    Raises:
        CommandError: the key is not made for this purpose.

    """
    values = {HuksTag(param.tag): param.value for param in stored if param.tag in _KNOWN}
    allowed = values.get(HuksTag.HUKS_TAG_PURPOSE, 0)
    if not isinstance(allowed, int) or not allowed & purpose:
        raise CommandError(
            f"the key {alias!r} is made to {purposes_text(allowed)}, not to {purposes_text(purpose)}",
            hint="huks keys show ALIAS tells what a key is for",
        )
    tags: Tags = {
        tag.name.removeprefix("HUKS_TAG_"): value
        for tag, value in values.items()
        if tag in _REPEATED and isinstance(value, int)
    }
    return tags | {"PURPOSE": purpose}


def purposes_text(mask: object) -> str:
    """The purposes of a mask in words."""
    return " and ".join(purposes_words(mask)) or "nothing"


def purposes_words(mask: object) -> list[str]:
    """The purposes of a mask, as `--purpose` takes them."""
    return [p.name.removeprefix("HUKS_KEY_PURPOSE_").lower() for p in _P if _has(mask, p)]


def _has(mask: object, purpose: HuksKeyPurpose) -> bool:
    return isinstance(mask, int) and bool(mask & purpose)


_KNOWN = frozenset(HuksTag)
_NAMES: dict[int, Callable[[int], object]] = {
    HuksTag.HUKS_TAG_ALGORITHM: HuksKeyAlg,
    HuksTag.HUKS_TAG_PADDING: HuksKeyPadding,
    HuksTag.HUKS_TAG_DIGEST: HuksKeyDigest,
    HuksTag.HUKS_TAG_BLOCK_MODE: HuksCipherMode,
    HuksTag.HUKS_TAG_KEY_FLAG: HuksKeyFlag,
    HuksTag.HUKS_TAG_AUTH_STORAGE_LEVEL: HuksAuthStorageLevel,
    HuksTag.HUKS_TAG_IMPORT_KEY_TYPE: HuksImportKeyType,
    HuksTag.HUKS_TAG_RSA_PSS_SALT_LEN_TYPE: HuksRsaPssSaltLenType,
    HuksTag.HUKS_TAG_UNWRAP_ALGORITHM_SUITE: HuksUnwrapSuite,
    HuksTag.HUKS_TAG_USER_AUTH_TYPE: HuksUserAuthType,
    HuksTag.HUKS_TAG_KEY_AUTH_ACCESS_TYPE: HuksAuthAccessType,
    HuksTag.HUKS_TAG_CHALLENGE_TYPE: HuksChallengeType,
    HuksTag.HUKS_TAG_CHALLENGE_POS: HuksChallengePosition,
    HuksTag.HUKS_TAG_KEY_SECURE_SIGN_TYPE: HuksSecureSignType,
}
_PURPOSES = frozenset({HuksTag.HUKS_TAG_PURPOSE, HuksTag.HUKS_TAG_KEY_AUTH_PURPOSE})


def describe(param: HuksParam) -> str:
    """A parameter as a line `name: value`, enum values by their names."""
    name = tag_name(param.tag).removeprefix("HUKS_TAG_").lower()
    value = param.value
    if param.tag in _PURPOSES:
        return f"{name}: {purposes_text(value)}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return f"{name}: {data.decode() if data.isascii() and data.decode().isprintable() else data.hex()}"
    return f"{name}: {_enum_name(param) or value}"


def to_json(param: HuksParam) -> dict[str, object]:
    """A parameter for programs: its tag, and its value as a number, a truth value, or bytes in hex."""
    value = param.value
    told: dict[str, object] = {"tag": tag_name(param.tag), "number": int(param.tag)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return told | {"hex": bytes(value).hex()}
    told["value"] = value if isinstance(value, bool) else int(value)
    if param.tag in _PURPOSES:
        told["purposes"] = purposes_words(value)
    name = _enum_name(param)
    return told if name is None else told | {"name": name}


def _enum_name(param: HuksParam) -> str | None:
    named, value = _NAMES.get(param.tag), param.value
    if named is None or isinstance(value, bool) or not isinstance(value, int):
        return None
    try:
        return str(getattr(named(value), "name", value))
    except ValueError:
        return None
