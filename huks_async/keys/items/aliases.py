"""Aliases and storage levels: the name of a key item."""

from typing import Any

from huks_async.model.enums import HuksAuthStorageLevel
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.showing import shown, type_name
from huks_async.model.tags import HuksTag

MAX_ALIAS_BYTES = 128
DEFAULT_LEVEL = int(HuksAuthStorageLevel.HUKS_AUTH_STORAGE_LEVEL_CE)
_LEVEL = int(HuksTag.HUKS_TAG_AUTH_STORAGE_LEVEL)
_LEVELS = frozenset(HuksAuthStorageLevel)


def check_alias(alias: Any, what: str = "keyAlias") -> str:
    """Check an alias: a string of 1 … 128 bytes in UTF-8; 401 otherwise."""
    check_alias_type(alias, what)
    text: str = str.__str__(alias)  # an instance of a subclass becomes a plain str
    if len(text) > MAX_ALIAS_BYTES:
        # no character has less than one byte; a text of any length is refused without being encoded
        raise BusinessError(
            401, f"{what} has {len(text)} characters, accepted 1 … {MAX_ALIAS_BYTES} bytes in UTF-8"
        )
    # an ASCII string has one byte per character, so it need not be encoded to be measured
    try:
        length = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise BusinessError(401, f"{what} is not valid Unicode: it holds lone surrogates") from None
    if not 0 < length <= MAX_ALIAS_BYTES:
        raise BusinessError(401, f"{what} has {length} bytes in UTF-8, accepted 1 … {MAX_ALIAS_BYTES}")
    return text


def check_alias_type(alias: Any, what: str = "keyAlias") -> None:
    """Check that an alias is a string, of whatever length; 401 otherwise."""
    if not issubclass(type(alias), str):
        raise BusinessError(401, f"{what} must be a str, got {type_name(alias)}")


def storage_level(params: ParamSet) -> int:
    """The storage level that parameters name, else the default (CE); 401 for an unknown one."""
    level = params.numbers.get(_LEVEL, DEFAULT_LEVEL)
    if level not in _LEVELS:
        raise BusinessError(
            401,
            f"HUKS_TAG_AUTH_STORAGE_LEVEL: got {shown(level)}, accepted "
            + ", ".join(f"{int(member)} ({member.name})" for member in HuksAuthStorageLevel),
        )
    return level
