"""PrivateKeyInfo (PKCS#8, RFC 5958): its parts, and the keys in it that the library below does not read.

These are SM2 keys, expanded ML keys, and whatever a second version added: a public half beside the key.
"""

from dataclasses import dataclass, field

from huks_async.keys.forms import sm2_keys
from huks_async.keys.forms.der import (
    BITS,
    EXPLICIT,
    IMPLICIT,
    INTEGER,
    OCTETS,
    SEQUENCE,
    elements,
    sequence,
    shape,
    take,
    tlv,
    whole_bytes,
)
from huks_async.keys.forms.layouts import ML_DSA_BYTES, ML_KEM_BYTES, invalid
from huks_async.model.enums import HuksKeyAlg

_SEED_TAG = IMPLICIT
_VERSIONS = (b"\0", b"\x01")

# NIST's arcs for ML keys, as DER
_ML_OIDS: dict[tuple[int, int], bytes] = {
    (HuksKeyAlg.HUKS_ALG_ML_DSA, 44): bytes.fromhex("0609608648016503040311"),
    (HuksKeyAlg.HUKS_ALG_ML_DSA, 65): bytes.fromhex("0609608648016503040312"),
    (HuksKeyAlg.HUKS_ALG_ML_DSA, 87): bytes.fromhex("0609608648016503040313"),
    (HuksKeyAlg.HUKS_ALG_ML_KEM, 768): bytes.fromhex("0609608648016503040402"),
    (HuksKeyAlg.HUKS_ALG_ML_KEM, 1024): bytes.fromhex("0609608648016503040403"),
}


@dataclass(frozen=True, slots=True)
class PrivateKeyInfo:
    """The parts of a PKCS#8 key.

    Attributes:
        identifier: content of the AlgorithmIdentifier.
        key: content of the OCTET STRING, which the algorithm defines.
        public: bits of the public half that stands beside the key; empty without one.

    """

    identifier: bytes
    key: bytes = field(repr=False)
    public: bytes

    def plain(self) -> bytes:
        """The same key in the first version, without attributes and public half."""
        return _pkcs8(self.identifier, self.key)


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A private key that is read here.

    Attributes:
        algorithm: SM2, ML_DSA or ML_KEM.
        size: bits, or the number of the parameter set.
        secret: scalar, expanded key or seed.
        public: coordinates of the point of SM2; raw public half of ML keys; empty where it is not there.
        expanded: the expanded key that stands beside a seed; empty where it is not there.

    """

    algorithm: int
    size: int
    secret: bytes = field(repr=False)
    public: bytes
    expanded: bytes = field(default=b"", repr=False)


def read(data: bytes) -> PrivateKeyInfo | None:
    """Take a PrivateKeyInfo apart; None where the data is none, which holds for encrypted keys, too.

    Raises:
        BusinessError: 401 where something is wrong with the public half beside the key.

    """
    parts = sequence(data)
    if shape(parts)[:3] != (INTEGER, SEQUENCE, OCTETS) or parts[0][1] not in _VERSIONS:
        return None
    public = b""
    for tag, content in parts[3:]:
        if tag != EXPLICIT and public:
            raise invalid("PKCS#8: two public halves beside the key")
        # RFC 5958 asks for [1] IMPLICIT; some writers put a whole BIT STRING into a constructed [1]
        if tag == IMPLICIT + 1:
            public = whole_bytes(content)
        elif tag == EXPLICIT + 1 and shape(elements(content)) == (BITS,):
            public = whole_bytes(elements(content)[0][1])
        elif tag != EXPLICIT:
            raise invalid(f"PKCS#8: an element with tag {tag:#04x} after the key")
    return PrivateKeyInfo(parts[1][1], parts[2][1], public)


def own_key(info: PrivateKeyInfo) -> OwnKey | None:
    """Read an SM2 key, or an ML key (expanded, or its seed); None for other algorithms.

    Raises:
        BusinessError: 401 for a key of these algorithms that is malformed.

    """
    if sm2_keys.is_sm2(info.identifier):
        found = sm2_keys.private_key(info.key, in_pkcs8=True)
        if found is None:
            raise invalid("PKCS#8: the curve named inside of the SM2 key is another one")
        scalar, inside = found
        outside = sm2_keys.point(info.public) if info.public else b""
        if inside and outside and inside != outside:
            raise invalid("PKCS#8: two public halves that differ")
        return OwnKey(HuksKeyAlg.HUKS_ALG_SM2, 256, scalar, inside or outside)
    for (algorithm, size), oid in _ML_OIDS.items():
        if info.identifier == oid:
            secret, expanded = _ml_private_key(algorithm, size, info.key)
            return OwnKey(algorithm, size, secret, info.public, expanded)
    return None


def own_ec_private_key(der: bytes) -> OwnKey | None:
    """Read an `EC PRIVATE KEY` (RFC 5915) on the SM2 curve; None for another curve."""
    found = sm2_keys.private_key(der, in_pkcs8=False)
    return None if found is None else OwnKey(HuksKeyAlg.HUKS_ALG_SM2, 256, *found)


def ml_pkcs8(algorithm: int, size: int, expanded: bytes) -> bytes:
    """PKCS#8 of an expanded ML-DSA or ML-KEM key, the `expandedKey` choice of RFC 9881 and RFC 9935."""
    return _pkcs8(_ML_OIDS[algorithm, size], tlv(OCTETS, expanded))


def ml_seed_pkcs8(algorithm: int, size: int, seed: bytes) -> bytes:
    """PKCS#8 of the seed of an ML-DSA or ML-KEM key, the `seed` choice of the same documents."""
    return _pkcs8(_ML_OIDS[algorithm, size], tlv(_SEED_TAG, seed))


def _ml_private_key(algorithm: int, size: int, key: bytes) -> tuple[bytes, bytes]:
    """The secret, and the expanded key beside it where it is a seed with one."""
    # one of: [0] seed, OCTET STRING expanded, SEQUENCE of both
    sizes, seed_bytes = (ML_DSA_BYTES, 32) if algorithm == HuksKeyAlg.HUKS_ALG_ML_DSA else (ML_KEM_BYTES, 64)
    expanded_bytes, expanded = sizes[size][1], b""
    if key[:1] == bytes((SEQUENCE,)):
        both = _only(key, SEQUENCE)
        secret, end = take(both, 0, OCTETS)
        expanded, wanted = _only(both[end:], OCTETS), seed_bytes
        if len(expanded) != expanded_bytes:
            raise invalid(
                f"PKCS#8: the expanded key beside the seed has {expanded_bytes} bytes, got {len(expanded)}"
            )
    elif key[:1] == bytes((_SEED_TAG,)):
        secret, wanted = _only(key, _SEED_TAG), seed_bytes
    else:
        secret, wanted = _only(key, OCTETS), expanded_bytes
    if len(secret) != wanted:
        raise invalid(f"PKCS#8: this form of the ML key has {wanted} bytes, got {len(secret)}")
    return secret, expanded


def _only(data: bytes, tag: int) -> bytes:
    content, end = take(data, 0, tag)
    if end != len(data):
        raise invalid("PKCS#8: the ML key goes on after its end")
    return content


def _pkcs8(identifier: bytes, key: bytes) -> bytes:
    return tlv(SEQUENCE, tlv(INTEGER, b"\0"), tlv(SEQUENCE, identifier), tlv(OCTETS, key))
