"""Sessions on keys of providers. Unlike sessions on local keys, they are never evicted or purged."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from huks_async.model.errors import BusinessError
from huks_async.providers.registry import Provider
from huks_async.providers.resources import OpenResource

MAX_SESSIONS = 96
MAX_SESSIONS_PER_CALLER = 32


@dataclass(slots=True, eq=False)
class ProviderSession:
    """A session: the keystore's handle, and the provider's, which is None until the provider has returned one.

    `abandoned` says that it ends with the call that is running on it.
    """

    handle: int
    caller: str
    opened: OpenResource
    provider_handle: str | None = None
    busy: bool = field(default=True)
    abandoned: bool = field(default=False)

    @property
    def open_handle(self) -> str:
        """The provider's handle of the session, once it is open."""
        assert self.provider_handle is not None
        return self.provider_handle


class ProviderSessions:
    """The table of the sessions on keys of providers."""

    def __init__(self) -> None:
        self._sessions: dict[int, ProviderSession] = {}

    def reserve(self, opened: OpenResource) -> ProviderSession:
        """Reserve a place for a session that is about to be opened.

        Raises:
            BusinessError: 12000010 at the limit of the caller, or of all callers together.
        """
        own = sum(session.caller == opened.caller for session in self._sessions.values())
        for count, most, whose in (
            (own, MAX_SESSIONS_PER_CALLER, "this caller has"),
            (len(self._sessions), MAX_SESSIONS, "there are"),
        ):
            if count >= most:
                raise BusinessError(
                    12000010,
                    f"{whose} {most} sessions on keys of providers open, which is the most; none of them is evicted: "
                    "finish or abort some",
                )
        handle = secrets.randbits(32)
        while handle in self._sessions:
            handle = secrets.randbits(32)
        session = self._sessions[handle] = ProviderSession(handle, opened.caller, opened)
        return session

    @contextmanager
    def using(self, handle: int, caller: str) -> Iterator[ProviderSession]:
        """A session, marked busy for the time of one call.

        Raises:
            BusinessError: 12000011 for a handle that is not the caller's; 12000024 if another call is running.
        """
        session = self._sessions.get(handle)
        if session is None or session.caller != caller:
            raise BusinessError(
                12000011,
                "this caller has no session with this handle on a key of a provider; it may have ended",
            )
        if session.busy:
            raise BusinessError(12000024, "another call of this session is running; wait for its end")
        session.busy = True
        try:
            yield session
        finally:
            session.busy = False

    def check_open(self, session: ProviderSession) -> None:
        """Refuse to go on with a session that was given up while its call was waiting.

        Raises:
            BusinessError: 12000011 if its block was left, or its resource closed.
        """
        if session.abandoned or self._sessions.get(session.handle) is not session:
            raise BusinessError(
                12000011,
                "the session ended before the provider was given the data: its block was left, or its resource closed",
            )

    def take_idle(self, handle: int, caller: str) -> ProviderSession | None:
        """Remove a caller's session and return it; None if there is none, or a call is running."""
        session = self._sessions.get(handle)
        if session is None or session.caller != caller or session.busy:
            return None
        self.drop(session)
        return session

    def abandon(self, handle: int, caller: str) -> ProviderSession | None:
        """As `take_idle`, but a session with a call running ends with this call."""
        session = self._sessions.get(handle)
        if session is not None and session.caller == caller and session.busy:
            session.abandoned = True
        return self.take_idle(handle, caller)

    def opened(self, session: ProviderSession, provider_handle: str) -> bool:
        """Complete a session that was reserved; False if it was dropped meanwhile."""
        session.provider_handle = provider_handle
        session.busy = False
        return self._sessions.get(session.handle) is session

    def drop(self, session: ProviderSession) -> bool:
        """Forget a session; return whether it was there."""
        if self._sessions.get(session.handle) is not session:
            return False
        del self._sessions[session.handle]
        return True

    def take_of(self, opened: OpenResource) -> list[ProviderSession]:
        """Remove all open sessions of a resource and return them, so that they can be ended at the provider."""
        found = [session for session in self._sessions.values() if session.opened is opened]
        for session in found:
            self.drop(session)
        return [session for session in found if session.provider_handle is not None]

    def drop_of(self, provider: Provider) -> None:
        """Forget all sessions on keys of a provider, even those whose resource was closed after a failure."""
        for session in [s for s in self._sessions.values() if s.opened.provider is provider]:
            self.drop(session)

    def __len__(self) -> int:
        return len(self._sessions)
