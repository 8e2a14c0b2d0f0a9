"""What is weak today warns, at the caller's line; a service can refuse it."""

import sys
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from huks_async import BusinessError, HuksKeyAlg, HuksLegacyWarning, Keystore
from huks_async.keys.items.shelf import KeyCache
from tests.keystore.support import DECRYPT, ENCRYPT, SIGN, VERIFY, key, options
from tests.skips import skip_unsupported

pytestmark = pytest.mark.asyncio

A = HuksKeyAlg
MAC = 128
ECB, CBC = 1, 2
OAEP, PKCS1, PKCS7 = 1, 3, 5
MD5, SHA1, SHA256 = 1, 10, 12
CIPHER, SIGNATURE = ENCRYPT | DECRYPT, SIGN | VERIFY

WEAK_KEYS = {
    "DES": key(A.HUKS_ALG_DES, 64, CIPHER, BLOCK_MODE=CBC, PADDING=0),
    "3DES 128": key(A.HUKS_ALG_3DES, 128, CIPHER, BLOCK_MODE=CBC, PADDING=0),
    "3DES 192": key(A.HUKS_ALG_3DES, 192, CIPHER, BLOCK_MODE=CBC, PADDING=0),
    "RSA 512": key(A.HUKS_ALG_RSA, 512, SIGNATURE, DIGEST=SHA256, PADDING=PKCS1),
    "RSA 768": key(A.HUKS_ALG_RSA, 768, SIGNATURE, DIGEST=SHA256, PADDING=PKCS1),
    "RSA 1024": key(A.HUKS_ALG_RSA, 1024, SIGNATURE, DIGEST=SHA256, PADDING=PKCS1),
    "RSA 2040": key(A.HUKS_ALG_RSA, 2040, SIGNATURE, DIGEST=SHA256, PADDING=PKCS1),
    "DSA": key(A.HUKS_ALG_DSA, 1024, SIGNATURE, DIGEST=SHA256),
    "CMAC": key(A.HUKS_ALG_CMAC, 128, MAC, BLOCK_MODE=CBC, PADDING=0),
}
WEAK_USES = {
    "AES in ECB": (key(A.HUKS_ALG_AES, 256, CIPHER, BLOCK_MODE=ECB, PADDING=PKCS7), ENCRYPT),
    "SM4 in ECB": (key(A.HUKS_ALG_SM4, 128, CIPHER, BLOCK_MODE=ECB, PADDING=PKCS7), ENCRYPT),
    "ECDSA with SHA1": (key(A.HUKS_ALG_ECC, 256, SIGNATURE, DIGEST=SHA1), SIGN),
    "RSA with SHA1": (key(A.HUKS_ALG_RSA, 2048, SIGNATURE, DIGEST=SHA1, PADDING=PKCS1), SIGN),
    "RSA with MD5": (key(A.HUKS_ALG_RSA, 2048, SIGNATURE, DIGEST=MD5, PADDING=PKCS1), SIGN),
    "OAEP with SHA1": (key(A.HUKS_ALG_RSA, 2048, CIPHER, DIGEST=SHA1, PADDING=OAEP), ENCRYPT),
    "OAEP with MD5": (key(A.HUKS_ALG_RSA, 2048, CIPHER, DIGEST=MD5, PADDING=OAEP), ENCRYPT),
    "HMAC with SHA1": (key(A.HUKS_ALG_HMAC, 256, MAC, DIGEST=SHA1), MAC),
}
STRONG_KEYS = {
    "AES": (key(A.HUKS_ALG_AES, 256, CIPHER, BLOCK_MODE=CBC, PADDING=PKCS7), ENCRYPT),
    "RSA 2048": (key(A.HUKS_ALG_RSA, 2048, SIGNATURE, DIGEST=SHA256, PADDING=PKCS1), SIGN),
    "ECDSA": (key(A.HUKS_ALG_ECC, 256, SIGNATURE, DIGEST=SHA256), SIGN),
    "HMAC": (key(A.HUKS_ALG_HMAC, 256, MAC, DIGEST=SHA256), MAC),
}


@pytest_asyncio.fixture
async def keystore() -> AsyncIterator[Keystore]:
    async with Keystore.open("memory:", monitor=False) as opened:
        yield opened


def opening(values: dict[str, Any], purpose: int) -> dict[str, Any]:
    """The options of a session on a key of these values."""
    width = 8 if values["ALGORITHM"] in (A.HUKS_ALG_DES, A.HUKS_ALG_3DES, A.HUKS_ALG_CMAC) else 16
    return options(**(values | {"PURPOSE": purpose, "IV": bytes(width)}))


