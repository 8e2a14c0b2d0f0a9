"""What ML-DSA and ML-KEM share: public keys in DER, and the codes of their mistakes."""

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from huks_async.model.enums import HuksErrorCode
from huks_async.model.errors import BusinessError

EXTRA = "pqc-expanded"
"""The extra that brings a library for expanded private keys; `cryptography` takes seeds alone."""

_ILLEGAL, _CRYPTO = 401, 12000006


def public_from_spki(spki: bytes, name: str, wanted: type[Any]) -> Any:
    """The public key in a SubjectPublicKeyInfo, of the class `wanted`.

    Raises:
        BusinessError: 12000006 where it does not parse, 401 where it is of another algorithm or size.

    """
    key: Any
    try:
        key = load_der_public_key(spki)
    except UnsupportedAlgorithm:
        key = None
    except ValueError:
        raise BusinessError(
            _CRYPTO, f"{len(spki)} bytes do not parse as the SubjectPublicKeyInfo (DER) of an {name} key"
        ) from None
    if not isinstance(key, wanted):
        raise illegal_key(f"the public key is of another algorithm or size, {name} is wanted")
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != spki:
        raise BusinessError(_CRYPTO, f"the SubjectPublicKeyInfo of an {name} key is not in its one DER form")
    return key


def illegal_key(message: str) -> BusinessError:
    """401 for key material that does not fit."""
    return BusinessError(_ILLEGAL, message, reason=HuksErrorCode.HUKS_ERROR_INVALID_KEY_INFO)


def check_lengths(name: str, public: bytes, private: bytes, public_bytes: int, private_bytes: int) -> None:
    """Both halves of exact length, either one absent but not both; 401 otherwise."""
    fits = len(public) in (0, public_bytes) and len(private) in (0, private_bytes) and (public or private)
    if not fits:
        raise illegal_key(
            f"an {name} key has a public half of {public_bytes} bytes and a private half (expanded form) of "
            f"{private_bytes}, either may be missing; got {len(public)} and {len(private)}"
        )
