"""RSA: keys, and the choice between cipher (`rsa_cipher`) and signature (`rsa_sign`)."""

from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from huks_async.crypto.asymmetric import rsa_cipher, rsa_sign
from huks_async.crypto.asymmetric.rsa_factors import factors
from huks_async.crypto.asymmetric.rsa_key import RsaKey
from huks_async.crypto.caller_warnings import warn_legacy
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.key_material import KeyMaterial, wrong_size
from huks_async.crypto.spki import load_spki
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg, HuksKeyPurpose
from huks_async.model.errors import BusinessError

PUBLIC_EXPONENT = 65537
LONGEST_EXPONENT_BITS = 256
"""Of public exponents (FIPS 186-5, section 5.1): a longer one makes each use of the key slow, as its maker pleases."""
SPARE_FACTOR_BITS = 128
"""What a prime may have above half of the modulus. Usual ones have nothing above it; one of thousands of bits takes
many seconds to check."""
SMALLEST_GENERATED = 1024
STRONG = 2048


def has_size(bits: int) -> bool:
    """Whether HUKS has RSA keys with a modulus of so many bits."""
    return bits in (512, 768, 3072, 4096) or (1024 <= bits <= 2048 and bits % 8 == 0)


def _check_size(size: int, code: int) -> None:
    if has_size(size):
        return
    raise wrong_size(
        code,
        f"HUKS_TAG_KEY_SIZE {size} is no RSA size; accepted: 512, 768, multiples of 8 from 1024 to 2048, 3072, 4096",
    )


def _spki(public: rsa.RSAPublicKey) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _material(private: rsa.RSAPrivateKey) -> KeyMaterial:
    secret = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return KeyMaterial(HuksKeyAlg.HUKS_ALG_RSA, private.key_size, secret, _spki(private.public_key()))


def generate(algorithm: int, size: int) -> KeyMaterial:
    """Make a new key with the public exponent 65537.

    Raises:
        BusinessError: 12000003 for a size that HUKS does not know, 12000001 for 512 and 768 where the
            extra `legacy` is not installed, or its library refuses such keys.

    """
    _check_size(size, 12000003)
    if size < SMALLEST_GENERATED:
        return _material(_generate_small(size))
    return _material(rsa.generate_private_key(PUBLIC_EXPONENT, size))


def _generate_small(size: int) -> rsa.RSAPrivateKey:
    """`cryptography` works with keys below 1024 bits and makes none; libcrypto does, from 512 on."""
    from huks_async.crypto.libcrypto.generation import generate_rsa, refusals_named
    from huks_async.crypto.libcrypto.search import LEGACY, libcrypto_for

    what = f"generation of an RSA key of {size} bits"
    with refusals_named(what):
        der = generate_rsa(libcrypto_for("RSA", LEGACY, what), size)
    try:
        private = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    finally:
        der[:] = bytes(len(der))
    assert isinstance(private, rsa.RSAPrivateKey)
    return private


def load(material: KeyMaterial) -> RsaKey:
    """Make the key that operations use."""
    if not material.secret:
        public = load_der_public_key(material.public)
        assert isinstance(public, rsa.RSAPublicKey)
        return RsaKey(public, None)
    # The check of the primes takes 36 to 255 ms and was done when the key came in.
    private = load_der_private_key(material.secret, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(private, rsa.RSAPrivateKey)
    return RsaKey(private.public_key(), private)


def material_from_numbers(n: int, e: int, d: int, size: int | None = None) -> KeyMaterial:
    """A key pair from modulus and exponents, fully checked.

    Takes 0.3 seconds of CPU for 4096 bits, most of it the test of the primes; arguments and result can be sent to another process.

    Args:
        n: modulus.
        e: public exponent.
        d: private exponent.
        size: bits that the modulus must have; None: any size that HUKS knows.

    Raises:
        BusinessError: 401 where the numbers are not an RSA key, or not of this size.

    """
    bits = n.bit_length()
    _check_size(bits, 401)
    if size is not None and bits != size:
        raise BusinessError(401, f"the RSA modulus has {bits} bits, HUKS_TAG_KEY_SIZE says {size}")
    not_a_key = BusinessError(401, "modulus and exponents are not an RSA key: they do not belong together")
    _check_exponent(e)
    if not n & 1 or not 3 <= e < n or not 3 <= d < n:
        raise not_a_key
    try:
        p, q = factors(n, e, d)
        if p.bit_length() > bits // 2 + SPARE_FACTOR_BITS:
            raise not_a_key
        numbers = rsa.RSAPrivateNumbers(
            p=p,
            q=q,
            d=d,
            dmp1=rsa.rsa_crt_dmp1(d, p),
            dmq1=rsa.rsa_crt_dmq1(d, q),
            iqmp=rsa.rsa_crt_iqmp(p, q),
            public_numbers=rsa.RSAPublicNumbers(e, n),
        )
        return _material(numbers.private_key())
    except ValueError:
        raise not_a_key from None


def _check_exponent(e: int) -> None:
    if e.bit_length() > LONGEST_EXPONENT_BITS:
        raise BusinessError(
            401,
            f"the public exponent of the RSA key has {e.bit_length()} bits, accepted {LONGEST_EXPONENT_BITS}: a longer "
            "one makes every use of the key slow",
        )


def material_from_spki(spki: bytes, algorithm: int, size: int) -> KeyMaterial:
    """A public key from its SubjectPublicKeyInfo (DER).

    Raises:
        BusinessError: 401 for other bytes, another algorithm, another size, or numbers that are no key.

    """
    _check_size(size, 401)
    not_one = BusinessError(401, f"the key is no SubjectPublicKeyInfo of an RSA key of {size} bits")
    try:
        public = load_spki(spki)
        if not (
            isinstance(public, rsa.RSAPublicKey) and public.key_size == size and public.public_numbers().n & 1
        ):
            raise not_one
        _check_exponent(public.public_numbers().e)
        # Making the key from its numbers checks the exponent, which loading it does not.
        return KeyMaterial(algorithm, size, b"", _spki(public.public_numbers().public_key()))
    except (ValueError, UnsupportedAlgorithm):
        raise not_one from None


_PREPARE: dict[int, Callable[[OperationSpec], Starter]] = {
    HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT: rsa_cipher.encryption,
    HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT: rsa_cipher.decryption,
    HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN: rsa_sign.signature,
    HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY: rsa_sign.verification,
}


def starter(spec: OperationSpec) -> Starter:
    """Prepare encryptions, decryptions, signatures or verifications.

    Raises:
        BusinessError: for parameters that RSA does not take; see `rsa_cipher` and `rsa_sign`.

    """
    prepare = _PREPARE.get(spec.purpose)
    if prepare is None:
        raise BusinessError(
            12000003,
            f"an RSA key encrypts, decrypts, signs and verifies; got purpose {spec.purpose}",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_PURPOSE,
        )
    if spec.size < STRONG:
        warn_legacy(f"RSA with {spec.size} bits")
    return prepare(spec)
