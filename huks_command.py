"""Where a process of the command `huks` begins and ends.

Importing what the command needs takes longer than most of its work, and Ctrl-C must end it cleanly even then.
This module stands beside the package since a module inside comes after all that the package imports.
"""

import os
import select
import signal
import sys
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask the command to end; one that the process was started to ignore stays ignored."""

_SIGNALLED = 128
"""A status above it tells the signal that ended the process."""


def take_signals() -> None:
    """End the process at once when a signal asks for it, until a command takes the signals over."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end_at_once)


def main() -> NoReturn:
    """Run the command of this process, and end it with the command's status."""
    take_signals()
    from huks_async.cli import main as run
    from huks_async.cli.shell.console import wait_for_readers

    wait_for_readers()
    status = run()
    # after a signal nobody is waited for, also not a reader of what was not written before it
    for stream in () if status > _SIGNALLED else (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            # the command flushed before it gave its status; what is left belongs to a reader that has gone
            pass
    # The keystore is closed and every result is out. The interpreter's own end would take as long as a short
    # command does, and show a traceback if a signal came while it takes its modules down.
    os._exit(status)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    # nothing of the command has begun, or all of it has ended, so there is nothing to undo
    try:
        room = select.poll()
        room.register(2, select.POLLOUT)
        # a full pipe or a terminal that was stopped would be waited for, in spite of all further signals
        if room.poll(0):
            os.write(2, b"interrupted\n")
    finally:
        os._exit(_SIGNALLED + number)
