"""A root key that is derived from a passphrase."""

import struct

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from huks_async.model.errors import BusinessError
from huks_async.model.params import as_bytes
from huks_async.model.secret_text import utf8
from huks_async.model.settings import check_whole
from huks_async.rootkeys.base import RootKey
from huks_async.rootkeys.envelope import KIND_SCRYPT, parse, seal
from huks_async.runtime.process_pool import LONG_SECONDS, run_in_process
from huks_async.runtime.randomness import random_bytes
from huks_async.runtime.threads import run_in_thread

_HEADER = struct.Struct(">BBB16s")  # log2 of n, r, p, salt
_SALT_SIZE = 16
# bounds for parameters that come with a wrapped key, so that a forged one cannot take all memory
_MAX_LOG_N, _MAX_R, _MAX_P = 20, 16, 16


_SECONDS_PER_BLOCK = 3.3e-7
"""0.35 s for the 2 ** 20 blocks of the default."""


class PassphraseRootKey(RootKey):
    """Wraps under a key that scrypt (RFC 7914) derives from a passphrase.

    The parameters are kept with the wrapped key: a store opens with those that it was made with, whatever is given
    here later.
    Deriving takes some 0.3 seconds and 128 MB with the default, in a thread; with parameters that make it
    take longer than a second, in a process, which ends when the call is cancelled.

    Args:
        passphrase: text (encoded as UTF-8) or bytes, not empty.
        log_n: cost: scrypt's n is two to the power of this, 10 to 20.
        r: block size, 1 to 16; scrypt needs 128·r·n bytes of memory.
        p: parallel lanes, 1 to 16.

    """

    def __init__(self, passphrase: str | bytes, *, log_n: int = 17, r: int = 8, p: int = 1) -> None:
        if isinstance(passphrase, str):
            encoded = utf8(passphrase)
            if encoded is None:
                raise BusinessError(
                    401,
                    "the passphrase of a root key is no valid Unicode: it holds lone surrogates; give bytes",
                )
            given = encoded
        else:
            given = as_bytes(passphrase, "passphrase")
        if not given:
            raise BusinessError(401, "the passphrase of a root key is empty; give a text or bytes")
        self._passphrase = given
        self._parameters = (
            check_whole(log_n, "log_n", 10, _MAX_LOG_N),
            check_whole(r, "r", 1, _MAX_R),
            check_whole(p, "p", 1, _MAX_P),
        )

    @property
    def key_id(self) -> str:
        """The text `passphrase`: an id made from it would help to guess it."""
        return "passphrase"

    async def wrap(self, key: bytes) -> bytes:
        """Wrap a key of 32 bytes, with a new salt."""
        header = _HEADER.pack(*self._parameters, random_bytes(_SALT_SIZE))
        return seal(await self._derive(header), KIND_SCRYPT, header, key)

    async def unwrap(self, wrapped: bytes) -> bytes:
        """Give the key that `wrap` wrapped."""
        envelope = parse(wrapped, KIND_SCRYPT, "the passphrase")
        return envelope.open(await self._derive(envelope.header), "the passphrase")

    async def _derive(self, header: bytes) -> bytes:
        if len(header) != _HEADER.size:
            raise BusinessError(
                12000012, f"the wrapped store key is damaged: its header has {len(header)} bytes"
            )
        log_n, r, p, salt = _HEADER.unpack(header)
        if not (1 <= log_n <= _MAX_LOG_N and 1 <= r <= _MAX_R and 1 <= p <= _MAX_P):
            raise BusinessError(
                12000012,
                f"the wrapped store key is damaged: scrypt parameters {log_n}, {r}, {p} are out of range",
            )
        parameters = self._passphrase, salt, 1 << log_n, r, p
        seconds = _SECONDS_PER_BLOCK * (r * p << log_n)
        try:
            if seconds > LONG_SECONDS:
                return await run_in_process(seconds, _scrypt, *parameters)
            return await run_in_thread(_scrypt, *parameters, abandon_on_cancel=True)
        except MemoryError:
            raise BusinessError(
                12000014, f"scrypt needs {(r << log_n) >> 13} MB of memory, which the process did not get"
            ) from None


def _scrypt(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase)
