"""Reading a file object at any offset, always in a worker."""

import errno
import inspect
import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from huks_async.files.file_calls import as_piece, refuse_misfit
from huks_async.model.errors import BusinessError
from huks_async.model.showing import type_name
from huks_async.runtime.forks import generation, notice_fork

CLOSED = "the sealed file is closed: read it within its `async with` block"
_CLOSED_EARLY = "the file was closed by somebody else; keep it open until its `async with` block is left"
_NO_PLACES = "file cannot seek; use decrypt_stream for pipes and sockets"


class SeekableFile:
    """Reads a file at any offset. `open`, `read_at`, `wait` and `close` block, and must be called in a worker.

    It takes a path, or a binary file object that can seek: a plain one, one of anyio, or an upload of Starlette. It
    closes only what it has opened itself. A file with a descriptor is read without moving its position, by several
    reads at a time; with other files the position moves, and one read waits for another.

    Attributes:
        under_way: how many calls of `open` and `read_at` have begun and not ended.
    """

    def __init__(self, file: Any) -> None:
        self._own: BinaryIO | None = None
        self._given = file
        self._file: Any = None
        self._descriptor: int | None = None
        self._lock = threading.Lock()
        self.under_way: int = 0
        self._refused = False
        # taken again by the same thread where the garbage collector ends an abandoned task that closes this
        self._count_lock = threading.RLock()
        self._busy = threading.Lock()
        self._born = generation()

    def open(self) -> int:
        """Open the file, and return its length in bytes.

        Raises:
            BusinessError: 401 for something that cannot be read at any offset; 12000012 after `refuse`.
            OSError: as `open` raises it.
        """
        with self._counted():
            return self._open()

    def read_at(self, offset: int, length: int) -> bytes:
        """Read exactly that many bytes, fewer only at the end of the file.

        Raises:
            BusinessError: 12000012 after `refuse`, and for a file that somebody else has closed.
        """
        if self._descriptor is None:
            with self._lock, self._counted():
                self._check_given()
                self._call("seek", offset)
                return _whole(lambda left, _: self._read(left), length)
        descriptor = self._descriptor
        with self._counted():
            self._check_given()  # its descriptor may be another file's by now
            return _whole(lambda left, done: os.pread(descriptor, left, offset + done), length)

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a child of the one that made this."""
        notice_fork()
        return self._born != generation()

    def refuse(self) -> None:
        """Let no further call begin. Does not block."""
        self._refused = True

    def wait(self) -> None:
        """Wait for the end of the calls that are under way, after `refuse`."""
        with self._busy:
            pass

    def close(self) -> None:
        """Close the file, if it was opened here: now, or by the last of the calls that are under way."""
        self._refused = True
        if self.is_inherited:
            # in a child process, the calls and the lock may be those of threads that stayed in the parent
            self._close_own()
            return
        with self._count_lock:
            if not self.under_way:
                self._close_own()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count a call, so that the file is not closed under it."""
        with self._count_lock:
            if not self.under_way:
                self._busy.acquire()
            self.under_way += 1
        try:
            # looked at when this counts already, because whoever refuses looks at the count after that
            if self._refused:
                raise BusinessError(12000012, CLOSED)
            yield
        finally:
            with self._count_lock:
                self.under_way -= 1
                if not self.under_way:
                    self._busy.release()
                    if self._refused:
                        self._close_own()

    def _close_own(self) -> None:
        if self._own is not None:
            self._own.close()

    def _check_given(self) -> None:
        try:
            closed = getattr(self._file, "closed", False)
        except ValueError:  # its buffer was detached
            closed = True
        if closed is True:
            raise BusinessError(12000012, _CLOSED_EARLY)

    def _open(self) -> int:
        file = self._given
        if isinstance(file, (str, bytes, os.PathLike)):
            file = self._own = _open_path(file)
        # anyio's files, Starlette's uploads and the wrappers of `tempfile` contain a plain file, which is used
        for name in ("wrapped", "file", "file"):
            inner = getattr(file, name, None)
            if callable(getattr(inner, "seek", None)):
                file = inner
        if not callable(getattr(file, "seek", None)) or not callable(getattr(file, "read", None)):
            raise BusinessError(
                401, f"file must be a path or a binary file object that can seek, got {type_name(file)}"
            )
        if isinstance(file, io.TextIOBase):
            raise BusinessError(401, "file was opened as text; open it with 'rb'")
        self._file = file
        try:
            if callable(getattr(file, "readable", None)) and not self._call("readable"):
                raise BusinessError(401, "file was not opened for reading; open it with 'rb'")
            if _is_of_descriptor(file):
                if isinstance(file, io.BufferedRandom):
                    file.flush()
                self._descriptor = file.fileno()
            return self._length()
        except OSError as error:
            if not isinstance(error, io.UnsupportedOperation) and error.errno != errno.ESPIPE:
                raise
            raise BusinessError(401, _NO_PLACES) from None
        except ValueError as error:
            raise BusinessError(401, f"file is closed or detached ({error}); open it with 'rb'") from None

    def _length(self) -> int:
        with self._lock:
            before = self._tell()
            self._call("seek", 0, os.SEEK_END)
            end = self._tell()  # not what `seek` gives, which is None in some classes
            self._call("seek", before)
            return end

    def _tell(self) -> int:
        place = self._call("tell")
        if not isinstance(place, int):
            raise BusinessError(401, f"file: its tell must give an int, got {type_name(place)}")
        return place

    def _read(self, length: int) -> bytes:
        return bytes(as_piece(self._call("read", length), "file")[:length])

    def _call(self, name: str, *args: int) -> Any:
        """Call a method of the file."""
        method = getattr(self._file, name)
        try:
            given = method(*args)
        except TypeError as error:
            refuse_misfit(
                error, method, *args, what=f"file: its {name}", way_out="give its path, or io.BytesIO"
            )
            raise
        if inspect.isawaitable(given):
            if inspect.iscoroutine(given):
                given.close()
            raise BusinessError(
                401, f"file: its {name} is a coroutine; give its path, or the plain file that it reads"
            )
        return given


def _is_of_descriptor(file: Any) -> bool:
    """Whether the bytes of a file are those of its descriptor; a decompressed or nested file can have another's."""
    buffered = type(file) in {io.BufferedReader, io.BufferedRandom}
    # a class of the application's own can give other bytes
    return type(file.raw if buffered else file) is io.FileIO


def _open_path(path: Any) -> BinaryIO:
    try:
        path = os.fspath(path)
    except TypeError as error:  # its __fspath__ gives neither text nor bytes
        raise BusinessError(
            401, f"file must be a path or a binary file object that can seek, got {type_name(path)} ({error})"
        ) from None
    try:
        # a named pipe would be waited for until somebody writes to it
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    except ValueError as error:  # a NUL in it, or characters that no file name has
        # It may be the sealed data itself, so it is not shown.
        raise BusinessError(
            401,
            f"file must be a path or a binary file object that can seek, and this {type_name(path)} of "
            f"{len(os.fspath(path))} is no path ({error}); open sealed bytes as io.BytesIO(sealed)",
        ) from None
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        file.close()
        raise BusinessError(401, _NO_PLACES)
    os.set_blocking(file.fileno(), True)
    return file


def _whole(read: Any, length: int) -> bytes:
    first: bytes = read(length, 0)
    if len(first) == length or not first:
        return first
    parts, done = [first], len(first)
    while done < length and (part := read(length - done, done)):
        parts.append(part)
        done += len(part)
    return b"".join(parts)
