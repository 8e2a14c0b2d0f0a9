"""The table of open sessions: handles, owners, limits, staleness, and why a session is gone.

Longer than other files, and one class: every way in which a session comes, rests or goes keeps the same order, counts,
deadlines and fates in step, in as few steps as can be, because each call on a session passes here.
"""

import math
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import filterfalse, islice
from logging import Logger, getLogger
from typing import Any

from huks_async.crypto.operation import Operation
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.model.showing import shown
from huks_async.runtime.closing import Leftovers, Post
from huks_async.runtime.randomness import ForkWatch, random_bytes
from huks_async.sessions.eviction import OpeningOrder
from huks_async.sessions.fates import Fates
from huks_async.sessions.session import GIVEN_UP, KnownLists, Session

logger: Logger = getLogger("huks_async")

_new_object = object.__new__

# Handles are numbers in ArkTS, which hold integers of 53 bits; a device uses 32 bits. They are random, so that
# no caller can guess the handle of another.
_SERVER_HANDLE_MASK = 2**53 - 1
_DEVICE_HANDLE_MASK = 2**32 - 1
_HANDLE_BATCH = 256
_DEVICE_HANDLE_BATCH = 8

# The most sessions with which the table is copied in less than a millisecond
_QUICKLY_COPIED = 5000
# The most sessions that are looked through in less than a millisecond
_QUICKLY_SEARCHED = 5000
# The most sessions that are counted at each end of the table, which takes a millisecond
_QUICKLY_COUNTED = 1000

# Why sessions ended. FINISHED is compared by identity: pass this object, not an equal text.
FINISHED = "it was finished"
ABORTED = "it was aborted"
# causes of a purge, to which `_fate` appends "after 61 s idle"
IDLE = "timed out"
MAKE_ROOM = "purged to make room"

# the functions that a coroutine, which ends sessions of the table or of providers, must not interrupt
_UNDER_WAY = ("huks_async.sessions.", "huks_async.providers.")

# owner, fate and number of the session that ended last, while there is none
_NO_FATE = ("", "", 0)


@dataclass(slots=True, eq=False, repr=False)
class SessionCounts:
    """Counters of a table since it was made."""

    aborted: int = 0
    failed: int = 0
    evicted: int = 0
    purged: Counter[str] = field(default_factory=Counter)
    peak_open: int = 0
    peak_bytes: int = 0


