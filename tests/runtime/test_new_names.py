"""A file gets its name in one step, and never another file's."""

import errno
import os

import pytest

from huks_async.runtime import new_names
from huks_async.runtime.new_names import name_new


@pytest.fixture(params=["rename", "link"])
def way(request, monkeypatch):
    """Both ways: the rename that refuses to replace, and a second name where there is none."""
    if request.param == "link":
        monkeypatch.setattr(new_names, "_renamed", lambda *_: False)
    return request.param


def test_the_file_has_its_new_name_alone(tmp_path, way):
    """The same file, under one name."""
    draft, name = tmp_path / "draft", tmp_path / "näme"
    draft.write_text("whole")
    before = draft.stat().st_ino
    name_new(str(draft), str(name))
    assert [file.name for file in tmp_path.iterdir()] == ["näme"]
    assert (name.stat().st_ino, name.stat().st_nlink, name.read_text()) == (before, 1, "whole")


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_nothing_is_replaced(tmp_path, way, kind):
    """FileExistsError, and both are as they were."""
    draft, name = tmp_path / "draft", tmp_path / "name"
    draft.write_text("whole")
    if kind == "file":
        name.write_text("mine")
    elif kind == "folder":
        name.mkdir()
    else:
        name.symlink_to("nowhere")
    before = os.lstat(name).st_ino
    with pytest.raises(FileExistsError):
        name_new(str(draft), str(name))
    assert draft.read_text() == "whole"
    assert os.lstat(name).st_ino == before


def test_another_failure_is_told(tmp_path, way):
    """As the system names it."""
    draft = tmp_path / "draft"
    draft.write_text("whole")
    with pytest.raises(OSError, match="No such file") as failed:
        name_new(str(draft), str(tmp_path / "none" / "name"))
    assert failed.value.errno == errno.ENOENT
    assert draft.read_text() == "whole"


def test_the_rename_is_there_on_linux(tmp_path):
    """Or the tests of the first way would be those of the second."""
    draft = tmp_path / "draft"
    draft.write_text("whole")
    assert (
        new_names._renamed(os.fsencode(draft), os.fsencode(tmp_path / "name"))
        or os.uname().sysname != "Linux"
    )
