"""Converters between the forms of a key: header form, PEM, PKCS#8, SubjectPublicKeyInfo, JWK, raw.

All of them work on bytes that the caller already holds; none reaches into a keystore, so none can
take a private key out of one. Every reader gives `KeyMaterial`, checked like an import; every writer
takes it.
"""

import base64
import binascii
import re
from dataclasses import replace

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, mldsa, mlkem, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from huks_async.crypto.asymmetric import finite_field
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.sm2 import encoding as sm2_encoding
from huks_async.keys.forms import pem
from huks_async.keys.forms.der import Pkcs8, ml_pkcs8, ml_seed_pkcs8, read_ec_private_key, read_pkcs8
from huks_async.keys.forms.fields import parts_of
from huks_async.keys.forms.importing import material_from_import, material_from_parts
from huks_async.keys.forms.jwk import from_jwk, to_jwk
from huks_async.keys.forms.layouts import KeyParts, algorithm_name, invalid, pack, unpack
from huks_async.model.enums import HuksImportKeyType, HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, ParamSet
from huks_async.model.tags import HuksTag

_NOT_HERE = 12000001
_PRIVATE = HuksImportKeyType.HUKS_KEY_TYPE_PRIVATE_KEY
_PAIR = HuksImportKeyType.HUKS_KEY_TYPE_KEY_PAIR
_RAW_PRIVATE: dict[int, type[x25519.X25519PrivateKey] | type[ed25519.Ed25519PrivateKey]] = {
    HuksKeyAlg.HUKS_ALG_X25519: x25519.X25519PrivateKey,
    HuksKeyAlg.HUKS_ALG_ED25519: ed25519.Ed25519PrivateKey,
}
_RAW_PUBLIC: dict[int, type[x25519.X25519PublicKey] | type[ed25519.Ed25519PublicKey]] = {
    HuksKeyAlg.HUKS_ALG_X25519: x25519.X25519PublicKey,
    HuksKeyAlg.HUKS_ALG_ED25519: ed25519.Ed25519PublicKey,
}
_ML_PUBLIC = {
    mldsa.MLDSA44PublicKey: (HuksKeyAlg.HUKS_ALG_ML_DSA, 44),
    mldsa.MLDSA65PublicKey: (HuksKeyAlg.HUKS_ALG_ML_DSA, 65),
    mldsa.MLDSA87PublicKey: (HuksKeyAlg.HUKS_ALG_ML_DSA, 87),
    mlkem.MLKEM768PublicKey: (HuksKeyAlg.HUKS_ALG_ML_KEM, 768),
    mlkem.MLKEM1024PublicKey: (HuksKeyAlg.HUKS_ALG_ML_KEM, 1024),
}
_SEED_BYTES: dict[int, tuple[int]] = {HuksKeyAlg.HUKS_ALG_ML_DSA: (32,), HuksKeyAlg.HUKS_ALG_ML_KEM: (64,)}
_NIST_CURVES = frozenset({"secp224r1", "secp256r1", "secp384r1", "secp521r1"})
# no repetition overlaps with another, so that no text takes longer than its length
_PEM = re.compile(rb"-----BEGIN (?P<label>[A-Z0-9 ]+)-----(?P<body>[^-]*)-----END (?P=label)-----")


def to_layout(material: KeyMaterial) -> bytes:
    """The header form of a private key or key pair, `inData` of an import of that type.

    Raises:
        BusinessError: 401 for a key without private half or header form; 12000001 for an ML key
            that is kept as its seed where no library that expands it is installed.

    """
    return pack(parts_of(material))


def from_layout(blob: BytesLike) -> KeyMaterial:
    """Read the header form; a blob without its public half is read as a private key.

    Raises:
        BusinessError: 401 for anything that an import would refuse.

    """
    parts = unpack(blob)
    half = parts.get("public", parts.get("y", b""))
    whole = half if "n" not in parts else parts["e"]
    return material_from_parts(parts, _PAIR if whole else _PRIVATE)


def to_raw(material: KeyMaterial, *, private: bool = False) -> bytes:
    """The raw bytes of a symmetric key (`private=True`) or of half a 25519 key.

    Raises:
        BusinessError: 12000001 for an algorithm without a raw form, 401 for a half that is absent
            or a symmetric key that was not asked for as private.

    """
    if not material.is_symmetric and material.algorithm not in _RAW_PUBLIC:
        raise _no_form(material.algorithm, "raw form")
    wanted = material.secret if private else material.public
    if not wanted:
        raise invalid(f"the key has no {'private' if private else 'public'} half to give as raw bytes")
    return wanted


