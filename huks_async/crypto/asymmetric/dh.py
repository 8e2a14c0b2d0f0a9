"""Diffie-Hellman in the finite-field groups of RFC 7919 (ffdhe2048, ffdhe3072, ffdhe4096)."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
)

from huks_async.crypto.asymmetric import finite_field
from huks_async.crypto.asymmetric.agreement import Agreement, load_peer, wrong_peer
from huks_async.crypto.asymmetric.finite_field import (
    DHParameterNumbers,
    DHPrivateKey,
    DHPublicKey,
    DHPublicNumbers,
)
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.operation import Operation
from huks_async.crypto.spki import PKCS3_DH, X9_42_DH
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.tags import HuksTag

GENERATOR = 2

_E_BITS = 4096
_OFFSETS = {2048: 560316, 3072: 2625351, 4096: 5736041}
"""The X of RFC 7919, appendix A, which makes the number of each size a safe prime."""
SIZES = tuple(_OFFSETS)
"""Bits of the groups that there are."""

# At these sizes each of the headers of nested sequences takes 4 bytes, so what they hold has fixed places.
_HEADER = 4


@cache
def _e_scaled() -> int:
    """Euler's number times 2**_E_BITS, rounded down."""
    spare = 64
    term = total = 1 << (_E_BITS + spare)
    divisor = 1
    while term:
        term //= divisor
        total += term
        divisor += 1
    return total >> spare


@cache
def prime_of(size: int) -> int:
    """The prime p of the group of `size` bits, by the formula of RFC 7919, appendix A.

    p = 2^b - 2^(b-64) + (floor(2^(b-130) * e) + X) * 2^64 - 1

    Raises:
        BusinessError: 12000003 for a size without a group.

    """
    if size not in _OFFSETS:
        raise BusinessError(
            12000003,
            f"HUKS_TAG_KEY_SIZE {size} is no DH size; accepted: 2048, 3072, 4096",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_KEY_SIZE,
        )
    fraction = _e_scaled() >> (_E_BITS - (size - 130))
    return (1 << size) - (1 << (size - 64)) + ((fraction + _OFFSETS[size]) << 64) - 1


@dataclass(frozen=True, slots=True)
class DhKey:
    """A DH key, ready for use. An agreement needs its private half alone."""

    size: int
    private: DHPrivateKey | None


def generate(algorithm: int, size: int) -> KeyMaterial:
    """Make a new key in the group of `size` bits.

    Raises:
        BusinessError: 12000003 for a size without a group.

    """
    group = DHParameterNumbers(prime_of(size), GENERATOR)
    with finite_field.allowed():
        private = group.parameters().generate_private_key()
    element = private.public_key().public_numbers().y
    return KeyMaterial(algorithm, size, _pkcs8(private), _spki(size, element))


def load(material: KeyMaterial) -> DhKey:
    """Make the key that operations use."""
    if not material.secret:
        return DhKey(material.size, None)
    with finite_field.allowed():
        private = load_der_private_key(material.secret, None)
    assert isinstance(private, DHPrivateKey)
    return DhKey(material.size, private)


def material_from_parts(size: int, public: bytes, private: bytes) -> KeyMaterial:
    """A key from its big-endian numbers; the group follows from the size.

    Args:
        size: bits of the group.
        public: may be empty: a private key without its public half.
        private: may be empty: a public key.

    Raises:
        BusinessError: 401 for numbers outside the group or halves that do not belong together.

    """
    p = _import_prime(size)
    element, exponent = int.from_bytes(public, "big"), int.from_bytes(private, "big")
    if not (public or private) or (private and not 0 < exponent < p - 1):
        raise BusinessError(401, f"the private DH value is not between 0 and p-1 of the {size}-bit group")
    computed, secret = element, b""
    if private:
        try:
            with finite_field.allowed():
                loaded = load_der_private_key(_pkcs8_of(size, exponent), None)
        except ValueError:
            raise BusinessError(401, f"the numbers are not a key of the {size}-bit DH group") from None
        assert isinstance(loaded, DHPrivateKey)
        computed, secret = loaded.public_key().public_numbers().y, _pkcs8(loaded)
    if public and computed != element:
        raise BusinessError(401, "the public half of the DH key does not belong to its private half")
    check_element(computed, p)
    return KeyMaterial(HuksKeyAlg.HUKS_ALG_DH, size, secret, _spki(size, element) if public else b"")


def material_from_spki(spki: bytes, algorithm: int, size: int) -> KeyMaterial:
    """A public key from its SubjectPublicKeyInfo (DER), of PKCS #3 or X9.42 form.

    Raises:
        BusinessError: 401 for other bytes, another algorithm, group or size, or a value outside the group.

    """
    p = _import_prime(size)
    public = None
    if is_of_group(spki, size):
        with suppress(ValueError, UnsupportedAlgorithm), finite_field.allowed():
            public = load_der_public_key(spki)
    numbers = public.public_numbers() if isinstance(public, DHPublicKey) else None
    if numbers is None or not _same_group(numbers, p):
        raise BusinessError(401, f"the key is no SubjectPublicKeyInfo of the {size}-bit DH group of RFC 7919")
    check_element(numbers.y, p)
    return KeyMaterial(algorithm, size, b"", _spki(size, numbers.y))


