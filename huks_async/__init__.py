"""HUKS key sessions for async Python: HarmonyOS's universal keystore API on servers."""

import sys
from typing import TYPE_CHECKING

if sys.argv[:1] == ["-m"] and "huks_async.cli" in sys.orig_argv:
    # `python -m huks_async.cli` is on its way to the command and comes through here first
    from huks_command import take_signals

    take_signals()

from huks_async import huksExternalCrypto
from huks_async._lazy_names import lazy_names
from huks_async._version import __version__
from huks_async.access.callers import Caller, as_caller
from huks_async.access.policy import AccessRequest, KeyPolicy, Policy
from huks_async.arkts import (
    abortSession,
    anonAttestKeyItem,
    anonAttestKeyItemAsUser,
    anonAttestKeyItemOffline,
    anonAttestKeyItemOfflineAsUser,
    attestKeyItem,
    attestKeyItemAsUser,
    decapsulate,
    deleteKeyItem,
    deleteKeyItemAsUser,
    encapsulate,
    exportKeyItem,
    exportKeyItemAsUser,
    finishSession,
    generateKeyItem,
    generateKeyItemAsUser,
    getKeyItemProperties,
    getKeyItemPropertiesAsUser,
    hasKeyItem,
    hasKeyItemAsUser,
    importKeyItem,
    importKeyItemAsUser,
    importWrappedKeyItem,
    importWrappedKeyItemAsUser,
    initSession,
    initSessionAsUser,
    isKeyItemExist,
    listAliases,
    unwrapKeyItem,
    updateSession,
    wrapKeyItem,
)
from huks_async.keys.items.shelf import KeyCache
from huks_async.keystore import Keystore, current_keystore
from huks_async.model.enums import (
    HuksAuthAccessType,
    HuksAuthStorageLevel,
    HuksChallengePosition,
    HuksChallengeType,
    HuksCipherMode,
    HuksErrorCode,
    HuksExceptionErrCode,
    HuksImportKeyType,
    HuksKeyAlg,
    HuksKeyClassType,
    HuksKeyDigest,
    HuksKeyFlag,
    HuksKeyGenerateType,
    HuksKeyPadding,
    HuksKeyPurpose,
    HuksKeySecurityLevel,
    HuksKeySize,
    HuksKeyStorageType,
    HuksKeyWrapType,
    HuksRsaPssSaltLenType,
    HuksSecureSignType,
    HuksSendType,
    HuksUnwrapSuite,
    HuksUserAuthMode,
    HuksUserAuthType,
)
from huks_async.model.errors import (
    AlgorithmParameterError,
    BusinessError,
    CommunicationError,
    CryptoError,
    ExternalError,
    HuksCompatibilityWarning,
    HuksLegacyWarning,
    HuksWarning,
    IllegalArgumentError,
    ItemExistsError,
    ItemNotFoundError,
    KeyAuthError,
    MemoryLimitError,
    NotSupportedError,
    PermissionDeniedError,
    ProviderError,
    SessionLimitError,
    StorageError,
)
from huks_async.model.limits import Limits
from huks_async.model.params import HuksOptions, HuksParam
from huks_async.model.results import (
    HuksHandle,
    HuksListAliasesReturnResult,
    HuksResult,
    HuksReturnResult,
    HuksSessionHandle,
)
from huks_async.model.tags import HuksTag, HuksTagType, InnerTag
from huks_async.rootkeys import RootKey
from huks_async.sessions.context import KeySession
from huks_async.stores import Store

# What most programs never use, and of several kinds the one that a program uses, is loaded at the first use
# of its name: attestation, for one, brings all of X.509 along. Type checkers read the imports, the
# interpreter the table.
if TYPE_CHECKING:
    from huks_async.access.table_policy import TablePolicy
    from huks_async.files.reader import SealedReader
    from huks_async.interchange import (
        signature_from_raw,
        signature_to_raw,
        sm2_ciphertext_from_raw,
        sm2_ciphertext_to_raw,
    )
    from huks_async.keys.attestation import (
        AttestationCa,
        AttestationError,
        AttestationRefusal,
        AttestationReport,
        verify_attestation,
    )
    from huks_async.keystore.backup_functions import StoreBackup
    from huks_async.keystore.caller_functions import CallerKeystore
    from huks_async.keystore.statistics import KeystoreStatistics
    from huks_async.legacy import (
        abort,
        deleteKey,
        exportKey,
        finish,
        generateKey,
        getKeyProperties,
        getSdkVersion,
        importKey,
        init,
        isKeyExist,
        update,
    )
    from huks_async.provisioning import WrappedKey, pack_wrapped_key
    from huks_async.rootkeys import EphemeralRootKey, FileRootKey, PassphraseRootKey, SystemdRootKey
    from huks_async.stores import MemoryStore, SqliteStore
