"""How several processes that write one store get in each other's way: `python -m benchmarks.many_writers`.

Each process makes a key every few milliseconds. Given are the latencies of one process alone and of each of
several, and how many more keys these make together.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import huks_async as huks
from benchmarks import ours


async def _write(path: str, seconds: float, every: float) -> list[float]:
    latencies: list[float] = []
    async with huks.Keystore.open(f"sqlite:///{path}", monitor=False) as keystore:
        await keystore.generateKeyItem(f"{time.time_ns()}", ours.KEYS["gcm"])
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        begin = time.perf_counter()
        due, number = begin, 0
        while time.perf_counter() < begin + seconds:
            started = time.perf_counter()
            await keystore.generateKeyItem(f"{time.time_ns()}-{number}", ours.KEYS["gcm"])
            latencies.append(time.perf_counter() - started)
            number += 1
            due = max(due + every, time.perf_counter())
            await asyncio.sleep(due - time.perf_counter())
    return latencies


def _run(processes: int, seconds: float, every: float, folder: str) -> tuple[int, list[float]]:
    """Give the number of keys that were made and all latencies, sorted."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = [sys.executable, "-m", "benchmarks.many_writers", "--writer", f"{place}/keys.db"]
        command += ["--seconds", str(seconds), "--every", str(every)]
        running = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        results = [json.loads(process.communicate()[0]) for process in running]
    return sum(map(len, results)), sorted(latency for result in results for latency in result)


def _milliseconds(latencies: list[float], part: float) -> float:
    return latencies[min(int(len(latencies) * part), len(latencies) - 1)] * 1000


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_writers", description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--every", type=float, default=0.002, help="seconds from one key to the next")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where databases are written")
    parser.add_argument("--writer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.writer:
        print(json.dumps(asyncio.run(_write(arguments.writer, arguments.seconds, arguments.every))))
        return
    Path(arguments.folder).mkdir(parents=True, exist_ok=True)
    ratios = []
    for _ in range(arguments.rounds):
        figures = []
        for processes in (1, arguments.processes):
            keys, latencies = _run(processes, arguments.seconds, arguments.every, arguments.folder)
            figures.append((keys, _milliseconds(latencies, 0.99)))
            print(
                f"{processes} processes: {keys / arguments.seconds:.0f} keys/s; "
                f"p50 {_milliseconds(latencies, 0.5):.2f} ms, p99 {_milliseconds(latencies, 0.99):.2f} ms, "
                f"slowest {_milliseconds(latencies, 1):.1f} ms"
            )
        (one, one_p99), (many, many_p99) = figures
        ratios.append((many_p99 / one_p99, many / one))
    ratios.sort()
    p99, keys_ratio = ratios[len(ratios) // 2]
    print(
        f"p99 of {arguments.processes} / p99 of one: {p99:.1f}; keys of {arguments.processes} / keys of one: {keys_ratio:.2f}"
    )


if __name__ == "__main__":
    main()
