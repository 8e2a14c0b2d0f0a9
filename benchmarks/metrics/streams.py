"""Streams: 100 MB in segments of 100 KB, the size that HUKS advises.

Each side runs in a process of its own, and the processes take turns: what a process has allocated and
freed before decides how much the memory of large results costs. glibc raises its thresholds as a process
frees large blocks, and whether that has happened by then is chance. So both sides have the thresholds with
which every process starts, held fixed; the same with thresholds that have grown is reported, too.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.measuring import Settings
from benchmarks.metric import Outcome, metric
from benchmarks.streamer import SEGMENT_BYTES

_MEGABYTES = 100
_AT_START = {"MALLOC_TRIM_THRESHOLD_": str(128 * 1024), "MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}
_GROWN = {"MALLOC_TRIM_THRESHOLD_": str(64 * 1024**2), "MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2)}

_SIDES = {
    "huks_async": ("ours", _AT_START),
    "cryptography update": ("raw", _AT_START),
    "cryptography update beside huks_async": ("beside", _AT_START),
    "huks_async, grown thresholds": ("ours", _GROWN),
    "cryptography update, grown thresholds": ("raw", _GROWN),
}


@contextmanager
def _streamer(
    side: str, key: str, segments: int, settings: Settings, memory: dict[str, str]
) -> Iterator[Callable[[], float]]:
    """A process that streams when called; gives the seconds of one stream."""
    command = [sys.executable, "-m", "benchmarks.streamer", side, key, str(segments), settings.folder]
    environment = os.environ | memory | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told, heard = process.stdin, process.stdout
        assert heard.readline() == "ready\n", f"the process for {side} did not start"

        def stream() -> float:
            told.write("\n")
            told.flush()
            return float(heard.readline())

        yield stream
        told.close()


async def _throughput(settings: Settings, key: str) -> Outcome:
    segments = round(_MEGABYTES * 1e6 / SEGMENT_BYTES)
    seconds: dict[str, list[float]] = {name: [] for name in _SIDES}
    with ExitStack() as stack:
        streams = {
            name: stack.enter_context(_streamer(side, key, segments, settings, memory))
            for name, (side, memory) in _SIDES.items()
        }
        for turn in range(settings.rounds):
            order = list(_SIDES)
            first = turn % len(order)
            for name in order[first:] + order[:first]:
                seconds[name].append(streams[name]())
    amount = segments * SEGMENT_BYTES / 1e6
    return Outcome(
        # throughput is the inverse of time
        values=[
            raw / ours
            for raw, ours in zip(seconds["cryptography update"], seconds["huks_async"], strict=True)
        ],
        parts={name: amount / statistics.median(seconds[name]) for name in _SIDES},
        unit="MB/s",
    )


@metric(5, "stream-gcm", "100 MB AES-256-GCM by 100 KB, throughput / raw", target=0.9, floor=0.8, higher=True)
async def gcm(settings: Settings) -> Outcome:
    """A GCM session that lets others run, against an uninterrupted loop of `update`."""
    return await _throughput(settings, "gcm")


@metric(6, "stream-cbc", "100 MB AES-256-CBC by 100 KB, throughput / raw", target=1.2, floor=1.0, higher=True)
async def cbc(settings: Settings) -> Outcome:
    """A CBC session with PKCS7 against an uninterrupted loop of `update`, both giving new bytes."""
    return await _throughput(settings, "cbc")