class SessionTable:
    """All open sessions of a keystore, least recently used first.

    All of its functions are for one thread, and are not called while another of them runs; but `abort`, `abandon` and
    `fail` do later what a coroutine that is being closed asks for, which may be at any moment and in any thread.

    Args:
        limits: how many sessions and bytes there may be.
        clock: gives seconds.
        device: whether handles are as small as on a device.
        debug: whether places are noted at which sessions are opened.
        on_purge: told how many sessions were ended to free memory or for their idleness.
        post: has a function called in the event loop, from any thread.
    """

    # CPython finds attributes in slots faster than in an object that has as many of them.
    __slots__ = (
        "_abandoned",
        "_always_notes",
        "_busy",
        "_closed",
        "_deadlines",
        "_dying",
        "_fates",
        "_first_deadline",
        "_fork_watch",
        "_handle_batch",
        "_handles",
        "_last_fate",
        "_latest_fates",
        "_leftovers",
        "_mark",
        "_mask",
        "_max_per_caller",
        "_max_sessions",
        "_notes",
        "_on_purge",
        "_opened",
        "_order",
        "_ours",
        "_owned",
        "_owner",
        "_places",
        "_room",
        "_several",
        "_unfinished",
        "clock",
        "counts",
        "debug",
        "held",
        "limits",
        "max_idle",
        "sessions",
    )

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float],
        *,
        device: bool = False,
        debug: bool = False,
        on_purge: Callable[[int], object] | None = None,
        post: Post | None = None,
    ) -> None:
        self.limits: Limits = limits
        self.counts: SessionCounts = SessionCounts()
        self.held: int = 0
        self.clock: Callable[[], float] = clock
        self.debug: bool = debug
        self._mask = _DEVICE_HANDLE_MASK if device else _SERVER_HANDLE_MASK
        self._handles: list[int] = []
        self._handle_batch = _DEVICE_HANDLE_BATCH if device else _HANDLE_BATCH
        self._fork_watch = ForkWatch()
        self._ours = self._fork_watch.mark
        self.sessions: OrderedDict[int, Session] = OrderedDict()
        self._dying: OrderedDict[int, Session] = OrderedDict()
        # Most keystores have a single caller, who owns every session, so nothing is counted per owner. Once a
        # second caller appears, each owner's sessions are counted.
        self._owner: str | None = None
        self._several = False
        self._owned: dict[str, int] = {}
        # `_latest_fates` is the dictionary inside `_fates`, kept here to spare a look-up for each session that ends
        self._fates = Fates()
        self._latest_fates = self._fates.latest
        self._room = self._fates.room
        self._last_fate = _NO_FATE
        self._places: dict[int, str] = {}
        self._abandoned: set[int] = set()
        self._leftovers = Leftovers(_UNDER_WAY, post)
        self._busy = 0
        self._opened = OpeningOrder() if limits.evict_oldest_idle else None
        # whether opening and removing a session takes more bookkeeping than the table itself
        self._always_notes = debug or self._opened is not None
        self._notes = self._always_notes
        self._order = 0
        # Sessions that ended in another way than by finishing. What finished is computed from this, because nearly
        # all sessions finish, and counting them would be a noticeable part of a short one.
        self._unfinished = 0
        # From this many sessions on, `open` has more to do: it notes a new peak, or must make room at the limit.
        self._mark = 0
        self._max_sessions = limits.max_sessions
        self._max_per_caller = limits.max_sessions_per_caller
        self.max_idle: float | None = limits.max_idle
        self._on_purge = on_purge
        # The ends of the batch sessions' times, by handle. At the limit, those whose time is over are ended first.
        self._deadlines: dict[int, float] = {}
        self._first_deadline = math.inf
        self._closed = False

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def opened(self) -> int:
        """How many sessions were opened so far."""
        return self._order

    @property
    def finished(self) -> int:
        """How many sessions have finished so far."""
        return self._order - len(self.sessions) - self._unfinished

    def open(
        self, owner: str, operation: Operation, context: Any = None, known_lists: KnownLists | None = None
    ) -> Session:
        """Enter a running operation, making room for it if the limits ask for that.

        Raises:
            BusinessError: 12000010 when no session can make room.
        """
        if owner is not self._owner:
            self._meet(owner)
        if len(self.sessions) >= self._mark:
            self._make_room(owner)
        handles = (self._ours[0] and self._handles) or self._new_handles()
        self._order = order = self._order + 1
        # The fields are set here because calling `Session.__init__` would be a noticeable part of a short session.
        session = _new_object(Session)
        session.handle = handle = handles.pop()
        session.owner = owner
        session.operation = operation
        session.order = order
        session.used = self.clock()
        session.context = context
        session.free_for = owner
        session.held = 0
        session.known_lists = known_lists
        self.sessions[handle] = session  # `compact` may have replaced the dictionary, called from on_purge
        if self._notes:
            self._note(session)
        return session

    def _note(self, session: Session) -> None:
        if self._several:
            self._owned[session.owner] = self._owned.get(session.owner, 0) + 1
        if self.debug:
            self._places[session.handle] = self.place()
        if self._opened is not None:
            self._opened.add(session)

    def _forget(self, session: Session) -> None:
        if self._several:
            left = self._owned[session.owner] - 1
            if left:
                self._owned[session.owner] = left
            else:
                del self._owned[session.owner]
        self._places.pop(session.handle, None)
        if self._opened is not None:
            self._opened.drop(session)
        if self._abandoned:
            self._abandoned.discard(session.handle)
            self._notes = self._always_notes or self._several or bool(self._abandoned)

    @staticmethod
    def place() -> str:
        """Where the program is, outside of this file, for reports in debug mode."""
        import traceback  # late: only debug mode needs it

        frames = traceback.extract_stack(limit=12)
        while frames and frames[-1].filename == __file__:
            frames.pop()
        return "".join(frames.format())

    def set_deadline(self, session: Session, deadline: float) -> None:
        """Note when the time of a batch session is over."""
        self._deadlines[session.handle] = deadline
        self._first_deadline = min(self._first_deadline, deadline)

    def _end_batches(self) -> None:
        """End the batch sessions whose time is over, except those that have a call running."""
        now = self.clock()
        if now <= self._first_deadline:
            return
        for handle, deadline in list(self._deadlines.items()):
            session = self.sessions[handle]
            if now > deadline and not session.busy:
                self.remove(session, "its time as a batch session was over")
        self._first_deadline = min(self._deadlines.values(), default=math.inf)

    def take(self, handle: int, owner: str) -> Session:
        """Mark a session busy for a call. Errors as `find`."""
        session = self.find(handle, owner)
        session.free_for = None
        self._busy += 1
        return session

    def find(self, handle: int, owner: str) -> Session:
        """Return a session that can take a call.

        Raises:
            BusinessError: 12000011 when it is gone, is another caller's, or has a call running.
        """
        self.catch_up()
        session = self.sessions.get(handle)
        if session is None or session.owner != owner or session.free_for is GIVEN_UP:
            raise self.gone(handle, owner)
        if session.busy:
            raise BusinessError(
                12000011,
                f"session {handle} has another call running; one session takes one call at a time",
            )
        if self.max_idle is not None and self.clock() - session.used > self.max_idle:
            self._expire(session)
            raise self.gone(handle, owner)
        return session

    def give_back(self, session: Session) -> None:
        """End a call that leaves the session open; account for what the operation holds now.

        Raises:
            BusinessError: 12000014 when all sessions together hold too much; this one is ended.
        """
        session.free_for = session.owner
        if session.handle not in self.sessions:
            return  # the keystore was closed meanwhile
        self._busy -= 1
        # Sessions are ordered by the end of their last use, so this session moves now and not when its call began.
        if self._abandoned and session.handle in self._abandoned:
            self.abort(session.handle, session.owner)
            return
        session.used = self.clock()
        self.sessions.move_to_end(session.handle)
        if session.operation.held != session.held:
            self.account(session)

    def account(self, session: Session) -> None:
        """Note how many bytes the operation of a session holds now. Errors as `give_back`."""
        held = session.operation.held
        self.held += held - session.held
        session.held = held
        if self.held > self.counts.peak_bytes:
            self.counts.peak_bytes = self.held
        if self.held > self.limits.max_held_bytes:
            total = self.held
            self.fail(session, "all sessions together held too many bytes")
            raise BusinessError(
                12000014,
                f"the open sessions hold {total} bytes, accepted {self.limits.max_held_bytes} "
                "(Limits.max_held_bytes); this session was ended",
            )

    def finish(self, session: Session) -> None:
        """Remove a session that finished: what `remove` does, in fewer steps when the one before was alike."""
        _, fate, number = self._last_fate  # of this owner, because several owners are noted
        if fate is not FINISHED or self._notes or session.held or session.free_for is None:
            self.remove(session, FINISHED)
            return
        handle = session.handle
        try:
            del self.sessions[handle]
        except KeyError:  # the keystore was closed meanwhile
            return
        latest = self._latest_fates
        latest[handle] = number
        if len(latest) >= self._room:
            self._pack_fates()

    def fail(self, session: Session, why: str) -> None:
        """Remove a session whose operation failed or was cancelled."""
        self._now_or_later(session, partial(self._fail, session, why))

    def _fail(self, session: Session, why: str) -> None:
        if self.remove(session, f"it failed: {why}"):
            self.counts.failed += 1

    def abort(self, handle: int, owner: str) -> None:
        """Remove a session that is not in a call; anything else is left as it is."""
        session = self.sessions.get(handle)
        if session is not None and session.owner == owner and not session.busy:
            self._now_or_later(session, partial(self._abort, session))

    def _abort(self, session: Session) -> None:
        if self.remove(session, ABORTED):
            self.counts.aborted += 1

    def abandon(self, handle: int, owner: str) -> None:
        """Abort a session; one that is in a call is aborted when the call ends."""
        session = self.sessions.get(handle)
        if session is not None and session.owner == owner:
            self._now_or_later(session, partial(self._abandon, session))

    def _abandon(self, session: Session) -> None:
        if not session.busy:
            self._abort(session)
        elif session.handle in self.sessions:
            self._abandoned.add(session.handle)
            self._notes = True

    def _now_or_later(self, session: Session, step: Callable[[], None]) -> None:
        """End a session by a step, later where this may interrupt another one. Calls of this thread find it no more."""
        if not self._leftovers.in_the_way():
            step()
            return
        if session.free_for is not None and self._leftovers.is_home:
            session.free_for = GIVEN_UP
        self._leftovers.leave(step)

    def do_later(self, step: Callable[[], None]) -> None:
        """Have a step done in the thread of this table when nothing else is under way. Called from any thread."""
        self._leftovers.leave(step)

    def post(self, step: Callable[[], None]) -> None:
        """Have a step done in the event loop, for what needs one that runs. Called from any thread."""
        self._leftovers.post(step)

    def catch_up(self) -> None:
        """End what coroutines have left to be ended when they were closed."""
        self._leftovers.take()

    def purge_stale(self, at_most: int, idle_longer_than: float, cause: str) -> int:
        """End up to `at_most` sessions idle for longer than the given seconds, longest idle first.

        Sessions in a call are never touched. The cost does not grow with the number of open sessions.
        """
        self.catch_up()
        now = self.clock()
        ended = 0
        while ended < at_most:
            session = self._longest_idle(now)
            if session is None or now - session.used <= idle_longer_than:
                break
            self.remove(session, _fate(cause, now - session.used))
            ended += 1
        if ended:
            self.counts.purged[cause] += ended
            self._tell(ended)
        return ended

    def compact(self) -> None:
        """Let go of the table's own memory after a purge, because a dictionary does not shrink by itself."""
        self.catch_up()
        if len(self.sessions) <= _QUICKLY_COPIED:
            self.sessions = OrderedDict(self.sessions)
            if self._opened is not None:
                self._opened.compact()

    def forget_fates(self) -> bool:
        """Forget why the older half of the ended sessions ended; return whether there is more to forget."""
        return self._fates.forget_half()

    def next_idle_end(self) -> float:
        """Seconds until the next session may have idled for `Limits.max_idle`, which must not be None."""
        assert self.max_idle is not None
        now = self.clock()
        session = self._longest_idle(now)
        return self.max_idle if session is None else session.used + self.max_idle - now

    def _longest_idle(self, now: float) -> Session | None:
        sessions = self.sessions
        while sessions:
            session = next(iter(sessions.values()))
            if not session.busy:
                return session
            if session.used == now:
                break  # all sessions that follow have a call running, too
            # a session counts as used as long as its call runs
            session.used = now
            sessions.move_to_end(session.handle)
        return None

    def _expire(self, session: Session) -> None:
        self.remove(session, _fate(IDLE, self.clock() - session.used))
        self.counts.purged[IDLE] += 1
        self._tell(1)

    def _tell(self, ended: int) -> None:
        if self._on_purge is not None:
            try:
                self._on_purge(ended)
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except BaseException:  # a cancellation, too, which cannot be that of the task: nothing is awaited
                logger.exception("on_purge failed; the sessions were ended all the same")

    def close(self) -> list[str]:
        """End every session, for a keystore that closes.

        Returns:
            in debug mode, a line for each session that was left, with the place where it was opened.
        """
        self.catch_up()
        self._closed = True
        self._max_sessions = self._mark = 0  # so that `open` asks to make room, which a closed table refuses
        left = [
            f"session {handle} was never finished nor aborted; it was opened at\n{place}"
            for handle, place in self._places.items()
        ]
        self._unfinished += len(self.sessions)
        self._dying, self.sessions = self.sessions, OrderedDict()
        self._places.clear()
        self._owned.clear()
        self._deadlines.clear()
        self._abandoned.clear()
        self._busy = self.held = 0
        return left

    def release(self, at_most: int) -> bool:
        """Free up to `at_most` of the sessions that a closed table had; return whether there are more.

        Freeing a hundred thousand sessions at once would hold up the event loop for a tenth of a second.
        """
        for _ in range(min(at_most, len(self._dying))):
            _, session = self._dying.popitem()
            if self._opened is not None:
                self._opened.drop(session)
        return bool(self._dying)

    def count_stale(self) -> int:
        """How many sessions may be purged now; of large numbers at both sides, how many of the first thousand.

        In the order of use stale sessions come first, so it is enough to reach the last of them from the one end or
        from the other. Looking at every session of a large table would hold up the loop for a tenth of a second.
        """
        now, stale_after = self.clock(), self.limits.stale_after
        sessions = self.sessions.values()
        stale = younger = 0
        for old, new in zip(islice(sessions, _QUICKLY_COUNTED), reversed(sessions), strict=False):
            if old.free_for is not None:
                if now - old.used <= stale_after:
                    break
                stale += 1
            if new.free_for is not None:
                if now - new.used > stale_after:
                    return len(sessions) - self._busy - younger
                younger += 1
        return stale

    def count_busy(self) -> int:
        """How many sessions have a call running."""
        return self._busy

    def gone(self, handle: int, owner: str) -> BusinessError:
        """The error for a handle that has no session, with its fate where that is known."""
        if self._closed:
            return BusinessError(12000011, f"session {shown(handle)} does not exist: its keystore was closed")
        why = self._fates.find(handle, owner) or "it never existed, or ended long ago"
        return BusinessError(12000011, f"session {shown(handle)} does not exist: {why}; open a new one")

    def _make_room(self, owner: str) -> None:
        """Make room for one more session if a limit is reached; note a new peak."""
        self.catch_up()
        if len(self.sessions) >= self._max_sessions or self.count_of(owner) >= self._max_per_caller:
            self._end_some(owner)
            self._check_open()  # on_purge may have closed the keystore
        self.counts.peak_open = max(self.counts.peak_open, len(self.sessions) + 1)
        self._mark = min(self._max_sessions, self._max_per_caller, self.counts.peak_open)

    def _meet(self, owner: str) -> None:
        if self._owner is None:
            self._owner = owner
        elif not self._several and owner != self._owner:
            self._several = self._notes = True
            if self.sessions:
                self._owned[self._owner] = len(self.sessions)

    def count_of(self, owner: str) -> int:
        """How many sessions an owner has."""
        if self._several:
            return self._owned.get(owner, 0)
        return len(self.sessions) if owner == self._owner else 0

    def owners(self) -> dict[str, int]:
        """How many sessions each owner has; owners without sessions are left out."""
        if self._several:
            return self._owned.copy()
        return {self._owner: len(self.sessions)} if self._owner is not None and self.sessions else {}

    def _end_some(self, owner: str) -> None:
        limits = self.limits
        self._end_batches()
        if self._opened is not None:
            while self.count_of(owner) >= limits.max_sessions_per_caller:
                self._evict(self._opened.oldest_idle(owner), owner, limits.max_sessions_per_caller)
            while len(self.sessions) >= limits.max_sessions:
                self._evict(self._opened.oldest_idle(None), owner, limits.max_sessions)
            return
        stale_after = min(limits.stale_after, limits.max_idle or math.inf)
        while self.count_of(owner) >= limits.max_sessions_per_caller:
            # ending sessions of other owners would not help against the limit of this one
            if not self._purge_one_of(owner, stale_after):
                raise self._limit_reached(owner)
        while len(self.sessions) >= limits.max_sessions:
            if not self.purge_stale(1, stale_after, MAKE_ROOM):
                raise self._limit_reached(owner)

    def _check_open(self) -> None:
        if self._closed:
            raise BusinessError(12000012, "the keystore was closed while the session was being opened")

    def _purge_one_of(self, owner: str, idle_longer_than: float) -> bool:
        """End the longest idle session of an owner, if it is stale and among the longest idle of all."""
        if not self._several:
            return bool(self.purge_stale(1, idle_longer_than, MAKE_ROOM))
        now = self.clock()
        for session in islice(self.sessions.values(), _QUICKLY_SEARCHED):
            if session.busy:
                continue
            idle = now - session.used
            if idle <= idle_longer_than:
                break  # all that follow were used later
            if session.owner == owner:
                self.remove(session, _fate(MAKE_ROOM, idle))
                self.counts.purged[MAKE_ROOM] += 1
                self._tell(1)
                return True
        return False

    def _evict(self, victim: Session | None, owner: str, limit: int) -> None:
        if victim is None:
            raise self._limit_reached(owner)
        if self.remove(victim, f"it was evicted as the oldest idle session at the limit of {limit}"):
            self.counts.evicted += 1
        elif self._opened is not None:
            self._opened.drop(victim)  # or it would be the oldest for ever

    def _limit_reached(self, owner: str) -> BusinessError:
        limits = self.limits
        own = self.count_of(owner)
        reached = ["Limits.max_sessions"] if len(self.sessions) >= limits.max_sessions else []
        if own >= limits.max_sessions_per_caller:
            reached.append("Limits.max_sessions_per_caller")
        return BusinessError(
            12000010,
            f"{len(self.sessions)} sessions are open, {own} of them of this caller; accepted "
            f"{limits.max_sessions} in all and {limits.max_sessions_per_caller} a caller, and none can make "
            f"room: finish or abort sessions, or raise {' and '.join(reached)}",
        )

    def remove(self, session: Session, fate: str) -> bool:
        """Remove a session and remember why; return False if it was gone already."""
        if self.sessions.pop(session.handle, None) is None:
            return False
        owner = session.owner
        if fate is not FINISHED:
            self._unfinished += 1
        if session.free_for is None:
            self._busy -= 1
        # a batch session never ends in the few steps of `finish`, which is for those not in a call
        if self._deadlines:
            self._deadlines.pop(session.handle, None)
        if session.held:
            self.held -= session.held
            session.held = 0
        # consecutive sessions of one owner that ended for the same reason share a number
        record = self._last_fate
        if record[1] != fate or record[0] != owner:
            record = self._last_fate = (owner, fate, self._fates.number(owner, fate))
        latest = self._latest_fates
        latest[session.handle] = record[2]
        if self._notes:
            self._forget(session)
        if len(latest) >= self._room:
            self._pack_fates()
        return True

    def _pack_fates(self) -> None:
        self._fates.pack()
        self._last_fate = _NO_FATE  # its number is valid until `pack` only, which may begin a new volume

    def _new_handles(self) -> list[int]:
        """Handles that no session has. Only `open` hands them out."""
        # Handles may be drawn ahead, unlike the bytes of keys, because a handle is of use only in the process that
        # issued it. But a client that is sent to another child of the same parent must not meet a stranger's
        # session there, so a child draws new ones. (Copies of a whole machine do issue the same handles, until
        # those that were drawn before the copy are used up.)
        handles = self._handles
        handles.clear()
        self._fork_watch.renew()
        while not handles:
            # one system call draws many handles
            batch = self._handle_batch
            random = struct.unpack(f"{batch}Q", random_bytes(8 * batch))
            fresh: Iterable[int] = {number & self._mask for number in random} - {0}
            if self._mask == _DEVICE_HANDLE_MASK:
                # Of 2^32 numbers, one in 4,000 belongs to one of the last million ended sessions, so these are
                # looked up. Of 2^53 it is one in 9,000,000,000, and a look-up takes longer than a session.
                fresh = [handle for handle in fresh if handle not in self._fates]
            handles.extend(filterfalse(self.sessions.__contains__, fresh))
        return handles


def _fate(cause: str, idle: float) -> str:
    # Whole seconds, so that the many sessions of a purge share few texts: what is made for more of them settles between the
    # freed sessions, and keeps their memory from going back to the system.
    seconds = f"{idle:.0f}" if idle >= 1 else "less than 1"
    return f"it {'' if cause == IDLE else 'was '}{cause} after {seconds} s idle"
