"""SM2 ciphertexts and signatures in the forms of other programs.

HUKS gives and takes DER. Java's SM2, gmssl and most hardware have SM2 ciphertexts as C1, C3 and C2 one after
another, in one of two orders; JOSE, WebCrypto and Go's JWT libraries have signatures as r ‖ s. The functions
here convert both ways. They are pure, need no keystore, and see nothing secret.

Whoever converts to DER learns here of bytes that cannot be such a ciphertext or signature. Whether they belong to
a key is for the keystore to find.
"""

from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from huks_async.crypto import signature_form
from huks_async.crypto.sm2 import encoding, raw_ciphertext
from huks_async.crypto.sm2.raw_ciphertext import ORDERS, Sm2Order
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.limits import MIB
from huks_async.model.params import BytesLike, as_bytes
from huks_async.model.showing import shown

_ILLEGAL, _PARAMETER = 401, 12000003
# what a session takes in one call by default, with room for what encryption adds
_MAX_CIPHERTEXT = 64 * MIB + 1024
_ECC, _DSA, _SM2 = HuksKeyAlg.HUKS_ALG_ECC, HuksKeyAlg.HUKS_ALG_DSA, HuksKeyAlg.HUKS_ALG_SM2
_CURVE_ORDERS = {
    224: ec.SECP224R1().group_order,
    256: ec.SECP256R1().group_order,
    384: ec.SECP384R1().group_order,
    521: ec.SECP521R1().group_order,
}
_DSA_ORDER_BITS = (160, 224, 256)


def sm2_ciphertext_from_raw(ciphertext: BytesLike, order: Sm2Order = "C1C3C2") -> bytes:
    """Make the DER that HUKS decrypts of a raw SM2 ciphertext.

    Args:
        ciphertext: C1, then C3 and C2 in the given order: C1 is a point of 65 bytes that begins with 04, or its 64
            bytes x ‖ y alone (which of both is told by the curve), or compressed (33 bytes that begin with 02
            or 03); C3 has 32 bytes, C2 as many as the plaintext, at least one.
        order: `C1C3C2` (GB/T 32918.4, 2016 and later) or `C1C2C3` (older software, and the default of Bouncy
            Castle). The bytes do not tell: with the wrong order the conversion works and the decryption fails.

    Returns:
        SEQUENCE { INTEGER x, INTEGER y, OCTET STRING C3, OCTET STRING C2 }, GM/T 0009 section 7.2.

    Raises:
        BusinessError: 401 for bytes that are no such ciphertext, 12000003 for another order.

    """
    data = as_bytes(ciphertext, "ciphertext", _MAX_CIPHERTEXT)
    _check_order(order)
    try:
        return encoding.build_ciphertext(*raw_ciphertext.split(data, order))
    except ValueError as wrong:
        hint = "they are DER already" if _is_sm2_der(data) else _text_hint(data)
        raise BusinessError(
            _ILLEGAL,
            f"these {len(data)} bytes are no raw SM2 ciphertext {order}: {hint or wrong}; accepted is C1 (64 bytes "
            "x ‖ y, with or without 04 in front, or 33 bytes compressed), C3 (32 bytes) and C2 (1 byte or more)",
        ) from None


def sm2_ciphertext_to_raw(ciphertext: BytesLike, order: Sm2Order = "C1C3C2", *, prefix: bool = True) -> bytes:
    """Make a raw SM2 ciphertext of the DER that HUKS gives.

    Args:
        ciphertext: SEQUENCE { INTEGER x, INTEGER y, OCTET STRING C3, OCTET STRING C2 }, GM/T 0009 section 7.2.
        order: `C1C3C2` or `C1C2C3`, as the receiver wants it.
        prefix: whether C1 begins with 04. Bouncy Castle wants it; gmssl for Python does not.

    Returns:
        96 bytes more than the plaintext has, and one more with the prefix. Coordinates keep their leading zeros.

    Raises:
        BusinessError: 401 for bytes that are no such DER, 12000003 for another order.

    """
    data = as_bytes(ciphertext, "ciphertext", _MAX_CIPHERTEXT)
    _check_order(order)
    try:
        parts = encoding.parse_ciphertext(data)
    except ValueError as wrong:
        hint = "they are raw already" if raw_ciphertext.looks_raw(data) else _text_hint(data)
        raise BusinessError(
            _ILLEGAL,
            f"these {len(data)} bytes are no SM2 ciphertext in DER: {hint or wrong}; accepted is SEQUENCE {{x, y, C3, "
            "C2}} in its shortest form, with a point (x, y) of the curve, C3 of 32 bytes and C2 of at least one",
        ) from None
    return raw_ciphertext.join(*parts, order, prefix=prefix)


