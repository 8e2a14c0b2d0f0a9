"""OpenSSL's libcrypto (3.0 or later) through ctypes, for what `cryptography` does not offer.

That is SM2, ML-DSA and ML-KEM with expanded private keys, small RSA keys, DSA groups of unusual sizes and
OAEP with MD5. ctypes lets other threads run during every call. Which library is loaded is decided in
`search`.
"""

import ctypes
from collections.abc import Mapping
from ctypes import c_char_p, c_double, c_int, c_long, c_size_t, c_uint, c_void_p

from huks_async.runtime.randomness import random_bytes

_OCTETS, _TEXT, _INTEGER, UNSIGNED = 5, 4, 1, 2
UNMODIFIED = c_size_t(-1).value
_EVP_PKEY_KEYPAIR = 0x87
_SEED_BYTES = 32


class LibcryptoError(Exception):
    """libcrypto refused a key or an operation; it does not say more, so neither do we."""


class Param(ctypes.Structure):
    """OSSL_PARAM of OpenSSL 3."""

    _fields_ = (
        ("key", c_char_p),
        ("data_type", c_uint),
        ("data", c_void_p),
        ("data_size", c_size_t),
        ("return_size", c_size_t),
    )


_SIGNATURES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "BN_bin2bn": (c_void_p, (c_char_p, c_int, c_void_p)),
    "BN_bn2binpad": (c_int, (c_void_p, c_void_p, c_int)),
    "BN_free": (None, (c_void_p,)),
    "BN_generate_prime_ex": (c_int, (c_void_p, c_int, c_int, c_void_p, c_void_p, c_void_p)),
    "BN_new": (c_void_p, ()),
    "ERR_clear_error": (None, ()),
    "EVP_DigestSign": (c_int, (c_void_p, c_void_p, c_void_p, c_char_p, c_size_t)),
    "EVP_DigestSignInit_ex": (
        c_int,
        (c_void_p, c_void_p, c_char_p, c_void_p, c_char_p, c_void_p, c_void_p),
    ),
    "EVP_MD_CTX_free": (None, (c_void_p,)),
    "EVP_MD_CTX_new": (c_void_p, ()),
    "EVP_PKEY_CTX_free": (None, (c_void_p,)),
    "EVP_PKEY_CTX_new_from_name": (c_void_p, (c_void_p, c_char_p, c_char_p)),
    "EVP_PKEY_CTX_new_from_pkey": (c_void_p, (c_void_p, c_void_p, c_char_p)),
    "EVP_PKEY_CTX_set_params": (c_int, (c_void_p, c_void_p)),
    "EVP_PKEY_decapsulate": (c_int, (c_void_p, c_void_p, c_void_p, c_char_p, c_size_t)),
    "EVP_PKEY_decapsulate_init": (c_int, (c_void_p, c_void_p)),
    "EVP_PKEY_decrypt": (c_int, (c_void_p, c_void_p, c_void_p, c_char_p, c_size_t)),
    "EVP_PKEY_decrypt_init_ex": (c_int, (c_void_p, c_void_p)),
    "EVP_PKEY_encrypt": (c_int, (c_void_p, c_void_p, c_void_p, c_char_p, c_size_t)),
    "EVP_PKEY_encrypt_init_ex": (c_int, (c_void_p, c_void_p)),
    "EVP_PKEY_free": (None, (c_void_p,)),
    "EVP_PKEY_fromdata": (c_int, (c_void_p, c_void_p, c_int, c_void_p)),
    "EVP_PKEY_fromdata_init": (c_int, (c_void_p,)),
    "EVP_PKEY_generate": (c_int, (c_void_p, c_void_p)),
    "EVP_PKEY_get_octet_string_param": (
        c_int,
        (c_void_p, c_char_p, c_void_p, c_size_t, c_void_p),
    ),
    "EVP_PKEY_is_a": (c_int, (c_void_p, c_char_p)),
    "EVP_PKEY_keygen_init": (c_int, (c_void_p,)),
    "EVP_PKEY_sign": (c_int, (c_void_p, c_void_p, c_void_p, c_char_p, c_size_t)),
    "EVP_PKEY_sign_init": (c_int, (c_void_p,)),
    "EVP_PKEY_verify": (c_int, (c_void_p, c_char_p, c_size_t, c_char_p, c_size_t)),
    "EVP_PKEY_verify_init": (c_int, (c_void_p,)),
    "RAND_add": (None, (c_char_p, c_int, c_double)),
    "d2i_AutoPrivateKey": (c_void_p, (c_void_p, c_void_p, c_long)),
    "d2i_PUBKEY": (c_void_p, (c_void_p, c_void_p, c_long)),
    "i2d_PrivateKey": (c_int, (c_void_p, c_void_p)),
}


