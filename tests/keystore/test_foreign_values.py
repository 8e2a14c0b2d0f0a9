"""Objects of any class for any argument of the documented functions: an answer, or a BusinessError in a line."""

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import huks_async as huks
from tests.keystore.support import AES_CBC, ENCRYPT, options
from tests.model.foreign import Maker, foreign_values, nested

SESSION = options(**{**AES_CBC, "PURPOSE": ENCRYPT, "IV": bytes(16)})

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
}
USUAL: dict[str, Any] = {
    "alias": "key",
    "options": SESSION,
    "params": SESSION["properties"],
    "handle": None,  # of an open session
    "token": b"token",
    "user": 101,
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