def is_of_group(spki: bytes, size: int) -> bool:
    """Whether the group of a SubjectPublicKeyInfo (DER) is that of `size` bits, number by number.

    Only then it is loaded: to load any other would test its numbers for being prime, which takes 0.6 s for 2048 bits,
    13 s for 4096, and its sender chooses.
    """
    if size not in SIZES:
        return False
    p = prime_of(size)
    numbers = _integer(p) + _integer(GENERATOR)
    for oid, more in ((PKCS3_DH, b""), (X9_42_DH, _integer((p - 1) // 2))):
        at = 2 * _HEADER
        if spki.startswith(oid, at):
            return spki.startswith(numbers + more, at + len(oid) + _HEADER)
    return False


def check_element(y: int, p: int) -> None:
    """Refuse the public values that give the secret away: 0, 1, p-1, and p or more (401)."""
    if not 1 < y < p - 1:
        raise BusinessError(401, "the public DH value is 0, 1, p-1 or not below p, which makes no secret")


def starter(spec: OperationSpec) -> Starter:
    """Prepare agreements.

    Raises:
        BusinessError: 12000003 for a purpose that DH does not serve.

    """
    served = (spec.algorithm, spec.purpose)
    if served != (HuksKeyAlg.HUKS_ALG_DH, HuksKeyPurpose.HUKS_KEY_PURPOSE_AGREE):
        raise BusinessError(
            12000003,
            f"a DH key agrees (HUKS_TAG_ALGORITHM HUKS_ALG_DH); got purpose {spec.purpose}, algorithm {spec.algorithm}",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_ALGORITHM,
        )
    wanted = spec.numbers.get(HuksTag.HUKS_TAG_KEY_SIZE)
    kind = f"dh-{spec.size}"

    def start(key: DhKey, _: Mapping[int, bytes]) -> Operation:
        if key.private is None:
            raise BusinessError(401, "the DH key has no private half, which an agreement needs")
        return Agreement(kind, partial(_agree, key.private, key.size, wanted))

    return start


def _agree(private: DHPrivateKey, size: int, wanted: int | None, spki: bytes) -> bytes:
    if wanted is None:
        raise BusinessError(
            12000002, "a DH agreement needs HUKS_TAG_KEY_SIZE: the bits of the secret to give"
        )
    if not 8 <= wanted <= size:
        raise BusinessError(
            12000003,
            f"HUKS_TAG_KEY_SIZE {wanted} of a DH agreement is the bits of the secret: 8 to {size} for this group",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_KEY_SIZE,
        )
    p = prime_of(size)
    peer = load_peer(spki, of_our_group=is_of_group(spki, size))
    numbers = peer.public_numbers() if isinstance(peer, DHPublicKey) else None
    if numbers is None or not _same_group(numbers, p):
        raise wrong_peer("no key of the same group")
    check_element(numbers.y, p)
    assert isinstance(peer, DHPublicKey)
    try:
        secret = private.exchange(peer)
    except ValueError:
        raise wrong_peer("outside the group") from None
    # The secret is filled to the length of the modulus before it is cut, so that both sides cut the same bytes.
    return secret.rjust(size // 8, b"\0")[: wanted // 8]


def _same_group(numbers: DHPublicNumbers, p: int) -> bool:
    return numbers.parameter_numbers.p == p and numbers.parameter_numbers.g == GENERATOR


def _import_prime(size: int) -> int:
    if size not in _OFFSETS:
        raise BusinessError(401, f"a DH key of {size} bits has no group; accepted: 2048, 3072, 4096")
    return prime_of(size)


def _pkcs8(private: DHPrivateKey) -> bytes:
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _pkcs8_of(size: int, exponent: int) -> bytes:
    """PrivateKeyInfo without a public half, which libcrypto computes when it loads this.

    A power by Python would take longer, and its time would depend on the bits of the exponent.
    """
    group = _der(0x30, _integer(prime_of(size)) + _integer(GENERATOR))
    algorithm = _der(0x30, PKCS3_DH + group)
    return _der(0x30, _integer(0) + algorithm + _der(0x04, _integer(exponent)))


def _spki(size: int, y: int) -> bytes:
    """SubjectPublicKeyInfo in the form of PKCS #3, which OpenSSL and devices write for these groups.

    `cryptography` would write the X9.42 form, because it knows the order of the group.
    """
    group = _der(0x30, _integer(prime_of(size)) + _integer(GENERATOR))
    return _der(0x30, _der(0x30, PKCS3_DH + group) + _der(0x03, b"\0" + _integer(y)))


def _integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _der(tag: int, body: bytes) -> bytes:
    length = len(body)
    if length < 0x80:
        return bytes((tag, length)) + body
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + body
