"""The benchmarks themselves: fair sides, honest arithmetic, results that can be read."""

import gc
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

import benchmarks.metrics  # noqa: F401  # enters the metrics
from benchmarks import files, ours
from benchmarks.__main__ import main
from benchmarks.comparing import differences, slower, unpaired
from benchmarks.measuring import Case, Samples, Settings, interleave
from benchmarks.metric import METRICS, Outcome, PeerMissing, metric, record, record_missing
from benchmarks.peers import pycryptodome, raw
from benchmarks.pictures import metrics_chart, pictures
from benchmarks.tables import markdown

SETTINGS = Settings(quick=True, rounds=7, slice_seconds=0.001, folder="/tmp")


def result(**values: list[float]) -> dict:
    """A result with these rounds, as the command writes it."""
    metrics = {each.name: each for each in METRICS.values()}
    return {
        "machine": {},
        "settings": {"quick": True},
        "metrics": [record(metrics[name.replace("_", "-")], Outcome(values=v)) for name, v in values.items()],
    }


MACHINE = {
    "when": "now",
    "processor": "a processor",
    "processors": 2,
    "memory_gib": 4.0,
    "load_average": [0.1],
    "system": "Linux",
    "file_system": "ext4",
    "python": "CPython",
    "openssl_of_cryptography": "OpenSSL",
    "sqlite": "3",
    "packages": {},
}


def whole(found: dict) -> dict:
    """With the facts that a page shows."""
    return found | {"machine": MACHINE, "settings": {"quick": True, "rounds": 7, "event_loop": "asyncio"}}


def test_every_metric_has_a_reachable_order() -> None:
    """Numbers begin at 1 and have no gaps, names are unique, and each target is better than its floor."""
    assert sorted(METRICS) == list(range(1, len(METRICS) + 1))
    assert len({each.name for each in METRICS.values()}) == len(METRICS)
    for each in METRICS.values():
        assert each.verdict(each.target) == "target"
        assert each.verdict(each.floor) == "floor"
        worse = each.floor * (0.9 if each.higher else 1.1)
        assert each.verdict(worse) == "missed"


def test_quick_results_name_their_own_amounts() -> None:
    """No title of a quick run promises the sessions, keys or bytes of a whole one; the page says who had fewer rounds."""
    quick = whole(result())
    quick["metrics"] = [
        record(each, Outcome(values=[1.0] * 7), quick=True) for _, each in sorted(METRICS.items())
    ]
    titles = {each["name"]: each["title"] for each in quick["metrics"]}
    for each in METRICS.values():
        full = re.search("10[⁵⁶]|1 GB", each.title)
        assert (titles[each.name] == each.title) is not bool(full)
        assert not full or full[0] not in titles[each.name]
    assert "7 rounds, quick" in markdown(quick)
    quick["metrics"][14]["values"] = quick["metrics"][15]["values"] = [1.0, 1.0]
    assert "7 rounds (2 of `session-bytes`, `purged-bytes`), quick" in markdown(quick)


@pytest.mark.asyncio
async def test_cases_take_turns_without_garbage_collection() -> None:
    """Each round begins with another case, and the collector sleeps while they run."""
    seen = []

    def noting(name: str):
        def run(times: int) -> float:
            seen.append((name, gc.isenabled()))
            return 2.0 * times if name == "a" else 1.0 * times

        return run

    cases = [Case("a", noting("a")), Case("b", noting("b")), Case("c", noting("c"))]
    samples = await interleave(SETTINGS, cases, times=3)
    rounds = seen[3:]  # the first three warm up
    assert [name for name, _ in rounds[:9]] == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert not any(enabled for _, enabled in rounds)
    assert gc.isenabled()
    assert samples.ratios("a", "b") == [2.0] * 7
    assert samples.microseconds() == {"a": 2e6, "b": 1e6, "c": 1e6}


def test_ratios_are_taken_round_by_round() -> None:
    """A slow phase of the machine that hits both sides leaves the ratio alone."""
    samples = Samples({"mine": [2.0, 20.0, 2.0], "base": [1.0, 10.0, 1.0]})
    assert samples.ratios("mine", "base") == [2.0, 2.0, 2.0]


def test_compare_names_what_became_slower_and_nothing_else() -> None:
    """Beyond the noise means: worse by more than 5 %, and the middle halves do not touch."""
    old = result(
        gcm_raw=[1.00, 1.01, 1.02],  # lower is better
        stream_gcm=[0.90, 0.91, 0.92],  # higher is better
        ecdsa_raw=[1.1, 1.2, 1.3],
        many_open=[1.00, 1.00, 1.01],
        stream_cbc=[1.2, 1.2, 1.2],
    )
    new = result(
        gcm_raw=[1.20, 1.21, 1.22],  # slower
        stream_gcm=[0.70, 0.71, 0.72],  # slower
        ecdsa_raw=[1.15, 1.28, 1.4],  # within the noise
        many_open=[1.03, 1.03, 1.04],  # beyond the noise, but not worth a line
        stream_cbc=[1.4, 1.4, 1.4],  # faster
    )
    assert [line.partition(":")[0] for line in slower(old, new)] == ["gcm-raw", "stream-gcm"]
    assert slower(new, new) == []


