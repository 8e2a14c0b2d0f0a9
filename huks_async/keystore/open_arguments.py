"""From the arguments of `Keystore.open` to a store, a root key, limits and a profile."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from huks_async.access.policy import Nobody, Policy
from huks_async.keys.items.shelf import KeyCache
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.model.settings import check_seconds, check_whole
from huks_async.model.showing import shown, type_name
from huks_async.rootkeys import RootKey
from huks_async.stores import Store, open_store

# Loaded late: only a keystore in a file needs pathlib.
if TYPE_CHECKING:
    from pathlib import Path

    from huks_async.access.authenticator import Authenticator
    from huks_async.access.tokens import AuthTokenKeys
    from huks_async.keys.attestation.authority import AttestationCa

T = TypeVar("T")

Profile: TypeAlias = Literal["server", "device"]

DEFAULT_NAMESPACE = "default"
HOME_VARIABLE = "HUKS_ASYNC_HOME"
MOST_WORKERS = 10_000
"""More threads than a machine of today can use."""
PROFILE_VARIABLE = "HUKS_ASYNC_PROFILE"


def home_folder() -> "Path":
    """The folder of the default keystore: $HUKS_ASYNC_HOME, else `huks_async` in the user's data folder.

    Raises:
        BusinessError: 12000004 if the system does not know the home folder that is needed for this.
    """
    from pathlib import Path

    given = os.environ.get(HOME_VARIABLE)
    try:
        if given:
            return Path(given).expanduser()
        if sys.platform == "darwin":
            data = Path.home() / "Library" / "Application Support"
        else:
            data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    except RuntimeError:  # of pathlib, for a user without a home folder
        whose = f"of {HOME_VARIABLE}={shown(given)}" if given else "of this user"
        raise BusinessError(
            12000004,
            f"the place of the default keystore is unknown: the system names no home folder {whose}; set "
            f"{HOME_VARIABLE} to a folder, or give a store",
        ) from None
    return data / "huks_async"


def choose_profile(profile: Any) -> Profile:
    """The profile that was given, else that of $HUKS_ASYNC_PROFILE where it is set and not empty, else `server`."""
    what, name = "profile", profile
    if name is None:
        what, name = f"${PROFILE_VARIABLE}", os.environ.get(PROFILE_VARIABLE) or "server"
    if issubclass(type(name), str):
        if str.__eq__(name, "server"):
            return "server"
        if str.__eq__(name, "device"):
            return "device"
    raise BusinessError(401, f"{what}: got {shown(name)}, accepted 'server' and 'device'")


def choose_limits(limits: Limits | None, profile: Profile) -> Limits:
    """The limits that were given, else those of the profile; 401 for anything else."""
    if limits is not None:
        return _instance(limits, Limits, "limits")
    return Limits.device() if profile == "device" else Limits()


def choose_cache(key_cache: KeyCache | None) -> KeyCache:
    """The settings of the cache that were given, else the usual ones; 401 for anything else."""
    return KeyCache() if key_cache is None else _instance(key_cache, KeyCache, "key_cache")


def choose_store(store: str | Store | None) -> Store:
    """The store that was given, else the SQLite file in the home folder."""
    if store is None:
        from huks_async.stores import SqliteStore

        return SqliteStore(str(home_folder() / "keystore.db"))
    return open_store(store)


def choose_root_key(root_key: RootKey | None, store: Store, given: str | Store | None) -> RootKey:
    """The root key that was given, else one that suits the store."""
    if root_key is not None:
        return check_root_key(root_key, "root_key")
    if given is None:
        from huks_async.rootkeys import FileRootKey

        return FileRootKey(home_folder() / "root.key")
    default = store.default_root_key()
    if default is None:
        raise BusinessError(
            401,
            f"root_key is missing: a store like {store.address} has no default; give e.g. FileRootKey(path)",
        )
    return default


def check_root_key(root_key: RootKey, what: str) -> RootKey:
    """Check a root key; 401 for anything else, also for a class in place of an object."""
    return _instance(root_key, RootKey, what)


def check_policy(policy: Any) -> "Policy":
    """The policy that was given, else one that permits nothing; 401 for what cannot answer a policy's questions."""
    if policy is None:
        return Nobody()
    lacking = [name for name in ("may_act_for", "groups_of") if not callable(getattr(policy, name, None))]
    if isinstance(policy, type) or lacking:
        given = f"the class {type_name(policy)}" if isinstance(policy, type) else type_name(policy)
        raise BusinessError(
            401, f"policy: got {given}; give a TablePolicy, or an object with may_act_for and groups_of"
        )
    answering: Policy = policy
    return answering


