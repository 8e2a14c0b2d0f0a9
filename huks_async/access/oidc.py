"""Unlocking keys with an ID token of an OpenID Connect issuer, whose nonce is the session's challenge.

The application sends the user to the issuer with `OidcAuthenticator.nonce(challenge)`. The token that comes back is
valid for this challenge only, and only once. `joserfc` checks signatures; this module checks the claims of a token,
and each refusal names what was wrong.
"""

import base64
import binascii
import hmac
import json
import time
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any

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
from huks_async.access.issuer_keys import Fetch, IssuerKeys
from huks_async.access.tokens import MAX_TRUST_LEVEL, iam_type
from huks_async.access.used_once import use_once
from huks_async.access.vault import read_value
from huks_async.model.enums import HuksUserAuthType
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, as_bytes
from huks_async.model.settings import check_function, check_seconds, check_whole
from huks_async.runtime.forks import no_fork

_PIN = int(HuksUserAuthType.HUKS_USER_AUTH_TYPE_PIN)
_KIND = "oidc"
_KEY_KINDS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    **dict.fromkeys(("EdDSA", "Ed25519"), "OKP"),
}
_LONGEST = 32_768
_MOST_REMEMBERED = 1000


class OidcAuthenticator(KeptUsers):
    """Vouches for users by an ID token that an issuer signed for this service and this challenge.

    Needs the extra `oidc`.

    Args:
        issuer: as its tokens name it, with or without a slash at the end, exactly.
        client_id: of this service at the issuer.
        fetch: gets the document at an address: an async function of a `str` that returns bytes, a str or the parsed
            JSON, and raises if there is none. Use the HTTP client of the application, with certificates verified.
        keys_url: the address of the issuer's keys; None: the one in `/.well-known/openid-configuration`.
        algorithms: the algorithms that tokens may be signed with; "EdDSA", the old name of "Ed25519", is accepted
            only if it is listed.
        leeway: seconds that the issuer's clock may differ; the same in all processes on a store.
        max_age: seconds after its issue from which a token is too old, even if it has not expired; the same in all
            processes on a store, because each remembers a token that was used for so long.
        keep_keys: seconds after which the issuer's keys are fetched again, so that withdrawn ones are dropped.
        pause: seconds between two fetches for unknown key ids; `keep_keys` where that is less.
        auth_type: as which type of credential keys see a token, one `HuksUserAuthType`.
        trust_level: what its tokens claim, 1 to 4.
        clock: gives seconds since 1970.
        monotonic: gives seconds of a clock that cannot be set.
    """

    auth_types: int

    def __init__(
        self,
        issuer: str,
        client_id: str,
        fetch: Fetch,
        *,
        keys_url: str | None = None,
        algorithms: Collection[str] = ("RS256", "PS256", "ES256", "Ed25519"),
        leeway: float = 30.0,
        max_age: float = 300.0,
        keep_keys: float = 3600.0,
        pause: float = 30.0,
        auth_type: int = _PIN,
        trust_level: int = 3,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, url in (("issuer", issuer), ("keys_url", keys_url)):
            if url is not None and not (isinstance(url, str) and url.startswith("https://")):
                raise BusinessError(401, f"OidcAuthenticator: {name} must begin with https://")
        if not isinstance(client_id, str) or not client_id:
            raise BusinessError(401, "OidcAuthenticator: client_id must be a str, and not empty")
        listed = isinstance(algorithms, Collection) and not isinstance(algorithms, str)
        if not listed or not algorithms or any(name not in list(_KEY_KINDS) for name in algorithms):
            raise BusinessError(
                401, f"OidcAuthenticator: algorithms must be a list of {', '.join(_KEY_KINDS)}"
            )
        check_seconds(leeway, "OidcAuthenticator: leeway", zero=True)
        for name, seconds in (("max_age", max_age), ("keep_keys", keep_keys), ("pause", pause)):
            check_seconds(seconds, f"OidcAuthenticator: {name}")
        check_whole(trust_level, "OidcAuthenticator: trust_level", 1, MAX_TRUST_LEVEL)
        for name, function in (("fetch", fetch), ("clock", clock), ("monotonic", monotonic)):
            check_function(function, f"OidcAuthenticator: {name}")
        iam_type(auth_type)
        _need_library()
        self.auth_types = int(auth_type)
        self._issuer = issuer
        self._client_id = client_id
        self._algorithms = frozenset(algorithms)
        self._leeway = leeway
        self._max_age = max_age
        self._trust_level = trust_level
        self._clock = clock
        self._keys = IssuerKeys(
            issuer, fetch, keys_url=keys_url, clock=monotonic, keep=keep_keys, pause=pause, patience=10.0
        )

    @staticmethod
    def nonce(challenge: BytesLike) -> str:
        """Return the `nonce` to send to the issuer for a challenge of `initSession`: base64url without padding."""
        return base64.urlsafe_b64encode(as_bytes(challenge, "challenge")).rstrip(b"=").decode()

    async def enroll(self, keystore: HasAuthHost, user_id: int, subject: str) -> None:
        """Record which subject of the issuer is this user. To be called by those who administer users.

        Args:
            keystore: where this is kept.
            user_id: the user.
            subject: the `sub` of the user's tokens, which never changes, unlike a mail address.

        Raises:
            BusinessError: 12000017 when the user has a subject: `clear` it first; 401 for a wrong argument.
        """
        host, user_id = keystore.auth_host, check_user_id(user_id)
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise BusinessError(401, "subject must be a str of 1 to 255 characters")
        data = json.dumps([self._issuer, subject]).encode()

        def added(record: UserRecord) -> tuple[UserRecord, None]:
            if record.of_kind(_KIND):
                raise BusinessError(12000017, f"user {user_id} has a subject already: clear it first")
            return record.with_new(_KIND, self.auth_types, data), None

        await change_user(host, user_id, added, void=True)

    async def clear(self, keystore: HasAuthHost, user_id: int) -> None:
        """Forget the subject of a user. To be called by those who administer users.

        Keys of access type 1 become void if they saw it as a PIN, and the user has nothing else that they see so.

        Raises:
            BusinessError: 12000013 when there is nothing to forget.
        """
        await clear_credential(keystore, user_id, _subject_of)

    async def authenticate(self, host: AuthHost, request: AuthRequest, credential: Any) -> Vouched:
        """Check an ID token, a `str` in the compact form.

        Raises:
            BusinessError: 12000008 for one that is refused: the message says why, `error.data["refused"]` is
                the name of what was wrong: alg, typ, crit, kid, signature, iss, aud, azp, exp, nbf, iat, nonce, sub,
                replay; 12000013 for a user without subject, and where another type is requested than that of the
                enrolment; 12000015 if the issuer's keys cannot be fetched; 401 for something that is not a token.
        """
        found = _subject_of(await read_user(host, request.user_id), request.user_id)
        check_type(request, found.auth_type)
        subject = read_value(found.data, "the subject of the user", _read)
        header = _header(credential)
        algorithm = self._check_header(header)
        key_id = header.get("kid")
        if key_id is not None and not isinstance(key_id, str):
            raise _refused("kid", "has a key id that is no text")
        jwk, key = await self._keys.find(host, key_id, _KEY_KINDS[algorithm])
        if jwk.get("alg", algorithm) != algorithm:
            raise _refused("alg", f"is signed with {algorithm}, its key is for another algorithm")
        claims = await host.run(_verified, credential, key, algorithm)
        issued = self._check_claims(claims, request.challenge)
        if subject != [self._issuer, claims.get("sub")]:
            raise _refused("sub", f"is of another subject than that of user {request.user_id}")
        await use_once(
            host,
            f"{_KIND}-used/{request.user_id}",
            request.challenge,
            until=issued + self._max_age + self._leeway,
            now=self._clock(),
            most=_MOST_REMEMBERED,
            forget_oldest=False,
        )
        return await vouch_for(host, request, found, self._trust_level)

    def _check_header(self, header: dict[str, Any]) -> str:
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            shown = algorithm[:20] if isinstance(algorithm, str) else "no name"
            raise _refused(
                "alg", f"is signed with {shown!r}, accepted are {', '.join(sorted(self._algorithms))}"
            )
        kind = header.get("typ", "JWT")
        if not isinstance(kind, str) or kind.upper() != "JWT":
            raise _refused("typ", "is a token of another kind: its type is not JWT")
        if "crit" in header:
            # nothing that may be in there is known here, and joserfc knows payloads that are not encoded, which
            # no JWT has (RFC 7797, section 7)
            raise _refused("crit", "has header parameters that must be understood, and are not")
        return algorithm

    def _check_claims(self, claims: dict[str, Any], challenge: bytes) -> float:
        """Check the claims of a token, and return when it was issued."""
        if claims.get("iss") != self._issuer:
            raise _refused("iss", f"is of another issuer than {self._issuer}, to the last character")
        named = claims.get("aud")
        audiences = [named] if isinstance(named, str) else named
        if not isinstance(audiences, list) or self._client_id not in audiences:
            raise _refused("aud", "is for another client than this one")
        authorized = claims.get("azp")
        if authorized is None and len(audiences) > 1:
            raise _refused("azp", "is for several clients, and does not say which asked for it")
        if authorized is not None and authorized != self._client_id:
            raise _refused("azp", "was asked for by another client")
        now = self._clock()
        ends, issued = _moment(claims, "exp"), _moment(claims, "iat")
        if not now < ends + self._leeway:
            raise _refused("exp", f"expired {now - ends:.0f} seconds ago")
        if "nbf" in claims and not now >= _moment(claims, "nbf") - self._leeway:
            raise _refused("nbf", "is not valid yet")
        if not issued <= now + self._leeway:
            raise _refused("iat", "was issued in the future")
        if not now < issued + self._max_age + self._leeway:
            raise _refused("iat", f"was issued {now - issued:.0f} seconds ago, accepted {self._max_age:.0f}")
        nonce = claims.get("nonce")
        wanted = self.nonce(challenge)
        if not isinstance(nonce, str) or not hmac.compare_digest(
            nonce.encode("utf-8", "replace"), wanted.encode()
        ):
            raise _refused("nonce", "is for another challenge, or for none")
        return issued


def _read(data: bytes) -> list[str]:
    found = json.loads(data)
    if not isinstance(found, list) or [type(part) for part in found] != [str, str]:
        raise ValueError
    return found


def _refused(name: str, what: str) -> BusinessError:
    return BusinessError(12000008, f"the ID token {what} ({name})", data={"refused": name})


def _moment(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not -1e15 < value < 1e15:
        raise _refused(name, f"does not say {name} as a number of seconds")
    return float(value)


def _header(token: object) -> dict[str, Any]:
    """The header of something that has the form of a token; nothing in it has been verified yet."""
    if not isinstance(token, str) or len(token) > _LONGEST:
        raise BusinessError(401, f"the ID token must be a str of at most {_LONGEST} characters")
    parts = token.split(".")
    try:
        if len(parts) != 3:
            raise ValueError
        header = json.loads(base64.b64decode(parts[0] + "=" * (-len(parts[0]) % 4), b"-_", validate=True))
        if not isinstance(header, dict):
            raise ValueError
    except (ValueError, binascii.Error, RecursionError):
        raise BusinessError(
            401, "the ID token is no JWS in the compact form: three parts of base64url"
        ) from None
    return header


def _verified(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    """Verify the signature of a token, and return its claims."""
    from joserfc import jwt
    from joserfc.errors import BadSignatureError, JoseError
    from joserfc.jws import JWSRegistry

    # Parameters of the header that nobody here knows are ignored (RFC 7515, section 4). Those that are critical were
    # refused, and the length of the whole token was checked.
    registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = registry.max_payload_length = registry.max_signature_length = _LONGEST
    try:
        claims: dict[str, Any] = jwt.decode(token, key, registry=registry).claims
    except BadSignatureError:
        raise _refused("signature", "has a wrong signature") from None
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise _refused("signature", f"cannot be verified: {type(error).__name__}") from error
    return claims


def _need_library() -> None:
    # All that a sign-in uses, because a service loads nothing later: the package itself loads none of it.
    try:
        with no_fork():
            for name in ("errors", "jwk", "jws", "jwt"):
                import_module(f"joserfc.{name}")
    except ImportError:
        raise BusinessError(801, "ID tokens need joserfc: pip install 'huks-async[oidc]'") from None


def _subject_of(record: UserRecord | None, user_id: int) -> Credential:
    found = [] if record is None else record.of_kind(_KIND)
    if not found:
        raise BusinessError(12000013, f"user {user_id} has no subject: OidcAuthenticator.enroll notes one")
    return found[0]
