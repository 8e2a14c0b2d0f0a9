"""Unlocking keys with a passkey's assertion (WebAuthn), which is made over the session's challenge.

In an assertion the browser states which page asked, and the passkey signs that, so an assertion that a false page
obtained is useless. The library `webauthn` verifies assertions. What it leaves to its user is checked here: frames
of other sites, synced passkeys, that a challenge is answered once, and that two processes see one counter.
"""

import base64
import hashlib
import hmac
import json
import struct
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from huks_async.access import begun_enrolments
from huks_async.access.authenticator import AuthHost, AuthRequest, HasAuthHost, Vouched
from huks_async.access.begun_enrolments import Begun
from huks_async.access.credentials import (
    Credential,
    KeptUsers,
    UserRecord,
    change_user,
    check_user_id,
    random_id,
    read_user,
)
from huks_async.access.passkey_keys import ALGORITHMS, check_public_key
from huks_async.access.plain_cbor import check_authenticator_data, check_plain
from huks_async.access.tokens import MAX_TRUST_LEVEL, iam_type
from huks_async.access.used_once import use_once
from huks_async.model.enums import HuksUserAuthType
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, as_bytes
from huks_async.model.settings import check_flag, check_function, check_whole
from huks_async.model.showing import shown, type_name
from huks_async.runtime.cancellation import run_to_end
from huks_async.runtime.randomness import random_bytes

_FINGERPRINT = int(HuksUserAuthType.HUKS_USER_AUTH_TYPE_FINGERPRINT)
_KIND = "webauthn"
_PRESENT, _VERIFIED, _BACKUP_ELIGIBLE = 1, 4, 8
_DATA_HEAD = struct.Struct(">32sBI")
_LONGEST = 65_536
_MOST_REMEMBERED = 1024
_ENROLMENT_SECONDS = 600.0


class _Passkey(NamedTuple):
    """What is stored of a passkey; bytes are in base64url."""

    id: str
    public_key: str
    uses: int
    handle: str
    synced: bool


