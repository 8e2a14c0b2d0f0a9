"""A root key from a systemd credential."""

import os
import re

from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown
from huks_async.rootkeys.base import KEY_SIZE
from huks_async.rootkeys.secret import SecretRootKey
from huks_async.runtime.threads import run_in_thread


class SystemdRootKey(SecretRootKey):
    """32 bytes that systemd hands to the service, encrypted at rest by the machine's TPM or host key.

    `systemd-creds encrypt --name=huks-root-key FILE huks-root-key.cred` makes the credential from a file
    of 32 random bytes, and `LoadCredentialEncrypted=huks-root-key:PATH` in the unit hands it over.

    Args:
        name: the credential's name.

    """

    def __init__(self, name: str = "huks-root-key") -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}", name):
            raise BusinessError(
                401,
                f"a credential's name has letters, digits, '.', '_' and '-', and no '.' in front; got {shown(name)}",
            )
        super().__init__(f"the systemd credential '{name}'")
        self._credential = name

    async def _load(self) -> bytes:
        return await run_in_thread(self._read)

    def _read(self) -> bytes:
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise BusinessError(
                12000004,
                f"{self._name} is not there: $CREDENTIALS_DIRECTORY is not set; run this as a systemd service "
                f"with LoadCredentialEncrypted={self._credential}:… in its unit",
            )
        try:
            with open(os.path.join(directory, self._credential), "rb") as file:
                content = file.read(KEY_SIZE + 1)
        except OSError as error:
            raise BusinessError(
                12000004,
                f"{self._name} cannot be read: {error.strerror or error}; "
                f"is there LoadCredentialEncrypted={self._credential}:… in the unit?",
            ) from error
        if len(content) != KEY_SIZE:
            size = "more" if len(content) > KEY_SIZE else str(len(content))
            raise BusinessError(
                12000004, f"{self._name} has {size} bytes; it must be exactly {KEY_SIZE} random bytes"
            )
        return content