def check_authority(authority: "AttestationCa | None") -> "AttestationCa | None":
    """Check the authority that certifies keys; 401 for anything else."""
    if authority is None:
        return None
    from huks_async.keys.attestation.authority import AttestationCa

    return _instance(authority, AttestationCa, "attestation_ca")


def _instance(value: T, kind: type[Any], what: str) -> T:
    if not isinstance(value, kind):
        given = "a class" if isinstance(value, type) else type_name(value)
        raise BusinessError(401, f"{what}: got {given}, accepted an object of {kind.__name__}")
    return value


def check_abilities(abilities: Any) -> dict[str, Any]:
    """Check the providers that an application declares; 401 for anything but a mapping of objects by name."""
    if abilities is None:
        return {}
    if not isinstance(abilities, Mapping) or not all(isinstance(name, str) for name in abilities):
        raise BusinessError(
            401,
            f"abilities must be a mapping of providers by ability name, got {shown(type(abilities).__name__)}",
        )
    for name, ability in abilities.items():
        if isinstance(ability, type):
            raise BusinessError(401, f"abilities: {shown(name)} is a class; give an object of it")
        if ability is None:
            raise BusinessError(
                401, f"abilities: {shown(name)} is None; give a provider, or leave the name out"
            )
    return dict(abilities)


def check_workers(workers: Any) -> int | None:
    """Check how many threads and processes may work at once; 401 for anything but a number of these, or None."""
    return None if workers is None else check_whole(workers, "workers", 1, MOST_WORKERS)


def check_timeout(seconds: Any) -> float:
    """Check how long a provider may take; 401 for anything but a positive number."""
    return check_seconds(seconds, "provider_timeout")


def check_authenticator(authenticator: Any) -> "Authenticator | None":
    """Check who is to vouch for users; 401 for anything but an object with what `Authenticator` asks for."""
    if authenticator is None:
        return None
    if isinstance(authenticator, type):
        raise BusinessError(
            401,
            f"authenticator: got the class {shown(authenticator.__name__)}; give an object, such as PinAuthenticator()",
        )
    lacking = [
        name for name in ("enrolled", "authenticate") if not callable(getattr(authenticator, name, None))
    ]
    if not isinstance(getattr(authenticator, "auth_types", None), int):
        lacking.append("auth_types")
    if lacking:
        raise BusinessError(
            401,
            f"authenticator: {shown(type(authenticator).__name__)} lacks {', '.join(lacking)}; give an object as "
            "huks_async.access.Authenticator describes it, such as PinAuthenticator()",
        )
    given: Authenticator = authenticator
    return given


def check_token_keys(token_keys: object) -> "AuthTokenKeys | str | None":
    """Check what auth tokens are sealed under; 401 for anything but None, "store" or `AuthTokenKeys`."""
    if token_keys is None:
        return None
    if isinstance(token_keys, str) and str.__eq__(token_keys, "store"):
        return token_keys
    from huks_async.access.tokens import AuthTokenKeys

    if isinstance(token_keys, AuthTokenKeys):
        return token_keys
    raise BusinessError(401, 'token_keys: accepted are None, "store" and AuthTokenKeys')


def token_keys_for(token_keys: "AuthTokenKeys | str | None", store_key: bytes) -> "AuthTokenKeys":
    """The keys that auth tokens of a keystore are sealed under, once the key of its store is known."""
    from huks_async.access.tokens import AuthTokenKeys

    if token_keys is None:
        return AuthTokenKeys.random()
    if isinstance(token_keys, AuthTokenKeys):
        return token_keys
    from huks_async.access.store_token_keys import keys_of_store

    return keys_of_store(store_key)
