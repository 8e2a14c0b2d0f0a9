"""No two copies of a process make the same: not after a fork by C code, not as clones of a machine."""

import collections
import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the copies are made by Linux's fork(2)")

_ONE_ID = """
#include <sys/types.h>
pid_t getpid(void) { return 4242; }
"""


@pytest.fixture
def one_process_id(tmp_path):
    """A library that gives every process the same id, which a copy of a whole machine has."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler, cc, to make the library that hides process ids")
    source, library = tmp_path / "one_id.c", tmp_path / "one_id.so"
    source.write_text(_ONE_ID)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def _made(count, slow, **environment):
    command = [sys.executable, "-m", "tests.adversity.process_copies", str(count), str(slow)]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    made = collections.defaultdict(list)
    for line in done.stdout.splitlines():
        kind, value = line.split()
        made[kind].append(value)
    return made


def _check(made, count, slow):
    ids = made.pop("pid")
    assert len(ids) == count
    assert {len(values) for kind, values in made.items() if kind in ("RSA", "RSA_512")} == {slow}
    for kind, values in made.items():
        assert len(values) == len(set(values)), f"{kind}: {len(values) - len(set(values))} are equal"
        assert len(values) >= count or kind.startswith("RSA")
    assert len(made) == 26
    return ids


def test_copies_by_a_bare_fork_make_nothing_equal():
    """Keys of every algorithm, nonces, rows, handles, ephemeral keys and encryptions of 40 copies."""
    ids = _check(_made(40, 3), 40, 3)
    assert len({name.partition(".")[0] for name in ids}) == 40


def test_copies_of_a_machine_make_nothing_equal(one_process_id):
    """The same where copies have one process id, by which OpenSSL's own generator would notice a fork."""
    ids = _check(_made(30, 3, LD_PRELOAD=str(one_process_id)), 30, 3)
    assert {name.partition(".")[0] for name in ids} == {f"{4242:x}"}


def test_the_openssl_below_can_be_given_randomness():
    """Its function for that is not documented: a version of `cryptography` without it must be noticed here."""
    from huks_async.crypto.openssl_random import CAN_STIR

    assert CAN_STIR
