"""One open key session."""

from typing import Any

from huks_async.crypto.operation import Operation
from huks_async.model.showing import shown
from huks_async.model.uncopied import Uncopied


class Session(Uncopied):
    """A running operation, its owner, and when it was last used. Only the table makes sessions.

    Attributes:
        handle: the number that callers know it by.
        owner: the namespace that opened it; nobody else can use it.
        operation: the running operation, or the guard in front of it.
        order: position in the order of opening.
        used: clock time of the last call.
        free_for: the owner, or None while a call is running; says at once who may call.
        held: bytes that the operation kept after its last call.
        context: what the keystore needs at finish (the rules for a derived key), or None.
    """

    __slots__ = ("context", "free_for", "handle", "held", "operation", "order", "owner", "used")

    handle: int
    owner: str
    operation: Operation
    order: int
    used: float
    context: Any
    free_for: str | None
    held: int

    @property
    def busy(self) -> bool:
        """Whether a call is running."""
        return self.free_for is None

    def __repr__(self) -> str:
        state = "busy" if self.busy else "idle"
        return f"<Session {self.handle} of {shown(self.owner)}: {self.operation.kind}, {state}>"
