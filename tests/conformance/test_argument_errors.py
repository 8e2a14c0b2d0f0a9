"""Wrong shapes of arguments, row by row: all are 401, from the await, whatever else is right or wrong."""

from array import array
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import huks_async as huks
from tests.conformance import support as s
from tests.conformance.support import NOTHING, Params, assert_helpful, data, options, refused, run

pytestmark = pytest.mark.asyncio

Call = Callable[[huks.Keystore, Any], Awaitable[Any]]
T = huks.HuksTag
KEY: Params = {
    "ALGORITHM": s.AES,
    "KEY_SIZE": 256,
    "PURPOSE": s.CIPHER,
    "PADDING": s.NOPAD,
    "BLOCK_MODE": s.GCM,
}
SESSION: Params = KEY | {"PURPOSE": s.ENCRYPT}

ALIAS_FUNCTIONS: dict[str, Call] = {
    name: lambda keystore, alias, name=name: getattr(keystore, name)(alias, options(**KEY))  # type: ignore[misc]
    for name in (
        "generateKeyItem",
        "importKeyItem",
        "exportKeyItem",
        "deleteKeyItem",
        "hasKeyItem",
        "isKeyItemExist",
        "getKeyItemProperties",
        "initSession",
    )
}
OPTION_FUNCTIONS: dict[str, Call] = {
    name: lambda keystore, given, name=name: getattr(keystore, name)("key", given)  # type: ignore[misc]
    for name in ALIAS_FUNCTIONS
} | {
    "updateSession": lambda keystore, given: keystore.updateSession(7, given),
    "finishSession": lambda keystore, given: keystore.finishSession(7, given),
    "abortSession": lambda keystore, given: keystore.abortSession(7, given),
    "listAliases": lambda keystore, given: keystore.listAliases(given),
}
DATA_FUNCTIONS = {
    name: OPTION_FUNCTIONS[name] for name in ("importKeyItem", "updateSession", "finishSession")
}


@pytest.mark.parametrize(
    "alias",
    [None, 5, b"key", ["key"], "", "a" * 129, "\U0001f511" * 33, "\ud800", "a" * 2_000_000],
    ids=["none", "int", "bytes", "list", "empty", "129", "132-bytes", "surrogate", "huge"],
)
@pytest.mark.parametrize("name", ALIAS_FUNCTIONS)
async def test_wrong_alias(keystore: huks.Keystore, name: str, alias: Any) -> None:
    """An alias is a string of 1 to 128 bytes in UTF-8."""
    with refused(401, "keyAlias") as caught:
        await ALIAS_FUNCTIONS[name](keystore, alias)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("alias", ["a", "a" * 128, "é" * 64, "/../x", "with space", "\x01", "名"])
async def test_any_characters_are_an_alias(keystore: huks.Keystore, alias: str) -> None:
    """Whatever has the right length works as an alias."""
    await keystore.generateKeyItem(alias, options(**KEY))
    assert (await keystore.listAliases(NOTHING)).keyAliases == [alias]
    assert len(await run(keystore, alias, last=b"x", **SESSION)) == 1 + 16 + 12
    await keystore.deleteKeyItem(alias, NOTHING)


@pytest.mark.parametrize("handle", [None, "7", b"7", 7.0, True, [7]], ids=repr)
@pytest.mark.parametrize("name", ["updateSession", "finishSession", "abortSession"])
async def test_wrong_handle(keystore: huks.Keystore, name: str, handle: Any) -> None:
    """A handle is an int."""
    with refused(401, "handle"):
        await getattr(keystore, name)(handle, data(b""))


@pytest.mark.parametrize("handle", [-1, 2**64, 10**40])
async def test_handle_that_no_session_can_have(keystore: huks.Keystore, handle: int) -> None:
    """Numbers outside the range of handles are unknown handles."""
    with refused(12000011):
        await keystore.updateSession(handle, data(b""))
    assert await keystore.abortSession(handle, NOTHING) is None


@pytest.mark.parametrize("user", [None, "100", 1.0, True, 2**31, -(2**31) - 1], ids=repr)
async def test_wrong_user(either: huks.Keystore, user: Any) -> None:
    """A user id is a 32-bit int, asked for before whether the caller may act for it."""
    with refused(401, "userId"):
        await either.generateKeyItemAsUser(user, "key", options(**KEY))


@pytest.mark.parametrize("name", ["generateKeyItem", "updateSession", "initSessionAsUser"])
async def test_missing_arguments_are_pythons_own_error(keystore: huks.Keystore, name: str) -> None:
    """A call without its arguments is no call: Python refuses it before there is anything to await."""
    with pytest.raises(TypeError, match="argument"):
        getattr(keystore, name)()


