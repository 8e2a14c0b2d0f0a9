"""Keys of other users and of groups: who reaches them, and that namespaces never meet."""

from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from huks_async import Caller, InnerTag, Keystore, SqliteStore
from huks_async.stores import ItemName
from tests.keystore.support import (
    AES_CBC,
    AGREE,
    DECRYPT,
    ENCRYPT,
    A,
    T,
    key,
    options,
    params,
    properties,
    refused,
    run,
)

TEAM = {"KEY_ACCESS_GROUP": b"team"}
SESSION = AES_CBC | {"IV": bytes(16)}
ENCRYPTION = SESSION | {"PURPOSE": ENCRYPT}


class House:
    """User 100 of `app` may act for 101; `app` and `mate` belong to a group."""

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        return caller == Caller("app", 100) and user_id in (0, 101)

    def groups_of(self, caller: Caller) -> Collection[str]:
        return ("team",) if caller.namespace in ("app", "mate") else ()


def open_as(path: Path, namespace: str = "app", user_id: int = 100, **more: Any) -> Keystore:
    """A keystore on the one store of the test."""
    more = {"policy": House(), "monitor": False} | more
    return Keystore.open(f"sqlite:///{path / 'keys.db'}", namespace=namespace, user_id=user_id, **more)


@pytest_asyncio.fixture
async def app(tmp_path: Path) -> AsyncIterator[Keystore]:
    """The keystore of `app` for user 100."""
    async with open_as(tmp_path) as keystore:
        yield keystore


@pytest.mark.asyncio
async def test_a_users_keys_are_the_same_from_both_sides(app: Keystore, tmp_path: Path) -> None:
    """What is made for user 101 is found by the keystore that works for 101, and the other way round."""
    await app.generateKeyItemAsUser(101, "k", options(**AES_CBC))
    async with open_as(tmp_path, user_id=101) as own:
        sealed = await run(own, "k", b"sixteen bytes ok", **ENCRYPTION)
        await own.generateKeyItem("mine", options(**AES_CBC))
    assert await run(app, "k", sealed, user=101, **SESSION | {"PURPOSE": DECRYPT}) == b"sixteen bytes ok"
    assert await app.hasKeyItemAsUser(101, "mine", options())
    await app.deleteKeyItemAsUser(101, "mine", options())
    assert not await app.hasKeyItemAsUser(101, "mine", options())


@pytest.mark.asyncio
async def test_every_form_with_a_user(app: Keystore) -> None:
    """Import, export, properties and existence work on the user's key, and on no other."""
    pair = key(A.HUKS_ALG_ECC, 256, AGREE)
    await app.generateKeyItemAsUser(101, "pair", options(**pair))
    await app.importKeyItemAsUser(101, "aes", options(bytes(32), **AES_CBC))
    assert len((await app.exportKeyItemAsUser(101, "pair", options())).outData) == 91
    told = (await app.getKeyItemPropertiesAsUser(101, "aes", options())).properties
    assert {param.tag: param.value for param in told}[T.HUKS_TAG_KEY_SIZE] == 256
    for alias in ("pair", "aes"):
        assert not await app.hasKeyItem(alias, options())
        await refused(app.exportKeyItem(alias, options()), 12000011)


@pytest.mark.asyncio
async def test_the_tag_is_the_same_as_the_form(app: Keystore) -> None:
    """The user's number as a parameter goes the same way, asks the same policy, and must not contradict."""

    def for_user(user_id: int, **values: Any) -> dict[str, Any]:
        given = options(**values)
        given["properties"].append({"tag": InnerTag.SPECIFIC_USER_ID, "value": user_id})
        return given

    await app.generateKeyItem("k", for_user(101, **AES_CBC))
    assert await app.hasKeyItemAsUser(101, "k", options())
    assert await app.hasKeyItemAsUser(101, "k", for_user(101))
    assert not await app.hasKeyItem("k", options())
    told = (await app.getKeyItemProperties("k", for_user(101))).properties
    assert InnerTag.SPECIFIC_USER_ID not in [param.tag for param in told]
    await refused(app.hasKeyItem("k", for_user(102)), 201)
    await refused(app.initSession("k", for_user(102, **ENCRYPTION)), 201)
    await refused(app.hasKeyItemAsUser(101, "k", for_user(100)), 401)


@pytest.mark.asyncio
async def test_parameters_that_were_in_order_once_are_no_way_around_the_checks(tmp_path: Path) -> None:
    """The very same list, from each side, twice: whose key comes of it, and who is refused, is as at the first time."""
    plain = options(**AES_CBC)
    named = options(**AES_CBC)
    named["properties"].append({"tag": InnerTag.SPECIFIC_USER_ID, "value": 101})
    async with (
        open_as(tmp_path, policy=None) as nobody,
        open_as(tmp_path) as app,
        open_as(tmp_path, user_id=101) as own,
    ):
        for number in range(2):
            await app.generateKeyItem(f"app-{number}", plain)
            await app.generateKeyItem(f"named-{number}", named)
            await app.generateKeyItemAsUser(101, f"form-{number}", plain)
            await own.generateKeyItem(f"own-{number}", plain)
            await refused(app.generateKeyItemAsUser(102, "k", plain), 201)
            await refused(app.generateKeyItemAsUser(0, "k", plain), 401)
            await refused(own.generateKeyItem("k", named), 201)
            await refused(nobody.generateKeyItem("k", named), 201)
            await nobody.generateKeyItem(f"nobody-{number}", plain)
        mine = (await app.listAliases(options())).keyAliases
        theirs = (await own.listAliases(options())).keyAliases
    assert mine == ["app-0", "app-1", "nobody-0", "nobody-1"]
    assert theirs == ["form-0", "form-1", "named-0", "named-1", "own-0", "own-1"]


