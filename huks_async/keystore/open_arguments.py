"""From the arguments of `Keystore.open` to a store, a root key, limits and a profile."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.model.showing import shown
from huks_async.rootkeys import RootKey
from huks_async.stores import Store, open_store

# Loaded late: only a keystore in a file needs pathlib.
if TYPE_CHECKING:
    from pathlib import Path

    from huks_async.access.authenticator import Authenticator
    from huks_async.access.tokens import AuthTokenKeys

Profile: TypeAlias = Literal["server", "device"]

DEFAULT_NAMESPACE = "default"
HOME_VARIABLE = "HUKS_ASYNC_HOME"
PROFILE_VARIABLE = "HUKS_ASYNC_PROFILE"


def home_folder() -> "Path":
    """The folder of the default keystore: $HUKS_ASYNC_HOME, else `huks_async` in the user's data folder."""
    from pathlib import Path

    given = os.environ.get(HOME_VARIABLE)
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "huks_async"


def choose_profile(profile: str | None) -> Profile:
    """The profile that was given, else that of $HUKS_ASYNC_PROFILE, else `server`."""
    name = profile or os.environ.get(PROFILE_VARIABLE) or "server"
    if name == "server":
        return "server"
    if name == "device":
        return "device"
    raise BusinessError(401, f"profile: got {shown(name)}, accepted 'server' and 'device'")


def choose_limits(limits: Limits | None, profile: Profile) -> Limits:
    """The limits that were given, else those of the profile."""
    if limits is not None:
        return limits
    return Limits.device() if profile == "device" else Limits()


def choose_store(store: str | Store | None) -> Store:
    """The store that was given, else the SQLite file in the home folder."""
    if store is None:
        from huks_async.stores import SqliteStore

        return SqliteStore(str(home_folder() / "keystore.db"))
    return open_store(store)


def choose_root_key(root_key: RootKey | None, store: Store, given: str | Store | None) -> RootKey:
    """The root key that was given, else one that suits the store."""
    if root_key is not None:
        return root_key
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
    return dict(abilities)


def check_workers(workers: Any) -> int | None:
    """Check how many threads and processes may work at once; 401 for anything but a number from 1, or None."""
    if workers is not None and (not isinstance(workers, int) or isinstance(workers, bool) or workers < 1):
        raise BusinessError(401, f"workers must be a whole number from 1, or None, got {shown(workers)}")
    return workers


def check_timeout(seconds: Any) -> float:
    """Check how long a provider may take; 401 for anything but a positive number."""
    if type(seconds) is bool or not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
        raise BusinessError(
            401, f"provider_timeout must be a positive number of seconds, got {shown(seconds)}"
        )
    return float(seconds)


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
    from huks_async.access.control import keys_of_store
    from huks_async.access.tokens import AuthTokenKeys

    if token_keys is None:
        return AuthTokenKeys.random()
    return token_keys if isinstance(token_keys, AuthTokenKeys) else keys_of_store(store_key)