class WebAuthnAuthenticator(KeptUsers):
    """Vouches for users by an assertion of a passkey that they have enrolled.

    Needs the extra `webauthn`.

    Args:
        rp_id: the domain that passkeys are bound to, e.g. "example.org".
        origins: the origins of the pages that may ask, e.g. "https://vault.example.org": the domain or one below it.
        require_user_verification: whether the passkey must have verified its user; otherwise it is enough that
            someone was present.
        allow_cross_origin: whether a page within another site's frame may ask.
        allow_synced: whether passkeys that their vendor copies between devices are accepted; if not, those that were
            enrolled while they were are refused, too.
        auth_type: as which type of credential keys see a passkey, one `HuksUserAuthType`.
        trust_level: what its tokens claim, 1 to 4.
        clock: gives seconds since 1970.
    """

    auth_types: int

    def __init__(
        self,
        rp_id: str,
        origins: Collection[str],
        *,
        require_user_verification: bool = True,
        allow_cross_origin: bool = False,
        allow_synced: bool = True,
        auth_type: int = _FINGERPRINT,
        trust_level: int = 3,
        clock: Callable[[], float] = time.time,
    ) -> None:
        listed = isinstance(origins, Collection) and not isinstance(origins, str)
        if not listed or not origins:
            raise BusinessError(401, "WebAuthnAuthenticator: origins must be a list of origins")
        if not isinstance(rp_id, str) or not rp_id:
            raise BusinessError(401, "WebAuthnAuthenticator: rp_id must be a domain")
        for origin in origins:
            if not isinstance(origin, str):
                raise BusinessError(
                    401, f"WebAuthnAuthenticator: an origin must be a str, got {type_name(origin)}"
                )
            try:
                parts = urlsplit(origin)
            except ValueError:
                raise BusinessError(
                    401, f"WebAuthnAuthenticator: {shown(origin)} is no origin with https"
                ) from None
            host = parts.hostname or ""
            safe = parts.scheme == "https" or (parts.scheme == "http" and host == "localhost")
            if not safe or origin != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
                raise BusinessError(401, f"WebAuthnAuthenticator: {origin!r} is no origin with https")
            if host != rp_id and not host.endswith(f".{rp_id}"):
                raise BusinessError(401, f"WebAuthnAuthenticator: {origin!r} is not within {rp_id!r}")
        check_whole(trust_level, "WebAuthnAuthenticator: trust_level", 1, MAX_TRUST_LEVEL)
        check_function(clock, "WebAuthnAuthenticator: clock")
        iam_type(auth_type)
        try:
            import webauthn  # noqa: F401
        except ImportError:
            raise BusinessError(801, "passkeys need webauthn: pip install 'huks-async[webauthn]'") from None
        self.auth_types = int(auth_type)
        self._rp_id = rp_id
        self._origins = list(origins)
        self._verify_user = check_flag(
            require_user_verification, "WebAuthnAuthenticator: require_user_verification"
        )
        self._cross_origin = check_flag(allow_cross_origin, "WebAuthnAuthenticator: allow_cross_origin")
        self._synced = check_flag(allow_synced, "WebAuthnAuthenticator: allow_synced")
        self._trust_level = trust_level
        self._clock = clock

    async def begin_enroll(self, keystore: HasAuthHost, user_id: int, *, name: str) -> str:
        """Begin to enrol a passkey. The application must have made sure by other means who the user is.

        Returns:
            JSON for `PublicKeyCredential.parseCreationOptionsFromJSON`, valid for ten minutes; a later call
            for the same user replaces it, and `clear` of all the user's passkeys ends it, also while the answer is
            being checked.
        """
        host, user_id = keystore.auth_host, check_user_id(user_id)
        if not isinstance(name, str) or not name:
            raise BusinessError(401, "name must be a str: how the user's device names the account")
        known = _passkeys_of(await read_user(host, user_id))
        challenge = random_bytes(32)
        handle = _bytes(known[0][1].handle) if known else random_bytes(32)
        begun = Begun(_text(challenge), _text(handle), self._clock() + _ENROLMENT_SECONDS)
        await begun_enrolments.begin(host.vault, user_id, begun)
        verification = "required" if self._verify_user else "preferred"
        return json.dumps(
            {
                "rp": {"id": self._rp_id, "name": self._rp_id},
                "user": {"id": _text(handle), "name": name, "displayName": name},
                "challenge": _text(challenge),
                "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in ALGORITHMS],
                "excludeCredentials": [{"type": "public-key", "id": one.id} for _, one in known],
                "authenticatorSelection": {"residentKey": "preferred", "userVerification": verification},
                "attestation": "none",
            }
        )

    async def finish_enroll(
        self, keystore: HasAuthHost, user_id: int, response: str | Mapping[str, Any]
    ) -> str:
        """Enrol the passkey that the browser made.

        Args:
            keystore: where the passkey is kept.
            user_id: the user.
            response: `credential.toJSON()`, as JSON or parsed.

        Returns:
            the passkey's id, base64url, for `clear`.

        Raises:
            BusinessError: 12000008 for a response that is refused, as one with an attestation by certificates is,
                and without an earlier `begin_enroll`, or if that was ended before this is done; 12000017 for a passkey that the user has already; 401 for
                something that is not a response.

        Cancelling it once the passkey is being written waits for the end of that; the passkey may be enrolled then.
        """
        host, user_id = keystore.auth_host, check_user_id(user_id)
        given = _response(response)
        # taken before the check, so that each `begin_enroll` can be answered only once
        begun, mark = await begun_enrolments.answer(host.vault, user_id)
        if begun is None or not self._clock() < begun.until:
            raise _refused("challenge", "has no beginning, or one of more than ten minutes ago")
        self._check_client(given, "webauthn.create", _bytes(begun.challenge))
        made = await host.run(self._verified_enrolment, given, _bytes(begun.challenge))
        new = made._replace(handle=begun.handle)
        if new.synced and not self._synced:
            raise _refused("backup", "is of a passkey that is copied between devices")

        # An enrolment that was ended must not change what is enrolled, which may cost the user keys; only one that is
        # ended during the change itself is undone.
        if not await begun_enrolments.goes_on(host.vault, user_id, mark):
            raise _ended()
        # to its end: if it stopped within, a passkey would stay whose enrolment may have been ended
        await run_to_end(self._add, host, user_id, new, mark)
        return new.id

    async def _add(self, host: AuthHost, user_id: int, new: _Passkey, mark: bytes) -> None:
        """Add a passkey to the user's, unless its enrolment is ended meanwhile."""
        credential_id = random_id()
        before = after = None

        def added(record: UserRecord) -> tuple[UserRecord, None]:
            nonlocal before, after
            if any(one.id == new.id for _, one in _passkeys_of(record)):
                raise BusinessError(12000017, f"user {user_id} has this passkey already")
            before = record
            after = record.with_new(_KIND, self.auth_types, json.dumps(new).encode(), credential_id)
            return after, None

        def undone(record: UserRecord) -> tuple[UserRecord, None]:
            if before is not None and record == after:
                return before, None  # with the ids that the user's keys are bound to
            kept = next((one for one in record.credentials if one.credential_id == credential_id), None)
            return record if kept is None else record.without(kept), None

        try:
            await change_user(host, user_id, added, void=True)
            if not await begun_enrolments.complete(host.vault, user_id, mark):
                raise _ended()
        except GeneratorExit:
            raise  # the event loop is gone, so nothing can be awaited here
        except BaseException:
            # also where the store failed, after which nobody can tell whether something was written
            await change_user(host, user_id, undone, void=True)
            raise

    async def clear(self, keystore: HasAuthHost, user_id: int, passkey: str | None = None) -> None:
        """Remove one passkey by its id, or all of a user. To be called by those who administer users.

        Without an id, an enrolment that `begin_enroll` has begun for the user cannot be finished any more, either.
        Keys of access type 1 become void if they saw a passkey as a PIN, and the user has nothing else that they see
        so.

        Raises:
            BusinessError: 12000013 when there is none.
        """
        host, user_id = keystore.auth_host, check_user_id(user_id)
        if passkey is None:
            # Before the record is changed: an enrolment that is complete by now has its passkey in there.
            await begun_enrolments.end(host.vault, user_id)

        def removed(record: UserRecord) -> tuple[UserRecord, None]:
            found = [kept for kept, one in _passkeys_of(record) if passkey in (None, one.id)]
            if not found:
                raise _none_enrolled(user_id)
            for kept in found:
                record = record.without(kept)
            return record, None

        await change_user(host, user_id, removed, void=True)

    async def options(self, keystore: HasAuthHost, user_id: int, challenge: BytesLike) -> str:
        """Return what the browser needs to ask for an assertion over a challenge of `initSession`.

        Returns:
            JSON for `PublicKeyCredential.parseRequestOptionsFromJSON`.
        """
        enrolled = _passkeys_of(await read_user(keystore.auth_host, check_user_id(user_id)))
        known = [one for _, one in enrolled if self._synced or not one.synced]
        if not known:
            raise _none_enrolled(user_id)
        return json.dumps(
            {
                "challenge": _text(as_bytes(challenge, "challenge")),
                "rpId": self._rp_id,
                "allowCredentials": [{"type": "public-key", "id": one.id} for one in known],
                "userVerification": "required" if self._verify_user else "preferred",
            }
        )

    async def authenticate(self, host: AuthHost, request: AuthRequest, credential: Any) -> Vouched:
        """Check an assertion: `credential.toJSON()` of the browser, as JSON or parsed.

        Raises:
            BusinessError: 12000008 for one that is refused; `error.data["refused"]` is the name of what was wrong:
                credential, type, challenge, origin, crossOrigin, rpId, user present, user verified, user handle,
                backup, counter, signature, replay; 12000013 for a user without passkey; 401 for a malformed assertion.
        """
        given = _response(credential)
        user_id = request.user_id
        known = _passkeys_of(await read_user(host, user_id))
        if not known:
            raise _none_enrolled(user_id)
        named = next((pair for pair in known if pair[1].id == given.get("id")), None)
        if named is None:
            raise _refused("credential", f"is of a passkey that user {user_id} has not enrolled")
        checked, passkey = named
        self._check_client(given, "webauthn.get", request.challenge)
        self._check_data(_part(given, "authenticatorData"), passkey)
        handle = given["response"].get("userHandle")
        if handle is not None and handle != passkey.handle:
            raise _refused("user handle", "is of another user")
        count = await host.run(self._verified_assertion, given, passkey, request.challenge)
        now = self._clock()
        await use_once(
            host,
            f"{_KIND}-used/{user_id}",
            request.challenge,
            until=float("inf"),
            now=now,
            most=_MOST_REMEMBERED,
            forget_oldest=True,
        )

        def counted(record: UserRecord) -> tuple[UserRecord, Vouched]:
            found = next(
                (pair for pair in _passkeys_of(record) if pair[0].credential_id == checked.credential_id),
                None,
            )
            if found is None:
                raise _refused(
                    "credential",
                    "is of a passkey that was removed or enrolled anew while it was being checked",
                )
            kept, one = found
            # Many passkeys do not count their uses and always say zero. If the counter of one that counts did not
            # go up, there may be a copy of the passkey.
            if (count or one.uses) and count <= one.uses:
                raise _refused(
                    "counter", "has a counter that did not go up: there may be a copy of the passkey"
                )
            vouched = Vouched(
                record.secure_uid,
                record.enrolled[kept.auth_type],
                kept.credential_id,
                trust_level=self._trust_level,
            )
            if count == one.uses:
                return record, vouched
            return record.with_data(kept, json.dumps(one._replace(uses=count)).encode()), vouched

        return await change_user(host, user_id, counted, void=False)

    def _check_client(self, given: dict[str, Any], kind: str, challenge: bytes) -> None:
        try:
            client = json.loads(_part(given, "clientDataJSON"))
        except (ValueError, RecursionError):
            client = None
        if not isinstance(client, dict):
            raise BusinessError(401, "the passkey's clientDataJSON is no JSON object")
        if client.get("type") != kind:
            raise _refused("type", f"is no {kind}")
        said = client.get("challenge")
        if not isinstance(said, str) or not hmac.compare_digest(
            said.encode("utf-8", "replace"), _text(challenge).encode()
        ):
            raise _refused("challenge", "is for another challenge")
        if client.get("origin") not in self._origins:
            raise _refused("origin", "was asked for by another page")
        if (
            client.get("crossOrigin", False) is not False or "topOrigin" in client
        ) and not self._cross_origin:
            raise _refused("crossOrigin", "was asked for within another site's frame")

    def _check_data(self, data: bytes, passkey: _Passkey) -> None:
        if len(data) < _DATA_HEAD.size:
            raise BusinessError(401, "the passkey's authenticatorData is too short")
        rp_hash, flags, _ = _DATA_HEAD.unpack_from(data)
        if rp_hash != hashlib.sha256(self._rp_id.encode()).digest():
            raise _refused("rpId", f"is for another domain than {self._rp_id}")
        if not flags & _PRESENT:
            raise _refused("user present", "was made without anybody present")
        if self._verify_user and not flags & _VERIFIED:
            raise _refused("user verified", "was made without a check of who touched the passkey")
        if bool(flags & _BACKUP_ELIGIBLE) != passkey.synced:
            raise _refused("backup", "says otherwise than at enrolment whether the passkey can be copied")
        if passkey.synced and not self._synced:
            raise _refused("backup", "is of a passkey that is copied between devices")

    def _verified_enrolment(self, given: dict[str, Any], challenge: bytes) -> _Passkey:
        from webauthn import verify_registration_response

        _check_attestation(_part(given, "attestationObject"))
        try:
            made: Any = verify_registration_response(
                credential=given,
                expected_challenge=challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origins,
                require_user_verification=self._verify_user,
            )
        except Exception as error:  # the library raises many kinds of errors for malformed input
            raise _refused("enrolment", f"is wrong: {type(error).__name__}: {error}"[:200]) from error
        try:
            check_public_key(made.credential_public_key)
        except ValueError as error:
            raise _refused("enrolment", str(error)) from error
        synced = made.credential_device_type.value == "multi_device"
        return _Passkey(
            _text(made.credential_id), _text(made.credential_public_key), made.sign_count, "", synced
        )

    def _verified_assertion(self, given: dict[str, Any], passkey: _Passkey, challenge: bytes) -> int:
        from webauthn import verify_authentication_response

        # before the signature is verified, the library decodes what is in here
        _check_cbor("authenticatorData", check_authenticator_data, _part(given, "authenticatorData"))
        try:
            checked: Any = verify_authentication_response(
                credential=given,
                expected_challenge=challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origins,
                credential_public_key=_bytes(passkey.public_key),
                # -1 turns the library's check of the counter off. The counter is checked where it is written, because
                # otherwise two processes could both accept the same count.
                credential_current_sign_count=-1,
                require_user_verification=self._verify_user,
            )
            return int(checked.new_sign_count)
        except Exception as error:  # as above
            raise _refused(
                "signature", f"cannot be verified: {type(error).__name__}: {error}"[:200]
            ) from error


