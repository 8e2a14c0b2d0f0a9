"""OpenSSL's libcrypto through ctypes, for what `cryptography` does not offer: SM2, expanded ML keys.

`cryptography` links its own OpenSSL with hidden symbols, so a second one is needed. Candidates, in order:

1. the library that the environment variable `HUKS_ASYNC_LIBCRYPTO` names, and then no other;
2. the system's library;
3. the one inside the wheel of `psycopg-binary`, which the extras `sm2` and `pqc-expanded` install:
   the one wheel on the index that brings a current libcrypto with open symbols.

Releases with known timing leaks in elliptic-curve multiplication (CVE-2026-54872, CVE-2026-54875,
CVE-2025-9231) are passed over. A distribution may have mended an older number: an operator who knows
that says so with `HUKS_ASYNC_LIBCRYPTO_ACCEPT`, the exact version to accept.
"""

import ctypes
import functools
import os
import sys
from collections.abc import Iterator, Mapping
from ctypes import c_char_p, c_int, c_long, c_size_t, c_uint, c_void_p
from importlib import metadata

from huks_async.model.errors import BusinessError

PATH_VARIABLE = "HUKS_ASYNC_LIBCRYPTO"
ACCEPT_VARIABLE = "HUKS_ASYNC_LIBCRYPTO_ACCEPT"

_FIXED_IN: dict[tuple[int, int], int] = {(3, 0): 23, (3, 4): 8, (3, 5): 9, (3, 6): 5, (4, 0): 3}
_GATE = ", ".join(f"{major}.{minor}.{patch}" for (major, minor), patch in _FIXED_IN.items())
_WHEEL = "psycopg-binary"
# on macOS the unversioned name would end the process, so names carry the number of the interface
_SYSTEM_NAMES = (
    ("libcrypto.4.dylib", "libcrypto.3.dylib")
    if sys.platform == "darwin"
    else ("libcrypto.so.4", "libcrypto.so.3")
)

_NOT_SUPPORTED = 12000001
_OCTETS, _INTEGER = 5, 1
_UNMODIFIED = c_size_t(-1).value
_EVP_PKEY_KEYPAIR = 0x87


class LibcryptoError(Exception):
    """libcrypto refused a key or an operation; it does not say more, so neither do we."""


class _Param(ctypes.Structure):
    """OSSL_PARAM of OpenSSL 3."""

    _fields_ = (
        ("key", c_char_p),
        ("data_type", c_uint),
        ("data", c_void_p),
        ("data_size", c_size_t),
        ("return_size", c_size_t),
    )


_SIGNATURES: dict[str, tuple[type | None, tuple[type, ...]]] = {
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
    "EVP_PKEY_decapsulate": (c_int, (c_void_p, c_void_p, c_void_p, c_char_p, c_size_t)),
    "EVP_PKEY_decapsulate_init": (c_int, (c_void_p, c_void_p)),
    "EVP_PKEY_decrypt": (c_int, (c_void_p, c_void_p, c_void_p, c_char_p, c_size_t)),
    "EVP_PKEY_decrypt_init": (c_int, (c_void_p,)),
    "EVP_PKEY_encrypt": (c_int, (c_void_p, c_void_p, c_void_p, c_char_p, c_size_t)),
    "EVP_PKEY_encrypt_init": (c_int, (c_void_p,)),
    "EVP_PKEY_free": (None, (c_void_p,)),
    "EVP_PKEY_fromdata": (c_int, (c_void_p, c_void_p, c_int, c_void_p)),
    "EVP_PKEY_fromdata_init": (c_int, (c_void_p,)),
    "EVP_PKEY_get_octet_string_param": (
        c_int,
        (c_void_p, c_char_p, c_void_p, c_size_t, c_void_p),
    ),
    "EVP_PKEY_is_a": (c_int, (c_void_p, c_char_p)),
    "EVP_PKEY_sign": (c_int, (c_void_p, c_void_p, c_void_p, c_char_p, c_size_t)),
    "EVP_PKEY_sign_init": (c_int, (c_void_p,)),
    "EVP_PKEY_verify": (c_int, (c_void_p, c_char_p, c_size_t, c_char_p, c_size_t)),
    "EVP_PKEY_verify_init": (c_int, (c_void_p,)),
    "d2i_AutoPrivateKey": (c_void_p, (c_void_p, c_void_p, c_long)),
    "d2i_PUBKEY": (c_void_p, (c_void_p, c_void_p, c_long)),
}


class EvpKey:
    """A key inside libcrypto, freed with the last reference. Any number of threads may use it."""

    __slots__ = ("_free", "pointer")

    def __init__(self, library: "Libcrypto", pointer: int) -> None:
        self.pointer = pointer
        self._free = library.calls.EVP_PKEY_free

    def __del__(self) -> None:
        self._free(self.pointer)