def test_compare_names_what_makes_two_results_hard_to_compare() -> None:
    """Machine, versions, packages on either side, and each setting."""
    machine = {"sqlite": "3.40.1", "gil": True, "packages": {"anyio": "4.16.0", "tink": "1.16.1"}}
    settings = {"quick": False, "rounds": 11, "slice_seconds": 0.05, "event_loop": "asyncio"}
    old = {"machine": machine, "settings": settings, "metrics": []}
    other = {"sqlite": "3.50.0", "gil": False, "packages": {"anyio": "4.17.0", "uvloop": "0.23.0"}}
    changed = {"quick": True, "rounds": 7, "slice_seconds": 0.02, "event_loop": "uvloop"}
    new = {"machine": other, "settings": changed, "metrics": []}
    assert differences(old, old) == []
    named = [line.partition(":")[0] for line in differences(old, new)]
    assert named == [
        "gil",
        "sqlite",
        "anyio",
        "tink",
        "uvloop",
        "quick",
        "rounds",
        "slice_seconds",
        "event_loop",
    ]
    assert "tink: 1.16.1 → None" in differences(old, new)


def test_compare_names_what_only_one_result_has() -> None:
    """A metric without a value is like one that is not there."""
    old, new = result(gcm_raw=[1.0], many_open=[1.0]), result(gcm_raw=[1.0], ecdsa_raw=[1.0])
    new["metrics"].append(record_missing(METRICS[18], "no peer"))
    assert unpaired(old, new) == [
        "many-open: only the old result has it",
        "ecdsa-raw: only the new result has it",
    ]
    assert unpaired(new, new) == []


def run_on(folder, monkeypatch, new: dict, *words: str, old: dict | None = None) -> int:
    """The command with results in files in place of measuring."""
    (folder / "new.json").write_text(json.dumps(new))
    arguments = ["benchmarks", "--read", str(folder / "new.json"), "--out", str(folder / "out"), *words]
    if old is not None:
        (folder / "old.json").write_text(json.dumps(old))
        arguments += ["--compare", str(folder / "old.json")]
    monkeypatch.setattr(sys, "argv", arguments)
    return main()


def test_nothing_compared_is_not_nothing_slower(tmp_path, monkeypatch, capsys) -> None:
    """Two results without a common metric: exit status 1, and no word of being as fast."""
    old, new = whole(result(gcm_raw=[1.0])), whole(result(many_open=[1.0]))
    assert run_on(tmp_path, monkeypatch, new, old=old) == 1
    said = capsys.readouterr().out
    assert "nothing was compared" in said
    assert "nothing became slower" not in said
    assert run_on(tmp_path, monkeypatch, new, old=new) == 0
    assert "nothing became slower beyond the noise; metrics compared: 1" in capsys.readouterr().out


def test_the_gate_is_open_only_where_something_was_measured(tmp_path, monkeypatch, capsys) -> None:
    """A missing peer is named; where no peer is there at all, the gate has held nothing and fails."""
    missing = record_missing(METRICS[3], "tink is not installed (extra: bench)")
    some, none = whole(result(gcm_raw=[1.0])), whole(result())
    some["metrics"].append(missing)
    none["metrics"].append(missing)
    assert run_on(tmp_path, monkeypatch, some, "--gate") == 0
    assert "not held against a floor: gcm-tink" in capsys.readouterr().out
    assert run_on(tmp_path, monkeypatch, none, "--gate") == 1
    assert "nothing was measured" in capsys.readouterr().out
    assert run_on(tmp_path, monkeypatch, whole(result(gcm_raw=[1.3])), "--gate") == 1
    assert "worse than the floor: gcm-raw" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ratios", "missing", "status", "said"),
    [
        ([], ["age"], 1, "nothing was compared; missing: age"),
        ([0.7], [], 0, ""),
        ([0.7, 0.9], [], 1, "worse than the target: 1"),
    ],
    ids=["age-is-missing", "reached", "one-missed"],
)
def test_the_gate_of_files_wants_a_comparison(
    tmp_path, monkeypatch, capsys, ratios: list[float], missing: list[str], status: int, said: str
) -> None:
    """Without `age` there is no ratio, so --gate has nothing to let through; the table names what is missing."""
    rows = [
        {
            "what": f"{place}",
            "value": value,
            "low": value,
            "high": value,
            "target": 0.8,
            "reached": value <= 0.8,
        }
        for place, value in enumerate(ratios)
    ]
    found = {"megabytes": 1, "rounds": 1, "ratios": rows, "programs": {"huks": "0.1.0"}, "missing": missing}
    found |= {"machine": MACHINE, "seconds": {"encrypt": {"huks": {"wall": 1.0, "processor": 1.0}}}}
    monkeypatch.setattr(files, "measure", lambda *_, **__: found | {"peak_bytes": {}})
    monkeypatch.setattr(sys, "argv", ["files", "--gate", "--out", str(tmp_path), "--folder", str(tmp_path)])
    assert files.main() == status
    printed = capsys.readouterr().out
    assert said in printed
    assert ("Missing: age." in printed) is bool(missing)


