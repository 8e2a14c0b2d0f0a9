"""JSON Web Keys (RFC 7517, 7518, 8037): RSA, EC, OKP and oct.

Only registered forms: P-224, SM2, DSA, DH and the ML families have none here.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)

from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.forms.fields import parts_of, public_fields
from huks_async.keys.forms.identify import THREE_PRIMES, identify_members
from huks_async.keys.forms.importing import material_from_import, material_from_parts
from huks_async.keys.forms.layouts import KeyParts, algorithm_name, invalid
from huks_async.keys.forms.number_bounds import check_rsa_size
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag

_NOT_HERE = 12000001


_RSA, _ECC = HuksKeyAlg.HUKS_ALG_RSA, HuksKeyAlg.HUKS_ALG_ECC
_CURVES = {256: "P-256", 384: "P-384", 521: "P-521"}
_OKP: dict[int, str] = {HuksKeyAlg.HUKS_ALG_X25519: "X25519", HuksKeyAlg.HUKS_ALG_ED25519: "Ed25519"}
_AES_BYTES = (16, 24, 32)
_MAX_MEMBER = 2048
_FACTORS = frozenset({"p", "q", "dp", "dq", "qi"})


def to_jwk(material: KeyMaterial, *, private: bool = False) -> dict[str, str]:
    """The key as a JWK; its secret members only when asked for.

    Raises:
        BusinessError: 12000001 for an algorithm or curve without a registered JWK, 401 for a half
            that is absent, or a symmetric key that was not asked for as private.

    """
    algorithm, size = material.algorithm, material.size
    if private and not material.secret:
        raise invalid("the key has no private half")
    if material.is_symmetric:
        if not private:
            raise invalid("a symmetric key is a secret: ask for it with private=True")
        # without it, whoever reads the key takes it for one that encrypts
        use = {"use": "sig"} if algorithm == HuksKeyAlg.HUKS_ALG_HMAC else {}
        return {"kty": "oct", "k": _text(material.secret)} | use
    if not (algorithm == _RSA or algorithm in _OKP or (algorithm == _ECC and size in _CURVES)):
        raise BusinessError(_NOT_HERE, f"{algorithm_name(algorithm)} {size} has no registered JWK")
    if not material.public:
        raise invalid("the key has no public half, which every JWK of its kind shows")
    fields = public_fields(algorithm, size, material.public)
    if algorithm == _RSA:
        jwk = {"kty": "RSA", "n": _text(fields["n"]), "e": _text(fields["e"])}
        return jwk | _rsa_secrets(material) if private else jwk
    if algorithm == _ECC:
        jwk = {"kty": "EC", "crv": _CURVES[size], "x": _text(fields["x"]), "y": _text(fields["y"])}
        return jwk | {"d": _text(parts_of(material)["z"])} if private else jwk
    jwk = {"kty": "OKP", "crv": _OKP[algorithm], "x": _text(material.public)}
    return jwk | {"d": _text(material.secret)} if private else jwk


def from_jwk(jwk: str | bytes | Mapping[str, Any], *, algorithm: int | None = None) -> KeyMaterial:
    """Read a JWK, public or private.

    Args:
        jwk: the object, or its JSON text.
        algorithm: what an `oct` key is for, whatever its members say. Without it, HMAC where `alg`, `use` or `key_ops`
            says so, else AES.

    Raises:
        BusinessError: 401 for what is no JWK or what an import would refuse, 12000001 for a key
            type, a curve or a size of RSA that HUKS does not have.

    """
    members = _members(jwk)
    kind = members.get("kty")
    if "oth" in members:
        raise invalid(f"{THREE_PRIMES} (JWK)")
    if kind == "oct":
        return _from_oct(members, algorithm)
    if kind == "RSA":
        return _from_rsa(members)
    curve = members.get("crv")
    if kind == "EC":
        return _from_ec(members, curve)
    if kind == "OKP":
        return _from_okp(members, curve)
    if "kty" not in members:
        raise invalid(str(identify_members(members)))
    raise BusinessError(_NOT_HERE, f"JWK: 'kty' must be RSA, EC, OKP or oct, got {_shown(kind)}")


def _from_oct(members: Mapping[str, Any], algorithm: int | None) -> KeyMaterial:
    secret = _octets(members, "k")
    if algorithm is None:
        algorithm = HuksKeyAlg.HUKS_ALG_HMAC if _signs(members) else HuksKeyAlg.HUKS_ALG_AES
        if algorithm == HuksKeyAlg.HUKS_ALG_AES and len(secret) not in _AES_BYTES:
            raise invalid(
                f"a JWK of {len(secret)} secret bytes, which no key of AES has, and nothing in it says that it is one of "
                "HMAC (alg, use, key_ops); name its --algorithm"
            )
    return material_from_import(_numbers(algorithm, 8 * len(secret)), secret)


def _signs(members: Mapping[str, Any]) -> bool:
    """Whether an `oct` key is one of HMAC, by the first of `alg`, `use` and `key_ops` that it has (RFC 7517, 4)."""
    alg, use, operations = (members.get(name) for name in ("alg", "use", "key_ops"))
    if isinstance(alg, str):
        return alg.startswith("HS")  # RFC 7518, 3.1, and HS1 of WebCrypto
    if isinstance(use, str):
        return use == "sig"
    return isinstance(operations, list) and ("sign" in operations or "verify" in operations)


def _from_rsa(members: Mapping[str, Any]) -> KeyMaterial:
    # some writers put zeros before a number
    n, e = _octets(members, "n").lstrip(b"\0"), _octets(members, "e").lstrip(b"\0")
    modulus, exponent = int.from_bytes(n, "big"), int.from_bytes(e, "big")
    try:
        public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        raise invalid("JWK: the numbers are no RSA public key") from None
    check_rsa_size(public.key_size, _half(members))
    if "d" in members:
        parts = {"n": n, "e": e, "d": _octets(members, "d").lstrip(b"\0")}
        _check_factors(members, modulus, int.from_bytes(parts["d"], "big"))
        return material_from_parts(KeyParts(_RSA, public.key_size, parts))
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return material_from_import(_numbers(_RSA, public.key_size), spki)


def _check_factors(members: Mapping[str, Any], n: int, d: int) -> None:
    """Hold the numbers that a private key of RSA may have beside n and d to these; RFC 7518 has all of them or none."""
    if _FACTORS.isdisjoint(members):
        return
    p, q, dp, dq, qi = (
        int.from_bytes(_octets(members, name), "big") for name in ("p", "q", "dp", "dq", "qi")
    )
    if min(p, q) < 2 or p * q != n or (dp, dq) != (d % (p - 1), d % (q - 1)) or qi >= p or q * qi % p != 1:
        raise invalid("JWK: p, q, dp, dq and qi are not those of n and d (RFC 7518, 6.3.2)")


def _from_ec(members: Mapping[str, Any], curve: object) -> KeyMaterial:
    from huks_async.crypto.asymmetric import elliptic

    size = next((bits for bits, name in _CURVES.items() if name == curve), None)
    if size is None:
        raise BusinessError(
            _NOT_HERE,
            f"an EC {_half(members)} key (JWK) on the curve {_shown(curve)}, which HUKS does not have; "
            f"it takes {', '.join(_CURVES.values())}",
        )
    x, y = _octets(members, "x"), _octets(members, "y")
    if "d" in members:
        numbers = {"x": x, "y": y, "z": _octets(members, "d")}
        width = (size + 7) // 8
        # as of RSA: writers put zeros before a number, or leave out those that fill it up
        parts = {name: value.lstrip(b"\0").rjust(width, b"\0") for name, value in numbers.items()}
        return material_from_parts(KeyParts(_ECC, size, parts))
    return elliptic.material_from_parts(size, x, y, b"")


def _from_okp(members: Mapping[str, Any], curve: object) -> KeyMaterial:
    algorithm = next((one for one, name in _OKP.items() if name == curve), None)
    if algorithm is None:
        raise BusinessError(
            _NOT_HERE,
            f"a {_half(members)} key (JWK) of {_shown(curve)}, which HUKS does not have; it takes {', '.join(_OKP.values())}",
        )
    x = _octets(members, "x")
    if "d" in members:
        parts = {"public": x, "private": _octets(members, "d")}
        return material_from_parts(KeyParts(algorithm, 256, parts))
    return material_from_import(_numbers(algorithm, 256), x)


def _rsa_secrets(material: KeyMaterial) -> dict[str, str]:
    key = load_der_private_key(material.secret, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise invalid("the private half is no RSA key")
    numbers = key.private_numbers()
    members = {"p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    texts = {
        name: _text(number.to_bytes((number.bit_length() + 7) // 8, "big"))
        for name, number in members.items()
    }
    return {"d": _text(parts_of(material)["d"])} | texts


def _members(jwk: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(jwk, Mapping):
        try:
            jwk = json.loads(jwk)
        except (ValueError, TypeError, RecursionError):
            raise invalid("JWK: no JSON object") from None
        if not isinstance(jwk, Mapping):
            raise invalid("JWK: no JSON object")
    return _one_of_set(jwk) if isinstance(jwk.get("keys"), list) else jwk


def _one_of_set(jwks: Mapping[str, Any]) -> Mapping[str, Any]:
    """The key of a JWK set (RFC 7517, 5) that holds one."""
    keys = jwks["keys"]
    if len(keys) != 1 or not isinstance(keys[0], Mapping):
        raise invalid(
            f"the JWK set holds {len(keys)} keys; keep the one that is meant, a JSON object with kty, "
            "in a file of its own"
        )
    return keys[0]


def _half(members: Mapping[str, Any]) -> str:
    return "private" if "d" in members else "public"


def _shown(value: object) -> str:
    return repr(value[:40]) if isinstance(value, str) else "nothing that is a text"


def _octets(members: Mapping[str, Any], name: str) -> bytes:
    text = members.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= _MAX_MEMBER:
        raise invalid(f"JWK: member {name!r} must be a base64url text of at most {_MAX_MEMBER} characters")
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"JWK: member {name!r} is no base64url text") from None
    if not value:
        raise invalid(f"JWK: member {name!r} is empty")
    # the library also takes the other alphabet's + and /, and bits at the end that belong to no byte
    if _text(value) != text.rstrip("="):
        raise invalid(f"JWK: member {name!r} is no base64url text")
    return value


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _numbers(algorithm: int, size: int) -> ParamSet:
    return ParamSet({HuksTag.HUKS_TAG_ALGORITHM: algorithm, HuksTag.HUKS_TAG_KEY_SIZE: size})
