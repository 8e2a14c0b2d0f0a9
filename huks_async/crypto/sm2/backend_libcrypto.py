"""SM2 by OpenSSL's libcrypto."""

from huks_async.crypto.libcrypto.binding import EvpKey, Libcrypto, LibcryptoError
from huks_async.crypto.libcrypto.search import libcrypto_for
from huks_async.crypto.sm2.encoding import pkcs8, spki_from_point, wipe

_SM2 = "SM2"
EXTRA = "sm2"


class LibcryptoSm2:
    """See `Sm2Backend`."""

    def __init__(self, library: Libcrypto) -> None:
        self._library = library
        self.name: str = f"libcrypto {library.version_text}"

    @classmethod
    def find(cls) -> "LibcryptoSm2":
        """A backend on the first libcrypto that will do; 12000001 where there is none."""
        return cls(libcrypto_for(_SM2, EXTRA))

    def private_key(self, scalar: bytes, point: bytes | None) -> EvpKey:
        """Load a private key; OpenSSL multiplies the base point where the public one is not given."""
        der = pkcs8(scalar, point)
        try:
            return self._library.private_key(_SM2, der)
        finally:
            wipe(der)

    def public_key(self, point: bytes) -> EvpKey:
        """Load a public key."""
        return self._library.public_key(_SM2, spki_from_point(point))

    def public_point(self, key: EvpKey) -> bytes:
        """The public point of a key."""
        # Of the parameters that give the public point this one is uncompressed, whatever form the key came in.
        return self._library.octets(key, "encoded-pub-key", 65)[1:]

    def sign(self, key: EvpKey, e: bytes) -> bytes:
        """Sign the value e."""
        return self._library.transform("sign", key, e)

    def verify(self, key: EvpKey, e: bytes, signature: bytes) -> bool:
        """Verify; OpenSSL itself refuses signatures that are not strict DER."""
        return self._library.verify(key, e, signature)

    def encrypt(self, key: EvpKey, plaintext: bytes) -> bytes:
        """Encrypt with SM3, the default of an SM2 key."""
        return self._library.transform("encrypt", key, plaintext)

    def decrypt(self, key: EvpKey, ciphertext: bytes) -> bytes:
        """Decrypt with SM3."""
        try:
            return self._library.transform("decrypt", key, ciphertext, secret=True)
        except LibcryptoError as refused:
            raise ValueError("not a ciphertext of this key") from refused
