"""OAEP where the label or the mask is hashed with MD5: `cryptography` refuses that, libcrypto does it."""

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes

from huks_async.crypto.asymmetric.rsa_key import RsaKey
from huks_async.crypto.libcrypto.binding import EvpKey, LibcryptoError
from huks_async.crypto.libcrypto.search import LEGACY, libcrypto_for
from huks_async.model.errors import BusinessError


class Md5Oaep:
    """A padding for `rsa_cipher`. Its methods raise ValueError for data that does not fit.

    Attributes:
        algorithm: the hash of the label.

    """

    __slots__ = ("_library", "_settings", "algorithm")

    def __init__(self, label: hashes.HashAlgorithm, mask: hashes.HashAlgorithm) -> None:
        self.algorithm: hashes.HashAlgorithm = label
        self._library = libcrypto_for("RSA", LEGACY, "OAEP with MD5")
        self._settings = {"pad-mode": "oaep", "digest": label.name, "mgf1-digest": mask.name}

    def encrypt(self, key: RsaKey, data: bytes) -> bytes:
        """Encrypt at most one block."""
        return self._run("encrypt", self._loaded(self._library.public_key, key.spki()), data)

    def decrypt(self, key: RsaKey, data: bytes) -> bytes:
        """Decrypt one block with the private half."""
        der = key.pkcs8()
        try:
            private = self._loaded(self._library.private_key, der)
        finally:
            der[:] = bytes(len(der))
        return self._run("decrypt", private, data)

    def _loaded(self, load: Callable[[str, Any], EvpKey], der: bytes | bytearray) -> EvpKey:
        try:
            return load("RSA", der)
        except LibcryptoError as refused:
            raise BusinessError(
                12000006,
                f"libcrypto takes no RSA key for OAEP with MD5 ({refused}); a policy of the system may forbid it: "
                "use HUKS_DIGEST_SHA256",
            ) from None

    def _run(self, step: str, key: EvpKey, data: bytes) -> bytes:
        try:
            return self._library.transform(step, key, data, secret=step == "decrypt", settings=self._settings)
        except LibcryptoError as refused:
            raise ValueError(str(refused)) from None