def _check_attestation(attestation: bytes) -> None:
    """Check what the library is about to decode, and that it is an attestation of the kind that was asked for, none.

    Nothing is known of the makers of passkeys, so certificates prove nothing; and to load the public key of a
    certificate may take as long as its writer likes.
    """
    from webauthn.helpers import parse_cbor

    _check_cbor("attestationObject", check_plain, attestation)
    try:
        parts = parse_cbor(attestation)
        form, statement, data = parts["fmt"], parts["attStmt"], parts["authData"]
    except Exception:  # the library raises many kinds of errors for malformed input
        form = statement = data = None
    if not isinstance(statement, dict) or not isinstance(data, bytes):
        raise BusinessError(401, "the passkey's attestationObject is malformed")
    _check_cbor("attestationObject", check_authenticator_data, data)
    if form not in ("none", "packed") or "x5c" in statement:
        raise _refused(
            "attestation", "has an attestation with certificates, or of a form that was not asked for"
        )


def _check_cbor(name: str, check: Callable[[bytes], None], data: bytes) -> None:
    try:
        check(data)
    except ValueError as error:
        raise BusinessError(401, f"the passkey's {name} is no CBOR of a passkey: {error}") from None


def _refused(name: str, what: str) -> BusinessError:
    return BusinessError(12000008, f"the passkey's answer {what} ({name})", data={"refused": name})


def _ended() -> BusinessError:
    return _refused(
        "challenge", "is for an enrolment that was ended while it was being checked; begin a new one"
    )


def _none_enrolled(user_id: int) -> BusinessError:
    return BusinessError(
        12000013,
        f"user {user_id} has no such passkey: WebAuthnAuthenticator.begin_enroll begins to enrol one",
    )


def _passkeys_of(record: UserRecord | None) -> list[tuple[Credential, _Passkey]]:
    if record is None:
        return []
    return [(one, _Passkey(*json.loads(one.data))) for one in record.of_kind(_KIND)]


def _response(given: object) -> dict[str, Any]:
    if isinstance(given, str) and len(given) <= _LONGEST:
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            given = None
    if not isinstance(given, Mapping) or not isinstance(given.get("response"), Mapping):
        raise BusinessError(
            401, "the passkey's answer must be what toJSON() gave in the browser, JSON or parsed"
        )
    return {**given, "response": dict(given["response"])}


def _part(given: dict[str, Any], name: str) -> bytes:
    value = given["response"].get(name)
    try:
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise ValueError
        return _bytes(value)
    except ValueError:
        raise BusinessError(401, f"the passkey's {name} is no base64url") from None


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(value: str) -> bytes:
    return base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True)
