"""The command: `python -m benchmarks`."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import benchmarks.metrics  # noqa: F401  # enters the metrics
from benchmarks import machine, side_by_side
from benchmarks.comparing import differences, measured, slower, unpaired
from benchmarks.measuring import Settings
from benchmarks.metric import METRICS, PeerMissing, describe, record, record_missing
from benchmarks.pictures import pictures
from benchmarks.tables import markdown, number

T = TypeVar("T")
_PEERS = "peers"


def main() -> int:
    """Measure, write, compare; 1 where something became slower or, with --gate, a floor was missed.

    What holds nothing against anything gives 1, too. A peer that is not installed is named and does not.
    """
    arguments = _parser().parse_args()
    if arguments.list:
        for each in _metrics(None):
            print(f"{each.number:>3} {each.name:16} {each.title}")
        print(f"    {_PEERS:16} single operations of all peers")
        return 0
    # read before anything is written: both may be the same file
    old = json.loads(arguments.compare.read_text()) if arguments.compare else None
    if arguments.read:
        result = json.loads(arguments.read.read_text())
    else:
        result = _measure(arguments)
    _write(result, arguments.out)
    failed = False
    if old is not None:
        failed = _compare(old, result)
    missed = [each["name"] for each in result["metrics"] if each.get("verdict") == "missed"]
    if missed:
        print(f"worse than the floor: {', '.join(missed)}")
    return 1 if failed or (arguments.gate and (missed or _ungated(result))) else 0


def _ungated(result: dict[str, Any]) -> bool:
    """Name what no floor was held against; whether that is everything."""
    known = measured(result)
    unmeasured = [each["name"] for each in result["metrics"] if each["name"] not in known]
    if unmeasured:
        print(f"not measured, so not held against a floor: {', '.join(unmeasured)}")
    if not known:
        print("nothing was measured that has a floor")
    return not known


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="smaller amounts: a first look in under a minute"
    )
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="one metric, by name or number; repeatable"
    )
    parser.add_argument("--list", action="store_true", help="show the names and end")
    parser.add_argument("--rounds", type=int, help="rounds of each comparison; default 11, quick 7")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop instead of asyncio's own loop")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where databases are written")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"), help="folder of the results")
    parser.add_argument("--compare", metavar="OLD.json", type=Path, help="name what became slower since")
    parser.add_argument("--read", metavar="NEW.json", type=Path, help="use this result instead of measuring")
    parser.add_argument(
        "--gate", action="store_true", help="exit status 1 when a floor is missed or nothing measured"
    )
    return parser


def _metrics(only: list[str] | None) -> list[Any]:
    chosen = [each for _, each in sorted(METRICS.items())]
    if only is None:
        return chosen
    known = {each.name for each in chosen} | {str(each.number) for each in chosen} | {_PEERS}
    if unknown := set(only) - known:
        sys.exit(f"no such metric: {', '.join(sorted(unknown))}; --list shows all")
    return [each for each in chosen if each.name in only or str(each.number) in only]


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    quick = arguments.quick
    rounds = arguments.rounds or (7 if quick else 11)
    settings = Settings(
        quick=quick, rounds=rounds, slice_seconds=0.02 if quick else 0.05, folder=arguments.folder
    )
    factory = _uvloop_factory() if arguments.uvloop else None

    def run(work: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(work)

    result: dict[str, Any] = {
        "format": 1,
        "machine": machine.facts(arguments.folder),
        "settings": {
            "quick": quick,
            "rounds": rounds,
            "slice_seconds": settings.slice_seconds,
            "event_loop": "uvloop" if arguments.uvloop else "asyncio",
        },
        "metrics": [],
    }
    start = time.perf_counter()
    for metric in _metrics(arguments.only):
        _say(f"{metric.number:>3} {describe(metric, quick=quick)['title']} …")
        try:
            found = record(metric, run(metric.measure(settings)), quick=quick)
        except PeerMissing as why:
            found = record_missing(metric, str(why), quick=quick)
            print(f"     missing: {why}")
        else:
            print(f"     {number(found['value'])} ({found['verdict']})")
        result["metrics"].append(found)
    if arguments.only is None or _PEERS in arguments.only:
        result["peers"] = run(side_by_side.measure(settings, lambda title: _say(f"    {title} …")))
        result["openssl_speed"] = None if quick else machine.openssl_speed()
    _say(f"{time.perf_counter() - start:.0f} s")
    return result


def _uvloop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        sys.exit("--uvloop: uvloop is not installed")
    return uvloop.new_event_loop


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _write(result: dict[str, Any], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    (out / "results.md").write_text(markdown(result))
    for name, picture in pictures(result):
        (out / name).write_text(picture)
    print(f"written to {out}: results.json, results.md and pictures")


def _compare(old: dict[str, Any], new: dict[str, Any]) -> bool:
    for line in differences(old, new):
        print(f"not the same: {line}")
    lines = slower(old, new)
    for line in lines:
        print(f"slower: {line}")
    for line in unpaired(old, new):
        print(f"not compared: {line}")
    compared = measured(old) & measured(new)
    if not compared:
        print("nothing was compared: the results have no metric in common")
    elif not lines:
        print(f"nothing became slower beyond the noise; metrics compared: {len(compared)}")
    return bool(lines) or not compared


if __name__ == "__main__":
    sys.exit(main())