@pytest.mark.parametrize(
    "given", [None, 5, "x", b"x", [], object()], ids=["none", "int", "str", "bytes", "list", "obj"]
)
@pytest.mark.parametrize("name", OPTION_FUNCTIONS)
async def test_options_that_are_none(keystore: huks.Keystore, name: str, given: Any) -> None:
    """Options are HuksOptions or a mapping."""
    with refused(401, "options"):
        await OPTION_FUNCTIONS[name](keystore, given)


WRONG_PROPERTIES: dict[str, Any] = {
    "properties is a number": 5,
    "properties is a str": "x",
    "properties is a mapping": {"tag": 1},
    "properties is bytes": b"x",
    "a parameter is None": [None],
    "a parameter is a tuple": [(T.HUKS_TAG_PURPOSE, 1)],
    "a parameter without value": [{"tag": T.HUKS_TAG_PURPOSE}],
    "a parameter without tag": [{"value": 1}],
    "a tag that is no number": [{"tag": "HUKS_TAG_PURPOSE", "value": 1}],
    "a tag that cannot be a key": [{"tag": [], "value": 1}],
    "HUKS_TAG_INVALID": [{"tag": 0, "value": 1}],
    "an unknown tag": [{"tag": T.HUKS_TAG_PURPOSE + 400, "value": 1}],
    "an unknown type nibble": [{"tag": 0x6000_0001, "value": 1}],
    "the number of a tag without its type": [{"tag": 2, "value": 1}],
    "the number of a tag with another type": [{"tag": T.HUKS_TAG_PURPOSE - 0x1000_0000, "value": 1}],
    "a number as str": [{"tag": T.HUKS_TAG_PURPOSE, "value": "1"}],
    "a number as float": [{"tag": T.HUKS_TAG_PURPOSE, "value": 1.0}],
    "a number as bool": [{"tag": T.HUKS_TAG_PURPOSE, "value": True}],
    "a number as bytes": [{"tag": T.HUKS_TAG_PURPOSE, "value": b"\1"}],
    "a number that is None": [{"tag": T.HUKS_TAG_PURPOSE, "value": None}],
    "a number below its range": [{"tag": T.HUKS_TAG_PURPOSE, "value": -1}],
    "a number above its range": [{"tag": T.HUKS_TAG_PURPOSE, "value": 2**32}],
    "a long above its range": [{"tag": T.HUKS_TAG_CRYPTO_CTX, "value": 2**64}],
    "a bool as int": [{"tag": T.HUKS_TAG_KEY_OVERRIDE, "value": 1}],
    "a bool as str": [{"tag": T.HUKS_TAG_KEY_OVERRIDE, "value": "true"}],
    "bytes as str": [{"tag": T.HUKS_TAG_IV, "value": "0123456789abcdef"}],
    "bytes as list": [{"tag": T.HUKS_TAG_IV, "value": [0] * 16}],
    "bytes as int": [{"tag": T.HUKS_TAG_IV, "value": 16}],
    "bytes of wider items": [{"tag": T.HUKS_TAG_IV, "value": array("H", [0] * 8)}],
    "associated data as str": [{"tag": T.HUKS_TAG_AAD, "value": "x"}],
    "a tag twice": [{"tag": T.HUKS_TAG_PURPOSE, "value": 1}] * 2,
    "bytes twice": [{"tag": T.HUKS_TAG_IV, "value": b"1"}] * 2,
    "associated data twice": [{"tag": T.HUKS_TAG_AAD, "value": b"1"}] * 2,
    "older associated data twice": [{"tag": T.HUKS_TAG_ASSOCIATED_DATA, "value": b"1"}] * 2,
    "the caller's name": [{"tag": T.HUKS_TAG_PROCESS_NAME, "value": b"someone"}],
    "the developer id": [{"tag": 0x5000_0000 | 524, "value": b"someone"}],
    "43 parameters": [
        {"tag": tag, "value": b"x" if tag >> 28 == 5 else True if tag >> 28 == 4 else 1}
        for tag in [tag for tag in T if tag not in (0, T.HUKS_TAG_PROCESS_NAME, T.HUKS_TAG_AAD)][:43]
    ],
    "more than 4 MiB": [{"tag": T.HUKS_TAG_AAD, "value": bytes(4 * 1024 * 1024 + 1)}],
}