def signature_from_raw(signature: BytesLike, algorithm: int, size: int | None = None) -> bytes:
    """Make the DER that HUKS verifies of a signature r ‖ s.

    Args:
        signature: r and s, big-endian, each as many bytes as the order of the group has: 28, 32, 48 or 66
            for ECDSA on P-224, P-256, P-384 or P-521; 32 for SM2; 20, 28 or 32 for DSA.
        algorithm: `HUKS_ALG_ECC`, `HUKS_ALG_SM2` or `HUKS_ALG_DSA`.
        size: bits: for ECDSA of the curve, for DSA of q (160, 224 or 256), which is not the size of the key;
            SM2 needs none.

    Returns:
        SEQUENCE { INTEGER r, INTEGER s }.

    Raises:
        BusinessError: 401 for bytes that are no such signature (another length, or a number that is zero or not
            below the order), 12000003 for an algorithm or size that has none.

    """
    group = _group(algorithm, size)
    data = as_bytes(signature, "signature")
    if len(data) != 2 * group.width:
        hint = "; they are DER already" if signature_form.is_der(data) else _text_hint(data, "; ")
        raise BusinessError(
            _ILLEGAL,
            f"a signature r ‖ s of {group.name} has {2 * group.width} bytes ({group.width} for each number, leading "
            f"zeros kept), got {len(data)}{hint}",
        )
    r, s = (int.from_bytes(half, "big") for half in (data[: group.width], data[group.width :]))
    _check_numbers(r, s, group)
    return signature_form.der_of(r, s)


def signature_to_raw(signature: BytesLike, algorithm: int, size: int | None = None) -> bytes:
    """Make r ‖ s of the DER signature that HUKS gives.

    Args:
        signature: SEQUENCE { INTEGER r, INTEGER s }, in strict DER.
        algorithm: `HUKS_ALG_ECC`, `HUKS_ALG_SM2` or `HUKS_ALG_DSA`.
        size: as for `signature_from_raw`.

    Returns:
        r and s, big-endian, each as many bytes as the order of the group has, leading zeros kept.

    Raises:
        BusinessError: 401 for bytes that are no such signature, 12000003 for an algorithm or size that has none.

    """
    group = _group(algorithm, size)
    data = as_bytes(signature, "signature")
    try:
        r, s = signature_form.numbers_of(data)
    except ValueError:
        hint = "; they are as long as r ‖ s" if len(data) == 2 * group.width else _text_hint(data, "; ")
        raise BusinessError(
            _ILLEGAL,
            f"these {len(data)} bytes are no signature in DER{hint}; accepted is SEQUENCE {{INTEGER r, INTEGER s}} "
            "in its shortest form and nothing after it",
        ) from None
    _check_numbers(r, s, group)
    return r.to_bytes(group.width, "big") + s.to_bytes(group.width, "big")


class _Group(NamedTuple):
    """Where the two numbers of a signature come from."""

    name: str
    beyond: int
    """The numbers are below this: the order of the group, or the least number of more bits than DSA's q."""
    width: int
    """Bytes of a number."""


def _group(algorithm: int, size: int | None) -> _Group:
    bits = size if isinstance(size, int) else None
    if not isinstance(algorithm, int):
        raise _no_pair(algorithm)  # 2.0 equals HUKS_ALG_ECC
    if algorithm == _SM2 and (size is None or bits == encoding.BITS):
        return _Group("SM2", encoding.N, encoding.FIELD)
    if algorithm == _ECC and bits in _CURVE_ORDERS:
        return _Group(f"ECDSA on P-{bits}", _CURVE_ORDERS[bits], (bits + 7) // 8)
    if algorithm == _DSA and bits in _DSA_ORDER_BITS:
        return _Group(f"DSA with q of {bits} bits", 1 << bits, bits // 8)
    accepted = {
        _SM2: "HUKS_ALG_SM2 has the size 256",
        _ECC: "HUKS_ALG_ECC needs the size of its curve, 224, 256, 384 or 521",
        _DSA: "HUKS_ALG_DSA needs the size of its q, which is 160, 224 or 256 bits and not the size of the key",
    }
    for number, wanted in accepted.items():
        if algorithm == number:
            raise BusinessError(_PARAMETER, f"size is {shown(size)}; {wanted}")
    raise _no_pair(algorithm)


def _no_pair(algorithm: object) -> BusinessError:
    return BusinessError(
        _PARAMETER,
        f"algorithm is {shown(algorithm)}; signatures of HUKS_ALG_ECC, HUKS_ALG_SM2 and HUKS_ALG_DSA are two numbers; "
        "those of RSA, Ed25519 and ML-DSA have one form, which all programs share",
    )


def _check_numbers(r: int, s: int, group: _Group) -> None:
    for name, number in (("r", r), ("s", s)):
        if not 0 < number < group.beyond:
            bound = "the bits of q" if group.beyond & (group.beyond - 1) == 0 else "the order of the group"
            what = "zero" if number == 0 else f"not below {bound}"
            raise BusinessError(
                _ILLEGAL, f"{name} of the signature is {what}, which no signature of {group.name} has"
            )


def _check_order(order: object) -> None:
    if order not in ORDERS:
        raise BusinessError(_PARAMETER, f"order is {shown(order)}; accepted are {' and '.join(ORDERS)}")


def _is_sm2_der(data: bytes) -> bool:
    try:
        encoding.parse_ciphertext(data)
    except ValueError:
        return False
    return True


def _text_hint(data: bytes, before: str = "") -> str:
    """A word on data that came as text, which command lines and the gmssl of Python give."""
    text = data.strip()
    try:
        bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return ""
    return f"{before}they are text in hexadecimal, decode it first (bytes.fromhex)" if text else ""


__all__ = [
    "Sm2Order",
    "signature_from_raw",
    "signature_to_raw",
    "sm2_ciphertext_from_raw",
    "sm2_ciphertext_to_raw",
]