def test_pictures_are_svg_whose_bars_keep_proportions() -> None:
    """Well-formed, for light and dark pages, and a bar at the floor ends at the line of the floor."""
    at_floor = result(gcm_raw=[1.2], stream_gcm=[0.8])
    picture = ET.fromstring(metrics_chart(at_floor["metrics"]))
    space = "{http://www.w3.org/2000/svg}"
    line = next(each for each in picture.iter(f"{space}line") if each.get("class") == "line")
    for bar in picture.iter(f"{space}rect"):
        end = float(bar.get("x")) + float(bar.get("width"))
        assert end == pytest.approx(float(line.get("x1")), abs=0.2)
    assert "prefers-color-scheme: dark" in metrics_chart(at_floor["metrics"])
    peers = {"unit": "µs", "operations": {"AES <&> 64 B": {"huks_async": 4.0, "tink": 2.0}}, "missing": {}}
    drawn = dict(pictures(at_floor | {"peers": peers}))
    bars = list(ET.fromstring(drawn["peers-aes-<&>-64-b.svg"]).iter(f"{space}rect"))
    widths = {bar.get("class"): float(bar.get("width")) for bar in bars}
    assert widths["ours"] == pytest.approx(2 * widths["other"], abs=0.2)


def test_numbers_have_room() -> None:
    """In the picture of all metrics no number is crossed by a bar, by the line of the floor or by a target's mark."""
    drawn = result(gcm_raw=[1.15], generate=[9.0], cached_key=[0.1])
    picture = ET.fromstring(metrics_chart(drawn["metrics"]))
    space = "{http://www.w3.org/2000/svg}"
    shapes = [float(each.get("x1")) for each in picture.iter(f"{space}line")]
    shapes += [float(bar.get("x")) + float(bar.get("width")) for bar in picture.iter(f"{space}rect")]
    numbers = [text for text in picture.iter(f"{space}text") if (text.text or "")[:1].isdigit()]
    values = [text for text in numbers if float(text.get("x")) > max(shapes)]
    assert len(values) == len(drawn["metrics"])
    for text in values:
        assert text.text is not None
        # a digit is 8 units wide at most
        assert float(text.get("x")) - 8 * len(text.text) > max(shapes)


def test_raw_peers_give_the_same_bytes() -> None:
    """What is compared is the same work: all ways to AES-GCM agree."""
    key, data = os.urandom(32), os.urandom(64)
    expected = raw.gcm_one_shot(key, ours.NONCE, ours.AAD, data)()
    assert raw.gcm_context(key, ours.NONCE, ours.AAD, data)() == expected
    try:
        text, tag = pycryptodome.gcm(key, ours.NONCE, ours.AAD, data)()
    except PeerMissing as why:
        pytest.skip(str(why))
    assert text + tag == expected


def test_raw_contexts_keep_their_key(monkeypatch) -> None:
    """Only what belongs to one nonce is made for each message."""
    made = []
    monkeypatch.setattr(
        raw.algorithms, "AES", lambda key, real=raw.algorithms.AES: made.append(1) or real(key)
    )
    call = raw.gcm_context(os.urandom(32), ours.NONCE, ours.AAD, bytes(64))
    assert call() == call()
    assert len(made) == 1


def test_the_command_measures_writes_and_compares(tmp_path) -> None:
    """From the shell: a result with machine and rounds, a table, a picture; compared with itself it is no slower."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "cached-key", "--only", "11"]
    command += ["--out", str(tmp_path / "out"), "--folder", str(tmp_path)]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "written to" in process.stdout
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    (found,) = written["metrics"]
    assert found["name"] == "cached-key"
    assert len(found["values"]) == 7
    assert found["low"] <= found["value"] <= found["high"]
    assert written["machine"]["packages"]["cryptography"]
    disk = written["machine"]["fdatasync_us"]
    assert disk > 0
    assert "init with a cached key" in (tmp_path / "out" / "results.md").read_text()
    again = [
        "--read",
        str(tmp_path / "out" / "results.json"),
        "--compare",
        str(tmp_path / "out" / "results.json"),
    ]
    process = subprocess.run(
        [*command[:3], *again, "--out", str(tmp_path / "again")], check=True, capture_output=True, text=True
    )
    assert "nothing became slower" in process.stdout


def test_a_missing_peer_is_named(tmp_path, monkeypatch, capsys) -> None:
    """A metric whose peer is not installed stays in the table, with what to install."""
    monkeypatch.delitem(METRICS, 3)

    @metric(3, "gcm-tink", "against tink", target=2.5, floor=4)
    async def missing(settings: Settings) -> Outcome:
        raise PeerMissing("tink is not installed (extra: bench)")

    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "--only", "gcm-tink", "--out", str(tmp_path)])
    assert main() == 0
    assert "missing: tink is not installed" in capsys.readouterr().out
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["metrics"][0]["missing"] == "tink is not installed (extra: bench)"
    assert "not measured" in markdown(written)
