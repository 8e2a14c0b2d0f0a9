"""Objects that no caller should pass, and some do."""

import ctypes
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from hypothesis import strategies as st

from huks_async import HuksOptions, HuksParam, HuksTag


class Hostile:
    """Raises in whatever is done to it."""

    def _raise(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("hostile")

    __repr__ = __str__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __getitem__ = _raise
    __index__ = __int__ = __bytes__ = __lt__ = __le__ = __gt__ = __ge__ = __format__ = _raise
    __class__ = property(_raise)  # type: ignore[assignment]


class HostileMapping(Mapping[str, Any]):
    """A mapping that raises in reading."""

    def __getitem__(self, name: str) -> Any:
        raise OSError("hostile")

    def __iter__(self) -> Iterator[str]:
        raise OSError("hostile")

    def __len__(self) -> int:
        return 2


class HostileInt(int):
    """A number that cannot be compared nor printed."""

    def _raise(self, *_: Any) -> Any:
        raise ZeroDivisionError("hostile")

    __repr__ = __str__ = __format__ = __lt__ = __le__ = __gt__ = __ge__ = _raise


class HostileStr(str):
    """A text that cannot be printed."""

    __slots__ = ()

    def _raise(self, *_: Any) -> Any:
        raise ZeroDivisionError("hostile")

    __repr__ = __str__ = __format__ = __len__ = encode = isascii = _raise


class HostileBytes(bytes):
    """Bytes that lie."""

    def __len__(self) -> int:
        raise ZeroDivisionError("hostile")

    def __bytes__(self) -> bytes:
        raise ZeroDivisionError("hostile")

    __repr__ = __str__ = __len__  # type: ignore[assignment]


class _HostileClass(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("hostile")


class OfHostileClass(metaclass=_HostileClass):
    """Its class has no name that can be read."""


LongName = type("L" * 100_000, (), {})


def _recursive() -> list[Any]:
    whole: list[Any] = []
    whole.append(whole)
    return whole


def _released() -> memoryview:
    view = memoryview(b"gone")
    view.release()
    return view


def _endless() -> Iterator[Any]:
    while True:
        yield Hostile()


MAKERS: list[Any] = [
    lambda: Hostile(),
    lambda: HostileMapping(),
    lambda: HostileInt(5),
    lambda: HostileStr("x"),
    lambda: HostileBytes(b"x"),
    lambda: OfHostileClass(),
    lambda: LongName(),
    _recursive,
    _released,
    _endless,
    lambda: 10**5000,
    lambda: -(10**5000),
    lambda: "x" * 1_000_000,
    lambda: b"x" * 100_000,
    lambda: memoryview(bytearray(100))[::3],
    lambda: (ctypes.c_char)(b"x"),
    lambda: (ctypes.c_double * 4)(),
    lambda: {"properties": Hostile()},
    lambda: Decimal(int(HuksTag.HUKS_TAG_PURPOSE)),
    lambda: float("nan"),
    lambda: float(HuksTag.HUKS_TAG_PURPOSE),
    lambda: object,
    lambda: [Hostile()] * 5,
    lambda: "\ud800",
    lambda: None,
    lambda: True,
    lambda: HuksTag.HUKS_TAG_KEY,
    lambda: HuksTag.HUKS_TAG_IV,
    lambda: HuksTag.HUKS_TAG_PURPOSE,
]


Maker: TypeAlias = Callable[[], Any]
"""Makes the object in the test: strategies look at what they draw, and these objects do not like that."""


def foreign_values() -> st.SearchStrategy[Maker]:
    """One of them."""
    return st.sampled_from(MAKERS)


def nested() -> st.SearchStrategy[Maker]:
    """Options with such an object in any place."""
    value = foreign_values()
    param = st.one_of(
        value,
        st.tuples(value, value).map(lambda two: lambda: HuksParam(two[0](), two[1]())),
        st.tuples(value, value).map(lambda two: lambda: {"tag": two[0](), "value": two[1]()}),
        value.map(lambda make: lambda: {"tag": make()}),
    )
    listed = st.lists(param, max_size=4)
    properties = st.one_of(
        value,
        listed.map(lambda makers: lambda: [make() for make in makers]),
        listed.map(lambda makers: lambda: (make() for make in makers)),
    )
    data = st.one_of(st.just(lambda: b""), value)
    return st.one_of(
        value,
        st.tuples(properties, data).map(lambda two: lambda: {"properties": two[0](), "inData": two[1]()}),
        st.tuples(properties, data).map(lambda two: lambda: HuksOptions(two[0](), two[1]())),
    )
