"""One open key session."""

from typing import Any, Protocol

from huks_async.crypto.operation import Operation
from huks_async.model.showing import shown
from huks_async.model.uncopied import Uncopied

GIVEN_UP = object()
"""`Session.free_for` of one that ends as soon as nothing else is under way in its table."""


class KnownLists(Protocol):
    """Lists of parameters that were parsed without error for other sessions on the same key."""

    def recognise(self, properties: list[Any], /) -> object | None:
        """Anything but None for such a list; may raise anything for a list that must be parsed."""


class Session(Uncopied):
    """A running operation, its owner, and when it was last used. Only the table makes sessions.

    Attributes:
        handle: the number that callers know it by.
        owner: the namespace that opened it; nobody else can use it.
        operation: the running operation, or the guard in front of it.
        order: position in the order of opening.
        used: clock time of the last call.
        free_for: the owner, None while a call is running, or `GIVEN_UP`; says at once who may call.
        held: bytes that the operation kept after its last call.
        context: what the keystore needs at finish (the rules for a derived key), or None.
        known_lists: by which a call that repeats the parameters of a session is recognised, where the operation does
            not read the parameters of calls; else None.
    """

    __slots__ = (
        "context",
        "free_for",
        "handle",
        "held",
        "known_lists",
        "operation",
        "order",
        "owner",
        "used",
    )

    handle: int
    owner: str
    operation: Operation
    order: int
    used: float
    context: Any
    free_for: object
    held: int
    known_lists: KnownLists | None

    @property
    def busy(self) -> bool:
        """Whether a call is running."""
        return self.free_for is None

    def __repr__(self) -> str:
        state = "busy" if self.busy else "idle"
        return f"<Session {self.handle} of {shown(self.owner)}: {self.operation.kind}, {state}>"
