"""Threads that void tokens at once."""

from typing import Any
from weakref import WeakValueDictionary

import pytest

from huks_async.access import voidings


class Watched(dict[int, int]):
    """Moments that may be changed under the lock alone, because a new one is computed from the last one."""

    def __setitem__(self, user_id: int, moment: int) -> None:
        assert voidings._changing.locked()
        super().__setitem__(user_id, moment)


def test_two_voidings_never_give_one_moment() -> None:
    """The lock is held while a moment is raised, and not while a clock is read, which may be anybody's function."""
    made = voidings.Voidings()
    made._moments = Watched()

    def clock() -> int:
        assert not voidings._changing.locked()
        return 50

    moments = []
    for _ in range(3):
        made.void(100, clock)
        moments.append(made.latest(100))
    assert moments == [51, 52, 53]
    assert made.latest(101) == 0


def test_threads_that_open_keystores_at_once_share_the_voidings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dictionary of weak values looks and enters in two steps, so the lock is held for both."""

    class Entries(WeakValueDictionary[bytes, Any]):
        def setdefault(self, key: bytes, default: Any = None) -> Any:
            assert voidings._changing.locked()
            return super().setdefault(key, default)

    monkeypatch.setattr(voidings, "_of_stores", Entries())
    one = voidings.voidings_of(bytes(32))
    assert voidings.voidings_of(bytes(32)) is one
    assert voidings.voidings_of(bytes(31) + b"1") is not one