async def make(keystore: Keystore, values: dict[str, Any]) -> None:
    """Generate the key `k`, weak or not; skip where a library for it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HuksLegacyWarning)
        try:
            await keystore.generateKeyItem("k", options(**values))
        except BusinessError as error:
            skip_unsupported(error)


@pytest.mark.parametrize("name", WEAK_KEYS)
async def test_weak_keys_warn_when_made_and_when_used(keystore: Keystore, name: str) -> None:
    """Generation and the opening of a session each warn, once, at the line in this file that awaits them."""
    values = WEAK_KEYS[name]
    await make(keystore, values)
    session = opening(values, MAC if values["PURPOSE"] == MAC else values["PURPOSE"] & -values["PURPOSE"])
    with pytest.warns(HuksLegacyWarning, match=str(values["KEY_SIZE"])) as caught:
        await keystore.generateKeyItem("k", options(**values))
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, _line_above())]
    with pytest.warns(HuksLegacyWarning, match="weak today") as caught:
        await keystore.initSession("k", session)
    assert {(each.filename, each.lineno) for each in caught} == {(__file__, _line_above())}


@pytest.mark.parametrize("name", WEAK_USES)
async def test_weak_uses_warn_when_the_session_opens(keystore: Keystore, name: str) -> None:
    """A weak mode or digest of a sound key warns when the session opens, at the caller's line."""
    values, purpose = WEAK_USES[name]
    await make(keystore, values)
    with pytest.warns(HuksLegacyWarning, match="weak today") as caught:
        await keystore.initSession("k", opening(values, purpose))
    assert {(each.filename, each.lineno) for each in caught} == {(__file__, _line_above())}


@pytest.mark.parametrize("name", STRONG_KEYS)
async def test_sound_choices_do_not_warn(keystore: Keystore, name: str) -> None:
    """What is sound today says nothing; a warning would be an error here."""
    values, purpose = STRONG_KEYS[name]
    await keystore.generateKeyItem("k", options(**values))
    await keystore.initSession("k", opening(values, purpose))


@pytest.mark.parametrize("name", ["DES", "RSA 1024", "DSA", "CMAC"])
async def test_a_service_can_refuse_weak_keys(keystore: Keystore, name: str) -> None:
    """With the warning turned into an error no key is stored, and an older one of the alias stays."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", HuksLegacyWarning)
        with pytest.raises(HuksLegacyWarning):
            await keystore.generateKeyItem("k", options(**WEAK_KEYS[name]))
        assert not (await keystore.hasKeyItem("k", options()))
        sound, purpose = STRONG_KEYS["HMAC"]
        await keystore.generateKeyItem("k", options(**sound))
        with pytest.raises(HuksLegacyWarning):
            await keystore.generateKeyItem("k", options(**WEAK_KEYS[name]))
        await keystore.initSession("k", opening(sound, purpose))


@pytest.mark.parametrize("name", [*WEAK_USES, *WEAK_KEYS])
async def test_a_service_can_refuse_weak_sessions(keystore: Keystore, name: str) -> None:
    """With the warning turned into an error no session is left open, however often it is tried."""
    values = WEAK_KEYS[name] if name in WEAK_KEYS else WEAK_USES[name][0]
    await make(keystore, values)
    purpose = values["PURPOSE"] & -values["PURPOSE"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", HuksLegacyWarning)
        for _ in range(3):
            with pytest.raises(HuksLegacyWarning):
                await keystore.initSession("k", opening(values, purpose))
    assert keystore.statistics().open == 0


@pytest.mark.parametrize("keys", [0, 10], ids=["key opened each time", "key kept"])
async def test_a_loop_warns_once(keys: int) -> None:
    """Python's filter 'default' shows one warning for a line that opens a thousand sessions."""
    values, purpose = WEAK_USES["AES in ECB"]
    async with Keystore.open("memory:", monitor=False, key_cache=KeyCache(keys=keys)) as keystore:
        await keystore.generateKeyItem("k", options(**values))
        with warnings.catch_warnings(record=True) as caught:
            # what another test left to the garbage collector may warn meanwhile
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", HuksLegacyWarning)
            for _ in range(1000):
                opened = await keystore.initSession("k", opening(values, purpose))
                await keystore.abortSession(opened.handle, options())
    assert [each.category for each in caught] == [HuksLegacyWarning]


async def test_a_filter_that_is_set_later_counts(keystore: Keystore) -> None:
    """Each session warns, so that a service which turns the warning into an error later is heard."""
    values, purpose = WEAK_USES["AES in ECB"]
    await keystore.generateKeyItem("k", options(**values))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", HuksLegacyWarning)
        for _ in range(100):
            await keystore.initSession("k", opening(values, purpose))
    assert len(caught) == 100
    with warnings.catch_warnings():
        warnings.simplefilter("error", HuksLegacyWarning)
        with pytest.raises(HuksLegacyWarning):
            await keystore.initSession("k", opening(values, purpose))
    assert keystore.statistics().open == 100


def _line_above() -> int:
    """The line before the caller's."""
    return sys._getframe(1).f_lineno - 1
