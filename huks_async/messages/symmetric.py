"""Messages sealed under a stored AES or SM4 key, each under a fresh random nonce.

| Bytes | What |
|---|---|
| 8 | header |
| 16 | salt, random |
| 32 | commitment to the key |
| 12 | nonce, random |
| n | ciphertext, as long as the data |
| 16 | tag |

The stored key itself seals nothing. HKDF derives a message key and a commitment from it, with the salt and the header.
So the same stored key may also be used in sessions, and the limit of 2^32 messages for one key with random nonces of
96 bits applies to each salt; a sealer takes a new salt after 2^20. A salt is kept in memory, so a copy of the process
(a fork, a snapshot) continues with the same one. That does no harm, because the nonce of each message comes from the
kernel.

GCM alone does not commit to a key: one ciphertext can be made to open under several keys. The commitment, 32 bytes of
the same derivation, leaves only one key that a message can open under.
"""

from hmac import compare_digest

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from huks_async.crypto.operation import Operation
from huks_async.crypto.secret_key import SecretKey
from huks_async.crypto.symmetric import gcm
from huks_async.messages.deterministic import OVERHEAD_BYTES as SIV_OVERHEAD_BYTES
from huks_async.messages.deterministic import DeterministicSealer
from huks_async.messages.header import HEADER_BYTES, Kind, does_not_belong, header, kind_of
from huks_async.messages.whole import Whole
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.runtime.randomness import random_bytes

SALT_BYTES, COMMITMENT_BYTES, NONCE_BYTES, TAG_BYTES = 16, 32, 12, 16
_PREFIX_BYTES = HEADER_BYTES + SALT_BYTES + COMMITMENT_BYTES
_BODY_AT = _PREFIX_BYTES + NONCE_BYTES
OVERHEAD_BYTES = _BODY_AT + TAG_BYTES
"""By how much a message is longer than its data."""

_LABEL = b"huks_async message "
_AES, _SM4 = int(HuksKeyAlg.HUKS_ALG_AES), int(HuksKeyAlg.HUKS_ALG_SM4)
_AES_BYTES, _SM4_BYTES = 32, 16
_MESSAGES_UNDER_ONE_SALT = 2**20
# How many salts' keys an opener keeps: messages of many writers have many salts, and each derivation costs 10 µs.
_SALTS_KEPT = 64
# So many bytes take AES-GCM at most 0.2 ms on the event loop; it is also the longest context.
_AT_ONCE = 1024 * 1024
# Up to this size, copying bytes costs less than making a view of them.
_COPIED = 8 * 1024

KINDS: dict[int, tuple[Kind, Kind]] = {
    _AES: (Kind.AES, Kind.AES_DATA_KEY),
    _SM4: (Kind.SM4, Kind.SM4_DATA_KEY),
}
"""Algorithm of a stored key → the kind of its messages, and the kind of its wrapped data keys."""


