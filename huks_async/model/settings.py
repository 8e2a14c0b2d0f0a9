"""Checks of numbers that a program sets once: sizes, counts and times, each refused where it is written."""

import math
from typing import Any

from huks_async.model.errors import BusinessError
from huks_async.model.plain import plain_float, plain_int
from huks_async.model.showing import shown


def check_whole(value: Any, what: str, least: int = 1, most: int | None = None) -> int:
    """Check a whole number; 401 for anything else, also for one that is written as a float, and for bool."""
    number = plain_int(value)
    if number is None or number < least or (most is not None and number > most):
        raise _wrong(value, what, _range_of("a whole number", least, most))
    return number


def check_seconds(
    value: Any, what: str, *, zero: bool = False, endless: bool = False, most: float = math.inf
) -> float:
    """Check a time in seconds.

    Args:
        value: what was given.
        what: names the setting.
        zero: whether it may be 0.
        endless: whether it may be infinite.
        most: the longest.

    Raises:
        BusinessError: 401 for anything but an int or float in this range.
    """
    seconds = plain_float(value)
    if (
        seconds is None
        or not (seconds > 0 or (zero and seconds == 0))
        or seconds > most
        or (math.isinf(seconds) and not endless)
    ):
        words = "0 or more" if zero else "more than 0"
        raise _wrong(value, what, f"seconds, {words}" + (f", at most {most:.15g}" if most < math.inf else ""))
    return seconds


def check_flag(value: Any, what: str) -> bool:
    """Check a choice; 401 for anything but True and False, such as a text, which would always be true."""
    if value is not True and value is not False:
        raise _wrong(value, what, "True and False")
    return bool(value)


def check_function(value: Any, what: str) -> None:
    """Check something that is to be called; 401 for what cannot be."""
    if not callable(value):
        raise _wrong(value, what, "a function")


def check_share(value: Any, what: str) -> float:
    """Check a share, 0 to 1; 401 for anything but an int or float in this range."""
    share = plain_float(value)
    if share is None or not 0 <= share <= 1:
        raise _wrong(value, what, "0 … 1")
    return share


def _range_of(kind: str, least: int, most: int | None) -> str:
    return f"{kind} from {least}" if most is None else f"{kind} of {least} … {most}"


def _wrong(value: object, what: str, accepted: str) -> BusinessError:
    return BusinessError(401, f"{what}: got {shown(value)}, accepted {accepted}")
