"""A WSGI application whose keystore is described at module level, as an application has it that is imported before a fork.

Each worker enters it at its first request, on an event loop in a thread that ends with the process. A request makes
the key that its path names.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

import huks_async as huks
from tests.adversity import acknowledged

keystore = huks.Keystore.open(os.environ["ADVERSITY_STORE"], monitor=False)
_loops: list[asyncio.AbstractEventLoop] = []


def _run(coroutine: Any) -> None:
    asyncio.run_coroutine_threadsafe(coroutine, _loops[0]).result(acknowledged.PATIENCE)


def _open() -> None:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    _loops.append(loop)
    _run(keystore.aopen())


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    alias = environ["PATH_INFO"].lstrip("/")
    try:
        if not _loops:
            _open()
        _run(acknowledged.make(keystore, alias))
    except Exception as error:
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [f"{type(error).__name__}: {error}".encode()]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [alias.encode()]
