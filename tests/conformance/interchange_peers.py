"""Raw forms of SM2 ciphertexts and of signatures, against the programs that made them common.

Run `python -m tests.conformance.interchange_peers` for 10,000 values of each kind; the suite runs a few hundred.
Every value comes from a seed. Leading zeros, which conversions lose where they are wrong, occur by themselves once
in 128 values, and are put in on purpose in every eighth pair of numbers.
"""

import ctypes
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import gmalg
from Cryptodome.Util.asn1 import DerSequence
from gmssl import func as gmssl_random
from gmssl.sm2 import CryptSM2

from huks_async import (
    HuksKeyAlg,
    signature_from_raw,
    signature_to_raw,
    sm2_ciphertext_from_raw,
    sm2_ciphertext_to_raw,
)
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.libcrypto.search import libcrypto_for
from huks_async.crypto.sm2 import encoding, sm2

ECC, DSA, SM2 = HuksKeyAlg.HUKS_ALG_ECC, HuksKeyAlg.HUKS_ALG_DSA, HuksKeyAlg.HUKS_ALG_SM2

# orders of the curves, SEC 2 and GB/T 32918.5, beside which the library's own are held
ORDERS: dict[tuple[int, int | None], int] = {
    (ECC, 224): 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFF16A2E0B8F03E13DD29455C5C2A3D,
    (ECC, 256): 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    (ECC, 384): int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16
    ),
    (ECC, 521): int(
        "01" + "F" * 64 + "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
        16,
    ),
    (SM2, None): encoding.N,
    (DSA, 160): 1 << 160,
    (DSA, 224): 1 << 224,
    (DSA, 256): 1 << 256,
}


def numbers(seed: int, order: int, count: int) -> Iterator[tuple[int, int]]:
    """Pairs 1 … order - 1: any, with whole bytes of zeros in front, the least and the greatest."""
    yield from ((1, 1), (order - 1, order - 1), (1, order - 1), (0x7F, 0x80), (0xFF, 0x100))
    draw = random.Random(seed)
    bits = order.bit_length() - 1
    for index in range(count):
        short = draw.randrange(1, bits) if index % 8 == 0 else 0
        r, s = (draw.randrange(1, max(2, order >> cut)) for cut in (short, short and draw.randrange(1, bits)))
        yield r, s


class OpenSslSignatures:
    """OpenSSL's own reading and writing of a signature of two numbers."""

    def __init__(self) -> None:
        self._calls = calls = ctypes.CDLL(libcrypto_for("SM2", "sm2").path)
        for name in ("ECDSA_SIG_new", "d2i_ECDSA_SIG", "BN_bin2bn", "ECDSA_SIG_get0_r", "ECDSA_SIG_get0_s"):
            getattr(calls, name).restype = ctypes.c_void_p

    def read(self, der: bytes, width: int) -> bytes:
        """DER as r ‖ s."""
        calls = self._calls
        start = ctypes.c_char_p(der)
        made = ctypes.c_void_p(calls.d2i_ECDSA_SIG(None, ctypes.byref(start), ctypes.c_long(len(der))))
        assert made.value, der.hex()
        out = b""
        for get in (calls.ECDSA_SIG_get0_r, calls.ECDSA_SIG_get0_s):
            buffer = ctypes.create_string_buffer(width)
            assert calls.BN_bn2binpad(ctypes.c_void_p(get(made)), buffer, width) == width
            out += buffer.raw
        calls.ECDSA_SIG_free(made)
        return out

    def write(self, r: int, s: int) -> bytes:
        """The numbers as DER."""
        calls = self._calls
        made = ctypes.c_void_p(calls.ECDSA_SIG_new())
        halves = []
        for number in (r, s):
            octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
            halves.append(ctypes.c_void_p(calls.BN_bin2bn(octets, len(octets), None)))
        assert calls.ECDSA_SIG_set0(made, *halves) == 1
        out = ctypes.create_string_buffer(512)
        position = ctypes.c_void_p(ctypes.addressof(out))
        length = calls.i2d_ECDSA_SIG(made, ctypes.byref(position))
        calls.ECDSA_SIG_free(made)
        return out.raw[:length]


