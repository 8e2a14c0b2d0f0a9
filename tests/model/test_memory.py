"""Exceptions that mean that memory ran out, among those of anybody."""

from huks_async.model.memory import is_out_of_memory


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