@pytest.mark.asyncio
async def test_who_may_not(app: Keystore, tmp_path: Path) -> None:
    """The policy is asked for each caller and user; without one nobody may, and on a device none can."""
    await refused(app.hasKeyItemAsUser(102, "k", options()), 201)
    for keystore, code in (
        (open_as(tmp_path, user_id=101), 201),
        (open_as(tmp_path, "mate"), 201),
        (open_as(tmp_path, policy=None), 201),
        (open_as(tmp_path, profile="device"), 202),
    ):
        async with keystore:
            await refused(keystore.hasKeyItemAsUser(100, "k", options()), code)
            await refused(keystore.initSessionAsUser(101, "k", options(**ENCRYPTION)), code)


@pytest.mark.asyncio
async def test_users_that_are_none(app: Keystore) -> None:
    """A user is a number of 32 bits, not negative; those of the system have keys of level DE only."""
    for wrong in ("101", 101.0, True, None, 2**31, -1):
        await refused(app.hasKeyItemAsUser(wrong, "k", options()), 401)  # type: ignore[arg-type]
    await refused(app.generateKeyItemAsUser(0, "k", options(**AES_CBC)), 401)
    await app.generateKeyItemAsUser(0, "k", options(**AES_CBC, AUTH_STORAGE_LEVEL=0))
    assert await app.hasKeyItemAsUser(0, "k", options(AUTH_STORAGE_LEVEL=0))
    for wrong in (99, -1, "100", True, 2**31):
        with pytest.raises(Exception, match="user_id"):
            Keystore.open("memory:", user_id=wrong)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_a_session_remembers_its_user(app: Keystore) -> None:
    """A key agreed from a user's key is stored for that user; the session itself is the caller's."""
    pair = key(A.HUKS_ALG_X25519, 256, AGREE)
    await app.generateKeyItemAsUser(101, "pair", options(**pair))
    public = (await app.exportKeyItemAsUser(101, "pair", options())).outData
    session = await app.initSessionAsUser(101, "pair", options(**pair))
    await app.updateSession(session.handle, options(public, **pair))
    stored = AES_CBC | {"KEY_ALIAS": b"agreed", "DERIVED_AGREED_KEY_STORAGE_FLAG": 2}
    await app.finishSession(session.handle, options(**stored))
    assert await app.hasKeyItemAsUser(101, "agreed", options())
    assert not await app.hasKeyItem("agreed", options())


@pytest.mark.asyncio
async def test_groups_share_keys(app: Keystore, tmp_path: Path) -> None:
    """A member makes a key, another uses and deletes it; the tag is needed in every call."""
    await app.generateKeyItem("k", options(**AES_CBC, **TEAM))
    sealed = await run(app, "k", b"sixteen bytes ok", **ENCRYPTION, **TEAM)
    await refused(app.initSession("k", options(**ENCRYPTION)), 12000011)
    async with open_as(tmp_path, "mate") as mate:
        assert await run(mate, "k", sealed, **SESSION | {"PURPOSE": DECRYPT}, **TEAM) == b"sixteen bytes ok"
        assert (await mate.listAliases(options(**TEAM))).keyAliases == ["k"]
        assert (await mate.listAliases(options())).keyAliases == []
        assert (await properties(mate, "k", **TEAM))[T.HUKS_TAG_KEY_ACCESS_GROUP] == b"team"
        await mate.deleteKeyItem("k", options(**TEAM))
    assert not await app.hasKeyItem("k", options(**TEAM))
    async with open_as(tmp_path, "mate", user_id=101) as elsewhere:
        await app.generateKeyItem("k", options(**AES_CBC, **TEAM))
        assert not await elsewhere.hasKeyItem("k", options(**TEAM))


@pytest.mark.asyncio
async def test_an_own_key_never_stands_in_for_a_groups_key(app: Keystore) -> None:
    """With the same alias on both sides and the own key ready, the group's session uses the group's key."""
    await app.importKeyItem("k", options(bytes(32), **AES_CBC))
    await app.importKeyItem("k", options(bytes(31) + b"\1", **AES_CBC, **TEAM))
    own = await run(app, "k", bytes(16), **ENCRYPTION)
    for _ in range(3):
        assert await run(app, "k", bytes(16), **ENCRYPTION, **TEAM) != own
        assert await run(app, "k", bytes(16), **ENCRYPTION) == own


