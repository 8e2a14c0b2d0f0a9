"""What is stored of a passkey: the data of one credential in its user's record."""

import base64
import json
from typing import NamedTuple

from huks_async.access.credentials import Credential, UserRecord
from huks_async.access.vault import read_value

KIND = "webauthn"


class Passkey(NamedTuple):
    """What is stored of a passkey; bytes are in base64url."""

    id: str
    public_key: str
    uses: int
    handle: str
    synced: bool


def passkeys_of(record: UserRecord | None) -> list[tuple[Credential, Passkey]]:
    """A user's passkeys, each with the credential that holds it."""
    if record is None:
        return []
    return [(one, read_value(one.data, "a passkey of the user", _read)) for one in record.of_kind(KIND)]


def encode_passkey(passkey: Passkey) -> bytes:
    """The data of a passkey's credential."""
    return json.dumps(passkey).encode()


def _read(data: bytes) -> Passkey:
    found = json.loads(data)
    if not isinstance(found, list) or [type(part) for part in found] != [str, str, int, str, bool]:
        raise ValueError
    return Passkey(*found)


def to_base64url(value: bytes) -> str:
    """Base64url without padding, as browsers give bytes and take them."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def from_base64url(value: str) -> bytes:
    """The bytes of base64url, with or without padding; ValueError for anything else."""
    return base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True)
