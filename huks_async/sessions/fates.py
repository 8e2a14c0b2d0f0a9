"""Why sessions ended: remembered for the last million of them, at fourteen bytes each.

A keystore may purge a hundred thousand sessions in a day, and each of their callers may ask what became of
its own. A dictionary of so many handles would take a hundred bytes for each.

The sessions that ended last are in a dictionary. When it is full, its handles become a sorted run of doubles,
which hold integers up to 2^53 exactly and are sorted several times faster than Python's integers. Beside them
are the numbers of the fates, which many sessions share, and 32 bits of each owner's hash: a service may have as
many owners as sessions, and their names would take more memory than all else. Another owner who knows the handle
is told the fate in one case of 2^32.
"""

from array import array
from bisect import bisect_left
from collections import deque
from logging import Logger, getLogger
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

logger: Logger = getLogger("huks_async")

_RUN = 2048
"""Handles that are sorted together, which takes 0.2 ms."""

_RUNS = 64
"""Runs of one volume."""

_VOLUMES = 9
"""Volumes kept: just after the oldest one is dropped, the rest still hold at least a million handles."""

_MAX_FATES = 4096
"""How many different fates a volume stores in full; of any further ones it stores the beginning."""

_LARGEST = 2**53

# A number consists of the owner's part, and below it the place of the fate in its volume.
_FATE_BITS = 16
_FATE_MASK = (1 << _FATE_BITS) - 1
_OWNER_MASK = (1 << 32) - 1


class _Volume:
    """Sorted runs of handles, one after the other, with their owners and fates.

    They are in large blocks, which go back to the system whole. Small objects made during a purge would settle
    between the freed sessions, and keep most of the sessions' memory from going back.
    """

    __slots__ = ("_fates", "_handles", "_owners", "fates", "places", "runs")

    def __init__(self) -> None:
        self.fates: list[str] = []
        self.places: dict[str, int] = {}
        self.runs = 0
        self._handles: memoryview[float] | memoryview[int] = memoryview(b"")
        self._owners: memoryview[int] = memoryview(b"")
        self._fates: memoryview[int] = memoryview(b"")

    def add(self, latest: dict[int, int]) -> None:
        if not self._handles:
            places = _RUN * _RUNS
            memory = memoryview(mmap(-1, places * (8 + 4 + 2), flags=MAP_PRIVATE | MAP_ANONYMOUS))
            self._handles = memory[: 8 * places].cast("d")
            self._owners = memory[8 * places : 12 * places].cast("I")
            self._fates = memory[12 * places :].cast("H")
        start = self.runs * _RUN
        end = start + len(latest)
        handles = array("d", sorted(map(float, latest)))
        different = set(latest.values())
        if len(different) == 1:
            (number,) = different
            owners = array("I", (number >> _FATE_BITS,)) * len(latest)
            fates = array("H", (number & _FATE_MASK,)) * len(latest)
        else:  # a double equals and hashes as its integer, so it finds the entry in `latest`
            numbers: list[int] = list(map(latest.__getitem__, handles))  # type: ignore[arg-type]
            owners = array("I", [number >> _FATE_BITS for number in numbers])
            fates = array("H", [number & _FATE_MASK for number in numbers])
        self._handles[start:end] = handles
        self._owners[start:end] = owners
        self._fates[start:end] = fates
        self.runs += 1

    def find(self, key: float) -> int | None:
        """The number of an ended session; None for one that is not in this volume."""
        handles = self._handles
        for run in reversed(range(self.runs)):
            start = run * _RUN
            end = start + _RUN
            place = bisect_left(handles, key, start, end)
            if place < end and handles[place] == key:
                return self._owners[place] << _FATE_BITS | self._fates[place]
        return None

    def forget_half(self) -> None:
        if not self.runs:  # there is no block of memory yet
            return
        gone = (self.runs + 1) // 2
        left = (self.runs - gone) * _RUN
        for values in (self._handles, self._owners, self._fates):
            values[:left] = values[gone * _RUN : gone * _RUN + left]
        self.runs -= gone


class Fates:
    """The fates of ended sessions, by handle.

    Attributes:
        latest: handle → `number` of owner and fate, for the sessions that ended last. The code that adds to it must
            call `pack` when it has reached `room`, and use only numbers from `number` since the last `pack`.
        room: how many entries `latest` may have.
    """

    __slots__ = ("_volumes", "latest", "room")

    def __init__(self) -> None:
        self.latest: dict[int, int] = {}
        self.room: int = _RUN
        self._volumes: deque[_Volume] = deque([_Volume()], _VOLUMES)

    def __len__(self) -> int:
        return len(self.latest) + _RUN * sum(volume.runs for volume in self._volumes)

    def number(self, owner: str, fate: str) -> int:
        """What `latest` says of a session."""
        volume = self._volumes[-1]
        place = volume.places.get(fate)
        if place is None:
            if len(volume.fates) >= _MAX_FATES:
                # there are few of these, because their causes are the library's own words
                fate = _in_general(fate)
                place = volume.places.get(fate)
            if place is None:
                place = volume.places[fate] = len(volume.fates)
                volume.fates.append(fate)
        return (hash(owner) & _OWNER_MASK) << _FATE_BITS | place

    def pack(self) -> None:
        """Move what is in `latest`, which is full, to an array."""
        volumes = self._volumes
        volume = volumes[-1]
        try:
            volume.add(self.latest)
        except (OSError, MemoryError):
            logger.warning("the system gives no memory to remember why %d sessions ended", len(self.latest))
        finally:
            self.latest.clear()
        if volume.runs >= _RUNS:
            volumes.append(_Volume())

    def find(self, handle: int, owner: str) -> str | None:
        """Why a session of this owner ended; None if that is not remembered. Takes up to 0.2 ms."""
        found = self._find(handle)
        if found is None:
            return None
        volume, number = found
        if number >> _FATE_BITS != hash(owner) & _OWNER_MASK:
            return None
        return volume.fates[number & _FATE_MASK]

    def __contains__(self, handle: int) -> bool:
        """Whether the session of this handle is remembered, whoever owned it."""
        return self._find(handle) is not None

    def _find(self, handle: int) -> tuple[_Volume, int] | None:
        volumes = self._volumes
        number = self.latest.get(handle)
        if number is not None:
            return volumes[-1], number
        if not 0 <= handle < _LARGEST:
            return None
        key = float(handle)
        for volume in reversed(volumes):
            number = volume.find(key)
            if number is not None:
                return volume, number
        return None

    def forget_half(self) -> bool:
        """Drop the older half, for a process that is short of memory; return whether there is more to drop."""
        volumes = self._volumes
        if len(volumes) > 1:
            for _ in range(len(volumes) // 2):
                volumes.popleft()
            return True
        volumes[0].forget_half()
        return volumes[0].runs > 0


def _in_general(fate: str) -> str:
    """A fate without its details: "it failed", "it was purged on low memory"."""
    return fate.partition(":")[0].partition(" after ")[0][:100]
