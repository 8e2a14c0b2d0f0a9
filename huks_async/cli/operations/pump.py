"""A whole operation as one session: every piece in, every output out."""

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import huks_async
from huks_async.model.params import HuksOptions

if TYPE_CHECKING:  # most commands ask no user
    from huks_async.cli.words.authentication import UsePlace


async def pump(
    keystore: "huks_async.Keystore",
    alias: str,
    session_options: HuksOptions,
    pieces: Iterable[bytes],
    write: Callable[[bytes], object],
    last: bytes = b"",
    *,
    place: "UsePlace | None" = None,
) -> None:
    """Feed all pieces to a session, then finish it with `last`; outputs are written as they come.

    With a place, the user is asked where the key wants that.
    """
    async with keystore.session(alias, session_options) as session:
        token = None if place is None else await place.token(keystore, alias, session, session_options)
        for piece in pieces:
            write(await session.update(piece, token=token))
            token = None  # the session remembers
        write(await session.finish(last, token=token))


async def pump_verified(
    keystore: "huks_async.Keystore",
    alias: str,
    session_options: HuksOptions,
    pieces: Iterable[bytes],
    write: Callable[[bytes], object],
    *,
    place: "UsePlace | None" = None,
) -> None:
    """The same for decryption to where every byte is seen at once: none is written before all are verified."""
    async with keystore.session(alias, session_options) as session:
        token = None if place is None else await place.token(keystore, alias, session, session_options)
        async with contextlib.aclosing(session.stream(pieces, token=token)) as outputs:
            async for output in outputs:
                write(output)