else:
    __getattr__ = lazy_names(
        __name__,
        {
            ".access.table_policy": ("TablePolicy",),
            ".keys.attestation": (
                "AttestationCa",
                "AttestationError",
                "AttestationRefusal",
                "AttestationReport",
                "verify_attestation",
            ),
            ".files.reader": ("SealedReader",),
            ".interchange": (
                "signature_from_raw",
                "signature_to_raw",
                "sm2_ciphertext_from_raw",
                "sm2_ciphertext_to_raw",
            ),
            ".keystore.backup_functions": ("StoreBackup",),
            ".keystore.caller_functions": ("CallerKeystore",),
            ".keystore.statistics": ("KeystoreStatistics",),
            ".legacy": (
                "abort",
                "deleteKey",
                "exportKey",
                "finish",
                "generateKey",
                "getKeyProperties",
                "getSdkVersion",
                "importKey",
                "init",
                "isKeyExist",
                "update",
            ),
            ".provisioning": ("WrappedKey", "pack_wrapped_key"),
            ".rootkeys": ("EphemeralRootKey", "FileRootKey", "PassphraseRootKey", "SystemdRootKey"),
            ".stores": ("MemoryStore", "SqliteStore"),
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "AccessRequest",
    "AlgorithmParameterError",
    "AttestationCa",
    "AttestationError",
    "AttestationRefusal",
    "AttestationReport",
    "BusinessError",
    "Caller",
    "CallerKeystore",
    "CommunicationError",
    "CryptoError",
    "EphemeralRootKey",
    "ExternalError",
    "FileRootKey",
    "HuksAuthAccessType",
    "HuksAuthStorageLevel",
    "HuksChallengePosition",
    "HuksChallengeType",
    "HuksCipherMode",
    "HuksCompatibilityWarning",
    "HuksErrorCode",
    "HuksExceptionErrCode",
    "HuksHandle",
    "HuksImportKeyType",
    "HuksKeyAlg",
    "HuksKeyClassType",
    "HuksKeyDigest",
    "HuksKeyFlag",
    "HuksKeyGenerateType",
    "HuksKeyPadding",
    "HuksKeyPurpose",
    "HuksKeySecurityLevel",
    "HuksKeySize",
    "HuksKeyStorageType",
    "HuksKeyWrapType",
    "HuksLegacyWarning",
    "HuksListAliasesReturnResult",
    "HuksOptions",
    "HuksParam",
    "HuksResult",
    "HuksReturnResult",
    "HuksRsaPssSaltLenType",
    "HuksSecureSignType",
    "HuksSendType",
    "HuksSessionHandle",
    "HuksTag",
    "HuksTagType",
    "HuksUnwrapSuite",
    "HuksUserAuthMode",
    "HuksUserAuthType",
    "HuksWarning",
    "IllegalArgumentError",
    "InnerTag",
    "ItemExistsError",
    "ItemNotFoundError",
    "KeyAuthError",
    "KeyCache",
    "KeyPolicy",
    "KeySession",
    "Keystore",
    "KeystoreStatistics",
    "Limits",
    "MemoryLimitError",
    "MemoryStore",
    "NotSupportedError",
    "PassphraseRootKey",
    "PermissionDeniedError",
    "Policy",
    "ProviderError",
    "RootKey",
    "SealedReader",
    "SessionLimitError",
    "SqliteStore",
    "StorageError",
    "Store",
    "StoreBackup",
    "SystemdRootKey",
    "TablePolicy",
    "WrappedKey",
    "__version__",
    "abort",
    "abortSession",
    "anonAttestKeyItem",
    "anonAttestKeyItemAsUser",
    "anonAttestKeyItemOffline",
    "anonAttestKeyItemOfflineAsUser",
    "as_caller",
    "attestKeyItem",
    "attestKeyItemAsUser",
    "current_keystore",
    "decapsulate",
    "deleteKey",
    "deleteKeyItem",
    "deleteKeyItemAsUser",
    "encapsulate",
    "exportKey",
    "exportKeyItem",
    "exportKeyItemAsUser",
    "finish",
    "finishSession",
    "generateKey",
    "generateKeyItem",
    "generateKeyItemAsUser",
    "getKeyItemProperties",
    "getKeyItemPropertiesAsUser",
    "getKeyProperties",
    "getSdkVersion",
    "hasKeyItem",
    "hasKeyItemAsUser",
    "huksExternalCrypto",
    "importKey",
    "importKeyItem",
    "importKeyItemAsUser",
    "importWrappedKeyItem",
    "importWrappedKeyItemAsUser",
    "init",
    "initSession",
    "initSessionAsUser",
    "isKeyExist",
    "isKeyItemExist",
    "listAliases",
    "pack_wrapped_key",
    "signature_from_raw",
    "signature_to_raw",
    "sm2_ciphertext_from_raw",
    "sm2_ciphertext_to_raw",
    "unwrapKeyItem",
    "update",
    "updateSession",
    "verify_attestation",
    "wrapKeyItem",
]