def from_raw(algorithm: int, size: int, data: bytes, *, private: bool = False) -> KeyMaterial:
    """A symmetric key, or half a 25519 key, of its raw bytes.

    Raises:
        BusinessError: 401 for a wrong length, 12000003 for a size that the algorithm does not have.

    """
    numbers: dict[int, int] = {HuksTag.HUKS_TAG_ALGORITHM: algorithm, HuksTag.HUKS_TAG_KEY_SIZE: size}
    if private and algorithm in _RAW_PUBLIC:
        numbers[HuksTag.HUKS_TAG_IMPORT_KEY_TYPE] = _PRIVATE
    return material_from_import(ParamSet(numbers), data)


def to_spki(material: KeyMaterial) -> bytes:
    """SubjectPublicKeyInfo DER of the public half.

    Raises:
        BusinessError: 401 where there is none.

    """
    if not material.public:
        raise invalid("the key has no public half")
    if material.algorithm in _RAW_PUBLIC:
        public = _RAW_PUBLIC[material.algorithm].from_public_bytes(material.public)
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return material.public


def spki_of_export(exported: bytes, algorithm: int) -> bytes:
    """SubjectPublicKeyInfo DER of what `exportKeyItem` gives, which is bare for the 25519 curves."""
    return to_spki(KeyMaterial(algorithm, 0, public=exported))


def from_spki(der: bytes) -> KeyMaterial:
    """Read SubjectPublicKeyInfo DER of any algorithm.

    Raises:
        BusinessError: 401 for bytes that are none, 12000001 for an algorithm that HUKS does not have.

    """
    algorithm, size, data = _identify_public(bytes(der))
    numbers: dict[int, int] = {HuksTag.HUKS_TAG_ALGORITHM: algorithm, HuksTag.HUKS_TAG_KEY_SIZE: size}
    return material_from_import(ParamSet(numbers), data)


def to_pkcs8(material: KeyMaterial) -> bytes:
    """PKCS#8 DER, not encrypted, of the private half.

    Expanded ML keys give the `expandedKey` choice of RFC 9881; kept seeds give `seed`.

    Raises:
        BusinessError: 401 where there is no private half, 12000001 for a symmetric key.

    """
    algorithm, secret = material.algorithm, material.secret
    if material.is_symmetric:
        raise _no_form(algorithm, "PKCS#8 form")
    if not secret:
        raise invalid("the key has no private half")
    if algorithm == HuksKeyAlg.HUKS_ALG_SM2:
        point = sm2_encoding.point_from_spki(material.public) if material.public else None
        return bytes(sm2_encoding.pkcs8(secret, point))
    if algorithm in _RAW_PUBLIC:
        raw = _RAW_PRIVATE[algorithm].from_private_bytes(secret)
        return raw.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    if algorithm in (HuksKeyAlg.HUKS_ALG_ML_DSA, HuksKeyAlg.HUKS_ALG_ML_KEM):
        if len(secret) not in _SEED_BYTES[algorithm]:
            return ml_pkcs8(algorithm, material.size, secret)
        return ml_seed_pkcs8(algorithm, material.size, secret)
    return secret


