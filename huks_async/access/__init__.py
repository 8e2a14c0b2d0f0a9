"""Who may do what: authentication and policy.

Most programs use none of this, so it is loaded at the first use of a name.
"""

from typing import TYPE_CHECKING

from huks_async._lazy_names import lazy_names

if TYPE_CHECKING:
    from huks_async.access.attempts import Lockout, LockoutClock
    from huks_async.access.authenticator import (
        NOBODY_ENROLLED,
        Authenticator,
        AuthHost,
        AuthRequest,
        Enrolment,
        Vouched,
    )
    from huks_async.access.oidc import OidcAuthenticator
    from huks_async.access.pin import PinAuthenticator
    from huks_async.access.policy import Caller, Policy
    from huks_async.access.tokens import (
        AuthToken,
        AuthTokenKeys,
        combine_challenges,
        iam_type,
        open_token,
        seal_token,
    )
    from huks_async.access.totp import TotpAuthenticator
    from huks_async.access.vault import Kept, Vault, VaultConflictError
    from huks_async.access.webauthn import WebAuthnAuthenticator
else:
    __getattr__ = lazy_names(
        __name__,
        {
            ".attempts": ("Lockout", "LockoutClock"),
            ".authenticator": (
                "NOBODY_ENROLLED",
                "AuthHost",
                "AuthRequest",
                "Authenticator",
                "Enrolment",
                "Vouched",
            ),
            ".oidc": ("OidcAuthenticator",),
            ".pin": ("PinAuthenticator",),
            ".policy": ("Caller", "Policy"),
            ".tokens": (
                "AuthToken",
                "AuthTokenKeys",
                "combine_challenges",
                "iam_type",
                "open_token",
                "seal_token",
            ),
            ".totp": ("TotpAuthenticator",),
            ".vault": ("Kept", "Vault", "VaultConflictError"),
            ".webauthn": ("WebAuthnAuthenticator",),
        },
    )

__all__ = [
    "NOBODY_ENROLLED",
    "AuthHost",
    "AuthRequest",
    "AuthToken",
    "AuthTokenKeys",
    "Authenticator",
    "Caller",
    "Enrolment",
    "Kept",
    "Lockout",
    "LockoutClock",
    "OidcAuthenticator",
    "PinAuthenticator",
    "Policy",
    "TotpAuthenticator",
    "Vault",
    "VaultConflictError",
    "Vouched",
    "WebAuthnAuthenticator",
    "combine_challenges",
    "iam_type",
    "open_token",
    "seal_token",
]
