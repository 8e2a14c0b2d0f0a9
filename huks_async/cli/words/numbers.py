"""Whole numbers in the words of a command."""

from collections.abc import Sequence
from typing import Annotated, TypeAlias

from cyclopts import Parameter, Token

_DIGITS = 18
"""A number of more digits counts nothing that exists, and Python refuses to read one of some thousand digits."""


def whole_number(text: str) -> int | None:
    """The number that these decimal digits are; None where they are no number, or one of more than 18 digits."""
    digits = text.lstrip("0") or text[-1:]
    if not digits.isascii() or not digits.isdecimal() or len(digits) > _DIGITS:
        return None
    return int(digits)


def cut(text: str) -> str:
    """A word in a message: a long one up to where it is recognised."""
    return text if len(text) <= 40 else f"{text[:40]}…"


def _read(type_: object, tokens: Sequence[Token]) -> int:
    number = whole_number(tokens[0].value)
    if number is None:
        raise ValueError(f"{cut(tokens[0].value)} is no whole number from 0 of at most {_DIGITS} digits")
    return number


Number: TypeAlias = Annotated[int, Parameter(converter=_read)]
"""An option that counts something."""
