"""Numbers, times and choices that a program sets once: each that makes no sense is 401, where it is written."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import huks_async as huks
from huks_async.access import (
    Lockout,
    OidcAuthenticator,
    PinAuthenticator,
    TotpAuthenticator,
    WebAuthnAuthenticator,
)
from huks_async.model.settings import check_seconds, check_whole
from huks_async.rootkeys import FileRootKey, PassphraseRootKey, SystemdRootKey
from huks_async.stores import SqliteStore

NAN, INF = float("nan"), float("inf")
NO_NUMBERS = ["5", b"5", Decimal(5), True, None, [], object(), NAN, -INF, -1, -0.5]
NO_WHOLE_NUMBERS = [*NO_NUMBERS, 0.5, 2.0, INF]
NO_SECONDS = [*NO_NUMBERS, 10**400]
NO_FLAGS = ["False", 0, 1, None, []]
NO_FUNCTIONS = ["time", 5, object()]


def opened(name: str) -> Callable[[Any], object]:
    """Describe a keystore with an argument."""
    return lambda value: huks.Keystore.open("memory:", **{name: value})


def limits(name: str) -> Callable[[Any], object]:
    """Make limits with one of them given."""
    return lambda value: huks.Limits(**{name: value})  # type: ignore[arg-type]


def oidc(name: str) -> Callable[[Any], object]:
    """Make an authenticator with an argument."""
    given: dict[str, Any] = {"issuer": "https://issuer.example", "client_id": "c", "fetch": print}
    return lambda value: OidcAuthenticator(**given | {name: value})


def webauthn(name: str) -> Callable[[Any], object]:
    """Make an authenticator with an argument."""
    given: dict[str, Any] = {"rp_id": "example.org", "origins": ["https://example.org"]}
    return lambda value: WebAuthnAuthenticator(**given | {name: value})


def policy(value: Any) -> object:
    """Describe a keystore whose policy keeps answers."""

    class Keeping(huks.TablePolicy):
        cache_seconds = value

    return huks.Keystore.open("memory:", policy=Keeping({"version": 1, "callers": {}}))


MAKERS: list[tuple[str, Callable[[Any], object], list[Any]]] = [
    *(
        (name, limits(name), [*NO_WHOLE_NUMBERS, 0])
        for name in (
            "max_sessions",
            "max_sessions_per_caller",
            "max_call_bytes",
            "max_collected_bytes",
            "max_ccm_bytes",
            "max_ml_dsa_bytes",
            "max_held_bytes",
        )
    ),
    ("max_listed_aliases", limits("max_listed_aliases"), [value for value in NO_WHOLE_NUMBERS if value is not None]),
    ("stale_after", limits("stale_after"), NO_SECONDS),
    ("max_idle", limits("max_idle"), [0, *(value for value in NO_SECONDS if value is not None)]),
    ("evict_oldest_idle", limits("evict_oldest_idle"), NO_FLAGS),
    ("refuse_empty_collected", limits("refuse_empty_collected"), NO_FLAGS),
    ("KeyCache.keys", lambda value: huks.KeyCache(keys=value), NO_WHOLE_NUMBERS),
    ("KeyCache.seconds", lambda value: huks.KeyCache(seconds=value), NO_SECONDS),
    ("workers", opened("workers"), [value for value in [*NO_WHOLE_NUMBERS, 0, 10**30] if value is not None]),
    ("provider_timeout", opened("provider_timeout"), [*NO_SECONDS, 0, INF]),
    ("cache_seconds", policy, NO_SECONDS),
    ("limits", opened("limits"), [{"max_sessions": 5}, 5, huks.Limits]),
    ("key_cache", opened("key_cache"), [0, {"keys": 0}, huks.KeyCache]),
    ("root_key", opened("root_key"), ["root.key", bytes(32), FileRootKey]),
    ("wrapping_key", opened("wrapping_key"), ["root.key", bytes(32), FileRootKey]),
    ("attestation_ca", opened("attestation_ca"), ["ca.pem", object()]),
    ("policy", opened("policy"), [{"version": 1}, "policy.toml", huks.TablePolicy]),
    *((name, opened(name), NO_FUNCTIONS) for name in ("clock", "on_purge", "sensor")),
    *((name, opened(name), NO_FLAGS) for name in ("monitor", "debug", "load_all")),
    ("busy_timeout", lambda value: SqliteStore("keys.db", busy_timeout=value), [*NO_SECONDS, INF, 1e7]),
    ("store", lambda value: SqliteStore(value), [5, None, b"keys.db"]),
    ("file", lambda value: FileRootKey(value), [5, None, b"root.key"]),
    ("name", lambda value: SystemdRootKey(value), [5, None, b"name"]),
    ("passphrase", lambda value: PassphraseRootKey(value), [5, True, 10**400, None, 2.0, [1], "\ud800"]),
    ("log_n", lambda value: PassphraseRootKey("x", log_n=value), [*NO_WHOLE_NUMBERS, 9, 21]),
    ("r", lambda value: PassphraseRootKey("x", r=value), [*NO_WHOLE_NUMBERS, 0, 17]),
    ("Lockout.free", lambda value: Lockout(free=value), [*NO_WHOLE_NUMBERS, 0]),
    ("Lockout.first", lambda value: Lockout(first=value), [*NO_SECONDS, 0, 100_000]),
    ("Lockout.longest", lambda value: Lockout(longest=value), [*NO_SECONDS, INF]),
    ("shortest", lambda value: PinAuthenticator(shortest=value), [*NO_WHOLE_NUMBERS, 0]),
    ("lockout", lambda value: PinAuthenticator(lockout=value), [5, {"free": 5}, Lockout]),
    ("trust_level", lambda value: PinAuthenticator(trust_level=value), [*NO_WHOLE_NUMBERS, 0, 5]),
    ("step", lambda value: TotpAuthenticator(step=value), [*NO_WHOLE_NUMBERS, 14, 301]),
    ("drift", lambda value: TotpAuthenticator(drift=value), [*NO_WHOLE_NUMBERS, 11]),
    ("auth_type", lambda value: TotpAuthenticator(auth_type=value), [*NO_WHOLE_NUMBERS, 3, 10**5000]),
    ("clock", lambda value: TotpAuthenticator(clock=value), NO_FUNCTIONS),
    ("leeway", oidc("leeway"), [*NO_SECONDS, INF]),
    ("max_age", oidc("max_age"), [*NO_SECONDS, INF, 0]),
    ("algorithms", oidc("algorithms"), ["RS256", [], [[]], 5, None, ["none"]]),
    ("fetch", oidc("fetch"), NO_FUNCTIONS),
    ("origin", webauthn("origins"), ["https://example.org", [], [5], 5, None]),
    ("rp_id", webauthn("rp_id"), ["", 5, None]),
    ("require_user_verification", webauthn("require_user_verification"), NO_FLAGS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "make", "wrong"), MAKERS, ids=[f"{number}-{name}" for number, (name, *_) in enumerate(MAKERS)]
)
def test_settings_that_make_no_sense(name: str, make: Callable[[Any], object], wrong: list[Any]) -> None:
    """They are refused with their name before anything is opened, and not at some call hours later."""
    for value in wrong:
        with pytest.raises(huks.BusinessError) as refused:
            make(value)
        assert refused.value.code == 401, value
        assert name.rpartition(".")[2] in refused.value.message


@pytest.mark.parametrize("value", [0, 1, 10**400])
def test_whole_numbers(value: int) -> None:
    """A number of any size is one."""
    assert check_whole(value, "it", 0) == value


@pytest.mark.parametrize("value", [0, 0.0, 1, 0.5, 10**15, INF])
def test_seconds(value: float) -> None:
    """A time may be an int or a float; whether it may be 0 or endless is for each setting to say."""
    assert check_seconds(value, "it", zero=True, endless=True) == value


@pytest.mark.asyncio
async def test_the_widest_settings_work() -> None:
    """What is more than any machine can use is no mistake."""
    widest = huks.Limits(max_sessions=10**400, max_held_bytes=10**400, stale_after=INF, max_idle=INF)
    cache = huks.KeyCache(keys=10**400, seconds=INF)
    async with huks.Keystore.open("memory:", limits=widest, key_cache=cache, workers=10_000) as keystore:
        assert await keystore.purge_stale_sessions() == 0
