"""Which kind of event loop runs."""

import sys
from collections.abc import Callable
from typing import Any

_running_loop: Callable[[], Any] | None = None
"""`asyncio._get_running_loop`, once asyncio is loaded."""


def asyncio_loop() -> Any:
    """The loop of asyncio, or one with its interface, that the running code belongs to; None in trio or without one.

    Trio may be a guest of asyncio's loop; then asyncio sees its own loop running, also in trio's tasks.
    """
    global _running_loop
    if _running_loop is None:
        # Importing asyncio takes longer than importing this package. If it is not loaded, none of its loops can run.
        if "asyncio" not in sys.modules:
            return None
        import asyncio

        _running_loop = asyncio._get_running_loop
    loop = _running_loop()
    if loop is None:
        return None
    # Trio loads sniffio, and writes its own name there while its tasks run.
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None and getattr(getattr(sniffio, "thread_local", None), "name", None) == "trio":
        return None
    return loop
