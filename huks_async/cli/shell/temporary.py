"""Copies of streams in temporary files without a name."""

import contextlib
import io
from collections.abc import Iterable, Iterator

from huks_async.cli.shell.console import CommandError
from huks_async.cli.shell.interrupts import interruptible


@contextlib.contextmanager
def temporary_copy(pieces: Iterable[bytes]) -> Iterator[io.FileIO]:
    """All pieces in one file, which stands at its beginning.

    Raises:
        CommandError: the temporary folder does not take them.

    """
    import tempfile  # late: few commands copy anything

    with contextlib.ExitStack() as stack:
        with _naming_folder():
            copy = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            # errors name it so
            copy.name = "the temporary copy"
        for piece in pieces:
            view = memoryview(piece)
            while view:
                # a disk that becomes full may take a part of a piece
                with interruptible(), _naming_folder():
                    view = view[copy.write(view) :]
        copy.seek(0)
        yield copy


@contextlib.contextmanager
def _naming_folder() -> Iterator[None]:
    import tempfile

    try:
        yield
    except OSError as error:
        folder = tempfile.tempdir
        place = "no temporary folder" if folder is None else f"the temporary folder {folder}"
        raise CommandError(
            f"{place}: {error.strerror}", hint="TMPDIR names the folder where a pipe is copied to first"
        ) from error
