"""Everything that a keystore knows about external providers, and the steps that several functions share."""

import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVarTuple

import anyio

from huks_async.model.errors import BusinessError
from huks_async.model.external_crypto import HuksExternalErrorInfo
from huks_async.model.params import HuksOptions, as_bytes
from huks_async.providers.calls import BUSY, FAILED, NO_MEMORY, Asker, ResultCodeError, told_of
from huks_async.providers.key_sessions import ProviderSession, ProviderSessions
from huks_async.providers.parameters import ExternalParams, with_uid
from huks_async.providers.protocol import HuksCryptoExtensionResult
from huks_async.providers.registry import Provider, Registry
from huks_async.providers.resource_ids import ResourceId
from huks_async.providers.resources import OpenResource, OpenResources
from huks_async.runtime.cancellation import is_cancelled_by

Args = TypeVarTuple("Args")

# Numbers of callers are used once in a process, because keystores may share a provider: what the provider keeps for
# a number, such as a PIN that was proved, must not count for another keystore's caller.
_new_uids = itertools.count(20_000_000)
# how many seconds a cancelled call may wait while it tells the provider that it ends
_LONGEST_FAREWELL = 1.0
# Of how many callers, the most recent ones, numbers and last errors are remembered: more than can have a resource open.
_MOST_CALLERS = 4096
_NO_MATTER_AT_ABORT = (12000011, 12000021, 12000023)
_ABSENT = 12000006
# codes after which a handle is no longer valid
_GONE = (_ABSENT, 12000011)
# codes that, without a result code, leave open whether the provider has taken the data
_LEAVE_IT_OPEN = (FAILED, NO_MEMORY)


