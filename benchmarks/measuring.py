"""Interleaved measuring: all cases take turns in short slices, and only ratios of one round are compared.

On shared machines absolute times swing by a factor of two within minutes, while ratios of slices that
follow each other swing by a tenth. So a result is the median of the ratios of many rounds.
"""

import gc
import inspect
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
Run: TypeAlias = Callable[[int], Awaitable[float | None] | float | None]
"""Does a thing n times. May give the seconds that count, where some of the work is preparation."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How thoroughly to measure.

    Args:
        quick: smaller amounts, for a first look.
        rounds: rounds of every comparison.
        slice_seconds: how long a case runs in each round, about.
        folder: for databases; on the disk that durable writes are to be measured on.
    """

    quick: bool
    rounds: int
    slice_seconds: float
    folder: str


@dataclass(frozen=True, slots=True)
class Case:
    """One side of a comparison."""

    name: str
    run: Run


class Samples:
    """Seconds of one repetition, for each case and round."""

    def __init__(self, seconds: dict[str, list[float]]) -> None:
        self.seconds = seconds

    def ratios(self, case: str, base: str) -> list[float]:
        """Time of a case over time of the base, round by round."""
        return [mine / other for mine, other in zip(self.seconds[case], self.seconds[base], strict=True)]

    def median(self, case: str) -> float:
        """The middle of all rounds, in seconds."""
        return statistics.median(self.seconds[case])

    def microseconds(self) -> dict[str, float]:
        """The middle of all rounds of every case, in µs."""
        return {case: self.median(case) * 1e6 for case in self.seconds}


def calls(function: Callable[[], object]) -> Run:
    """A plain function as something to repeat."""

    def run(times: int) -> None:
        for _ in range(times):
            function()

    return run


async def take_time(run: Run, times: int, clock: Clock = time.perf_counter) -> float:
    """Seconds of `times` repetitions."""
    start = clock()
    counted = run(times)
    if inspect.isawaitable(counted):
        counted = await counted
    passed = clock() - start
    return passed if counted is None else counted


async def interleave(
    settings: Settings, cases: Sequence[Case], *, times: int | None = None, clock: Clock = time.perf_counter
) -> Samples:
    """Run all cases round by round, each round beginning with another one, without garbage collection.

    Args:
        settings: rounds, and seconds of a slice.
        cases: what takes turns.
        times: repetitions in a slice; by default as many as fill it.
        clock: `time.thread_time` where all the work is done in this thread and nothing waits: processor
            time does not swing with what else the machine does.
    """
    repetitions = {}
    for case in cases:
        repetitions[case.name] = times or await _repetitions(case.run, settings.slice_seconds, clock)
        if times:
            await take_time(case.run, times)  # warm
    seconds: dict[str, list[float]] = {case.name: [] for case in cases}
    for turn in range(settings.rounds):
        first = turn % len(cases)
        gc.collect()
        gc.disable()
        try:
            for case in (*cases[first:], *cases[:first]):
                count = repetitions[case.name]
                seconds[case.name].append(await take_time(case.run, count, clock) / count)
        finally:
            gc.enable()
    return Samples(seconds)


async def _repetitions(run: Run, slice_seconds: float, clock: Clock) -> int:
    """How many repetitions fill a slice; trying it warms everything up."""
    times = 1
    while True:
        # the faster of two: a pause of the whole process must not pass for work
        passed = min([await _whole(run, times, clock) for _ in range(2)])
        if passed >= slice_seconds / 3:
            return max(1, round(times * slice_seconds / passed))
        times = times * 2 if passed < slice_seconds / 20 else round(times * slice_seconds / passed / 2) + 1


async def _whole(run: Run, times: int, clock: Clock) -> float:
    """Seconds of `times` repetitions, with whatever does not count."""
    start = clock()
    await take_time(run, times, clock)
    return clock() - start
