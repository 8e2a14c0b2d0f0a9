"""The documented samples of agreement (E), derivation (F) and cross-cutting mistakes (I)."""

import os
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

import huks_async as huks
from tests.conformance import support as s
from tests.conformance.support import NOTHING, Params, data, options, refused, run

pytestmark = [pytest.mark.asyncio, pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")]

BLOCK = b"sixteen bytes..."
STORED_AES: Params = {
    "ALGORITHM": s.AES,
    "KEY_SIZE": 256,
    "PURPOSE": s.CIPHER,
    "BLOCK_MODE": s.ECB,
    "PADDING": s.NOPAD,
    "DERIVED_AGREED_KEY_STORAGE_FLAG": s.ONLY_IN_HUKS,
}
ECB_SESSION: Params = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "BLOCK_MODE": s.ECB, "PADDING": s.NOPAD}


async def flag_of(keystore: huks.Keystore, alias: str) -> int:
    """The stored KEY_FLAG of a key."""
    found = await keystore.getKeyItemProperties(alias, NOTHING)
    flag: Any = next(param.value for param in found.properties if param.tag == huks.HuksTag.HUKS_TAG_KEY_FLAG)
    return int(flag)


async def secret_of(
    keystore: huks.Keystore, alias: str, given: bytes, session: Params, last: Params | None = None
) -> bytes:
    """What init, one update and finish of an agreement or derivation give."""
    handle = (await keystore.initSession(alias, options(**session))).handle
    assert (await keystore.updateSession(handle, options(given, **session))).outData == b""
    return (await keystore.finishSession(handle, options(**(last or {})))).outData


