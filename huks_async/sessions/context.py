"""The session as an `async with` block: it ends on every way out, cancellation included."""

import contextlib
import warnings
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import anyio
import anyio.lowlevel

from huks_async.model.enums import AUTHENTICATED_MODES, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.limits import MIB, Limits
from huks_async.model.params import (
    BytesLike,
    HuksOptions,
    HuksParam,
    Options,
    as_buffer,
    as_list,
    parse_parameters,
    parse_properties,
    split_options,
)
from huks_async.model.results import HuksReturnResult, HuksSessionHandle
from huks_async.model.showing import type_name
from huks_async.model.tags import HuksTag
from huks_async.model.uncopied import Uncopied
from huks_async.runtime.streams import Stream
from huks_async.runtime.workers import WorkerPool
from huks_async.sessions.spool import Spool

T = TypeVar("T")

Source: TypeAlias = AsyncIterable[BytesLike] | Iterable[BytesLike]
"""Chunks to stream: an asynchronous or plain iterable of bytes-like objects."""

_MAX_SEGMENT = 4 * MIB
"""`stream` cuts larger chunks, so that output comes in parts that are pleasant to handle."""


class SessionApi(Protocol):
    """The documented functions that a session block calls."""

    async def initSession(self, keyAlias: str, options: Options) -> HuksSessionHandle:
        """Open a session."""

    async def updateSession(
        self, handle: int, options: Options, token: BytesLike | None = None
    ) -> HuksReturnResult:
        """Feed a segment."""

    async def finishSession(
        self, handle: int, options: Options, token: BytesLike | None = None
    ) -> HuksReturnResult:
        """Finish."""


class ReadOptions(Protocol):
    """Reads options by a function, and has a refusal count as one of a call that may be about a key of a provider."""

    def __call__(self, read: Callable[[Options], T], options: Options, /) -> T:
        """Give what the function gives, or raise what it raises."""


class SessionParts(NamedTuple):
    """What a session block uses of the open keystore that its session is in."""

    pool: WorkerPool
    limits: Limits
    read: ReadOptions
    abandon: Callable[[int], None]
    # the same for a key in an external provider, with what the block raises; and where nothing may be awaited
    leave: Callable[[int, BaseException | None], Awaitable[None]]
    leave_later: Callable[[int], None]


