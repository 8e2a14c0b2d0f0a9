"""SM2 ciphertexts without DER: the point C1, the hash C3 and the encrypted text C2, one after another.

GB/T 32918.4 puts C3 before C2; its forerunner of 2010, and software that began then, put C2 first. The bytes do
not tell which: both sides must agree. C1 is mostly written as in SEC 1 (04, x, y), often without the 04,
and rarely as a compressed point.
"""

from contextlib import suppress
from typing import Literal, TypeAlias

from huks_async.crypto.sm2.encoding import FIELD, decompress, is_on_curve, parse_ciphertext

Sm2Order: TypeAlias = Literal["C1C3C2", "C1C2C3"]
"""The order of the parts of a raw SM2 ciphertext."""
ORDERS: tuple[Sm2Order, ...] = ("C1C3C2", "C1C2C3")

_UNCOMPRESSED, _HYBRID, _COMPRESSED = b"\x04", (b"\x06", b"\x07"), (b"\x02", b"\x03")


def take_point(raw: bytes) -> tuple[bytes, bytes]:
    """C1 as x ‖ y (64 bytes), and what follows it.

    Whether a first byte that tells the form is there is told by the curve: 64 bytes that were not made as one
    of its points are none, but for a chance of 2^-256.

    Raises:
        ValueError: neither way the bytes begin with a point of the curve.

    """
    point, rest = raw[: 2 * FIELD], raw[2 * FIELD :]
    if is_on_curve(point):
        return point, rest
    first, point, rest = raw[:1], raw[1 : 1 + 2 * FIELD], raw[1 + 2 * FIELD :]
    if first == _UNCOMPRESSED or (first in _HYBRID and point[-1:] and point[-1] & 1 == first[0] & 1):
        if is_on_curve(point):
            return point, rest
    elif first in _COMPRESSED and len(raw) > FIELD:
        return decompress(raw[1 : 1 + FIELD], odd=first == b"\x03"), raw[1 + FIELD :]
    raise ValueError("C1 is not a point of the SM2 curve")


def split(raw: bytes, order: Sm2Order) -> tuple[bytes, bytes, bytes]:
    """C1 as x ‖ y (64 bytes), C3 (32 bytes) and C2 (1 byte or more).

    Raises:
        ValueError: too few bytes, or no point of the curve in front.

    """
    point, rest = take_point(raw)
    if len(rest) <= FIELD:
        raise ValueError(f"after C1 there are {len(rest)} bytes; C3 has {FIELD} and C2 at least one")
    if order == "C1C3C2":
        return point, rest[:FIELD], rest[FIELD:]
    return point, rest[-FIELD:], rest[:-FIELD]


def join(point: bytes, c3: bytes, c2: bytes, order: Sm2Order, *, prefix: bool) -> bytes:
    """The parts one after another; with `prefix`, 04 before them."""
    head = _UNCOMPRESSED + point if prefix else point
    return head + c3 + c2 if order == "C1C3C2" else head + c2 + c3


def looks_raw(data: bytes) -> bool:
    """Whether these bytes are no DER, but begin as a raw ciphertext does."""
    with suppress(ValueError):
        parse_ciphertext(data)
        return False
    with suppress(ValueError):
        split(data, "C1C3C2")
        return True
    return False
