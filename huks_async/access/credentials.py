"""Who has enrolled what: one record for each user, which all authenticators of a keystore share.

The record has the user's secure uid, the enrolled id of each type of credential, and the credentials, each
with data of its authenticator's own. It is one sealed value, changed as a whole, so that no half of an
enrolment is ever seen.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from huks_async.access.authenticator import (
    NOBODY_ENROLLED,
    AuthHost,
    AuthRequest,
    Enrolment,
    HasAuthHost,
    Vouched,
)
from huks_async.access.vault import change, read_value
from huks_async.model.enums import HuksUserAuthType
from huks_async.model.errors import BusinessError
from huks_async.runtime.cancellation import run_to_end
from huks_async.runtime.randomness import random_bytes

T = TypeVar("T")
_FORMAT = 1
_PIN = int(HuksUserAuthType.HUKS_USER_AUTH_TYPE_PIN)


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential of a user.

    Attributes:
        kind: names the authenticator that it belongs to, e.g. "pin".
        auth_type: one `HuksUserAuthType`.
        credential_id: 64 bits.
        data: what the authenticator needs to check it.
    """

    kind: str
    auth_type: int
    credential_id: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """What a user has enrolled, credentials included.

    Attributes:
        secure_uid: see `Enrolment`.
        enrolled: see `Enrolment`.
        credentials: all of them.
    """

    secure_uid: int
    enrolled: dict[int, int]
    credentials: tuple[Credential, ...]

    def of_kind(self, kind: str) -> list[Credential]:
        """The credentials of one authenticator."""
        return [credential for credential in self.credentials if credential.kind == kind]

    def with_new(
        self, kind: str, auth_type: int, data: bytes, credential_id: int | None = None
    ) -> "UserRecord":
        """The record with one more credential, and therefore a new enrolled id for its type.

        Args:
            kind: names the authenticator.
            auth_type: as which type keys see it.
            data: what the authenticator needs to check it.
            credential_id: a `random_id`, for whoever must find the credential again; None: it is chosen here.
        """
        added = Credential(kind, auth_type, credential_id or random_id(), data)
        return replace(
            self,
            enrolled={**self.enrolled, auth_type: random_id()},
            credentials=(*self.credentials, added),
        )

    def with_data(self, credential: Credential, data: bytes, *, new_id: bool = False) -> "UserRecord":
        """The record with new data for one credential, such as a changed PIN or a counter. Keys stay valid."""
        credential_id = random_id() if new_id else credential.credential_id
        changed = replace(credential, data=data, credential_id=credential_id)
        others = tuple(changed if one is credential else one for one in self.credentials)
        return replace(self, credentials=others)

    def without(self, credential: Credential, *, new_identity: bool = False) -> "UserRecord":
        """The record without one credential.

        Args:
            credential: one of the record's.
            new_identity: whether the user gets a new identity in any case, which voids the keys that are bound to the
                old one. Removing the last credential of type PIN always gives one.
        """
        left = tuple(one for one in self.credentials if one is not credential)
        types = {one.auth_type for one in left}
        cleared = credential.auth_type == _PIN and _PIN not in types
        return UserRecord(
            random_id() if cleared or new_identity else self.secure_uid,
            {kind: number for kind, number in self.enrolled.items() if kind in types},
            left,
        )


async def read_user(host: AuthHost, user_id: int) -> UserRecord | None:
    """Give the record of a user; None for one without an identity.

    A record without credentials keeps the identity, to which keys are bound, for whoever is enrolled next.
    """
    kept = await host.vault.get(_name(user_id))
    return None if kept is None else _decode(kept.data)


async def change_user(
    host: AuthHost, user_id: int, new: Callable[[UserRecord], tuple[UserRecord, T]], *, void: bool
) -> T:
    """Change the record of a user.

    Args:
        host: of the keystore.
        user_id: the user.
        new: returns the new record for the present one, and the result of this function; see `vault.change`. A user
            without a record gets one with a new identity.
        void: whether this voids tokens that were made before, as an enrolment, a removal and a changed PIN do.

    The record is removed with its last credential where the identity ends, too.
    """
    if void:
        kept = await host.vault.get(_name(user_id))
        record = _record(None if kept is None else kept.data)
        if new(record)[0] is not record:
            # before the change, too, so that no good tokens are left where the process is killed in the midst of it
            await host.void_tokens(user_id)
    attempted = False

    def encoded(data: bytes | None) -> tuple[bytes | None, T]:
        nonlocal attempted
        attempted = False
        record = _record(data)
        changed, result = new(record)
        if changed is record:
            return data, result
        attempted = True
        if not changed.credentials and changed.secure_uid != record.secure_uid:
            return None, result
        # also without credentials: keys are bound to the identity, and the next credential unlocks them
        return _encode(changed), result

    try:
        return await change(host.vault, _name(user_id), encoded)
    except GeneratorExit:
        # the event loop is gone, so nothing can be awaited here
        if void and attempted:
            host.credentials_changed(user_id)
        attempted = False
        raise
    finally:
        # also where this was cancelled, or the store failed, because the record may have been written
        if void and attempted:
            await run_to_end(host.void_tokens, user_id)


