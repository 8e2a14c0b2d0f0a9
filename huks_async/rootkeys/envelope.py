"""The wrapped form of a key: AES-256-GCM under a key-wrapping key, with a header that is authenticated.

byte 0       format version, 1
byte 1       kind of root key
byte 2       length of the header n, up to 255
n bytes      header: what the kind needs to unwrap (key id, parameters of a derivation)
12 bytes     nonce
32 bytes     the key, encrypted
16 bytes     tag over all of it
"""

from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from huks_async.model.errors import BusinessError
from huks_async.rootkeys.base import KEY_SIZE
from huks_async.runtime.randomness import random_bytes

FORMAT = 1
KIND_KEY = 1
"""The wrapping key is known; the header is its id in ASCII."""
KIND_SCRYPT = 2
"""The wrapping key is derived from a passphrase; the header holds the parameters."""
KIND_TOKEN = 3
"""The wrapping key is derived by a token; the header is the salt."""

_NONCE_SIZE = 12
_TAG_SIZE = 16


class Envelope(NamedTuple):
    """A wrapped key, taken apart. It is authenticated only when it was opened."""

    kind: int
    header: bytes
    nonce: bytes
    ciphertext: bytes

    def open(self, wrapping_key: bytes, owner: str) -> bytes:
        """Give the key.

        Args:
            wrapping_key: 32 bytes.
            owner: the root key, for the message.

        Raises:
            BusinessError: 12000012 when the key was wrapped by another one, or changed since.

        """
        try:
            return AESGCM(wrapping_key).decrypt(self.nonce, self.ciphertext, _prefix(self.kind, self.header))
        except InvalidTag:
            raise BusinessError(
                12000012,
                f"{owner} does not fit the wrapped store key, or the wrapped key was changed; "
                "use the root key that the store was made with",
            ) from None


def seal(wrapping_key: bytes, kind: int, header: bytes, key: bytes) -> bytes:
    """Wrap a key of 32 bytes."""
    if len(key) != KEY_SIZE:
        raise BusinessError(401, f"a root key wraps keys of {KEY_SIZE} bytes, got {len(key)}")
    prefix = _prefix(kind, header)
    nonce = random_bytes(_NONCE_SIZE)
    return prefix + nonce + AESGCM(wrapping_key).encrypt(nonce, key, prefix)


def parse(wrapped: bytes, kind: int, owner: str) -> Envelope:
    """Take a wrapped key apart.

    Raises:
        BusinessError: 12000012 when it has another format, or is of another kind of root key.

    """
    if len(wrapped) < 3 or len(wrapped) != 3 + wrapped[2] + _NONCE_SIZE + KEY_SIZE + _TAG_SIZE:
        raise BusinessError(
            12000012, f"the wrapped store key is damaged: {len(wrapped)} bytes are no valid length"
        )
    if wrapped[0] != FORMAT:
        raise BusinessError(
            12000012,
            f"the wrapped store key has format {wrapped[0]}, known is {FORMAT}; use a newer version of huks_async",
        )
    if wrapped[1] != kind:
        raise BusinessError(
            12000012,
            f"the store key was wrapped by another kind of root key ({wrapped[1]}) than {owner} ({kind}); "
            "use the root key that the store was made with",
        )
    end = 3 + wrapped[2]
    return Envelope(kind, wrapped[3:end], wrapped[end : end + _NONCE_SIZE], wrapped[end + _NONCE_SIZE :])


def _prefix(kind: int, header: bytes) -> bytes:
    return bytes((FORMAT, kind, len(header))) + header
