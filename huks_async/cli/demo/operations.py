"""The operations of the demo, each with its checks."""

import hashlib
import hmac
import os
import time
from collections.abc import Awaitable, Callable

from huks_async.cli.demo.stage import Stage, digest_of
from huks_async.cli.shell.descriptors import SEGMENT
from huks_async.cli.words.parameters import KINDS, Tags, options
from huks_async.keys.forms.convert import spki_of_export
from huks_async.keys.forms.pem import to_pem
from huks_async.model.enums import (
    HuksCipherMode,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyPurpose,
)

_P = HuksKeyPurpose
_ENCRYPT: Tags = {"PURPOSE": _P.HUKS_KEY_PURPOSE_ENCRYPT}
_DECRYPT: Tags = {"PURPOSE": _P.HUKS_KEY_PURPOSE_DECRYPT}
_SIGN: Tags = {"PURPOSE": _P.HUKS_KEY_PURPOSE_SIGN}
_VERIFY: Tags = {"PURPOSE": _P.HUKS_KEY_PURPOSE_VERIFY}
_AGREE: Tags = {"PURPOSE": _P.HUKS_KEY_PURPOSE_AGREE}
_DERIVE: Tags = {"PURPOSE": _P.HUKS_KEY_PURPOSE_DERIVE}
_SHA256 = HuksKeyDigest.HUKS_DIGEST_SHA256
_TAG = 16


async def encrypt_gcm(stage: Stage) -> None:
    """AES-256-GCM there and back."""
    stage.reporter.title("encrypt and decrypt, AES-256-GCM")
    # the key is imported only so that somebody else can check; a generated one never leaves
    key, nonce = os.urandom(32), os.urandom(12)
    tags = KINDS["aes-256-gcm"]
    await stage.keystore.importKeyItem("gcm", options(key, **tags))
    sealed, opened = stage.folder / "sealed", stage.folder / "opened"
    await stage.through("encrypt", "gcm", tags | _ENCRYPT | {"NONCE": nonce}, stage.file, sealed)
    plain, by = stage.witness.gcm_digest(key, nonce, sealed)
    stage.reporter.check("decrypts to the file", by, plain == stage.digest)
    with sealed.open("r+b") as file:
        file.seek(-_TAG, os.SEEK_END)
        tag = file.read()
        file.seek(-_TAG, os.SEEK_END)
        file.truncate()
    await stage.through("decrypt", "gcm", tags | _DECRYPT | {"NONCE": nonce, "AE_TAG": tag}, sealed, opened)
    stage.reporter.check("same SHA-256 as the file", "hashlib", digest_of(opened) == stage.digest)

    with stage.file.open("rb") as file:
        segment = file.read(SEGMENT)
    other = os.urandom(12)
    output = await stage.once("gcm", tags | _ENCRYPT | {"NONCE": other}, segment)
    changed = bytes([output[0] ^ 1]) + output[1:-_TAG]
    opening = tags | _DECRYPT | {"NONCE": other, "AE_TAG": output[-_TAG:]}
    stage.reporter.check(
        "one changed bit is refused", "the keystore", await stage.refuses("gcm", opening, changed)
    )
    for path in (sealed, opened):
        path.unlink()


async def encrypt_ctr(stage: Stage) -> None:
    """AES-256-CTR there and back."""
    stage.reporter.title("encrypt and decrypt, AES-256-CTR")
    key, iv = os.urandom(32), os.urandom(16)
    tags = KINDS["aes-256-gcm"] | {"BLOCK_MODE": HuksCipherMode.HUKS_MODE_CTR}
    await stage.keystore.importKeyItem("ctr", options(key, **tags))
    sealed, opened = stage.folder / "sealed", stage.folder / "opened"
    await stage.through("encrypt", "ctr", tags | _ENCRYPT | {"IV": iv}, stage.file, sealed)
    plain, by = stage.witness.ctr_digest(key, iv, sealed)
    stage.reporter.check("decrypts to the file", by, plain == stage.digest)
    await stage.through("decrypt", "ctr", tags | _DECRYPT | {"IV": iv}, sealed, opened)
    stage.reporter.check("same SHA-256 as the file", "hashlib", digest_of(opened) == stage.digest)
    for path in (sealed, opened):
        path.unlink()


async def sign_ecdsa(stage: Stage) -> None:
    """ECDSA on P-256."""
    await _sign(stage, "ECDSA P-256", "ecdsa", KINDS["ecdsa-p256"], pss=False)


async def sign_pss(stage: Stage) -> None:
    """RSA-PSS."""
    await _sign(stage, "RSA-PSS 3072", "pss", KINDS["rsa-3072-pss"], pss=True)


async def _sign(stage: Stage, name: str, alias: str, tags: Tags, *, pss: bool) -> None:
    stage.reporter.title(f"sign and verify, {name} with SHA-256")
    await _generate(stage, alias, tags)
    signature = await stage.through("sign", alias, tags | _SIGN, stage.file)
    public, written = stage.folder / f"{alias}.pem", stage.folder / f"{alias}.signature"
    exported = (await stage.keystore.exportKeyItem(alias, options())).outData
    public.write_text(to_pem(exported, "PUBLIC KEY"))
    written.write_bytes(signature)
    good, by = stage.witness.verifies(public, written, stage.file, pss=pss)
    stage.reporter.check("the signature is good", by, good)
    await stage.through("verify", alias, tags | _VERIFY, stage.file, last=signature)
    refused = await stage.refuses(alias, tags | _VERIFY, b"another message", signature)
    stage.reporter.check("refused for another message", "the keystore", refused)


