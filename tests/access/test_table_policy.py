"""A policy as data: it says what its code says, and a mistake in it is named with its place."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huks_async import AccessRequest, BusinessError, Caller, TablePolicy
from tests.access import tables
from tests.access.tables import ALIASES, FUNCTIONS, GROUPS, NAMES, USERS, CodePolicy

requests = st.builds(
    AccessRequest,
    caller=st.builds(Caller, st.sampled_from(NAMES), st.sampled_from(USERS)),
    function=st.sampled_from([name + more for name in FUNCTIONS for more in ("", "AsUser")]),
    alias=st.none() | st.sampled_from(ALIASES),
    purposes=st.sampled_from([0, 1, 2, 3, 4, 8, 12, 16, 511, 512, 1 << 31]),
    namespace=st.sampled_from(NAMES),
    user_id=st.sampled_from([0, *USERS]),
    group=st.none() | st.sampled_from(GROUPS),
    level=st.sampled_from([0, 1, 2]),
)


@settings(max_examples=120, deadline=None)
@given(tables.tables, st.lists(requests, min_size=1, max_size=20))
def test_data_and_code_agree(table: dict[str, Any], asked: list[AccessRequest]) -> None:
    """Every question on random tables has the answer that a program written from the description gives."""
    data, code = TablePolicy(table), CodePolicy(table)
    for request in asked:
        known = request.purposes < 512  # a bit without a name is in no list of purposes
        assert data.may_use(request) == (known and code.may_use(request)), request
        assert data.may_act_for(request.caller, request.user_id) == code.may_act_for(
            request.caller, request.user_id
        )
        assert list(data.groups_of(request.caller)) == list(code.groups_of(request.caller))
        assert list(data.namespaces_of(request.caller)) == list(code.namespaces_of(request.caller))


@settings(max_examples=300, deadline=None)
@given(st.text("ab*.", max_size=8), st.text("ab.\n", min_size=1, max_size=10))
def test_patterns(pattern: str, name: str) -> None:
    """A star is any characters, nothing else means anything."""
    if not pattern:
        return
    policy = TablePolicy({"version": 1, "callers": {"c": {"keys": [{"alias": pattern}]}}})
    request = AccessRequest(Caller("c", 100), "initSession", name, 1, "c", 100, None, 1)
    assert policy.may_use(request) == tables.fits(pattern, name)


def test_a_pattern_takes_linear_time() -> None:
    """With forty stars it is as good as at once, where trying all ways would never end."""
    policy = TablePolicy({"version": 1, "callers": {"c": {"keys": [{"alias": "*a" * 40 + "*b"}]}}})
    request = AccessRequest(Caller("c", 100), "initSession", "a" * 128, 1, "c", 100, None, 1)
    assert not policy.may_use(request)


MISTAKES = [
    ({}, "version is missing"),
    ({"version": 1}, "callers is missing"),
    ({"version": 2, "callers": {}}, "version: got 2, accepted 1"),
    ({"version": True, "callers": {}}, "version: got True, accepted 1"),
    ({"version": 1, "callers": {}, "caller": {}}, "'caller' is not known, accepted version, callers"),
    ({"version": 1, "callers": []}, "callers: must be a table, got list"),
    ({"version": 1, "callers": {"a": 7}}, "callers.a: must be a table, got int"),
    ({"version": 1, "callers": {"": {}}}, "callers: 401: a name must be a non-empty str"),
    ({"version": 1, "callers": {7: {}}}, "callers: 401: a name must be a non-empty str"),
]
ENTRY_MISTAKES = [
    ({"key": []}, "'key' is not known, accepted users, namespaces, groups, levels, as_user, keys"),
    ({"users": 100}, "users: must be a list, got int"),
    ({"users": ["x"]}, "users[0]: got 'x', accepted a user's number, or two as 'first-last'"),
    ({"users": [100, True]}, "users[1]: got True, accepted"),
    ({"users": [100.0]}, "users[0]: got 100.0, accepted"),
    ({"users": ["200-100"]}, "users[0]: got '200-100', accepted 0 … 2147483647, the smaller one first"),
    ({"users": [-1]}, "users[0]: got -1, accepted 0 …"),
    ({"users": ["1-2-3"]}, "users[0]: got '1-2-3', accepted"),
    ({"users": ["1-" + "9" * 50]}, "users[0]: got"),
    ({"levels": ["CE", "XE"]}, "levels[1]: got 'XE', accepted DE, CE, ECE"),
    ({"levels": "CE"}, "levels: must be a list, got str"),
    ({"groups": [1]}, "groups[0]: 401: a name must be"),
    ({"namespaces": ["a\x1fuser\x1f101"]}, "namespaces[0]: 401: a name must be"),
    ({"as_user": {}}, "as_user: users is missing"),
    (
        {"as_user": {"users": [1], "function": []}},
        "as_user: 'function' is not known, accepted users, functions",
    ),
    (
        {"as_user": {"users": [1], "functions": ["initSession"]}},
        "as_user.functions[0]: got 'initSession', accepted",
    ),
    ({"keys": {}}, "keys: must be a list, got dict"),
    ({"keys": [{}]}, "keys[0]: alias is missing"),
    ({"keys": [{"alias": "a"}, {"alias": 7}]}, "keys[1].alias: must be a list, got int"),
    ({"keys": [{"alias": ["a", 7]}]}, "keys[0].alias[1]: 401: a name must be"),
    (
        {"keys": [{"alias": "a", "purposes": ["sing"]}]},
        "keys[0].purposes[0]: got 'sing', accepted encrypt, decrypt",
    ),
    ({"keys": [{"alias": "a", "functions": ["initSessionAsUser"]}]}, "keys[0].functions[0]: got"),
    (
        {"keys": [{"alias": "a", "purpose": ["sign"]}]},
        "keys[0]: 'purpose' is not known, accepted alias, purposes",
    ),
]


@pytest.mark.parametrize(("table", "message"), MISTAKES)
def test_mistakes_in_the_table(table: Any, message: str) -> None:
    """401, with the place and what is accepted there."""
    with pytest.raises(BusinessError) as caught:
        TablePolicy(table)
    assert caught.value.code == 401
    assert f"policy: {message}".replace(": 401: ", ": ") in caught.value.message


@pytest.mark.parametrize(("entry", "message"), ENTRY_MISTAKES)
@pytest.mark.parametrize("name", ["a", "tenant *"])
def test_mistakes_in_an_entry(name: str, entry: Any, message: str) -> None:
    """401, with the caller, the place and what is accepted there."""
    with pytest.raises(BusinessError) as caught:
        TablePolicy({"version": 1, "callers": {"fine": {}, name: entry}}, source="/etc/policy.toml")
    assert caught.value.code == 401
    where = name if name.isidentifier() else repr(name)
    wanted = f"/etc/policy.toml: callers.{where}" + ("." if re.match(r"[a-z_]+[\[:.]", message) else ": ")
    assert (wanted + message).replace(": 401: ", ": ") in caught.value.message


def test_files(tmp_path: Path) -> None:
    """A table from TOML; files that are none are refused with the reason, and the line where there is one."""
    path = tmp_path / "policy.toml"
    path.write_text('version = 1\n[callers.a]\ngroups = ["team"]\n[[callers.a.keys]]\nalias = "k*"\n')
    policy = TablePolicy.from_file(path)
    assert list(policy.groups_of(Caller("a", 100))) == ["team"]
    path.write_text("version = 2\n")  # read once
    assert list(policy.groups_of(Caller("a", 100))) == ["team"]
    for content, message in (
        (b"version = 1\ncallers = {\n", "is no TOML: .*line"),
        (b"version = 1\n[callers.a]\nlevels = ['X']\n", "policy.toml'?: callers.a.levels.0.: got 'X'"),
        (b"\xff", "is not UTF-8 at byte 0"),
        (b"#" * (4 * 1024 * 1024 + 1), "more than 4194304 bytes"),
        (b"a = " + b"[" * 5000, "is no TOML"),
        (b"version = " + b"1" * 5000, "is no TOML"),
    ):
        path.write_bytes(content)
        with pytest.raises(BusinessError, match=message) as caught:
            TablePolicy.from_file(path)
        assert caught.value.code == 401
    for missing in (tmp_path / "none", tmp_path, "a\0b"):
        with pytest.raises(BusinessError, match="cannot be read") as caught:
            TablePolicy.from_file(missing)
        assert caught.value.code == 401
    no_path: Any
    for no_path in (5, None, ["policy.toml"]):
        with pytest.raises(BusinessError, match="needs a path, got") as caught:
            TablePolicy.from_file(no_path)
        assert caught.value.code == 401
