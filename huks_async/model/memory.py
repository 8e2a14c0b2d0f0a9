"""Telling that the system gave no memory, whatever the exception that says so."""

from collections.abc import Iterator
from contextlib import contextmanager

from huks_async.model.errors import BusinessError

_MALLOC_FAILURE = b"malloc failure"
_MOST_CAUSES = 100


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception, or one that it stands for, means that memory ran out: Python's or OpenSSL's."""
    for _ in range(_MOST_CAUSES):  # the causes of a foreign exception may go round in a circle
        if error is None:
            return False
        if says_out_of_memory(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def says_out_of_memory(error: BaseException) -> bool:
    """Whether an exception itself means that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    # `cryptography.exceptions.InternalError` has OpenSSL's queue of errors
    queue = vars(error).get("err_code")
    return isinstance(queue, (list, tuple)) and any(
        getattr(each, "reason_text", None) == _MALLOC_FAILURE for each in queue
    )


def refuse_out_of_memory(error: BaseException, what: str) -> None:
    """Raise 12000014 in place of an exception that means that memory ran out; do nothing for any other.

    For places that make an error of their own of whatever a library raises.
    """
    if is_out_of_memory(error):
        raise out_of_memory(what) from error


@contextmanager
def memory_for(what: str) -> Iterator[None]:
    """Raise 12000014 in place of an exception of the block that itself says that memory ran out."""
    try:
        yield
    except Exception as error:
        if says_out_of_memory(error):
            raise out_of_memory(what) from error
        raise


def out_of_memory(what: str) -> BusinessError:
    """The error for something that the system gave no memory for."""
    return BusinessError(
        12000014, f"the system gives no memory for {what}; free some, or raise the limit of this process"
    )
