"""`huks demo`: the four operations on a real file, each result checked by another program."""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import huks_async
from huks_async.cli.demo.operations import OPERATIONS
from huks_async.cli.demo.report import Reporter, peak_memory
from huks_async.cli.demo.stage import Stage, digest_of, size_of, write_random
from huks_async.cli.demo.witness import Witness
from huks_async.cli.shell.console import CommandError, usage_error
from huks_async.cli.shell.files import STANDARD, empty_input
from huks_async.cli.words.arguments import no_option
from huks_async.cli.words.numbers import cut, whole_number

_USUAL_SIZE = "100MB"
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


async def demo(
    file: Annotated[
        str | None,
        Parameter(
            help="The file to work on; without one, one is made.",
            allow_leading_hyphen=True,
            validator=no_option,
        ),
    ] = None,
    /,
    *,
    size: Annotated[
        str | None,
        Parameter(help="Bytes of the file to make, 100MB without it; KB, MB and GB are powers of 1024."),
    ] = None,
) -> None:
    """Encrypt, sign, agree and derive with a real file, and check every result independently.

    Works in a temporary keystore and a temporary folder of its own, and leaves nothing behind.
    Code 0 only if every check agrees.
    """
    if file is not None and size is not None:
        raise usage_error(
            "--size is for the file that the demo makes, and FILE is one", hint="leave out either"
        )
    length, given = parse_size(_USUAL_SIZE if size is None else size), _given_file(file)
    with tempfile.TemporaryDirectory(prefix="huks-demo-") as name:
        folder = Path(name)
        agreed = await _perform(folder, given, length)
    if not agreed:
        raise CommandError("not every check agreed", hint="see the lines marked WRONG")


def _given_file(name: str | None) -> Path | None:
    if name is None:
        return None
    if not name:
        raise empty_input()
    if name == STANDARD:
        raise usage_error("the demo works on a file, not on a stream", hint="name a file, or leave it out")
    if not Path(name).is_file():
        raise usage_error(f"{name} is not a file", hint="name a file, or leave it out")
    return Path(name)


async def _perform(folder: Path, file: Path | None, length: int) -> bool:
    witness = Witness.find()
    with Reporter() as reporter:
        if file is None:
            file = folder / "file"
            _require_space(folder, 4 * length)
            with reporter.progress("making a file", length) as advance:
                write_random(file, length, advance)
        else:
            _require_space(folder, 3 * size_of(file))
        digest = digest_of(file)
        reporter.begin(file, size_of(file), witness)
        started = time.perf_counter()
        home = os.environ.get("HUKS_ASYNC_HOME")
        os.environ["HUKS_ASYNC_HOME"] = str(folder / "home")
        try:
            async with huks_async.Keystore.open() as keystore:
                stage = Stage(keystore, folder, file, digest, witness, reporter)
                for operation in OPERATIONS:
                    await operation(stage)
        finally:
            if home is None:
                del os.environ["HUKS_ASYNC_HOME"]
            else:
                os.environ["HUKS_ASYNC_HOME"] = home
        return reporter.end(time.perf_counter() - started, peak_memory())


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CommandError(
            f"{folder.parent} has {free} bytes free, the demo needs {needed}",
            hint="set TMPDIR to a folder with more space, or give a smaller --size",
        )


def parse_size(text: str) -> int:
    """Bytes in words like `100MB`, `64K`, `1GiB`, `5000`.

    Raises:
        CommandError: these are no bytes.

    """
    number = text.strip().upper().removesuffix("B").removesuffix("I")
    digits = number.rstrip("KMG")
    unit = number[len(digits) :]
    count = whole_number(digits)
    if not count or unit not in _UNITS:
        raise usage_error(f"{cut(text)!r} is not a size", hint="sizes look like 100MB, 1GB or 5000")
    return count * _UNITS[unit]
