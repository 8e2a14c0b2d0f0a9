"""What the frozen store has: its keys, one of each family, and the secrets that open it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from huks_async import FileRootKey, Keystore
from huks_async.access import Lockout, LockoutClock, PinAuthenticator
from tests.keystore.support import (
    AES_CBC,
    AGREE,
    CBC,
    DECRYPT,
    ENCRYPT,
    GCM,
    SIGN,
    UNWRAP,
    VERIFY,
    WRAP,
    A,
    key,
    options,
    params,
)

DERIVE, MAC = 16, 128
SHA256, SM3 = 12, 2
TEXT = b"sixteen bytes ok"
CHALLENGE = bytes(range(32))
BOOT = bytes(range(100, 116))
"""The id of the machine's start at which the store was made."""
MOMENT = 1000.0
"""The keystore's clock then."""
PIN, CLEARED_PIN = "a frozen PIN", "a cleared PIN"
PASSKEY = ec.derive_private_key(int.from_bytes(bytes(range(1, 33))), ec.SECP256R1())
PASSKEY_ID = bytes(range(200, 232))
WRAPPED = "may be wrapped"
WRAP_CALL = options(KEY_WRAP_TYPE=2)
ATTEST_CALL = options(ATTESTATION_CHALLENGE=CHALLENGE)
BY_TOKEN = AES_CBC | {
    "USER_AUTH_TYPE": 4,
    "KEY_AUTH_ACCESS_TYPE": 4,
    "CHALLENGE_TYPE": 2,
    "AUTH_TIMEOUT": 3600,
}

CIPHER, ASYMMETRIC, PAIR = ENCRYPT | DECRYPT, {"PADDING": 3, "DIGEST": SHA256}, SIGN | VERIFY
_BLOCKS = {"BLOCK_MODE": CBC, "PADDING": 0}
_IV = {"IV": bytes(range(16))}
_NONCE = {"NONCE": bytes(range(12)), "ASSOCIATED_DATA": b"frozen"}

# the key, and what its sessions have beside its numbers
KEYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "aes": (AES_CBC, _IV),
    "aes in gcm": (key(A.HUKS_ALG_AES, 128, CIPHER, BLOCK_MODE=GCM, PADDING=0), _NONCE),
    "aes of level 2": (AES_CBC | {"AUTH_STORAGE_LEVEL": 2}, _IV),
    WRAPPED: (AES_CBC | {"IS_ALLOWED_WRAP": True}, _IV),
    "sm4": (key(A.HUKS_ALG_SM4, 128, CIPHER, **_BLOCKS), _IV),
    "des": (key(A.HUKS_ALG_DES, 64, CIPHER, **_BLOCKS), {"IV": bytes(8)}),
    "3des": (key(A.HUKS_ALG_3DES, 192, CIPHER, **_BLOCKS), {"IV": bytes(8)}),
    "rsa": (key(A.HUKS_ALG_RSA, 2048, CIPHER, **ASYMMETRIC), {}),
    "sm2": (key(A.HUKS_ALG_SM2, 256, CIPHER, DIGEST=SM3), {}),
    "rsa that signs": (key(A.HUKS_ALG_RSA, 2048, PAIR, **ASYMMETRIC), {}),
    "ecc": (key(A.HUKS_ALG_ECC, 256, PAIR, DIGEST=SHA256), {}),
    "ecc 521": (key(A.HUKS_ALG_ECC, 521, PAIR, DIGEST=SHA256), {}),
    "dsa": (key(A.HUKS_ALG_DSA, 2048, PAIR, DIGEST=SHA256), {}),
    "ed25519": (key(A.HUKS_ALG_ED25519, 256, PAIR), {}),
    "sm2 that signs": (key(A.HUKS_ALG_SM2, 256, PAIR, DIGEST=SM3), {}),
    "ml-dsa": (key(A.HUKS_ALG_ML_DSA, 44, PAIR), {}),
    "hmac": (key(A.HUKS_ALG_HMAC, 256, MAC, DIGEST=SHA256), {}),
    "sm3": (key(A.HUKS_ALG_SM3, 256, MAC, DIGEST=SM3), {}),
    "cmac": (key(A.HUKS_ALG_CMAC, 128, MAC, **_BLOCKS), {"IV": bytes(8)}),
    "hkdf": (
        key(A.HUKS_ALG_AES, 256, DERIVE, DIGEST=SHA256),
        {"ALGORITHM": A.HUKS_ALG_HKDF, "SALT": b"s", "INFO": b"i", "DERIVE_KEY_SIZE": 32},
    ),
    "ecdh": (key(A.HUKS_ALG_ECC, 256, AGREE), {"ALGORITHM": A.HUKS_ALG_ECDH}),
    "x25519": (key(A.HUKS_ALG_X25519, 256, AGREE), {}),
    "dh": (key(A.HUKS_ALG_DH, 2048, AGREE), {}),
    "ml-kem": (key(A.HUKS_ALG_ML_KEM, 768, WRAP | UNWRAP), {}),
}


