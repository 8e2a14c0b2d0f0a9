"""Exceptions that mean that memory ran out, among those of anybody."""

import pytest

from huks_async.model.errors import BusinessError
from huks_async.model.memory import is_out_of_memory, memory_for


def test_foreign_exceptions() -> None:
    """An attribute of the library's name may hold anything, and causes may go round in a circle."""
    odd = ValueError("odd")
    odd.err_code = 5  # type: ignore[attr-defined]
    assert not is_out_of_memory(odd)
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert not is_out_of_memory(one)
    one.__cause__ = MemoryError()
    assert is_out_of_memory(two)
    assert not is_out_of_memory(None)


def test_a_block_that_gets_no_memory_is_told_with_the_code() -> None:
    """Other exceptions of the block pass, also those that stand for one of memory."""
    with pytest.raises(BusinessError, match="no memory for a walk") as caught, memory_for("a walk"):
        raise MemoryError
    assert caught.value.code == 12000014
    with pytest.raises(ValueError, match="odd"), memory_for("a walk"):
        raise ValueError("odd") from MemoryError()
