"""Which kind of event loop runs."""

import sys
from typing import Any


def asyncio_loop() -> Any:
    """The loop of asyncio, or one with its interface, that the running code belongs to; None in trio or without one.

    Trio may be a guest of asyncio's loop; then asyncio sees its own loop running, also in trio's tasks.
    """
    # Importing asyncio takes longer than importing this package. If it is not loaded, none of its loops can run.
    if "asyncio" not in sys.modules:
        return None
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    # Trio loads sniffio, and writes its own name there while its tasks run.
    running = getattr(sys.modules.get("sniffio"), "thread_local", None)
    return None if getattr(running, "name", None) == "trio" else loop
