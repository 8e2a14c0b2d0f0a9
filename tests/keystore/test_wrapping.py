"""wrapKeyItem and unwrapKeyItem: keys on the way from one store to another, under an operator's key."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from huks_async import FileRootKey, HuksSessionHandle, Keystore
from tests.keystore.support import (
    AES_CBC,
    DECRYPT,
    ENCRYPT,
    SIGN,
    VERIFY,
    A,
    T,
    key,
    options,
    properties,
    refused,
    run,
)

MAY = {"IS_ALLOWED_WRAP": True}
CALL = options(KEY_WRAP_TYPE=2)
SESSION = AES_CBC | {"IV": bytes(16)}


@pytest_asyncio.fixture
async def keystore(tmp_path: Path) -> AsyncIterator[Keystore]:
    """A keystore with an operator's key and the keys `aes` (may be wrapped) and `stays` (may not)."""
    async with Keystore.open("memory:", wrapping_key=FileRootKey(tmp_path / "operator")) as opened:
        await opened.generateKeyItem("aes", options(**AES_CBC, **MAY))
        await opened.generateKeyItem("stays", options(**AES_CBC))
        yield opened


@pytest.mark.asyncio
async def test_a_key_moves_to_another_store(keystore: Keystore, tmp_path: Path) -> None:
    """In another store, with another root key and under another alias, it is the same key with all it had."""
    blob = (await keystore.wrapKeyItem("aes", CALL)).outData
    sealed = await run(keystore, "aes", b"sixteen bytes ok", **SESSION | {"PURPOSE": ENCRYPT})
    before = await properties(keystore, "aes")
    async with Keystore.open("memory:", wrapping_key=FileRootKey(tmp_path / "operator")) as other:
        result = await other.unwrapKeyItem("moved", CALL, blob)
        assert result.outData == b""
        assert await properties(other, "moved") == before
        assert await run(other, "moved", sealed, **SESSION | {"PURPOSE": DECRYPT}) == b"sixteen bytes ok"
        assert (await other.wrapKeyItem("moved", CALL)).outData != blob


@pytest.mark.asyncio
async def test_a_security_level_is_for_keys_that_are_made(keystore: Keystore) -> None:
    """A key is neither wrapped nor unwrapped at a level other than TEE's."""
    blob = (await keystore.wrapKeyItem("aes", options(KEY_WRAP_TYPE=2, KEY_SECURITY_LEVEL=0))).outData
    level = options(KEY_WRAP_TYPE=2, KEY_SECURITY_LEVEL=1)
    await refused(keystore.wrapKeyItem("aes", level), 12000018)
    await refused(keystore.unwrapKeyItem("moved", level, blob), 12000018)


@pytest.mark.asyncio
async def test_key_pairs_and_levels(keystore: Keystore) -> None:
    """A pair keeps both halves, and its storage level, which need not be repeated but must not differ."""
    pair = key(A.HUKS_ALG_ECC, 256, SIGN | VERIFY, DIGEST=12)
    await keystore.generateKeyItem("pair", options(**pair, **MAY, AUTH_STORAGE_LEVEL=0))
    public = (await keystore.exportKeyItem("pair", options(AUTH_STORAGE_LEVEL=0))).outData
    await refused(keystore.wrapKeyItem("pair", CALL), 12000011)
    blob = (await keystore.wrapKeyItem("pair", options(KEY_WRAP_TYPE=2, AUTH_STORAGE_LEVEL=0))).outData
    await keystore.unwrapKeyItem("again", CALL, blob)
    await keystore.unwrapKeyItem("same", options(KEY_WRAP_TYPE=2, AUTH_STORAGE_LEVEL=0), blob)
    for alias in ("again", "same"):
        assert (await keystore.exportKeyItem(alias, options(AUTH_STORAGE_LEVEL=0))).outData == public
        assert not await keystore.hasKeyItem(alias, options())
    level_2 = options(KEY_WRAP_TYPE=2, AUTH_STORAGE_LEVEL=2)
    await refused(keystore.unwrapKeyItem("no", level_2, blob), 12000018)


@pytest.mark.asyncio
async def test_a_blob_shows_nothing(keystore: Keystore) -> None:
    """Neither the key nor its attributes can be read in a blob."""
    secret = bytes(range(100, 132))
    given = AES_CBC | MAY | {"KEY_AUTH_ID": b"an attribute in clear"}
    await keystore.importKeyItem("known", options(secret, **given))
    blob = (await keystore.wrapKeyItem("known", CALL)).outData
    assert secret not in blob
    assert b"an attribute in clear" not in blob
    assert b"default" not in blob


