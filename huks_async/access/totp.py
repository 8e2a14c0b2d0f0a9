"""Unlocking keys with the codes of an authenticator app (RFC 6238).

A code is valid for half a minute, and only once. That it was used is written to the store, by compare-and-set,
before it unlocks anything. So if two processes get the same code at the same moment, one of them refuses it.
"""

import hmac
import struct
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from cryptography.hazmat.primitives.twofactor.totp import TOTP

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
from huks_async.access.tokens import MAX_TRUST_LEVEL, iam_type
from huks_async.access.used_codes import check_used_codes, use_code
from huks_async.access.vault import read_value
from huks_async.model.enums import HuksUserAuthType
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, as_bytes
from huks_async.model.plain import plain_text
from huks_async.model.settings import check_function, check_whole
from huks_async.runtime.randomness import random_bytes

_PIN = int(HuksUserAuthType.HUKS_USER_AUTH_TYPE_PIN)
_KIND = "totp"
# number of the digest, digits, seconds of a step; the secret follows
_HEAD = struct.Struct("<BBI")
_DIGESTS: tuple[tuple[str, type[SHA1 | SHA256 | SHA512], int], ...] = (
    ("sha1", SHA1, 20),
    ("sha256", SHA256, 32),
    ("sha512", SHA512, 64),
)
_SHORTEST_SECRET, _LONGEST_SECRET = 16, 128
_MOST_DRIFT = 10
_LONGEST_CODE = 64


class TotpAuthenticator(KeptUsers):
    """Vouches for users by the code that their authenticator app shows.

    Each code is accepted once, and none that is older than one of the same secret that was accepted. Codes are counted
    in the store before they are checked, and wrong ones are slowed down like those of a PIN: five are free, then the
    wait doubles.

    Args:
        digits: 6, 7 or 8, for new enrolments.
        step: seconds that a code is shown, 15 to 300, for new enrolments.
        digest: "sha1", which most apps know, "sha256" or "sha512", for new enrolments.
        drift: steps that a user's clock may be ahead or behind, 0 to 10. At any moment 2 · drift + 1 codes are
            right, so each further step makes guessing easier.
        lockout: how guessing is slowed down.
        auth_type: as which type of credential keys see a code, one `HuksUserAuthType`.
        trust_level: what its tokens claim, 1 to 4.
        clock: gives seconds since 1970.
    """

    auth_types: int

    def __init__(
        self,
        *,
        digits: int = 6,
        step: int = 30,
        digest: str = "sha1",
        drift: int = 1,
        lockout: Lockout | None = None,
        auth_type: int = _PIN,
        trust_level: int = 2,
        clock: Callable[[], float] = time.time,
    ) -> None:
        names = [name for name, _, _ in _DIGESTS]
        if digest not in names:
            raise BusinessError(401, f"TotpAuthenticator: digest is one of {', '.join(names)}")
        iam_type(auth_type)
        self.auth_types = int(auth_type)
        self._digest = names.index(digest)
        self._digits = check_whole(digits, "TotpAuthenticator: digits", 6, 8)
        self._step = check_whole(step, "TotpAuthenticator: step", 15, 300)
        self._drift = check_whole(drift, "TotpAuthenticator: drift", 0, _MOST_DRIFT)
        self._lockout = choose_lockout(lockout, "TotpAuthenticator")
        self._trust_level = check_whole(trust_level, "TotpAuthenticator: trust_level", 1, MAX_TRUST_LEVEL)
        check_function(clock, "TotpAuthenticator: clock")
        self._clock = clock

    async def enroll(
        self,
        keystore: HasAuthHost,
        user_id: int,
        *,
        account: str,
        issuer: str,
        secret: BytesLike | None = None,
    ) -> str:
        """Give a user a secret, and return the address to show to their app as a QR code.

        To be called by those who administer users, because it asks for no proof of who the user is.

        Args:
            keystore: where the secret is kept.
            user_id: the user.
            account: the name of the account in the app, e.g. a mail address.
            issuer: the name of the service in the app.
            secret: one that the user has already, 16 to 128 bytes; otherwise a random one is made.

        Returns:
            `otpauth://totp/…`, which contains the secret: show it once, and do not keep it.

        Raises:
            BusinessError: 12000017 when the user has a secret: `clear` it first; 401 for a wrong argument.
        """
        host, user_id = keystore.auth_host, check_user_id(user_id)
        _, digest, size = _DIGESTS[self._digest]
        given = random_bytes(size) if secret is None else as_bytes(secret, "secret")
        if not _SHORTEST_SECRET <= len(given) <= _LONGEST_SECRET:
            raise BusinessError(
                401, f"secret has {len(given)} bytes, accepted {_SHORTEST_SECRET} … {_LONGEST_SECRET}"
            )
        user, service = plain_text(account), plain_text(issuer)
        if not user or service is None or ":" in service:
            raise BusinessError(401, "account must be a str, and issuer one without a colon")
        code = TOTP(given, self._digits, digest(), self._step)
        try:
            address = code.get_provisioning_uri(user, service or None)
        except UnicodeEncodeError:
            raise BusinessError(
                401, "account or issuer is not valid Unicode: it holds lone surrogates"
            ) from None
        data = _HEAD.pack(self._digest, self._digits, self._step) + given

        def added(record: UserRecord) -> tuple[UserRecord, None]:
            if record.of_kind(_KIND):
                raise BusinessError(
                    12000017, f"user {user_id} has a secret for codes already: clear it first"
                )
            return record.with_new(_KIND, self.auth_types, data), None

        await change_user(host, user_id, added, void=True)
        return address

    async def clear(self, keystore: HasAuthHost, user_id: int) -> None:
        """Remove a user's secret. Wrong guesses and used codes are still remembered, the codes for the same secret.

        Keys of access type 1 become void if they saw it as a PIN, and the user has nothing else that they see so.

        To be called by those who administer users, because it asks for no code.

        Raises:
            BusinessError: 12000013 when the user has none.
        """
        await clear_credential(keystore, user_id, _secret_of)

    async def authenticate(self, host: AuthHost, request: AuthRequest, credential: Any) -> Vouched:
        """Check a code: a `str` of its digits, spaces between them allowed.

        Raises:
            BusinessError: 12000008 for a wrong code, one that was used, and while guesses are locked out (see
                `PinAuthenticator.authenticate`); 12000013 for a user without secret, and where another type is requested
                than that of the enrolment; 401 for what is not a code.
        """
        user_id = request.user_id
        code = _code(credential)
        enrolled = _readable(_secret_of(await read_user(host, user_id), user_id))
        check_type(request, enrolled.auth_type)
        await check_used_codes(host, user_id)
        attempts = f"{_KIND}-attempts/{user_id}"
        await self._lockout.count(host, attempts)
        # read after the guess was counted, so that the guess is compared with the secret as it is now
        found = _readable(_secret_of(await read_user(host, user_id), user_id))
        matching = self._matching(found.data, code)
        if not matching:
            raise BusinessError(
                12000008, f"the code is wrong for user {user_id}; see that the device's clock is right"
            )

        await use_code(host, user_id, found.data[_HEAD.size :], matching)
        await self._lockout.clear(host, attempts)
        return await vouch_for(host, request, found, self._trust_level)

    def _matching(self, data: bytes, code: bytes) -> list[int]:
        """The moments, in seconds since 1970, of the steps with this code; all are compared, even after a match."""
        number, digits, step = _HEAD.unpack_from(data)
        hotp = HOTP(data[_HEAD.size :], digits, _DIGESTS[number][1]())
        now = int(self._clock()) // step
        steps = range(max(0, now - self._drift), now + self._drift + 1)
        # Moments and not numbers of steps, so that they stay comparable if a new enrolment has another step length.
        return [one * step for one in steps if hmac.compare_digest(hotp.generate(one), code)]


