"""`sm2_ciphertext_from_raw` and `sm2_ciphertext_to_raw`: round trips, and what is refused."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huks_async import BusinessError, sm2_ciphertext_from_raw, sm2_ciphertext_to_raw
from huks_async.crypto.sm2.encoding import FIELD, decompress, is_on_curve
from tests.interchange.support import refused

ORDERS = ("C1C3C2", "C1C2C3")
# GB/T 32918.5 annex C: the ciphertext of "encryption standard" on the recommended curve
PUBLISHED = {
    "C1": "04ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73e858f9d81e5430a57b36daab8f950a3c64e6ee6a6309"
    "4d99283aff767e124df0",
    "C3": "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766",
    "C2": "21886ca989ca9c7d58087307ca93092d651efa",
}


def points(zeros: int, parity: bool, seed: int) -> bytes:
    """A point x ‖ y whose x begins with so many bytes of zeros."""
    draw = random.Random(seed)
    while True:
        x = bytes(zeros) + draw.randbytes(FIELD - zeros)
        try:
            return decompress(x, odd=parity)
        except ValueError:
            continue


def y_with_a_leading_zero() -> bytes:
    """A point whose y, not x, begins with a zero."""
    return next(point for seed in range(5000) if (point := points(0, bool(seed & 1), seed))[FIELD] == 0)


POINTS = st.builds(points, st.integers(0, 8), st.booleans(), st.integers(0, 1000)) | st.just(
    y_with_a_leading_zero()
)


@given(
    POINTS, st.binary(min_size=32, max_size=32), st.binary(min_size=1, max_size=300), st.sampled_from(ORDERS)
)
def test_there_and_back(point: bytes, c3: bytes, c2: bytes, order: Any) -> None:
    """Every raw form gives one DER, and it gives the raw forms back, to the byte."""
    tail = c3 + c2 if order == "C1C3C2" else c2 + c3
    der = sm2_ciphertext_from_raw(point + tail, order)
    compressed = bytes((2 + (point[-1] & 1),)) + point[:FIELD]
    hybrid = bytes((6 + (point[-1] & 1),)) + point
    for head in (b"\x04" + point, hybrid, compressed):
        assert sm2_ciphertext_from_raw(head + tail, order) == der
    assert sm2_ciphertext_to_raw(der, order, prefix=False) == point + tail
    assert sm2_ciphertext_to_raw(der, order) == b"\x04" + point + tail


def test_a_published_ciphertext_in_every_form() -> None:
    """The standard's own example, whose x begins with 04 by itself: the curve tells whether a prefix is there."""
    c1, c3, c2 = (bytes.fromhex(PUBLISHED[part]) for part in ("C1", "C3", "C2"))
    assert len(c1) == 64
    der = sm2_ciphertext_from_raw(c1 + c3 + c2)
    # y begins with a high bit, so its INTEGER has a zero in front
    assert der == bytes.fromhex("307c0220") + c1[:32] + bytes.fromhex("022100") + c1[
        32:
    ] + b"\x04\x20" + c3 + (b"\x04\x13" + c2)
    assert sm2_ciphertext_from_raw(b"\x04" + c1 + c3 + c2) == der
    assert sm2_ciphertext_to_raw(der, "C1C2C3") == b"\x04" + c1 + c2 + c3
    assert sm2_ciphertext_from_raw(memoryview(c1 + c2 + c3), "C1C2C3") == der
    assert is_on_curve(c1)


POINT = points(1, True, 7)
C3, C2 = bytes(range(32)), b"text"
DER = sm2_ciphertext_from_raw(POINT + C3 + C2)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not a point"),
        (b"\x04", "not a point"),
        (POINT[:-1], "not a point"),
        (POINT, "after C1 there are 0 bytes"),
        (b"\x04" + POINT + C3, "after C1 there are 32 bytes"),
        (b"\x05" + POINT + C3 + C2, "not a point"),
        (
            bytes((7 - (POINT[-1] & 1),)) + POINT + C3 + C2,
            "not a point",
        ),  # the hybrid form of the other parity
        (POINT[:-1] + bytes((POINT[-1] ^ 1,)) + C3 + C2, "not a point"),
        (bytes(64) + C3 + C2, "not a point"),
        (b"\x04" + b"\xff" * 64 + C3 + C2, "not a point"),
        (b"\x02" + b"\xff" * 32 + C3 + C2, "not a point"),
        (DER, "DER already"),
        ((POINT + C3 + C2).hex().encode(), "bytes.fromhex"),
    ],
)
def test_what_is_no_raw_ciphertext(raw: bytes, said: str) -> None:
    """401, with what was got, what is accepted, and the way out where one is known."""
    message = refused(401, lambda: sm2_ciphertext_from_raw(raw))
    assert said in message
    assert f"{len(raw)} bytes" in message
    assert "C3 (32 bytes)" in message


@pytest.mark.parametrize(
    ("der", "said"),
    [
        (b"", "not the expected element"),
        (DER[:-1], "cut off"),
        (DER + b"\0", "after the end"),
        (b"\x30\x81" + DER[1:], "shortest form"),
        (b"\x04" + POINT + C3 + C2, "raw already"),
        (POINT + C2 + C3, "raw already"),
        (DER.hex().encode(), "bytes.fromhex"),
        (DER.replace(POINT[33:63], bytes(30)), "not an SM2 ciphertext"),
    ],
)
def test_what_is_no_der_ciphertext(der: bytes, said: str) -> None:
    """401 for everything but the one strict form."""
    message = refused(401, lambda: sm2_ciphertext_to_raw(der))
    assert said in message
    assert f"{len(der)} bytes" in message


@pytest.mark.parametrize("order", ["c1c3c2", "C3C2C1", "", None, 1, ["C1C3C2"]])
def test_other_orders(order: Any) -> None:
    """12000003, and the accepted orders."""
    for call in (lambda: sm2_ciphertext_from_raw(DER, order), lambda: sm2_ciphertext_to_raw(DER, order)):
        assert "C1C3C2 and C1C2C3" in refused(12000003, call)


@pytest.mark.parametrize("value", ["text", None, 5, [1, 2]])
def test_what_is_no_bytes(value: Any) -> None:
    """401, as everywhere."""
    for convert in (sm2_ciphertext_from_raw, sm2_ciphertext_to_raw):
        refused(401, lambda convert=convert: convert(value))


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Whatever comes is converted or refused with 401."""
    for convert in (sm2_ciphertext_from_raw, sm2_ciphertext_to_raw):
        try:
            convert(data)
        except BusinessError as error:
            assert error.code == 401
