"""Options and parameters: the forms a caller may pass, and the parsed set that the library works with.

Longer than other files: the quick way to read parameters and the careful one stand side by side, because they must agree.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from huks_async.model.errors import BusinessError, ParameterSetError
from huks_async.model.memory import out_of_memory
from huks_async.model.showing import shown, shown_list, shown_value, type_name
from huks_async.model.tags import INNER_TAGS, SERVICE_TAGS, HuksTag, HuksTagType

BytesLike: TypeAlias = bytes | bytearray | memoryview
"""Bytes that a caller may pass: any contiguous buffer of single bytes."""

ParamValue: TypeAlias = int | bytes
"""The value of a parsed parameter; booleans are kept as `bool`, which is an int."""

MAX_PARAMS = 42
MAX_PARAM_BYTES = 4 * 1024 * 1024
# Lists up to ten times as long as one set are looked through, so that the first mistake in them is named;
# a longer one is refused unseen, because looking through a million parameters holds the event loop for 0.3 s.
_MAX_LOOKED_AT = 10 * MAX_PARAMS
_ILLEGAL = 401


@dataclass(slots=True)
class HuksParam:
    """One parameter. `value` is an int, a bool or bytes, as the tag's type says.

    Its `repr` names the tag, and of bytes tells the length alone: they may be a key.
    """

    tag: int
    value: bool | int | BytesLike

    def __repr__(self) -> str:
        return f"HuksParam({tag_name(self.tag)}, {shown_value(self.value)})"


@dataclass(slots=True)
class HuksOptions:
    """Parameters and input data of a call; both may be left out. Bytes show as their length in its `repr`."""

    properties: Iterable[HuksParam | Mapping[str, Any]] | None = None
    inData: BytesLike | None = None

    def __repr__(self) -> str:
        properties = shown_list(self.properties, _shown_param)
        return f"HuksOptions(properties={properties}, inData={shown_value(self.inData)})"


def _shown_param(param: object) -> str:
    if type(param) is dict:
        param = HuksParam(param.get("tag"), param.get("value"))  # type: ignore[arg-type]
    return repr(param) if type(param) is HuksParam else shown(param)


Properties: TypeAlias = Iterable[HuksParam | Mapping[str, Any]]
Options: TypeAlias = HuksOptions | Mapping[str, Any]


class ParamSet:
    """Parsed parameters: each tag once, values of the right type.

    Numbers (which decide what an operation is) and byte strings (which belong to one call:
    nonce, data to authenticate, salt) are kept apart, because plans are made from the numbers alone.
    """

    __slots__ = ("blobs", "numbers")

    def __init__(self, numbers: dict[int, int] | None = None, blobs: dict[int, bytes] | None = None) -> None:
        self.numbers: dict[int, int] = {} if numbers is None else numbers
        self.blobs: dict[int, bytes] = {} if blobs is None else blobs

    def number(self, tag: int) -> int | None:
        """The number under `tag`, or None."""
        return self.numbers.get(tag)

    def blob(self, tag: int) -> bytes | None:
        """The bytes under `tag`, or None."""
        return self.blobs.get(tag)

    def __contains__(self, tag: int) -> bool:
        return tag in self.numbers or tag in self.blobs

    def __len__(self) -> int:
        return len(self.numbers) + len(self.blobs)

    def __iter__(self) -> Iterator[tuple[int, ParamValue]]:
        yield from self.numbers.items()
        yield from self.blobs.items()

    def __repr__(self) -> str:
        parts = [f"{tag_name(tag)}={shown(value)}" for tag, value in self]
        return f"ParamSet({', '.join(parts)})"

    def to_params(self) -> list[HuksParam]:
        """The same as a list of `HuksParam`, tags as `HuksTag` where the declaration knows them."""
        return [HuksParam(_TAG_MEMBERS.get(tag, tag), value) for tag, value in self]


def tag_name(tag: object) -> str:
    """The documented name of a tag, or its number."""
    name = _TAG_NAMES.get(int.__int__(tag)) if issubclass(type(tag), int) else None  # type: ignore[arg-type]
    return shown(tag) if name is None else name


_TAG_MEMBERS: dict[int, HuksTag] = {int(member): member for member in HuksTag}
_TAG_NAMES: dict[int, str] = {int(member): member.name for member in (*INNER_TAGS, *HuksTag)}

_NUMBER, _BOOL, _BYTES = 1, 2, 3
_KIND_OF_TYPE = {
    HuksTagType.HUKS_TAG_TYPE_INT: _NUMBER,
    HuksTagType.HUKS_TAG_TYPE_UINT: _NUMBER,
    HuksTagType.HUKS_TAG_TYPE_ULONG: _NUMBER,
    HuksTagType.HUKS_TAG_TYPE_BOOL: _BOOL,
    HuksTagType.HUKS_TAG_TYPE_BYTES: _BYTES,
}
_RANGE_OF_TYPE = {
    HuksTagType.HUKS_TAG_TYPE_INT: (-(2**31), 2**31 - 1),
    HuksTagType.HUKS_TAG_TYPE_UINT: (0, 2**32 - 1),
    HuksTagType.HUKS_TAG_TYPE_ULONG: (0, 2**64 - 1),
}
_TYPE_MASK = 0xF000_0000
_ALWAYS_IN_RANGE = 2**31 - 1

# every tag that a caller may give, with the kind of value it takes
_KINDS: dict[int, int] = {
    int(tag): _KIND_OF_TYPE[HuksTagType(tag & _TYPE_MASK)]
    for tag in (*HuksTag, *INNER_TAGS)
    if tag != HuksTag.HUKS_TAG_INVALID and tag not in SERVICE_TAGS
}
_AAD = int(HuksTag.HUKS_TAG_AAD)
_ASSOCIATED_DATA = int(HuksTag.HUKS_TAG_ASSOCIATED_DATA)


# shared by all calls without parameters; nothing that the parser gives is changed afterwards
NO_PARAMETERS = ParamSet()


def parse_properties(properties: object) -> ParamSet:
    """Check and take apart a list of parameters.

    Raises:
        BusinessError: 401 for anything but an iterable of parameters, for an unknown tag, a tag
            given twice, a value of the wrong type or out of range, more than 42 parameters, or more
            than 4 MiB of values.

    """
    if properties is None:
        return NO_PARAMETERS
    if type(properties) is not list:
        properties = as_list(properties)
    if not properties:
        return NO_PARAMETERS
    if len(properties) > _MAX_LOOKED_AT:
        raise _too_many(len(properties))
    scanned = scan(properties)
    if scanned is None:
        return _parse_any(properties)
    plan, blobs = scanned
    numbers = dict(zip(plan[::2], plan[1::2], strict=True))
    if len(numbers) + len(blobs) != len(properties) or len(properties) > MAX_PARAMS:
        raise _illegal_set(properties)
    return ParamSet(numbers, blobs)


def scan(properties: list[Any]) -> tuple[tuple[int, ...], dict[int, bytes]] | None:
    """Look through a list of mappings or of `HuksParam`.

    This runs for every session, so it does the least that tells whether a list was seen before: it
    checks each value, but leaves it to `parse_properties` to find a number that is given twice.

    Returns:
        tags and values of the numbers in turn, as a key, and the byte strings by tag; None where the
        parser has to look, because the form is another one or something is wrong.
    """
    key: list[int] = []
    add = key.append
    blobs: dict[int, bytes] = {}
    size = 0
    kinds = _KINDS
    try:
        for param in properties:
            if type(param) is HuksParam:
                tag, value = param.tag, param.value
            else:
                tag, value = param["tag"], param["value"]
            if type(tag) is not HuksTag and type(tag) is not int:
                return None  # a float finds its kind as well
            kind = kinds[tag]
            if kind == _NUMBER:
                if type(value) is not int or not 0 <= value <= _ALWAYS_IN_RANGE:
                    value = _number(tag, value)  # members of enums count, too
                add(tag)
                add(value)
            elif kind == _BYTES:
                blobs[tag] = value = value if type(value) is bytes else as_bytes(value, tag_name(tag))
                size += len(value)
                if size > MAX_PARAM_BYTES:
                    raise _too_many_bytes()
            else:
                add(tag)
                add(_bool(tag, value))
    except BusinessError:
        raise
    except Exception:  # of a mapping of the caller's own, any
        return None
    if len(key) // 2 + len(blobs) != len(properties):
        return None  # the same byte string twice
    if _AAD in blobs:
        if _ASSOCIATED_DATA in blobs:
            return None
        blobs[_ASSOCIATED_DATA] = blobs.pop(_AAD)
    return tuple(key), blobs


def _parse_any(properties: list[Any]) -> ParamSet:
    """Parse parameters of any documented form, and name the first mistake."""
    numbers: dict[int, int] = {}
    blobs: dict[int, bytes] = {}
    size = 0
    with _reading("a parameter"):
        for param in properties:
            tag, value = _take_apart(param)
            try:
                kind = _KINDS.get(tag) if issubclass(type(tag), int) else None
            except TypeError:
                kind = None
            if kind == _NUMBER:
                numbers[tag] = _number(tag, value)
            elif kind == _BYTES:
                blobs[tag] = as_bytes(value, tag_name(tag))
                size += len(blobs[tag])
                if size > MAX_PARAM_BYTES:
                    raise _too_many_bytes()  # before the next one is copied
            elif kind == _BOOL:
                numbers[tag] = _bool(tag, value)
            else:
                raise _unknown_tag(tag)
    if len(numbers) + len(blobs) != len(properties) or len(properties) > MAX_PARAMS:
        raise _illegal_set(properties)
    # two tags name one parameter: the newer one wins, and the older one names it from here on
    if _AAD in blobs:
        blobs[_ASSOCIATED_DATA] = blobs.pop(_AAD)
    return ParamSet(numbers, blobs)


def parse_options(options: object) -> tuple[ParamSet, BytesLike]:
    """Parse options of a call: its parameters and its input data (`b""` where there is none).

    The data is not copied unless it must be; a caller that keeps it past the call copies it.
    """
    properties, data = split_options(options)
    if type(data) is not bytes:
        data = b"" if data is None else as_buffer(data, "inData")
    return parse_properties(properties), data


def parse_parameters(options: object) -> ParamSet:
    """Parse the parameters of options for a call that does not use `inData`, whatever it is."""
    return parse_properties(split_options(options)[0])


def split_options(options: object) -> tuple[Any, Any]:
    """The properties and the data of options, unchecked; 401 for what is no options object."""
    if type(options) is dict:
        return options.get("properties"), options.get("inData")
    if type(options) is HuksOptions:
        try:
            return options.properties, options.inData
        except AttributeError:
            pass  # one was deleted, or never set
    with _reading("options"):
        if isinstance(options, HuksOptions):
            return options.properties, options.inData
        if isinstance(options, Mapping):
            return options.get("properties"), options.get("inData")
    raise BusinessError(
        _ILLEGAL,
        f"options must be HuksOptions or a mapping with 'properties' and 'inData', got {type_name(options)}",
    )


def as_buffer(value: object, what: str, most: int | None = None) -> BytesLike:
    """A buffer of single bytes over `value`; 401 for other things, and for more than `most` bytes.

    Only a view with gaps is copied.
    """
    if type(value) is bytes or type(value) is bytearray:
        if most is not None and len(value) > most:
            raise _too_long(what, len(value), most)
        return value
    try:
        view = memoryview(value)  # type: ignore[arg-type]
    except MemoryError:
        raise
    except Exception:  # ValueError: a memoryview that was released; any, of a class with a buffer of its own
        hint = "; encode text first" if issubclass(type(value), str) else ""
        raise BusinessError(_ILLEGAL, f"{what} must be bytes-like, got {type_name(value)}{hint}") from None
    if view.itemsize != 1:
        raise BusinessError(
            _ILLEGAL,
            f"{what} must be a buffer of single bytes, got items of {view.itemsize} bytes",
        )
    if most is not None and view.nbytes > most:
        raise _too_long(what, view.nbytes, most)
    try:
        return view.cast("B") if view.c_contiguous else view.tobytes()
    except (TypeError, ValueError):  # the items are of a format that views cannot change
        return view.tobytes()


def as_bytes(value: object, what: str, most: int = MAX_PARAM_BYTES) -> bytes:
    """A private copy of a bytes-like value; 401 for other things, and for more than `most` bytes, uncopied.

    The copy is made on the event loop, and a view of a mapped file may have any size.
    """
    buffer = as_buffer(value, what, most)
    try:
        return bytes(buffer)
    except MemoryError as error:
        raise out_of_memory(f"a copy of {what}") from error


def _too_long(what: str, length: int, most: int) -> BusinessError:
    return BusinessError(_ILLEGAL, f"{what} has {length} bytes, accepted {most}")


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Make an error of the caller's arguments of whatever their own methods raise."""
    try:
        yield
    except (BusinessError, MemoryError):
        raise
    except Exception as error:
        raise BusinessError(
            _ILLEGAL, f"{what} could not be read: an object of the caller's raised {type_name(error)}"
        ) from error


