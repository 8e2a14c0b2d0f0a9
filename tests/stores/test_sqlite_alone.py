"""One row by one statement against the way that all other writes go, over odd rows and beside another program."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huks_async.stores import ItemName
from huks_async.stores.sqlite.engine import Engine
from huks_async.stores.sqlite.walindex import HEADER
from huks_async.stores.sqlite.writes import Delete, GroupCommit, Outcome, Put, PutMeta, Write, row_key

NAMES = [ItemName("app", 2, alias) for alias in ("", "a", "\0", "ü" * 300)]
BLOBS: list[Any] = [b"", b"x", b"y" * 600, b"z" * 5000, b"too long" * 2000, "text", None, 7]


def _put(name: ItemName, blob: Any, expect: int | None) -> Put:
    return Put(name, row_key(name), blob, expect)


def _delete(name: ItemName) -> Delete:
    return Delete(name, row_key(name), None)


ROWS = st.builds(_put, st.sampled_from(NAMES), st.sampled_from(BLOBS), st.none())
WRITES = st.one_of(
    ROWS,
    st.builds(_put, st.sampled_from(NAMES), st.sampled_from(BLOBS), st.integers(0, 3)),
    st.builds(_delete, st.sampled_from(NAMES)),
    st.builds(PutMeta, st.just("m"), st.sampled_from([b"1", b"2"]), st.booleans()),
)
OTHERS = st.sampled_from(
    [
        "UPDATE sequence SET version = version + 3",
        "UPDATE sequence SET version = version",
        "DELETE FROM item",
        "INSERT OR REPLACE INTO item VALUES (x'617070', 2, x'61', 99, x'00')",
        "DELETE FROM sequence",
        "PRAGMA user_version = 99",
    ]
)
STEPS = st.lists(
    st.one_of(ROWS.map(lambda row: [row]), st.lists(WRITES, min_size=1, max_size=3), OTHERS), max_size=12
)


@contextmanager
def opened(path: Path) -> Iterator[Engine]:
    """A store's files, with a limit on the length of a row."""
    engine = Engine(str(path), "sqlite:store", 5.0, {}, lambda view: None)
    engine.open()
    try:
        database = engine._database
        assert database is not None
        database.written.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
        yield engine
    finally:
        engine.close_read()
        engine.close()


def shown(outcome: Outcome) -> object:
    """An outcome that can be compared."""
    return (type(outcome), str(outcome)) if isinstance(outcome, BaseException) else outcome


def carried_out(path: Path, steps: list[list[Write] | str], *, alone: bool) -> list[object]:
    """The outcomes of the writes, and all that is in the database afterwards."""
    found: list[object] = []
    ordinary = patch.object(GroupCommit, "_put_alone", lambda self, write: None)
    with opened(path) as engine, closing(sqlite3.connect(path, isolation_level=None)) as other:
        for step in steps:
            if isinstance(step, str):
                other.execute(step)
            elif alone:
                found += map(shown, engine.commit(step.copy))
            else:
                with ordinary:
                    found += map(shown, engine.commit(step.copy))
        for table in ("item", "tally", "sequence", "meta"):
            found += other.execute(f"SELECT * FROM {table}").fetchall()
    return found


@settings(max_examples=100)
@given(STEPS)
def test_both_ways_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[Write] | str]
) -> None:
    """Outcomes, errors included, rows, counts and versions."""
    folder = tmp_path_factory.mktemp("ways")
    assert carried_out(folder / "fast.db", steps, alone=True) == carried_out(
        folder / "slow.db", steps, alone=False
    )


