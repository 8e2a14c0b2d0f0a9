"""The way from a key and parameters to a running operation."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from huks_async.crypto.family import Family, OperationSpec, Starter
from huks_async.crypto.key_material import SYMMETRIC_ALGORITHMS, KeyMaterial
from huks_async.crypto.rules.authorise import check_session
from huks_async.model.enums import AUTHENTICATED_MODES, HuksKeyAlg
from huks_async.model.limits import Limits
from huks_async.model.tags import HuksTag

_A = HuksKeyAlg

# Where each family lives, below this package. A family is imported when a key of it is first used, because
# most services use a few.
_KEY_FAMILY: dict[int, str] = {
    _A.HUKS_ALG_AES: "symmetric.block_modes",
    _A.HUKS_ALG_DES: "symmetric.block_modes",
    _A.HUKS_ALG_3DES: "symmetric.block_modes",
    _A.HUKS_ALG_SM4: "symmetric.block_modes",
    _A.HUKS_ALG_HMAC: "mac_and_derivation.mac",
    _A.HUKS_ALG_SM3: "mac_and_derivation.mac",
    _A.HUKS_ALG_CMAC: "mac_and_derivation.mac",
    _A.HUKS_ALG_RSA: "asymmetric.rsa",
    _A.HUKS_ALG_ECC: "asymmetric.elliptic",
    _A.HUKS_ALG_X25519: "asymmetric.curve25519",
    _A.HUKS_ALG_ED25519: "asymmetric.curve25519",
    _A.HUKS_ALG_DSA: "asymmetric.dsa",
    _A.HUKS_ALG_DH: "asymmetric.dh",
    _A.HUKS_ALG_SM2: "sm2.sm2",
    _A.HUKS_ALG_ML_DSA: "postquantum.mldsa",
    _A.HUKS_ALG_ML_KEM: "postquantum.mlkem",
}
# Sessions of these algorithms run over keys of others: their family is that of the session's algorithm.
_SESSION_FAMILY: dict[int, str] = {
    _A.HUKS_ALG_HMAC: "mac_and_derivation.mac",
    _A.HUKS_ALG_SM3: "mac_and_derivation.mac",
    _A.HUKS_ALG_CMAC: "mac_and_derivation.mac",
    _A.HUKS_ALG_HKDF: "mac_and_derivation.derive",
    _A.HUKS_ALG_PBKDF2: "mac_and_derivation.derive",
}
_families: dict[str, Family] = {}


def _family(name: str) -> Family:
    family = _families.get(name)
    if family is None:
        family = cast("Family", import_module(f"huks_async.crypto.{name}"))
        _families[name] = family
    return family


def generate(algorithm: int, size: int) -> KeyMaterial:
    """Make a new random key. May take hundreds of milliseconds (RSA) or seconds (DSA).

    Does not warn of weak algorithms and sizes, because a worker thread cannot point at the caller.
    """
    family = _family(_KEY_FAMILY[algorithm])
    if algorithm not in SYMMETRIC_ALGORITHMS:
        from huks_async.crypto.openssl_random import stir  # late: half of OpenSSL's names come with it

        stir()
    return family.generate(algorithm, size)


def load(material: KeyMaterial) -> Any:
    """Make the object that operations of this key use; may be kept and shared."""
    return _family(_KEY_FAMILY[material.algorithm]).load(material)


def prepare(
    key: Mapping[int, int],
    material: KeyMaterial,
    session: Mapping[int, int],
    limits: Limits,
    *,
    device: bool = False,
) -> Starter:
    """Let the key authorise a session's number parameters, and prepare its operations.

    Args:
        key: number parameters stored with the key.
        material: the key.
        session: number parameters of the session.
        limits: how much data operations may collect.
        device: refuse what a device with the standard software engine refuses.

    Returns:
        a function from (ready key, byte parameters) to a running operation. It depends on
        nothing else, so it serves every session with the same numbers.

    Raises:
        BusinessError: see `rules.authorise.check_session`.
    """
    usage, _ = check_session(key, session, device=device)
    algorithm = session[HuksTag.HUKS_TAG_ALGORITHM]
    mode = session.get(HuksTag.HUKS_TAG_BLOCK_MODE) if usage.modes else None
    spec = OperationSpec(
        purpose=session[HuksTag.HUKS_TAG_PURPOSE],
        algorithm=algorithm,
        key_algorithm=material.algorithm,
        size=material.size,
        mode=mode,
        padding=session.get(HuksTag.HUKS_TAG_PADDING) if usage.paddings else None,
        digest=session.get(HuksTag.HUKS_TAG_DIGEST) if usage.digests else None,
        numbers=session,
        limits=limits,
        key_numbers=key,
        device=device,
    )
    if mode in AUTHENTICATED_MODES:
        name = "symmetric.aead"
    else:
        name = _SESSION_FAMILY.get(algorithm) or _KEY_FAMILY[material.algorithm]
    return _family(name).starter(spec)
