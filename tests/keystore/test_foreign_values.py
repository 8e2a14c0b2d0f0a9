"""Objects of any class for any argument of the documented functions: an answer, or a BusinessError in a line."""

import io
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import huks_async as huks
from huks_async.access import TotpAuthenticator
from huks_async.model.settings import check_seconds, check_share, check_whole
from tests.keystore.support import AES_CBC, DECRYPT, ENCRYPT, A, key, options
from tests.model.foreign import Hostile, HostileInt, HostileMapping, HostileStr, Maker, foreign_values, nested

Call: TypeAlias = Callable[[huks.Keystore, Any], Awaitable[Any]]

SESSION = options(**{**AES_CBC, "PURPOSE": ENCRYPT, "IV": bytes(16)})

AES_GCM = key(A.HUKS_ALG_AES, 256, ENCRYPT | DECRYPT, BLOCK_MODE=32, PADDING=0)

# the arguments of each function; "options" and "params" may be any object or contain any
FUNCTIONS = {
    "generateKeyItem": ("alias", "options"),
    "deleteKeyItem": ("alias", "options"),
    "importKeyItem": ("alias", "options"),
    "importWrappedKeyItem": ("alias", "alias", "options"),
    "exportKeyItem": ("alias", "options"),
    "getKeyItemProperties": ("alias", "options"),
    "hasKeyItem": ("alias", "options"),
    "isKeyItemExist": ("alias", "options"),
    "listAliases": ("options",),
    "initSession": ("alias", "options"),
    "updateSession": ("handle", "options", "token"),
    "finishSession": ("handle", "options", "token"),
    "abortSession": ("handle", "options"),
    "attestKeyItem": ("alias", "options"),
    "anonAttestKeyItem": ("alias", "options"),
    "anonAttestKeyItemOffline": ("alias", "params"),
    "wrapKeyItem": ("alias", "options"),
    "unwrapKeyItem": ("alias", "options", "token"),
    "encapsulate": ("alias", "params", "alias", "params"),
    "decapsulate": ("alias", "params", "token", "alias", "params"),
    "generateKeyItemAsUser": ("user", "alias", "options"),
    "initSessionAsUser": ("user", "alias", "options"),
    "generateKey": ("alias", "options"),
    "init": ("alias", "options"),
    "update": ("handle", "token", "options"),
    "isKeyExist": ("alias", "options"),
    "registerProvider": ("alias", "params"),
    "unregisterProvider": ("alias", "params"),
    "getResourceId": ("alias", "params"),
    "openResource": ("resource", "params"),
    "closeResource": ("resource", "params"),
    "authUkeyPin": ("resource", "params"),
    "getUkeyPinAuthState": ("resource", "params"),
    "clearUkeyPinAuthState": ("resource",),
    "getProperty": ("resource", "alias", "params"),
    "setProperty": ("resource", "alias", "params"),
    "export_certificates": ("resource", "params"),
    "list_certificates": ("alias", "params"),
}
USUAL: dict[str, Any] = {
    "alias": "key",
    "options": SESSION,
    "params": SESSION["properties"],
    "handle": None,  # of an open session
    "token": b"token",
    "user": 101,
    "resource": '{"providerName": "p", "abilityName": "a", "bundleName": "b", "index": "i"}',
}


def arguments(name: str) -> st.SearchStrategy[list[Maker | None]]:
    """For each argument, something foreign, or None for the usual one."""
    kinds = {"options": nested(), "params": nested().map(lambda make: lambda: _properties(make()))}
    return st.tuples(
        *(
            st.one_of(st.none(), kinds.get(kind, foreign_values()), foreign_values())
            for kind in FUNCTIONS[name]
        )
    ).map(list)


def _properties(made: Any) -> Any:
    return made["properties"] if type(made) is dict and "properties" in made else made


@pytest.mark.filterwarnings("ignore::huks_async.HuksWarning")
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_only_documented_errors(data: st.DataObject) -> None:
    """Whatever the arguments are, the error has a documented code and a message that can be read."""
    name = data.draw(st.sampled_from(sorted(FUNCTIONS)))
    makers = data.draw(arguments(name))

    async def call() -> None:
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keystore.generateKeyItem("key", options(**AES_CBC))
            usual = USUAL | {"handle": (await keystore.initSession("key", SESSION)).handle}
            given_ = [
                usual[kind] if make is None else make()
                for kind, make in zip(FUNCTIONS[name], makers, strict=True)
            ]
            try:
                await getattr(keystore, name)(*given_)
            except huks.BusinessError as error:
                assert error.code in {401, 201, 801, *range(12000001, 12000030)}
                assert len(error.message) < 1000
                assert len(str(error)) < 1000

    anyio.run(call)


class Proxy:
    """As a web framework's stands for a part of the request: outside of one, whatever asks it for its class raises."""

    @property
    def __class__(self) -> type:  # type: ignore[override]
        raise RuntimeError("outside of a request")


class UnreadablePath(os.PathLike[str]):
    """Raises where it is to say which path it is."""

    def __fspath__(self) -> str:
        raise RuntimeError("hostile")


async def _sealed(keystore: huks.Keystore, alias: Any) -> None:
    async for _ in keystore.encrypt_stream(alias, [b"x"]):
        pass