def test_one_row_is_one_statement(tmp_path: Path) -> None:
    """From the second commit on, as the first one looks at the counter; and again after another program's commit."""
    statements: list[str] = []
    with opened(tmp_path / "keys.db") as engine, closing(sqlite3.connect(tmp_path / "keys.db")) as other:
        assert engine.commit(lambda: [_put(NAMES[0], b"x", None)]) == [1]
        database = engine._database
        assert database is not None
        database.written.set_trace_callback(statements.append)
        assert engine.commit(lambda: [_put(NAMES[0], b"x", None)]) == [2]
        # one statement is shown once more for each trigger that it sets off
        assert {statement.split(" (")[0] for statement in statements} == {"INSERT INTO alone VALUES"}
        other.execute("UPDATE sequence SET version = 7")
        other.commit()
        assert engine.commit(lambda: [_put(NAMES[0], b"x", None)]) == [8]
        statements.clear()
        assert engine.commit(lambda: [_put(NAMES[1], b"x", None)]) == [9]
        assert "COMMIT" not in statements


def test_a_counter_that_changes_at_the_last_moment(tmp_path: Path) -> None:
    """Another program commits between the look at the header and the statement: no version is issued twice."""
    path = tmp_path / "keys.db"
    with opened(path) as engine, closing(sqlite3.connect(path, isolation_level=None)) as other:
        assert engine.commit(lambda: [_put(NAMES[0], b"x", None)]) == [1]
        database = engine._database
        assert database is not None
        written = database.written

        class Late:
            """The connection, before whose statement the other program is faster, once."""

            def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
                if "alone" in statement:
                    other.execute("UPDATE sequence SET version = 20")
                return written.execute(statement, values)

            def __getattr__(self, name: str) -> object:
                return getattr(written, name)

        with patch.object(database.commit, "_connection", Late()):
            assert engine.commit(lambda: [_put(NAMES[1], b"y", None)]) == [21]
        assert engine.commit(lambda: [_put(NAMES[1], b"y", None)]) == [22]
        assert other.execute("SELECT version FROM sequence").fetchall() == [(22,)]


class LateLook:
    """The header of the index; before the look that follows the first commit, another process may commit."""

    def __init__(self, header: Any, written: sqlite3.Connection, commit: Callable[[], None]) -> None:
        self._header = header
        self._written = written
        self._changes = written.total_changes
        self._commit: Callable[[], None] | None = commit

    def __getitem__(self, part: slice) -> object:
        if self._written.total_changes > self._changes and not self._written.in_transaction:
            commit, self._commit = self._commit, None
            if commit is not None:
                commit()
        return self._header[part]


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_a_commit_just_before_the_look_at_the_header(tmp_path: Path, rows: int) -> None:
    """With the lock's file taken away, another's header can be taken for one's own; still no version comes twice."""
    path = tmp_path / "keys.db"
    writes = [_put(ItemName("app", 2, f"{number}"), b"x", None) for number in range(rows)]
    theirs: list[Outcome] = []

    def commit() -> None:
        os.unlink(f"{path}.lock")
        theirs.extend(other.commit(lambda: [_put(NAMES[3], b"y", None)] * 3))

    with opened(path) as engine, opened(path) as other:
        database = engine._database
        assert database is not None
        engine.commit(writes.copy)
        late = LateLook(database.header, database.written, commit)
        with patch.object(database.commit, "_header", late):
            first = engine.commit(writes.copy)
        rest = [
            *engine.commit(writes.copy),
            *other.commit(writes.copy),
            *engine.commit(writes.copy),
        ]
        assert len(theirs) == 3
        assert [*first, *theirs, *rest] == list(range(rows + 1, 5 * rows + 4))