class ExternalProviders:
    """The providers of one keystore, their open resources and sessions, and the numbers of their callers.

    Args:
        abilities: the objects that can be registered, by ability name.
        timeout: seconds that a call of a provider may take.
    """

    def __init__(self, abilities: Mapping[str, Any], timeout: float) -> None:
        self.registry: Registry = Registry(abilities)
        self.resources: OpenResources = OpenResources()
        self.sessions: ProviderSessions = ProviderSessions()
        self._asker = Asker(timeout)
        self._errors: dict[str, HuksExternalErrorInfo] = {}
        self._uids: dict[str, int] = {}
        self._closed = False
        # sessions whose end a task by itself is telling, with what says that it has
        self._leaving: dict[ProviderSession, anyio.Event] = {}

    def uid_of(self, caller: str) -> int:
        """The number by which providers know a caller; it stays the same while the caller has a resource open."""
        uid = self._uids.pop(caller, None) or next(_new_uids)
        self._uids[caller] = uid  # as the latest
        if len(self._uids) > _MOST_CALLERS:
            kept = {entry.caller for entry in self.resources}
            for oldest in list(itertools.islice(self._uids, _MOST_CALLERS // 4)):
                if oldest not in kept:
                    del self._uids[oldest]
        return uid

    def last_error(self, caller: str) -> HuksExternalErrorInfo:
        """What a provider said about this caller's last failed call."""
        info = self._errors.get(caller)
        return HuksExternalErrorInfo() if info is None else HuksExternalErrorInfo(info.errno, info.errorDesc)

    def note_failure(self, caller: str, error: BusinessError) -> None:
        """Remember what a provider said about the error with which a caller's call ends."""
        self._errors.pop(caller, None)
        self._errors[caller] = told_of(error)  # as the latest
        if len(self._errors) > _MOST_CALLERS:
            del self._errors[next(iter(self._errors))]

    async def connect(self, provider: Provider) -> None:
        """Connect to a provider that is being registered; any failure becomes 12000020."""
        if getattr(provider.ability, "onConnect", None) is None:
            return
        try:
            await self._asker.call(provider.who, provider.ability, "onConnect")
        except BusinessError as error:
            raise BusinessError(12000020, f"{provider.who} cannot be reached: {error.message}") from error
        if self._closed:
            await self._disconnect([provider])
            raise BusinessError(12000012, f"the keystore was closed before {provider.who} was registered")

    async def ask(self, provider: Provider, method: str, *args: object) -> HuksCryptoExtensionResult:
        """Call a method of a provider itself."""
        return await self._asker.ask(provider.who, provider.ability, method, *args)

    async def ask_resource(
        self, opened: OpenResource, method: str, *args: object
    ) -> HuksCryptoExtensionResult:
        """Call a method on an open resource; it is forgotten with its sessions if the token or the handle is gone."""
        try:
            return await self.ask(opened.provider, method, opened.open_handle, *args)
        except BusinessError as error:
            if error.code in _GONE and _of_result_code(error):
                self._let_go(opened)
            raise

    async def import_wrapped(
        self, opened: OpenResource, wrapping: OpenResource, params: list[Any], wrapped: bytes
    ) -> None:
        """Import a key that is wrapped for another one; if the token or a handle is gone, both keys are forgotten."""
        method, handles = "onImportWrappedKeyItem", (opened.open_handle, wrapping.open_handle)
        try:
            await self.ask(opened.provider, method, *handles, params, wrapped)
        except BusinessError as error:
            if error.code in _GONE and _of_result_code(error):
                # the provider has been told of one that was closed meanwhile, and may use its handle for another one
                still_open = [resource for resource in {opened, wrapping} if self._let_go(resource)]
                if error.code != _ABSENT:
                    # nobody can tell which of the two handles is gone, and the other one is not to stay open
                    await self._close_all_at_provider(still_open)
            raise

    async def _close_all_at_provider(self, resources: Iterable[OpenResource]) -> None:
        """Close resources that are forgotten here. If that is cancelled, the others have their farewells, too."""
        cancelled: BaseException | None = None
        for resource in resources:
            try:
                await self._tell(cancelled, self._close_at_provider, resource, ExternalParams())
            except anyio.get_cancelled_exc_class() as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _ask_session(
        self, session: ProviderSession, method: str, options: HuksOptions
    ) -> HuksCryptoExtensionResult:
        """Call a method on a session. With a token that is gone, its resource is forgotten.

        A handle that is gone is the session's own.
        """
        opened = session.opened
        try:
            return await self.ask(opened.provider, method, session.open_handle, options)
        except BusinessError as error:
            if error.code == _ABSENT and _of_result_code(error):
                self._let_go(opened)
            raise

    def _let_go(self, opened: OpenResource) -> bool:
        """Forget a resource and its sessions; return whether it was there.

        The provider is told nothing, whose handles of them have gone with it.
        """
        self.sessions.take_of(opened)
        return self.resources.drop(opened)

    async def open(
        self, provider: Provider, caller: str, resource: ResourceId, params: ExternalParams
    ) -> None:
        """Open a resource for a caller. A failure or cancellation leaves nothing open."""
        entry = self.resources.reserve(provider, caller, self.uid_of(caller), resource)
        try:
            result = await self.ask(provider, "onOpenResource", resource.index, params.to_provider(entry.uid))
            entry.handle = checked_handle(provider, "onOpenResource", result)
        finally:
            if entry.handle is None or provider.gone:
                self.resources.drop(entry)
        if provider.gone:
            await self._tell(None, self._close_at_provider, entry, params)
            raise BusinessError(12000011, f"{provider.who} was unregistered meanwhile")

    async def close(self, caller: str, resource: ResourceId, params: ExternalParams) -> None:
        """Close a resource with its sessions and its PIN state; does nothing if it is not open."""
        entry = self.resources.take(caller, resource)
        if entry is not None:
            await self._surely(self._close_at_provider, entry, params)

    async def _close_at_provider(self, entry: OpenResource, params: ExternalParams) -> None:
        sessions = self.sessions.take_of(entry)
        # Together they may take as long as one call; `onCloseResource` ends those that are left.
        with anyio.move_on_after(self._asker.timeout):
            for session in sessions:
                await self.end_at_provider(session)
        given = params.to_provider(entry.uid)
        with suppress(BusinessError):
            await self.ask(
                entry.provider, "onClearUkeyPinAuthState", entry.open_handle, [with_uid(entry.uid)]
            )
        try:
            await self.ask(entry.provider, "onCloseResource", entry.open_handle, given)
        except BusinessError as error:
            if error.code != 12000011:  # a handle that the provider does not know any more counts as closed
                raise

    async def end_at_provider(self, session: ProviderSession) -> None:
        """Tell a provider that a session ends without a result."""
        with suppress(BusinessError):
            await self._finish_without_data(session)

    async def abort_session(self, session: ProviderSession) -> None:
        """End a session; errors because its PIN or its handle is gone are ignored."""
        try:
            await self._surely(self._finish_without_data, session)
        except BusinessError as error:
            if error.code not in _NO_MATTER_AT_ABORT:
                raise

    async def leave_session(self, session: ProviderSession, error: BaseException | None = None) -> None:
        """End a session whose block is left by an error, or None. Raises nothing but a cancellation."""
        await self._tell(error, self.end_at_provider, session)

    async def leave_session_by_itself(self, session: ProviderSession) -> None:
        """As `leave_session`, in a task for which only the provider's end waits."""
        if session.opened.provider.gone:
            return  # its end closes the resource, and so the session
        ended = self._leaving[session] = anyio.Event()
        try:
            await self.leave_session(session)
        finally:
            del self._leaving[session]
            ended.set()

    async def _finish_without_data(self, session: ProviderSession) -> None:
        options = HuksOptions([with_uid(session.opened.uid)], b"")  # type: ignore[list-item]
        await self._ask_session(session, "onFinishSession", options)

    async def init_session(self, opened: OpenResource, options: HuksOptions) -> int:
        """Open a session and return its handle. A failure or cancellation leaves no session behind."""
        session = self.sessions.reserve(opened)
        try:
            result = await self.ask_resource(opened, "onInitSession", options)
            handle = checked_handle(opened.provider, "onInitSession", result)
        except BaseException:
            self.sessions.drop(session)
            raise
        if not self.sessions.opened(session, handle):
            await self._tell(None, self.end_at_provider, session)
            raise BusinessError(12000011, "the resource was closed before the session was open")
        return session.handle

    @asynccontextmanager
    async def using_session(self, handle: int, caller: str) -> AsyncIterator[ProviderSession]:
        """A session, busy for the time of one call. It ends with a call that is cancelled, and if it is abandoned meanwhile.

        A coroutine that is closed in the middle of the call can await nothing; its caller has the session ended.

        Raises:
            BusinessError: as `ProviderSessions.using`.
        """
        with self.sessions.using(handle, caller) as session:
            left_by: BaseException | None = None
            try:
                yield session
            except BaseException as error:
                left_by = error
                raise
            finally:
                # by a cancellation, or what nobody foresaw; a refusal, which may leave the session open, is no such end
                cut_short = not isinstance(left_by, BusinessError | None)
                if (
                    (session.abandoned or cut_short)
                    and not isinstance(left_by, GeneratorExit)
                    and self.sessions.drop(session)
                ):
                    if cut_short:
                        await self._farewell(self.end_at_provider, session)
                    else:
                        await self._tell(left_by, self.end_at_provider, session)

    async def feed_session(
        self, session: ProviderSession, method: str, options: HuksOptions, *, last: bool
    ) -> bytes:
        """Feed data. The session ends with `last`, and if an error leaves open whether the provider has taken the data.

        The provider is told so, unless it has been already: a session whose resource was closed meanwhile has gone, and
        the provider may use its handle for another one.
        """
        try:
            result = await self._ask_session(session, method, options)
            out = checked_output(session.opened.provider, method, result)
            if last:
                self.sessions.drop(session)
        except BusinessError as error:
            told = _of_result_code(error)
            ends = error.code in (*_GONE, BUSY) or (error.code in _LEAVE_IT_OPEN and not told)
            if ends and self.sessions.drop(session):
                if error.code == BUSY:
                    await self._farewell(self.end_at_provider, session)  # it has had its time
                elif not told:
                    await self._tell(error, self.end_at_provider, session)
            raise
        return out

    async def forget(self, providers: Sequence[Provider]) -> None:
        """Drop all resources of these providers within the time limit of a single call, and disconnect them."""
        for provider in providers:
            provider.gone = True  # what is being opened is closed as soon as it is open
        try:
            with anyio.move_on_after(self._asker.timeout, shield=True):
                for provider in providers:
                    for entry in self.resources.of_provider(provider):
                        self.resources.drop(entry)
                        if entry.handle is None:
                            continue
                        with suppress(BusinessError):
                            await self._close_at_provider(entry, ExternalParams())
                for session, ended in list(self._leaving.items()):
                    if session.opened.provider in providers:
                        await ended.wait()
        finally:
            await self._disconnect(providers)

    async def _disconnect(self, providers: Sequence[Provider]) -> None:
        """Drop what is left of these providers, and tell each of them; also if Task.cancel() ends one of the calls."""
        if not providers:
            return
        provider, *others = providers
        try:
            for entry in self.resources.of_provider(provider):
                self.resources.drop(entry)
            self.sessions.drop_of(provider)
            if getattr(provider.ability, "onDisconnect", None) is not None:
                await self._farewell(self._asker.call, provider.who, provider.ability, "onDisconnect")
        finally:
            await self._disconnect(others)

    async def aclose(self) -> None:
        """Close everything, when the keystore closes."""
        self._closed = True
        await self.forget(self.registry.all())

    async def _tell(
        self, error: BaseException | None, words: Callable[[*Args], Awaitable[object]], *args: *Args
    ) -> None:
        """Tell a provider, in the time of one call, that something ends here. Raises nothing but a cancellation.

        Args:
            error: what is being raised where it ends, or None.
            words: what tells it.
            args: its arguments.
        """
        if is_cancelled_by(error):
            await self._farewell(words, *args)
        else:
            await self._surely(self._in_time, words, *args)

    async def _in_time(self, words: Callable[[*Args], Awaitable[object]], *args: *Args) -> None:
        with anyio.move_on_after(self._asker.timeout), suppress(BusinessError):
            await words(*args)

    async def _surely(self, words: Callable[[*Args], Awaitable[object]], *args: *Args) -> None:
        """Tell a provider something; if that is cancelled, once more, as a farewell."""
        try:
            await words(*args)
        except anyio.get_cancelled_exc_class():
            await self._farewell(words, *args)
            raise

    async def _farewell(self, words: Callable[[*Args], Awaitable[object]], *args: *Args) -> None:
        """Tell a provider something, for a cancelled call: within a second, and whatever is cancelled."""
        with anyio.move_on_after(min(self._asker.timeout, _LONGEST_FAREWELL), shield=True):
            with suppress(BusinessError):
                await words(*args)


def _of_result_code(error: BusinessError) -> bool:
    """Whether an error was made from a result code; one that a provider raised says nothing about its handle."""
    return isinstance(error.__cause__, ResultCodeError)


def checked_handle(provider: Provider, method: str, result: HuksCryptoExtensionResult) -> str:
    """The handle of a result; 12000020 if there is none."""
    handle = str.__str__(result.handle) if isinstance(result.handle, str) else ""
    if not handle:
        raise BusinessError(FAILED, f"{provider.who}: {method} gave no handle")
    return handle


def checked_output(provider: Provider, method: str, result: HuksCryptoExtensionResult) -> bytes:
    """A copy of the output of a result, empty if there is none; 12000020 if it is not bytes."""
    out = result.outData
    if out is None:
        return b""
    if type(out) is bytes:
        return out
    try:
        return as_bytes(out, "outData", sys.maxsize)
    except BusinessError as error:
        if error.code != 401:
            raise
        raise BusinessError(FAILED, f"{provider.who}: {method}: {error.message}") from None
