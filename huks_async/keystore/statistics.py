"""A snapshot of a keystore's counters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from huks_async.access.callers import Caller
from huks_async.keystore.keyrings import caller_named, namespace_of
from huks_async.sessions.monitor import MonitorStatistics


@dataclass(frozen=True, slots=True)
class KeystoreStatistics:
    """Counters of one keystore. Events are counted since it was opened.

    Args:
        open: sessions open now.
        busy: of these, with a call running.
        stale: of these, idle for longer than `Limits.stale_after`; where both these and the others are more than
            1000, the stale ones among the 1000 that were used longest ago.
        bytes_held: bytes that sessions hold now.
        opened: sessions opened.
        finished: sessions finished.
        aborted: sessions aborted.
        failed: sessions ended by an error or a cancelled call.
        evicted: sessions ended at a limit.
        purged: sessions ended as stale, by cause.
        peak_open: most sessions open at once.
        peak_bytes_held: most bytes held at once.
        open_by_caller: sessions open now, of each caller that has any.
        cached_keys: opened keys kept ready now.
        jobs: calls in worker threads now, waiting ones included.
        processes: calls in processes of their own now: long derivations, generation, checks of imported keys.
        processes_waited_for: calls that wait for such a process.
        memory: what the low-memory monitor saw.
    """

    open: int
    busy: int
    stale: int
    bytes_held: int
    opened: int
    finished: int
    aborted: int
    failed: int
    evicted: int
    purged: Mapping[str, int]
    peak_open: int
    peak_bytes_held: int
    open_by_caller: Mapping[Caller, int]
    cached_keys: int
    jobs: int
    processes: int
    processes_waited_for: int
    memory: MonitorStatistics


class CountsByCaller(Mapping[Caller, int]):
    """Counts by namespace, shown by caller.

    Callers are made as they are asked for: making those of a hundred thousand customers would hold up the event loop
    for a fifth of a second.
    """

    __slots__ = ("_counts",)

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts

    def __getitem__(self, caller: Caller) -> int:
        try:
            return self._counts[namespace_of(*caller)]
        except (KeyError, TypeError):
            raise KeyError(caller) from None

    def __iter__(self) -> Iterator[Caller]:
        return map(caller_named, self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __repr__(self) -> str:
        return repr(dict(self))
