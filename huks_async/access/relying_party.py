"""The Relying Party of WebAuthn: which answers of browsers and passkeys it accepts.

The library `webauthn` verifies signatures. What it leaves to its user is checked here: that what it decodes is small
and plain, frames of other sites, synced passkeys, and attestations that nobody asked for.
"""

import hashlib
import hmac
import json
import struct
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from huks_async.access.passkey_keys import check_public_key
from huks_async.access.passkeys import Passkey, from_base64url, to_base64url
from huks_async.access.plain_cbor import check_authenticator_data, check_plain
from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown, type_name

_PRESENT, _VERIFIED, _BACKUP_ELIGIBLE = 1, 4, 8
_DATA_HEAD = struct.Struct(">32sBI")
_LONGEST = 65_536


class RelyingParty:
    """Checks answers; whatever it does not accept is 12000008, and something that is no answer 401.

    Args:
        rp_id: the domain that passkeys are bound to.
        origins: of the pages that may ask; they passed `check_origins`.
        verifies_user: whether the passkey must have verified its user.
        takes_cross_origin: whether a page within another site's frame may ask.
        takes_synced: whether passkeys that their vendor copies between devices are accepted.
    """

    def __init__(
        self,
        rp_id: str,
        origins: Collection[str],
        *,
        verifies_user: bool,
        takes_cross_origin: bool,
        takes_synced: bool,
    ) -> None:
        self.id: str = rp_id
        self._origins = list(origins)
        self.verifies_user: bool = verifies_user
        self._cross_origin = takes_cross_origin
        self._synced = takes_synced

    def accepts(self, passkey: Passkey) -> bool:
        """Whether answers of this passkey can be accepted."""
        return self._synced or not passkey.synced

    def check_accepted(self, passkey: Passkey) -> None:
        """Refuse a passkey that is not to be accepted."""
        if not self.accepts(passkey):
            raise refused("backup", "is of a passkey that is copied between devices")

    def check_client(self, given: dict[str, Any], kind: str, challenge: bytes) -> None:
        """Check what the browser says of the page that asked, and of the challenge."""
        try:
            client = json.loads(_part(given, "clientDataJSON"))
        except (ValueError, RecursionError):
            client = None
        if not isinstance(client, dict):
            raise BusinessError(401, "the passkey's clientDataJSON is no JSON object")
        if client.get("type") != kind:
            raise refused("type", f"is no {kind}")
        said = client.get("challenge")
        if not isinstance(said, str) or not hmac.compare_digest(
            said.encode("utf-8", "replace"), to_base64url(challenge).encode()
        ):
            raise refused("challenge", "is for another challenge")
        if client.get("origin") not in self._origins:
            raise refused("origin", "was asked for by another page")
        if (
            client.get("crossOrigin", False) is not False or "topOrigin" in client
        ) and not self._cross_origin:
            raise refused("crossOrigin", "was asked for within another site's frame")

    def check_data(self, given: dict[str, Any], passkey: Passkey) -> None:
        """Check what a passkey says in its assertion; the signature that covers this is verified afterwards."""
        data = _part(given, "authenticatorData")
        if len(data) < _DATA_HEAD.size:
            raise BusinessError(401, "the passkey's authenticatorData is too short")
        rp_hash, flags, _ = _DATA_HEAD.unpack_from(data)
        if rp_hash != hashlib.sha256(self.id.encode()).digest():
            raise refused("rpId", f"is for another domain than {self.id}")
        if not flags & _PRESENT:
            raise refused("user present", "was made without anybody present")
        if self.verifies_user and not flags & _VERIFIED:
            raise refused("user verified", "was made without a check of who touched the passkey")
        if bool(flags & _BACKUP_ELIGIBLE) != passkey.synced:
            raise refused("backup", "says otherwise than at enrolment whether the passkey can be copied")
        self.check_accepted(passkey)

    def verified_enrolment(self, given: dict[str, Any], challenge: bytes) -> Passkey:
        """The new passkey of an answer to an enrolment, without its handle. Takes long: for a worker thread."""
        from webauthn import verify_registration_response

        _check_attestation(_part(given, "attestationObject"))
        try:
            made: Any = verify_registration_response(
                credential=given,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self._origins,
                require_user_verification=self.verifies_user,
            )
        except Exception as error:  # the library raises many kinds of errors for malformed input
            raise refused("enrolment", f"is wrong: {type(error).__name__}: {error}"[:200]) from error
        try:
            check_public_key(made.credential_public_key)
        except ValueError as error:
            raise refused("enrolment", str(error)) from error
        synced = made.credential_device_type.value == "multi_device"
        return Passkey(
            to_base64url(made.credential_id),
            to_base64url(made.credential_public_key),
            made.sign_count,
            "",
            synced,
        )

    def verified_assertion(self, given: dict[str, Any], passkey: Passkey, challenge: bytes) -> int:
        """Verify an assertion, and give the passkey's counter. Takes long: for a worker thread."""
        from webauthn import verify_authentication_response

        # before the signature is verified, the library decodes what is in here
        _check_cbor("authenticatorData", check_authenticator_data, _part(given, "authenticatorData"))
        try:
            checked: Any = verify_authentication_response(
                credential=given,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self._origins,
                credential_public_key=from_base64url(passkey.public_key),
                # -1 turns the library's check of the counter off. The counter is checked where it is written, because
                # otherwise two processes could both accept the same count.
                credential_current_sign_count=-1,
                require_user_verification=self.verifies_user,
            )
            return int(checked.new_sign_count)
        except Exception as error:  # as above
            raise refused(
                "signature", f"cannot be verified: {type(error).__name__}: {error}"[:200]
            ) from error


def check_origins(rp_id: str, origins: Collection[str]) -> None:
    """Refuse (401) what is no domain, or no list of origins within it."""
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


def read_answer(given: object) -> dict[str, Any]:
    """The answer of a browser as a dict; 401 for something that is none."""
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


def refused(name: str, what: str) -> BusinessError:
    """The error of an answer that is not accepted."""
    return BusinessError(12000008, f"the passkey's answer {what} ({name})", data={"refused": name})


def _part(given: dict[str, Any], name: str) -> bytes:
    value = given["response"].get(name)
    try:
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise ValueError
        return from_base64url(value)
    except ValueError:
        raise BusinessError(401, f"the passkey's {name} is no base64url") from None


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
        raise refused(
            "attestation", "has an attestation with certificates, or of a form that was not asked for"
        )


def _check_cbor(name: str, check: Callable[[bytes], None], data: bytes) -> None:
    try:
        check(data)
    except ValueError as error:
        raise BusinessError(401, f"the passkey's {name} is no CBOR of a passkey: {error}") from None