def derive_message_key(algorithm: int, secret: bytes, head: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """The message key (32 bytes for AES, whatever the size of the stored key; 16 for SM4) and its commitment."""
    of_aes = algorithm == _AES
    length = _AES_BYTES if of_aes else _SM4_BYTES
    digest = hashes.SHA256() if of_aes else hashes.SM3()
    made = HKDF(digest, length + COMMITMENT_BYTES, salt, _LABEL + head).derive(secret)
    return made[:length], made[length:]


class Sealer:
    """Seals messages of one kind under one stored key. For one thread."""

    __slots__ = ("_aesgcm", "_algorithm", "_head", "_key", "_left", "_prefix", "_secret", "at_once")

    def __init__(self, algorithm: int, secret: bytes, kind: Kind, max_bytes: int) -> None:
        self.at_once: int = _at_once(algorithm, max_bytes)
        """The most bytes of data and context together for `seal`; for more, and for SM4, use `begin`."""
        self._algorithm = algorithm
        self._secret = secret
        self._head = header(kind)
        self._renew()

    def _renew(self) -> None:
        salt = random_bytes(SALT_BYTES)
        key, commitment = derive_message_key(self._algorithm, self._secret, self._head, salt)
        self._prefix = self._head + salt + commitment
        self._key = SecretKey(self._algorithm, key)
        self._aesgcm = self._key.make_aesgcm()
        self._left = _MESSAGES_UNDER_ONE_SALT

    def seal(self, data: BytesLike, context: BytesLike) -> bytes:
        """Make a message at once; for AES only."""
        if not self._left:
            self._renew()
        self._left -= 1
        nonce = random_bytes(NONCE_BYTES)
        return b"".join((self._prefix, nonce, self._aesgcm.encrypt(nonce, data, context)))

    def begin(self, context: bytes) -> Operation:
        """An operation that turns the data that it is fed into a message."""
        if not self._left:
            self._renew()
        self._left -= 1
        nonce = random_bytes(NONCE_BYTES)
        return _Sealing(self._prefix + nonce, gcm.encryption(self._key, nonce, context))


class _Sealing(Operation):
    """A GCM encryption whose output is preceded by the first bytes of a message."""

    __slots__ = ("_before", "_encryption", "kind")

    def __init__(self, before: bytes, encryption: gcm.GcmEncryption) -> None:
        self.kind = encryption.kind
        self._before = before
        self._encryption = encryption

    def update(self, data: BytesLike) -> bytes:
        return self._put_before(self._encryption.update(data))

    def finish(self, data: BytesLike) -> bytes:
        return self._put_before(self._encryption.finish(data))

    def _put_before(self, output: bytes) -> bytes:
        before, self._before = self._before, b""
        return before + output if before else output


class Opener:
    """Opens messages and wrapped data keys of one stored key. For one thread."""

    __slots__ = ("_algorithm", "_deterministic", "_kinds", "_known", "_secret", "at_once")

    def __init__(self, algorithm: int, secret: bytes, max_bytes: int) -> None:
        self.at_once: int = _at_once(algorithm, max_bytes)
        """The most bytes of message and context together for `open`; for more, and for SM4, use `begin`."""
        self._deterministic: DeterministicSealer | None = None
        self._algorithm = algorithm
        self._secret = secret
        self._kinds = KINDS[algorithm]
        # Header, salt and commitment → key. Only keys whose commitment was right are kept, so that forged messages
        # cannot fill this.
        self._known: dict[bytes, tuple[SecretKey, AESGCM]] = {}

    def open(self, sealed: bytes, context: BytesLike) -> bytes:
        """Return the data of a message at once; for AES only.

        Raises:
            BusinessError: 12000006 if message, context and key do not belong together.
        """
        prefix = sealed[:_PREFIX_BYTES]
        known = self._known.get(prefix)
        if known is None:
            if kind_of(sealed) is Kind.AES_DETERMINISTIC:
                return self._of_deterministic().open(sealed, context)
            known = self._find(prefix)
        aesgcm = known[1]
        body = sealed[_BODY_AT:] if len(sealed) <= _COPIED else memoryview(sealed)[_BODY_AT:]
        try:
            return aesgcm.decrypt(sealed[_PREFIX_BYTES:_BODY_AT], body, context)
        except (InvalidTag, ValueError):  # ValueError: the message ends within the nonce
            raise does_not_belong() from None

    def begin(self, sealed: bytes, context: bytes) -> tuple[Operation, BytesLike, int]:
        """An operation that opens a message, and the bytes to pass to its `finish`, which returns the data.

        The number is by how much these bytes are longer than the data.

        Raises:
            BusinessError: 12000006 as `open`, here or in the operation.
        """
        if self._algorithm == _AES and kind_of(sealed) is Kind.AES_DETERMINISTIC:
            opened = self._of_deterministic()
            return (
                Whole("aes-siv", lambda message: opened.open(bytes(message), context), held=len(context)),
                sealed,
                SIV_OVERHEAD_BYTES,
            )
        if len(sealed) < OVERHEAD_BYTES:
            raise does_not_belong()
        prefix = sealed[:_PREFIX_BYTES]
        key, _ = self._known.get(prefix) or self._find(prefix)
        nonce, tag = sealed[_PREFIX_BYTES:_BODY_AT], sealed[-TAG_BYTES:]
        return _Opening(gcm.decryption(key, nonce, context, tag)), memoryview(sealed)[_BODY_AT:-TAG_BYTES], 0

    def _of_deterministic(self) -> DeterministicSealer:
        made = self._deterministic
        if made is None:
            made = self._deterministic = DeterministicSealer(self._secret)
        return made

    def _find(self, prefix: bytes) -> tuple[SecretKey, AESGCM]:
        if kind_of(prefix) not in self._kinds or len(prefix) < _PREFIX_BYTES:
            raise does_not_belong()
        head, salt = prefix[:HEADER_BYTES], prefix[HEADER_BYTES : HEADER_BYTES + SALT_BYTES]
        key, commitment = derive_message_key(self._algorithm, self._secret, head, salt)
        if not compare_digest(commitment, prefix[HEADER_BYTES + SALT_BYTES :]):
            raise does_not_belong()
        if len(self._known) >= _SALTS_KEPT:
            del self._known[next(iter(self._known))]
        ready = SecretKey(self._algorithm, key)
        found = self._known[prefix] = (ready, ready.make_aesgcm())
        return found


class _Opening(Operation):
    """A GCM decryption that fails with the error of messages."""

    __slots__ = ("_decryption", "kind")

    def __init__(self, decryption: gcm.GcmDecryption) -> None:
        self.kind = decryption.kind
        self._decryption = decryption

    def update(self, data: BytesLike) -> bytes:
        return self._decryption.update(data)

    def finish(self, data: BytesLike) -> bytes:
        try:
            return self._decryption.finish(data)
        except BusinessError:
            raise does_not_belong() from None


def _at_once(algorithm: int, max_bytes: int) -> int:
    return min(_AT_ONCE, max_bytes) if algorithm == _AES else -1


def check_library(algorithm: int) -> None:
    """Refuse a key whose messages this machine's OpenSSL cannot make: SM4 without SM3.

    Raises:
        BusinessError: 12000001.
    """
    if algorithm == _SM4:
        try:
            hashes.Hash(hashes.SM3())
        except UnsupportedAlgorithm:
            raise BusinessError(
                12000001, "this machine's OpenSSL has no SM3, which messages under SM4 keys need"
            ) from None
