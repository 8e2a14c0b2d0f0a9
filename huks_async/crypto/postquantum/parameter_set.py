"""What ML-DSA and ML-KEM share: parameter sets, and the keys of each in every encoding.

Keys made here are seeds, which `cryptography` runs. Imported private keys are in the expanded form of the
standards, which it refuses; libcrypto runs those (extra `pqc-expanded`).
"""

from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.libcrypto.binding import EvpKey, Libcrypto, LibcryptoError
from huks_async.crypto.libcrypto.search import libcrypto_for
from huks_async.crypto.spki import load_spki
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg
from huks_async.model.errors import BusinessError

EXTRA = "pqc-expanded"
"""The extra that brings a library for expanded private keys."""

_ILLEGAL, _CRYPTO = 401, 12000006


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """One parameter set of FIPS 203 (table 3) or FIPS 204 (table 2); lengths in bytes."""

    algorithm: HuksKeyAlg
    size: int
    """The number in its name, which HUKS takes for the size of the key."""
    private_class: Any
    public_class: Any
    seed_bytes: int
    public_bytes: int
    expanded_bytes: int
    output_bytes: int
    """Of a signature, of a ciphertext."""

    @property
    def name(self) -> str:
        """The name as the standard writes it."""
        return f"{self.algorithm.name.removeprefix('HUKS_ALG_').replace('_', '-')}-{self.size}"

    def generate(self) -> KeyMaterial:
        """Make a key pair; the secret is the seed."""
        private = self.private_class.generate()
        return self.material(private.private_bytes_raw(), spki_of(private.public_key()))

    def material(self, secret: bytes, spki: bytes) -> KeyMaterial:
        """The halves of a key of this set, either perhaps empty."""
        return KeyMaterial(self.algorithm, self.size, secret, spki)

    def material_from_spki(self, spki: bytes) -> KeyMaterial:
        """A public key from its SubjectPublicKeyInfo.

        Raises:
            BusinessError: see `public_from_spki`.

        """
        self.public_from_spki(bytes(spki))
        return self.material(b"", bytes(spki))

    def public_from_spki(self, spki: bytes) -> Any:
        """The public key in a SubjectPublicKeyInfo.

        Raises:
            BusinessError: 12000006 where it does not parse, 401 where it is of another algorithm or set.

        """
        key: Any
        try:
            key = load_spki(spki)
        except UnsupportedAlgorithm:
            key = None
        except ValueError:
            raise BusinessError(
                _CRYPTO,
                f"{len(spki)} bytes do not parse as the SubjectPublicKeyInfo (DER) of an {self.name} key",
            ) from None
        if not isinstance(key, self.public_class):
            raise illegal_key(f"the public key is of another algorithm or size, {self.name} is wanted")
        if spki_of(key) != spki:
            raise BusinessError(
                _CRYPTO, f"the SubjectPublicKeyInfo of an {self.name} key is not in its one DER form"
            )
        return key

    def public_from_raw(self, raw: bytes) -> Any:
        """The public key in the encoding of the standard, of the right length.

        Raises:
            BusinessError: 401 for bytes that are none: a coefficient of ML-KEM that is not below q (FIPS 203
                section 7.2). Any bytes are a key of ML-DSA.

        """
        try:
            return self.public_class.from_public_bytes(raw)
        except ValueError:
            raise illegal_key(f"the public half is no {self.name} key") from None

    def private_from_expanded(self, secret: bytes) -> tuple[Libcrypto, EvpKey]:
        """The private key in the expanded form, and the library that runs it.

        Raises:
            BusinessError: 401 for bytes that are none, 12000001 where no library for it is installed.

        """
        library = libcrypto_for(self.name, EXTRA)
        try:
            return library, library.raw_private_key(self.name, secret)
        except LibcryptoError:
            raise self.no_expanded_key() from None

    def no_expanded_key(self) -> BusinessError:
        """The error for a private half that libcrypto refuses."""
        return illegal_key(f"the private half is no expanded {self.name} key")

    def halves_differ(self) -> BusinessError:
        """The error for halves of two keys."""
        return illegal_key(f"the halves of the {self.name} key do not belong together")

    def check_lengths(self, public: bytes, private: bytes) -> None:
        """Both halves of exact length, either one absent but not both; 401 otherwise."""
        fits = len(public) in (0, self.public_bytes) and len(private) in (0, self.expanded_bytes)
        if not fits or not (public or private):
            raise illegal_key(
                f"an {self.name} key has a public half of {self.public_bytes} bytes and a private half (expanded "
                f"form) of {self.expanded_bytes}, either may be missing; got {len(public)} and {len(private)}"
            )


def spki_of(public: Any) -> bytes:
    """The SubjectPublicKeyInfo (DER) of a public key of `cryptography`."""
    spki: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return spki


def illegal_key(message: str) -> BusinessError:
    """401 for key material that does not fit."""
    return BusinessError(_ILLEGAL, message, reason=HuksErrorCode.HUKS_ERROR_INVALID_KEY_INFO)