def as_list(properties: object) -> list[Any]:
    """The parameters that an iterable gives; 401 for other things."""
    with _reading("properties"):
        if isinstance(properties, Iterable) and not isinstance(
            properties, (str, bytes, bytearray, memoryview, Mapping)
        ):
            return list(itertools.islice(properties, _MAX_LOOKED_AT + 1))
    raise BusinessError(
        _ILLEGAL,
        f"properties must be a list of parameters, got {type_name(properties)}; "
        "a parameter is HuksParam(tag, value) or {'tag': …, 'value': …}",
    )


def _take_apart(param: object) -> tuple[Any, Any]:
    if isinstance(param, HuksParam):
        return param.tag, param.value
    if isinstance(param, Mapping):
        try:
            return param["tag"], param["value"]
        except KeyError as missing:
            raise BusinessError(
                _ILLEGAL, f"a parameter has no {shown(missing.args[0])}: it needs 'tag' and 'value'"
            ) from None
    raise BusinessError(
        _ILLEGAL,
        f"a parameter must be HuksParam(tag, value) or {{'tag': …, 'value': …}}, got {type_name(param)}",
    )


def _number(tag: int, value: Any) -> int:
    if not issubclass(type(value), int) or type(value) is bool:
        raise BusinessError(_ILLEGAL, f"{tag_name(tag)} takes an int, got {type_name(value)}")
    number: int = int.__int__(value)
    if not 0 <= number <= _ALWAYS_IN_RANGE:
        low, high = _RANGE_OF_TYPE[HuksTagType(tag & _TYPE_MASK)]
        if not low <= number <= high:
            raise BusinessError(_ILLEGAL, f"{tag_name(tag)}: got {shown(number)}, accepted {low} … {high}")
    return number