@pytest.mark.parametrize("wrong", WRONG_PROPERTIES)
async def test_wrong_properties(keystore: huks.Keystore, wrong: str) -> None:
    """Whatever is wrong with the parameters, every function refuses it the same way."""
    session = (await _open(keystore)).handle
    for name, call in OPTION_FUNCTIONS.items():
        if name in ("updateSession", "finishSession", "abortSession"):
            continue
        with refused(401):
            await call(keystore, {"properties": WRONG_PROPERTIES[wrong]})
        with refused(401):
            await call(keystore, huks.HuksOptions(WRONG_PROPERTIES[wrong]))
    with refused(401):
        await keystore.updateSession(session, {"properties": WRONG_PROPERTIES[wrong]})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([{"tag": T.HUKS_TAG_PURPOSE, "value": "1"}], ("HUKS_TAG_PURPOSE", "int", "str")),
        ([{"tag": T.HUKS_TAG_PURPOSE, "value": 2**32}], ("HUKS_TAG_PURPOSE", "4294967296", "4294967295")),
        ([{"tag": T.HUKS_TAG_IV, "value": "x"}], ("HUKS_TAG_IV", "bytes", "str", "encode")),
        ([{"tag": T.HUKS_TAG_KEY_OVERRIDE, "value": 1}], ("HUKS_TAG_KEY_OVERRIDE", "bool", "int")),
        ([{"tag": T.HUKS_TAG_PURPOSE, "value": 1}] * 2, ("HUKS_TAG_PURPOSE", "twice")),
        ([{"tag": 77, "value": 1}], ("77", "HuksTag")),
        (5, ("properties", "list", "int")),
    ],
)
async def test_messages_name_tag_got_and_accepted(
    keystore: huks.Keystore, given: Any, words: tuple[str, ...]
) -> None:
    """A message names the tag, what was given and what is accepted."""
    with refused(401, *words):
        await keystore.generateKeyItem("key", {"properties": given})


@pytest.mark.parametrize("size", [0, 9])
@pytest.mark.parametrize("algorithm", [s.HMAC, s.SM3_MAC])
async def test_sizes_of_mac_keys_are_arguments(keystore: huks.Keystore, algorithm: int, size: int) -> None:
    """401 with a number that HUKS has under 401, which the deprecated form gives out."""
    given = options(ALGORITHM=algorithm, KEY_SIZE=size, PURPOSE=s.MAC)
    with refused(401, "HUKS_TAG_KEY_SIZE"):
        await keystore.generateKeyItem("key", given)
    assert (await keystore.generateKey("key", given)).errorCode == -3


async def test_sizes_of_an_agreement_are_arguments(keystore: huks.Keystore) -> None:
    """The same at the update of a session."""
    await keystore.generateKeyItem("key", options(ALGORITHM=s.ECC, KEY_SIZE=256, PURPOSE=s.AGREE))
    public = (await keystore.exportKeyItem("key", NOTHING)).outData
    session = await keystore.initSession("key", options(ALGORITHM=s.ECDH, KEY_SIZE=255, PURPOSE=s.AGREE))
    with refused(401, "HUKS_TAG_KEY_SIZE"):
        await keystore.updateSession(session.handle, data(public))


async def test_key_bytes_are_in_no_message(keystore: huks.Keystore) -> None:
    """A mistake with key bytes in the options does not show them."""
    secret = b"\xabSECRET-key-bytes-\xcd" * 2
    for wrong in (
        options(secret, **KEY),
        options(secret.decode("latin-1"), **KEY),
        options(array("H", secret), **KEY),
        options(secret, **KEY | {"ALGORITHM": s.ECC, "IMPORT_KEY_TYPE": s.PAIR, "BLOCK_MODE": None}),
        options(secret, ALGORITHM=s.RSA, KEY_SIZE=2048, PURPOSE=s.SIGN, IMPORT_KEY_TYPE=s.PRIVATE),
        options(secret, ALGORITHM=s.ECC, KEY_SIZE=256, PURPOSE=s.VERIFY),
    ):
        with pytest.raises(huks.BusinessError) as caught:
            await keystore.importKeyItem("key", wrong)
        assert_helpful(caught.value, secret, b"SECRET")
        assert "SECRET" not in repr(caught.value)


@pytest.mark.parametrize(
    "given", ["text", 5, [1, 2], array("H", [1, 2]), object()], ids=["str", "int", "list", "wide", "obj"]
)
@pytest.mark.parametrize("name", DATA_FUNCTIONS)
async def test_data_that_is_no_bytes(keystore: huks.Keystore, name: str, given: Any) -> None:
    """Input data is bytes-like with items of one byte; a session that gets something else stays."""
    session = (await _open(keystore)).handle
    with refused(401, "inData"):
        if name == "importKeyItem":
            await keystore.importKeyItem("key", options(given, **KEY))
        else:
            await getattr(keystore, name)(session, data(given))
    assert len((await keystore.finishSession(session, data(b"x"))).outData) == 1 + 16 + 12