def from_pkcs8(der: bytes, password: bytes | None = None) -> KeyMaterial:
    """Read PKCS#8 DER, or the older forms `RSA PRIVATE KEY`, `EC PRIVATE KEY`, `DSA PRIVATE KEY`.

    Args:
        der: the key.
        password: of an encrypted key; SM2 and ML keys are read without encryption only.

    Raises:
        BusinessError: 401 for bytes that are none, a wrong password, or a key that an import would
            refuse; 12000001 for an algorithm that HUKS does not have.

    """
    data = bytes(der)
    own = read_pkcs8(data) or read_ec_private_key(data)
    if own is not None and len(own.secret) not in _SEED_BYTES.get(own.algorithm, ()):
        return _from_own_pkcs8(own)
    if own is not None:
        data = ml_seed_pkcs8(own.algorithm, own.size, own.secret)
    try:
        with finite_field.allowed():
            key = load_der_private_key(data, password)
    except UnsupportedAlgorithm:
        raise BusinessError(
            _NOT_HERE, "PKCS#8: a key of an algorithm or curve that HUKS does not have"
        ) from None
    except TypeError:
        needed = "needs a password" if password is None else "is not encrypted, leave the password out"
        raise invalid(f"the private key {needed}") from None
    except Exception as error:
        # the library's words may quote what it read
        raise invalid(f"no private key in PKCS#8 that can be read ({type(error).__name__})") from None
    # the public half tells algorithm and size, and passes the checks of an import
    public = from_spki(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    if hasattr(key, "private_bytes_raw"):
        return replace(public, secret=key.private_bytes_raw())
    material = replace(public, secret=key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    if material.algorithm in (HuksKeyAlg.HUKS_ALG_DH, HuksKeyAlg.HUKS_ALG_DSA):
        # the private value is for the families to judge
        return material_from_parts(parts_of(material))
    return material


def to_pem(material: KeyMaterial, *, private: bool = False) -> str:
    """PEM: `PRIVATE KEY` (PKCS#8, not encrypted) when asked for, else `PUBLIC KEY`."""
    der, label = (to_pkcs8(material), "PRIVATE KEY") if private else (to_spki(material), "PUBLIC KEY")
    return pem.to_pem(der, label)


def from_pem(text: str | bytes, password: bytes | None = None) -> KeyMaterial:
    """Read the first key of a PEM text, public or private.

    Raises:
        BusinessError: 401 for a text without such a key, and as `from_pkcs8` and `from_spki`.

    """
    data = text.encode("utf-8", "replace") if isinstance(text, str) else bytes(text)
    for found in _PEM.finditer(data):
        label = found["label"].decode()
        if label not in ("PUBLIC KEY", "PRIVATE KEY") and not label.endswith(" PRIVATE KEY"):
            continue
        try:
            der = base64.b64decode(b"".join(found["body"].split()), validate=True)
        except binascii.Error:
            raise invalid(f"the body of the PEM {label} is no base64") from None
        return from_spki(der) if label == "PUBLIC KEY" else from_pkcs8(der, password)
    hint = (
        "; this one is encrypted in the old way, convert it: openssl pkcs8 -topk8"
        if b"DEK-Info" in data
        else ""
    )
    raise invalid(f"no PUBLIC KEY or PRIVATE KEY in the PEM text{hint}")


def _from_own_pkcs8(key: Pkcs8) -> KeyMaterial:
    if key.algorithm == HuksKeyAlg.HUKS_ALG_SM2:
        x, y = key.point[1:33], key.point[33:]
        parts = KeyParts(key.algorithm, 256, {"x": x, "y": y, "z": key.secret})
        return material_from_parts(parts, _PAIR if x else _PRIVATE)
    parts = KeyParts(key.algorithm, key.size, {"public": b"", "private": key.secret})
    return material_from_parts(parts, _PRIVATE)


def _identify_public(der: bytes) -> tuple[int, int, bytes]:
    # algorithm, size, and the bytes as KeyMaterial.public has them
    try:
        sm2_encoding.point_from_spki(der)
    except ValueError:
        pass
    else:
        return HuksKeyAlg.HUKS_ALG_SM2, 256, der
    try:
        with finite_field.allowed():
            key = load_der_public_key(der)
    except UnsupportedAlgorithm:
        raise BusinessError(
            _NOT_HERE, "a public key of an algorithm or curve that HUKS does not have"
        ) from None
    except Exception as error:
        raise invalid(f"no SubjectPublicKeyInfo that can be read ({type(error).__name__})") from None
    match key:
        case rsa.RSAPublicKey():
            return HuksKeyAlg.HUKS_ALG_RSA, key.key_size, der
        case ec.EllipticCurvePublicKey() if key.curve.name in _NIST_CURVES:
            return HuksKeyAlg.HUKS_ALG_ECC, key.key_size, der
        case dsa.DSAPublicKey():
            return HuksKeyAlg.HUKS_ALG_DSA, key.key_size, der
        case finite_field.DHPublicKey():
            return HuksKeyAlg.HUKS_ALG_DH, key.key_size, der
        case x25519.X25519PublicKey():
            return HuksKeyAlg.HUKS_ALG_X25519, 256, key.public_bytes_raw()
        case ed25519.Ed25519PublicKey():
            return HuksKeyAlg.HUKS_ALG_ED25519, 256, key.public_bytes_raw()
    for kind, (algorithm, size) in _ML_PUBLIC.items():
        if isinstance(key, kind):
            return algorithm, size, der
    raise BusinessError(_NOT_HERE, "a public key of an algorithm or curve that HUKS does not have")


def _no_form(algorithm: int, form: str) -> BusinessError:
    return BusinessError(_NOT_HERE, f"{algorithm_name(algorithm)} keys have no {form}")


__all__ = [
    "from_jwk",
    "from_layout",
    "from_pem",
    "from_pkcs8",
    "from_raw",
    "from_spki",
    "spki_of_export",
    "to_jwk",
    "to_layout",
    "to_pem",
    "to_pkcs8",
    "to_raw",
    "to_spki",
]
