"""ML-DSA-44, -65 and -87 (FIPS 204), pure mode, with a context.

The message is hashed as it comes in (mu, FIPS 204 algorithm 7 step 6), so nothing of it is held.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import shake_256
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa

from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.libcrypto.binding import EvpKey, Libcrypto, LibcryptoError
from huks_async.crypto.operation import Operation
from huks_async.crypto.postquantum.parameter_set import ParameterSet, spki_of
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.model.params import BytesLike
from huks_async.model.tags import HuksTag

SEED_BYTES = 32
MAX_CONTEXT_BYTES = 255
_PURE, _TR_BYTES, _MU_BYTES = 0, 64, 64

_ILLEGAL, _WRONG, _CRYPTO, _NO_DATA = 401, 12000003, 12000006, 12000014


_ML_DSA = HuksKeyAlg.HUKS_ALG_ML_DSA
PARAMETER_SETS: dict[int, ParameterSet] = {
    44: ParameterSet(
        _ML_DSA, 44, mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey, SEED_BYTES, 1312, 2560, 2420
    ),
    65: ParameterSet(
        _ML_DSA, 65, mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey, SEED_BYTES, 1952, 4032, 3309
    ),
    87: ParameterSet(
        _ML_DSA, 87, mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey, SEED_BYTES, 2592, 4896, 4627
    ),
}


class _Signer(Protocol):
    def sign_mu(self, mu: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class MlDsaKey:
    """A key ready for use; safe for any number of operations and threads."""

    parameters: ParameterSet
    signer: _Signer | None = field(repr=False)
    public: Any
    public_hash: bytes
    """tr of FIPS 204: SHAKE256 of the public key, 64 bytes."""


@dataclass(frozen=True, slots=True)
class _ExpandedSigner:
    library: Libcrypto
    key: EvpKey
    parameters: ParameterSet

    def sign_mu(self, mu: bytes) -> bytes:
        return self.library.sign_mu(self.key, mu, self.parameters.output_bytes)


def generate(algorithm: int, size: int) -> KeyMaterial:
    """Make a key pair of the parameter set 44, 65 or 87; the secret is the seed."""
    return PARAMETER_SETS[size].generate()


def load(material: KeyMaterial) -> MlDsaKey:
    """Make the ready key; the public half of a private-only key is computed here.

    Raises:
        BusinessError: 401 for material that is not a key, 12000001 for an expanded key where no
            library for it is installed.

    """
    parameters = PARAMETER_SETS[material.size]
    if not material.secret:
        return _ready(parameters, None, parameters.public_from_spki(material.public))
    if len(material.secret) == parameters.seed_bytes:
        private = parameters.private_class.from_seed_bytes(material.secret)
        return _ready(parameters, private, private.public_key())
    library, key = parameters.private_from_expanded(material.secret)
    try:
        # Asking for the public half makes libcrypto compute it (t = A s1 + s2) and compare it with the hash tr in
        # the expanded form, so a damaged key is found here.
        raw = library.octets(key, "pub", parameters.public_bytes)
    except LibcryptoError:
        raise parameters.no_expanded_key() from None
    signer = _ExpandedSigner(library, key, parameters)
    return _ready(parameters, signer, parameters.public_from_raw(raw))


def _ready(parameters: ParameterSet, signer: _Signer | None, public: Any) -> MlDsaKey:
    return MlDsaKey(parameters, signer, public, shake_256(public.public_bytes_raw()).digest(_TR_BYTES))


def material_from_spki(size: int, spki: bytes) -> KeyMaterial:
    """A public key of the parameter set `size` from its SubjectPublicKeyInfo.

    Raises:
        BusinessError: 12000006 where it does not parse, 401 where it is of another algorithm or set.

    """
    return PARAMETER_SETS[size].material_from_spki(spki)


def material_from_parts(size: int, public: bytes, private: bytes) -> KeyMaterial:
    """A key from the encodings of FIPS 204: public key, expanded private key; either may be empty.

    Raises:
        BusinessError: 401 for wrong lengths, an invalid half, or halves of different keys; 12000001
            with a private half where no library for expanded keys is installed.

    """
    parameters = PARAMETER_SETS[size]
    parameters.check_lengths(public, private)
    spki = spki_of(parameters.public_from_raw(bytes(public))) if public else b""
    material = parameters.material(bytes(private), spki)
    if private:
        computed = load(material).public
        if public and computed.public_bytes_raw() != public:
            raise parameters.halves_differ()
    return material


def starter(spec: OperationSpec) -> Starter:
    """Prepare signing or verification. HUKS_TAG_CONTEXT, 0 … 255 bytes, is part of the signature.

    Raises:
        BusinessError: 401 for another purpose.

    """
    signing = spec.purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN
    if not signing and spec.purpose != HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY:
        raise BusinessError(
            _ILLEGAL, f"HUKS_TAG_PURPOSE: got {spec.purpose}, sessions with ML-DSA sign or verify"
        )
    limits = spec.limits

    def start(key: MlDsaKey, blobs: Mapping[int, bytes]) -> Operation:
        context = blobs.get(HuksTag.HUKS_TAG_CONTEXT, b"")
        if len(context) > MAX_CONTEXT_BYTES:
            raise BusinessError(
                _ILLEGAL,
                f"HUKS_TAG_CONTEXT: got {len(context)} bytes, at most {MAX_CONTEXT_BYTES} are accepted",
            )
        if not signing:
            return MlDsaVerification(key, context, limits)
        if key.signer is None:
            raise BusinessError(_ILLEGAL, "the ML-DSA key has no private half: it cannot sign")
        return MlDsaSigning(key, context, limits)

    return start


class _MlDsaOperation(Operation):
    __slots__ = ("_hasher", "_key", "_limits", "_total", "kind")

    verb = ""

    def __init__(self, key: MlDsaKey, context: bytes, limits: Limits) -> None:
        self.kind: str = f"mldsa-{key.parameters.size}-{self.verb}"
        self._key = key
        self._limits = limits
        # The hash begins with tr and the head of M' (FIPS 204 algorithm 2). It is hashlib's, because that lets
        # other threads run while it hashes, which the hasher of `cryptography` for mu does not.
        self._hasher = shake_256(key.public_hash + bytes((_PURE, len(context))) + context)
        self._total = 0

    def update(self, data: BytesLike) -> bytes:
        """Take a part of the message."""
        self._total += len(data)
        if self._total > self._limits.max_ml_dsa_bytes:
            raise BusinessError(
                _ILLEGAL,
                f"{self._total} bytes given to one ML-DSA operation, at most {self._limits.max_ml_dsa_bytes} "
                "are accepted (Limits.max_ml_dsa_bytes)",
            )
        self._hasher.update(data)
        return b""

    def mu(self) -> bytes:
        """The message representative, 64 bytes."""
        if not self._total and self._limits.refuse_empty_collected:
            raise BusinessError(_NO_DATA, f"no data to {self.verb} with ML-DSA; give at least one byte")
        return self._hasher.digest(_MU_BYTES)


class MlDsaSigning(_MlDsaOperation):
    """Gives the signature at finish: hedged, so the same message has many."""

    __slots__ = ()

    verb = "sign"

    def finish(self, data: BytesLike) -> bytes:
        """Take the last part and sign."""
        self.update(data)
        signer = self._key.signer
        assert signer is not None
        try:
            return signer.sign_mu(self.mu())
        except LibcryptoError:
            raise BusinessError(_CRYPTO, "ML-DSA signing failed") from None


class MlDsaVerification(_MlDsaOperation):
    """Takes the signature at finish, and nothing else there."""

    __slots__ = ()

    verifies = True

    verb = "verify"

    def finish(self, data: BytesLike) -> bytes:
        """Check the signature; gives no bytes."""
        parameters = self._key.parameters
        if not len(data):
            raise BusinessError(_ILLEGAL, "inData of finish must be the signature, got no bytes")
        if len(data) > parameters.output_bytes:
            raise BusinessError(
                _WRONG,
                f"an {parameters.name} signature has {parameters.output_bytes} bytes, got {len(data)}; "
                "give the message at update and the signature alone at finish",
                reason=HuksErrorCode.HUKS_ERROR_INVALID_SIGNATURE_SIZE,
            )
        try:
            self._key.public.verify_mu(data, self.mu())
        except InvalidSignature:
            raise BusinessError(
                _CRYPTO,
                f"the {parameters.name} signature is wrong for this message, context and key",
            ) from None
        return b""
