"""The ready form of symmetric keys: raw bytes, and the objects made from them when first needed."""

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC

from huks_async.crypto.digests import HASHES
from huks_async.crypto.key_material import KeyMaterial
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.runtime.randomness import random_bytes

_AES = int(HuksKeyAlg.HUKS_ALG_AES)
_SM4 = int(HuksKeyAlg.HUKS_ALG_SM4)
_DES_FAMILY = frozenset(
    {int(HuksKeyAlg.HUKS_ALG_DES), int(HuksKeyAlg.HUKS_ALG_3DES), int(HuksKeyAlg.HUKS_ALG_CMAC)}
)
_DES_KEY_BYTES = 8
_ILLEGAL = 401

_ODD_PARITY = bytes(byte ^ (byte.bit_count() + 1 & 1) for byte in range(256))


class SecretKey:
    """A symmetric key that serves every mode, MAC and derivation it may be used for.

    Many operations use one object at once. What is made late is made from the key alone, so two
    threads that make it at the same time make the same.
    """

    __slots__ = ("_cipher", "_macs", "aesgcm", "algorithm", "secret")

    def __init__(self, algorithm: int, secret: bytes) -> None:
        self.algorithm: int = algorithm
        self.secret: bytes = secret
        self.aesgcm: AESGCM | None = None
        """The one-shot cipher, once `make_aesgcm` was called."""
        self._cipher: BlockCipherAlgorithm | None = None
        self._macs: dict[int, HMAC] = {}

    def make_aesgcm(self) -> AESGCM:
        """Make and keep the one-shot AES-GCM cipher."""
        made = self.aesgcm = AESGCM(self.secret)
        return made

    def cipher(self) -> BlockCipherAlgorithm:
        """The block cipher under this key."""
        made = self._cipher
        if made is None:
            made = self._cipher = _block_cipher(self.algorithm, self.secret)
        return made

    def mac(self, digest: int) -> HMAC:
        """A keyed HMAC that has seen no data; to be copied, never fed."""
        made = self._macs.get(digest)
        if made is None:
            made = self._macs[digest] = HMAC(self.secret, HASHES[digest])
        return made


def load(material: KeyMaterial) -> SecretKey:
    """The ready form of a symmetric key; costs nothing, its objects are made at first use."""
    return SecretKey(material.algorithm, material.secret)


def generate(algorithm: int, size: int) -> KeyMaterial:
    """Make a new random symmetric key of `size` bits; DES keys get odd parity.

    Raises:
        BusinessError: 401 for a size that is not a positive multiple of 8 bits.

    """
    if size <= 0 or size % 8:
        raise BusinessError(
            _ILLEGAL, f"HUKS_TAG_KEY_SIZE is {size} bits; a symmetric key has a positive multiple of 8"
        )
    secret = random_bytes(size // 8)
    if algorithm in _DES_FAMILY:
        secret = secret.translate(_ODD_PARITY)
    return KeyMaterial(algorithm, size, secret)


def _block_cipher(algorithm: int, secret: bytes) -> BlockCipherAlgorithm:
    if algorithm == _AES:
        return algorithms.AES(secret)
    if algorithm == _SM4:
        return algorithms.SM4(secret)
    if algorithm in _DES_FAMILY:
        return TripleDES(_three_keys(secret))
    raise BusinessError(
        _ILLEGAL, f"a key of algorithm {algorithm} has no block cipher; AES, SM4, DES, 3DES and CMAC keys do"
    )


def _three_keys(secret: bytes) -> bytes:
    # The library has 3DES alone. With all three keys alike it is single DES, and two keys serve as K1, K2, K1
    # (SP 800-67).
    if len(secret) == _DES_KEY_BYTES:
        return secret * 3
    return secret + secret[:_DES_KEY_BYTES] if len(secret) == 2 * _DES_KEY_BYTES else secret