class Libcrypto:
    """One loaded libcrypto; its methods raise `LibcryptoError`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.calls = ctypes.CDLL(path)
        parts = []
        for part in ("major", "minor", "patch"):
            # absent from OpenSSL before 3.0, LibreSSL and BoringSSL
            call = getattr(self.calls, f"OPENSSL_version_{part}")
            call.restype, call.argtypes = c_uint, ()
            parts.append(int(call()))
        self.version: tuple[int, ...] = tuple(parts)

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
        # the decoders leave reports of the formats they tried, even when one fitted
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
        params = (_Param * 2)(
            _Param(b"priv", _OCTETS, ctypes.addressof(octets), len(data), _UNMODIFIED), _Param()
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
            raise self._refused(f"no {algorithm} private key")
        return EvpKey(self, pointer.value)

    def octets(self, key: EvpKey, name: str, room: int) -> bytes:
        """The octet string that the key has under `name`, at most `room` bytes."""
        out, length = ctypes.create_string_buffer(room), c_size_t()
        done = self.calls.EVP_PKEY_get_octet_string_param(
            key.pointer, name.encode(), out, room, ctypes.byref(length)
        )
        if done != 1:
            raise self._refused(f"the key has no {name!r}")
        return out.raw[: length.value]

    def transform(self, step: str, key: EvpKey, data: bytes, *, secret: bool = False) -> bytes:
        """Run one of sign, encrypt, decrypt, decapsulate; `secret` output is wiped from our buffer."""
        initialise = getattr(self.calls, f"EVP_PKEY_{step}_init")
        run = getattr(self.calls, f"EVP_PKEY_{step}")
        context = self._context(key)
        try:
            length = c_size_t()
            ready = initialise(context, None) if step == "decapsulate" else initialise(context)
            if ready != 1 or run(context, None, ctypes.byref(length), data, len(data)) != 1:
                raise self._refused(step)
            out = ctypes.create_string_buffer(length.value)
            if run(context, out, ctypes.byref(length), data, len(data)) != 1:
                raise self._refused(step)
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
                raise self._refused("verify")
            right = self.calls.EVP_PKEY_verify(context, signature, len(signature), digest, len(digest)) == 1
            if not right:
                self.calls.ERR_clear_error()
            return bool(right)
        finally:
            self.calls.EVP_PKEY_CTX_free(context)

    def sign_mu(self, key: EvpKey, mu: bytes, signature_bytes: int) -> bytes:
        """Sign the message representative mu of FIPS 204, algorithm 7 step 6."""
        is_mu = c_int(1)
        params = (_Param * 2)(
            _Param(b"mu", _INTEGER, ctypes.addressof(is_mu), ctypes.sizeof(is_mu), _UNMODIFIED), _Param()
        )
        out, length = ctypes.create_string_buffer(signature_bytes), c_size_t(signature_bytes)
        context = self.calls.EVP_MD_CTX_new()
        try:
            begun = self.calls.EVP_DigestSignInit_ex(context, None, None, None, None, key.pointer, params)
            if begun != 1 or self.calls.EVP_DigestSign(context, out, ctypes.byref(length), mu, len(mu)) != 1:
                raise self._refused("sign")
            return out.raw[: length.value]
        finally:
            self.calls.EVP_MD_CTX_free(context)

    def _context(self, key: EvpKey) -> int:
        context = self.calls.EVP_PKEY_CTX_new_from_pkey(None, key.pointer, None)
        if not context:
            raise self._refused("no context")
        return int(context)

    def _refused(self, what: str) -> LibcryptoError:
        # the error queue belongs to the thread, and others (ssl) may look at it
        self.calls.ERR_clear_error()
        return LibcryptoError(what)


def is_sound(version: tuple[int, ...]) -> bool:
    """Whether a release has the fixes that its branch needs; branches without fixes do not."""
    branch = version[:2]
    if branch in _FIXED_IN:
        return version[2] >= _FIXED_IN[branch]  # type: ignore[index]
    return branch > max(_FIXED_IN)


@functools.cache
def libcrypto_for(algorithm: str, extra: str) -> Libcrypto:
    """The first sound libcrypto that knows the algorithm.

    Raises:
        BusinessError: 12000001 where there is none; the message names the extra that brings one.

    """
    return find(algorithm, extra, os.environ)


def find(algorithm: str, extra: str, environment: Mapping[str, str]) -> Libcrypto:
    """Like `libcrypto_for`, without a memory, under the given environment variables."""
    accepted = environment.get(ACCEPT_VARIABLE)
    passed_over = []
    for path in candidates(environment):
        try:
            library = Libcrypto(path)
        except OSError:
            passed_over.append(f"{path}: cannot be loaded")
            continue
        except AttributeError:
            passed_over.append(f"{path}: not OpenSSL 3 or later")
            continue
        if not is_sound(library.version) and library.version_text != accepted:
            passed_over.append(f"{path}: {library.version_text} is not among them")
            continue
        library.declare()
        if library.knows(algorithm):
            return library
        passed_over.append(f"{path}: {library.version_text} is built without {algorithm}")
    raise BusinessError(
        _NOT_SUPPORTED,
        f"{algorithm} needs OpenSSL's libcrypto {_GATE} or a later one of these branches: install the extra "
        f"'huks-async[{extra}]', or name a library in {PATH_VARIABLE} (and in {ACCEPT_VARIABLE} the version, "
        f"if your distribution has mended an older one). Looked at: {'; '.join(passed_over) or 'nothing'}",
    )


def candidates(environment: Mapping[str, str]) -> Iterator[str]:
    """Names and paths of libraries to try, best first."""
    named = environment.get(PATH_VARIABLE)
    if named:
        yield named
        return
    yield from _SYSTEM_NAMES
    try:
        files = metadata.files(_WHEEL) or []
    except metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name.startswith("libcrypto") and (".so" in file.name or file.suffix == ".dylib"):
            yield str(file.locate())
