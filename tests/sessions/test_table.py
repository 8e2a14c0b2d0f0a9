"""The table of sessions: limits, order of use, staleness, fates, counters."""

import asyncio
import random
import weakref
from contextlib import nullcontext

import pytest

from huks_async.crypto.operation import Operation
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.sessions import table as module
from huks_async.sessions.session import Session
from huks_async.sessions.table import IDLE, SessionTable


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Holding(Operation):
    kind = "aes-gcm"

    def __init__(self, held=0):
        self.held = held


def make(clock=None, **limits):
    options = {name: limits.pop(name) for name in ("device", "debug", "on_purge") if name in limits}
    return SessionTable(Limits(**limits), clock or Clock(), **options)


def open_some(table, count, clock=None, owner="app"):
    handles = []
    for _ in range(count):
        handles.append(table.open(owner, Holding()).handle)
        if clock is not None:
            clock.now += 1
    return handles


def why_gone(table, handle, owner="app"):
    with pytest.raises(BusinessError) as gone:
        table.take(handle, owner)
    assert gone.value.code == 12000011
    return gone.value.message


def test_handles_are_random_numbers_within_a_javascript_number():
    """No two are equal, they use the whole range of 53 bits (a device: 32), and show no order."""
    for device, bits in ((False, 53), (True, 32)):
        handles = open_some(make(device=device), 2000)
        assert len(set(handles)) == 2000
        assert 2 ** (bits - 3) < max(handles) < 2**bits
        assert handles != sorted(handles)


@pytest.mark.parametrize("end", ["finish", "fail", "abort"])
def test_an_ended_session_tells_its_fate_to_its_owner_alone(end):
    """The message says why; another caller learns nothing, and cannot end it either."""
    table = make()
    session = table.open("app", Holding())
    table.abort(session.handle, "other")
    assert "never existed" in why_gone(table, session.handle, "other")
    assert len(table) == 1
    if end == "finish":
        table.finish(table.take(session.handle, "app"))
        expected = "it was finished"
    elif end == "fail":
        table.fail(table.take(session.handle, "app"), "the padding is wrong")
        expected = "it failed: the padding is wrong"
    else:
        table.abort(session.handle, "app")
        expected = "it was aborted"
    assert expected in why_gone(table, session.handle)
    assert "never existed" in why_gone(table, session.handle, "other")
    counts = table.counts
    assert (table.finished, counts.failed, counts.aborted) == (
        end == "finish",
        end == "fail",
        end == "abort",
    )