class KeySession(Uncopied):
    """A key session for one `async with` block; made by `Keystore.session`.

    Attributes:
        handle: of the open session.
        challenge: as `initSession` gave it.
    """

    _parts: SessionParts

    def __init__(
        self,
        api: SessionApi,
        alias: str,
        options: Options,
        find_parts: Callable[[], SessionParts],
        place: str | None = None,
    ) -> None:
        self._api = api
        self._alias = alias
        self._options = options
        self._find_parts = find_parts
        self._entered = False
        self._open: HuksSessionHandle | None = None
        # for a key in an external provider, every call must carry the key class
        self._key_class: list[HuksParam] | None = None
        self._ended = False
        self._place = place
        # with the spool of each, once it has begun and holds its output back
        self._streams: list[tuple[Stream, list[Spool]]] = []

    def __del__(self) -> None:
        if not getattr(self, "_ended", True) and self._place is not None:
            what = "entered: use it with `async with`" if self._open is None else "left"
            warnings.warn(
                f"a session block was never {what}; it was made at\n{self._place}",
                ResourceWarning,
                stacklevel=1,
            )

    @property
    def handle(self) -> int:
        """The session's handle."""
        return self._session().handle

    @property
    def challenge(self) -> bytes:
        """The session's challenge, empty for keys without user authentication."""
        return self._session().challenge

    async def __aenter__(self) -> "KeySession":
        if self._entered:
            raise BusinessError(12000012, "this session block was entered already; make a new one")
        self._entered = True
        try:
            # found now, because the keystore may have been closed and opened since the block was made
            self._parts = self._find_parts()
            # Parsed once and kept: an iterator yields its parameters only once, and the caller may change a list.
            params = self._parts.read(parse_parameters, self._options)
            self._options = HuksOptions(params.to_params())
            key_class = params.numbers.get(HuksTag.HUKS_TAG_KEY_CLASS)
            if key_class:
                self._key_class = [HuksParam(HuksTag.HUKS_TAG_KEY_CLASS, key_class)]
            self._open = await self._api.initSession(self._alias, self._options)
        except BaseException:
            self._entered = False
            self._place = None  # there is no session to report
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and issubclass(kind, GeneratorExit):
            # first, because the coroutine is being closed, and goes no further than the first wait of a source
            for stream, spools in self._streams:
                if (
                    not stream.ag_running
                ):  # one that another task is running is that task's, as for `Stream.leave`
                    for spool in spools:
                        spool.leave()
            if self._key_class is None:
                self._end()
            elif not self._ended and self._open is not None:
                self._ended = True
                self._parts.leave_later(self._open.handle)
        try:
            async with AsyncExitStack() as steps:
                for stream, _ in self._streams:
                    steps.push_async_callback(stream.leave)
        except BaseException as of_stream:
            error = of_stream
            raise
        finally:
            if self._key_class is None:
                self._end()
            elif not self._ended and self._open is not None:
                self._ended = True
                await self._parts.leave(self._open.handle, error)

    def _end(self) -> None:
        if not self._ended and self._open is not None:
            self._ended = True
            # Unlike abortSession, this also ends a session that another task is still calling.
            self._parts.abandon(self._open.handle)

    async def update(self, data: BytesLike, *, token: BytesLike | None = None) -> bytes:
        """Feed a segment; return the output that is ready. Errors as `updateSession`."""
        options = HuksOptions(self._key_class, data)
        return (await self._api.updateSession(self._session().handle, options, token)).outData

    async def finish(
        self, data: BytesLike = b"", options: Options | None = None, *, token: BytesLike | None = None
    ) -> bytes:
        """Feed the last segment, or the signature to verify, and end the session.

        Args:
            data: the last segment.
            options: parameters of finish, for a result that is kept as a key. Their `inData` is ignored.
            token: an auth token.
        """
        handle = self._session().handle
        properties = None if options is None else self._parts.read(split_options, options)[0]
        if self._key_class is not None:
            properties = self._with_key_class(properties)
        result = await self._api.finishSession(handle, HuksOptions(properties, data), token)
        # Not reached after an error: a refused argument may leave the session open, and leaving the block aborts it.
        self._ended = True
        return result.outData

    def _with_key_class(self, properties: object) -> list[HuksParam]:
        given = [] if properties is None else as_list(properties)
        with contextlib.suppress(BusinessError):  # finishSession refuses what is wrong
            if HuksTag.HUKS_TAG_KEY_CLASS not in parse_properties(given).numbers:
                return [*(self._key_class or ()), *given]
        return given

    def stream(self, source: Source, *, token: BytesLike | None = None) -> AsyncGenerator[bytes, None]:
        """Feed all chunks of `source`, finish, and yield the output in parts as it comes.

        Args:
            source: chunks of any size; those larger than one call accepts are cut, and empty ones are left out, but
                for a derivation. An asynchronous generator is closed when the stream ends.
            token: an auth token, for keys bound to user authentication; shown with the first segment.

        Decryption with GCM or CCM yields nothing until the tag has been verified: the plaintext waits in a
        spool of bounded memory, on disk only in encrypted form. An iteration that is left early ends with
        the session block at the latest.

        Raises:
            BusinessError: as `update` and `finish`; 12000011 when it is asked for more after it was cancelled or has
                failed, or its block was left, before all was given. What the source raises is passed on.
        """
        spools: list[Spool] = []
        parts = self._held_back(source, token, spools) if self._holds_back() else self._feed(source, token)
        stream = Stream(parts)
        self._streams.append((stream, spools))
        return stream

    async def _held_back(
        self, source: Source, token: BytesLike | None, spools: list[Spool]
    ) -> AsyncGenerator[bytes, None]:
        spool = Spool(self._found().pool)
        spools.append(spool)
        try:
            async with aclosing(self._feed(source, token)) as parts:
                async for part in parts:
                    await spool.add(part)
            async with aclosing(spool.release()) as parts:
                async for part in parts:
                    yield part
        finally:
            await spool.aclose()

    async def _feed(self, source: Source, token: BytesLike | None) -> AsyncGenerator[bytes, None]:
        most = min(self._found().limits.max_call_bytes, _MAX_SEGMENT)
        derives = self._numbers().get(HuksTag.HUKS_TAG_PURPOSE) == HuksKeyPurpose.HUKS_KEY_PURPOSE_DERIVE
        async with aclosing(_chunks(source)) as chunks:
            async for chunk in chunks:
                # No data is refused by SM2 as a segment, and is a segment to a derivation alone, which begins with it.
                if not len(chunk) and not derives:
                    await anyio.lowlevel.checkpoint()  # a source of many empty chunks gives others turns
                    continue
                if len(chunk) <= most:
                    part = await self.update(chunk, token=token)
                    token = None  # the session remembers
                    if part:
                        yield part
                    continue
                view = memoryview(chunk)
                for start in range(0, len(view), most):
                    part = await self.update(view[start : start + most], token=token)
                    token = None
                    if part:
                        yield part
        last = await self.finish(token=token)
        if last:
            yield last

    def _holds_back(self) -> bool:
        numbers = self._numbers()
        return (
            numbers.get(HuksTag.HUKS_TAG_PURPOSE) == HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT
            and numbers.get(HuksTag.HUKS_TAG_BLOCK_MODE) in AUTHENTICATED_MODES
        )

    def _numbers(self) -> dict[int, int]:
        return parse_parameters(self._options).numbers

    def _found(self) -> SessionParts:
        self._session()
        return self._parts

    def _session(self) -> HuksSessionHandle:
        if self._open is None:
            raise BusinessError(12000012, "the session is not open: use `async with keystore.session(…)`")
        return self._open


async def _chunks(source: Source) -> AsyncGenerator[BytesLike, None]:
    if isinstance(source, (bytes, bytearray, memoryview, str)):
        raise BusinessError(
            401, "stream takes an iterable of chunks, not one buffer: use stream([data]) or finish(data)"
        )
    if isinstance(source, AsyncGenerator):
        # A generator created in the call itself has no other reference, so only this function can close it.
        async with aclosing(source):
            async for chunk in source:
                yield as_buffer(chunk, "a chunk")
    elif isinstance(source, AsyncIterable):
        async for chunk in source:
            yield as_buffer(chunk, "a chunk")
    elif isinstance(source, Iterable):
        for chunk in source:
            yield as_buffer(chunk, "a chunk")
    else:
        raise BusinessError(401, f"stream takes an iterable of chunks, got {type_name(source)}")