def ecb(key: bytes) -> bytes:
    """The block under this AES key."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(BLOCK)


# --- E: agreement -------------------------------------------------------------------------------


async def test_e1_x25519_stored(keystore: huks.Keystore) -> None:
    """Both sides store the agreed key under a new alias; what one encrypts the other decrypts."""
    key = {
        "ALGORITHM": s.X25519,
        "KEY_SIZE": 256,
        "PURPOSE": s.AGREE,
        "DIGEST": s.NO_DIGEST,
        "PADDING": s.NOPAD,
        "BLOCK_MODE": s.CBC,
        "DERIVED_AGREED_KEY_STORAGE_FLAG": s.ONLY_IN_HUKS,
    }
    public = {}
    for alias in ("a", "b"):
        await keystore.generateKeyItem(alias, options(**key))
        public[alias] = (await keystore.exportKeyItem(alias, NOTHING)).outData
        assert len(public[alias]) == 32
    session = {"ALGORITHM": s.X25519, "PURPOSE": s.AGREE, "KEY_SIZE": 256}
    for alias, peer in (("a", "b"), ("b", "a")):
        last = STORED_AES | {"KEY_ALIAS": f"{alias}final".encode()}
        assert await secret_of(keystore, alias, public[peer], session, last) == b""
        assert await flag_of(keystore, f"{alias}final") == 3
    sealed = await run(keystore, "afinal", last=BLOCK, **ECB_SESSION, PURPOSE=s.ENCRYPT)
    assert await run(keystore, "bfinal", last=sealed, **ECB_SESSION, PURPOSE=s.DECRYPT) == BLOCK


async def test_e1_x25519_against_a_plain_library(keystore: huks.Keystore) -> None:
    """The agreed secret is that of a plain library on the other side."""
    key = {"ALGORITHM": s.X25519, "KEY_SIZE": 256, "PURPOSE": s.AGREE}
    await keystore.generateKeyItem("a", options(**key))
    exported = (await keystore.exportKeyItem("a", NOTHING)).outData
    other = X25519PrivateKey.generate()
    ours = await secret_of(keystore, "a", other.public_key().public_bytes_raw(), key)
    assert ours == other.exchange(X25519PublicKey.from_public_bytes(exported))


async def test_e2_dh_exported(keystore: huks.Keystore) -> None:
    """Both sides get the same 256 bytes; a storage flag at update has no effect."""
    key = {"ALGORITHM": s.DH, "KEY_SIZE": 2048, "PURPOSE": s.AGREE}
    public = {}
    for alias in ("a", "b"):
        await keystore.generateKeyItem(alias, options(**key))
        public[alias] = (await keystore.exportKeyItem(alias, NOTHING)).outData
    outs = []
    for alias, peer in (("a", "b"), ("b", "a")):
        handle = (await keystore.initSession(alias, options(**key))).handle
        flagged = options(public[peer], DERIVED_AGREED_KEY_STORAGE_FLAG=s.EXPORTABLE)
        assert (await keystore.updateSession(handle, flagged)).outData == b""
        outs.append((await keystore.finishSession(handle, NOTHING)).outData)
    assert outs[0] == outs[1]
    assert len(outs[0]) == 256


async def test_e3_dh_stored(keystore: huks.Keystore) -> None:
    """With KEY_SIZE 256 the stored AES key is the first 32 bytes of the secret, on both sides."""
    key = {"ALGORITHM": s.DH, "KEY_SIZE": 2048, "PURPOSE": s.AGREE}
    public = {}
    for alias in ("a", "b"):
        await keystore.generateKeyItem(alias, options(**key))
        public[alias] = (await keystore.exportKeyItem(alias, NOTHING)).outData
    whole = await secret_of(keystore, "a", public["b"], key)
    for alias, peer in (("a", "b"), ("b", "a")):
        last = STORED_AES | {"KEY_ALIAS": f"{alias} aes".encode()}
        assert await secret_of(keystore, alias, public[peer], key | {"KEY_SIZE": 256}, last) == b""
        assert await flag_of(keystore, f"{alias} aes") == 3
        sealed = await run(keystore, f"{alias} aes", last=BLOCK, **ECB_SESSION, PURPOSE=s.ENCRYPT)
        assert sealed == ecb(whole[:32])


# --- F: derivation ------------------------------------------------------------------------------

HKDF_SESSION: Params = {
    "ALGORITHM": s.HKDF,
    "PURPOSE": s.DERIVE,
    "DIGEST": s.SHA256,
    "DERIVE_KEY_SIZE": 32,
}
PBKDF2_SESSION: Params = HKDF_SESSION | {"ALGORITHM": s.PBKDF2, "ITERATION": 10000, "SALT": b"mySalt"}


def derived(session: Params, base: bytes) -> bytes:
    """The derivation by a plain library."""
    if session["ALGORITHM"] == s.HKDF:
        return HKDF(hashes.SHA256(), 32, None, b"").derive(base)
    return PBKDF2HMAC(hashes.SHA256(), 32, session["SALT"], session["ITERATION"]).derive(base)


async def import_base(keystore: huks.Keystore, size: int, **more: Any) -> bytes:
    """Import a base key 'base'; gives its bytes."""
    secret = os.urandom(size // 8)
    key = {"ALGORITHM": s.AES, "KEY_SIZE": size, "PURPOSE": s.DERIVE, "DIGEST": s.SHA256} | more
    await keystore.importKeyItem("base", options(secret, **key))
    return secret


async def replaces_its_base(keystore: huks.Keystore, session: Params, given: bytes, size: int) -> None:
    """The sample stores the derived key under the alias of its base key."""
    base = await import_base(keystore, size, DERIVED_AGREED_KEY_STORAGE_FLAG=s.ONLY_IN_HUKS)
    last = STORED_AES | {"KEY_ALIAS": b"base"}
    assert await secret_of(keystore, "base", given, session, last) == b""
    assert await flag_of(keystore, "base") == 4
    sealed = await run(keystore, "base", last=BLOCK, **ECB_SESSION, PURPOSE=s.ENCRYPT)
    assert sealed == ecb(derived(session, base))
    with refused(401):
        await keystore.initSession("base", options(**session))
    await keystore.deleteKeyItem("base", NOTHING)


@pytest.mark.parametrize("size", [128, 256])
async def test_f1_hkdf_stored(keystore: huks.Keystore, size: int) -> None:
    """HKDF's result replaces its base key, as 256 bits of AES with the flag of derived keys."""
    await replaces_its_base(keystore, HKDF_SESSION, b"text that is ignored", size)


