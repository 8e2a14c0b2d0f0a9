"""Where a signal comes between the steps with which a wait begins."""

import os
import signal

import pytest

from huks_async.cli.shell import interrupts


def test_a_signal_right_after_the_look_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the look for earlier signals and before the system call: a wait that it did not end would last."""
    look = interrupts.check_interrupted

    def and_then_a_signal() -> None:
        look()
        monkeypatch.setattr(interrupts, "check_interrupted", look)
        os.kill(os.getpid(), signal.SIGTERM)

    begun = False
    with pytest.raises(interrupts.Interrupted), interrupts.watching():
        monkeypatch.setattr(interrupts, "check_interrupted", and_then_a_signal)
        with interrupts.interruptible():
            begun = True
    assert not begun
