"""DSA signatures. The prime p has 512 to 4096 bits; in new keys q has 160 where p has less than 2048, else 256."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from huks_async.crypto.asymmetric import signing
from huks_async.crypto.asymmetric.dsa_encoding import pkcs8_of, spki_of
from huks_async.crypto.caller_warnings import warn_legacy
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.operation import Operation
from huks_async.crypto.spki import load_spki
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg, HuksKeyDigest, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.runtime.randomness import random_bytes

SIZES = range(512, 4097, 8)
ORDER_BITS = (160, 224, 256)
"""Of the group of a key that comes in (FIPS 186-4, section 4.2); OpenSSL makes keys with each."""
_COMMON_SIZES = (1024, 2048, 3072, 4096)
_BLINDING_BYTES = 8

_PREHASHED = {algorithm.name: Prehashed(algorithm) for algorithm in signing.HASHES.values()}


@dataclass(frozen=True, slots=True)
class DsaKey:
    """A DSA key, ready for use."""

    public: dsa.DSAPublicKey
    private: dsa.DSAPrivateKey | None
    width: int
    """Bytes of the group's order, and so of each of the two numbers of a signature."""


def _check_size(size: int) -> None:
    if size not in SIZES:
        raise BusinessError(
            12000003,
            f"HUKS_TAG_KEY_SIZE {size} is no DSA size; accepted: multiples of 8 from 512 to 4096",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_KEY_SIZE,
        )


def _spki(public: dsa.DSAPublicKey) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pkcs8(private: dsa.DSAPrivateKey) -> bytes:
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def generate(algorithm: int, size: int) -> KeyMaterial:
    """Make a new key with parameters of its own. Takes seconds of CPU from 3072 bits on.

    Raises:
        BusinessError: 12000003 for a size that HUKS does not know; 12000001 for sizes other than 1024,
            2048, 3072 and 4096 where the extra `legacy` is not installed.

    """
    _check_size(size)
    if size not in _COMMON_SIZES:
        return _generate_uncommon(algorithm, size)
    private = dsa.generate_private_key(size)
    return KeyMaterial(algorithm, size, _pkcs8(private), _spki(private.public_key()))


