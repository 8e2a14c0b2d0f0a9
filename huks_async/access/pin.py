"""Unlocking keys with a PIN or password.

The scrypt (RFC 7914) of the PIN is kept in a record that is sealed under the store's key. Anyone who has both the
store and its root key can try all PINs of six digits in about a day; the store alone does not allow any try.
"""

import hmac
import struct
import unicodedata
from typing import Any

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from huks_async.access.attempts import Lockout, choose_lockout
from huks_async.access.authenticator import AuthHost, AuthRequest, HasAuthHost, Vouched
from huks_async.access.credentials import (
    Credential,
    KeptUsers,
    UserRecord,
    change_user,
    check_type,
    check_user_id,
    clear_credential,
    read_user,
    vouch_for,
)
from huks_async.access.tokens import MAX_TRUST_LEVEL
from huks_async.access.vault import read_value
from huks_async.model.enums import HuksUserAuthType
from huks_async.model.errors import BusinessError
from huks_async.model.params import as_bytes
from huks_async.model.secret_text import utf8
from huks_async.model.settings import check_whole
from huks_async.runtime.randomness import random_bytes

_PIN = int(HuksUserAuthType.HUKS_USER_AUTH_TYPE_PIN)
_KIND = "pin"
_HEAD = struct.Struct("<BBB16s")
_HASH_BYTES, _SALT_BYTES = 32, 16
_LONGEST = 1024
# characters; normalizing a text can make it shorter, but not by so much
_FAR_TOO_LONG = 16 * _LONGEST

# 2 ** 15 blocks of 1 KiB: 32 MiB and 0.1 s of a server core of 2025, in a worker thread, so the event loop is free
_LOG_N, _R, _P = 15, 8, 1


class PinAuthenticator(KeptUsers):
    """Vouches for users who know their PIN: `Keystore.open(authenticator=PinAuthenticator())`.

    A PIN is a text of any characters, or any bytes. Guesses are counted in the store before they are checked: after
    five wrong ones each further guess must wait, 30 seconds at first, then twice as long each time, at most a day.
    Restarts, other tasks and other processes on the same store make no difference.

    Args:
        shortest: the least number of bytes of a new PIN.
        lockout: how guessing is slowed down.
        trust_level: the trust level of its tokens, 1 to 4, for keys with an authentication trust level.
    """

    auth_types = _PIN

    def __init__(self, *, shortest: int = 4, lockout: Lockout | None = None, trust_level: int = 3) -> None:
        self._shortest = check_whole(shortest, "PinAuthenticator: shortest", 1, _LONGEST)
        self._lockout = choose_lockout(lockout, "PinAuthenticator")
        self._trust_level = check_whole(trust_level, "PinAuthenticator: trust_level", 1, MAX_TRUST_LEVEL)

    async def enroll(self, keystore: HasAuthHost, user_id: int, pin: str | bytes) -> None:
        """Give a PIN to a user who has none.

        To be called by those who administer users, because it asks for no proof of who the user is.

        Raises:
            BusinessError: 12000017 when the user has a PIN: `change` it, or `clear` it first; 401 for one that is
                too short; 12000012 when the keystore is closed.

        A call that is cancelled has given the PIN or not; `enrolled` tells.
        """
        host, user_id = keystore.auth_host, check_user_id(user_id)
        data = await self._hash(host, self._new_pin(pin))

        def added(record: UserRecord) -> tuple[UserRecord, None]:
            if record.of_kind(_KIND):
                raise BusinessError(
                    12000017,
                    f"user {user_id} has a PIN already: change it with the old one, or clear it first",
                )
            return record.with_new(_KIND, _PIN, data), None

        await change_user(host, user_id, added, void=True)

    async def change(
        self, keystore: HasAuthHost, user_id: int, old_pin: str | bytes, new_pin: str | bytes
    ) -> None:
        """Replace the PIN of a user who knows the old one. Keys that are bound to the user stay valid, tokens do not.

        Raises:
            BusinessError: as `enroll` and `authenticate`.

        A call that is cancelled has replaced the PIN or not, and may have counted a guess.
        """
        host, user_id = keystore.auth_host, check_user_id(user_id)
        wanted = self._new_pin(new_pin)
        proven = await self._check(host, user_id, old_pin)
        data = await self._hash(host, wanted)

        def changed(record: UserRecord) -> tuple[UserRecord, None]:
            current = _pin_of(record, user_id)
            if current.credential_id != proven.credential_id:
                raise BusinessError(
                    12000008, f"the PIN of user {user_id} was changed meanwhile by another call"
                )
            return record.with_data(current, data, new_id=True), None

        await change_user(host, user_id, changed, void=True)

    async def clear(self, keystore: HasAuthHost, user_id: int) -> None:
        """Remove a user's PIN, which voids for good all keys that are bound to the user's identity (access type 1).

        That is so whatever else the user has enrolled, codes and tokens that keys see as a PIN among it.

        To be called by those who administer users, because it asks for no PIN. Wrong guesses stay counted.

        Raises:
            BusinessError: 12000013 when the user has none.

        A call that is cancelled has removed the PIN or not; `enrolled` tells.
        """
        await clear_credential(keystore, user_id, _pin_of, new_identity=True)

    async def authenticate(self, host: AuthHost, request: AuthRequest, credential: Any) -> Vouched:
        """Check a PIN, a `str` or bytes.

        Raises:
            BusinessError: 12000008 for a wrong one, and while guesses are locked out (the message says how long, and
                `error.data["retry_after"]` in seconds); 12000013 for a user without PIN, and where another type than PIN
                is requested; 401 for something that is no PIN.
        """
        check_type(request, _PIN)
        found = await self._check(host, request.user_id, credential)
        return await vouch_for(host, request, found, self._trust_level)

    async def _check(self, host: AuthHost, user_id: int, pin: object) -> Credential:
        given = _pin_bytes(pin)
        _readable(_pin_of(await read_user(host, user_id), user_id))
        attempts = f"{_KIND}-attempts/{user_id}"
        await self._lockout.count(host, attempts)
        # read after the guess was counted, so that the guess is compared with the PIN as it is now
        found = _readable(_pin_of(await read_user(host, user_id), user_id))
        if not await host.run(_matches, given, found.data):
            raise BusinessError(12000008, f"the PIN is wrong for user {user_id}")
        await self._lockout.clear(host, attempts)
        return found

    def _new_pin(self, pin: object) -> bytes:
        return _pin_bytes(pin, self._shortest)

    async def _hash(self, host: AuthHost, pin: bytes) -> bytes:
        return await host.run(_hashed, pin)


