"""To whom a key is bound: what is noted when it is made, and read when it is used."""

import struct
from typing import TYPE_CHECKING, NamedTuple

from huks_async.model.params import ParamSet
from huks_async.model.tags import ServiceTag

if TYPE_CHECKING:
    # late: most keystores have no authenticator
    from huks_async.access.authenticator import Enrolment

_ENROLLED_COUNT, _ENROLLED = struct.Struct("<I"), struct.Struct("<IQ")
_UID = struct.Struct("<Q")


class Bound(NamedTuple):
    """To whom a key is bound, as it was noted when the key was made.

    Attributes:
        user_id: for access type 4; None if it was not noted.
        secure_uid: for access types 1 and 3; None if it was not noted.
        enrolled: pairs of credential type and enrolled id, for access types 2 and 3; None if they were not noted.
    """

    user_id: int | None
    secure_uid: int | None
    enrolled: frozenset[tuple[int, int]] | None


def bound_of(params: ParamSet) -> Bound:
    """Read from a stored key's parameters to whom it is bound."""
    uid = params.blobs.get(ServiceTag.USER_AUTH_SECURE_UID)
    enrolled = params.blobs.get(ServiceTag.USER_AUTH_ENROLL_ID_INFO)
    return Bound(
        params.numbers.get(ServiceTag.FRONT_USER_ID),
        None if uid is None else _UID.unpack(uid)[0],
        None if enrolled is None else frozenset(_ENROLLED.iter_unpack(enrolled[_ENROLLED_COUNT.size :])),
    )


def bound_to_user(user_id: int) -> ParamSet:
    """What is stored with a key of access type 4."""
    return ParamSet({int(ServiceTag.FRONT_USER_ID): user_id})


def bound_to_enrolment(enrolment: "Enrolment") -> ParamSet:
    """What is stored with a key of the other access types, whose user has this enrolled."""
    pairs = sorted(enrolment.enrolled.items())
    return ParamSet(
        {},
        {
            int(ServiceTag.USER_AUTH_SECURE_UID): _UID.pack(enrolment.secure_uid),
            int(ServiceTag.USER_AUTH_ENROLL_ID_INFO): _ENROLLED_COUNT.pack(len(pairs))
            + b"".join(_ENROLLED.pack(*pair) for pair in pairs),
        },
    )
