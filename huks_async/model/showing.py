"""Showing what a caller gave: bounded in length, without secrets, and without running the caller's code.

A message that repeats a value, and the `repr` of options and results, go to logs and tracebacks. So bytes
show as their length, long things are cut, and an object of an unknown class shows as its class alone: its
own `repr` may raise, wait, or print a key.
"""

from collections.abc import Callable
from typing import Any

SHOWN_CHARACTERS = 80
"""So many characters of a text are shown: an alias fits, and a message with three of them stays readable."""

_SHOWN_BITS = 256
_SHOWN_ITEMS = 42

# read through `type` itself, since a metaclass may have a `__name__` of its own
_name_of_class: Callable[[type], str] = type.__dict__["__name__"].__get__


def type_name(value: object) -> str:
    """The name of a value's class, cut where it is long."""
    name = _name_of_class(type(value))
    return name if len(name) <= SHOWN_CHARACTERS else name[:SHOWN_CHARACTERS] + "…"


def shown(value: Any) -> str:
    """A value for a message: some hundred characters at most. Never raises."""
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return repr(value)
    # the true class decides: `isinstance` asks the value for one, which may raise
    if issubclass(kind, int):
        bits = int.bit_length(value)
        # the interpreter refuses to print numbers of thousands of digits (sys.set_int_max_str_digits)
        return int.__repr__(value) if bits <= _SHOWN_BITS else f"<an int of {bits} bits>"
    if issubclass(kind, str):
        size = str.__len__(value)
        text = repr(str.__getitem__(value, slice(SHOWN_CHARACTERS)))
        return text if size <= SHOWN_CHARACTERS else f"{text}… ({size} characters)"
    if kind is bytes or kind is bytearray:
        return f"<{len(value)} bytes>"
    if kind is memoryview:
        return shown_view(value)
    return f"<{type_name(value)}>"


def shown_value(value: Any) -> str:
    """The value of a parameter, or data, for the `repr` of what holds it: also of a text, its length alone.

    A text in place of bytes is a mistake, but may be a password all the same.
    """
    return f"<{str.__len__(value)} characters>" if issubclass(type(value), str) else shown(value)


def shown_view(view: memoryview) -> str:
    """A view as its length, as bytes are shown."""
    try:
        return f"<{view.nbytes} bytes>"
    except ValueError:
        return "<a memoryview that was released>"


def shown_list(values: object, show: Callable[[Any], str] = shown) -> str:
    """A list with each value shown; of a long one, the beginning. What is no list shows as its class."""
    if type(values) is not list and type(values) is not tuple:
        return shown(values)
    parts = [show(value) for value in values[:_SHOWN_ITEMS]]
    if len(values) > _SHOWN_ITEMS:
        parts.append(f"… ({len(values)} in all)")
    return f"[{', '.join(parts)}]"
