"""A WSGI application whose keystore is described at module level, as an application has it that is imported before a fork.

Each worker enters it at its first request. A request makes the key that its path names.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

import huks_async as huks
from tests.adversity import acknowledged

keystore = huks.Keystore.open(os.environ["ADVERSITY_STORE"], monitor=False)
_opened: list[BlockingPortal] = []
_open_until_exit = ExitStack()


def _portal() -> BlockingPortal:
    if not _opened:
        portal = _open_until_exit.enter_context(start_blocking_portal())
        portal.call(keystore.aopen)
        _opened.append(portal)
    return _opened[0]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    alias = environ["PATH_INFO"].lstrip("/")
    try:
        _portal().call(acknowledged.make, keystore, alias)
    except Exception as error:
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [f"{type(error).__name__}: {error}".encode()]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [alias.encode()]
