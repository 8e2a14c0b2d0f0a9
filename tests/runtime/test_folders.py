"""Folders are made at every level with mode 0700, and synced where their names are."""

import errno
import os
import stat

import pytest

from huks_async.runtime import folders
from huks_async.runtime.folders import make_folder, sync_folder


def test_missing_levels_are_made_and_others_left_alone(tmp_path):
    """Also a second time, and where the last part alone is missing."""
    tmp_path.chmod(0o755)
    umask = os.umask(0)
    try:
        for target in (tmp_path / "a" / "b", tmp_path / "a" / "b" / "c", tmp_path / "a"):
            make_folder(str(target))
    finally:
        os.umask(umask)
    for made in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_in_the_way_is_an_error(tmp_path):
    """And stays what it is."""
    (tmp_path / "file").write_text("mine")
    for target in ("file", "file/below"):
        with pytest.raises(OSError, match="file"):
            make_folder(str(tmp_path / target))
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_another_process_made_just_now_is_synced_too(tmp_path, monkeypatch):
    """It may not have come to that yet."""
    synced = []
    monkeypatch.setattr(folders, "sync_folder", synced.append)
    mkdir = folders.os.mkdir

    def made_by_another(path, mode):
        mkdir(path, mode)
        raise FileExistsError(path)

    monkeypatch.setattr(folders.os, "mkdir", made_by_another)
    make_folder(str(tmp_path / "a" / "b"))
    assert synced == [str(tmp_path), str(tmp_path / "a")]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL, errno.EIO])
@pytest.mark.parametrize("step", ["open", "fsync"])
def test_a_folder_that_cannot_be_synced_by_itself(tmp_path, monkeypatch, number, step):
    """Everything is synced where it may not be read or is of a kind that cannot be; a broken disk is told."""
    synced = []

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folders.os, step, fail)
    monkeypatch.setattr(folders.os, "sync", lambda: synced.append(True))
    if number == errno.EIO:
        with pytest.raises(OSError, match=os.strerror(number)):
            sync_folder(str(tmp_path))
    else:
        sync_folder(str(tmp_path))
    assert synced == [True] * (number != errno.EIO)
