"""Threads that void tokens at once."""

import sys
import threading
from types import FrameType
from typing import Any
from weakref import WeakValueDictionary

import pytest

from huks_async.access import voidings


def test_two_voidings_never_give_one_moment() -> None:
    """Also within one millisecond."""
    made = voidings.Voidings()
    moments = []
    for _ in range(3):
        made.void(100, lambda: 50)
        moments.append(made.latest(100))
    assert moments == [51, 52, 53]
    assert made.latest(101) == 0


def interrupted(made: voidings.Voidings, user_id: int, clock: int, step: int) -> tuple[int, int] | None:
    """Void while a signal handler does so at one step of it; the moments before and after the handler ran."""
    seen: list[tuple[int, int]] = []
    steps = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal steps
        if frame.f_code.co_filename != voidings.__file__:
            return None
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        if steps == step and not seen:
            before = made.latest(user_id)
            seen.append((before, before))
            made.void(user_id, lambda: clock)
            seen[0] = (before, made.latest(user_id))
        return trace

    def work() -> None:
        sys.settrace(trace)
        try:
            made.void(100, lambda: 50)
        finally:
            sys.settrace(None)

    # in a thread, so that one that waits for itself ends with the test run
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(120)
    assert not thread.is_alive()
    return seen[0] if seen else None


@pytest.mark.parametrize("clock", [40, 50, 90])
@pytest.mark.parametrize("user_id", [100, 101], ids=["same user", "other user"])
def test_a_signal_handler_voids_tokens_within_a_voiding(user_id: int, clock: int) -> None:
    """Wherever it interrupts, nothing waits, and neither of the two is lost."""
    # Python 3.12 tells of steps only in functions that were called while somebody had asked for steps before.
    interrupted(voidings.Voidings(), user_id, clock, 0)
    for step in range(1, 2000):
        made = voidings.Voidings()
        moments = interrupted(made, user_id, clock, step)
        latest = made.latest(user_id)
        if moments is None:
            break
        before, after = moments
        assert before < after <= latest
        assert after > clock
        assert made.latest(100) > 50
        made.void(user_id, lambda: 0)
        assert made.latest(user_id) == latest + 1
    assert step > 50


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
