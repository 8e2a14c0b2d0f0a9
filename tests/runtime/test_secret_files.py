"""Which owner and mode a file with a secret may have: PostgreSQL's rule, cell by cell."""

import os
import re

import pytest

from huks_async.runtime import secret_files
from huks_async.runtime.secret_files import too_open, way_out

OWN, OTHER, ROOT = 1000, 1001, 0


def _facts(owner, mode):
    return os.stat_result((0o100000 | mode, 1, 1, 1, owner, 50, 60, 0, 0, 0))


@pytest.mark.parametrize("mode", range(0o1000))
def test_every_mode_under_every_owner(monkeypatch, mode):
    """At most 0600 for the process's own file, at most 0640 for root's, nobody else's; root reads anybody's at 0600."""
    own = not mode & 0o077
    roots = not mode & 0o037
    for user, owner, accepted in (
        (OWN, OWN, own),
        (OWN, ROOT, roots),
        (OWN, OTHER, False),
        (ROOT, ROOT, roots),
        (ROOT, OTHER, own),
    ):
        monkeypatch.setattr(secret_files.os, "geteuid", lambda user=user: user)
        assert (too_open(_facts(owner, mode)) is None) is accepted, (user, owner)


def test_the_messages_name_owner_mode_rule_and_way_out(monkeypatch):
    """So that nobody has to look the rule up."""
    monkeypatch.setattr(secret_files.os, "geteuid", lambda: OWN)
    assert too_open(_facts(OTHER, 0o600)) == (
        "belongs to user 1001; a secret must be a file of this process's user (1000) or of root's"
    )
    assert "has mode 0640" in too_open(_facts(OWN, 0o640))
    assert "at most 0600 for a file that is not root's" in too_open(_facts(OWN, 0o640))
    assert "at most 0640 for a file of root's" in too_open(_facts(ROOT, 0o644))


def test_what_it_says_to_run_is_accepted(monkeypatch):
    """By the process's own user and by root: of a stranger's file the owner is changed, then the mode."""
    command = re.compile(r"(?:chown (\d+) '/k' && )?chmod (\d+) '/k' \(.*\)")
    for user in (OWN, ROOT):
        monkeypatch.setattr(secret_files.os, "geteuid", lambda user=user: user)
        for owner in (OWN, OTHER, ROOT):
            for mode in range(0o1000):
                new_owner, new_mode = command.fullmatch(way_out(_facts(owner, mode), "/k")).groups()
                assert too_open(_facts(int(new_owner or owner), int(new_mode, 8))) is None
    monkeypatch.setattr(secret_files.os, "geteuid", lambda: OWN)
    assert way_out(_facts(OTHER, 0o644), "/k") == "chown 1000 '/k' && chmod 600 '/k' (as root)"
