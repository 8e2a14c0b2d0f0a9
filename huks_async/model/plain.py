"""A caller's text or number as one of Python's own, taken without running the caller's code.

`isinstance` asks a value for its class, which may raise, as proxies do outside of a request; so may every method of a
subclass. The true class decides, and the method of Python's own class makes the value.
"""


def plain_text(value: object) -> str | None:
    """The text of a str; None for anything else."""
    return str.__str__(value) if issubclass(type(value), str) else None


def plain_int(value: object) -> int | None:
    """The number of an int; None for anything else, and for a bool."""
    if type(value) is bool or not issubclass(type(value), int):
        return None
    return int.__int__(value)  # type: ignore[arg-type]


def plain_float(value: object) -> float | None:
    """The number of a float or an int; None for anything else, for a bool, and for an int that no float holds."""
    if issubclass(type(value), float):
        return float.__float__(value)  # type: ignore[arg-type]
    number = plain_int(value)
    try:
        return None if number is None else float(number)
    except OverflowError:
        return None