@pytest.mark.parametrize(
    "given",
    [
        b"segment",
        bytearray(b"segment"),
        memoryview(b"segment"),
        array("B", b"segment"),
        memoryview(b"s-e-g-m-e-n-t")[::2],
    ],
    ids=["bytes", "bytearray", "memoryview", "array", "strided"],
)
async def test_any_bytes_are_data(keystore: huks.Keystore, given: Any) -> None:
    """Whatever holds single bytes is input data, and a value of a parameter."""
    await keystore.importKeyItem("key", options(bytes(32), **KEY))
    iv = bytearray(s.NONCE12)
    expected = await run(keystore, "key", last=b"segment", **SESSION, NONCE=s.NONCE12)
    assert await run(keystore, "key", given, **SESSION, NONCE=memoryview(iv)) == expected


@pytest.mark.parametrize("name", [name for name in OPTION_FUNCTIONS if name not in DATA_FUNCTIONS])
async def test_data_is_ignored_where_it_plays_no_part(keystore: huks.Keystore, name: str) -> None:
    """Functions that use no input data ignore whatever it is."""
    await keystore.generateKeyItem("key", options(**KEY | {"ALGORITHM": s.ECC, "PURPOSE": s.SIGNATURE}))
    if name in ("initSession", "generateKeyItem"):
        await keystore.generateKeyItem("key", options(**KEY))
    await OPTION_FUNCTIONS[name](keystore, options("ignored", **SESSION))


async def test_what_is_no_mistake(keystore: huks.Keystore) -> None:
    """Options without properties or data are empty ones, and there may be other keys in the mapping."""
    for empty in (
        {},
        {"properties": None},
        {"properties": ()},
        {"inData": None, "more": 1},
        huks.HuksOptions(),
    ):
        assert await keystore.hasKeyItem("key", empty) is False
        session = (await _open(keystore)).handle
        assert (await keystore.updateSession(session, empty)).outData == b""
        assert len((await keystore.finishSession(session, empty, None)).outData) == 16 + 12


async def test_token_that_is_no_bytes(keystore: huks.Keystore) -> None:
    """A token is bytes-like; a session that gets something else stays."""
    session = (await _open(keystore)).handle
    with refused(401, "token"):
        await keystore.updateSession(session, data(b"x"), "token")  # type: ignore[arg-type]
    await keystore.finishSession(session, data(b"x"))


async def test_token_given_twice_ends_the_session(keystore: huks.Keystore) -> None:
    """The token argument and the tag of the same meaning are one parameter given twice."""
    session = (await _open(keystore)).handle
    with refused(401, "twice"):
        await keystore.updateSession(session, options(b"x", AUTH_TOKEN=b"1"), b"1")
    assert await s.is_gone(keystore, session)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"AAD": b"new"}, b"new"),
        ({"ASSOCIATED_DATA": b"old"}, b"old"),
        ({"AAD": b"new", "ASSOCIATED_DATA": b"old"}, b"new"),
        ({"ASSOCIATED_DATA": b"old", "AAD": b"new"}, b"new"),
    ],
)
async def test_two_tags_of_associated_data_are_one(
    keystore: huks.Keystore, given: Params, expected: bytes
) -> None:
    """HUKS_TAG_AAD and HUKS_TAG_ASSOCIATED_DATA are one parameter; the newer one wins in any order."""
    await keystore.importKeyItem("key", options(bytes(32), **KEY))
    reference = await run(keystore, "key", last=b"x", **SESSION, NONCE=s.NONCE12, AAD=expected)
    assert await run(keystore, "key", last=b"x", **SESSION, NONCE=s.NONCE12, **given) == reference


async def test_as_many_parameters_as_are_accepted(keystore: huks.Keystore) -> None:
    """42 parameters, and 4 MiB of values, are accepted."""
    wrong: list[dict[str, Any]] = WRONG_PROPERTIES["43 parameters"]
    assert await keystore.hasKeyItem("key", {"properties": wrong[:0]}) is False
    level = {"tag": T.HUKS_TAG_AUTH_STORAGE_LEVEL, "value": s.CE}
    most = [param for param in wrong if param["tag"] != level["tag"]][:41]
    assert await keystore.hasKeyItem("key", {"properties": [*most, level]}) is False
    assert await keystore.hasKeyItem("key", options(AAD=bytes(4 * 1024 * 1024))) is False


async def test_declared_tags_without_effect_are_accepted(keystore: huks.Keystore) -> None:
    """Tags that are declared and have no meaning any more may be given."""
    await keystore.generateKeyItem(
        "key",
        options(
            **KEY, IS_ASYNCHRONIZED=1, SECURE_KEY_ALIAS=True, SECURE_KEY_UUID=b"x", ACCESS_TIME=1, USES_TIME=1
        ),
    )
    assert await keystore.hasKeyItem("key", NOTHING)


async def _open(keystore: huks.Keystore) -> huks.HuksSessionHandle:
    await keystore.generateKeyItem("of the session", options(**KEY))
    return await keystore.initSession("of the session", options(**SESSION))
