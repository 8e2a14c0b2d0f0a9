"""Where a signal comes between the steps with which a wait begins."""

import os
import signal
from collections.abc import Iterator

import pytest

from huks_async.cli.shell import interrupts


@pytest.fixture(autouse=True)
def nothing_received() -> Iterator[None]:
    """A command that a signal ended remembers that until the next one begins, and tests of its parts begin none."""
    yield
    with interrupts.watching():
        pass


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


def test_a_wait_inside_another_leaves_it_one() -> None:
    """What follows the inner one can wait as well."""
    with pytest.raises(interrupts.Interrupted), interrupts.watching(), interrupts.interruptible():
        with interrupts.interruptible():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the signal did not end it")


def test_a_second_signal_breaks_no_clean_up() -> None:
    """It comes between the ends of two waits of which the first signal broke the inner one."""
    cleaned = False
    with pytest.raises(interrupts.Interrupted) as caught, interrupts.watching(), interrupts.interruptible():
        try:
            with interrupts.interruptible():
                os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            cleaned = True
    assert cleaned
    assert caught.value.status == 128 + signal.SIGTERM