def _readable(credential: Credential) -> Credential:
    """The credential of a secret; 12000012 if a newer version wrote it in a form of its own."""
    read_value(credential.data, "the secret for codes of the user", _check_form)
    return credential


def _check_form(data: bytes) -> None:
    number, digits, step = _HEAD.unpack_from(data)
    secret = len(data) - _HEAD.size
    if number >= len(_DIGESTS) or not 6 <= digits <= 8 or not step:
        raise ValueError(number)
    if not _SHORTEST_SECRET <= secret <= _LONGEST_SECRET:
        raise ValueError(secret)


def _code(given: object) -> bytes:
    if not isinstance(given, str):
        raise BusinessError(401, "the code must be a str of 6 to 8 digits")
    if len(given) > _LONGEST_CODE:  # before it is copied without its spaces
        raise BusinessError(401, f"the code has {len(given)} characters, accepted {_LONGEST_CODE}")
    digits = given.replace(" ", "")
    if not (6 <= len(digits) <= 8 and digits.isascii() and digits.isdigit()):
        raise BusinessError(401, "the code must have 6 to 8 digits, 0 to 9, and nothing else but spaces")
    return digits.encode()


def _secret_of(record: UserRecord | None, user_id: int) -> Credential:
    found = [] if record is None else record.of_kind(_KIND)
    if not found:
        raise BusinessError(
            12000013, f"user {user_id} has no secret for codes: TotpAuthenticator.enroll gives one"
        )
    return found[0]