@pytest.mark.asyncio
async def test_every_byte_is_authenticated(keystore: Keystore) -> None:
    """A blob with any byte changed, cut anywhere, or longer, is refused, and nothing is stored."""
    blob = (await keystore.wrapKeyItem("aes", CALL)).outData
    for at in range(len(blob)):
        changed = blob[:at] + bytes([blob[at] ^ 0x10]) + blob[at + 1 :]
        await refused(keystore.unwrapKeyItem("new", CALL, changed), 12000012)
    for length in range(1, len(blob), 7):
        await refused(keystore.unwrapKeyItem("new", CALL, blob[:length]), 12000012)
    await refused(keystore.unwrapKeyItem("new", CALL, blob + b"\0"), 12000012)
    assert not await keystore.hasKeyItem("new", options())


@pytest.mark.asyncio
async def test_other_keys_and_namespaces(keystore: Keystore, tmp_path: Path) -> None:
    """A blob opens neither under another operator's key nor for another application or user."""
    blob = (await keystore.wrapKeyItem("aes", CALL)).outData
    operator = tmp_path / "operator"
    async with Keystore.open("memory:", wrapping_key=FileRootKey(tmp_path / "another")) as other:
        await refused(other.unwrapKeyItem("new", CALL, blob), 12000012)
    async with Keystore.open("memory:", wrapping_key=FileRootKey(operator), namespace="other") as other:
        await refused(other.unwrapKeyItem("new", CALL, blob), 12000012)
    async with Keystore.open("memory:", wrapping_key=FileRootKey(operator), user_id=101) as other:
        await refused(other.unwrapKeyItem("new", CALL, blob), 12000012)


@pytest.mark.asyncio
async def test_what_is_refused(keystore: Keystore) -> None:
    """Codes of the arguments, of the wrap type, and of keys that stay where they are."""
    blob = (await keystore.wrapKeyItem("aes", CALL)).outData
    await refused(keystore.wrapKeyItem("stays", CALL), 12000012)
    await refused(keystore.wrapKeyItem("nobody", CALL), 12000011)
    await refused(keystore.wrapKeyItem("", CALL), 12000018)
    await refused(keystore.wrapKeyItem("x" * 129, CALL), 12000018)
    await refused(keystore.wrapKeyItem("aes", options()), 12000018)
    await refused(keystore.wrapKeyItem("aes", options(KEY_WRAP_TYPE=1)), 12000012)
    await refused(keystore.unwrapKeyItem("new", options(), blob), 12000018)
    await refused(keystore.unwrapKeyItem("new", options(KEY_WRAP_TYPE=3), blob), 12000012)
    await refused(keystore.unwrapKeyItem("", CALL, blob), 12000018)
    await refused(keystore.unwrapKeyItem("new", CALL, b""), 12000018)
    await refused(keystore.unwrapKeyItem("new", CALL, "text"), 12000018)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_an_existing_key_is_replaced_unless_forbidden(keystore: Keystore) -> None:
    """KEY_OVERRIDE = false keeps the key that is there; a running session keeps the one it opened."""
    blob = (await keystore.wrapKeyItem("aes", CALL)).outData
    keep = options(KEY_WRAP_TYPE=2, KEY_OVERRIDE=False)
    await refused(keystore.unwrapKeyItem("stays", keep, blob), 12000017)
    session = options(**SESSION | {"PURPOSE": ENCRYPT})
    handle: HuksSessionHandle = await keystore.initSession("stays", session)
    expected = await run(keystore, "stays", bytes(16), **SESSION | {"PURPOSE": ENCRYPT})
    await keystore.unwrapKeyItem("stays", CALL, blob)
    assert (await properties(keystore, "stays"))[T.HUKS_TAG_IS_ALLOWED_WRAP] is True
    assert (await keystore.finishSession(handle.handle, session | {"inData": bytes(16)})).outData == expected
    assert await run(keystore, "stays", bytes(16), **SESSION | {"PURPOSE": ENCRYPT}) != expected


@pytest.mark.asyncio
@pytest.mark.parametrize("profile", ["server", "device"])
async def test_without_an_operators_key(profile: str, tmp_path: Path) -> None:
    """801, after the arguments were checked; in the device profile even with a key."""
    operator = FileRootKey(tmp_path / "operator") if profile == "device" else None
    async with Keystore.open("memory:", profile=profile, wrapping_key=operator) as keystore:
        await keystore.generateKeyItem("aes", options(**AES_CBC, **MAY))
        await refused(keystore.wrapKeyItem("aes", options()), 12000018)
        await refused(keystore.wrapKeyItem("aes", CALL), 801)
        await refused(keystore.unwrapKeyItem("aes", CALL, b"blob"), 801)
