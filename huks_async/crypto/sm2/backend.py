"""Who does SM2's arithmetic: a narrow interface, and the choice of what stands behind it.

A backend never sees identities, messages or limits: it gets the 32-byte value e that is signed,
plaintexts, and ciphertexts whose form was checked.
"""

import functools
from typing import Any, Protocol


class Sm2Backend(Protocol):
    """SM2 as a library offers it. Keys are opaque, and any number of threads may use them."""

    name: str

    def private_key(self, scalar: bytes, point: bytes | None) -> Any:
        """Load a private key of 32 bytes; the public point (x ‖ y) is computed where it is None."""

    def public_key(self, point: bytes) -> Any:
        """Load a public key x ‖ y of 64 bytes."""

    def public_point(self, key: Any) -> bytes:
        """The public point x ‖ y of a key, 64 bytes."""

    def sign(self, key: Any, e: bytes) -> bytes:
        """Sign the 32-byte value e (GB/T 32918.2 section 6.1); gives DER."""

    def verify(self, key: Any, e: bytes, signature: bytes) -> bool:
        """Whether `signature`, in DER, is one of e."""

    def encrypt(self, key: Any, plaintext: bytes) -> bytes:
        """Encrypt; gives the DER of GM/T 0009 section 7.2."""

    def decrypt(self, key: Any, ciphertext: bytes) -> bytes:
        """Decrypt such DER; ValueError where C3 does not fit."""


@functools.cache
def sm2_backend() -> Sm2Backend:
    """The backend of this process.

    Raises:
        BusinessError: 12000001 where there is none; the message names the extra to install.

    """
    from huks_async.crypto.sm2.backend_libcrypto import LibcryptoSm2

    return LibcryptoSm2.find()
