"""The same result however the data is cut: byte by byte, in primes, at once, with empty updates between."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from huks_async import HuksOptions, HuksParam
from tests.vectors.names import (
    AES,
    CBC,
    CCM,
    CFB,
    CIPHER,
    CMAC,
    CTR,
    DECRYPT,
    DES,
    DIGEST_SM3,
    DIGESTS,
    DSA,
    ECB,
    ECC,
    ED25519,
    ENCRYPT,
    GCM,
    HMAC,
    MAC,
    ML_DSA,
    NO_PADDING,
    OAEP,
    OFB,
    PKCS1,
    PKCS7,
    PSS,
    RSA,
    SHA256,
    SIGN,
    SIGNATURE,
    SM2,
    SM3,
    SM4,
    TRIPLE_DES,
    VERIFY,
    WARNINGS,
)
from tests.vectors.runs import Key, Runs, opened, tags
from tests.vectors.tally import Tally

pytestmark = [pytest.mark.asyncio, *(pytest.mark.filterwarnings(each) for each in WARNINGS)]

CUTS: tuple[tuple[int, ...], ...] = ((1,), (2, 3, 5, 7, 11, 13, 17, 19, 23), (101,), (16, 1), (15,), (17, 0))
"""The single byte, primes, and cuts beside the block; (0,) is the one shot that they are compared with."""


def noise(count: int, name: str = "data") -> bytes:
    """Bytes without a pattern, the same each time."""
    return hashlib.shake_256(name.encode()).digest(count)


@dataclass(frozen=True)
class Cipher:
    """A cipher, the length of its data, and what its sessions add."""

    name: str
    algorithm: int
    size: int
    mode: int
    padding: int = NO_PADDING
    length: int = 500
    more: dict[str, int | bytes] = field(default_factory=dict)


IV, SHORT_IV = {"IV": noise(16, "iv")}, {"IV": noise(8, "iv")}
AEAD = {"NONCE": noise(12, "nonce"), "AAD": noise(33, "aad")}
CIPHERS = (
    *(
        Cipher(f"AES-{size}-{name}", AES, size, mode, padding, length, more)
        for size in (128, 192, 256)
        for name, mode, padding, length, more in (
            ("ECB", ECB, NO_PADDING, 496, {}),
            ("ECB-PKCS7", ECB, PKCS7, 501, {}),
            ("CBC", CBC, NO_PADDING, 496, IV),
            ("CBC-PKCS7", CBC, PKCS7, 496, IV),
            ("CTR", CTR, NO_PADDING, 501, IV),
            ("GCM", GCM, NO_PADDING, 501, AEAD),
            ("CCM", CCM, NO_PADDING, 501, AEAD),
        )
    ),
    *(
        Cipher(f"SM4-{name}", SM4, 128, mode, padding, length, more)
        for name, mode, padding, length, more in (
            ("ECB", ECB, NO_PADDING, 496, {}),
            ("ECB-PKCS7", ECB, PKCS7, 501, {}),
            ("CBC", CBC, NO_PADDING, 496, IV),
            ("CBC-PKCS7", CBC, PKCS7, 501, IV),
            ("CTR", CTR, NO_PADDING, 501, IV),
            ("CFB", CFB, NO_PADDING, 501, IV),
            ("OFB", OFB, NO_PADDING, 501, IV),
        )
    ),
    *(
        Cipher(f"{name}-{size}-{mode.name[-3:]}", algorithm, size, mode, more=more, length=496)
        for name, algorithm, size in (("DES", DES, 64), ("3DES", TRIPLE_DES, 128), ("3DES", TRIPLE_DES, 192))
        for mode, more in ((ECB, {}), (CBC, SHORT_IV))
    ),
)


async def test_ciphers() -> None:
    """Every cipher and mode gives the same bytes for every cut, in both directions."""
    tally = Tally("Segmentation of ciphers")
    async with opened() as runs:
        for one in CIPHERS:
            secret = noise(one.size // 8, one.name)
            key = await runs.key(
                one.algorithm, one.size, secret, CIPHER, BLOCK_MODE=one.mode, PADDING=one.padding
            )
            plain = noise(one.length)
            sealed = await runs.run(key, ENCRYPT, plain, cut=(0,), **one.more)
            body, more = sealed, one.more
            if one.mode in (GCM, CCM):
                body, more = sealed[:-16], {**one.more, "AE_TAG": sealed[-16:]}
            tally.check(await runs.run(key, DECRYPT, body, cut=(0,), **more) == plain, one.name)
            for cut in CUTS:
                # twice, because every second session gives its last segment to finish
                for _ in range(2):
                    got = await runs.run(key, ENCRYPT, plain, cut=cut, **one.more)
                    tally.check(got == sealed, (one.name, "encrypt", cut))
                    got = await runs.run(key, DECRYPT, body, cut=cut, **more)
                    tally.check(got == plain, (one.name, "decrypt", cut))
            assert len({sealed, plain}) == 2
    tally.settle(sessions=len(CIPHERS) * 25)


async def test_macs() -> None:
    """Every MAC gives the same code for every cut."""
    tally = Tally("Segmentation of MACs")
    macs: list[tuple[str, int, int, dict[str, int], dict[str, bytes]]] = [
        *((f"HMAC-{name}", HMAC, 256, {"DIGEST": digest}, {}) for name, digest in DIGESTS.items()),
        ("HMAC-SM3", HMAC, 256, {"DIGEST": DIGEST_SM3}, {}),
        ("SM3", SM3, 256, {"DIGEST": DIGEST_SM3}, {}),
        ("CMAC", CMAC, 128, {"BLOCK_MODE": CBC, "PADDING": NO_PADDING}, {"IV": bytes(8)}),
    ]
    async with opened() as runs:
        for name, algorithm, size, fixed, more in macs:
            key = await runs.key(algorithm, size, noise(size // 8, name), MAC, **fixed)
            whole = await runs.run(key, MAC, noise(501), cut=(0,), **more)
            for cut in CUTS:
                for _ in range(2):
                    tally.check(await runs.run(key, MAC, noise(501), cut=cut, **more) == whole, (name, cut))
    tally.settle(sessions=len(macs) * 12)


async def made(runs: Runs, alias: str, algorithm: int, size: int, purpose: int, **fixed: int) -> Key:
    """A generated key."""
    own = tags(ALGORITHM=algorithm, KEY_SIZE=size, **fixed)
    await runs.keystore.generateKeyItem(alias, HuksOptions([*own, *tags(PURPOSE=purpose)], b""))
    return Key(alias, tuple(own))


SIGNERS: tuple[tuple[str, int, int, dict[str, int], bool], ...] = (
    ("RSA PKCS1", RSA, 2048, {"PADDING": PKCS1, "DIGEST": SHA256}, True),
    ("RSA PSS", RSA, 2048, {"PADDING": PSS, "DIGEST": SHA256}, False),
    ("ECDSA", ECC, 256, {"DIGEST": SHA256}, False),
    ("DSA", DSA, 1024, {"DIGEST": SHA256}, False),
    ("SM2", SM2, 256, {"DIGEST": DIGEST_SM3}, False),
    ("Ed25519", ED25519, 256, {}, True),
    ("ML-DSA", ML_DSA, 65, {}, False),
)
"""Name, algorithm, size, parameters, and whether a message has one signature only."""


async def test_signatures() -> None:
    """A signature made over one cut verifies over every other; unique signatures are the same."""
    tally = Tally("Segmentation of signatures")
    message = noise(501)
    async with opened() as runs:
        for name, algorithm, size, fixed, unique in SIGNERS:
            key = await made(runs, name, algorithm, size, SIGNATURE, **fixed)
            whole = await runs.run(key, SIGN, message, cut=(0,))
            for cut in CUTS:
                signature = await runs.run(key, SIGN, message, cut=cut)
                tally.check(signature == whole or not unique, (name, cut))
                for value, text, good in (
                    (whole, message, True),
                    (signature, message, True),
                    (signature, message[:-1], False),
                ):
                    verified = await runs.verifies(key, VERIFY, text, value, cut=cut)
                    tally.check(verified == good, (name, cut, good))
    tally.settle(sessions=len(SIGNERS) * len(CUTS) * 4)


async def test_public_key_encryption() -> None:
    """RSA and SM2 collect what they encrypt and decrypt, however it is cut."""
    tally = Tally("Segmentation of public-key encryption")
    plain = noise(100)
    ciphers: list[tuple[str, int, int, dict[str, int]]] = [
        ("RSA PKCS1", RSA, 2048, {"PADDING": PKCS1}),
        ("RSA OAEP", RSA, 2048, {"PADDING": OAEP, "DIGEST": SHA256}),
        ("SM2", SM2, 256, {"DIGEST": DIGEST_SM3}),
    ]
    async with opened() as runs:
        for name, algorithm, size, fixed in ciphers:
            key = await made(runs, name, algorithm, size, CIPHER, **fixed)
            for cut in CUTS:
                sealed = await runs.run(key, ENCRYPT, plain, cut=cut)
                tally.check(await runs.run(key, DECRYPT, sealed, cut=cut) == plain, (name, cut))
                tally.check(await runs.run(key, DECRYPT, sealed, cut=(0,)) == plain, (name, cut))
    tally.settle(sessions=len(ciphers) * len(CUTS) * 2)


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview], ids=["bytes", "bytearray", "memoryview"])
async def test_empty_updates_and_buffers(wrap: Callable[[bytes], object]) -> None:
    """Updates of nothing change nothing, and any bytes-like object serves as a segment."""
    key_params = tags(ALGORITHM=AES, KEY_SIZE=256, BLOCK_MODE=GCM, PADDING=NO_PADDING)
    async with opened() as runs:
        key = await runs.key(AES, 256, noise(32), CIPHER, BLOCK_MODE=GCM, PADDING=NO_PADDING)
        whole = await runs.run(key, ENCRYPT, noise(90), cut=(0,), **AEAD)
        params: list[HuksParam] = [*key_params, *tags(PURPOSE=ENCRYPT, **AEAD)]
        store = runs.keystore
        handle = (await store.initSession(key.alias, HuksOptions(params, b""))).handle
        out = b""
        for piece in (b"", noise(90)[:41], b"", b"", noise(90)[41:], b""):
            out += (await store.updateSession(handle, {"properties": [], "inData": wrap(piece)})).outData
        out += (await store.finishSession(handle, {"properties": [], "inData": wrap(b"")})).outData
        assert out == whole
