"""The kernel's part of a file system in a process: the protocol of /dev/fuse, as far as the tests need it.

Written out here because the libraries in question do not fit: those on libfuse's interface of paths give hard
links an inode each and keep removed files under other names, and the ones below it have to be compiled.
The protocol is that of linux/fuse.h. Locks are left to the kernel, pages are cached there, shared maps work,
and every write is passed on at once.
"""

import contextlib
import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable

from tests.adversity.forgetful import ROOT, Forgetful, Node

_MAX_WRITE = 1 << 17
_BUFFER = _MAX_WRITE + 4096
_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<6Q10I")
_ASYNC_READ, _BIG_WRITES = 1, 1 << 5
_KEEP_CACHE = 2
_MODE, _SIZE = 1, 8
_FOREVER = 1 << 30
_MNT_DETACH = 2
_MS_NOSUID, _MS_NODEV = 2, 4

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    _check(
        _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    )


def unmount(target: str) -> None:
    _check(_libc.umount2(target.encode(), _MNT_DETACH))


def _name(body: bytes) -> bytes:
    return body[: body.index(b"\0")]


class Served:
    """A tree of files, mounted at a path, until the power is cut."""

    def __init__(self, files: Forgetful, path: str) -> None:
        self.files = files
        self.path = path
        self.descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        try:
            mount(
                "forgetful", path, "fuse.forgetful", _MS_NOSUID | _MS_NODEV,
                f"fd={self.descriptor},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
            )  # fmt: skip
        except BaseException:
            os.close(self.descriptor)
            raise
        self._handlers: dict[int, Callable[[int, bytes], bytes]] = {
            1: self._lookup, 3: self._getattr, 4: self._setattr, 8: self._mknod, 9: self._mkdir,
            10: self._unlink, 11: self._rmdir, 12: self._rename, 13: self._link, 14: self._open, 15: self._read,
            16: self._write, 17: self._statfs, 18: self._nothing, 20: self._fsync, 25: self._nothing, 26: self._init,
            27: self._opendir, 28: self._readdir, 29: self._nothing, 30: self._fsync, 35: self._create,
            45: self._rename2,
        }  # fmt: skip

    def cut(self) -> None:
        """End the connection: what is under way in the kernel fails, and nothing comes any more."""
        os.close(self.descriptor)

    def step(self) -> bool:
        """Answer one request; tells whether the file system is still mounted."""
        try:
            request = os.read(self.descriptor, _BUFFER)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                return True
            raise
        _, code, unique, number, *_ = _IN.unpack_from(request)
        if code in (2, 36, 42):  # forget, interrupt and batch_forget want no answer
            return True
        handler = self._handlers.get(code)
        answer, failure = b"", 0
        if handler is None:
            failure = errno.ENOSYS
        else:
            try:
                answer = handler(number, request[_IN.size :])
            except KeyError:
                failure = errno.ENOENT
            except OSError as error:
                failure = error.errno or errno.EIO
        with contextlib.suppress(FileNotFoundError):  # the process that asked was killed
            os.write(self.descriptor, _OUT.pack(_OUT.size + len(answer), -failure, unique) + answer)
        return True

    # --- requests ----------------------------------------------------------------------------------------------

    def _init(self, number: int, body: bytes) -> bytes:
        return struct.pack("<IIIIHHIIHHII24x", 7, 31, 1 << 17, _ASYNC_READ | _BIG_WRITES, 12, 9, _MAX_WRITE, 1,
                           0, 0, 0, 0)  # fmt: skip

    def _nothing(self, number: int, body: bytes) -> bytes:
        return b""

    def _attributes(self, number: int) -> bytes:
        node = self.files.nodes[number]
        seconds, parts = divmod(int(node.changed * 1e9), 10**9)
        size = len(node.data)
        return _ATTRIBUTES.pack(
            number, size, (size + 511) // 512, seconds, seconds, seconds, parts, parts, parts,
            node.mode, max(0, node.links), 0, 0, 0, 4096, 0,
        )  # fmt: skip

    def _entry(self, number: int) -> bytes:
        return struct.pack("<QQQQII", number, 0, _FOREVER, _FOREVER, 0, 0) + self._attributes(number)

    def _lookup(self, number: int, body: bytes) -> bytes:
        return self._entry(self.files.nodes[number].names[_name(body)])

    def _getattr(self, number: int, body: bytes) -> bytes:
        return struct.pack("<QII", _FOREVER, 0, 0) + self._attributes(number)

    def _setattr(self, number: int, body: bytes) -> bytes:
        what, _, _, size = struct.unpack_from("<IIQQ", body)
        node = self.files.nodes[number]
        if what & _SIZE:
            self.files.resize(number, size)
        if what & _MODE:
            (mode,) = struct.unpack_from("<I", body, 68)
            node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        return self._getattr(number, body)

    def _new(self, folder: int, name: bytes, mode: int) -> int:
        if name in self.files.nodes[folder].names:
            raise FileExistsError(errno.EEXIST, "exists")
        if not self.files.nodes[folder].links:
            raise FileNotFoundError(errno.ENOENT, "folder was removed")
        return self.files.create(folder, name, mode)

    def _mknod(self, number: int, body: bytes) -> bytes:
        mode, _, umask = struct.unpack_from("<III", body)
        return self._entry(self._new(number, _name(body[16:]), mode & ~umask))

    def _mkdir(self, number: int, body: bytes) -> bytes:
        mode, umask = struct.unpack_from("<II", body)
        return self._entry(self._new(number, _name(body[8:]), stat.S_IFDIR | (mode & ~umask & 0o7777)))

    def _create(self, number: int, body: bytes) -> bytes:
        _, mode, umask = struct.unpack_from("<III", body)
        new = self._new(number, _name(body[16:]), stat.S_IFREG | (mode & ~umask & 0o7777))
        return self._entry(new) + struct.pack("<QIi", 0, _KEEP_CACHE, 0)

    def _unlink(self, number: int, body: bytes) -> bytes:
        self.files.remove(number, _name(body))
        return b""

    def _rmdir(self, number: int, body: bytes) -> bytes:
        node = self.files.nodes[self.files.nodes[number].names[_name(body)]]
        if node.names:
            raise OSError(errno.ENOTEMPTY, "not empty")
        self.files.remove(number, _name(body))
        node.links = 0
        return b""

    def _move(self, number: int, to: int, names: bytes) -> bytes:
        old, new, _ = names.split(b"\0", 2)
        replaced = self._node_at(to, new)
        if replaced is not None and replaced.names:
            raise OSError(errno.ENOTEMPTY, "not empty")
        self.files.rename(number, old, to, new)
        return b""

    def _node_at(self, folder: int, name: bytes) -> Node | None:
        number = self.files.nodes[folder].names.get(name)
        return None if number is None else self.files.nodes[number]

    def _rename(self, number: int, body: bytes) -> bytes:
        (to,) = struct.unpack_from("<Q", body)
        return self._move(number, to, body[8:])

    def _rename2(self, number: int, body: bytes) -> bytes:
        to, flags = struct.unpack_from("<QI", body)
        new = body[16:].split(b"\0", 2)[1]
        if flags & ~1:
            raise OSError(errno.EINVAL, "no exchange")
        if flags & 1 and self._node_at(to, new) is not None:  # RENAME_NOREPLACE
            raise FileExistsError(errno.EEXIST, "exists")
        return self._move(number, to, body[16:])

    def _link(self, number: int, body: bytes) -> bytes:
        (old,) = struct.unpack_from("<Q", body)
        name = _name(body[8:])
        if name in self.files.nodes[number].names:
            raise FileExistsError(errno.EEXIST, "exists")
        self.files.link(old, number, name)
        return self._entry(old)

    def _open(self, number: int, body: bytes) -> bytes:
        return struct.pack("<QIi", 0, _KEEP_CACHE, 0)

    def _opendir(self, number: int, body: bytes) -> bytes:
        return struct.pack("<QIi", 0, 0, 0)

    def _read(self, number: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        return bytes(self.files.nodes[number].data[offset : offset + size])

    def _write(self, number: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        self.files.write(number, offset, body[40 : 40 + size])
        return struct.pack("<II", size, 0)

    def _statfs(self, number: int, body: bytes) -> bytes:
        return struct.pack("<5Q4I24x", 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096, 0)

    def _fsync(self, number: int, body: bytes) -> bytes:
        self.files.sync(number)
        return b""

    def _readdir(self, number: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        entries = [(b".", number), (b"..", ROOT), *self.files.nodes[number].names.items()]
        answer = b""
        for place, (name, node) in enumerate(entries[offset:], offset + 1):
            kind = stat.S_IFMT(self.files.nodes[node].mode) >> 12
            entry = struct.pack("<QQII", node, place, len(name), kind) + name
            entry += bytes(-len(entry) % 8)
            if len(answer) + len(entry) > size:
                break
            answer += entry
        return answer