async def agree_ecdh(stage: Stage) -> None:
    """ECDH on P-256."""
    key = _AGREE | {"ALGORITHM": HuksKeyAlg.HUKS_ALG_ECC, "KEY_SIZE": 256, "DIGEST": _SHA256}
    await _agree(stage, "ECDH P-256", "ecdh", key, HuksKeyAlg.HUKS_ALG_ECDH)


async def agree_x25519(stage: Stage) -> None:
    """X25519."""
    key = _AGREE | {"ALGORITHM": HuksKeyAlg.HUKS_ALG_X25519, "KEY_SIZE": 256}
    await _agree(stage, "X25519", "x25519", key, HuksKeyAlg.HUKS_ALG_X25519)


async def _agree(stage: Stage, name: str, alias: str, tags: Tags, algorithm: HuksKeyAlg) -> None:
    stage.reporter.title(f"agree on a secret, {name}")
    await _generate(stage, alias, tags)
    private, public = stage.folder / f"{alias}-peer.pem", stage.folder / f"{alias}.pem"
    peer = stage.witness.make_peer(name, private)
    exported = (await stage.keystore.exportKeyItem(alias, options())).outData
    public.write_text(to_pem(spki_of_export(exported, int(tags["ALGORITHM"])), "PUBLIC KEY"))
    # HUKS takes X25519 keys bare: the last 32 bytes of the other side's SubjectPublicKeyInfo
    given = peer[-32:] if algorithm == HuksKeyAlg.HUKS_ALG_X25519 else peer
    started = time.perf_counter()
    session: Tags = _AGREE | {"ALGORITHM": algorithm, "KEY_SIZE": 256}
    secret = await stage.once(alias, session, given)
    stage.reporter.made("agree", time.perf_counter() - started)
    expected, by = stage.witness.agree(private, public)
    stage.reporter.check("the other side has the same 32 bytes", by, _same(secret, expected, 32))


async def derive_hkdf(stage: Stage) -> None:
    """HKDF, bound to the file by its digest."""
    stage.reporter.title("derive a key, HKDF with SHA-256, bound to the file by its digest")
    base, salt = os.urandom(32), os.urandom(16)
    choices: Tags = {"ALGORITHM": HuksKeyAlg.HUKS_ALG_HKDF, "SALT": salt, "INFO": stage.digest}
    derived = await _derive(stage, "hkdf", base, choices)
    expected, by = stage.witness.hkdf(base, salt, stage.digest, 32)
    stage.reporter.check("the same 32 bytes", by, _same(derived, expected, 32))


async def derive_pbkdf2(stage: Stage) -> None:
    """PBKDF2, salted with the file's digest."""
    iterations = 100_000
    stage.reporter.title(
        f"derive a key, PBKDF2 with HMAC-SHA-256, {iterations:,} rounds, salted with the digest"
    )
    base = os.urandom(32)
    choices: Tags = {"ALGORITHM": HuksKeyAlg.HUKS_ALG_PBKDF2, "SALT": stage.digest, "ITERATION": iterations}
    derived = await _derive(stage, "pbkdf2", base, choices)
    expected, by = stage.witness.pbkdf2(base, stage.digest, iterations, 32)
    stage.reporter.check("the same 32 bytes", by, _same(derived, expected, 32))
    stage.reporter.check("the same 32 bytes", "hashlib", derived == _pbkdf2(base, stage.digest, iterations))


async def _derive(stage: Stage, alias: str, base: bytes, choices: Tags) -> bytes:
    key = _DERIVE | {"ALGORITHM": HuksKeyAlg.HUKS_ALG_AES, "KEY_SIZE": 256, "DIGEST": _SHA256}
    await stage.keystore.importKeyItem(alias, options(base, **key))
    started = time.perf_counter()
    session: Tags = _DERIVE | {"DIGEST": _SHA256, "DERIVE_KEY_SIZE": 32} | choices
    derived = await stage.once(alias, session)
    stage.reporter.made("derive", time.perf_counter() - started)
    return derived


def _pbkdf2(base: bytes, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", base, salt, iterations, 32)


def _same(got: bytes, expected: bytes, length: int) -> bool:
    return len(got) == length and hmac.compare_digest(got, expected)


async def _generate(stage: Stage, alias: str, tags: Tags) -> None:
    started = time.perf_counter()
    await stage.keystore.generateKeyItem(alias, options(**tags))
    stage.reporter.made("generate the key", time.perf_counter() - started)


Operation = Callable[[Stage], Awaitable[None]]
OPERATIONS: tuple[Operation, ...] = (
    encrypt_gcm,
    encrypt_ctr,
    sign_ecdsa,
    sign_pss,
    agree_ecdh,
    agree_x25519,
    derive_hkdf,
    derive_pbkdf2,
)
