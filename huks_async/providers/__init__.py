"""External providers: keys in a hardware token or a foreign service, and what connects them to a keystore.

A provider is an object with the methods of `CryptoExtensionAbility`. `Keystore.open(abilities=…)` declares
those of an application; `registerProvider` makes one known, and keys in it are used by the ordinary functions
with HUKS_TAG_KEY_CLASS = EXTENSION.
"""

from typing import TYPE_CHECKING

from huks_async._lazy_names import lazy_names
from huks_async.providers.protocol import (
    CertificatePurpose,
    CryptoExtensionAbility,
    HuksCryptoExtensionCertInfo,
    HuksCryptoExtensionResult,
    HuksCryptoExtensionResultCode,
)

# loaded at its first use, because most services have no PKCS#11 token
if TYPE_CHECKING:
    from huks_async.providers.pkcs11.provider import Pkcs11Provider
else:
    __getattr__ = lazy_names(__name__, {".pkcs11.provider": ("Pkcs11Provider",)})

__all__ = [
    "CertificatePurpose",
    "CryptoExtensionAbility",
    "HuksCryptoExtensionCertInfo",
    "HuksCryptoExtensionResult",
    "HuksCryptoExtensionResultCode",
    "Pkcs11Provider",
]