_INITIALISE = {
    "decapsulate": "EVP_PKEY_decapsulate_init",
    "decrypt": "EVP_PKEY_decrypt_init_ex",
    "encrypt": "EVP_PKEY_encrypt_init_ex",
    "sign": "EVP_PKEY_sign_init",
}


def _texts(settings: Mapping[str, str]) -> tuple[ctypes.Array[Param], list[object]]:
    """OSSL_PARAMs of text, and what must live as long as they."""
    buffers = [ctypes.create_string_buffer(value.encode()) for value in settings.values()]
    params = [
        Param(name.encode(), _TEXT, ctypes.addressof(buffer), len(buffer) - 1, UNMODIFIED)
        for name, buffer in zip(settings, buffers, strict=True)
    ]
    return (Param * (len(params) + 1))(*params, Param()), list(buffers)


class EvpKey:
    """A key inside libcrypto, freed with the last reference. Any number of threads may use it."""

    __slots__ = ("_free", "pointer")

    def __init__(self, library: "Libcrypto", pointer: int) -> None:
        self.pointer: int = pointer
        self._free = library.calls.EVP_PKEY_free

    def __del__(self) -> None:
        self._free(self.pointer)


class Libcrypto:
    """One loaded libcrypto; its methods raise `LibcryptoError`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.calls: ctypes.CDLL = ctypes.CDLL(path)
        # These functions are absent from OpenSSL before 3.0, LibreSSL and BoringSSL, which are refused so.
        calls = self.calls
        major, minor, patch = (
            calls.OPENSSL_version_major,
            calls.OPENSSL_version_minor,
            calls.OPENSSL_version_patch,
        )
        self.version: tuple[int, int, int] = (major(), minor(), patch())

    @property
    def version_text(self) -> str:
        """The version as people write it."""
        return ".".join(str(part) for part in self.version)

    def declare(self) -> None:
        """Tell ctypes the types of all functions used here."""
        for name, (result, arguments) in _SIGNATURES.items():
            call = getattr(self.calls, name)
            call.restype, call.argtypes = result, arguments

    def knows(self, algorithm: str) -> bool:
        """Whether this build has the algorithm; distributions leave some out."""
        context = self.calls.EVP_PKEY_CTX_new_from_name(None, algorithm.encode(), None)
        self.calls.EVP_PKEY_CTX_free(context)
        self.calls.ERR_clear_error()
        return bool(context)

    def stir(self) -> None:
        """Give this library fresh randomness of the kernel's; `openssl_random` says why."""
        self.calls.RAND_add(random_bytes(_SEED_BYTES), _SEED_BYTES, _SEED_BYTES)

    def private_key(self, algorithm: str, pkcs8: bytearray) -> EvpKey:
        """Load a PKCS#8 key. The buffer is the caller's to wipe."""
        return self._from_der("d2i_AutoPrivateKey", algorithm, pkcs8)

    def public_key(self, algorithm: str, spki: bytes) -> EvpKey:
        """Load a SubjectPublicKeyInfo."""
        return self._from_der("d2i_PUBKEY", algorithm, bytearray(spki))

    def _from_der(self, reader: str, algorithm: str, der: bytearray) -> EvpKey:
        buffer = (ctypes.c_char * len(der)).from_buffer(der)
        position = c_void_p(ctypes.addressof(buffer))
        pointer = getattr(self.calls, reader)(None, ctypes.byref(position), len(der))
        # The decoders leave reports of the formats that they tried, even when one fitted.
        self.calls.ERR_clear_error()
        if not pointer:
            raise LibcryptoError(f"no {algorithm} key")
        key = EvpKey(self, pointer)
        if self.calls.EVP_PKEY_is_a(pointer, algorithm.encode()) != 1:
            raise LibcryptoError(f"a key, but not of {algorithm}")
        return key

    def raw_private_key(self, algorithm: str, data: bytes) -> EvpKey:
        """Make a key from the bytes that its standard calls the private key."""
        octets = ctypes.create_string_buffer(data, len(data))
        params = (Param * 2)(
            Param(b"priv", _OCTETS, ctypes.addressof(octets), len(data), UNMODIFIED), Param()
        )
        pointer = c_void_p()
        context = self.calls.EVP_PKEY_CTX_new_from_name(None, algorithm.encode(), None)
        try:
            made = (
                context
                and self.calls.EVP_PKEY_fromdata_init(context) == 1
                and self.calls.EVP_PKEY_fromdata(context, ctypes.byref(pointer), _EVP_PKEY_KEYPAIR, params)
                == 1
            )
        finally:
            self.calls.EVP_PKEY_CTX_free(context)
            ctypes.memset(octets, 0, len(data))
        if not made or not pointer.value:
            raise self.refused(f"no {algorithm} private key")
        return EvpKey(self, pointer.value)

    def octets(self, key: EvpKey, name: str, room: int) -> bytes:
        """The octet string that the key has under `name`, at most `room` bytes; wiped from our buffer."""
        out, length = ctypes.create_string_buffer(room), c_size_t()
        try:
            done = self.calls.EVP_PKEY_get_octet_string_param(
                key.pointer, name.encode(), out, room, ctypes.byref(length)
            )
            if done != 1:
                raise self.refused(f"the key has no {name!r}")
            return ctypes.string_at(out, length.value)
        finally:
            ctypes.memset(out, 0, room)

    def transform(
        self,
        step: str,
        key: EvpKey,
        data: bytes,
        *,
        secret: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run one of sign, encrypt, decrypt, decapsulate; `secret` output is wiped from our buffer."""
        initialise = getattr(self.calls, _INITIALISE[step])
        run = getattr(self.calls, f"EVP_PKEY_{step}")
        self.stir()
        context = self._context(key)
        params, _keep = _texts(settings or {})
        try:
            length = c_size_t()
            ready = initialise(context) if step == "sign" else initialise(context, params)
            if ready != 1 or run(context, None, ctypes.byref(length), data, len(data)) != 1:
                raise self.refused(step)
            out = ctypes.create_string_buffer(length.value)
            if run(context, out, ctypes.byref(length), data, len(data)) != 1:
                raise self.refused(step)
            result = ctypes.string_at(out, length.value)
            if secret:
                ctypes.memset(out, 0, len(out))
            return result
        finally:
            self.calls.EVP_PKEY_CTX_free(context)

    def verify(self, key: EvpKey, digest: bytes, signature: bytes) -> bool:
        """Whether the signature of a digest is right."""
        context = self._context(key)
        try:
            if self.calls.EVP_PKEY_verify_init(context) != 1:
                raise self.refused("verify")
            right = self.calls.EVP_PKEY_verify(context, signature, len(signature), digest, len(digest)) == 1
            if not right:
                self.calls.ERR_clear_error()
            return bool(right)
        finally:
            self.calls.EVP_PKEY_CTX_free(context)

    def sign_mu(self, key: EvpKey, mu: bytes, signature_bytes: int) -> bytes:
        """Sign the message representative mu of FIPS 204, algorithm 7 step 6."""
        self.stir()
        is_mu = c_int(1)
        params = (Param * 2)(
            Param(b"mu", _INTEGER, ctypes.addressof(is_mu), ctypes.sizeof(is_mu), UNMODIFIED), Param()
        )
        out, length = ctypes.create_string_buffer(signature_bytes), c_size_t(signature_bytes)
        context = self.calls.EVP_MD_CTX_new()
        try:
            begun = self.calls.EVP_DigestSignInit_ex(context, None, None, None, None, key.pointer, params)
            if begun != 1 or self.calls.EVP_DigestSign(context, out, ctypes.byref(length), mu, len(mu)) != 1:
                raise self.refused("sign")
            return out.raw[: length.value]
        finally:
            self.calls.EVP_MD_CTX_free(context)

    def _context(self, key: EvpKey) -> int:
        context = self.calls.EVP_PKEY_CTX_new_from_pkey(None, key.pointer, None)
        if not context:
            raise self.refused("no context")
        return int(context)

    def refused(self, what: str) -> LibcryptoError:
        """The error to raise after a call failed; forgets what libcrypto noted about it."""
        # The error queue belongs to the thread, and other code (the module ssl) may look at it.
        self.calls.ERR_clear_error()
        return LibcryptoError(what)
