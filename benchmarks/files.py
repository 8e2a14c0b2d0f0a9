"""`huks encrypt` and `decrypt` beside `age`, as whole processes: `python -m benchmarks.files`.

Programs take turns over the same random bytes, from file to file and from pipe to pipe. What counts are the
medians of the ratios of rounds, of the time on the wall and of processor time, the start of the process
included. `openssl enc` and `gpg` are there for orientation: the first has no authentication, and gpg's output is
sealed with the same cipher and a passphrase. Each program writes as its users let it; only huks waits until its
output is on the disk. Every input is read once before, so all programs find it in the system's cache. Between two
programs the disk is left to come to rest, or one would wait for what another has not written yet.

The package is compiled first, as an installer does it. Memory is what the process itself reports at its end
(`VmHWM`): what the parent sees of a child (`ru_maxrss`) contains the parent.
"""

import argparse
import compileall
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.pictures import bars_chart
from benchmarks.tables import number

_MEGABYTE = 1_000_000
_WAYS = ("file to file", "pipe to pipe")
_TARGETS = {
    ("encrypt", "file to file"): 0.8,
    ("decrypt", "file to file"): 0.8,
    ("decrypt", "pipe to pipe"): 1.0,
}
_PROCESSOR_TARGET = 1.3


@dataclass(frozen=True)
class Program:
    """How a program encrypts and decrypts: its words before `-o OUT IN`, or for pipes."""

    name: str
    encrypt: list[str]
    decrypt: list[str]
    named_input: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=lambda: ["-o"])
    environment: dict[str, str] = field(default_factory=dict)

    def words(self, operation: str, source: Path | None, target: Path | None) -> list[str]:
        """The whole command; None is a pipe."""
        words = [*(self.encrypt if operation == "encrypt" else self.decrypt)]
        if target is not None:
            words += [*self.output, str(target)]
        if source is not None:
            words += [*self.named_input, str(source)]
        return words


@dataclass(frozen=True)
class Run:
    """What one process took: seconds on the wall, seconds of processors."""

    wall: float
    processor: float


def main() -> int:
    """Measure and write; 1 where a target was missed, or nothing was compared, and --gate is given."""
    arguments = _parser().parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="huks-files-") as folder:
        result = measure(
            Path(folder), arguments.megabytes, arguments.rounds, sparse=arguments.sparse_gigabytes
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "files.json").write_text(json.dumps(result, indent=1) + "\n")
    (arguments.out / "files.svg").write_text(picture(result))
    text = table(result)
    (arguments.out / "files.md").write_text(text)
    print(text)
    return 1 if arguments.gate and not _reached(result) else 0


def _reached(result: dict[str, Any]) -> bool:
    """Whether there are ratios and all of them reach their targets; names what does not."""
    if not result["ratios"]:
        print(f"nothing was compared; missing: {', '.join(result['missing']) or 'rounds'}")
        return False
    missed = [row["what"] for row in result["ratios"] if not row["reached"]]
    if missed:
        print(f"worse than the target: {'; '.join(missed)}")
    return not missed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.files", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the input")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is run")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="on the disk that is to be measured")
    parser.add_argument(
        "--sparse-gigabytes", type=int, default=20, help="the large file of the memory figures; 0: none"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"), help="folder of the results")
    parser.add_argument(
        "--gate", action="store_true", help="exit status 1 when a target is missed, or nothing compared"
    )
    return parser


def measure(folder: Path, megabytes: int, rounds: int, *, sparse: int = 0) -> dict[str, Any]:
    """Run all programs in turns, and give ratios with their parts."""
    _compile()
    plain = folder / "plain"
    with plain.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(_MEGABYTE))
    programs, missing = _programs(folder)
    runs: dict[str, dict[str, list[Run]]] = {}
    sealed = {program.name: folder / f"{program.name.split()[0]}.sealed" for program in programs}
    for turn in range(rounds):
        order = programs[turn % len(programs) :] + programs[: turn % len(programs)]
        for way in _WAYS:
            for operation in ("encrypt", "decrypt"):
                for program in order:
                    source = plain if operation == "encrypt" else sealed[program.name]
                    target = sealed[program.name] if operation == "encrypt" else folder / "opened"
                    found = _run(program, operation, source, target, piped=way == "pipe to pipe")
                    runs.setdefault(f"{operation}, {way}", {}).setdefault(program.name, []).append(found)
                    if operation == "decrypt" and way == "file to file":
                        if turn == 0:
                            subprocess.run(["cmp", plain, target], check=True)
                        target.unlink()
                    print(
                        f"{turn + 1}/{rounds} {operation} {way} {program.name}: {found.wall:.2f} s",
                        file=sys.stderr,
                    )
    return {
        "machine": machine.facts(str(folder)),
        "megabytes": megabytes,
        "rounds": rounds,
        "programs": {program.name: _version(program) for program in programs},
        "missing": missing,
        "seconds": {
            what: {name: _medians(each) for name, each in by_name.items()} for what, by_name in runs.items()
        },
        "ratios": list(_ratios(runs)),
        "peak_bytes": _memory(folder, programs[0], sparse),
    }


