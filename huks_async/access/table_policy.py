"""A policy as data: a table of callers, and for each what it may do. It is read strictly, from TOML or a mapping.

A caller that the table does not name may use and make no keys, register and use no providers and have nobody
authenticated. A caller that it names may do with its own keys what the keys allow, unless the table restricts that.
"""

import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from huks_async.access.callers import MAX_USER, Caller, check_namespace
from huks_async.access.policy import AccessRequest
from huks_async.model.enums import HuksAuthStorageLevel, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown, type_name

T = TypeVar("T")

VERSION = 1
MAX_FILE_BYTES = 4 * 1024 * 1024

FUNCTIONS: Final = (
    "generateKeyItem",
    "importKeyItem",
    "importWrappedKeyItem",
    "deleteKeyItem",
    "exportKeyItem",
    "hasKeyItem",
    "isKeyItemExist",
    "getKeyItemProperties",
    "listAliases",
    "initSession",
    "finishSession",
    "attestKeyItem",
    "anonAttestKeyItem",
    "anonAttestKeyItemOffline",
    "wrapKeyItem",
    "unwrapKeyItem",
    "encapsulate",
    "decapsulate",
)
"""The functions that a policy is asked about; `finishSession` only if its result is stored as a key."""

_FOR_USERS = tuple(f"{name}AsUser" for name in FUNCTIONS)
_PURPOSES = {member.name.rpartition("_")[2].lower(): int(member) for member in HuksKeyPurpose}
_ALL_PURPOSES = sum(_PURPOSES.values())
_LEVELS = {member.name.rpartition("_")[2]: int(member) for member in HuksAuthStorageLevel}

Users = tuple[tuple[int, int], ...]
"""Ranges, both ends included."""


