"""Readings out of sensor files: right, half-written, and garbage."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huks_async.sessions.pressure import parse
from huks_async.sessions.pressure.base import SensorUnavailable

PSI = b"some avg10=1.30 avg60=0.25 avg300=0.05 total=234567\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
MEMINFO = b"MemTotal:        1000 kB\nMemFree:  1 kB\nMemAvailable:    250 kB\n"


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"123\n", 123),
        (b"0\n", 0),
        (b"123", None),
        (b"", None),
        (b"\n", None),
        (b"-1\n", None),
        (b"1_0\n", None),
        (b" 1\n", None),
        (b"9" * 5000 + b"\n", None),
        (b"\xff\n", None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_count_takes_whole_numbers_only(content: bytes, value: int | None) -> None:
    """A number without its newline was caught half-written and is no reading."""
    assert parse.count(content) == value


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"max\n", inf),
        (b"max", None),
        (b"ma", None),
        (b"9223372036854771712\n", inf),
        (b"18446744073709551615\n", inf),
        (b"157286400\n", 157286400),
        (b"157286400", None),
    ],
)
def test_limits_of_both_versions(content: bytes, value: float | None) -> None:
    """No limit is 'max' in the unified hierarchy and the largest page count in the old one."""
    assert parse.limit(content) == value


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"oom 3\noom_kill 9\n", 3),
        (b"oom_kill 9\noom 3\n", 3),
        (b"oom_kill 9\n", None),
        (b"oom 3", None),
        (b"oom\n", None),
        (b"oom x\n", None),
    ],
)
def test_entry_finds_the_whole_key(content: bytes, value: int | None) -> None:
    """A key that begins another one is not taken for it."""
    assert parse.entry(content, b"oom") == value


@pytest.mark.parametrize("cut", range(len(PSI)))
def test_stalls_cut_anywhere_give_the_total_or_nothing(cut: int) -> None:
    """A pressure file cut at any byte never gives a wrong total."""
    assert parse.stall_total(PSI[:cut]) in (None, 234567)


def test_stalls_whole() -> None:
    """The whole file gives the microseconds of 'some'."""
    assert parse.stall_total(PSI) == 234567
    assert parse.stall_total(b"some avg10=0.00\n") is None


@pytest.mark.parametrize("cut", range(len(MEMINFO)))
def test_meminfo_cut_anywhere_gives_the_share_or_nothing(cut: int) -> None:
    """The file of the machine's memory cut at any byte never gives a wrong share."""
    assert parse.share_used(MEMINFO[:cut]) is None


def test_meminfo_whole() -> None:
    """A quarter available is three quarters used; nonsense is no reading."""
    assert parse.share_used(MEMINFO) == 0.75
    assert parse.memory_total(MEMINFO) == 1_024_000
    assert parse.share_used(MEMINFO.replace(b"250", b"1001")) is None
    assert parse.share_used(MEMINFO.replace(b"1000", b"0")) is None


@given(
    st.binary(max_size=200)
    | st.text(alphabet="some max total=MemTotal: kB0123\n", max_size=80).map(str.encode)
)
def test_no_bytes_make_a_parser_raise(content: bytes) -> None:
    """Whatever a file holds, the answer is a reading or none."""
    for reading in (
        parse.count(content),
        parse.limit(content),
        parse.entry(content, b"max"),
        parse.stall_total(content),
        parse.share_used(content),
        parse.memory_total(content),
    ):
        assert reading is None or reading >= 0


def test_kept_file_reads_anew_and_never_raises(tmp_path) -> None:
    """A kept file shows each new content, and nothing once it is closed."""
    path = tmp_path / "file"
    path.write_bytes(b"1\n")
    file = parse.KeptFile(path)
    assert file.read() == b"1\n"
    path.write_bytes(b"22\n")
    assert file.read() == b"22\n"
    file.close()
    file.close()
    assert file.read() == b""
    with pytest.raises(SensorUnavailable, match="No such file"):
        parse.KeptFile(tmp_path / "absent")


def test_kept_folder_is_no_reading(tmp_path) -> None:
    """A folder where a file should be opens but gives nothing."""
    file = parse.KeptFile(tmp_path)
    assert file.read() == b""
    file.close()
