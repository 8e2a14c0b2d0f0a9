"""ML-KEM-768 and -1024 (FIPS 203): encapsulation and decapsulation of a 32-byte secret.

There are no sessions with these keys.
"""

from dataclasses import dataclass, field
from hashlib import sha3_256
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import mlkem

from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.libcrypto.binding import EvpKey, Libcrypto, LibcryptoError
from huks_async.crypto.openssl_random import stir
from huks_async.crypto.postquantum.parameter_set import ParameterSet, illegal_key, spki_of
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike

SEED_BYTES = 64

_ILLEGAL, _WRONG, _CRYPTO, _ARGUMENT = 401, 12000003, 12000006, 12000018
_HASH_BYTES = 32


_ML_KEM = HuksKeyAlg.HUKS_ALG_ML_KEM
PARAMETER_SETS: dict[int, ParameterSet] = {
    768: ParameterSet(
        _ML_KEM, 768, mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey, SEED_BYTES, 1184, 2400, 1088
    ),
    1024: ParameterSet(
        _ML_KEM, 1024, mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey, SEED_BYTES, 1568, 3168, 1568
    ),
}


class _Decapsulator(Protocol):
    def decapsulate(self, ciphertext: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class MlKemKey:
    """A key ready for use; safe for any number of operations and threads."""

    parameters: ParameterSet
    private: _Decapsulator | None = field(repr=False)
    public: Any


@dataclass(frozen=True, slots=True)
class _ExpandedDecapsulator:
    library: Libcrypto
    key: EvpKey

    def decapsulate(self, ciphertext: bytes) -> bytes:
        return self.library.transform("decapsulate", self.key, ciphertext, secret=True)


def generate(algorithm: int, size: int) -> KeyMaterial:
    """Make a key pair of the parameter set 768 or 1024; the secret is the seed."""
    return PARAMETER_SETS[size].generate()


def load(material: KeyMaterial) -> MlKemKey:
    """Make the ready key; the public half of a private-only key is taken out of it.

    Raises:
        BusinessError: 401 for material that is not a key, 12000001 for an expanded key where no
            library for it is installed.

    """
    parameters = PARAMETER_SETS[material.size]
    if not material.secret:
        return MlKemKey(parameters, None, parameters.public_from_spki(material.public))
    if len(material.secret) == parameters.seed_bytes:
        private = parameters.private_class.from_seed_bytes(material.secret)
        return MlKemKey(parameters, private, private.public_key())
    public = parameters.public_from_raw(public_half(material.size, material.secret))
    library, key = parameters.private_from_expanded(material.secret)
    return MlKemKey(parameters, _ExpandedDecapsulator(library, key), public)


def public_half(size: int, expanded: bytes) -> bytes:
    """The encapsulation key inside an expanded decapsulation key.

    The latter is dk_PKE ‖ ek ‖ H(ek) ‖ z (FIPS 203 algorithm 16).

    Raises:
        BusinessError: 401 for another length, or where the hash does not fit (section 7.3, check 3).

    """
    parameters = PARAMETER_SETS[size]
    if len(expanded) != parameters.expanded_bytes:
        raise illegal_key(
            f"an expanded {parameters.name} key has {parameters.expanded_bytes} bytes, got {len(expanded)}"
        )
    hash_at = parameters.expanded_bytes - 2 * _HASH_BYTES
    public = bytes(expanded[hash_at - parameters.public_bytes : hash_at])
    if sha3_256(public).digest() != expanded[hash_at : hash_at + _HASH_BYTES]:
        raise illegal_key(
            f"the expanded {parameters.name} key is damaged: the hash of its public half differs"
        )
    return public


def material_from_spki(size: int, spki: bytes) -> KeyMaterial:
    """A public key of the parameter set `size` from its SubjectPublicKeyInfo.

    Raises:
        BusinessError: 12000006 where it does not parse, 401 where it is of another algorithm or set.

    """
    return PARAMETER_SETS[size].material_from_spki(spki)


def material_from_parts(size: int, public: bytes, private: bytes) -> KeyMaterial:
    """A key from the encodings of FIPS 203: encapsulation key, expanded decapsulation key.

    Either may be empty.

    Raises:
        BusinessError: 401 for wrong lengths, an invalid half, or halves of different keys; 12000001
            with a private half where no library for expanded keys is installed.

    """
    parameters = PARAMETER_SETS[size]
    parameters.check_lengths(public, private)
    spki = spki_of(parameters.public_from_raw(bytes(public))) if public else b""
    if public and private and public_half(size, private) != public:
        raise parameters.halves_differ()
    material = parameters.material(bytes(private), spki)
    if private:
        load(material)
    return material


def encapsulate(key: MlKemKey) -> tuple[bytes, bytes]:
    """Make a secret for the holder of the private half: (ciphertext, secret of 32 bytes)."""
    stir()
    secret, ciphertext = key.public.encapsulate()
    return ciphertext, secret


def decapsulate(key: MlKemKey, ciphertext: BytesLike) -> bytes:
    """The secret of 32 bytes; for a damaged ciphertext of the right length a different one.

    Raises:
        BusinessError: 401 without a private half, 12000018 for a ciphertext of another length.

    """
    if key.private is None:
        raise BusinessError(_ILLEGAL, "the ML-KEM key has no private half: it cannot decapsulate")
    wanted = key.parameters.output_bytes
    if len(ciphertext) != wanted:
        raise BusinessError(
            _ARGUMENT, f"a ciphertext of {key.parameters.name} has {wanted} bytes, got {len(ciphertext)}"
        )
    try:
        return key.private.decapsulate(bytes(ciphertext))
    except LibcryptoError:
        raise BusinessError(_CRYPTO, "ML-KEM decapsulation failed") from None


def starter(spec: OperationSpec) -> Starter:
    """There are no sessions with ML-KEM keys.

    Raises:
        BusinessError: 12000003, always.

    """
    raise BusinessError(
        _WRONG,
        f"HUKS_TAG_PURPOSE: got {spec.purpose}; ML-KEM keys have no sessions, use encapsulate and decapsulate",
    )
