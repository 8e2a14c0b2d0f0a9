"""Who calls: the applications that share a keystore, told apart by a block that tasks inherit.

The caller of a call is that of the innermost `as_caller` block of its context, else the keystore's own
(`Keystore.open(namespace=…)`). Blocks are inherited as context variables are: a task has a copy of the context in
which it was made, so it starts with the caller of that place. A block that is entered later in the task does not
affect the code that made it, and a block that is entered there later does not affect the task.
"""

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NamedTuple

from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown

SEPARATOR = "\x1f"
"""No name may contain it, so that it can separate the parts of a namespace's name."""

FIRST_USER = 100
"""The user that a keystore works for by default; lower numbers are the system's, as on a device."""

MAX_USER = 2**31 - 1


MAX_NAMESPACE_BYTES = 1024
"""The longest name of an application, in UTF-8: such names are kept and compared in many places."""


class Caller(NamedTuple):
    """Who calls: what an application of one user is on a device.

    Attributes:
        namespace: the application.
        user_id: the user it works for.
    """

    namespace: str
    user_id: int


class Acting(NamedTuple):
    """What a block says about the calls in it; where it says nothing, the keystore's own values count.

    Attributes:
        name: the application that calls.
        user_id: the user it works for; None: the keystore's.
        namespace: the application whose keys the calls use; None: the calling one's.
    """

    name: str
    user_id: int | None = None
    namespace: str | None = None


class CallerBlock:
    """A block whose calls are those of one caller; made by `as_caller`."""

    __slots__ = ("_acting",)

    def __init__(self, acting: Acting) -> None:
        self._acting = acting

    def __enter__(self) -> None:
        _note_use()
        _blocks.set((*_blocks.get(), self._acting))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Generators and fixtures may leave blocks in another order, or in another context, than they entered them,
        # so a block removes only itself from the stack.
        blocks = _blocks.get()
        for place in range(len(blocks) - 1, -1, -1):
            if blocks[place] is self._acting:
                _blocks.set(blocks[:place] + blocks[place + 1 :])
                break

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


_blocks: ContextVar[tuple[Acting, ...]] = ContextVar("huks_async callers", default=())
_used = False
_watchers: "list[weakref.WeakMethod[Callable[[], None]]]" = []


def as_caller(name: str, user_id: int | None = None, *, namespace: str | None = None) -> CallerBlock:
    """Make a block, `with` or `async with`, whose calls are those of another caller than the keystore's own.

        async with huks.as_caller("service-a"):
            await huks.generateKeyItem("k", options)  # a key of service-a

    Args:
        name: the application that calls. It has keys, sessions and limits of its own.
        user_id: the user it works for, 100 or more; default: that of the keystore.
        namespace: the application whose keys the calls use, if not its own; the policy must allow it.

    Tasks that are made in the block belong to its caller, even after the block has ended; tasks that were made
    before do not. `asyncio.to_thread` and `anyio.to_thread` keep the caller, a bare thread does not. Do not yield
    from a generator within the block: its consumer would be inside the block until the generator continues.

    Raises:
        BusinessError: 401 for a wrong name or user.
    """
    return CallerBlock(check_acting(name, user_id, namespace))


def check_acting(name: Any, user_id: Any, namespace: Any) -> Acting:
    """Check the arguments that name a caller; 401 for a wrong name or user."""
    return Acting(
        check_namespace(name, "the caller's name"),
        None if user_id is None else check_user(user_id),
        None if namespace is None else check_namespace(namespace),
    )


def current_acting() -> Acting | None:
    """What the innermost block of this context says; None outside of any."""
    blocks = _blocks.get()
    return blocks[-1] if blocks else None


def _note_use() -> None:
    global _used
    if not _used:
        _used = True
        for reference in _watchers.copy():
            tell = reference()
            if tell is not None:
                tell()


def watch_for_callers(tell: Callable[[], None]) -> None:
    """Have a method called, in any thread, when the process names its first caller, or at once if it has already.

    Until then, the method's object may take a faster way that ignores callers. The object is not kept alive.
    """
    # The method is added before the flag is read. So if another thread names the first caller meanwhile, one of the
    # two threads is certain to call the method.
    _watchers.append(weakref.WeakMethod(tell, _watchers.remove))
    if _used:
        tell()


def check_namespace(namespace: Any, what: str = "namespace") -> str:
    """Check the name of an application; 401 for anything but text of some length without the separator."""
    namespace = str.__str__(namespace) if issubclass(type(namespace), str) else namespace
    if type(namespace) is not str or not namespace or SEPARATOR in namespace[:MAX_NAMESPACE_BYTES]:
        raise BusinessError(
            401, f"{what} must be a non-empty str without {SEPARATOR!r}, got {shown(namespace)}"
        )
    try:
        # no character has less than one byte, so a long text is refused without being encoded
        fits = len(namespace) <= MAX_NAMESPACE_BYTES and len(namespace.encode()) <= MAX_NAMESPACE_BYTES
    except UnicodeEncodeError:
        raise BusinessError(401, f"{what} is not valid Unicode: it holds lone surrogates") from None
    if not fits:
        raise BusinessError(
            401,
            f"{what} is too long: got {shown(namespace)}, accepted 1 … {MAX_NAMESPACE_BYTES} bytes in UTF-8",
        )
    return namespace


def check_user(user_id: Any) -> int:
    """Check the user a caller works for; 401 for anything but a user id of 100 or more."""
    if issubclass(type(user_id), int) and type(user_id) is not bool:
        user_id = int.__int__(user_id)
    if type(user_id) is not int or not FIRST_USER <= user_id <= MAX_USER:
        raise BusinessError(
            401,
            f"user_id: got {shown(user_id)}, accepted {FIRST_USER} … {MAX_USER}; lower ones are the system's, "
            "reached with the …AsUser functions",
        )
    return user_id
