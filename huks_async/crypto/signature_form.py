"""The two forms of a signature that is a pair of numbers: DER, which HUKS takes, and r ‖ s."""

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature


def der_of(r: int, s: int) -> bytes:
    """SEQUENCE { INTEGER r, INTEGER s } (RFC 3279 section 2.2.3, GM/T 0009 section 7.3)."""
    return encode_dss_signature(r, s)


def numbers_of(der: bytes) -> tuple[int, int]:
    """The numbers r and s of such a sequence.

    Raises:
        ValueError: anything but its one DER form: other elements, bytes after it, lengths or numbers that
            are not as short as can be, negative numbers.

    """
    return decode_dss_signature(der)


def is_der(signature: bytes) -> bool:
    """Whether these bytes are DER of two numbers."""
    try:
        numbers_of(signature)
    except ValueError:
        return False
    return True


def hint(signature: bytes, width: int) -> str:
    """What to add to the message about a wrong signature where it came as r ‖ s, else nothing.

    Args:
        signature: what was given. It is public, so what the message says of it tells no secret.
        width: bytes of each of the two numbers.

    """
    if len(signature) != 2 * width or is_der(signature):
        return ""
    return (
        f"; these {len(signature)} bytes are no DER but as long as r ‖ s, the form of JOSE and WebCrypto: "
        "huks_async.signature_from_raw makes DER of it"
    )