@pytest.mark.parametrize(
    "nothing", [_delete(NAMES[2]), _put(NAMES[2], b"x", 77), PutMeta("m", b"1", replace=True)]
)
def test_a_commit_just_before_the_look_of_one_that_changes_nothing(tmp_path: Path, nothing: Write) -> None:
    """Another's header is not taken for that of a commit which left none."""
    path = tmp_path / "keys.db"
    with opened(path) as engine, opened(path) as other:
        database = engine._database
        assert database is not None
        engine.commit(lambda: [PutMeta("m", b"1", replace=False)])
        mine = engine.commit(lambda: [_put(NAMES[1], b"x", None)] * 2)
        theirs: list[Outcome] = []

        class Late:
            """The index, before whose second look another process commits."""

            looks = 0

            def __getitem__(self, part: slice) -> object:
                self.looks += 1
                if self.looks == 2:
                    os.unlink(f"{path}.lock")
                    theirs.extend(other.commit(lambda: [_put(NAMES[3], b"y", None)] * 3))
                return database.header[part]

        with patch.object(database.commit, "_header", Late()):
            engine.commit(lambda: [nothing])
        if not theirs:  # there was no second look
            theirs.extend(other.commit(lambda: [_put(NAMES[3], b"y", None)] * 3))
        rest = [
            *engine.commit(lambda: [_put(NAMES[1], b"x", None)] * 2),
            *other.commit(lambda: [_put(NAMES[3], b"y", None)]),
        ]
        assert [*mine, *theirs, *rest] == list(range(1, 9))


def test_a_value_may_be_set_to_what_it_is(tmp_path: Path) -> None:
    """SQLite writes nothing then, which is no sign of files that were exchanged."""
    with opened(tmp_path / "keys.db") as engine:
        for _ in range(3):
            assert engine.commit(lambda: [PutMeta("m", b"v" * 50, replace=True)]) == [b"v" * 50]


@pytest.mark.parametrize("rows", [1, 2])
def test_a_newer_schema_just_before_the_look_at_the_header(tmp_path: Path, rows: int) -> None:
    """With the lock's file taken away, a newer version's change of the schema is still noticed at the next write."""
    path = tmp_path / "keys.db"
    writes = [_put(ItemName("app", 2, f"{number}"), b"x", None) for number in range(rows)]
    with opened(path) as engine, closing(sqlite3.connect(path, isolation_level=None)) as other:
        database = engine._database
        assert database is not None
        engine.commit(writes.copy)
        late = LateLook(
            database.header, database.written, lambda: other.execute("PRAGMA user_version = 99") and None
        )
        with patch.object(database.commit, "_header", late):
            assert engine.commit(writes.copy) == list(range(rows + 1, 2 * rows + 1))
        for _ in range(2):
            assert [getattr(refused, "code", refused) for refused in engine.commit(writes.copy)] == [
                12000004
            ] * rows
        assert other.execute("SELECT version FROM sequence").fetchall() == [(2 * rows,)]


def test_ones_own_header_is_known_after_each_commit(tmp_path: Path) -> None:
    """Also where the log begins anew, and where nothing was changed."""
    with opened(tmp_path / "keys.db") as engine:
        database = engine._database
        assert database is not None
        for number in range(30):
            for writes in ([_put(NAMES[1], b"x" * 600, None)] * (1 + number % 3), [_delete(NAMES[2])]):
                engine.commit(writes.copy)
                assert database.commit._own == database.header[HEADER]
            if number % 4 == 0:
                database.checkpoints.empty()


def test_a_commit_that_fails_leaves_the_files_open(tmp_path: Path) -> None:
    """As on a full disk: what was rolled back is no sign of exchanged files, and rows can be read."""
    with opened(tmp_path / "keys.db") as engine:
        engine.commit(lambda: [_put(NAMES[1], b"x", None)])
        database = engine._database
        assert database is not None
        written = database.written

        class Full:
            """The connection, which cannot commit."""

            def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
                if statement == "COMMIT":
                    raise sqlite3.OperationalError("database or disk is full")
                return written.execute(statement, values)

            def __getattr__(self, name: str) -> object:
                return getattr(written, name)

        with patch.object(database.commit, "_connection", Full()):
            for _ in range(2):
                refused = engine.commit(lambda: [_put(NAMES[1], b"y", None)] * 2)
                assert [getattr(outcome, "code", None) for outcome in refused] == [12000004] * 2
                assert engine.select("SELECT blob FROM item", ()) == [(b"x",)]
        assert engine._database is database
        assert engine.commit(lambda: [_put(NAMES[1], b"z", None)]) == [2]