def opened(folder: Path, authenticator: Any = None, user_id: int = 100) -> Keystore:
    """The store, as it is for a user."""
    return Keystore.open(
        f"sqlite:///{folder}/keys.db",
        FileRootKey(folder / "root.key"),
        wrapping_key=FileRootKey(folder / "operator.key"),
        authenticator=authenticator,
        token_keys="store",
        user_id=user_id,
        clock=lambda: MOMENT,
        monitor=False,
    )


def pin_authenticator() -> PinAuthenticator:
    """One that takes two guesses, and whose clocks stand still."""
    clock = LockoutClock(boot=BOOT, since_boot=lambda: MOMENT, wall=lambda: MOMENT)
    return PinAuthenticator(lockout=Lockout(free=2, clock=clock))


async def session(keystore: Keystore, alias: str, purpose: int, *parts: bytes, **more: Any) -> bytes:
    """What a session with these parts gives."""
    made, others = KEYS[alias]
    tags = made | others | more | {"PURPOSE": purpose}
    tags.pop("IS_ALLOWED_WRAP", None)
    if "SALT" in tags:
        del tags["KEY_SIZE"]
    opened = await keystore.initSession(alias, options(**tags))
    given = b""
    for part in parts[:-1]:
        given += (await keystore.updateSession(opened.handle, options(part))).outData
    return given + (await keystore.finishSession(opened.handle, options(parts[-1]))).outData


async def public(keystore: Keystore, alias: str) -> bytes:
    """The public half of a key."""
    return (await keystore.exportKeyItem(alias, options())).outData


async def freeze(keystore: Keystore, alias: str) -> dict[str, str]:
    """Use a key, and note what must stay true of it."""
    purpose = KEYS[alias][0]["PURPOSE"]
    if purpose == CIPHER:
        return {"encrypted": (await session(keystore, alias, ENCRYPT, TEXT)).hex()}
    if purpose == PAIR:
        made = await session(keystore, alias, SIGN, TEXT)
        return {"public": (await public(keystore, alias)).hex(), "signature": made.hex()}
    if purpose == WRAP | UNWRAP:
        kem = await keystore.encapsulate(alias, params(ALGORITHM=A.HUKS_ALG_ML_KEM))
        return {"encapsulated": kem.outData.hex(), "shared": kem.sharedSecret.hex()}
    return {"result": (await again(keystore, alias)).hex()}


async def again(keystore: Keystore, alias: str) -> bytes:
    """What a key gives each time: a code, a derived key, a key agreed with itself."""
    purpose = KEYS[alias][0]["PURPOSE"]
    if purpose == AGREE:
        return await session(keystore, alias, AGREE, await public(keystore, alias), b"")
    return await session(keystore, alias, purpose, TEXT if purpose == MAC else b"", b"")


async def check(keystore: Keystore, alias: str, frozen: Mapping[str, str]) -> None:
    """Use a key on what was noted of it."""
    noted = {name: bytes.fromhex(value) for name, value in frozen.items()}
    if "encrypted" in noted:
        sealed, more = noted["encrypted"], {}
        if "NONCE" in KEYS[alias][1]:
            sealed, more = sealed[:-16], {"AE_TAG": sealed[-16:]}
        assert await session(keystore, alias, DECRYPT, sealed, **more) == TEXT
    elif "signature" in noted:
        assert await public(keystore, alias) == noted["public"]
        await session(keystore, alias, VERIFY, TEXT, noted["signature"])
        await session(keystore, alias, VERIFY, TEXT, await session(keystore, alias, SIGN, TEXT))
    elif "shared" in noted:
        kem = params(ALGORITHM=A.HUKS_ALG_ML_KEM)
        assert (await keystore.decapsulate(alias, kem, noted["encapsulated"])).sharedSecret == noted["shared"]
    else:
        assert await again(keystore, alias) == noted["result"]
