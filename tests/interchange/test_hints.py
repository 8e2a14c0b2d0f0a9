"""Errors of sessions that were given another program's form: they say so, and name the function that converts."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from huks_async import (
    InnerTag,
    Keystore,
    signature_from_raw,
    signature_to_raw,
    sm2_ciphertext_from_raw,
    sm2_ciphertext_to_raw,
)
from tests.interchange.support import verify
from tests.keystore.support import DECRYPT, ENCRYPT, SIGN, VERIFY, A, key, options, refused, run

pytestmark = pytest.mark.asyncio
SHA1, SHA256, SM3 = 10, 12, 2
OAEP = 1


@pytest_asyncio.fixture
async def keystore() -> AsyncIterator[Keystore]:
    """An empty keystore."""
    async with Keystore.open("memory:", monitor=False) as opened:
        yield opened


async def test_sm2_ciphertexts(keystore: Keystore) -> None:
    """Raw ones are recognised in every form; a wrong order, which nobody can see, is named as a cause."""
    sm2 = key(A.HUKS_ALG_SM2, 256, ENCRYPT | DECRYPT, DIGEST=SM3)
    await keystore.generateKeyItem("key", options(**sm2))
    der = await run(keystore, "key", b"plaintext", **(sm2 | {"PURPOSE": ENCRYPT}))
    decrypting = sm2 | {"PURPOSE": DECRYPT}
    assert await run(keystore, "key", der, **decrypting) == b"plaintext"
    for order in ("C1C3C2", "C1C2C3"):
        for prefix in (True, False):
            raw = sm2_ciphertext_to_raw(der, order, prefix=prefix)  # type: ignore[arg-type]
            error = await refused(run(keystore, "key", raw, **decrypting), 12000006)
            assert "huks_async.sm2_ciphertext_from_raw makes DER" in error.message
            again = sm2_ciphertext_from_raw(raw, order)  # type: ignore[arg-type]
            assert await run(keystore, "key", again, **decrypting) == b"plaintext"
    error = await refused(run(keystore, "key", b"\x04" + bytes(200), **decrypting), 12000006)
    assert "must be DER" in error.message
    mistaken = sm2_ciphertext_from_raw(sm2_ciphertext_to_raw(der, "C1C2C3"), "C1C3C2")
    first = await refused(run(keystore, "key", mistaken, **decrypting), 12000006)
    assert "C1C3C2 or C1C2C3" in first.message
    # what depends on the key has one message, whichever part was changed
    changed = [der[:at] + bytes((der[at] ^ 1,)) + der[at + 1 :] for at in (len(der) - 1, len(der) - 20)]
    for each in changed:
        assert (await refused(run(keystore, "key", each, **decrypting), 12000006)).message == first.message


@pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")  # DSA, and SHA-1 in a mask
@pytest.mark.parametrize(
    ("algorithm", "size", "digest", "group"),
    [
        (A.HUKS_ALG_ECC, 224, SHA256, 224),
        (A.HUKS_ALG_ECC, 256, SHA256, 256),
        (A.HUKS_ALG_ECC, 384, SHA256, 384),
        (A.HUKS_ALG_ECC, 521, SHA256, 521),
        (A.HUKS_ALG_DSA, 1024, SHA256, 160),
        (A.HUKS_ALG_SM2, 256, SM3, None),
    ],
)
async def test_signatures(
    keystore: Keystore, algorithm: int, size: int, digest: int, group: int | None
) -> None:
    """A signature r ‖ s is refused with the way out; one that is wrong in DER has no such hint."""
    values = key(algorithm, size, SIGN | VERIFY, DIGEST=digest)
    await keystore.generateKeyItem("key", options(**values))
    der = await run(keystore, "key", b"message", **(values | {"PURPOSE": SIGN}))
    raw = signature_to_raw(der, algorithm, group)
    verifying = values | {"PURPOSE": VERIFY}
    error = await refused(verify(keystore, "key", b"message", raw, **verifying), 12000006)
    assert "huks_async.signature_from_raw makes DER of it" in error.message
    await verify(keystore, "key", b"message", signature_from_raw(raw, algorithm, group), **verifying)
    error = await refused(verify(keystore, "key", b"another", der, **verifying), 12000006)
    assert "signature_from_raw" not in error.message


@pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")  # DSA, and SHA-1 in a mask
async def test_oaep_with_another_mask(keystore: Keystore) -> None:
    """Java's default is decrypted once the mask's digest is named; until then the error tells how."""
    rsa = key(A.HUKS_ALG_RSA, 2048, ENCRYPT | DECRYPT, DIGEST=SHA256, PADDING=OAEP)
    await keystore.generateKeyItem("key", options(**rsa))
    public = load_der_public_key((await keystore.exportKeyItem("key", options())).outData)
    assert isinstance(public, RSAPublicKey)
    java = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA256(), None)
    ciphertext = public.encrypt(b"plaintext", java)
    decrypting = rsa | {"PURPOSE": DECRYPT}
    error = await refused(run(keystore, "key", ciphertext, **decrypting), 12000006)
    assert "mask with HUKS_DIGEST_SHA256" in error.message
    assert "InnerTag.MGF_DIGEST (tag 31)" in error.message
    # nothing but the parameters is told: a block of wrong padding and one that is no block at all are alike
    wrong = bytes(255) + b"\1"
    assert (await refused(run(keystore, "key", wrong, **decrypting), 12000006)).message == error.message

    given = options(ciphertext, **decrypting)
    given["properties"].append({"tag": InnerTag.MGF_DIGEST, "value": SHA1})
    session = await keystore.initSession("key", given)
    assert (await keystore.finishSession(session.handle, given)).outData == b"plaintext"
