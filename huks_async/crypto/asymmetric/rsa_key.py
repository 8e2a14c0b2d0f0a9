"""The RSA key that operations use, and the raw operation of the algorithm."""

import secrets
import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike

RAW_PRIVATE_WORK = 25.0
"""What a raw private operation costs, in private operations of the library."""

_USUAL_EXPONENT_BITS = 17
_RAW_FACTOR = 12.0
# the bits of an exponent that are worked on at once, and the longest exponent that is in one go
_WINDOW, _SHORT_EXPONENT_BITS = 5, 32
# Getting the interpreter back from a busy event loop takes up to 5 ms, so it is not given away more often than this.
_HELD_SECONDS = 0.0005
_MASK_BITS = 64
_COST_ROWS = (1024, 2048, 3072, 4096)


@dataclass(frozen=True, slots=True)
class RsaKey:
    """An RSA key, ready for use.

    Attributes:
        public: its public half.
        private: its private half, where it is known.
        public_work: what a public operation costs, in operations with the usual exponent, 65537. Who makes a key
            chooses the exponent, and one as long as the modulus costs 200 times as much.
    """

    public: rsa.RSAPublicKey
    private: rsa.RSAPrivateKey | None
    public_work: float = field(init=False)

    def __post_init__(self) -> None:
        """Look at the exponent."""
        bits = self.public.public_numbers().e.bit_length()
        object.__setattr__(self, "public_work", max(1.0, bits / _USUAL_EXPONENT_BITS))

    @property
    def raw_public_work(self) -> float:
        """The same of an operation without padding, which is not the library's."""
        return self.public_work * _RAW_FACTOR if self.public_work > 1.0 else 1.0

    @property
    def length(self) -> int:
        """Bytes of the modulus: of every signature and ciphertext."""
        return (self.public.key_size + 7) // 8

    def spki(self) -> bytes:
        """The public half, for another library."""
        return self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def pkcs8(self) -> bytearray:
        """The private half, for another library, in a buffer that the caller wipes."""
        private = private_of(self, "this operation")
        return bytearray(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def cost_row(size: int, half: str) -> str:
    """The row of the cost table for a key of `size` bits; `half` is `private` or `public`."""
    return f"rsa-{next((row for row in _COST_ROWS if size <= row), _COST_ROWS[-1])}-{half}"


def private_of(key: RsaKey, what: str) -> rsa.RSAPrivateKey:
    """The private half, which a public key does not have (12000006)."""
    if key.private is None:
        raise BusinessError(12000006, f"the RSA key has no private half, which {what} needs")
    return key.private


def raw_public(key: RsaKey, block: BytesLike) -> bytes:
    """Block to the power of e: exactly as many bytes as the modulus, in and out.

    Raises:
        BusinessError: 12000006 for another length or a value not below the modulus.

    """
    numbers = key.public.public_numbers()
    value = _value(block, key.length, numbers.n)
    return power(value, numbers.e, numbers.n).to_bytes(key.length, "big")


def power(base: int, exponent: int, modulus: int) -> int:
    """What `pow` gives. It holds the interpreter for no longer than a fraction of a millisecond at a time.

    `pow` would hold it for 0.2 s where the numbers have 4096 bits, and the event loop would stand still although the
    work is done in a thread.
    """
    bits = exponent.bit_length()
    if bits <= _SHORT_EXPONENT_BITS:
        return pow(base, exponent, modulus)
    powers = [1]
    for _ in range((1 << _WINDOW) - 1):
        powers.append(powers[-1] * base % modulus)
    result = 1
    until = time.perf_counter() + _HELD_SECONDS
    for shift in range((bits - 1) // _WINDOW * _WINDOW, -1, -_WINDOW):
        digit = exponent >> shift & (1 << _WINDOW) - 1
        result = pow(result, 1 << _WINDOW, modulus) * powers[digit] % modulus
        if time.perf_counter() > until:
            time.sleep(0)  # gives the interpreter to a thread that waits for it
            until = time.perf_counter() + _HELD_SECONDS
    return result


def raw_private(key: RsaKey, private: rsa.RSAPrivateKey, block: BytesLike) -> bytes:
    """Block to the power of d: exactly as many bytes as the modulus, in and out.

    `cryptography` has no public interface for it, so it is computed here, in the way that timing and
    faults tell nothing about the key: the value is blinded by a random factor, the exponents by
    random multiples of the group orders (Kocher 1996), and the result of the two half-size powers is
    checked against the public exponent before anybody sees it (Boneh, DeMillo, Lipton 1997).

    Raises:
        BusinessError: 12000006 for another length or a value not below the modulus.

    """
    numbers = private.private_numbers()
    n, e = numbers.public_numbers.n, numbers.public_numbers.e
    p, q = numbers.p, numbers.q
    value = _value(block, key.length, n)
    factor = secrets.randbelow(n - 2) + 2
    blinded = value * power(factor, e, n) % n
    power_p = power(blinded % p, numbers.dmp1 + secrets.randbits(_MASK_BITS) * (p - 1), p)
    power_q = power(blinded % q, numbers.dmq1 + secrets.randbits(_MASK_BITS) * (q - 1), q)
    result = power_q + (power_p - power_q) * numbers.iqmp % p * q
    if power(result, e, n) != blinded:
        raise BusinessError(12000006, "the RSA operation gave an inconsistent result, which was dropped")
    return (result * pow(factor, -1, n) % n).to_bytes(key.length, "big")


def _value(block: BytesLike, length: int, n: int) -> int:
    value = int.from_bytes(block, "big")
    if len(block) != length or value >= n:
        raise BusinessError(
            12000006,
            f"RSA without padding takes exactly {length} bytes that are a number below the modulus, "
            f"got {len(block)} bytes; fill shorter data with leading zeros or name a padding",
        )
    return value