def _generate_uncommon(algorithm: int, size: int) -> KeyMaterial:
    """A key in a new group whose primes libcrypto finds; no library makes whole keys of these sizes."""
    from huks_async.crypto.libcrypto.generation import prime, refusals_named
    from huks_async.crypto.libcrypto.search import LEGACY, libcrypto_for

    what = f"generation of a DSA key of {size} bits"
    library = libcrypto_for("DSA", LEGACY, what)
    with refusals_named(what):
        q = prime(library, 160 if size < 2048 else 256)
        p = prime(library, size, 2 * q)
    # Any h will do unless its power is 1 (FIPS 186-4, A.2.1).
    g = next(power for h in range(2, 100) if (power := pow(h, (p - 1) // q, p)) != 1)
    x = secrets.randbelow(q - 1) + 1
    y = _blinded_power(g, x, q, p)
    return KeyMaterial(algorithm, size, pkcs8_of(p, q, g, x), spki_of(p, q, g, y))


def load(material: KeyMaterial) -> DsaKey:
    """Make the key that operations use."""
    private = None
    if material.secret:
        loaded = load_der_private_key(material.secret, None)
        assert isinstance(loaded, dsa.DSAPrivateKey)
        private, public = loaded, loaded.public_key()
    else:
        only = load_der_public_key(material.public)
        assert isinstance(only, dsa.DSAPublicKey)
        public = only
    order = public.parameters().parameter_numbers().q
    width = (order.bit_length() + 7) // 8
    # A signature is a SEQUENCE of two INTEGERs, each perhaps with a zero in front for the sign.
    return DsaKey(public, private, width)


def material_from_parts(size: int, x: bytes, y: bytes, p: bytes, q: bytes, g: bytes) -> KeyMaterial:
    """A key from its big-endian numbers.

    Args:
        size: bits of p.
        x: private value; may be empty: a public key.
        y: public value; may be empty: a private key without its public half.
        p: the field's prime.
        q: the prime order of the group.
        g: the generator.

    Raises:
        BusinessError: 401 for numbers that are no key or do not belong together, 12000003 for a size
            that HUKS does not know.

    """
    _check_size(size)
    prime, order, generator = (int.from_bytes(part, "big") for part in (p, q, g))
    if not (x or y) or prime.bit_length() != size or not _is_group(prime, order, generator):
        raise BusinessError(
            401, f"the DSA parameters p, q, g are no group of {size} bits, or x and y are both absent"
        )
    value = int.from_bytes(x, "big")
    element = int.from_bytes(y, "big")
    if x and not 0 < value < order:
        raise BusinessError(401, "the private DSA value is not between 0 and q")
    computed = _blinded_power(generator, value, order, prime) if x else element
    if y and computed != element:
        raise BusinessError(401, "the public half of the DSA key does not belong to its private half")
    if not 1 < computed < prime or pow(computed, order, prime) != 1:
        raise BusinessError(401, "the public DSA value is not in the group")
    secret = pkcs8_of(prime, order, generator, value) if x else b""
    spki = spki_of(prime, order, generator, computed) if y else b""
    return KeyMaterial(HuksKeyAlg.HUKS_ALG_DSA, size, secret, spki)


def _blinded_power(base: int, exponent: int, order: int, prime: int) -> int:
    """A power of an element of this order, by another exponent each time.

    A random multiple of the order hides the exponent from whoever measures how long the power takes.
    """
    factor = int.from_bytes(random_bytes(_BLINDING_BYTES), "big")
    return pow(base, exponent + order * factor, prime)


def _is_group(p: int, q: int, g: int) -> bool:
    """Whether g generates a group of prime order q modulo the prime p.

    The primes get one Fermat test each: that keeps slips and loops out; who imports a key that was
    built to be weak hurts nobody else.
    """
    return (
        q.bit_length() in ORDER_BITS
        and p & 1 == 1
        and (p - 1) % q == 0
        and 1 < g < p
        and pow(g, q, p) == 1
        and pow(2, p - 1, p) == 1
        and pow(2, q - 1, q) == 1
    )


def material_from_spki(spki: bytes, algorithm: int, size: int) -> KeyMaterial:
    """A public key from its SubjectPublicKeyInfo (DER).

    Raises:
        BusinessError: 401 for other bytes, another algorithm or size, or numbers that are no key;
            12000003 for a size that HUKS does not know.

    """
    _check_size(size)
    try:
        public = load_spki(spki)
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, dsa.DSAPublicKey) or public.key_size != size:
        raise BusinessError(401, f"the key is no SubjectPublicKeyInfo of a DSA key of {size} bits")
    numbers = public.public_numbers()
    group = numbers.parameter_numbers
    y, p, q, g = (_bytes(number) for number in (numbers.y, group.p, group.q, group.g))
    checked = material_from_parts(size, b"", y, p, q, g)
    return KeyMaterial(algorithm, size, b"", checked.public)


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def starter(spec: OperationSpec) -> Starter:
    """Prepare signatures or verifications.

    Raises:
        BusinessError: 401 without a digest, 12000003 for a digest or purpose that DSA does not serve.

    """
    if spec.purpose not in (HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN, HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY):
        raise BusinessError(
            12000003,
            f"a DSA key signs and verifies; got purpose {spec.purpose}",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_PURPOSE,
        )
    algorithm = None
    if spec.digest != HuksKeyDigest.HUKS_DIGEST_NONE:
        algorithm = signing.hash_for(spec.digest, what="DSA")
    warn_legacy("DSA")
    limits = spec.limits
    row = next(common for common in _COMMON_SIZES if spec.size <= common)

    def start_sign(key: DsaKey, _: Mapping[int, bytes]) -> Operation:
        if key.private is None:
            raise BusinessError(401, "the DSA key has no private half, which signing needs")
        return signing.signer(f"dsa-{row}-sign", algorithm, limits, partial(_sign, key.private))

    def start_verify(key: DsaKey, _: Mapping[int, bytes]) -> Operation:
        return signing.verifier(f"dsa-{row}-verify", algorithm, limits, partial(_verify, key))

    return start_sign if spec.purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN else start_verify


def _sign(private: dsa.DSAPrivateKey, value: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    return private.sign(value, _PREHASHED[algorithm.name])


def _verify(key: DsaKey, signature: BytesLike, value: bytes, algorithm: hashes.HashAlgorithm) -> None:
    try:
        key.public.verify(signature, value, _PREHASHED[algorithm.name])
    except InvalidSignature:
        raise signing.wrong_signature(signature, key.width) from None
