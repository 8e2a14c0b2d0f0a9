"""Unlocking keys with a passkey's assertion (WebAuthn), which is made over the session's challenge.

In an assertion the browser states which page asked, and the passkey signs that, so an assertion that a false page
obtained is useless. `relying_party.py` checks one by itself. Here is what the store must know of it: that a challenge
is answered once, that two processes see one counter, and whose passkeys there are.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from huks_async.access import begun_enrolments
from huks_async.access.authenticator import AuthHost, AuthRequest, HasAuthHost, Vouched
from huks_async.access.begun_enrolments import Begun
from huks_async.access.credentials import (
    KeptUsers,
    UserRecord,
    change_user,
    check_type,
    check_user_id,
    random_id,
    read_user,
)
from huks_async.access.passkey_keys import ALGORITHMS
from huks_async.access.passkeys import (
    KIND,
    Passkey,
    encode_passkey,
    from_base64url,
    passkeys_of,
    to_base64url,
)
from huks_async.access.relying_party import RelyingParty, check_origins, read_answer, refused
from huks_async.access.tokens import MAX_TRUST_LEVEL, iam_type
from huks_async.access.used_once import use_once
from huks_async.model.enums import HuksUserAuthType
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, as_bytes
from huks_async.model.settings import check_flag, check_function, check_whole
from huks_async.runtime.cancellation import run_to_end
from huks_async.runtime.randomness import random_bytes

_FINGERPRINT = int(HuksUserAuthType.HUKS_USER_AUTH_TYPE_FINGERPRINT)
_MOST_REMEMBERED = 1024
_ENROLMENT_SECONDS = 600.0


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
        check_origins(rp_id, origins)
        check_whole(trust_level, "WebAuthnAuthenticator: trust_level", 1, MAX_TRUST_LEVEL)
        check_function(clock, "WebAuthnAuthenticator: clock")
        iam_type(auth_type)
        try:
            import webauthn  # noqa: F401
        except ImportError:
            raise BusinessError(801, "passkeys need webauthn: pip install 'huks-async[webauthn]'") from None
        self.auth_types = int(auth_type)
        self._party = RelyingParty(
            rp_id,
            origins,
            verifies_user=check_flag(
                require_user_verification, "WebAuthnAuthenticator: require_user_verification"
            ),
            takes_cross_origin=check_flag(allow_cross_origin, "WebAuthnAuthenticator: allow_cross_origin"),
            takes_synced=check_flag(allow_synced, "WebAuthnAuthenticator: allow_synced"),
        )
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
        known = passkeys_of(await read_user(host, user_id))
        challenge = random_bytes(32)
        handle = from_base64url(known[0][1].handle) if known else random_bytes(32)
        begun = Begun(to_base64url(challenge), to_base64url(handle), self._clock() + _ENROLMENT_SECONDS)
        await begun_enrolments.begin(host.vault, user_id, begun)
        verification = "required" if self._party.verifies_user else "preferred"
        return json.dumps(
            {
                "rp": {"id": self._party.id, "name": self._party.id},
                "user": {"id": to_base64url(handle), "name": name, "displayName": name},
                "challenge": to_base64url(challenge),
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
        given = read_answer(response)
        passkeys_of(
            await read_user(host, user_id)
        )  # refused before anything is changed, if a newer version wrote them
        # taken before the check, so that each `begin_enroll` can be answered only once
        begun, mark = await begun_enrolments.answer(host.vault, user_id)
        if begun is None or not self._clock() < begun.until:
            raise refused("challenge", "has no beginning, or one of more than ten minutes ago")
        self._party.check_client(given, "webauthn.create", from_base64url(begun.challenge))
        made = await host.run(self._party.verified_enrolment, given, from_base64url(begun.challenge))
        new = made._replace(handle=begun.handle)
        self._party.check_accepted(new)

        # An enrolment that was ended must not change what is enrolled, which may cost the user keys; only one that is
        # ended during the change itself is undone.
        if not await begun_enrolments.goes_on(host.vault, user_id, mark):
            raise _ended()
        # to its end: if it stopped within, a passkey would stay whose enrolment may have been ended
        await run_to_end(self._add, host, user_id, new, mark)
        return new.id

    async def _add(self, host: AuthHost, user_id: int, new: Passkey, mark: bytes) -> None:
        """Add a passkey to the user's, unless its enrolment is ended meanwhile."""
        credential_id = random_id()
        before = after = None

        def added(record: UserRecord) -> tuple[UserRecord, None]:
            nonlocal before, after
            if any(one.id == new.id for _, one in passkeys_of(record)):
                raise BusinessError(12000017, f"user {user_id} has this passkey already")
            before = record
            after = record.with_new(KIND, self.auth_types, encode_passkey(new), credential_id)
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
        passkeys_of(
            await read_user(host, user_id)
        )  # refused before anything is changed, if a newer version wrote them
        if passkey is None:
            # Before the record is changed: an enrolment that is complete by now has its passkey in there.
            await begun_enrolments.end(host.vault, user_id)

        def removed(record: UserRecord) -> tuple[UserRecord, None]:
            found = [kept for kept, one in passkeys_of(record) if passkey in (None, one.id)]
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
        enrolled = passkeys_of(await read_user(keystore.auth_host, check_user_id(user_id)))
        known = [
            one for kept, one in enrolled if self._party.accepts(one) and kept.auth_type == self.auth_types
        ]
        if not known:
            raise _none_enrolled(user_id)
        return json.dumps(
            {
                "challenge": to_base64url(as_bytes(challenge, "challenge")),
                "rpId": self._party.id,
                "allowCredentials": [{"type": "public-key", "id": one.id} for one in known],
                "userVerification": "required" if self._party.verifies_user else "preferred",
            }
        )

    async def authenticate(self, host: AuthHost, request: AuthRequest, credential: Any) -> Vouched:
        """Check an assertion: `credential.toJSON()` of the browser, as JSON or parsed.

        Raises:
            BusinessError: 12000008 for one that is refused; `error.data["refused"]` is the name of what was wrong:
                credential, type, challenge, origin, crossOrigin, rpId, user present, user verified, user handle,
                backup, counter, signature, replay; 12000013 for a user without passkey, and where another type is
                requested than that of the enrolment; 401 for a malformed assertion.
        """
        given = read_answer(credential)
        user_id = request.user_id
        known = passkeys_of(await read_user(host, user_id))
        if not known:
            raise _none_enrolled(user_id)
        named = next((pair for pair in known if pair[1].id == given.get("id")), None)
        if named is None:
            raise refused("credential", f"is of a passkey that user {user_id} has not enrolled")
        checked, passkey = named
        check_type(request, checked.auth_type)
        self._party.check_client(given, "webauthn.get", request.challenge)
        self._party.check_data(given, passkey)
        handle = given["response"].get("userHandle")
        if handle is not None and handle != passkey.handle:
            raise refused("user handle", "is of another user")
        count = await host.run(self._party.verified_assertion, given, passkey, request.challenge)
        now = self._clock()
        await use_once(
            host,
            f"{KIND}-used/{user_id}",
            request.challenge,
            until=float("inf"),
            now=now,
            most=_MOST_REMEMBERED,
            forget_oldest=True,
        )

        def counted(record: UserRecord) -> tuple[UserRecord, Vouched]:
            found = next(
                (pair for pair in passkeys_of(record) if pair[0].credential_id == checked.credential_id),
                None,
            )
            if found is None:
                raise refused(
                    "credential",
                    "is of a passkey that was removed or enrolled anew while it was being checked",
                )
            kept, one = found
            # Many passkeys do not count their uses and always say zero. If the counter of one that counts did not
            # go up, there may be a copy of the passkey.
            if (count or one.uses) and count <= one.uses:
                raise refused(
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
            return record.with_data(kept, encode_passkey(one._replace(uses=count))), vouched

        return await change_user(host, user_id, counted, void=False)


def _ended() -> BusinessError:
    return refused(
        "challenge", "is for an enrolment that was ended while it was being checked; begin a new one"
    )


def _none_enrolled(user_id: int) -> BusinessError:
    return BusinessError(
        12000013,
        f"user {user_id} has no such passkey: WebAuthnAuthenticator.begin_enroll begins to enrol one",
    )
