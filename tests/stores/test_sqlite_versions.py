"""Which versions of SQLite have the WAL-reset fault, by its own page."""

import sqlite3

import pytest

from huks_async.stores.sqlite.versions import loses_commits_at_checkpoints


@pytest.mark.parametrize(
    ("version", "faulty"),
    [
        ((3, 6, 23), False), ((3, 7, 0), True), ((3, 40, 1), True), ((3, 44, 5), True), ((3, 44, 6), False),
        ((3, 45, 0), True), ((3, 50, 6), True), ((3, 50, 7), False), ((3, 51, 0), True), ((3, 51, 2), True),
        ((3, 51, 3), False), ((3, 52, 0), False), ((4, 0, 0), False),
    ],
)  # fmt: skip
def test_versions(version, faulty):
    """3.7.0 to 3.51.2, but 3.44.6 and 3.50.7 and what follows them in their branches."""
    assert loses_commits_at_checkpoints(version) is faulty


def test_this_version():
    """Without an argument it is the version of this Python."""
    assert loses_commits_at_checkpoints() is loses_commits_at_checkpoints(sqlite3.sqlite_version_info)