async def test_f2_pbkdf2_stored(keystore: huks.Keystore) -> None:
    """PBKDF2 with the sample's 6-byte salt runs, is warned of, and equals a plain library."""
    with pytest.warns(huks.HuksCompatibilityWarning, match="HUKS_TAG_SALT has 6 bytes"):
        await replaces_its_base(keystore, PBKDF2_SESSION, b"myPassword", 256)


@pytest.mark.filterwarnings("ignore::huks_async.HuksCompatibilityWarning")
@pytest.mark.parametrize("flag", [None, s.EXPORTABLE])
@pytest.mark.parametrize("session", [HKDF_SESSION, PBKDF2_SESSION], ids=["HKDF", "PBKDF2"])
async def test_f3_exported(keystore: huks.Keystore, session: Params, flag: int | None) -> None:
    """A base key without a flag, or one that allows export, gives the derived bytes out."""
    base = await import_base(keystore, 256, DERIVED_AGREED_KEY_STORAGE_FLAG=flag)
    assert await secret_of(keystore, "base", b"ignored", session) == derived(session, base)


async def test_f4_only_in_huks_is_not_given_out(keystore: huks.Keystore) -> None:
    """A base key whose results stay in the keystore does not give them out, and the session is gone."""
    await import_base(keystore, 256, DERIVED_AGREED_KEY_STORAGE_FLAG=s.ONLY_IN_HUKS)
    handle = (await keystore.initSession("base", options(**HKDF_SESSION))).handle
    await keystore.updateSession(handle, data(b""))
    with refused(12000012, "HUKS_STORAGE_ONLY_USED_IN_HUKS"):
        await keystore.finishSession(handle, NOTHING)
    assert await s.is_gone(keystore, handle)


async def test_f5_digest_other_than_the_keys(keystore: huks.Keystore) -> None:
    """Another digest than the key's is refused with 401: already at init, where the guide puts it."""
    await import_base(keystore, 256)
    with refused(401, "HUKS_TAG_DIGEST", "HUKS_DIGEST_SHA256", "HUKS_DIGEST_SHA384"):
        await keystore.initSession("base", options(**HKDF_SESSION | {"DIGEST": s.SHA384}))


async def test_f6_second_update(keystore: huks.Keystore) -> None:
    """A derivation runs once: the second update is refused and ends the session."""
    await import_base(keystore, 256)
    handle = (await keystore.initSession("base", options(**HKDF_SESSION))).handle
    await keystore.updateSession(handle, data(b""))
    with refused(12000012, "second"):
        await keystore.updateSession(handle, data(b""))
    assert await s.is_gone(keystore, handle)


# --- I: mistakes that any session can make --------------------------------------------------------

GCM_KEY: Params = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "PURPOSE": s.CIPHER, "PADDING": s.NOPAD}
GCM: Params = GCM_KEY | {"BLOCK_MODE": s.GCM, "PURPOSE": s.ENCRYPT}


@pytest.mark.parametrize(
    "wrong",
    [{"ALGORITHM": None}, {"PURPOSE": None}, {"PURPOSE": s.CIPHER}],
    ids=["no-algorithm", "no-purpose", "two-purposes"],
)
async def test_i_init_without_algorithm_or_one_purpose(keystore: huks.Keystore, wrong: Params) -> None:
    """A session names its algorithm and exactly one purpose."""
    await keystore.generateKeyItem("key", options(**GCM_KEY))
    with refused(401, "HUKS_TAG_"):
        await keystore.initSession("key", options(**GCM | wrong))


async def test_i_session_digest_other_than_the_keys(keystore: huks.Keystore) -> None:
    """The session repeats the key's digest."""
    key = {"ALGORITHM": s.HMAC, "KEY_SIZE": 256, "PURPOSE": s.MAC}
    await keystore.generateKeyItem("key", options(**key, DIGEST=s.SHA256))
    with refused(401, "HUKS_TAG_DIGEST"):
        await keystore.initSession("key", options(**key, DIGEST=s.SHA512))


