"""What protects the sealed items: the RootKey protocol and its implementations."""

from huks_async.rootkeys.base import RootKey
from huks_async.rootkeys.ephemeral import EphemeralRootKey
from huks_async.rootkeys.file import FileRootKey
from huks_async.rootkeys.passphrase import PassphraseRootKey
from huks_async.rootkeys.pkcs11 import Pkcs11RootKey
from huks_async.rootkeys.systemd import SystemdRootKey

__all__ = [
    "EphemeralRootKey",
    "FileRootKey",
    "PassphraseRootKey",
    "Pkcs11RootKey",
    "RootKey",
    "SystemdRootKey",
]