def _programs(folder: Path) -> tuple[list[Program], list[str]]:
    home = {"HUKS_ASYNC_HOME": str(folder / "keystore")}
    script = Path(sys.executable).with_name("huks")
    huks = [str(script)] if script.exists() else [sys.executable, "-m", "huks_async.cli"]
    subprocess.run(
        [*huks, "keys", "generate", "k"], env=os.environ | home, check=True, stderr=subprocess.DEVNULL
    )
    # --force lets it overwrite, as the others do
    programs = [
        Program(
            "huks",
            [*huks, "encrypt", "-k", "k", "--force"],
            [*huks, "decrypt", "-k", "k", "--force"],
            environment=home,
        )
    ]
    missing = []
    if shutil.which("age"):
        key = folder / "age-key"
        subprocess.run(["age-keygen", "-o", key], check=True, stderr=subprocess.DEVNULL)
        public = subprocess.run(
            ["age-keygen", "-y", key], check=True, capture_output=True, text=True
        ).stdout.strip()
        programs.append(Program("age", ["age", "-r", public], ["age", "-d", "-i", str(key)]))
    else:
        missing.append("age")
    if shutil.which("openssl"):
        words = ["openssl", "enc", "-aes-256-ctr", "-pbkdf2", "-k", "benchmark"]
        programs.append(Program("openssl enc", words, [*words, "-d"], ["-in"], ["-out"]))
    else:
        missing.append("openssl")
    if shutil.which("gpg"):
        gnupg = folder / "gnupg"
        gnupg.mkdir(mode=0o700)
        words = [
            "gpg",
            "--batch",
            "--yes",
            "--quiet",
            "--passphrase",
            "benchmark",
            "--pinentry-mode",
            "loopback",
        ]
        symmetric = ["--symmetric", "--cipher-algo", "AES256", "--compress-algo", "none"]
        programs.append(
            Program("gpg", [*words, *symmetric], [*words, "-d"], environment={"GNUPGHOME": str(gnupg)})
        )
    else:
        missing.append("gpg")
    return programs, missing


def _run(program: Program, operation: str, source: Path, target: Path, *, piped: bool) -> Run:
    environment = _environment(program)
    _read(source)
    os.sync()
    words = program.words(operation, None if piped else source, None if piped else target)
    start = time.perf_counter()
    with _ends(source, piped=piped) as (stdin, stdout, end):
        process = subprocess.Popen(words, stdin=stdin, stdout=stdout, env=environment)
        end()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return Run(wall, usage.ru_utime + usage.ru_stime)


@contextmanager
def _ends(source: Path, *, piped: bool) -> Iterator[tuple[Any, Any, Any]]:
    """What a program reads from and writes to, and a function to call when it has both."""
    if not piped:
        yield subprocess.DEVNULL, subprocess.DEVNULL, lambda: None
        return
    with (
        subprocess.Popen(["cat", source], stdout=subprocess.PIPE) as writer,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader,
    ):
        assert writer.stdout is not None
        assert reader.stdin is not None

        def end() -> None:
            writer.stdout.close()  # type: ignore[union-attr]
            reader.stdin.close()  # type: ignore[union-attr]

        yield writer.stdout, reader.stdin, end


def _medians(runs: list[Run]) -> dict[str, float]:
    return {
        "wall": statistics.median(run.wall for run in runs),
        "processor": statistics.median(run.processor for run in runs),
    }


def _ratios(runs: dict[str, dict[str, list[Run]]]) -> Iterator[dict[str, Any]]:
    for what, by_name in runs.items():
        if "age" not in by_name:
            continue
        operation, _, way = what.partition(", ")
        pairs = list(zip(by_name["huks"], by_name["age"], strict=True))
        wall = [ours.wall / other.wall for ours, other in pairs]
        processor = [ours.processor / other.processor for ours, other in pairs]
        for kind, values, target in (
            ("wall", wall, _TARGETS.get((operation, way))),
            ("processor", processor, _PROCESSOR_TARGET),
        ):
            value = statistics.median(values)
            yield {
                "what": f"{what}, {kind} / age",
                "value": value,
                "low": min(values),
                "high": max(values),
                "target": target,
                "reached": target is None or value <= target,
            }


