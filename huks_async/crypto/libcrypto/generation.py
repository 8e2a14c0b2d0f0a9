"""Keys and primes that `cryptography` does not make, from libcrypto."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_size_t, c_void_p

from huks_async.crypto.libcrypto.binding import UNMODIFIED, UNSIGNED, EvpKey, Libcrypto, LibcryptoError, Param
from huks_async.model.errors import BusinessError


def generate_rsa(library: Libcrypto, bits: int) -> bytearray:
    """A new RSA key with the exponent 65537, as RSAPrivateKey (RFC 8017) in a buffer that the caller wipes.

    Raises:
        LibcryptoError: it makes no key of this size.

    """
    library.stir()
    calls = library.calls
    size, pointer = c_size_t(bits), c_void_p()
    params = (Param * 2)(
        Param(b"bits", UNSIGNED, ctypes.addressof(size), ctypes.sizeof(size), UNMODIFIED), Param()
    )
    context = calls.EVP_PKEY_CTX_new_from_name(None, b"RSA", None)
    try:
        made = (
            context
            and calls.EVP_PKEY_keygen_init(context) == 1
            and calls.EVP_PKEY_CTX_set_params(context, params) == 1
            and calls.EVP_PKEY_generate(context, ctypes.byref(pointer)) == 1
        )
    finally:
        calls.EVP_PKEY_CTX_free(context)
    if not made or not pointer.value:
        raise library.refused(f"no RSA key of {bits} bits")
    key = EvpKey(library, pointer.value)
    der = bytearray(calls.i2d_PrivateKey(key.pointer, None))
    position = c_void_p(ctypes.addressof((ctypes.c_char * len(der)).from_buffer(der)))
    calls.i2d_PrivateKey(key.pointer, ctypes.byref(position))
    return der


@contextmanager
def refusals_named(what: str) -> Iterator[None]:
    """Make an error of HUKS of a refusal by libcrypto, whose configuration may forbid small keys: 12000001."""
    try:
        yield
    except LibcryptoError as refused:
        raise BusinessError(
            12000001,
            f"{what} is refused by libcrypto ({refused}); a policy of the system may forbid it: "
            "make a key of 2048 bits",
        ) from None


def prime(library: Libcrypto, bits: int, step: int | None = None) -> int:
    """A random prime of exactly `bits` bits, not secret; with a step, one more than a multiple of it.

    Raises:
        LibcryptoError: out of memory or of random numbers.

    """
    library.stir()
    calls = library.calls
    number, divisor = calls.BN_new(), None
    try:
        if step is not None:
            octets = step.to_bytes((step.bit_length() + 7) // 8, "big")
            divisor = calls.BN_bin2bn(octets, len(octets), None)
        if calls.BN_generate_prime_ex(number, bits, 0, divisor, None, None) != 1:
            raise library.refused(f"no prime of {bits} bits")
        out = ctypes.create_string_buffer((bits + 7) // 8)
        calls.BN_bn2binpad(number, out, len(out))
        return int.from_bytes(out.raw, "big")
    finally:
        calls.BN_free(number)
        calls.BN_free(divisor)
