"""Random policies as tables, and the same policies as code, written anew from their description."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from hypothesis import strategies as st

from huks_async import AccessRequest, Caller

NAMES = ("a", "ab", "b", "shop-1", "shop-2")
CALLER_PATTERNS = (*NAMES, "*", "shop-*", "a*", "*b", "s*-*1")
ALIASES = ("k", "key-1", "key-2", "k1", "log")
ALIAS_PATTERNS = (*ALIASES, "*", "key-*", "k*", "*-2", "*e*", "k*y*1")
GROUPS = ("team", "all")
USERS = (100, 101, 102)
PURPOSES = ("encrypt", "decrypt", "sign", "verify", "derive", "wrap", "unwrap", "mac", "agree")
LEVELS = {"DE": 0, "CE": 1, "ECE": 2}
FUNCTIONS = (
    "importKeyItem",
    "deleteKeyItem",
    "hasKeyItem",
    "listAliases",
    "initSession",
    "getKeyItemProperties",
)


def lists(items: Collection[Any]) -> st.SearchStrategy[list[Any]]:
    """Some of these, in any order."""
    return st.lists(st.sampled_from(list(items)), unique=True)


def _table(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


users = st.lists(st.sampled_from([100, 101, "100-101", "101-300", "102-102", 0]), max_size=2)
key_rules = st.builds(
    lambda alias, more: {"alias": alias} | more,
    st.sampled_from(ALIAS_PATTERNS) | lists(ALIAS_PATTERNS),
    _table(purposes=lists(PURPOSES[:4]), functions=lists(FUNCTIONS)),
)
entries = _table(
    users=users,
    namespaces=lists(NAMES),
    groups=lists(GROUPS),
    levels=lists(LEVELS),
    as_user=st.builds(
        lambda some, more: {"users": some} | more,
        users,
        _table(functions=lists([f"{name}AsUser" for name in FUNCTIONS])),
    ),
    keys=st.lists(key_rules, max_size=3),
)
tables = st.builds(
    lambda callers: {"version": 1, "callers": callers},
    st.dictionaries(st.sampled_from(CALLER_PATTERNS), entries, max_size=4),
)


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern fits, by regular expression."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def has_user(ranges: Collection[int | str], user_id: int) -> bool:
    """Whether one of the numbers and ranges has this user."""
    for each in ranges:
        first, _, last = str(each).partition("-")
        if user_id in range(int(first), int(last or first) + 1):
            return True
    return False


class CodePolicy:
    """The policy that a table describes, as a program would write it."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.callers: Mapping[str, Any] = table["callers"]

    def entry(self, caller: Caller) -> Mapping[str, Any] | None:
        """The table of a caller."""
        names = [caller.namespace, *(name for name in self.callers if "*" in name)]
        for name in names:
            if name in self.callers and fits(name, caller.namespace):
                found: Mapping[str, Any] = self.callers[name]
                return found if has_user(found.get("users", ["0-2147483647"]), caller.user_id) else None
        return None

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        """By `as_user`."""
        return has_user((self.entry(caller) or {}).get("as_user", {}).get("users", []), user_id)

    def groups_of(self, caller: Caller) -> Collection[str]:
        """By `groups`."""
        groups: list[str] = (self.entry(caller) or {}).get("groups", [])
        return groups

    def namespaces_of(self, caller: Caller) -> Collection[str]:
        """By `namespaces`."""
        namespaces: list[str] = (self.entry(caller) or {}).get("namespaces", [])
        return namespaces

    def may_use(self, request: AccessRequest) -> bool:
        """By everything."""
        entry = self.entry(request.caller)
        if entry is None:
            return False
        plain = request.function.removesuffix("AsUser")
        if plain != request.function:
            named = entry.get("as_user", {})
            if request.function not in named.get("functions", [request.function]):
                return False
            if not has_user(named.get("users", []), request.user_id):
                return False
        if request.group is not None and request.group not in entry.get("groups", []):
            return False
        foreign = request.group is None and request.namespace != request.caller.namespace
        if foreign and request.namespace not in entry.get("namespaces", []):
            return False
        if request.level not in [LEVELS[level] for level in entry.get("levels", LEVELS)]:
            return False
        wanted = {name for bit, name in enumerate(PURPOSES) if request.purposes >> bit & 1}
        for rule in entry.get("keys", [{"alias": "*"}]):
            aliases = [rule["alias"]] if isinstance(rule["alias"], str) else rule["alias"]
            if request.alias is None:
                known = "*" in aliases
            else:
                known = any(fits(alias, request.alias) for alias in aliases)
            if (
                known
                and wanted <= set(rule.get("purposes", PURPOSES))
                and plain in rule.get("functions", [plain])
            ):
                return True
        return False
