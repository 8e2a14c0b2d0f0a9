"""Reading the parameters of the functions on external providers."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from huks_async.model.errors import BusinessError
from huks_async.model.external_crypto import (
    HuksExternalCryptoParam,
    HuksExternalCryptoTag,
    HuksExternalCryptoTagType,
    external_tag_name,
)
from huks_async.model.params import HuksParam, as_bytes
from huks_async.model.plain import plain_int
from huks_async.model.showing import shown, type_name

MAX_PARAMS = 42
_UID = HuksExternalCryptoTag.HUKS_EXT_CRYPTO_TAG_UID
_TYPE_MASK = 0xF000_0000
_BYTES = HuksExternalCryptoTagType.HUKS_EXT_CRYPTO_TAG_TYPE_BYTES
_TAGS = frozenset(HuksExternalCryptoTag)


class ExternalParams(dict[int, Any]):
    """Parsed parameters by tag: ints and bytes.

    Their `repr`, which tracebacks may show, tells of bytes the length alone: they may be a PIN.
    """

    def __repr__(self) -> str:
        parts = (f"{external_tag_name(tag)}={shown(value)}" for tag, value in self.items())
        return f"ExternalParams({', '.join(parts)})"

    def text(self, tag: HuksExternalCryptoTag, what: str) -> str:
        """A byte string parameter as text.

        Raises:
            BusinessError: 12000002 if it is absent, 12000018 if it is empty or not UTF-8.
        """
        value = self.get(tag)
        if value is None:
            raise BusinessError(12000002, f"{tag.name} is absent: it gives {what}")
        try:
            text: str = value.decode()
        except UnicodeDecodeError:
            text = ""
        if not text:
            raise BusinessError(12000018, f"{tag.name} must be {what} in UTF-8, at least one byte")
        return text

    def to_provider(self, uid: int) -> list[HuksExternalCryptoParam]:
        """The list to pass to a provider: these parameters, and the number of the caller."""
        return [*(HuksExternalCryptoParam(tag, value) for tag, value in self.items()), with_uid(uid)]


def with_uid(uid: int) -> HuksExternalCryptoParam:
    """The parameter that tells a provider who calls."""
    return HuksExternalCryptoParam(_UID, uid)


def parse_external(params: object) -> ExternalParams:
    """Check and parse a list of parameters; None stands for an empty list.

    Raises:
        BusinessError: 401 for something that is not a list of parameters; 12000018 for an unknown tag, a tag given
            twice, a value of the wrong type, or HUKS_EXT_CRYPTO_TAG_UID, which the keystore adds itself.
    """
    parsed = ExternalParams()
    if params is None:
        return parsed
    # the true classes decide, here and below: `isinstance` asks a value for one, which may raise
    kind = type(params)
    if issubclass(kind, (str, bytes, bytearray, memoryview, Mapping)) or not issubclass(kind, Iterable):
        raise BusinessError(401, f"params must be a list of parameters, got {type_name(params)}")
    try:
        given = list(islice(params, MAX_PARAMS + 1))  # type: ignore[call-overload]
    except Exception as error:  # of a list of the caller's own class, any
        raise BusinessError(401, f"params cannot be read ({type_name(error)})") from error
    if len(given) > MAX_PARAMS:
        raise BusinessError(12000018, f"more than {MAX_PARAMS} parameters given")
    for param in given:
        given_tag, value = _take_apart(param)
        tag = plain_int(given_tag)
        if tag is None or tag not in _TAGS:
            raise BusinessError(
                12000018, f"unknown tag {shown(given_tag)}; tags are the members of HuksExternalCryptoTag"
            )
        name = external_tag_name(tag)
        if tag == _UID:
            raise BusinessError(
                12000018, f"{name} is set by the keystore itself, to the caller; leave it out"
            )
        if tag in parsed:
            raise BusinessError(12000018, f"{name} is given twice; each tag may occur once")
        parsed[tag] = _value(tag, value, name)
    return parsed


def _take_apart(param: Any) -> tuple[Any, Any]:
    kind = type(param)
    try:
        if issubclass(kind, (HuksExternalCryptoParam, HuksParam)):
            return param.tag, param.value
        if issubclass(kind, Mapping) and "tag" in param and "value" in param:
            return param["tag"], param["value"]
    except Exception as error:  # of a mapping of the caller's own class, any
        raise BusinessError(401, f"a parameter cannot be read ({type_name(error)})") from error
    raise BusinessError(
        401,
        "a parameter must be HuksExternalCryptoParam(tag, value) or {'tag': …, 'value': …}, "
        f"got {type_name(param)}",
    )


def _value(tag: int, value: object, name: str) -> int | bytes:
    if tag & _TYPE_MASK == _BYTES:
        try:
            return as_bytes(value, name)
        except BusinessError as error:
            raise BusinessError(12000018, error.message) from None
    number = plain_int(value)
    if number is None:
        raise BusinessError(12000018, f"{name} takes an int, got {type_name(value)}")
    if not -(2**31) <= number < 2**31:
        raise BusinessError(12000018, f"{name}: got {shown(number)}, which does not fit in 32 bits")
    return number
