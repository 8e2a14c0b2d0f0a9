"""What a metric is, what comes of measuring it, and the list of all of them."""

import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from benchmarks.measuring import Settings


class PeerMissing(Exception):
    """What a metric is compared with is not installed here; the message says what to install."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was measured.

    Args:
        values: the metric in each round; the middle one counts.
        parts: what it was computed from, by name, and what else is worth knowing.
        unit: of the parts.
    """

    values: list[float]
    parts: Mapping[str, float] = field(default_factory=dict)
    unit: str = "µs"


Measure: TypeAlias = Callable[[Settings], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number that the project promises to keep.

    Args:
        number: its place in the table.
        name: for the command line.
        title: what is compared with what.
        quick_title: the same with the smaller amounts of a quick run; empty where the title names none.
        target: where we want to be.
        floor: the worst that is acceptable.
        higher: whether more is better; else less is.
        unit: of the number; empty for ratios.
        measure: gives it.
    """

    number: int
    name: str
    title: str
    quick_title: str
    target: float
    floor: float
    higher: bool
    unit: str
    measure: Measure

    def verdict(self, value: float) -> str:
        """`target`, `floor` (better than the floor, short of the target) or `missed`."""
        sign = -1 if self.higher else 1
        if sign * value <= sign * self.target:
            return "target"
        return "floor" if sign * value <= sign * self.floor else "missed"


METRICS: dict[int, Metric] = {}
"""All metrics by number; filled by the modules in `benchmarks.metrics`."""


def metric(
    number: int,
    name: str,
    title: str,
    *,
    target: float,
    floor: float,
    higher: bool = False,
    unit: str = "",
    quick_title: str = "",
) -> Callable[[Measure], Measure]:
    """Enter a function into the list of metrics."""

    def enter(measure: Measure) -> Measure:
        assert number not in METRICS, f"two metrics have the number {number}"
        METRICS[number] = Metric(
            number=number,
            name=name,
            title=title,
            quick_title=quick_title,
            target=target,
            floor=floor,
            higher=higher,
            unit=unit,
            measure=measure,
        )
        return measure

    return enter


def record(metric: Metric, outcome: Outcome, *, quick: bool = False) -> dict[str, Any]:
    """A metric and its outcome as they stand in the JSON file."""
    value = statistics.median(outcome.values)
    low, high = middle_half(outcome.values)
    return describe(metric, quick=quick) | {
        "value": value,
        "low": low,
        "high": high,
        "verdict": metric.verdict(value),
        "values": outcome.values,
        "parts": dict(outcome.parts),
        "parts_unit": outcome.unit,
    }


def record_missing(metric: Metric, why: str, *, quick: bool = False) -> dict[str, Any]:
    """A metric that could not be measured."""
    return describe(metric, quick=quick) | {"missing": why}


def describe(metric: Metric, *, quick: bool = False) -> dict[str, Any]:
    """What is known of a metric before it is measured."""
    return {
        "number": metric.number,
        "name": metric.name,
        "title": (quick and metric.quick_title) or metric.title,
        "target": metric.target,
        "floor": metric.floor,
        "better": "higher" if metric.higher else "lower",
        "unit": metric.unit,
    }


def middle_half(values: list[float]) -> tuple[float, float]:
    """The quartiles: between them lies the middle half of the values."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high