def _pin_bytes(pin: object, shortest: int = 1) -> bytes:
    if isinstance(pin, str):
        if len(pin) > _FAR_TOO_LONG:
            # before it is normalized, which takes long for a long text
            raise BusinessError(401, f"the PIN has {len(pin)} characters, accepted 1 … {_LONGEST} bytes")
        # normalized, because keyboards differ in how they encode the same letter
        encoded = utf8(unicodedata.normalize("NFC", pin))
        if encoded is None:
            raise BusinessError(401, "the PIN is not valid Unicode: it holds lone surrogates")
        given = encoded
    else:
        given = as_bytes(pin, "a PIN that is no str")
    if not shortest <= len(given) <= _LONGEST:
        raise BusinessError(401, f"the PIN has {len(given)} bytes, accepted {shortest} … {_LONGEST}")
    return given


def _pin_of(record: UserRecord | None, user_id: int) -> Credential:
    found = [] if record is None else record.of_kind(_KIND)
    if not found:
        raise BusinessError(12000013, f"user {user_id} has no PIN: PinAuthenticator.enroll gives one")
    return found[0]


def _readable(credential: Credential) -> Credential:
    """The credential of a PIN; 12000012 if a newer version hashed it in a way of its own."""
    read_value(credential.data, "the PIN of the user", _check_form)
    return credential


def _check_form(data: bytes) -> None:
    log_n, r, p, _ = _HEAD.unpack_from(data)
    # a first byte of 0 is left for the mark of another form
    if len(data) != _HEAD.size + _HASH_BYTES or not 0 < log_n < 64 or not r or not p:
        raise ValueError(len(data))


def _hashed(pin: bytes) -> bytes:
    head = _HEAD.pack(_LOG_N, _R, _P, random_bytes(_SALT_BYTES))
    return head + _scrypt(pin, head)


def _matches(pin: bytes, data: bytes) -> bool:
    return hmac.compare_digest(_scrypt(pin, data[: _HEAD.size]), data[_HEAD.size :])


def _scrypt(pin: bytes, head: bytes) -> bytes:
    log_n, r, p, salt = _HEAD.unpack(head)
    return Scrypt(salt=salt, length=_HASH_BYTES, n=1 << log_n, r=r, p=p).derive(pin)