def test_fates_are_remembered_for_a_million_sessions_and_not_for_ever():
    """Each of the last million ended sessions tells its own fate; memory for them is bounded."""
    clock = Clock()
    table = make(clock)
    told = {}
    for number in range(1_190_000 // 500):
        handles = open_some(table, 500)
        end = ("finish", "fail", "abort", "purge")[number % 4]
        if end == "purge":
            clock.now += 61 + number % 10
            assert table.purge_stale(500, 60.0, "purged on low memory") == 500
            fate = f"purged on low memory after {61 + number % 10} s idle"
        for handle in handles if end != "purge" else ():
            session = table.take(handle, "app")
            if end == "finish":
                table.finish(session)
            elif end == "fail":
                table.fail(session, f"reason {number}")
            else:
                table.give_back(session)
                table.abort(handle, "app")
        if end != "purge":
            fate = {
                "finish": "it was finished",
                "fail": f"it failed: reason {number}",
                "abort": "it was aborted",
            }[end]
        told[handles[number % 500]] = fate
    recent = list(told.items())[-2000:]  # of a million sessions, one in 500
    wrong = [
        (fate, why_gone(table, handle)) for handle, fate in recent if fate not in why_gone(table, handle)
    ]
    assert wrong == []
    assert "ended long ago" in why_gone(table, next(iter(told)))
    assert 1_000_000 <= len(table._fates) <= 1_200_000
    assert "ended long ago" in why_gone(table, recent[0][0], owner="other")


def test_many_different_fates_are_told_in_general():
    """Messages that all differ do not take memory without bound: of too many, the beginning is kept."""
    table = make()
    handles = open_some(table, 100_000)
    for number, handle in enumerate(handles):
        table.fail(table.take(handle, "app"), f"a message of its own, {number}")
    assert "it failed: a message of its own, 0;" in why_gone(table, handles[0])
    assert "it failed; open" in why_gone(table, handles[99_000])


def test_each_of_a_hundred_thousand_owners_is_told_the_fate_of_its_session():
    """A service that names its customers has as many owners as sessions; their ends go on, and no name is kept."""
    table = make()
    told = {}
    for number in range(100_000):
        owner = f"customer {number}"
        session = table.open(owner, Holding())
        table.take(session.handle, owner)
        if number % 2:
            table.finish(session)
        else:
            table.fail(session, "the padding is wrong")
        if number % 500 < 2:
            told[session.handle] = owner, ("it failed: the padding is wrong", "it was finished")[number % 2]
    wrong = [owner for handle, (owner, fate) in told.items() if fate not in why_gone(table, handle, owner)]
    assert wrong == []
    assert {"never existed" in why_gone(table, handle, "customer x") for handle in told} == {True}
    assert {fate for volume in table._fates._volumes for fate in volume.fates} == {
        "it failed: the padding is wrong",
        "it was finished",
    }


def test_fates_are_forgotten_by_halves():
    """What is left when memory stays short are the latest."""
    table = make()
    handles = open_some(table, 60_000)
    for handle in handles:
        table.abort(handle, "app")
    assert table.forget_fates()
    assert "long ago" in why_gone(table, handles[0])
    assert "aborted" in why_gone(table, handles[-1])
    while table.forget_fates():
        pass
    assert "aborted" in why_gone(table, handles[-1])
    assert len(table._fates) < 2048


def test_while_few_sessions_have_ended_there_is_no_fate_to_forget():
    """The latest two thousand are kept: what memory stays short for a young keystore finds."""
    table = make()
    assert not table.forget_fates()
    (handle,) = open_some(table, 1)
    table.abort(handle, "app")
    assert not table.forget_fates()
    assert "aborted" in why_gone(table, handle)


def test_new_handles_on_a_device_are_of_no_session_that_is_remembered():
    """Among 32 bits a chance meeting is likely enough to be looked for."""
    table = make(device=True)
    seen = set()
    for _ in range(5000):
        session = table.open("app", Holding())
        assert session.handle not in seen
        seen.add(session.handle)
        table.abort(session.handle, "app")


def test_a_busy_session_refuses_a_second_call_and_ignores_abort():
    """12000011 for the call, nothing for the abort."""
    table = make()
    session = table.open("app", Holding())
    table.take(session.handle, "app")
    assert "another call running" in why_gone(table, session.handle)
    table.abort(session.handle, "app")
    assert len(table) == 1
    assert table.count_busy() == 1
    table.give_back(session)
    assert table.count_busy() == 0
    assert table.take(session.handle, "app") is session


def test_purge_takes_the_longest_idle_first_in_batches():
    """Oldest use first, no more than asked for, none that is not stale, with the documented message."""
    clock = Clock()
    table = make(clock)
    handles = open_some(table, 10, clock)
    table.give_back(table.take(handles[0], "app"))  # used last
    clock.now += 55  # handles 1 … 4 are idle for more than 60 s, 5 for 60 s
    assert table.count_stale() == 4
    assert table.purge_stale(2, 60.0, "purged on low memory") == 2
    assert "purged on low memory after 64 s idle" in why_gone(table, handles[1])
    assert "purged on low memory after 63 s idle" in why_gone(table, handles[2])
    assert table.purge_stale(100, 60.0, "purged on low memory") == 2
    assert table.purge_stale(100, 60.0, "purged on low memory") == 0
    assert set(table.sessions) == {handles[0], *handles[5:]}
    assert table.counts.purged == {"purged on low memory": 4}


def test_exactly_stale_is_not_stale():
    """Longer than the limit, not as long."""
    clock = Clock()
    table = make(clock)
    open_some(table, 1)
    clock.now += 60
    assert table.purge_stale(1, 60.0, "purged") == 0
    clock.now += 0.001
    assert table.purge_stale(1, 60.0, "purged") == 1


def test_purge_never_touches_a_session_in_a_call_and_goes_past_it():
    """Busy sessions at the head stay, and those behind them go."""
    clock = Clock()
    table = make(clock)
    handles = open_some(table, 6)
    busy = [table.take(handle, "app") for handle in handles[:3]]
    clock.now += 1000
    assert table.purge_stale(100, 60.0, "purged") == 3
    assert set(table.sessions) == set(handles[:3])
    for session in busy:
        table.give_back(session)
    assert table.purge_stale(100, 60.0, "purged") == 0, "their idle time begins when the call ends"


def test_idle_time_begins_when_a_call_ends():
    """A session whose call ran long stands behind those that were used meanwhile."""
    clock = Clock()
    table = make(clock)
    long_call = table.open("app", Holding())
    table.take(long_call.handle, "app")
    clock.now += 10
    other = table.open("app", Holding())
    clock.now += 10
    table.give_back(long_call)
    clock.now += 55
    assert table.purge_stale(10, 60.0, "purged") == 1
    assert "after 65 s" in why_gone(table, other.handle)
    assert table.take(long_call.handle, "app") is long_call


@pytest.fixture
def looks(monkeypatch):
    """How often a session was asked when it was used or opened, in a list of one number."""
    looked = [0]

    class Counting(Session):
        __slots__ = ("_order", "_used")

        @property
        def order(self):
            looked[0] += 1
            return self._order

        @order.setter
        def order(self, value):
            self._order = value

        @property
        def used(self):
            looked[0] += 1
            return self._used

        @used.setter
        def used(self, value):
            self._used = value

    monkeypatch.setattr(module, "Session", Counting)
    return looked


def test_a_purge_that_finds_nothing_looks_at_one_session(looks):
    """Its cost does not grow with the number of open sessions."""
    seen = {}
    for count in (10, 5000):
        table = make()
        open_some(table, count)
        looks[0] = 0
        assert table.purge_stale(500, 60.0, "purged") == 0
        seen[count] = looks[0]
    assert seen[10] == seen[5000] <= 2


@pytest.mark.parametrize("stale", [0, 1, 20, 998, 1003, 2900, 3000])
def test_stale_and_busy_sessions_are_counted_without_looking_at_all(stale, looks):
    """Exactly, if either they or the others are fewer than a thousand; those in a call are counted apart."""
    clock = Clock()
    table = make(clock)
    handles = open_some(table, stale)
    clock.now += 61
    handles += open_some(table, 3000 - stale)
    in_a_call = handles[::7]
    for handle in in_a_call:
        table.take(handle, "app")
    looks[0] = 0
    assert table.count_busy() == len(in_a_call)
    expected = len(set(handles[:stale]) - set(in_a_call))
    found = table.count_stale()
    assert found == expected or (found in range(850, 1000) and 1003 <= stale < 2900)
    assert looks[0] <= 2000


def test_sessions_in_a_call_are_counted_whatever_ends_the_call():
    """Given back, finished, failed, abandoned, holding too much, or closed with the table."""
    table = make(max_held_bytes=100)
    sessions = [table.open("app", Holding()) for _ in range(7)]
    for count, session in enumerate(sessions):
        assert table.count_busy() == count
        table.take(session.handle, "app")
    with pytest.raises(BusinessError):
        table.take(sessions[0].handle, "app")
    table.give_back(sessions[0])
    table.finish(sessions[1])
    table.fail(sessions[2], "the padding is wrong")
    table.fail(sessions[2], "the padding is wrong")
    table.abandon(sessions[3].handle, "app")
    assert table.count_busy() == 4
    table.give_back(sessions[3])
    sessions[4].operation.held = 101
    with pytest.raises(BusinessError):
        table.give_back(sessions[4])
    assert table.count_busy() == 2
    table.finish(table.take(sessions[0].handle, "app"))
    assert table.count_busy() == 2
    table.close()
    assert table.count_busy() == 0
    table.give_back(sessions[5])
    table.finish(sessions[6])
    assert table.count_busy() == 0


def test_a_table_that_gave_back_its_memory_keeps_nothing_of_sessions_that_end_later():
    """Their operations, which hold keys, go with them and not with the keystore."""
    table = make()
    sessions = [table.open("app", Holding()) for _ in range(100)]
    operations = [weakref.ref(session.operation) for session in sessions]
    table.compact()
    for session in sessions:
        table.finish(session)
    del session, sessions
    assert [operation() for operation in operations if operation() is not None] == []


def test_on_purge_is_told_of_every_purge_and_may_fail(caplog):
    """Batches, room that was made, the idle limit; what it raises is logged and does no harm."""
    clock, told = Clock(), []

    def on_purge(count):
        told.append(count)
        raise RuntimeError("the callback is broken")

    table = make(clock, max_sessions=5, max_idle=100.0, on_purge=on_purge)
    handles = open_some(table, 5)
    clock.now += 61
    table.open("app", Holding())
    assert told == [1]
    assert "purged to make room after 61 s idle" in why_gone(table, handles[0])
    table.purge_stale(2, 60.0, "purged")
    assert told == [1, 2]
    clock.now += 40
    assert "it timed out after 101 s idle" in why_gone(table, handles[4])
    assert told == [1, 2, 1]
    assert table.counts.purged == {"purged to make room": 1, "purged": 2, IDLE: 1}
    assert caplog.text.count("on_purge failed") == 3


@pytest.mark.parametrize(
    ("idle", "told"), [(0.3125, "less than 1"), (0.99, "less than 1"), (1.25, "1"), (7.0, "7")]
)
def test_why_a_session_has_gone_tells_how_long_it_idled(idle, told):
    """Also where that was no whole second."""
    clock = Clock()
    table = make(clock, max_idle=0.03)
    (handle,) = open_some(table, 1)
    clock.now += idle
    assert f"it timed out after {told} s idle" in why_gone(table, handle)


@pytest.mark.parametrize("ends", [False, True])
def test_on_purge_ends_its_caller_only_by_what_ends_a_program(caplog, ends):
    """A cancellation that comes out of it is somebody else's, and ended a task that nobody had cancelled."""
    clock = Clock()

    def on_purge(count):
        raise SystemExit if ends else asyncio.CancelledError("somebody else's")

    table = make(clock, on_purge=on_purge)
    open_some(table, 2)
    clock.now += 61
    with pytest.raises(SystemExit) if ends else nullcontext():
        assert table.purge_stale(5, 60.0, "purged") == 2
    assert (len(table), caplog.text.count("on_purge failed")) == (0, not ends)


def test_at_the_limit_a_server_refuses_unless_one_is_stale():
    """12000010 names the limit; a session in a call makes no room however old."""
    clock = Clock()
    table = make(clock, max_sessions=3)
    handles = open_some(table, 3)
    with pytest.raises(BusinessError, match=r"3 sessions are open.*Limits\.max_sessions") as full:
        table.open("app", Holding())
    assert full.value.code == 12000010
    for handle in handles:
        table.take(handle, "app")
    clock.now += 1000
    with pytest.raises(BusinessError):
        table.open("app", Holding())
    assert len(table) == 3


def test_a_limit_for_each_caller():
    """One caller at its limit does not keep another one out."""
    table = make(max_sessions_per_caller=2)
    open_some(table, 2)
    with pytest.raises(BusinessError) as full:
        table.open("app", Holding())
    assert full.value.code == 12000010
    open_some(table, 2, owner="other")
    assert len(table) == 4


@pytest.mark.parametrize("evict", [False, True])
@pytest.mark.parametrize(
    ("most", "most_of_one", "mine", "way_out"),
    [
        (3, 9, 1, "3 sessions are open, 1 of them .* raise Limits.max_sessions$"),
        (9, 2, 2, "3 sessions are open, 2 of them .* raise Limits.max_sessions_per_caller$"),
        (3, 2, 2, "3 sessions .* raise Limits.max_sessions and Limits.max_sessions_per_caller$"),
    ],
)
def test_the_limit_that_was_reached_is_named(evict, most, most_of_one, mine, way_out):
    """With how many sessions are the caller's own, also where idle ones would be evicted."""
    table = make(max_sessions=most, max_sessions_per_caller=most_of_one, evict_oldest_idle=evict)
    for owner, count in (("app", mine), ("other", 3 - mine)):
        for handle in open_some(table, count, owner=owner):
            table.take(handle, owner)
    with pytest.raises(BusinessError, match=way_out):
        table.open("app", Holding())


def test_batch_sessions_that_are_over_make_room_and_are_forgotten_when_they_end():
    """Those in a call stay; what ended is kept by nothing, and noting one looks at no other."""
    clock = Clock()
    table = make(clock, max_sessions=4)
    sessions = [table.open("app", Holding()) for _ in range(4)]
    operations = [weakref.ref(session.operation) for session in sessions]
    for seconds, session in enumerate(sessions):
        table.set_deadline(session, clock.now + seconds)
    table.take(sessions[0].handle, "app")
    with pytest.raises(BusinessError):
        table.open("app", Holding())
    clock.now += 1.5  # the first is in a call, the second over
    table.open("app", Holding())
    assert "its time as a batch session was over" in why_gone(table, sessions[1].handle)
    table.finish(sessions[0])
    table.abort(sessions[2].handle, "app")
    del session, sessions[:3]
    assert [operation() is None for operation in operations] == [True, True, True, False]
    clock.now += 10
    handles = open_some(table, 2)
    with pytest.raises(BusinessError):
        open_some(table, 2)
    assert "its time as a batch session was over" in why_gone(table, sessions[0].handle)
    assert set(handles) < set(table.sessions)
    table.close()
    while table.release(10):
        pass
    del sessions
    assert operations[3]() is None


def test_sessions_after_one_that_was_left_in_a_call_end_in_few_steps(monkeypatch):
    """One that its block has left is on the table's mind only until its call ends."""
    table = make()
    left = table.open("app", Holding())
    table.take(left.handle, "app")
    table.abandon(left.handle, "app")
    table.give_back(left)
    table.finish(table.open("app", Holding()))  # the first of its kind is noted
    monkeypatch.setattr(SessionTable, "remove", None)
    table.finish(table.open("app", Holding()))
    assert len(table) == 0


def test_a_device_evicts_the_first_opened_that_is_idle():
    """By the order of opening, not of use; sessions in a call are passed over; all busy is 12000010."""
    table = SessionTable(Limits.device(), Clock(), device=True)
    handles = open_some(table, 32)
    table.give_back(table.take(handles[0], "app"))
    table.take(handles[1], "app")
    handles += open_some(table, 2)
    assert "evicted" in why_gone(table, handles[0])
    assert "another call running" in why_gone(table, handles[1])
    assert "evicted" in why_gone(table, handles[2])
    assert table.counts.evicted == 2
    for session in list(table.sessions.values()):
        session.free_for = None
    with pytest.raises(BusinessError) as full:
        table.open("app", Holding())
    assert full.value.code == 12000010


@pytest.mark.parametrize("seed", range(4))
def test_evicted_is_what_was_opened_first_of_what_is_idle(seed):
    """In any order of calls and ends, of the caller's own at its limit, and of all at theirs."""
    draw = random.Random(seed)
    table = make(max_sessions=20, max_sessions_per_caller=9, evict_oldest_idle=True)
    left = []  # owner and handle, in the order of opening
    for _ in range(1500):
        step = draw.choice(("open", "open", "take", "give back", "end", "compact"))
        if step == "open":
            owner = draw.choice(("a", "b", "c"))
            own = [one for one in left if one[0] == owner]
            full = own if len(own) == 9 else left if len(left) == 20 else []
            idle = [one for one in full if not table.sessions[one[1]].busy]
            if full and not idle:
                with pytest.raises(BusinessError):
                    table.open(owner, Holding())
            else:
                left = [one for one in left if one not in idle[:1]]
                left.append((owner, table.open(owner, Holding()).handle))
        elif step == "compact":
            table.compact()
        elif left:
            one = owner, handle = draw.choice(left)
            session = table.sessions[handle]
            if step == "take" and not session.busy:
                table.take(handle, owner)
            elif step == "give back" and session.busy:
                table.give_back(session)
            elif step == "end" and draw.random() < 0.2:
                table.finish(session)
                left.remove(one)
        assert set(table.sessions) == {handle for _, handle in left}
    assert table.counts.evicted > 100


def test_evicting_looks_at_the_sessions_in_a_call_alone(looks):
    """Its cost does not grow with the number of open sessions."""
    table = make(max_sessions=3000, evict_oldest_idle=True)
    handles = open_some(table, 3000)
    looks[0] = 0
    table.take(handles[0], "app")
    open_some(table, 10)
    assert "evicted" in why_gone(table, handles[10])
    assert handles[11] in table.sessions
    assert looks[0] <= 20
    table.close()
    while table.release(100):
        pass


def test_the_limit_of_all_callers_of_a_device():
    """At 96 in all, the first opened goes, whoever owns it."""
    table = SessionTable(Limits.device(), Clock(), device=True)
    handles = [open_some(table, 32, owner=f"app{number}") for number in range(3)]
    open_some(table, 1, owner="app9")
    assert len(table) == 96
    assert "evicted" in why_gone(table, handles[0][0], "app0")


def test_the_idle_limit_holds_at_once_without_any_timer():
    """A call on a session that idled too long finds it gone; one in time goes through."""
    clock = Clock()
    table = make(clock, max_idle=10.0)
    first, second = open_some(table, 2)
    clock.now += 10
    table.give_back(table.take(first, "app"))
    clock.now += 0.5
    assert "it timed out after 10 s idle" in why_gone(table, second)
    table.give_back(table.take(first, "app"))
    assert table.next_idle_end() == 10.0


def test_sessions_beyond_the_idle_limit_make_room():
    """Even where the idle limit is shorter than the stale rule."""
    clock = Clock()
    table = make(clock, max_idle=10.0, max_sessions=1)
    open_some(table, 1)
    clock.now += 11
    open_some(table, 1)
    assert len(table) == 1


def test_held_bytes_are_counted_and_bounded():
    """Bytes come and go with their sessions; the session that breaks the bound is ended with 12000014."""
    table = make(max_held_bytes=100)
    operation = Holding()
    session = table.open("app", operation)
    table.take(session.handle, "app")
    operation.held = 60
    table.give_back(session)
    other_operation = Holding()
    other = table.open("app", other_operation)
    table.take(other.handle, "app")
    other_operation.held = 41
    with pytest.raises(BusinessError, match=r"101 bytes, accepted 100.*max_held_bytes") as full:
        table.give_back(other)
    assert full.value.code == 12000014
    assert "held too many bytes" in why_gone(table, other.handle)
    assert table.held == 60
    assert table.counts.peak_bytes == 101
    table.abort(session.handle, "app")
    assert table.held == 0


def test_a_closed_table_takes_no_session():
    """What was open is gone with that reason, and a late opening is refused."""
    table = make(max_sessions=10)
    session = table.open("app", Holding(5))
    table.take(session.handle, "app")
    table.close()
    table.give_back(session)
    assert len(table) == 0
    assert table.held == 0
    assert "its keystore was closed" in why_gone(table, session.handle)
    with pytest.raises(BusinessError, match="closed") as refused:
        table.open("app", Holding())
    assert refused.value.code == 12000012


def test_debug_mode_names_the_place_of_each_session_left():
    """Only those left open, and this file in the report."""
    table = make(debug=True)
    kept, ended = open_some(table, 2)
    table.abort(ended, "app")
    (line,) = table.close()
    assert str(kept) in line
    assert "test_table.py" in line
    assert "open_some" in line
    assert "sessions/table.py" not in line


class AlwaysRemoves(SessionTable):
    """A table that ends every session in the general way."""

    __slots__ = ()

    def finish(self, session):
        self.remove(session, module.FINISHED)


@pytest.mark.parametrize("seed", range(12))
def test_finishing_in_few_steps_does_what_removing_does(seed, monkeypatch):
    """In any order with other ends, owners, held bytes, debug mode and full records; sessions end twice, too."""
    monkeypatch.setattr("huks_async.sessions.fates._RUN", 4)
    monkeypatch.setattr("huks_async.sessions.fates._RUNS", 2)
    draw = random.Random(seed)
    clock = Clock()
    kinds = (SessionTable, AlwaysRemoves)
    short, long = tables = [
        kind(Limits(max_sessions=40, max_sessions_per_caller=40), clock, debug=seed % 4 == 3)
        for kind in kinds
    ]
    owners = ["app"] if seed % 3 == 0 else ["app", "other", "app", "app"]
    pairs, ended, finished = [], [], 0
    for _ in range(600):
        clock.now += draw.random()
        step = draw.choice(
            ("open", "open", "finish", "finish", "finish", "abort", "fail", "again", "abandon")
        )
        if step == "open" and len(pairs) < 39:
            owner, held = draw.choice(owners), draw.choice((0, 0, 0, 5))
            pair = [table.open(owner, Holding(held)) for table in tables]
            for table, session in zip(tables, pair, strict=True):
                table.give_back(table.take(session.handle, owner))
            pairs.append(pair)
        elif step == "again" and ended:
            for table, session in zip(tables, draw.choice(ended), strict=True):
                table.finish(session)
        elif pairs and step in ("finish", "abort", "fail", "abandon"):
            pair = pairs.pop(draw.randrange(len(pairs)))
            ended.append(pair)
            finished += step == "finish"
            for table, session in zip(tables, pair, strict=True):
                if step == "finish":
                    table.finish(session)
                elif step == "fail":
                    table.fail(session, "the padding is wrong")
                else:
                    getattr(table, step)(session.handle, session.owner)
        assert len(short) == len(long) == len(pairs)
        assert (short.opened, short.held) == (long.opened, long.held)
        assert short.finished == long.finished == finished
        assert (vars_of(short.counts), short.owners()) == (vars_of(long.counts), long.owners())
    assert finished > 50
    for pair in ended:
        for owner in set(owners):
            texts = [
                why_gone(table, session.handle, owner).replace(str(session.handle), "…")
                for table, session in zip(tables, pair, strict=True)
            ]
            assert texts[0] == texts[1]
    left = [[line.partition("\n")[0].split(" ", 2)[2] for line in table.close()] for table in tables]
    assert left[0] == left[1]
    assert short.finished == long.finished == finished


def test_a_session_is_entered_where_on_purge_compacts_the_table():
    """The function that is told of a purge may begin another, and that lets go of the table's memory."""
    clock = Clock()
    table = make(clock, max_sessions=2, on_purge=lambda ended: table.compact())
    open_some(table, 2, clock)
    clock.now += 100
    handle = table.open("app", Holding()).handle
    assert table.find(handle, "app").handle == handle
    assert len(table) == 2


def test_no_session_is_entered_where_on_purge_closes_the_table():
    """It would never end."""
    clock = Clock()
    table = make(clock, max_sessions=2, on_purge=lambda ended: table.close())
    open_some(table, 2, clock)
    clock.now += 100
    with pytest.raises(BusinessError, match="closed while the session was being opened"):
        table.open("app", Holding())
    assert len(table) == 0


def vars_of(counts):
    return {name: getattr(counts, name) for name in counts.__slots__}
