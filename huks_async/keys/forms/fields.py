"""From canonical key material back to the fields of the header form."""

from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from huks_async.crypto.asymmetric import dh, finite_field
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.sm2 import encoding as sm2_encoding
from huks_async.crypto.spki import load_spki
from huks_async.keys.forms.layouts import (
    LAYOUTS,
    ML_DSA_BYTES,
    ML_KEM_BYTES,
    KeyParts,
    algorithm_name,
    invalid,
)
from huks_async.keys.forms.pkcs8 import ml_seed_pkcs8
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.memory import refuse_out_of_memory

_NOT_HERE = 12000001
_RSA = HuksKeyAlg.HUKS_ALG_RSA
_25519 = frozenset({HuksKeyAlg.HUKS_ALG_X25519, HuksKeyAlg.HUKS_ALG_ED25519})
_ML = {HuksKeyAlg.HUKS_ALG_ML_DSA: ML_DSA_BYTES, HuksKeyAlg.HUKS_ALG_ML_KEM: ML_KEM_BYTES}


def public_fields(algorithm: int, size: int, public: bytes) -> dict[str, bytes]:
    """The public fields of the header form.

    Args:
        algorithm: of the key.
        size: bits, or the number of the parameter set.
        public: as `KeyMaterial.public` has it: SubjectPublicKeyInfo DER, or 32 raw bytes for 25519.

    Raises:
        BusinessError: 401 for bytes that are no public key of this algorithm.

    """
    if algorithm in _25519:
        if len(public) != 32:
            raise invalid(f"a public {algorithm_name(algorithm)} key has 32 raw bytes, got {len(public)}")
        return {"public": public}
    if algorithm == HuksKeyAlg.HUKS_ALG_SM2:
        try:
            point = sm2_encoding.point_from_spki(public)
        except ValueError:
            raise invalid("no SubjectPublicKeyInfo of a point on the SM2 curve") from None
        return {"x": point[:32], "y": point[32:]}
    try:
        if algorithm == HuksKeyAlg.HUKS_ALG_DH and dh.is_of_group(public, size):
            with finite_field.allowed():
                key = load_der_public_key(public)
        else:
            key = load_spki(public)
    except Exception as error:
        refuse_out_of_memory(error, "reading a key")
        # the library refuses in many ways, none of which is ours to pass on
        raise invalid("no SubjectPublicKeyInfo that can be read") from None
    width = (size + 7) // 8
    match key:
        case rsa.RSAPublicKey() if algorithm == _RSA and key.key_size == size:
            numbers = key.public_numbers()
            return {"n": _big(numbers.n, width), "e": _big(numbers.e)}
        case ec.EllipticCurvePublicKey() if algorithm == HuksKeyAlg.HUKS_ALG_ECC and key.key_size == size:
            pair = key.public_numbers()
            return {"x": _big(pair.x, width), "y": _big(pair.y, width)}
        case dsa.DSAPublicKey() if algorithm == HuksKeyAlg.HUKS_ALG_DSA and key.key_size == size:
            values = key.public_numbers()
            group = values.parameter_numbers
            return {"y": _big(values.y), "p": _big(group.p), "q": _big(group.q), "g": _big(group.g)}
        case finite_field.DHPublicKey() if algorithm == HuksKeyAlg.HUKS_ALG_DH and key.key_size == size:
            return {"public": _big(key.public_numbers().y, width)}
        case _ if algorithm in _ML and hasattr(key, "public_bytes_raw"):
            raw: bytes = key.public_bytes_raw()
            if len(raw) == _ML[HuksKeyAlg(algorithm)].get(size, (0, 0))[0]:
                return {"public": raw}
    raise invalid(f"the SubjectPublicKeyInfo is not of a {algorithm_name(algorithm)} key of size {size}")


def parts_of(material: KeyMaterial) -> KeyParts:
    """The fields of a private key or a key pair; an absent public half is empty.

    Raises:
        BusinessError: 401 for material without a private half or without a header form; 12000001
            for an ML key that is kept as its seed where no library that expands it is installed.

    """
    algorithm, size, secret = material.algorithm, material.size, material.secret
    layout = LAYOUTS.get(algorithm)
    if layout is None or not secret:
        raise invalid(f"a {algorithm_name(algorithm)} key without a private half has no header form")
    fields = dict.fromkeys(layout.names, b"")
    if material.public:
        fields.update(public_fields(algorithm, size, material.public))
    width = (size + 7) // 8
    if algorithm in _25519:
        fields["private"] = secret
    elif algorithm == HuksKeyAlg.HUKS_ALG_SM2:
        fields["z"] = secret
    elif algorithm in _ML:
        fields["private"] = _expanded(material)
    else:
        # it was checked when it came in, which takes up to a quarter of a second for RSA
        with finite_field.allowed():
            key = load_der_private_key(secret, None, unsafe_skip_rsa_key_validation=True)
        match key:
            case rsa.RSAPrivateKey():
                fields["d"] = _big(key.private_numbers().d, width)
            case ec.EllipticCurvePrivateKey():
                fields["z"] = _big(key.private_numbers().private_value, width)
            case dsa.DSAPrivateKey():
                group = key.parameters().parameter_numbers()
                fields.update(p=_big(group.p), q=_big(group.q), g=_big(group.g))
                fields["x"] = _big(key.private_numbers().x)
            case finite_field.DHPrivateKey():
                fields["private"] = _big(key.private_numbers().x)
            case _:
                raise invalid(f"the private half is no {algorithm_name(algorithm)} key")
    return KeyParts(algorithm, size, fields)


def check_expansion(seed: KeyMaterial, expanded: bytes) -> None:
    """Compare an expanded ML key with the seed beside it, where a library for expanded keys is installed.

    Raises:
        BusinessError: 401 where they are not of one key, which RFC 9881 and RFC 9935 ask to refuse.

    """
    try:
        computed = _expanded(seed)
    except BusinessError as error:
        if error.code == _NOT_HERE:
            return
        raise
    if computed != expanded:
        raise invalid("PKCS#8: the expanded key and the seed beside it are of two keys")


def _big(number: int, width: int | None = None) -> bytes:
    return number.to_bytes(width or (number.bit_length() + 7) // 8, "big")


def _expanded(material: KeyMaterial) -> bytes:
    wanted = _ML[HuksKeyAlg(material.algorithm)][material.size][1]
    if len(material.secret) == wanted:
        return material.secret
    # a seed: the library below that runs expanded keys computes one
    from huks_async.crypto.libcrypto.binding import LibcryptoError
    from huks_async.crypto.libcrypto.search import libcrypto_for
    from huks_async.crypto.postquantum.parameter_set import EXTRA

    name = f"ML-{'DSA' if material.algorithm == HuksKeyAlg.HUKS_ALG_ML_DSA else 'KEM'}-{material.size}"
    library = libcrypto_for(name, EXTRA)
    der = bytearray(ml_seed_pkcs8(material.algorithm, material.size, material.secret))
    try:
        return library.octets(library.private_key(name, der), "priv", wanted)
    except LibcryptoError:
        raise invalid(f"the private half is no seed of an {name} key") from None
    finally:
        der[:] = bytes(len(der))
