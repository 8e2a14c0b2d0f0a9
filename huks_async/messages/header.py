"""The first eight bytes of every sealed message.

| Bytes | What |
|---|---|
| 2 | `HM` |
| 1 | format, 1 |
| 1 | kind: how the rest is to be read, and with which sort of key |
| 4 | version of the key, big-endian; 0 for a key that has no versions |

Every key is derived with the header as an input, so no byte of the header can be changed unnoticed, and a message of
one kind never opens as one of another.
"""

from enum import IntEnum

from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike

HEADER_BYTES = 8
_MAGIC_AND_FORMAT = b"HM\x01"
_CRYPTO_FAIL = 12000006


class Kind(IntEnum):
    """How a message is to be read."""

    AES = 0x01
    AES_DATA_KEY = 0x02
    AES_DETERMINISTIC = 0x03
    SM4 = 0x11
    SM4_DATA_KEY = 0x12
    X25519 = 0x21
    P256 = 0x22
    P384 = 0x23
    P521 = 0x24
    ML_KEM_768 = 0x25
    ML_KEM_1024 = 0x26
    ML_KEM_768_X25519 = 0x27
    ML_KEM_1024_P384 = 0x28


def header(kind: Kind) -> bytes:
    """The header of a message of this kind, under a key without versions."""
    return _MAGIC_AND_FORMAT + bytes((kind, 0, 0, 0, 0))


def kind_of(sealed: BytesLike) -> Kind:
    """The kind of a message.

    Raises:
        BusinessError: 12000006 if the message has no header of this format, or names a version of a key.
    """
    try:
        kind = Kind(sealed[3])
    except (ValueError, IndexError):
        raise does_not_belong() from None
    if bytes(sealed[:HEADER_BYTES]) != header(kind):
        raise does_not_belong()
    return kind


def does_not_belong() -> BusinessError:
    """The single error for anything that is wrong with a sealed message. It must not reveal which part is wrong."""
    return BusinessError(_CRYPTO_FAIL, "message, context and key do not belong together")
