"""A root key that never leaves a PKCS#11 token: an HSM, a smart card, SoftHSM. Needs the extra `pkcs11`."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown
from huks_async.rootkeys.base import RootKey
from huks_async.rootkeys.envelope import KIND_TOKEN, parse, seal
from huks_async.rootkeys.pkcs11_library import Library, library_of, python_pkcs11, text_for_token
from huks_async.runtime.paths import path_text
from huks_async.runtime.randomness import random_bytes
from huks_async.runtime.threads import run_in_thread

T = TypeVar("T")

_SALT_SIZE = 16
_PURPOSE = b"huks_async root key/wrap/"


class Pkcs11RootKey(RootKey):
    """Wraps under a key that a token derives: HMAC-SHA256 over a salt, by a secret key in the token.

    HMAC is what nearly all tokens can do. A wrapping key is made for each wrapped key and lives in
    memory only while it is used; the secret in the token cannot be read out.

    Args:
        module: path of the token's PKCS#11 library.
        token: label of the token.
        pin: its user PIN.
        label: label of the secret key (CKK_GENERIC_SECRET, CKA_SIGN); `generate` makes it.

    """

    def __init__(
        self, module: str | os.PathLike[str], token: str, pin: str, *, label: str = "huks-root-key"
    ) -> None:
        path = path_text(module)
        if path is None:
            raise BusinessError(
                401, f"Pkcs11RootKey: module must be the path of a PKCS#11 library, got {shown(module)}"
            )
        self._module = path
        self._found: Library | None = None
        self._token = text_for_token(token, "Pkcs11RootKey: token")
        self._pin = text_for_token(pin, "Pkcs11RootKey: pin", secret=True)
        self._label = text_for_token(label, "Pkcs11RootKey: label")
        self._name = f"the key '{self._label}' in the token '{self._token}'"

    @property
    def _library(self) -> Library:
        # not found before it is called, in a thread, because that looks at its path
        if self._found is None:
            self._found = library_of(self._module)
        return self._found

    @property
    def key_id(self) -> str:
        """Token and key label, with a slash between."""
        return f"{self._token}/{self._label}"

    async def open(self, *, new: bool = True) -> None:
        """Find the key in the token.

        Raises:
            BusinessError: 12000020 when library, token or key are not there; 12000021 when the PIN is
                locked; 12000022 when it is wrong; 12000001 when the extra is not installed.

        """
        await self._with_session(self._find)

    async def generate(self) -> None:
        """Make the secret key in the token, so that it cannot be read out.

        Raises:
            BusinessError: 12000017 when there is one already; else as `open`.

        """
        await self._with_session(self._generate, write=True)

    async def wrap(self, key: bytes) -> bytes:
        """Wrap a key of 32 bytes, with a new salt."""
        salt = random_bytes(_SALT_SIZE)
        return seal(await self._derive(salt), KIND_TOKEN, salt, key)

    async def unwrap(self, wrapped: bytes) -> bytes:
        """Give the key that `wrap` wrapped."""
        envelope = parse(wrapped, KIND_TOKEN, self._name)
        return envelope.open(await self._derive(envelope.header), self._name)

    async def _derive(self, salt: bytes) -> bytes:
        def sign(pkcs11: Any, session: Any) -> bytes:
            key = self._find(pkcs11, session)
            return bytes(key.sign(_PURPOSE + salt, mechanism=pkcs11.Mechanism.SHA256_HMAC))

        return await self._with_session(sign)

    def _keys(self, pkcs11: Any, session: Any, **more: Any) -> list[Any]:
        wanted = {
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
            pkcs11.Attribute.LABEL: self._label,
        }
        return list(session.get_objects(wanted | {pkcs11.Attribute[name]: more[name] for name in more}))

    def _is_visible(self, pkcs11: Any, session: Any) -> bool:
        """Whether the key is seen without a login: a private one is while other code of the process is logged in."""
        return bool(self._keys(pkcs11, session, PRIVATE=True))

    def _find(self, pkcs11: Any, session: Any) -> Any:
        keys = self._keys(pkcs11, session)
        if len(keys) != 1:
            raise BusinessError(
                12000020,
                f"the token '{self._token}' has {len(keys)} secret keys with the label '{self._label}' instead of 1; "
                + ("make it with generate()" if not keys else "give them different labels"),
            )
        return keys[0]

    def _generate(self, pkcs11: Any, session: Any) -> None:
        if self._keys(pkcs11, session):
            raise BusinessError(
                12000017, f"{self._name} exists, and stored keys may depend on it; choose another label"
            )
        session.generate_key(
            pkcs11.KeyType.GENERIC_SECRET,
            256,
            label=self._label,
            store=True,
            capabilities=pkcs11.MechanismFlag.SIGN,
            mechanism=pkcs11.Mechanism.GENERIC_SECRET_KEY_GEN,
            template={
                pkcs11.Attribute.SENSITIVE: True,
                pkcs11.Attribute.EXTRACTABLE: False,
                pkcs11.Attribute.PRIVATE: True,
            },
        )

    async def _with_session(self, work: Callable[[Any, Any], T], *, write: bool = False) -> T:
        return await run_in_thread(self._work, work, write)

    def _work(self, work: Callable[[Any, Any], T], write: bool) -> T:
        pkcs11 = python_pkcs11()
        try:
            with self._library.in_call() as library:
                token = library.get_token(token_label=self._token)
                # python-pkcs11 leaves the session of a login open that is refused because there is one already. A token
                # that shows private keys to all asks for a login when they are used.
                with token.open(rw=write) as session, suppress(pkcs11.UserNotLoggedIn):
                    if self._is_visible(pkcs11, session):
                        return work(pkcs11, session)
                try:
                    session = token.open(rw=write, user_pin=self._pin)
                except pkcs11.UserAlreadyLoggedIn:  # by other code of this process
                    session = token.open(rw=write)
                with session:
                    return work(pkcs11, session)
        except pkcs11.PinLocked as error:
            raise BusinessError(
                12000021, f"the PIN of the token '{self._token}' is locked; unlock it"
            ) from error
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange) as error:
            raise BusinessError(
                12000022,
                f"the PIN of the token '{self._token}' is wrong; tokens lock after a few attempts",
            ) from error
        except (pkcs11.NoSuchToken, pkcs11.MultipleTokensReturned) as error:
            raise BusinessError(
                12000020,
                f"the library {self._module} has no token, or several, with the label '{self._token}'; "
                "check the label and the token's own configuration",
            ) from error
        except pkcs11.PKCS11Error as error:
            # its texts name states of the token, never keys or PINs
            raise BusinessError(
                12000020,
                f"the token '{self._token}' of the library {self._module} failed "
                f"({type(error).__name__} {error}); check that it is plugged in and configured",
            ) from error
