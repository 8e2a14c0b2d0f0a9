"""The command, run in this process with a keystore of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from huks_async.cli import main
from tests.cli import warm
from tests.cli.command_line import Done, Huks
from tests.cli.interruptions import heed_interrupts


@pytest.fixture(autouse=True, scope="session")
def _interrupts_count() -> None:
    """Some tests send signals, and what ignores one at the start of this process would hand that on."""
    heed_interrupts()


@pytest.fixture(autouse=True, scope="session")
def _warm_process_ends() -> Iterator[None]:
    yield
    warm.end()


@pytest.fixture(autouse=True)
def _own_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """How wide and how coloured text is does not depend on what whoever runs the tests has set for programs."""
    for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A keystore folder that did not exist before the test."""
    folder = tmp_path / "keystore"
    monkeypatch.setenv("HUKS_ASYNC_HOME", str(folder))
    monkeypatch.delenv("HUKS_ASYNC_PROFILE", raising=False)
    return folder


@pytest.fixture
def huks(home: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Huks:
    """Runs the command in this process."""

    def run(*words: object) -> Done:
        capfdbinary.readouterr()
        code = main([str(word) for word in words])
        captured = capfdbinary.readouterr()
        return Done(code, captured.out, captured.err.decode())

    return run


@pytest.fixture
def huks_process(home: Path) -> Huks:
    """Runs the command in a process of its own, with pipes as its standard streams."""

    def run(*words: object, stdin: bytes = b"") -> Done:
        done = warm.warm().run([str(word) for word in words], stdin)
        return Done(done.returncode, done.stdout, done.stderr.decode())

    return run


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A file of 300,000 bytes: two whole segments and a part of one."""
    path = tmp_path / "document"
    path.write_bytes(bytes(range(250)) * 1200)
    return path
