"""Which file a path names: by statx against `os.stat`, over paths of all kinds."""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from huks_async.stores import ItemName, SqliteStore
from huks_async.stores.sqlite import files, lockfile
from huks_async.stores.sqlite.files import Inode, Names, inode
from huks_async.stores.sqlite.lockfile import LockFile

needs_statx = pytest.mark.skipif(files._statx is None, reason="this system has no statx")


def by_stat(path: str, follow: bool) -> tuple[int, int] | type[OSError] | None:
    """What `os.stat` says."""
    try:
        found = os.stat(path, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return type(error)
    return found.st_dev, found.st_ino


def by_inode(path: str, follow: bool) -> tuple[int, int] | type[OSError] | None:
    """What the store says."""
    try:
        return inode(path, follow=follow)
    except OSError as error:
        return type(error)


@pytest.mark.parametrize("statx", [pytest.param(True, marks=needs_statx), False])
@pytest.mark.parametrize("follow", [True, False])
def test_paths_of_all_kinds(
    tmp_path: Path, statx: bool, follow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, folders, links, devices, sockets, other file systems, odd names; none, and what cannot be looked at."""
    if not statx:
        monkeypatch.setattr(files, "_statx", None)
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_bytes(b"x")
    folder.mkdir()
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "hard").hardlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    odd = os.fsdecode(bytes(tmp_path) + b"/odd \xff\n\xf0\x9f\x94\x91")
    Path(odd).touch()
    with socket.socket(socket.AF_UNIX) as listener, tempfile.TemporaryDirectory() as short:
        listener.bind(f"{short}/socket")
        paths = [
            *(str(one) for one in sorted(tmp_path.iterdir())),
            f"{short}/socket",
            f"{file}/below",
            f"{folder}/nothing",
            str(tmp_path / ("long" * 100)),
            "/" + "deep/" * 2000,
            "",
            ".",
            "/",
            "/dev/null",
            "/proc/version",
            "/dev/shm",
            "/sys",
        ]
        found = [by_inode(path, follow) for path in paths]
        assert found == [by_stat(path, follow) for path in paths]
        assert None in found
        for path, now in zip(paths, found, strict=True):
            if isinstance(now, type):
                with pytest.raises(now):
                    _names(path, None, follow).hold()
                continue
            for other in found:
                if not isinstance(other, type):
                    assert _names(path, other, follow).hold() == (now == other)
                    assert Names([("/", inode("/")), (path, other)]).hold() == (by_stat(path, False) == other)
        assert any(isinstance(one, type) for one in found)
    assert inode(str(file)) == inode(str(tmp_path / "link"), follow=True) == inode(str(tmp_path / "hard"))
    assert inode(str(file)) != inode(str(tmp_path / "link"))


def _names(path: str, file: Inode | None, follow: bool) -> Names:
    return Names([], [(path, file)]) if follow else Names([(path, file)])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_folder_that_may_not_be_searched(tmp_path: Path) -> None:
    """The error is raised, and not taken for a missing file."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "file").touch()
    os.chmod(tmp_path / "closed", 0)
    try:
        with pytest.raises(PermissionError):
            inode(str(tmp_path / "closed" / "file"))
    finally:
        os.chmod(tmp_path / "closed", 0o700)


@needs_statx
@pytest.mark.asyncio
async def test_commits_never_ask_for_the_times_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking would make the system note a new time at the next write, and the sync after it slower."""
    asked: list[str] = []

    def noting(stat: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
        def noted(path: str | bytes | int, *args: object, **keywords: object) -> os.stat_result:
            asked.append(os.fsdecode(path) if isinstance(path, (str, bytes)) else "")
            return stat(path, *args, **keywords)

        return noted

    store = SqliteStore(tmp_path / "keys.db")
    await store.open()
    monkeypatch.setattr(os, "stat", noting(os.stat))
    monkeypatch.setattr(os, "lstat", noting(os.lstat))
    try:
        for number in range(20):
            await store.put(ItemName("app", 2, f"{number}"), b"x")
            assert await store.count("app", 2) == number + 1
        by_statx = list(asked)
        monkeypatch.setattr(files, "_statx", None)
        await store.put(ItemName("app", 2, "last"), b"x")
    finally:
        monkeypatch.undo()
        await store.aclose()
    assert not [path for path in by_statx if path.endswith("-wal")]
    assert [
        path for path in asked if path.endswith("-wal")
    ]  # without statx it is asked, and that is noted here


def test_a_descriptor_is_told_by_its_file(tmp_path: Path) -> None:
    """As fstat(2) tells it: files that are open, renamed, removed; folders, pipes, and what is not open."""
    kept, removed = tmp_path / "kept", tmp_path / "removed"
    for path in (kept, removed):
        path.write_bytes(b"x")
    opened = [
        os.open(path, os.O_RDONLY) for path in (kept, removed, tmp_path, "/dev/null", "/proc/self/maps")
    ]
    opened += os.pipe()
    kept.rename(tmp_path / "renamed")
    removed.unlink()
    try:
        for descriptor in opened:
            status = os.fstat(descriptor)
            assert inode(descriptor) == (status.st_dev, status.st_ino)
        assert inode(opened[0]) == inode(str(tmp_path / "renamed")) != inode(opened[1])
    finally:
        for descriptor in opened:
            os.close(descriptor)
    for bad in (opened[0], -1):
        with pytest.raises(OSError):  # noqa: PT011 - of either kind, as os.stat gives it
            inode(bad)


def test_a_lock_file_that_nobody_can_look_at_is_not_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems of user space know no file without a name: neither descriptor nor path tells one then."""
    lock = LockFile(str(tmp_path / "keys.db"))
    descriptor = lock.take_at_once()
    assert descriptor is not None
    assert lock.is_current(descriptor)
    with monkeypatch.context() as patch:
        patch.setattr(lockfile, "inode", lambda _: None)
        assert not lock.is_current(descriptor)
    lock.release(descriptor)
    lock.close_spare()
