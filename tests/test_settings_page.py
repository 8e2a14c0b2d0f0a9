"""docs/settings.md and docs/root-keys.md name each variable, argument, limit and root key that there is."""

import dataclasses
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import huks_async as huks
from huks_async import rootkeys
from huks_async.keystore.keystore import PROVIDER_TIMEOUT

TOP = Path(__file__).parent.parent
SETTINGS = (TOP / "docs" / "settings.md").read_text()
ROOT_KEYS = (TOP / "docs" / "root-keys.md").read_text()


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def test_every_variable() -> None:
    """Of the library; those of the tests are their own."""
    sources = "".join(file.read_text() for file in (TOP / "huks_async").rglob("*.py"))
    assert set(re.findall(r'"(HUKS_ASYNC_[A-Z_]+)"', sources)) == set(
        re.findall(r"HUKS_ASYNC_[A-Z_]+", SETTINGS)
    )


def test_every_argument() -> None:
    """With the default time of a provider's call."""
    table = SETTINGS.partition("## `Keystore.open(…)`")[2].partition("\n## ")[0]
    named = [
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    assert sorted(named) == sorted(inspect.signature(huks.Keystore.open).parameters)
    assert f"none, {PROVIDER_TIMEOUT:g} s" in table
    assert repr(huks.KeyCache()) in table.replace("seconds=300", "seconds=300.0")


def test_every_limit() -> None:
    """In the order of the class, with the values of both profiles."""
    table = SETTINGS.partition("`Limits`")[2]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \|", table, re.MULTILINE)
    server, device = huks.Limits(), huks.Limits.device()
    assert rows == [
        (field.name, _shown(getattr(server, field.name)), _shown(getattr(device, field.name)))
        for field in dataclasses.fields(huks.Limits)
    ]


def test_every_root_key() -> None:
    """Each kind is in the table."""
    assert all(f"`{name}" in ROOT_KEYS for name in rootkeys.__all__)


def test_the_file_for_kubernetes(tmp_path: Path) -> None:
    """The command makes a root key that a service takes, and random bytes of another origin are refused, as it says."""
    (command,) = re.findall(r"^python (-c .*)$", ROOT_KEYS, re.MULTILINE)
    environment = os.environ | {"PYTHONPATH": str(TOP)}
    subprocess.run(["sh", "-euc", f"{sys.executable} {command}"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "root.key").stat().st_size == 60
    assert (tmp_path / "root.key").stat().st_mode & 0o777 == 0o600