async def test_i_mode_left_open_by_both(keystore: huks.Keystore) -> None:
    """A mode that the key leaves open must come with the session."""
    await keystore.generateKeyItem("key", options(**GCM_KEY))
    with refused(12000002, "HUKS_TAG_BLOCK_MODE"):
        await keystore.initSession("key", options(**GCM | {"BLOCK_MODE": None}))


async def test_i_handles_that_are_gone(keystore: huks.Keystore) -> None:
    """After a failed update, after finish, and where none ever was: 12000011 with the fate; abort resolves."""
    await keystore.generateKeyItem("key", options(**GCM_KEY))
    handle = (await keystore.initSession("key", options(**GCM))).handle
    await keystore.finishSession(handle, data(b"x"))
    with refused(12000011, "finished"):
        await keystore.finishSession(handle, data(b""))
    await keystore.generateKeyItem("x", options(ALGORITHM=s.X25519, KEY_SIZE=256, PURPOSE=s.AGREE))
    failed = (await keystore.initSession("x", options(ALGORITHM=s.X25519, PURPOSE=s.AGREE))).handle
    with refused(401):
        await keystore.updateSession(failed, data(b""))
    with refused(12000011, "failed"):
        await keystore.updateSession(failed, data(bytes(32)))
    with refused(12000011, "never existed"):
        await keystore.updateSession(1, data(b""))
    for gone in (handle, failed, 1):
        assert await keystore.abortSession(gone, NOTHING) is None


async def test_i_empty_update_is_accepted(keystore: huks.Keystore) -> None:
    """An update without data counts as one and changes nothing (agreement apart)."""
    await keystore.generateKeyItem("key", options(**GCM_KEY))
    for empty in (data(b""), NOTHING):
        handle = (await keystore.initSession("key", options(**GCM, NONCE=s.NONCE12))).handle
        assert (await keystore.updateSession(handle, empty)).outData == b""
        out = (await keystore.finishSession(handle, data(b"text"))).outData
        assert len(out) == 4 + 16


@pytest.mark.parametrize(
    ("wrong", "tag"), [({"PURPOSE": s.ENCRYPT | s.SIGN}, "PURPOSE"), ({"KEY_SIZE": 200}, "KEY_SIZE")]
)
async def test_i_impossible_keys(keystore: huks.Keystore, wrong: Params, tag: str) -> None:
    """Purposes of two groups, and a size that AES does not have."""
    with refused(12000003, f"HUKS_TAG_{tag}"):
        await keystore.generateKeyItem("key", options(**GCM_KEY | wrong))


@pytest.mark.parametrize("alias", ["", "a" * 129, "é" * 65])
async def test_i_alias_of_a_wrong_length(keystore: huks.Keystore, alias: str) -> None:
    """An alias has 1 to 128 bytes in UTF-8."""
    with refused(401, "128"):
        await keystore.generateKeyItem(alias, options(**GCM_KEY))


async def test_i_generate_twice(keystore: huks.Keystore) -> None:
    """The second key wins, unless KEY_OVERRIDE is false: then the first stays."""
    await keystore.importKeyItem("key", options(bytes(32), **GCM_KEY))
    with refused(12000017, "key"):
        await keystore.generateKeyItem("key", options(**GCM_KEY, KEY_OVERRIDE=False))
    session = GCM | {"NONCE": s.NONCE12}
    first = await run(keystore, "key", last=BLOCK, **session)
    await keystore.generateKeyItem("key", options(**GCM_KEY))
    assert await run(keystore, "key", last=BLOCK, **session) != first
    with refused(12000017):
        await keystore.importKeyItem("key", options(bytes(32), **GCM_KEY, KEY_OVERRIDE=False))


async def test_i_33rd_session_of_a_device(device: huks.Keystore) -> None:
    """At 32 sessions of a caller the oldest idle one makes room."""
    await device.generateKeyItem("key", options(**GCM_KEY))
    handles = [(await device.initSession("key", options(**GCM))).handle for _ in range(33)]
    with refused(12000011, "evicted"):
        await device.updateSession(handles[0], data(b"x"))
    for handle in handles[1:]:
        await device.finishSession(handle, data(b"x"))
