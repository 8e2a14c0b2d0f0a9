"""Memory of open sessions, measured from outside: resident bytes of processes that hold many of them."""

import os
import statistics
import subprocess
import sys

from benchmarks.measuring import Settings
from benchmarks.metric import Outcome, metric


def _child(settings: Settings, what: str) -> list[float]:
    """Let a new process hold sessions and report."""
    count = 20_000 if settings.quick else 100_000
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.holder", what, str(count), settings.folder],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return [float(number) for number in process.stdout.split()]


def _rounds(settings: Settings) -> int:
    """Each is a process that holds very many sessions, so there are fewer than of other metrics."""
    return min(settings.rounds, 2 if settings.quick else 7)


@metric(
    15, "session-bytes", "resident bytes of an idle session / of a raw GCM context", target=0.25, floor=0.5
)
async def resident(settings: Settings) -> Outcome:
    """A session that was opened and not fed yet, against a GCM context of `cryptography`, among very many."""
    idle, raw, fed = [], [], []
    for _ in range(_rounds(settings)):
        idle.append(_child(settings, "idle")[0])
        raw.append(_child(settings, "raw")[0])
        fed.append(_child(settings, "fed")[0])
    return Outcome(
        values=[mine / other for mine, other in zip(idle, raw, strict=True)],
        parts={
            "idle session": statistics.median(idle),
            "session fed once": statistics.median(fed),
            "raw GCM context": statistics.median(raw),
        },
        unit="bytes",
    )


@metric(
    16,
    "purged-bytes",
    "session memory given back after purging 10⁵",
    quick_title="session memory given back after purging 2·10⁴",
    target=0.9,
    floor=0.7,
    higher=True,
)
async def given_back(settings: Settings) -> Outcome:
    """The share of what fed sessions made resident that the system has back after a purge."""
    fed = [_child(settings, "fed")[1] for _ in range(_rounds(settings))]
    idle = [_child(settings, "idle")[1] for _ in range(_rounds(settings))]
    return Outcome(
        values=fed, parts={"fed": statistics.median(fed), "idle": statistics.median(idle)}, unit="share"
    )