class _Pattern:
    """A name in which `*` stands for any number of characters, including none. Matching takes linear time."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_exact = "*" not in text
        self._first, *middle = text.split("*")
        self._last = middle.pop() if middle else ""
        self._middle = middle

    def fits(self, name: str) -> bool:
        if self.is_exact:
            return name == self.text
        start, end = len(self._first), len(name) - len(self._last)
        if start > end or not (name.startswith(self._first) and name.endswith(self._last)):
            return False
        for part in self._middle:
            start = name.find(part, start, end)
            if start < 0:
                return False
            start += len(part)
        return True


@dataclass(frozen=True, slots=True)
class _KeyRule:
    aliases: tuple[_Pattern, ...]
    purposes: int
    functions: frozenset[str]

    def permits(self, function: str, alias: str | None, purposes: int) -> bool:
        if function not in self.functions or purposes & ~self.purposes:
            return False
        if alias is None:  # the call is about all aliases at once
            return any(pattern.text == "*" for pattern in self.aliases)
        return any(pattern.fits(alias) for pattern in self.aliases)


@dataclass(frozen=True, slots=True)
class _Entry:
    users: Users
    namespaces: tuple[str, ...]
    groups: tuple[str, ...]
    levels: frozenset[int]
    other_users: Users
    other_user_functions: frozenset[str]
    keys: tuple[_KeyRule, ...]


class TablePolicy:
    """Who may do what, as a table.

        version = 1

        [callers.billing]
        groups = ["ledger"]

        [[callers.billing.keys]]
        alias = "invoice-*"
        purposes = ["sign", "verify"]
        functions = ["initSession", "exportKeyItem"]

    Args:
        table: `version`, 1, and `callers`: for each name, or pattern with `*`, a table that may hold `users`,
            `namespaces`, `groups`, `levels`, `as_user` and `keys`. The page docs/access.md describes each.
        source: names the table in messages.

    A caller has the entry of its exact name, else the first whose pattern matches. A caller without an entry may use
    and make no keys, register and use no providers and have nobody authenticated: 201. A table never changes: to change
    the policy, open the keystore with another one.

    Raises:
        BusinessError: 401 for anything in the table that is not understood; the message names the place.
    """

    cache_seconds: float = math.inf

    def __init__(self, table: Mapping[str, Any], *, source: str = "policy") -> None:
        place = _Place(source)
        fields = _fields(place, table, required=("version", "callers"))
        if fields["version"] != VERSION or type(fields["version"]) is not int:
            raise place.at("version").wrong(fields["version"], str(VERSION))
        callers = place.at("callers")
        self._exact: dict[str, _Entry] = {}
        self._patterns: list[tuple[_Pattern, _Entry]] = []
        for name, entry in _mapping(callers, fields["callers"]).items():
            pattern = _Pattern(_name(callers, name))
            parsed = _entry(callers.at(name), entry)
            if pattern.is_exact:
                self._exact[name] = parsed
            else:
                self._patterns.append((pattern, parsed))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> "TablePolicy":
        """Read a table from a TOML file. The file is read once, now: later changes of it have no effect.

        Raises:
            BusinessError: 401 for a file that cannot be read, is not TOML (with the line) or is not such a table.
        """
        import tomllib  # late: most keystores have no policy

        try:
            name = shown(os.fspath(path))
        except TypeError:
            raise BusinessError(401, f"a policy file needs a path, got {shown(path)}") from None
        try:
            with open(path, "rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no name of a file"
            raise BusinessError(401, f"the policy file {name} cannot be read: {reason}") from error
        if len(data) > MAX_FILE_BYTES:
            raise BusinessError(401, f"the policy file {name} has more than {MAX_FILE_BYTES} bytes")
        try:
            table = tomllib.loads(data.decode())
        except UnicodeDecodeError as error:
            raise BusinessError(401, f"the policy file {name} is not UTF-8 at byte {error.start}") from None
        except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
            raise BusinessError(401, f"the policy file {name} is no TOML: {error}") from None
        return cls(table, source=name)

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        """Whether `as_user` of the caller's entry has this user."""
        entry = self._entry_of(caller)
        return entry is not None and _has(entry.other_users, user_id)

    def groups_of(self, caller: Caller) -> Collection[str]:
        """`groups` of the caller's entry."""
        entry = self._entry_of(caller)
        return () if entry is None else entry.groups

    def namespaces_of(self, caller: Caller) -> Collection[str]:
        """`namespaces` of the caller's entry."""
        entry = self._entry_of(caller)
        return () if entry is None else entry.namespaces

    def may_authenticate(self, caller: Caller, user_id: int) -> bool:
        """Whether the caller has an entry, and the user is its own or one of `as_user`."""
        entry = self._entry_of(caller)
        return entry is not None and (user_id == caller.user_id or _has(entry.other_users, user_id))

    def may_register_providers(self, caller: Caller) -> bool:
        """Whether the caller has an entry."""
        return self._entry_of(caller) is not None

    def may_use_providers(self, caller: Caller) -> bool:
        """Whether the caller has an entry."""
        return self._entry_of(caller) is not None

    def may_use(self, request: AccessRequest) -> bool:
        """Whether every part of the caller's entry permits this request."""
        caller, function = request.caller, request.function
        entry = self._entry_of(caller)
        if entry is None or request.level not in entry.levels:
            return False
        if request.group is not None:
            if request.group not in entry.groups:
                return False
        elif request.namespace != caller.namespace and request.namespace not in entry.namespaces:
            return False
        if function in _FOR_USERS:
            if not _has(entry.other_users, request.user_id) or function not in entry.other_user_functions:
                return False
            function = function.removesuffix("AsUser")
        return any(rule.permits(function, request.alias, request.purposes) for rule in entry.keys)

    def _entry_of(self, caller: Caller) -> _Entry | None:
        entry = self._exact.get(caller.namespace)
        if entry is None:
            entry = next((each for pattern, each in self._patterns if pattern.fits(caller.namespace)), None)
        return entry if entry is not None and _has(entry.users, caller.user_id) else None


class _Place:
    """The place of a value in a table, for messages. It is written out for those alone: a table has many places."""

    __slots__ = ("_above", "_source", "_step")

    def __init__(self, source: str, above: "_Place | None" = None, step: str | int = "") -> None:
        self._source = source
        self._above = above
        self._step = step

    def at(self, step: str | int) -> "_Place":
        return _Place(self._source, self, step)

    def wrong(self, value: object, accepted: str) -> BusinessError:
        return self.error(f"got {shown(value)}, accepted {accepted}")

    def error(self, what: str) -> BusinessError:
        path = self._path()
        return BusinessError(401, f"{self._source}: {path}: {what}" if path else f"{self._source}: {what}")

    def _path(self) -> str:
        if self._above is None:
            return ""
        before, step = self._above._path(), self._step
        if isinstance(step, int):
            return f"{before}[{step}]"
        word = step if step.isidentifier() and len(step) <= 40 else shown(step)
        return f"{before}.{word}" if before else word


