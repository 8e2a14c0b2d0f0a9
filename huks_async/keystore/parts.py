"""What the functions of a keystore work with, and the checks that all of them begin with."""

from dataclasses import dataclass

from huks_async.keys.lifecycle import KeyMaker
from huks_async.keys.shelf import KeyShelf
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.model.params import ParamSet
from huks_async.model.tags import InnerTag
from huks_async.runtime.workers import WorkerPool
from huks_async.sessions.driver import SessionDriver
from huks_async.sessions.table import SessionTable
from huks_async.stores.base import Store

_SPECIFIC_USER = int(InnerTag.SPECIFIC_USER_ID)


@dataclass(slots=True)
class Parts:
    """The open parts of a keystore."""

    store: Store
    pool: WorkerPool
    shelf: KeyShelf
    maker: KeyMaker
    table: SessionTable
    driver: SessionDriver
    limits: Limits
    device: bool
    namespace: str


class HasParts:
    """Base of the groups of functions: gives them the open parts."""

    _parts: Parts | None = None
    _why_closed = "it is not open: use `async with Keystore.open(…) as keystore`"

    def _open_parts(self) -> Parts:
        parts = self._parts
        if parts is None:
            raise BusinessError(12000012, f"this keystore cannot be used: {self._why_closed}")
        return parts


def refuse_other_user(params: ParamSet, *, device: bool) -> None:
    """Refuse a call for another user: 202 on a device, 201 where the policy allows nobody."""
    if _SPECIFIC_USER in params.numbers:
        raise other_user_refused(device=device)


def other_user_refused(*, device: bool) -> BusinessError:
    """The error for acting for another user."""
    if device:
        return BusinessError(202, "acting for another user is for system applications")
    return BusinessError(201, "no policy allows this keystore to act for another user")