def compare_signatures(algorithm: int, size: int | None, count: int) -> Counter[str]:
    """Each pair of numbers as OpenSSL, pycryptodome and this library write and read it.

    Returns:
        how many had a leading zero in r, and in s.

    """
    order = ORDERS[algorithm, size]
    width = ((order - 1).bit_length() + 7) // 8
    openssl, seen = OpenSslSignatures(), Counter[str]()
    for r, s in numbers(algorithm * 1000 + (size or 0), order, count):
        raw = r.to_bytes(width, "big") + s.to_bytes(width, "big")
        der = signature_from_raw(raw, algorithm, size)
        assert der == openssl.write(r, s) == DerSequence([r, s]).encode()
        assert signature_to_raw(der, algorithm, size) == raw == openssl.read(der, width)
        assert list(DerSequence().decode(der, strict=True)) == [r, s]
        seen["values"] += 1
        seen["zero before r"] += raw[0] == 0
        seen["zero before s"] += raw[width] == 0
    return seen


# A small private key and small nonces make the slow arithmetic of the two Python libraries short. The points,
# and so the bytes that are compared, are as any others.
_SECRET = (3).to_bytes(32, "big")
_NONCE_BITS = 24


def _parties() -> tuple[sm2.Sm2Key, bytes]:
    point = sm2.public_point(_SECRET)
    return sm2.load(KeyMaterial(SM2, 256, _SECRET, encoding.spki_from_point(point))), point


def compare_sm2_to_raw(count: int) -> Counter[str]:
    """What OpenSSL encrypts, in each raw form, is decrypted by gmssl and gmalg; and back again by OpenSSL."""
    key, point = _parties()
    second = CryptSM2(_SECRET.hex(), point.hex(), mode=1)
    first = CryptSM2(_SECRET.hex(), point.hex(), mode=0)
    other = gmalg.SM2(_SECRET, None, b"\x04" + point)
    draw, seen = random.Random(1), Counter[str]()
    for _ in range(count):
        text = draw.randbytes(draw.randrange(1, 40))
        der = sm2.encrypt(key, text)
        new, old = (sm2_ciphertext_to_raw(der, order, prefix=False) for order in ("C1C3C2", "C1C2C3"))
        assert second.decrypt(new) == first.decrypt(old) == text
        assert other.decrypt(sm2_ciphertext_to_raw(der)) == text
        assert sm2_ciphertext_to_raw(der, "C1C2C3") == b"\x04" + old
        for back in (new, b"\x04" + new):
            assert sm2_ciphertext_from_raw(back) == der
        for back in (old, b"\x04" + old):
            assert sm2_ciphertext_from_raw(back, "C1C2C3") == der
        _count(seen, new)
    return seen


def compare_sm2_from_raw(count: int, replace: Callable[[Any, str, Any], None] = setattr) -> Counter[str]:
    """What gmssl and gmalg encrypt, in all their forms, is decrypted by OpenSSL; `replace` sets gmssl's nonces."""
    key, point = _parties()
    draw, seen = random.Random(2), Counter[str]()

    def nonce(_: object) -> int:
        return draw.getrandbits(_NONCE_BITS) | 1

    replace(gmssl_random, "random_hex", lambda _: f"{nonce(None):064x}")
    senders = [
        (CryptSM2(_SECRET.hex(), point.hex(), mode=mode), "C1C2C3" if mode == 0 else "C1C3C2")
        for mode in (0, 1)
    ]
    senders += [
        (gmalg.SM2(_SECRET, None, b"\x04" + point, rnd_fn=nonce, pc_mode=mode), "C1C3C2")
        for mode in gmalg.base.PC_MODE
    ]
    for index in range(count):
        sender, order = senders[index % len(senders)]
        text = draw.randbytes(draw.randrange(1, 40))
        raw = sender.encrypt(text)
        der = sm2_ciphertext_from_raw(raw, order)
        assert sm2.decrypt(key, der) == text
        _count(seen, sm2_ciphertext_to_raw(der, prefix=False))
    return seen


def _count(seen: Counter[str], raw: bytes) -> None:
    seen["values"] += 1
    for start, what in ((0, "zero before x"), (32, "zero before y"), (64, "zero before C3")):
        seen[what] += raw[start] == 0


def main(count: int) -> None:
    """Compare `count` values of each kind, and show what occurred."""
    for algorithm, size in ORDERS:
        print(
            HuksKeyAlg(algorithm).name,
            size or "",
            dict(compare_signatures(algorithm, size, count)),
            flush=True,
        )
    print("SM2 to raw", dict(compare_sm2_to_raw(count)), flush=True)
    print("SM2 from raw", dict(compare_sm2_from_raw(count)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
