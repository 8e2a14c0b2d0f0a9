"""A whole operation as one session: every piece in, every output out."""

import contextlib
from collections.abc import Callable, Iterable

import huks_async
from huks_async.model.params import HuksOptions


async def pump(
    keystore: "huks_async.Keystore",
    alias: str,
    session_options: HuksOptions,
    pieces: Iterable[bytes],
    write: Callable[[bytes], object],
    last: bytes = b"",
) -> None:
    """Feed all pieces to a session, then finish it with `last`; outputs are written as they come."""
    async with keystore.session(alias, session_options) as session:
        for piece in pieces:
            write(await session.update(piece))
        write(await session.finish(last))


async def pump_verified(
    keystore: "huks_async.Keystore",
    alias: str,
    session_options: HuksOptions,
    pieces: Iterable[bytes],
    write: Callable[[bytes], object],
) -> None:
    """The same for decryption to where every byte is seen at once: none is written before all are verified."""
    async with (
        keystore.session(alias, session_options) as session,
        contextlib.aclosing(session.stream(pieces)) as outputs,
    ):
        async for output in outputs:
            write(output)
