"""importWrappedKeyItem: the guide's example, every suite, and every documented refusal."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from huks_async import BusinessError, HuksKeyFlag, Keystore, WrappedKey, pack_wrapped_key
from tests.keys.key_samples import header_form, sample
from tests.keystore.support import (
    AES_CBC,
    AGREE,
    CBC,
    DECRYPT,
    ENCRYPT,
    GCM,
    NO_PADDING,
    SIGN,
    UNWRAP,
    VERIFY,
    A,
    T,
    key,
    options,
    properties,
    refused,
    run,
)
from tests.skips import skip_unsupported

WRAPPING = {
    1: key(A.HUKS_ALG_X25519, 256, UNWRAP),
    2: key(A.HUKS_ALG_ECC, 256, UNWRAP, DIGEST=12),
    5: key(A.HUKS_ALG_SM2, 256, ENCRYPT | DECRYPT, DIGEST=2),
}
suites = pytest.mark.parametrize("suite", WRAPPING)
AES_192 = key(A.HUKS_ALG_AES, 192, ENCRYPT | DECRYPT, BLOCK_MODE=CBC, PADDING=NO_PADDING)


@pytest_asyncio.fixture
async def keystore() -> AsyncIterator[Keystore]:
    """An empty keystore."""
    async with Keystore.open("memory:") as opened:
        yield opened


async def wrapping_key(keystore: Keystore, suite: int, alias: str = "wrapping") -> bytes:
    """Make a wrapping key and give its public half; skips where nothing speaks SM2."""
    try:
        await keystore.generateKeyItem(alias, options(**WRAPPING[suite]))
    except BusinessError as error:
        skip_unsupported(error)
    return (await keystore.exportKeyItem(alias, options())).outData


async def take_in(keystore: Keystore, packed: WrappedKey, alias: str = "new", **values: Any) -> None:
    """Import what `pack_wrapped_key` made."""
    given = options(packed.inData, **values)
    given["properties"] += packed.properties
    await keystore.importWrappedKeyItem(alias, "wrapping", given)


def cbc(secret: bytes, data: bytes) -> bytes:
    """AES-CBC with an IV of zeros."""
    cipher = Cipher(algorithms.AES(secret), modes.CBC(bytes(16))).encryptor()
    return cipher.update(data) + cipher.finalize()


@pytest.mark.asyncio
async def test_the_guides_example(keystore: Keystore) -> None:
    """The caller's half done with this keystore's own sessions, field by field, as the guide does it."""
    plain, kek = b"The aes192 key to import", b"The is kek to encrypt aes192 key"
    aad, nonce = b"abababababababab", b"hahahahahaha"
    wrapping = await wrapping_key(keystore, 2)
    await keystore.generateKeyItem("caller", options(**key(A.HUKS_ALG_ECC, 256, AGREE, DIGEST=12)))
    caller = (await keystore.exportKeyItem("caller", options())).outData
    agreement = options(ALGORITHM=A.HUKS_ALG_ECDH, KEY_SIZE=256, PURPOSE=AGREE, DIGEST=12)
    session = await keystore.initSession("caller", agreement)
    await keystore.updateSession(session.handle, agreement | {"inData": wrapping})
    shared = (await keystore.finishSession(session.handle, agreement)).outData
    cipher = key(A.HUKS_ALG_AES, 256, ENCRYPT, BLOCK_MODE=GCM, PADDING=NO_PADDING)
    await keystore.importKeyItem("shared", options(shared, **cipher))
    await keystore.importKeyItem("kek", options(kek, **cipher))
    sealed_key = await run(keystore, "kek", plain, **cipher, AAD=aad, NONCE=nonce)
    sealed_kek = await run(keystore, "shared", kek, **cipher, AAD=aad, NONCE=nonce)
    fields = [
        caller,
        *(aad, nonce, sealed_kek[-16:], sealed_kek[:-16]),
        *(aad, nonce, sealed_key[-16:], (24).to_bytes(4, "little"), sealed_key[:-16]),
    ]
    assert [len(field) for field in fields] == [91, 16, 12, 16, 32, 16, 12, 16, 4, 24]
    blob = b"".join(len(field).to_bytes(4, "little") + field for field in fields)
    await keystore.importWrappedKeyItem("new", "wrapping", options(blob, **AES_192, UNWRAP_ALGORITHM_SUITE=2))
    session_params = AES_192 | {"PURPOSE": ENCRYPT, "IV": bytes(16)}
    assert await run(keystore, "new", bytes(16), **session_params) == cbc(plain, bytes(16))


@pytest.mark.asyncio
@suites
async def test_a_symmetric_key_in_every_suite(keystore: Keystore, suite: int) -> None:
    """What a server packs for the exported key works after the import, and counts as imported."""
    secret = bytes(range(32))
    await take_in(keystore, pack_wrapped_key(secret, await wrapping_key(keystore, suite)), **AES_CBC)
    out = await run(keystore, "new", bytes(32), **AES_CBC | {"PURPOSE": ENCRYPT, "IV": bytes(16)})
    assert out == cbc(secret, bytes(32))
    shown = await properties(keystore, "new")
    assert shown[T.HUKS_TAG_KEY_FLAG] == HuksKeyFlag.HUKS_KEY_FLAG_IMPORT_KEY
    assert shown[T.HUKS_TAG_UNWRAP_ALGORITHM_SUITE] == suite


@pytest.mark.asyncio
@suites
@pytest.mark.parametrize(
    ("algorithm", "size", "purpose", "more"),
    [
        pytest.param(A.HUKS_ALG_ECC, 256, SIGN | VERIFY, {"DIGEST": 12}, id="ECC"),
        pytest.param(A.HUKS_ALG_RSA, 2048, SIGN | VERIFY, {"DIGEST": 12, "PADDING": 2}, id="RSA"),
        pytest.param(A.HUKS_ALG_X25519, 256, AGREE, {}, id="X25519"),
    ],
)
async def test_key_pairs_in_every_suite(
    keystore: Keystore, suite: int, algorithm: int, size: int, purpose: int, more: dict[str, int]
) -> None:
    """A key pair of OpenSSL arrives whole: the exported public half is the one that left."""
    pair = sample(algorithm, size)
    packed = pack_wrapped_key(
        header_form(algorithm, size, pair.fields), await wrapping_key(keystore, suite), import_type=2
    )
    await take_in(keystore, packed, **key(algorithm, size, purpose, **more), IMPORT_KEY_TYPE=2)
    assert (await keystore.exportKeyItem("new", options())).outData == pair.exported
    if algorithm == A.HUKS_ALG_ECC:
        signature = await run(keystore, "new", b"text", **key(algorithm, size, SIGN, **more))
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        public = load_der_public_key(pair.spki)
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(signature, b"text", ec.ECDSA(hashes.SHA256()))


@pytest.mark.asyncio
@pytest.mark.parametrize("suite", [1, 2])
async def test_what_is_refused(keystore: Keystore, suite: int) -> None:
    """The documented codes, and nothing is stored under the alias."""
    blob = pack_wrapped_key(bytes(24), await wrapping_key(keystore, suite)).inData
    algorithm = A(WRAPPING[suite]["ALGORITHM"])
    await keystore.generateKeyItem("agrees", options(**key(algorithm, 256, AGREE, DIGEST=12)))
    other = {1: 2, 2: 1}[suite]
    await keystore.generateKeyItem("other", options(**WRAPPING[other]))

    async def refuse(code: int, data: bytes = blob, wrapping: str = "wrapping", **values: Any) -> None:
        given = {**AES_192, "UNWRAP_ALGORITHM_SUITE": suite, **values}
        given = {name: value for name, value in given.items() if value is not None}
        await refused(keystore.importWrappedKeyItem("new", wrapping, options(data, **given)), code)

    await refuse(12000002, UNWRAP_ALGORITHM_SUITE=None)
    for unknown in (0, 3, 4, 6, 255):
        await refuse(12000003, UNWRAP_ALGORITHM_SUITE=unknown)
    await refuse(12000011, wrapping="nobody")
    await refuse(401, wrapping="")
    await refuse(401, wrapping="w" * 129)
    await refuse(12000003, wrapping="agrees")
    await refuse({1: 12000006, 2: 401}[suite], wrapping="other")
    await refuse(401, blob + b"\0")
    await refuse(401, blob[:-1])
    await refuse(401, b"")
    await refuse(401, bytes(1024 * 1024 + 1))
    await refuse(401, b"\0\0\0\0" + blob[4:])
    await refuse(12000006, blob[:-1] + bytes([blob[-1] ^ 1]))
    kek = blob.index(b"\x20\0\0\0", 40) + 4
    await refuse(12000006, blob[:kek] + bytes([blob[kek] ^ 1]) + blob[kek + 1 :])
    await refuse(401, KEY_SIZE=256)
    await refuse(12000003, KEY_SIZE=200)
    await refuse(12000002, KEY_SIZE=None)
    await refuse(12000002, PURPOSE=None)
    await refuse(12000002, ALGORITHM=None)
    await refuse(12000003, PURPOSE=ENCRYPT | SIGN)
    assert not await keystore.hasKeyItem("new", options())


@pytest.mark.asyncio
async def test_another_stores_wrapping_key(keystore: Keystore) -> None:
    """A container for one store opens in no other, and a replaced wrapping key opens no older container."""
    packed = pack_wrapped_key(bytes(32), await wrapping_key(keystore, 1))
    await keystore.generateKeyItem("wrapping", options(**WRAPPING[1]))
    with pytest.raises(BusinessError) as caught:
        await take_in(keystore, packed, **AES_CBC)
    assert caught.value.code == 12000006


@pytest.mark.asyncio
async def test_an_existing_key_is_replaced_unless_forbidden(keystore: Keystore) -> None:
    """KEY_OVERRIDE = false is asked before anything else; a refused import leaves the old key."""
    packed = pack_wrapped_key(bytes(32), await wrapping_key(keystore, 1))
    await keystore.generateKeyItem("new", options(**AES_192))
    given = options(b"rubbish", **AES_CBC, KEY_OVERRIDE=False)
    await refused(keystore.importWrappedKeyItem("new", "wrapping", given), 12000017)
    await refused(keystore.importWrappedKeyItem("new", "wrapping", options(b"x", **AES_CBC)), 12000002)
    assert (await properties(keystore, "new"))[T.HUKS_TAG_KEY_SIZE] == 192
    await take_in(keystore, packed, **AES_CBC)
    assert (await properties(keystore, "new"))[T.HUKS_TAG_KEY_SIZE] == 256


@pytest.mark.asyncio
async def test_the_envelope_has_its_own_sizes(keystore: Keystore) -> None:
    """Suite 5 carries whole blocks only, in either direction."""
    wrapping = await wrapping_key(keystore, 5)
    with pytest.raises(BusinessError) as caught:
        pack_wrapped_key(bytes(24), wrapping)
    assert caught.value.code == 12000003
    blob = pack_wrapped_key(bytes(32), wrapping).inData
    for values, code in ((AES_192, 12000003), (AES_CBC | {"KEY_SIZE": 128}, 12000003)):
        given = options(blob, **values, UNWRAP_ALGORITHM_SUITE=5)
        await refused(keystore.importWrappedKeyItem("new", "wrapping", given), code)


def test_public_keys_that_are_none() -> None:
    """The sender's half refuses what is no public key of a suite."""
    for wrong in (b"", b"x", bytes(31), bytes(91), sample(A.HUKS_ALG_RSA, 2048).spki):
        with pytest.raises(BusinessError) as caught:
            pack_wrapped_key(bytes(32), wrong)
        assert caught.value.code == 401


@pytest.mark.asyncio
@suites
async def test_import_types_that_do_not_exist(keystore: Keystore, suite: int) -> None:
    """They are refused in every suite, and not taken for one that exists."""
    wrapping = await wrapping_key(keystore, suite)
    pair = header_form(A.HUKS_ALG_ECC, 256, sample(A.HUKS_ALG_ECC, 256).fields)
    wrong: Any
    for wrong in (3, -1, None, "2", 2.0, True):
        for given in (bytes(32), pair):
            with pytest.raises(BusinessError) as caught:
                pack_wrapped_key(given, wrapping, import_type=wrong)
            assert caught.value.code == 401
            assert "import_type" in caught.value.message
