"""The interface of the engine: a running operation, fed segment by segment.

An operation knows nothing of handles, tasks or time. Whoever drives it calls `update` any number of
times and `finish` once, one call at a time, from any thread; after an exception it is dropped.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from huks_async.model.params import BytesLike, ParamSet


class Operation:
    """One running key operation.

    Attributes:
        kind: the row of the cost table that tells what a call will cost.
        held: bytes of the caller's data, or of a result, that the operation keeps at the moment.
        work: multiplies the fixed cost of the row (iterations of a derivation).
        collects: whether data is only collected, and worked on at finish.
        reusable: whether a `finish` without an `update` before it leaves nothing behind, so that one operation
            serves many messages, one after the other.
        verifies: whether `finish` takes a signature, which is never fed in parts: what was fed before its last part
            would count as message.
        guard: what must be passed before the operation may run; None for nearly all.

    """

    __slots__ = ()

    kind: str = ""
    held: int = 0
    work: float = 1.0
    collects: bool = False
    reusable: bool = False
    verifies: bool = False
    guard: "Guard | None" = None

    def update(self, data: BytesLike) -> bytes:
        """Take a segment; give the output that is ready, often none.

        Operations that get everything with `finish`, and guards, which are passed before anything is fed, have none.
        """
        raise NotImplementedError

    def portable_update(self) -> tuple[Callable[[], bytes], Callable[[bytes], None]] | None:
        """The next `update` in two halves; None where it has none.

        The first can be called in another process. What it returns goes to the second, which is called here.
        """
        return None

    def finish(self, data: BytesLike) -> bytes:
        """Take the last segment (for verification: the signature); give the rest of the output. Guards have none.

        Raises:
            BusinessError: 12000006 for a wrong signature, tag or padding; see `docs/errors.md`.

        """
        raise NotImplementedError


class Holder(Protocol):
    """Whoever holds a running operation: a session."""

    operation: Operation


class Guard(Operation, ABC):
    """Stands in place of an operation until what its key demands was shown.

    Attributes:
        challenge: of the session; empty if no token is compared with one.
        waits: whether a call must go through `admit`, because it may wait; otherwise `admit_at_once` will do.
        whole: whether each update is an operation of its own, which is finished with the data.
    """

    __slots__ = ()

    # This kind has no row in the table of costs, so that the driver never runs a guard at once.
    kind = "guarded"
    challenge: bytes
    waits: bool
    whole: bool = False

    @property
    def guard(self) -> "Guard":  # type: ignore[override]
        """Itself."""
        return self

    @abstractmethod
    async def admit(self, session: Holder, params: ParamSet, *, ends: bool) -> Operation:
        """Return the operation that a call may use.

        Args:
            session: the session, which is marked busy.
            params: of the call.
            ends: whether it is the last call.

        Raises:
            BusinessError: something that the key demands is missing.
        """

    def admit_at_once(self, session: Holder, params: ParamSet) -> Operation:
        """The part of `admit` that never waits: all of it, unless the guard `waits`.

        Guards that do have no such part.
        """
        raise NotImplementedError


class CollectingOperation(Operation, ABC):
    """An operation that needs all its data at once: `complete` gets it at finish."""

    __slots__ = ("_limit", "_parts", "held")

    collects = True

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self.held: int = 0

    def update(self, data: BytesLike) -> bytes:
        """Keep a copy of the segment."""
        self.collect(data)
        return b""

    def finish(self, data: BytesLike) -> bytes:
        """Work on everything collected."""
        if not self._parts:
            self.check_total(len(data))
            return self.complete(data)
        self.collect(data)
        return self.complete(self.collected())

    def collect(self, data: BytesLike) -> None:
        """Keep a copy of `data`, within the limit."""
        total = self.held + len(data)
        self.check_total(total)
        if data:
            self._parts.append(bytes(data))
            self.held = total

    def collected(self) -> bytes:
        """Everything kept so far, which is forgotten here."""
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self.held = 0
        return data

    def check_total(self, total: int) -> None:
        """Refuse a total beyond the operation's limit."""
        if total > self._limit:
            raise self.too_much(total)

    @abstractmethod
    def too_much(self, total: int) -> Exception:
        """The error for a total beyond the limit."""

    @abstractmethod
    def complete(self, data: BytesLike) -> bytes:
        """Do the operation on all its data."""