def _bool(tag: int, value: object) -> bool:
    if type(value) is not bool:
        raise BusinessError(_ILLEGAL, f"{tag_name(tag)} takes a bool, got {type_name(value)}")
    return value


def _unknown_tag(tag: object) -> BusinessError:
    if isinstance(tag, int) and tag in SERVICE_TAGS:
        return ParameterSetError(
            _ILLEGAL, f"{tag_name(tag)} is set by the keystore itself and must not be given"
        )
    return ParameterSetError(
        _ILLEGAL,
        f"unknown tag {shown(tag)}; tags are the members of HuksTag",
    )


def _too_many_bytes() -> BusinessError:
    return BusinessError(
        _ILLEGAL,
        f"the values of the parameters have more than {MAX_PARAM_BYTES} bytes together, which is the most "
        "that one set takes",
    )


def _illegal_set(properties: list[Any]) -> BusinessError:
    if len(properties) > MAX_PARAMS:
        return _too_many(len(properties))
    seen: set[int] = set()
    for param in properties:
        tag = _take_apart(param)[0]
        if tag in seen:
            break
        seen.add(tag)
    return ParameterSetError(_ILLEGAL, f"{tag_name(tag)} is given twice; each tag may occur once")


def _too_many(given: int) -> BusinessError:
    return BusinessError(_ILLEGAL, f"{given} parameters given, at most {MAX_PARAMS} are accepted in one set")


__all__ = [
    "MAX_PARAMS",
    "MAX_PARAM_BYTES",
    "NO_PARAMETERS",
    "BytesLike",
    "HuksOptions",
    "HuksParam",
    "Options",
    "ParamSet",
    "ParamValue",
    "Properties",
    "as_buffer",
    "as_bytes",
    "as_list",
    "parse_options",
    "parse_parameters",
    "parse_properties",
    "scan",
    "split_options",
    "tag_name",
]
