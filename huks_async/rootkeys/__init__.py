"""What protects the sealed items: the RootKey protocol and its implementations."""

from typing import TYPE_CHECKING

from huks_async._lazy_names import lazy_names
from huks_async.rootkeys.base import RootKey

# a program loads the kind of root key that it uses
if TYPE_CHECKING:
    from huks_async.rootkeys.ephemeral import EphemeralRootKey
    from huks_async.rootkeys.file import FileRootKey
    from huks_async.rootkeys.passphrase import PassphraseRootKey
    from huks_async.rootkeys.pkcs11 import Pkcs11RootKey
    from huks_async.rootkeys.systemd import SystemdRootKey
else:
    __getattr__ = lazy_names(
        __name__,
        {
            ".ephemeral": ("EphemeralRootKey",),
            ".file": ("FileRootKey",),
            ".passphrase": ("PassphraseRootKey",),
            ".pkcs11": ("Pkcs11RootKey",),
            ".systemd": ("SystemdRootKey",),
        },
    )

__all__ = [
    "EphemeralRootKey",
    "FileRootKey",
    "PassphraseRootKey",
    "Pkcs11RootKey",
    "RootKey",
    "SystemdRootKey",
]
