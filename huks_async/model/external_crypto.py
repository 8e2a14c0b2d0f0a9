"""What crosses the API of external providers: the tags, values and results of `huksExternalCrypto`."""

from dataclasses import dataclass
from enum import IntEnum

from huks_async.model.showing import shown, shown_value


class HuksExternalCryptoTagType(IntEnum):
    """The type nibble of a tag: which values it takes."""

    HUKS_EXT_CRYPTO_TAG_TYPE_INT = 1 << 28
    HUKS_EXT_CRYPTO_TAG_TYPE_BYTES = 5 << 28


class HuksExternalCryptoTag(IntEnum):
    """Parameter tags of the functions on external providers."""

    HUKS_EXT_CRYPTO_TAG_UKEY_PIN = HuksExternalCryptoTagType.HUKS_EXT_CRYPTO_TAG_TYPE_BYTES | 200001
    HUKS_EXT_CRYPTO_TAG_ABILITY_NAME = HuksExternalCryptoTagType.HUKS_EXT_CRYPTO_TAG_TYPE_BYTES | 200002
    HUKS_EXT_CRYPTO_TAG_EXTRA_DATA = HuksExternalCryptoTagType.HUKS_EXT_CRYPTO_TAG_TYPE_BYTES | 200003
    HUKS_EXT_CRYPTO_TAG_UID = HuksExternalCryptoTagType.HUKS_EXT_CRYPTO_TAG_TYPE_INT | 200004
    HUKS_EXT_CRYPTO_TAG_PURPOSE = HuksExternalCryptoTagType.HUKS_EXT_CRYPTO_TAG_TYPE_INT | 200005
    HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO = HuksExternalCryptoTagType.HUKS_EXT_CRYPTO_TAG_TYPE_BYTES | 200007
    HUKS_EXT_CRYPTO_TAG_ABILITY_INFO = HuksExternalCryptoTagType.HUKS_EXT_CRYPTO_TAG_TYPE_BYTES | 200008
    HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME = HuksExternalCryptoTagType.HUKS_EXT_CRYPTO_TAG_TYPE_BYTES | 200009


class HuksExternalPinAuthState(IntEnum):
    """What is known of a caller's PIN at a token."""

    HUKS_EXT_CRYPTO_PIN_NO_AUTH = 0
    HUKS_EXT_CRYPTO_PIN_AUTH_SUCCEEDED = 1
    HUKS_EXT_CRYPTO_PIN_LOCKED = 2


@dataclass(slots=True)
class HuksExternalCryptoParam:
    """One parameter of the functions on external providers.

    Its `repr` names the tag, and of bytes or text tells the length alone: they may be a PIN. Of a PIN that was given as
    a number it tells nothing.
    """

    tag: int
    value: bool | int | bytes | bytearray | memoryview

    def __repr__(self) -> str:
        name = external_tag_name(self.tag)
        number = name == "HUKS_EXT_CRYPTO_TAG_UKEY_PIN" and issubclass(type(self.value), int)
        return f"HuksExternalCryptoParam({name}, {'<a number>' if number else shown_value(self.value)})"


@dataclass(slots=True)
class HuksExternalErrorInfo:
    """What a provider told of its last failure: 0 and no text where it told nothing."""

    errno: int = 0
    errorDesc: str = ""


def external_tag_name(tag: object) -> str:
    """The name of a tag, for messages."""
    try:
        return HuksExternalCryptoTag(tag).name  # type: ignore[arg-type]
    except ValueError:
        return f"tag {shown(tag)}"