def _entry(place: _Place, value: object) -> _Entry:
    fields = _fields(place, value, optional=("users", "namespaces", "groups", "levels", "as_user", "keys"))
    read = partial(_read, place, fields)
    as_user = place.at("as_user")
    given = _fields(as_user, fields.get("as_user", {}), optional=("users", "functions"))
    if "as_user" in fields and "users" not in given:
        raise as_user.error("users is missing: of which users it may use the keys")
    other_users: Users = tuple(_read(as_user, given, "users", _range, ()))
    functions = _read(as_user, given, "functions", partial(_one_of, _FOR_USERS), _FOR_USERS)
    keys = read("keys", _key_rule, (_KeyRule((_Pattern("*"),), _ALL_PURPOSES, frozenset(FUNCTIONS)),))
    return _Entry(
        users=tuple(read("users", _range, ((0, MAX_USER),))),
        namespaces=tuple(read("namespaces", _name, ())),
        groups=tuple(read("groups", _name, ())),
        levels=frozenset(_LEVELS[word] for word in read("levels", partial(_one_of, _LEVELS), tuple(_LEVELS))),
        other_users=other_users,
        other_user_functions=frozenset(functions),
        keys=tuple(keys),
    )


def _key_rule(place: _Place, value: object) -> _KeyRule:
    fields = _fields(place, value, required=("alias",), optional=("purposes", "functions"))
    alias = fields["alias"]
    if isinstance(alias, str):
        aliases: Collection[str] = (_name(place.at("alias"), alias),)
    else:
        aliases = _read(place, fields, "alias", _name, ())
    purposes = _read(place, fields, "purposes", partial(_one_of, _PURPOSES), tuple(_PURPOSES))
    functions = _read(place, fields, "functions", partial(_one_of, FUNCTIONS), FUNCTIONS)
    return _KeyRule(
        tuple(map(_Pattern, aliases)), sum({_PURPOSES[word] for word in purposes}), frozenset(functions)
    )


def _fields(
    place: _Place, value: object, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    fields = _mapping(place, value)
    for name in fields:
        if name not in required + optional:
            raise place.error(f"{shown(name)} is not known, accepted {', '.join(required + optional)}")
    for name in required:
        if name not in fields:
            raise place.error(f"{name} is missing")
    return fields


def _mapping(place: _Place, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise place.error(f"must be a table, got {type_name(value)}")
    return value


def _read(
    place: _Place,
    fields: Mapping[str, Any],
    name: str,
    read: Callable[[_Place, Any], T],
    default: Collection[T],
) -> Collection[T]:
    """The items of a list, each of them read; the default if there is no list."""
    if name not in fields:
        return default
    value = fields[name]
    if not isinstance(value, (list, tuple)):
        raise place.at(name).error(f"must be a list, got {type_name(value)}")
    return [read(place.at(name).at(number), item) for number, item in enumerate(value)]


def _name(place: _Place, value: Any) -> str:
    try:
        return check_namespace(value, "a name")
    except BusinessError as error:
        raise place.error(error.message) from None


def _one_of(words: Collection[str], place: _Place, value: object) -> str:
    if type(value) is not str or value not in words:
        raise place.wrong(value, ", ".join(words))
    return value


def _range(place: _Place, value: object) -> tuple[int, int]:
    """A user, or `first-last`."""
    if type(value) is int:
        first = last = value
    elif type(value) is str and len(value) <= 21 and (ends := value.split("-"))[1:] and len(ends) == 2:
        if not all(end.isascii() and end.isdigit() for end in ends):
            raise place.wrong(value, "a user's number, or two as 'first-last'")
        first, last = map(int, ends)
    else:
        raise place.wrong(value, "a user's number, or two as 'first-last'")
    if not 0 <= first <= last <= MAX_USER:
        raise place.wrong(value, f"0 … {MAX_USER}, the smaller one first")
    return first, last


def _has(users: Users, user_id: int) -> bool:
    return any(first <= user_id <= last for first, last in users)
