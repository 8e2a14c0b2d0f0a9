"""Keys that the library below has read: ours where HUKS has such keys, named where it has not."""

from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    rsa,
    x448,
    x25519,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from huks_async.crypto import spki
from huks_async.crypto.asymmetric import dh, finite_field
from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.forms.der import BITS, SEQUENCE, sequence, shape
from huks_async.keys.forms.fields import parts_of
from huks_async.keys.forms.importing import MIN_RSA_EXPONENT, material_from_import, material_from_parts
from huks_async.keys.forms.layouts import invalid
from huks_async.keys.forms.number_bounds import (
    check_dh_group,
    check_dsa_bits,
    check_identifier,
    check_rsa_numbers,
    check_rsa_size,
    unsupported,
)
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag

_NIST_CURVES = frozenset({"secp224r1", "secp256r1", "secp384r1", "secp521r1"})
_CURVES: dict[int, ec.EllipticCurve] = {
    224: ec.SECP224R1(),
    256: ec.SECP256R1(),
    384: ec.SECP384R1(),
    521: ec.SECP521R1(),
}
_ML_PUBLIC = {
    mldsa.MLDSA44PublicKey: (HuksKeyAlg.HUKS_ALG_ML_DSA, 44),
    mldsa.MLDSA65PublicKey: (HuksKeyAlg.HUKS_ALG_ML_DSA, 65),
    mldsa.MLDSA87PublicKey: (HuksKeyAlg.HUKS_ALG_ML_DSA, 87),
    mlkem.MLKEM768PublicKey: (HuksKeyAlg.HUKS_ALG_ML_KEM, 768),
    mlkem.MLKEM1024PublicKey: (HuksKeyAlg.HUKS_ALG_ML_KEM, 1024),
}
CURVE_WAY_OUT = "make a key on P-224, P-256, P-384, P-521 or SM2"


def public_material(key: Any, half: str = "public") -> KeyMaterial:
    """A public key of the library's, checked like an import.

    Args:
        key: as one of the library's loaders gives it.
        half: what to call it where it is refused.

    Raises:
        BusinessError: 12000001 with its name for a key of an algorithm, curve or group that HUKS does not
            have; 401 for one that an import would refuse.

    """
    algorithm, size, data = _identified(key, half)
    numbers: dict[int, int] = {HuksTag.HUKS_TAG_ALGORITHM: algorithm, HuksTag.HUKS_TAG_KEY_SIZE: size}
    return material_from_import(ParamSet(numbers), data)


def private_material(key: Any) -> KeyMaterial:
    """A private key of the library's with its public half, checked like an import; errors as above."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        private = (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
        both = (numbers.public_numbers.n, numbers.public_numbers.e, *private)
        check_rsa_numbers(*(value.bit_length() for value in both))
    # the public half tells algorithm and size, and passes the checks of an import
    public = public_material(key.public_key(), "private")
    if hasattr(key, "private_bytes_raw"):
        return replace(public, secret=key.private_bytes_raw())
    secret = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    material = replace(public, secret=secret)
    if material.algorithm in (HuksKeyAlg.HUKS_ALG_DH, HuksKeyAlg.HUKS_ALG_DSA):
        # the private value is for the families to judge
        return material_from_parts(parts_of(material))
    if isinstance(key, rsa.RSAPrivateKey):
        exponent = key.public_key().public_numbers().e
        if exponent < MIN_RSA_EXPONENT:
            raise invalid(
                f"an RSA private key with the public exponent {exponent}, where HUKS takes {MIN_RSA_EXPONENT} "
                "and above; make a new key: openssl genrsa"
            )
    return material


def point_material(size: int, point: bytes) -> KeyMaterial:
    """A public EC key of a point of SEC 1, whole or compressed.

    Args:
        size: bits of the curve.
        point: 1 + 2 or 1 + 1 coordinates.

    Raises:
        BusinessError: 401 for a point that is not on the curve.

    """
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[size], point)
    except ValueError:
        raise invalid(f"not a point of the curve P-{size}") from None
    return public_material(key)


def unnamed_curve_material(scalar: bytes, point: bytes) -> KeyMaterial | None:
    """A private key whose curve is not named, by the point that stands beside the scalar.

    Returns:
        None where the point is on none of the curves that HUKS has.

    Raises:
        BusinessError: 401 for a point of another key than the scalar.

    """
    for curve in _CURVES.values():
        try:
            public = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
            private = ec.derive_private_key(int.from_bytes(scalar, "big"), curve)
        except ValueError:
            continue
        if private.public_key() != public:
            raise invalid("the public half of the EC private key is of another key")
        return private_material(private)
    return None


def _identified(key: Any, half: str) -> tuple[int, int, bytes]:
    """Algorithm, size, and the bytes as `KeyMaterial.public` has them."""
    match key:
        case x25519.X25519PublicKey():
            return HuksKeyAlg.HUKS_ALG_X25519, 256, key.public_bytes_raw()
        case ed25519.Ed25519PublicKey():
            return HuksKeyAlg.HUKS_ALG_ED25519, 256, key.public_bytes_raw()
        case ed448.Ed448PublicKey():
            raise unsupported(f"an Ed448 {half} key", "make an Ed25519 key")
        case x448.X448PublicKey():
            raise unsupported(f"an X448 {half} key", "make an X25519 key")
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    match key:
        case rsa.RSAPublicKey():
            check_rsa_size(key.key_size, half)
            return HuksKeyAlg.HUKS_ALG_RSA, key.key_size, der
        case ec.EllipticCurvePublicKey() if key.curve.name in _NIST_CURVES:
            return HuksKeyAlg.HUKS_ALG_ECC, key.key_size, der
        case ec.EllipticCurvePublicKey():
            raise unsupported(f"an EC {half} key on the curve {key.curve.name}", CURVE_WAY_OUT)
        case dsa.DSAPublicKey():
            check_dsa_bits(key.key_size, key.parameters().parameter_numbers().q.bit_length(), half)
            return HuksKeyAlg.HUKS_ALG_DSA, key.key_size, der
        case finite_field.DHPublicKey():
            group = key.parameters().parameter_numbers()
            check_dh_group(group.p, group.g, half)
            return HuksKeyAlg.HUKS_ALG_DH, key.key_size, der
    for kind, (algorithm, size) in _ML_PUBLIC.items():
        if isinstance(key, kind):
            return algorithm, size, der
    name = type(key).__name__.removeprefix("_").removesuffix("PublicKey")
    raise unsupported(f"a {half} key of {name}", "huks algorithms lists those that HUKS has")


def load_spki(der: bytes) -> Any:
    """The library's public key of SubjectPublicKeyInfo or PKCS#1; its errors.

    Raises:
        BusinessError: 12000001 for a group of Diffie-Hellman that HUKS does not have, unloaded.

    """
    if spki.is_finite_field(der):
        check_identifier(sequence(der)[0][1] if shape(sequence(der)) == (SEQUENCE, BITS) else b"", "public")
        if not any(dh.is_of_group(der, size) for size in dh.SIZES):
            raise ValueError("no key of a group of Diffie-Hellman")
    with finite_field.allowed():
        return load_der_public_key(der)
