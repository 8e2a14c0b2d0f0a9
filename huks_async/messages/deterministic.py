"""Messages that are the same for the same data, key and context: AES-SIV (RFC 5297).

| Bytes | What |
|---|---|
| 8 | header |
| 32 | commitment to the key |
| 16 | synthetic initialisation vector |
| n | ciphertext, as long as the data |

The key of 64 bytes (two AES-256 keys) and the commitment are derived from the stored key by HKDF. The context is the
only component of associated data, even if it is empty.
"""

from hmac import compare_digest

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from huks_async.crypto.operation import Operation
from huks_async.messages.header import HEADER_BYTES, Kind, does_not_belong, header
from huks_async.messages.whole import Whole
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike

MAX_BYTES = 256 * 1024
"""The most data. AES-SIV needs all data in one call, and 256 KiB hold the interpreter for half a millisecond."""

_KEY_BYTES, _COMMITMENT_BYTES, _IV_BYTES = 64, 32, 16
OVERHEAD_BYTES = HEADER_BYTES + _COMMITMENT_BYTES + _IV_BYTES
"""By how much a message is longer than its data."""

_LABEL = b"huks_async message "


class DeterministicSealer:
    """Seals and opens the deterministic messages of one stored AES key."""

    __slots__ = ("_prefix", "_siv")

    at_once = MAX_BYTES
    """The most bytes of data and context together for `seal` on the event loop; for more, use `begin`."""

    def __init__(self, secret: bytes) -> None:
        head = header(Kind.AES_DETERMINISTIC)
        made = HKDF(hashes.SHA256(), _KEY_BYTES + _COMMITMENT_BYTES, None, _LABEL + head).derive(secret)
        self._siv = AESSIV(made[:_KEY_BYTES])
        self._prefix = head + made[_KEY_BYTES:]

    def seal(self, data: BytesLike, context: BytesLike) -> bytes:
        """Make the message.

        Raises:
            BusinessError: 401 for more than `MAX_BYTES` of data.
        """
        if len(data) > MAX_BYTES:
            raise BusinessError(
                401, f"data has {len(data)} bytes, seal_deterministic takes {MAX_BYTES}; `seal` takes more"
            )
        return self._prefix + self._siv.encrypt(data, [context])

    def begin(self, context: bytes) -> Operation:
        """An operation that makes the message, for a worker."""
        return Whole("aes-siv", lambda data: self.seal(data, context), held=len(context))

    def open(self, sealed: bytes, context: BytesLike) -> bytes:
        """The data of a message.

        Raises:
            BusinessError: 12000006 if message, context and key do not belong together.
        """
        length = len(self._prefix)
        if len(sealed) > OVERHEAD_BYTES + MAX_BYTES or not compare_digest(sealed[:length], self._prefix):
            raise does_not_belong()
        try:
            return self._siv.decrypt(sealed[length:], [context])
        except (InvalidTag, ValueError):
            raise does_not_belong() from None