def _memory(folder: Path, huks: Program, gigabytes: int) -> dict[str, dict[str, int]]:
    """The most memory of `huks` over an empty file, one of 1 GB and a large one, both sparse, and back from a pipe."""
    sizes = {"nothing": 0, "1 GB": 10**9}
    if gigabytes:
        sizes[f"{gigabytes} GB"] = gigabytes * 10**9
    found: dict[str, dict[str, int]] = {"encrypt": {}, "decrypt": {}}
    for name, size in sizes.items():
        sparse = folder / "sparse"
        with sparse.open("wb") as file:
            file.truncate(size)
        words = ["encrypt", "-k", "k", str(sparse)], ["decrypt", "k"]
        print(f"memory, {name}", file=sys.stderr)
        peaks = _peaks(words, huks, folder)
        for operation, peak in zip(found, peaks, strict=True):
            found[operation][name] = peak
        sparse.unlink()
    return found


_REPORTING = """
import sys
from pathlib import Path
from huks_async.cli import main
code = main(sys.argv[2:])
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
Path(sys.argv[1]).write_text(peak.split()[1])
sys.exit(code)
"""


def _peaks(commands: Sequence[list[str]], huks: Program, folder: Path) -> list[int]:
    """Run commands as one pipeline, and give the bytes that each had at its largest."""
    reports = [folder / f"peak-{count}" for count in range(len(commands))]
    processes: list[subprocess.Popen[bytes]] = []
    for words, report in zip(commands, reports, strict=True):
        last = len(processes) == len(commands) - 1
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", _REPORTING, str(report), *words],
                stdin=processes[-1].stdout if processes else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if last else subprocess.PIPE,
                env=_environment(huks),
            )
        )
        if len(processes) > 1 and (pipe := processes[-2].stdout):
            pipe.close()
    for process in processes:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, process.args)
    return [int(report.read_text()) * 1024 for report in reports]


def _environment(program: Program) -> dict[str, str]:
    """Without what would have Python compile its modules at each start."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | program.environment


def _compile() -> None:
    """Compile the packages that are at work, as an installer does."""
    for name in ("huks_async", "huks_command", "cyclopts", "anyio", "attr", "attrs", "cryptography"):
        spec = importlib.util.find_spec(name)
        for folder in (spec and spec.submodule_search_locations) or []:
            compileall.compile_dir(folder, quiet=2)
        if spec and spec.origin and not spec.submodule_search_locations:
            compileall.compile_file(spec.origin, quiet=2)


def _read(path: Path) -> None:
    """Bring a file into the system's cache."""
    buffer = bytearray(_MEGABYTE)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _version(program: Program) -> str:
    words = {"huks": ["--version"], "openssl enc": ["version"]}.get(program.name, ["--version"])
    command = [program.encrypt[0], *words] if program.name != "huks" else [*program.encrypt[:-4], *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).splitlines()[0].strip()


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        f"{result['megabytes']:,} MB, {result['rounds']} rounds; middle of the ratios, least and most",
        "",
        "| huks / age | Measured | Rounds | Target | |",
        "|---|---|---|---|---|",
    ]
    for row in result["ratios"]:
        target = "" if row["target"] is None else f"≤ {row['target']}"
        mark = "" if row["target"] is None else ("✓" if row["reached"] else "✗")
        lines.append(
            f"| {row['what']} | **{row['value']:.2f}** | {row['low']:.2f} … {row['high']:.2f} | {target} | {mark} |"
        )
    names = list(result["programs"])
    lines += [
        "",
        f"| Seconds on the wall (of processors) | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for what, by_name in result["seconds"].items():
        cells = (f"{number(by_name[name]['wall'])} ({number(by_name[name]['processor'])})" for name in names)
        lines.append(f"| {what} | {' | '.join(cells)} |")
    peaks = "; ".join(
        f"`huks {operation}` {', '.join(f'{name}: {peak / 2**20:.1f} MiB' for name, peak in sizes.items())}"
        for operation, sizes in result["peak_bytes"].items()
    )
    facts = result["machine"]
    where = (
        f"{facts['processor']}, {facts['processors']} processors, {facts['system']}, {facts['file_system']}"
    )
    loads, versions = (
        ", ".join(map(str, facts["load_average"])),
        "; ".join(
            version if version[:1].isalpha() else f"{name} {version}"
            for name, version in result["programs"].items()
        ),
    )
    lines += ["", f"Most memory: {peaks}.", ""]
    if result["missing"]:
        lines += [f"Missing: {', '.join(result['missing'])}.", ""]
    lines.append(f"{facts['when']}: {where}; load {loads}; {facts['python']}; {versions}.")
    return "\n".join(lines) + "\n"


def picture(result: dict[str, Any]) -> str:
    """The seconds of all programs, operation by operation."""
    bars = {
        f"{name}: {what}": each["wall"]
        for what, by_name in result["seconds"].items()
        for name, each in sorted(by_name.items(), key=lambda item: item[1]["wall"])
    }
    title = f"{result['megabytes']:,} MB as whole processes: seconds, less is better"
    return bars_chart(title, bars, "huks", in_order=True)


if __name__ == "__main__":
    sys.exit(main())
