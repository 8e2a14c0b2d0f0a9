"""Sessions and keys against a plain model: any order of steps, up to 50 sessions at once."""

import asyncio
import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.adversity.machine import KINDS, MOST, STALE, Machine

kinds = st.sampled_from(KINDS)
pieces = st.binary(max_size=60)


class Sessions(RuleBasedStateMachine):
    """Each rule is one step on the keystore and on the model, with all answers compared."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.machine = Machine()
        self.run(self.machine.start())

    def run(self, step):
        self.loop.run_until_complete(step)

    def teardown(self):
        self.run(self.machine.stop())
        self.loop.close()

    def handle(self, number, dead=False):
        """One of the open sessions, or of those that ended."""
        of = self.machine.ended if dead or not self.machine.sessions else self.machine.sessions
        handles = list(of)
        return handles[number % len(handles)] if handles else 4711

    @rule(kind=kinds, times=st.integers(1, 30))
    def init(self, kind, times):
        for _ in range(times):
            self.run(self.machine.init(kind))

    @rule(number=st.integers(0, 99), piece=pieces, dead=st.booleans())
    def update(self, number, piece, dead):
        self.run(self.machine.update(self.handle(number, dead), piece))

    @rule(number=st.integers(0, 99), piece=pieces)
    def finish(self, number, piece):
        self.run(self.machine.finish(self.handle(number), piece))

    @rule(number=st.integers(0, 99), dead=st.booleans())
    def abort(self, number, dead):
        self.run(self.machine.abort(self.handle(number, dead)))

    @rule(number=st.integers(0, 99), last=st.booleans())
    def cancel(self, number, last):
        self.run(self.machine.cancel(self.handle(number), last))

    @rule(kind=kinds)
    def delete_key(self, kind):
        self.run(self.machine.delete_key(kind))

    @rule(kind=kinds, seed=st.integers(0, 9))
    def replace_key(self, kind, seed):
        self.run(self.machine.replace_key(kind, seed))

    @rule()
    def purge(self):
        self.run(self.machine.purge())

    @rule(seconds=st.sampled_from([0.0, 1.0, 59.0, 60.0, 61.0, 499.0, 500.0, 501.0]))
    def advance(self, seconds):
        self.run(self.machine.advance(seconds))

    @precondition(lambda self: len(self.machine.sessions) > 3)
    @rule()
    def reopen(self):
        self.run(self.machine.reopen())

    @invariant()
    def agree(self):
        async def look():  # in the loop that the keystore belongs to
            self.machine.check()

        self.run(look())


Sessions.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestSessions = Sessions.TestCase
TestSessions.pytestmark = [pytest.mark.timeout(1200)]  # many steps, on a slow machine


def test_three_thousand_random_steps_agree_with_the_model():
    """The long run's steps, weighed as a service would, for three thousand of them."""

    async def main():
        machine, rng = Machine(), random.Random(7)
        await machine.start()
        for _ in range(3000):
            await machine.random_step(rng)
            machine.check()
        await machine.stop()

    asyncio.run(main())


def test_of_sessions_used_at_one_reading_of_the_clock_the_first_makes_room():
    """The order of use decides where the time of use does not: a full table, of which one session was fed."""

    async def main():
        machine = Machine()
        await machine.start()
        for _ in range(MOST):
            await machine.init("gcm")
        await machine.update(next(iter(machine.sessions)), b"x")
        await machine.advance(STALE + 1)
        for _ in range(MOST):
            await machine.init("gcm")
            machine.check()
        await machine.stop()

    asyncio.run(main())