@pytest.mark.asyncio
async def test_group_errors(app: Keystore, tmp_path: Path) -> None:
    """Not a member: 12000018. No policy: 12000001. A group and a user at once: 12000001. No name: 401."""
    await refused(app.hasKeyItem("k", options(KEY_ACCESS_GROUP=b"else")), 12000018)
    await refused(app.hasKeyItem("k", options(KEY_ACCESS_GROUP=b"")), 401)
    await refused(app.hasKeyItem("k", options(KEY_ACCESS_GROUP=bytes(129))), 401)
    await refused(app.generateKeyItemAsUser(101, "k", options(**AES_CBC, **TEAM)), 12000001)
    await refused(app.generateKeyItemAsUser(101, "k", options(**AES_CBC, KEY_CLASS=1)), 12000001)
    async with open_as(tmp_path, "stranger") as stranger:
        await refused(stranger.generateKeyItem("k", options(**AES_CBC, **TEAM)), 12000018)
        await refused(stranger.initSession("k", options(**ENCRYPTION, **TEAM)), 12000018)
    async with open_as(tmp_path, policy=None) as nobody:
        await refused(nobody.generateKeyItem("k", options(**AES_CBC, **TEAM)), 12000001)
    async with open_as(tmp_path, profile="device", policy=None) as device:
        await refused(device.generateKeyItem("k", options(**AES_CBC, **TEAM)), 12000018)


@pytest.mark.asyncio
async def test_namespaces_never_meet(tmp_path: Path) -> None:
    """The same alias on six sides: each lists, uses and deletes its own and nothing else."""
    sides: list[tuple[Keystore, dict[str, Any]]] = [
        (open_as(tmp_path, "app"), {}),
        (open_as(tmp_path, "app"), TEAM),
        (open_as(tmp_path, "app", 101), {}),
        (open_as(tmp_path, "app", 101), TEAM),
        (open_as(tmp_path, "mate"), {}),
        (open_as(tmp_path, "team"), {}),
    ]
    out = set()
    for number, (keystore, group) in enumerate(sides):
        async with keystore:
            await refused(keystore.exportKeyItem("k", options(**group)), 12000011)
            await refused(keystore.deleteKeyItem("k", options(**group)), 12000011)
            await refused(keystore.initSession("k", options(**ENCRYPTION, **group)), 12000011)
            assert (await keystore.listAliases(options(**group))).keyAliases == []
            await keystore.importKeyItem("k", options(bytes(31) + bytes([number]), **AES_CBC, **group))
            out.add(await run(keystore, "k", bytes(16), **ENCRYPTION, **group))
    assert len(out) == len(sides)
    async with open_as(tmp_path, "app") as last:
        await last.deleteKeyItem("k", options())
        assert await last.hasKeyItem("k", options(**TEAM))


@pytest.mark.asyncio
async def test_copied_rows_do_not_open(app: Keystore, tmp_path: Path) -> None:
    """A row copied in the database to another user, group, level or application is refused as damaged."""
    await app.generateKeyItem("k", options(**AES_CBC))
    sides = [("mate", 100, {}, 1), ("app", 101, {}, 1), ("app", 100, TEAM, 1), ("app", 100, {}, 2)]
    store = SqliteStore(str(tmp_path / "keys.db"))
    await store.open()
    try:
        row = await store.get(ItemName("app", 1, "k"))
        assert row is not None
        for namespace, user_id, group, level in sides:
            at = {"AUTH_STORAGE_LEVEL": level, **group}
            async with open_as(tmp_path, namespace, user_id) as side:
                await side.generateKeyItem("found", options(**AES_CBC, **at))
                state = side._open_state()
                keyring = state.keyrings.of_group(b"team") if group else state.keyrings.own
                name = keyring.shelf.name("k", level)
                await store.put(name, row.blob)
                assert await side.hasKeyItem("k", options(**at))
                await refused(side.initSession("k", options(**ENCRYPTION, **at)), 12000012)
                await refused(side.exportKeyItem("k", options(**at)), 12000012)
                await side.deleteKeyItem("k", options(**at))
    finally:
        await store.aclose()


@pytest.mark.parametrize("name", ["", "a\x1fuser\x1f101", "\x1fgroup\x1f7465616d", 7])
def test_names_that_could_be_a_place(name: Any) -> None:
    """An application cannot take the name of a user's or group's namespace."""
    with pytest.raises(Exception, match="401: namespace"):
        Keystore.open("memory:", namespace=name)


@pytest.mark.asyncio
async def test_encapsulation_with_groups(app: Keystore) -> None:
    """Key and shared key each belong to the group that their own parameters name."""
    kem = key(A.HUKS_ALG_ML_KEM, 768, 96)
    await app.generateKeyItem("pair", options(**kem, **TEAM))
    call = params(ALGORITHM=A.HUKS_ALG_ML_KEM)
    await refused(app.encapsulate("pair", call), 12000011)
    await app.encapsulate("pair", call + params(**TEAM), "shared", params(**AES_CBC))
    assert await app.hasKeyItem("shared", options())
    assert not await app.hasKeyItem("shared", options(**TEAM))
