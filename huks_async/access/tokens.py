"""The auth token: 280 bytes that say who was authenticated, how, when, and for which challenge.

The fields are packed, little-endian. Those about the user (156 bytes) are encrypted with AES-256-GCM, with the text
`OH_authToken` as associated data; HMAC-SHA256 covers everything before it. Authenticator and keystore share both
keys.

    offset size
    0      4    version
    4      32   challenge
    36     8    time in milliseconds, of the keystore's monotonic clock
    44     4    trust level: 10000, 20000, 30000 or 40000
    48     4    credential type, numbered as the identity service does (`iam_type`)
    52     4    mode of authentication
    56     4    security level
    60     4    token type: 0 made here, 1 signed again here, 2 of another device
    64     4    user id        ┐
    68     8    secure uid     │
    76     8    enrolled id    │ encrypted
    84     8    credential id  │
    92     64   collector      │
    156    64   verifier       ┘
    220    16   GCM tag
    236    12   GCM nonce
    248    32   HMAC
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from huks_async.model.enums import HuksUserAuthType
from huks_async.model.errors import BusinessError
from huks_async.model.params import as_bytes
from huks_async.model.showing import shown
from huks_async.model.uncopied import Uncopied
from huks_async.runtime.randomness import random_bytes

TOKEN_BYTES = 280
CHALLENGE_BYTES = 32
KEY_BYTES = 32
LOCAL, RESIGNED, COAUTH = 0, 1, 2
"""Token types."""

MAX_TRUST_LEVEL = 4
TRUST_STEP = 10000
"""A token names trust level 1 as 10000, and so on."""

_T = HuksUserAuthType
_IAM_TYPES: dict[int, int] = {
    _T.HUKS_USER_AUTH_TYPE_PIN: 1,
    _T.HUKS_USER_AUTH_TYPE_FACE: 2,
    _T.HUKS_USER_AUTH_TYPE_FINGERPRINT: 4,
    _T.HUKS_USER_AUTH_TYPE_TUI_PIN: 32,
}
# plain numbers, because members of a flag enum take a microsecond to combine
_HUKS_TYPES = {iam: int(huks) for huks, iam in _IAM_TYPES.items()}

_OPEN = struct.Struct("<I32sQ5I")
_SECRET = struct.Struct("<iQQQ64s64s")
_ASSOCIATED = b"OH_authToken"
_SECRET_START, _NONCE_START, _MAC_START = 64, 236, 248
_UDID_BYTES = 64


class AuthToken(NamedTuple):
    """What a token says.

    Attributes:
        challenge: 32 bytes, of the session or sessions it is for.
        time: milliseconds of the keystore's monotonic clock.
        trust_level: 10000 to 40000.
        auth_type: the credential, as the identity service numbers it: see `iam_type`.
        user_id: the user.
        secure_uid: the user's identity, which changes when the PIN is cleared.
        enrolled_id: the enrolled id of the credential's type, which changes with each new enrolment.
        credential_id: of the credential.
        token_type: 0 made here, 1 signed again here, 2 of another device.
        version: of the layout; not checked.
        auth_mode: not checked.
        security_level: not checked.
        collector: the device that collected the credential, at most 64 bytes.
        verifier: the device that verified it, likewise.
    """

    challenge: bytes
    time: int
    trust_level: int
    auth_type: int
    user_id: int
    secure_uid: int
    enrolled_id: int
    credential_id: int
    token_type: int = LOCAL
    version: int = 0
    auth_mode: int = 0
    security_level: int = 0
    collector: bytes = b""
    verifier: bytes = b""

    def __repr__(self) -> str:
        return f"<AuthToken of user {self.user_id}, credential type {self.auth_type}>"


class AuthTokenKeys(Uncopied):
    """The two keys that authenticator and keystore share. Anyone who has them can make tokens.

    Args:
        mac: 32 bytes.
        cipher: 32 bytes.
    """

    __slots__ = ("_cipher", "_mac")

    def __init__(self, mac: bytes, cipher: bytes) -> None:
        mac, cipher = as_bytes(mac, "mac"), as_bytes(cipher, "cipher")
        if len(mac) != KEY_BYTES or len(cipher) != KEY_BYTES:
            raise BusinessError(401, f"the keys of auth tokens have {KEY_BYTES} bytes each")
        # Copying an HMAC context that has its key costs less than half as much as making a new one.
        self._mac = HMAC(mac, SHA256())
        self._cipher = AESGCM(cipher)

    @classmethod
    def random(cls) -> "AuthTokenKeys":
        """Make new ones."""
        return cls(random_bytes(KEY_BYTES), random_bytes(KEY_BYTES))

    def encrypt(self, nonce: bytes, plain: bytes) -> bytes:
        """The encrypted half of a token, and its tag."""
        return self._cipher.encrypt(nonce, plain, _ASSOCIATED)

    def decrypt(self, nonce: bytes, sealed: bytes) -> bytes:
        """The reverse of `encrypt`; InvalidTag for anything else."""
        return self._cipher.decrypt(nonce, sealed, _ASSOCIATED)

    def sign(self, signed: bytes) -> bytes:
        """The MAC of a token."""
        context = self._mac.copy()
        context.update(signed)
        return context.finalize()

    def verify(self, signed: bytes, mac: bytes) -> None:
        """Verify the MAC of a token in constant time; raises InvalidSignature if it is wrong."""
        context = self._mac.copy()
        context.update(signed)
        context.verify(mac)

    def __repr__(self) -> str:
        return "<AuthTokenKeys>"


def seal_token(token: AuthToken, keys: AuthTokenKeys) -> bytes:
    """Make the 280 bytes of a token.

    Raises:
        BusinessError: 401 for a field that does not fit its place.
    """
    challenge, collector, verifier = (
        as_bytes(getattr(token, name), name) for name in ("challenge", "collector", "verifier")
    )
    if len(challenge) != CHALLENGE_BYTES or max(len(collector), len(verifier)) > _UDID_BYTES:
        raise BusinessError(
            401,
            f"a token has {CHALLENGE_BYTES} bytes of challenge and at most {_UDID_BYTES} of a device's name",
        )
    try:
        head = _OPEN.pack(
            token.version,
            challenge,
            token.time,
            token.trust_level,
            token.auth_type,
            token.auth_mode,
            token.security_level,
            token.token_type,
        )
        plain = _SECRET.pack(
            token.user_id,
            token.secure_uid,
            token.enrolled_id,
            token.credential_id,
            collector,
            verifier,
        )
    except struct.error as error:
        raise BusinessError(401, f"a field of an auth token does not fit: {error}") from None
    nonce = random_bytes(_MAC_START - _NONCE_START)
    signed = head + keys.encrypt(nonce, plain) + nonce
    return signed + keys.sign(signed)


def open_token(
    data: bytes, keys: AuthTokenKeys, check_type: Callable[[int], None] | None = None
) -> AuthToken:
    """Check and open the 280 bytes of a token.

    Args:
        data: the token.
        keys: of the keystore.
        check_type: called with a token type other than 0 (made here), after the MAC is verified and before anything
            is decrypted, which is the documented order; raises to refuse.

    Raises:
        BusinessError: 401 for a wrong length, 12000008 for a wrong MAC, 12000006 if it does not decrypt.
    """
    if type(data) is not bytes:
        data = as_bytes(data, "the auth token")
    if len(data) != TOKEN_BYTES:
        raise BusinessError(401, f"the auth token has {len(data)} bytes, accepted {TOKEN_BYTES}")
    try:
        keys.verify(data[:_MAC_START], data[_MAC_START:])
    except InvalidSignature:
        raise BusinessError(
            12000008,
            "the auth token was changed, or made under other keys than this keystore's (another keystore, or "
            "this one before it was opened anew); authenticate again",
        ) from None
    version, challenge, time, level, kind, mode, security, token_type = _OPEN.unpack_from(data)
    if token_type != LOCAL and check_type is not None:
        check_type(token_type)
    try:
        plain = keys.decrypt(data[_NONCE_START:_MAC_START], data[_SECRET_START:_NONCE_START])
    except InvalidTag:
        raise BusinessError(
            12000006, "the auth token does not decrypt: its maker has another cipher key"
        ) from None
    user, secure_uid, enrolled, credential, collector, verifier = _SECRET.unpack(plain)
    return AuthToken(
        challenge,
        time,
        level,
        kind,
        user,
        secure_uid,
        enrolled,
        credential,
        token_type,
        version,
        mode,
        security,
        collector,
        verifier,
    )


def iam_type(auth_type: int) -> int:
    """The number that tokens have for one `HuksUserAuthType`; 401 for anything else."""
    # asked for the type first, because 1.0 and True would find the same as 1
    known = type(auth_type) is not bool and issubclass(type(auth_type), int)
    number = _IAM_TYPES.get(auth_type) if known else None
    if number is None:
        raise BusinessError(
            401, f"auth_type: got {shown(auth_type)}, accepted one member of HuksUserAuthType"
        )
    return number


def huks_type(number: int) -> int | None:
    """The `HuksUserAuthType` for a token's credential type; None for one that keys cannot ask for."""
    return _HUKS_TYPES.get(number)


def combine_challenges(*challenges: bytes | None) -> bytes:
    """The challenge of one token for up to four sessions, each at the position of its argument.

    A key of challenge type CUSTOM compares only 8 bytes: those at the HUKS_TAG_CHALLENGE_POS of its session. So
    `combine_challenges(a, None, b)` serves two sessions, with the challenges a and b, that were opened with
    positions 0 and 2.
    """
    positions = 4
    given = [None if each is None else as_bytes(each, "challenge") for each in challenges]
    if len(given) > positions or any(each is not None and len(each) != CHALLENGE_BYTES for each in given):
        raise BusinessError(
            401, f"at most {positions} challenges of {CHALLENGE_BYTES} bytes each make one, by position"
        )
    combined = bytearray(random_bytes(CHALLENGE_BYTES))
    for position, challenge in enumerate(given):
        if challenge is not None:
            part = slice(8 * position, 8 * position + 8)
            combined[part] = challenge[part]
    return bytes(combined)
