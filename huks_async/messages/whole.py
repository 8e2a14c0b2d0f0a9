"""An operation that consists of one call of a library function."""

from collections.abc import Callable

from huks_async.crypto.operation import Operation
from huks_async.model.params import BytesLike


class Whole(Operation):
    """Passes all of its data, which comes with `finish` and is never cut, to one function."""

    __slots__ = ("_call", "held", "kind", "work")

    collects = True

    def __init__(
        self, kind: str, call: Callable[[BytesLike], bytes], work: float = 1.0, *, held: int = 0
    ) -> None:
        self.kind: str = kind
        self.work: float = work
        self.held: int = held
        self._call = call

    def finish(self, data: BytesLike) -> bytes:
        """Return the function's result for the data."""
        return self._call(data)
