"""Key material as the engine takes and gives it.

The encodings are canonical, so that everything above (sealing, export, import layouts, wrapping)
handles bytes alone:

| Algorithm           | `secret`                                   | `public`                     |
|---------------------|--------------------------------------------|------------------------------|
| AES, DES, SM4, HMAC, … | the raw key                             | `b""`                        |
| RSA                 | PKCS#8 DER                                 | SubjectPublicKeyInfo DER     |
| ECC, DSA, DH        | PKCS#8 DER                                 | SubjectPublicKeyInfo DER     |
| X25519, Ed25519     | 32 raw bytes                               | 32 raw bytes                 |
| SM2                 | 32 bytes, the scalar, big-endian           | SubjectPublicKeyInfo DER     |
| ML-DSA, ML-KEM      | the seed, or the expanded key (by length)  | SubjectPublicKeyInfo DER     |

`public` is what `exportKeyItem` gives. A public-only key has no `secret`; a private key that came
without its public half has no `public`, although the engine may compute one for its own use.
"""

from dataclasses import dataclass, field

from huks_async.model.enums import HuksErrorCode, HuksKeyAlg
from huks_async.model.errors import BusinessError

SYMMETRIC_ALGORITHMS: frozenset[int] = frozenset(
    {
        HuksKeyAlg.HUKS_ALG_AES,
        HuksKeyAlg.HUKS_ALG_DES,
        HuksKeyAlg.HUKS_ALG_3DES,
        HuksKeyAlg.HUKS_ALG_SM4,
        HuksKeyAlg.HUKS_ALG_HMAC,
        HuksKeyAlg.HUKS_ALG_SM3,
        HuksKeyAlg.HUKS_ALG_CMAC,
    }
)


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """The bytes of one key. Not shown by `repr`."""

    algorithm: int
    size: int
    """Bits; for ML-DSA and ML-KEM the number of the parameter set."""
    secret: bytes = field(default=b"", repr=False)
    public: bytes = field(default=b"", repr=False)

    @property
    def is_symmetric(self) -> bool:
        """Whether the key has no public half at all."""
        return self.algorithm in SYMMETRIC_ALGORITHMS


def wrong_size(code: int, message: str) -> BusinessError:
    """The error for a size that no key of the algorithm has: 12000003, or 401 where the bytes of a key are at hand."""
    # HUKS has the finer number under 12000003 alone
    finer = HuksErrorCode.HUKS_ERROR_INVALID_KEY_SIZE if code == 12000003 else None
    return BusinessError(code, message, reason=finer)
