"""External providers: keys that live in a token or service of someone else, and what connects them.

A provider is an object with the methods of `CryptoExtensionAbility`. `Keystore.open(abilities=…)` declares
those of an application; `registerProvider` makes one known, and keys in it are used by the ordinary functions
with HUKS_TAG_KEY_CLASS = EXTENSION.
"""

from huks_async.providers.protocol import (
    CertificatePurpose,
    CryptoExtensionAbility,
    HuksCryptoExtensionCertInfo,
    HuksCryptoExtensionResult,
    HuksCryptoExtensionResultCode,
)

__all__ = [
    "CertificatePurpose",
    "CryptoExtensionAbility",
    "HuksCryptoExtensionCertInfo",
    "HuksCryptoExtensionResult",
    "HuksCryptoExtensionResultCode",
]