def check_type(request: AuthRequest, auth_type: int) -> None:
    """Refuse (12000013) a request for another type than the one that a credential was enrolled as.

    The token will say the type that was requested. To be called before a guess is counted or anything is used up.
    """
    if auth_type != request.auth_type:
        raise BusinessError(
            12000013,
            f"auth_type: got {request.auth_type}, the credential of user {request.user_id} is of type {auth_type}: ask "
            "for that type, or have the user enrol one of the other",
        )


async def vouch_for(host: AuthHost, request: AuthRequest, checked: Credential, trust_level: int) -> Vouched:
    """Vouch for a user whose credential was right: an authenticator's last step.

    Between the look at the credential and its end a check waits, for a thread, for others, for the store. Meanwhile
    another process may have removed the credential, so its record is read once more.

    Raises:
        BusinessError: 12000008 if the credential was removed or replaced meanwhile; as `check_type`.
    """
    check_type(request, checked.auth_type)
    user_id = request.user_id
    record = await read_user(host, user_id)
    if record is None or not any(
        one.kind == checked.kind and one.credential_id == checked.credential_id for one in record.credentials
    ):
        raise BusinessError(
            12000008, f"the credential of user {user_id} was removed or changed while it was being checked"
        )
    return Vouched(
        record.secure_uid,
        record.enrolled[checked.auth_type],
        checked.credential_id,
        trust_level=trust_level,
    )


class KeptUsers:
    """Base of the authenticators that keep their users' credentials in these records."""

    async def enrolled(self, host: AuthHost, user_id: int) -> Enrolment:
        """Tell what a user has enrolled."""
        record = await read_user(host, user_id)
        return NOBODY_ENROLLED if record is None else Enrolment(record.secure_uid, record.enrolled)


async def clear_credential(
    keystore: HasAuthHost,
    user_id: int,
    find: Callable[[UserRecord, int], Credential],
    *,
    new_identity: bool = False,
) -> None:
    """Remove from a user the credential that `find` finds in the record; errors as `find`, the rest as `without`."""
    host, user_id = keystore.auth_host, check_user_id(user_id)

    def cleared(record: UserRecord) -> tuple[UserRecord, None]:
        return record.without(find(record, user_id), new_identity=new_identity), None

    await change_user(host, user_id, cleared, void=True)


def check_user_id(user_id: object) -> int:
    """Check a user id: a number of 31 bits; 401 otherwise."""
    if type(user_id) is not int or not 0 <= user_id < 2**31:
        raise BusinessError(401, "user_id must be an int from 0 to 2^31 - 1")
    return user_id


def _name(user_id: int) -> str:
    return f"user/{user_id}"


def random_id() -> int:
    """An id of 64 bits, not zero."""
    return int.from_bytes(random_bytes(8)) or 1


def _record(data: bytes | None) -> UserRecord:
    return UserRecord(random_id(), {}, ()) if data is None else _decode(data)


def _encode(record: UserRecord) -> bytes:
    return json.dumps(
        {
            "format": _FORMAT,
            "secure_uid": record.secure_uid,
            "enrolled": {str(kind): number for kind, number in record.enrolled.items()},
            "credentials": [
                [one.kind, one.auth_type, one.credential_id, one.data.hex()] for one in record.credentials
            ],
        }
    ).encode()


def _decode(data: bytes) -> UserRecord:
    return read_value(data, "the record of what a user has enrolled", _read)


def _read(data: bytes) -> UserRecord:
    found = json.loads(data)
    if found["format"] != _FORMAT:
        raise ValueError(found["format"])
    return UserRecord(
        found["secure_uid"],
        {int(kind): number for kind, number in found["enrolled"].items()},
        tuple(
            Credential(kind, auth_type, credential_id, bytes.fromhex(secret))
            for kind, auth_type, credential_id, secret in found["credentials"]
        ),
    )
