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

from huks_async.crypto.asymmetric import dh, finite_field
from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.forms.fields import parts_of
from huks_async.keys.forms.importing import MIN_RSA_EXPONENT, material_from_import, material_from_parts
from huks_async.keys.forms.layouts import invalid
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag

_NOT_HERE = 12000001
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
# the primes of RFC 2409, 3526 and 7919 begin with 64 ones and then with digits of pi or of e
_PI, _E = 0xC90FDAA2, 0xADF85458
_MODP_GROUPS = {768: 1, 1024: 2, 1536: 5, 2048: 14, 3072: 15, 4096: 16, 6144: 17, 8192: 18}
MAX_RSA_BITS = 4096
_DH_SIZES = (2048, 3072, 4096)
_DH_WAY_OUT = (
    "make one of ffdhe2048, ffdhe3072 or ffdhe4096: openssl genpkey -algorithm DH -pkeyopt group:ffdhe2048"
)
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


def check_rsa_bits(bits: int, half: str = "private") -> None:
    """Refuse a modulus that no RSA key of HUKS has, before anything is computed with it.

    Raises:
        BusinessError: 12000001.

    """
    if bits > MAX_RSA_BITS:
        raise _unsupported(
            f"an RSA {half} key of {bits} bits", "make one of 3072 or 4096: openssl genrsa 4096"
        )


def check_dh_group(prime: int, generator: int, half: str = "private") -> None:
    """Refuse a group that no DH key of HUKS has, before anything is computed with it.

    Raises:
        BusinessError: 12000001 with a name for the group.

    """
    size = prime.bit_length()
    if size in _DH_SIZES and prime == dh.prime_of(size) and generator == dh.GENERATOR:
        return
    lead = prime >> (size - 96) if size > 96 else 0
    name = f"a group of its own, {size} bits"
    if lead >> 32 == (1 << 64) - 1 and lead & 0xFFFFFFFF == _PI and size in _MODP_GROUPS:
        java = ", Java's default" if size == 2048 else ""
        name = f"MODP group {_MODP_GROUPS[size]} (RFC 3526{java})"
    elif lead >> 32 == (1 << 64) - 1 and lead & 0xFFFFFFFF == _E:
        name = f"ffdhe{size} (RFC 7919)"
    raise _unsupported(f"a DH {half} key of {name}", _DH_WAY_OUT)


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
            raise _unsupported(f"an Ed448 {half} key", "make an Ed25519 key")
        case x448.X448PublicKey():
            raise _unsupported(f"an X448 {half} key", "make an X25519 key")
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    match key:
        case rsa.RSAPublicKey():
            check_rsa_bits(key.key_size, half)
            return HuksKeyAlg.HUKS_ALG_RSA, key.key_size, der
        case ec.EllipticCurvePublicKey() if key.curve.name in _NIST_CURVES:
            return HuksKeyAlg.HUKS_ALG_ECC, key.key_size, der
        case ec.EllipticCurvePublicKey():
            raise _unsupported(f"an EC {half} key on the curve {key.curve.name}", CURVE_WAY_OUT)
        case dsa.DSAPublicKey():
            _check_dsa(key, half)
            return HuksKeyAlg.HUKS_ALG_DSA, key.key_size, der
        case finite_field.DHPublicKey():
            group = key.parameters().parameter_numbers()
            check_dh_group(group.p, group.g, half)
            return HuksKeyAlg.HUKS_ALG_DH, key.key_size, der
    for kind, (algorithm, size) in _ML_PUBLIC.items():
        if isinstance(key, kind):
            return algorithm, size, der
    name = type(key).__name__.removeprefix("_").removesuffix("PublicKey")
    raise _unsupported(f"a {half} key of {name}", "huks algorithms lists those that HUKS has")


def _check_dsa(key: dsa.DSAPublicKey, half: str) -> None:
    size, order = key.key_size, key.parameters().parameter_numbers().q.bit_length()
    wanted = 160 if size < 2048 else 256
    if size % 8 or not 512 <= size <= 4096 or order != wanted:
        raise _unsupported(
            f"a DSA {half} key of {size} bits with a subgroup of {order} bits",
            "HUKS has 512 to 4096 bits in steps of 8, with subgroups of 160 bits below 2048 and of 256 from there",
        )


def _unsupported(what: str, way_out: str) -> BusinessError:
    return BusinessError(_NOT_HERE, f"{what}, which HUKS does not have; {way_out}")


def load_spki(der: bytes) -> Any:
    """The library's public key of SubjectPublicKeyInfo or PKCS#1; its errors."""
    with finite_field.allowed():
        return load_der_public_key(der)
