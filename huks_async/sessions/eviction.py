"""Which session goes first where a limit evicts the oldest idle one: of all, or of an owner.

The oldest is the one that was opened first.
"""

from collections import OrderedDict

from huks_async.sessions.session import Session


class OpeningOrder:
    """The open sessions in the order of opening, which their use does not change; for each owner, too."""

    __slots__ = ("_opened",)

    def __init__(self) -> None:
        # None: the sessions of all owners
        self._opened: dict[str | None, OrderedDict[int, Session]] = {}

    def add(self, session: Session) -> None:
        """Note a session that was just opened."""
        for whose in (None, session.owner):
            self._opened.setdefault(whose, OrderedDict())[session.handle] = session

    def drop(self, session: Session) -> None:
        """Forget a session that ended, if it is noted."""
        for whose in (None, session.owner):
            opened = self._opened.get(whose)
            if opened is None:
                continue
            opened.pop(session.handle, None)
            if not opened:
                del self._opened[whose]

    def oldest_idle(self, owner: str | None) -> Session | None:
        """The session that was opened first, of an owner or of all (None), among those that have no call running."""
        for session in self._opened.get(owner, {}).values():
            if not session.busy:
                return session
        return None

    def compact(self) -> None:
        """Let go of memory after many sessions ended, because a dictionary does not shrink by itself."""
        self._opened = {whose: OrderedDict(opened) for whose, opened in self._opened.items()}
