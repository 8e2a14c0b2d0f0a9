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
        busy: whether a call is running.
        held: bytes that the operation kept after its last call.
        context: what the keystore needs at finish (the rules for a derived key), or None.
    """

    __slots__ = ("busy", "context", "handle", "held", "operation", "order", "owner", "used")

    handle: int
    owner: str
    operation: Operation
    order: int
    used: float
    context: Any
    busy: bool
    held: int

    def __repr__(self) -> str:
        state = "busy" if self.busy else "idle"
        return f"<Session {self.handle} of {shown(self.owner)}: {self.operation.kind}, {state}>"
