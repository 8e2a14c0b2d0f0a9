"""encapsulate and decapsulate: as documented, and against the library below."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey, MLKEM1024PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from huks_async import HuksKeyFlag, Keystore
from huks_async.access import PinAuthenticator
from tests.keystore.support import (
    AES_CBC,
    CBC,
    DECRYPT,
    ENCRYPT,
    UNWRAP,
    WRAP,
    A,
    T,
    key,
    options,
    params,
    properties,
    refused,
    run,
)

KEM = A.HUKS_ALG_ML_KEM
CALL = params(ALGORITHM=KEM)


@pytest_asyncio.fixture
async def keystore() -> AsyncIterator[Keystore]:
    """An empty keystore with the ML-KEM-768 key `pair`."""
    async with Keystore.open("memory:") as opened:
        await opened.generateKeyItem("pair", options(**key(KEM, 768, WRAP | UNWRAP)))
        yield opened


async def import_public(keystore: Keystore, alias: str, source: str, size: int = 768) -> None:
    """Import the public half of `source` as a peer does."""
    public = (await keystore.exportKeyItem(source, options())).outData
    await keystore.importKeyItem(alias, options(public, **key(KEM, size, WRAP)))


@pytest.mark.asyncio
@pytest.mark.parametrize(("size", "length"), [(768, 1088), (1024, 1568)])
async def test_both_sides_get_the_same_secret(keystore: Keystore, size: int, length: int) -> None:
    """A peer with the public half alone agrees with the holder of the pair, for both parameter sets."""
    await keystore.generateKeyItem("b", options(**key(KEM, size, WRAP | UNWRAP)))
    await import_public(keystore, "b's", "b", size)
    sent = await keystore.encapsulate("b's", params(ALGORITHM=KEM, KEY_SIZE=size, PURPOSE=WRAP))
    got = await keystore.decapsulate("b", params(ALGORITHM=KEM, KEY_SIZE=size, PURPOSE=UNWRAP), sent.outData)
    assert len(sent.outData) == length
    assert len(sent.sharedSecret) == 32
    assert (got.sharedSecret, got.outData) == (sent.sharedSecret, b"")


@pytest.mark.asyncio
async def test_a_foreign_library_encapsulates(keystore: Keystore) -> None:
    """A ciphertext of `cryptography`, made from the exported public key, opens to its secret."""
    public = load_der_public_key((await keystore.exportKeyItem("pair", options())).outData)
    assert isinstance(public, (MLKEM768PublicKey, MLKEM1024PublicKey))
    secret, ciphertext = public.encapsulate()
    assert (await keystore.decapsulate("pair", CALL, ciphertext)).sharedSecret == secret


@pytest.mark.asyncio
async def test_stored_secrets_are_one_key(keystore: Keystore) -> None:
    """Stored on both sides, the secret is given to nobody, and what one key encrypts the other decrypts."""
    shared = params(**AES_CBC)
    await import_public(keystore, "peer", "pair")
    sent = await keystore.encapsulate("peer", CALL, "a", shared)
    got = await keystore.decapsulate("pair", CALL, sent.outData, "b", shared)
    assert sent.sharedSecret == got.sharedSecret == got.outData == b""
    session = {**AES_CBC, "IV": bytes(16)}
    sealed = await run(keystore, "a", b"sixteen bytes ok", **session | {"PURPOSE": ENCRYPT})
    assert await run(keystore, "b", sealed, **session | {"PURPOSE": DECRYPT}) == b"sixteen bytes ok"
    flags = [(await properties(keystore, alias))[T.HUKS_TAG_KEY_FLAG] for alias in "ab"]
    assert flags == [HuksKeyFlag.HUKS_KEY_FLAG_GENERATE_KEY, HuksKeyFlag.HUKS_KEY_FLAG_IMPORT_KEY]


@pytest.mark.asyncio
async def test_a_changed_ciphertext_gives_another_secret(keystore: Keystore) -> None:
    """Implicit rejection: no error, another secret, the same one each time."""
    sent = await keystore.encapsulate("pair", CALL)
    changed = bytes([sent.outData[0] ^ 1]) + sent.outData[1:]
    first = (await keystore.decapsulate("pair", CALL, changed)).sharedSecret
    again = (await keystore.decapsulate("pair", CALL, changed)).sharedSecret
    assert first == again != sent.sharedSecret


@pytest.mark.asyncio
async def test_parameters_of_the_call(keystore: Keystore) -> None:
    """ALGORITHM is needed and has one value; a key must have the purpose of the call."""
    await keystore.generateKeyItem("opens", options(**key(KEM, 768, UNWRAP)))
    await keystore.generateKeyItem("makes", options(**key(KEM, 768, WRAP)))
    await keystore.generateKeyItem("aes", options(**AES_CBC))
    ciphertext = (await keystore.encapsulate("pair", CALL)).outData
    await refused(keystore.encapsulate("pair", []), 12000002)
    await refused(keystore.encapsulate("pair", params(ALGORITHM=A.HUKS_ALG_AES)), 12000003)
    await refused(keystore.encapsulate("opens", CALL), 12000003)
    await refused(keystore.decapsulate("makes", CALL, ciphertext), 12000003)
    await refused(keystore.encapsulate("aes", CALL), 12000003)
    await refused(keystore.encapsulate("nobody", CALL), 12000011)
    await refused(keystore.encapsulate("pair", params(ALGORITHM=KEM, AUTH_STORAGE_LEVEL=0)), 12000011)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("shared", "code"),
    [
        pytest.param({}, 12000002, id="no size"),
        pytest.param(AES_CBC | {"KEY_SIZE": 128}, 12000003, id="128 bits"),
        pytest.param({"KEY_SIZE": 256, "PURPOSE": ENCRYPT}, 12000002, id="no algorithm"),
        pytest.param({"KEY_SIZE": 256, "ALGORITHM": A.HUKS_ALG_AES}, 12000002, id="no purpose"),
        pytest.param(AES_CBC | {"BLOCK_MODE": 99}, 12000003, id="no such mode"),
        pytest.param(key(A.HUKS_ALG_X25519, 256, 256), 12000003, id="no symmetric key"),
        pytest.param(AES_CBC | {"KEY_SECURITY_LEVEL": 7}, 12000018, id="no such level"),
    ],
)
async def test_what_a_secret_may_become(keystore: Keystore, shared: dict[str, int], code: int) -> None:
    """A stored secret is a symmetric key of 256 bits that an import would take; else nothing is stored."""
    ciphertext = (await keystore.encapsulate("pair", CALL)).outData
    await refused(keystore.encapsulate("pair", CALL, "new", params(**shared)), code)
    await refused(keystore.decapsulate("pair", CALL, ciphertext, "new", params(**shared)), code)
    assert not await keystore.hasKeyItem("new", options())


@pytest.mark.asyncio
async def test_mistakes_in_arguments(keystore: Keystore) -> None:
    """All that is 401 elsewhere is 12000018 here."""
    ciphertext = (await keystore.encapsulate("pair", CALL)).outData
    twice = CALL + CALL
    await refused(keystore.encapsulate("", CALL), 12000018)
    await refused(keystore.encapsulate("x" * 129, CALL), 12000018)
    await refused(keystore.encapsulate(7, CALL), 12000018)  # type: ignore[arg-type]
    await refused(keystore.encapsulate("pair", twice), 12000018)
    await refused(keystore.encapsulate("pair", {"properties": CALL}), 12000018)  # type: ignore[arg-type]
    await refused(keystore.encapsulate("pair", None), 12000018)  # type: ignore[arg-type]
    await refused(keystore.decapsulate("pair", None, b""), 12000018)  # type: ignore[arg-type]
    await refused(keystore.encapsulate("pair", CALL, "new"), 12000018)
    await refused(keystore.encapsulate("pair", CALL, None, params(**AES_CBC)), 12000018)
    await refused(keystore.encapsulate("pair", CALL, "", params(**AES_CBC)), 12000018)
    await refused(keystore.encapsulate("pair", params(ALGORITHM=KEM, AUTH_STORAGE_LEVEL=9)), 12000018)
    for wrong in (b"", ciphertext[:-1], ciphertext + b"\0"):
        await refused(keystore.decapsulate("pair", CALL, wrong), 12000018)
    await refused(keystore.decapsulate("pair", CALL, "text"), 12000018)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_a_public_half_cannot_decapsulate(keystore: Keystore) -> None:
    """An imported public key opens nothing, even if its purposes could say so."""
    await import_public(keystore, "peer", "pair")
    ciphertext = (await keystore.encapsulate("peer", CALL)).outData
    await refused(keystore.decapsulate("peer", CALL, ciphertext), 12000003)


@pytest.mark.asyncio
async def test_an_existing_key_is_replaced_unless_forbidden(keystore: Keystore) -> None:
    """The shared key replaces another of its alias; KEY_OVERRIDE = false keeps the old one."""
    await keystore.generateKeyItem("new", options(**key(A.HUKS_ALG_AES, 128, ENCRYPT, BLOCK_MODE=CBC)))
    shared = params(**AES_CBC)
    keep = params(**AES_CBC, KEY_OVERRIDE=False)
    await refused(keystore.encapsulate("pair", CALL, "new", keep), 12000017)
    assert (await properties(keystore, "new"))[T.HUKS_TAG_KEY_SIZE] == 128
    await keystore.encapsulate("pair", CALL, "new", shared)
    assert (await properties(keystore, "new"))[T.HUKS_TAG_KEY_SIZE] == 256


@pytest.mark.asyncio
async def test_storage_levels(keystore: Keystore) -> None:
    """Key and shared key each live at the level that their own parameters name."""
    await keystore.generateKeyItem("de", options(**key(KEM, 768, WRAP | UNWRAP), AUTH_STORAGE_LEVEL=0))
    await keystore.encapsulate(
        "de", params(ALGORITHM=KEM, AUTH_STORAGE_LEVEL=0), "new", params(**AES_CBC, AUTH_STORAGE_LEVEL=2)
    )
    there = [await keystore.hasKeyItem("new", options(AUTH_STORAGE_LEVEL=level)) for level in (0, 1, 2)]
    assert there == [False, False, True]


@pytest.mark.asyncio
async def test_no_user_authentication(keystore: Keystore) -> None:
    """ML-KEM keys bound to a user are refused with the code of the newer functions."""
    await refused(
        keystore.generateKeyItem("x", options(**key(KEM, 768, WRAP | UNWRAP), USER_AUTH_TYPE=1)), 12000018
    )


@pytest.mark.asyncio
async def test_a_key_that_needs_its_user_to_have_a_pin() -> None:
    """It serves as long as the user has one: 12000016 after it was taken away, also in a stored form."""
    pin = PinAuthenticator()
    async with Keystore.open("memory:", authenticator=pin) as keystore:
        await pin.enroll(keystore, 100, "a PIN")
        await keystore.generateKeyItem(
            "pair", options(**key(KEM, 768, WRAP | UNWRAP), IS_DEVICE_PASSWORD_SET=True)
        )
        sent = await keystore.encapsulate("pair", CALL)
        assert (await keystore.decapsulate("pair", CALL, sent.outData)).sharedSecret == sent.sharedSecret
        await pin.clear(keystore, 100)
        stored = params(**AES_CBC)
        await refused(keystore.encapsulate("pair", CALL), 12000016)
        await refused(keystore.decapsulate("pair", CALL, sent.outData), 12000016)
        await refused(keystore.encapsulate("pair", CALL, "kept", stored), 12000016)
        await refused(keystore.decapsulate("pair", CALL, sent.outData, "kept", stored), 12000016)
        assert not (await keystore.hasKeyItem("kept", options()))