async def _read(keystore: huks.Keystore, name: str, *numbers: Any) -> None:
    await keystore.generateKeyItem("file", options(**AES_GCM))
    sealed = b"".join([piece async for piece in keystore.encrypt_stream("file", [b"x"])])
    async with keystore.open_sealed("file", io.BytesIO(sealed)) as reader:
        await getattr(reader, name)(*numbers)


def _provider_call(name: str, place: int) -> Call:
    usual = [USUAL[kind] for kind in FUNCTIONS[name]]
    return lambda keystore, value: getattr(keystore, name)(*usual[:place], value, *usual[place + 1 :])


PROVIDER_FUNCTIONS = list(FUNCTIONS)[list(FUNCTIONS).index("registerProvider") :]
CALLS: dict[str, Call] = {
    **{
        f"{name} {place}": _provider_call(name, place)
        for name in PROVIDER_FUNCTIONS
        for place in range(len(FUNCTIONS[name]))
    },
    "registerProvider in the list": lambda keystore, value: keystore.registerProvider("p", [value]),
    "registerProvider tag": lambda keystore, value: keystore.registerProvider(
        "p", [{"tag": value, "value": b"x"}]
    ),
    "backup": lambda keystore, value: keystore.backup(value),
    "encrypt_stream": _sealed,
    "read_at offset": lambda keystore, value: _read(keystore, "read_at", value, 1),
    "read_at length": lambda keystore, value: _read(keystore, "read_at", 0, value),
    "read": lambda keystore, value: _read(keystore, "read", value),
    "seek": lambda keystore, value: _read(keystore, "seek", value),
    "seek whence": lambda keystore, value: _read(keystore, "seek", 0, value),
    "authenticate auth_type": lambda keystore, value: keystore.authenticate(bytes(32), "1", auth_type=value),
    "authenticate user_id": lambda keystore, value: keystore.authenticate(bytes(32), "1", user_id=value),
    "totp account": lambda keystore, value: TotpAuthenticator().enroll(
        keystore, 100, account=value, issuer="i"
    ),
    "totp issuer": lambda keystore, value: TotpAuthenticator().enroll(
        keystore, 100, account="a", issuer=value
    ),
}
OBJECTS: list[Maker] = [Proxy, Hostile, HostileMapping, lambda: HostileStr("x"), UnreadablePath]


@pytest.mark.asyncio
@pytest.mark.parametrize("call", CALLS)
async def test_no_object_has_its_own_error_in_the_place_of_ours(call: str) -> None:
    """Values of a request go to these functions: what they raise when they are looked at is no answer to it."""
    for make in OBJECTS:
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            with suppress(huks.BusinessError):
                await CALLS[call](keystore, make())


def test_settings_of_any_class() -> None:
    """A number of a subclass is looked at without its methods; what is none is 401."""
    assert type(check_whole(HostileInt(5), "five")) is int
    assert type(check_seconds(HostileInt(5), "five")) is float
    assert check_share(HostileInt(1), "one") == 1.0
    assert huks.Limits(max_sessions=HostileInt(5)) is not None
    for value in (Proxy(), HostileStr("1"), HostileInt(-1)):
        for name in ("max_sessions", "max_idle"):
            with pytest.raises(huks.BusinessError, match=name) as caught:
                huks.Limits(**{name: value})
            assert caught.value.code == 401


def test_a_handle_of_many_digits() -> None:
    """It is told to be unknown, in a line."""

    async def call() -> None:
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keystore.updateSession(10**5000, {"inData": b""})

    with pytest.raises(huks.BusinessError, match="an int of") as caught:
        anyio.run(call)
    assert caught.value.code == 12000011


@pytest.mark.parametrize("argument", ["namespace", "user_id", "profile", "store"])
def test_arguments_of_a_keystore(argument: str) -> None:
    """The same holds where a keystore is described."""
    for value in (10**5000, "x\x1f:" * 1_000_000, object()):
        with pytest.raises(huks.BusinessError) as caught:
            huks.Keystore.open(**{"store": "memory:", argument: value})
        assert caught.value.code == 401
        assert len(caught.value.message) < 500


def test_a_profile_is_one_of_two_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """None leaves it to the variable, of which an empty one counts as not set; nothing else counts as not given."""
    released = memoryview(b"")
    released.release()
    for wrong in ("", "Server", " device", False, 0, [], {}, b"", released):
        with pytest.raises(
            huks.BusinessError, match=r"401: profile: got .*, accepted 'server' and 'device'"
        ) as caught:
            huks.Keystore.open("memory:", profile=wrong)  # type: ignore[arg-type]
        assert caught.value.code == 401
    for value, profile in (("", "server"), ("server", "server"), ("device", "device")):
        monkeypatch.setenv("HUKS_ASYNC_PROFILE", value)
        assert huks.Keystore.open("memory:")._profile == profile
    monkeypatch.setenv("HUKS_ASYNC_PROFILE", "Server")
    assert huks.Keystore.open("memory:", profile="device")._profile == "device"
    with pytest.raises(
        huks.BusinessError, match=r"401: \$HUKS_ASYNC_PROFILE: got 'Server', accepted"
    ) as caught:
        huks.Keystore.open("memory:")
    assert caught.value.code == 401
