"""A root key in a file that only its owner can read."""

import errno
import os
import stat
from contextlib import suppress
from functools import partial

from cryptography.hazmat.primitives.hashes import SHA256, Hash

from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown
from huks_async.rootkeys.base import KEY_SIZE
from huks_async.rootkeys.secret import SecretRootKey, identify
from huks_async.runtime.companions import NEW, refuse_companion
from huks_async.runtime.folders import make_folder, sync_folder
from huks_async.runtime.new_names import name_new
from huks_async.runtime.paths import absolute, path_text
from huks_async.runtime.randomness import random_bytes
from huks_async.runtime.secret_files import too_open, way_out
from huks_async.runtime.threads import run_in_thread

_MAGIC = b"HUKSROOT\x00\x00\x00\x01"
_CHECKSUM_SIZE = 16
_DRAFT_BYTES = 21
FILE_SIZE = len(_MAGIC) + KEY_SIZE + _CHECKSUM_SIZE
"""60 bytes: magic with format version (12), the key (32), the first 16 bytes of SHA-256 over both."""


class FileRootKey(SecretRootKey):
    """32 random bytes in a file that its owner alone can read, or root's and the group's.

    A file that is missing is created, complete at once: processes that race for it get the same key,
    and one that is killed leaves either the file or none. A file that is there is never changed. It may have
    mode 0600 or less, or 0640 or less if it is root's; symbolic links are followed, as a Kubernetes secret has them.

    Args:
        path: the file; a relative one is settled by the first use, and where links lead is looked at by each load. A
            directory that is missing is created with mode 0700. Its name is none that a file beside a database has: it
            does not end in `-wal`, `-shm`, `-journal` or `.lock`.
        create: whether a missing file may be created.

    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True) -> None:
        text = path_text(path)
        if text is None:
            raise BusinessError(401, f"a root key file needs a path, got {shown(path)}")
        refuse_companion(text, f"the root key file {text}")
        super().__init__(f"the root key file {text}")
        self.path: str = text
        self._create = create

    async def open(self, *, new: bool = True) -> None:
        """Read the file; make it where there is none and it may be new. Does nothing when it was read."""
        await self._ready(partial(self._from_file, self._create and new))

    async def unwrap_anew(self, wrapped: bytes) -> bytes:
        """Give the key that `wrap` wrapped, by what is in the file now, which is never made for this."""
        root = await self._from_file(create=False)
        key = self._open(root, identify(root), wrapped)
        if self._root is not None:  # one that was closed meanwhile stays forgotten
            self._root, self._key_id = root, identify(root)
        return key

    async def _load(self) -> bytes:
        return await self._from_file(self._create)

    async def _from_file(self, create: bool) -> bytes:
        return await run_in_thread(self._read_or_create, create)

    def _read_or_create(self, create: bool) -> bytes:
        try:
            # both ask the system, and so belong in a thread
            self.path = absolute(self.path)
            file = self._file()
            refuse_companion(os.path.realpath(file), f"the file that {self._name} leads to")
            try:
                return self._read(file)
            except FileNotFoundError:
                if not create:
                    raise BusinessError(
                        12000004,
                        f"{self._name} is not there. None is made anew for a store that was sealed under one, nor "
                        "with create=False: restore it from a backup. A store that was made with another root key "
                        "is opened with that (Keystore.open(root_key=…)), and not by the command huks",
                    ) from None
                self._make(file)
                return self._read(file)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise BusinessError(
                    401,
                    f"the name of {self._name} is too long: until it is complete, it has {_DRAFT_BYTES} bytes more behind "
                    "it; choose a shorter one",
                ) from None
            raise BusinessError(
                12000004,
                f"{self._name} cannot be read or created: {error.strerror or error}; check that its directory "
                "exists and that this user may use it",
            ) from error

    def _file(self) -> str:
        """The absolute path of the file that is to be read or made now."""
        return self.path

    def _read(self, path: str) -> bytes:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            facts = os.fstat(descriptor)
            self._judge(path, facts)
            content = os.read(descriptor, FILE_SIZE + 1)
        finally:
            os.close(descriptor)
        return self._decode(content)

    def _judge(self, path: str, facts: os.stat_result) -> None:
        if not stat.S_ISREG(facts.st_mode):
            raise BusinessError(12000004, f"{self._name} is not a regular file; give the path of a file")
        wrong = too_open(facts)
        if wrong is not None:
            raise BusinessError(
                12000004, f"{self._name} {wrong}. If nobody has read it, run: {way_out(facts, path)}"
            )

    def _decode(self, content: bytes) -> bytes:
        body, checksum = content[:-_CHECKSUM_SIZE], content[-_CHECKSUM_SIZE:]
        wrong = None
        if len(content) != FILE_SIZE:
            size = "more" if len(content) > FILE_SIZE else str(len(content))
            wrong = f"it has {size} bytes instead of {FILE_SIZE}"
        elif not body.startswith(_MAGIC):
            wrong = "it does not begin like a root key file of a known format"
        elif checksum != _checksum(body):
            wrong = "its checksum does not fit its key"
        if wrong is not None:
            raise BusinessError(
                12000004,
                f"{self._name} is damaged or of another kind: {wrong}. It is never made anew, since no stored key "
                "could be read then; restore it from a backup",
            )
        return body[len(_MAGIC) :]

    def _make(self, path: str) -> None:
        directory = os.path.dirname(path)
        make_folder(directory)
        body = _MAGIC + random_bytes(KEY_SIZE)
        draft = f"{path}.{os.urandom(8).hex()}{NEW}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(body + _checksum(body))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another process was faster: its key counts
                name_new(draft, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(draft)
            sync_folder(directory)


def _checksum(body: bytes) -> bytes:
    digest = Hash(SHA256())
    digest.update(body)
    return digest.finalize()[:_CHECKSUM_SIZE]
