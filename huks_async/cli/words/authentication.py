"""Keys that are bound to a user: what a new one demands, and how the user is shown to be there."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from cyclopts import Parameter

import huks_async
from huks_async.access.callers import FIRST_USER
from huks_async.cli.shell.console import CommandError, usage_error
from huks_async.cli.shell.files import open_input, segments
from huks_async.cli.shell.prompts import ask_secret
from huks_async.cli.words.arguments import Place, no_option
from huks_async.cli.words.key_use import PURPOSE_WORDS, choose
from huks_async.cli.words.numbers import Number
from huks_async.cli.words.parameters import Tags, options
from huks_async.keystore.file_keys import ShowToken
from huks_async.model.enums import (
    HuksAuthAccessType,
    HuksChallengeType,
    HuksKeyAlg,
    HuksKeyPurpose,
    HuksUserAuthType,
)
from huks_async.model.errors import BusinessError
from huks_async.model.params import HuksOptions, HuksParam
from huks_async.model.tags import HuksTag

_T = HuksTag
_PIN = HuksUserAuthType.HUKS_USER_AUTH_TYPE_PIN
_TYPES: dict[str, int] = {"pin": _PIN}
_ACCESS: dict[str, int] = {
    "clear-password": HuksAuthAccessType.HUKS_AUTH_ACCESS_INVALID_CLEAR_PASSWORD,
    "always": HuksAuthAccessType.HUKS_AUTH_ACCESS_ALWAYS_VALID,
}
_CHALLENGES: dict[str, int] = {
    "normal": HuksChallengeType.HUKS_CHALLENGE_TYPE_NORMAL,
    "none": HuksChallengeType.HUKS_CHALLENGE_TYPE_NONE,
}
_TOKEN_BYTES = 280
_VOID, _AUTH_FAILED = 12000007, 12000008
NO_TERMINAL = (
    "--token-file FILE names a token that `huks access token` made, for keys with --auth-challenge none"
)


@Parameter(name="*")
@dataclass(frozen=True)
class Demand:
    """What the key demands of whoever uses it."""

    auth: Annotated[
        str | None, Parameter(help="Bind the key to the user: pin. The PIN is asked for at each use.")
    ] = None
    auth_access: Annotated[
        str,
        Parameter(
            help="clear-password: the key becomes unusable for ever when the PIN is cleared; always: it does not."
        ),
    ] = "clear-password"
    auth_challenge: Annotated[
        str,
        Parameter(
            help=f"One of {', '.join(_CHALLENGES)}: one authentication for each use, or for all within "
            "--auth-timeout."
        ),
    ] = "normal"
    auth_timeout: Annotated[
        Number | None,
        Parameter(help="Seconds that an authentication is good for; with --auth-challenge none."),
    ] = None
    auth_purpose: Annotated[
        list[str] | None,
        Parameter(
            negative=(), help="Purposes that need authentication; may be repeated. Default: every purpose."
        ),
    ] = None

    def tags_of(self, key: Tags, *, unwraps: bool = False) -> Tags:
        """The tags of the new key beside those of its kind; `unwraps` tells that its name says so.

        Raises:
            CommandError: as `tags`; or the key would be one that opens wrapped keys, and demand a PIN.

        """
        tags = self.tags
        # a key of ML-KEM unwraps in sessions, to which a program can show a token
        in_session = key["ALGORITHM"] == HuksKeyAlg.HUKS_ALG_ML_KEM
        unwraps = unwraps or bool(int(key["PURPOSE"]) & HuksKeyPurpose.HUKS_KEY_PURPOSE_UNWRAP)
        if tags and unwraps and not in_session:
            raise usage_error(
                "a key that opens wrapped keys cannot ask for a PIN: import-wrapped works without a session, so "
                "there is nothing to show the PIN to",
                hint="leave out --auth; for files or agreements make another key",
            )
        return tags

    @property
    def tags(self) -> Tags:
        """The tags of the new key.

        Raises:
            CommandError: words that are in no list, or options that do nothing without others.

        """
        if self.auth is None:
            if self != Demand():
                raise usage_error("the options --auth-… need --auth", hint="--auth pin")
            return {}
        challenge = choose(_CHALLENGES, self.auth_challenge, "challenge")
        if (self.auth_timeout is not None) != (challenge == HuksChallengeType.HUKS_CHALLENGE_TYPE_NONE):
            raise usage_error(
                "--auth-timeout and --auth-challenge none go together",
                hint="a key with a challenge asks at each use",
            )
        tags: Tags = {
            "USER_AUTH_TYPE": choose(_TYPES, self.auth, "authentication"),
            "KEY_AUTH_ACCESS_TYPE": choose(_ACCESS, self.auth_access, "access"),
            "CHALLENGE_TYPE": challenge,
        }
        if self.auth_timeout is not None:
            tags["AUTH_TIMEOUT"] = self.auth_timeout
        if self.auth_purpose:
            mask = 0
            for word in self.auth_purpose:
                mask |= choose(PURPOSE_WORDS, word, "purpose")
            tags["KEY_AUTH_PURPOSE"] = mask
        return tags


@Parameter(name="*")
@dataclass(frozen=True)
class UsePlace(Place):
    """Where the key is, and who uses it."""

    token_file: Annotated[
        str | None,
        Parameter(
            help="For a key that is bound to the user: a token, instead of the PIN that is asked for; - is standard "
            "input.",
            allow_leading_hyphen=True,
            validator=no_option,
        ),
    ] = None

    async def token(
        self,
        keystore: "huks_async.Keystore",
        alias: str,
        session: "huks_async.KeySession",
        given: HuksOptions,
    ) -> bytes | None:
        """What the first call of a session shows: a token of the user, or nothing where the key asks for none.

        Raises:
            CommandError: the user must be asked, and there is no terminal; the file holds no token.
            BusinessError: 12000007 for a key that ended with the user's PIN.

        """
        return await self._token(keystore, alias, session, given, ask_pin, _read_token)

    def show_tokens(self, keystore: "huks_async.Keystore") -> ShowToken:
        """The same for all sessions of a command, for the functions on files: the PIN is asked for once.

        So is the token read once, which a pipe has no second time.
        """
        pin: list[str] = []
        read = cache(_read_token)

        def ask(alias: str) -> str:
            if not pin:
                pin.append(ask_pin(alias))
            return pin[0]

        async def show(alias: str, session: "huks_async.KeySession", given: HuksOptions) -> bytes | None:
            return await self._token(keystore, alias, session, given, ask, read)

        return show

    async def _token(
        self,
        keystore: "huks_async.Keystore",
        alias: str,
        session: "huks_async.KeySession",
        given: HuksOptions,
        ask: Callable[[str], str],
        read: Callable[[str], bytes],
    ) -> bytes | None:
        stored = (await keystore.getKeyItemProperties(alias, options(**self.tags))).properties
        if not session.challenge and not _demands(stored, given.properties or ()):
            return None
        if self.token_file is not None:
            return read(self.token_file)
        types = next((param.value for param in stored if param.tag == _T.HUKS_TAG_USER_AUTH_TYPE), 0)
        if not isinstance(types, int) or not types & _PIN:
            raise CommandError(
                f"the key {alias!r} is bound to something else than a PIN", hint="--token-file FILE"
            )
        await _refuse_void(keystore, alias, stored)
        given_pin = ask(alias)
        with guessing():
            return await keystore.authenticate(session.challenge, given_pin)


USED_HERE = UsePlace()


@contextmanager
def guessing() -> Iterator[None]:
    """Tell whoever typed a PIN that is refused what to do next.

    Raises:
        CommandError: it was another one, or guesses are locked out.

    """
    try:
        yield
    except BusinessError as error:
        if error.code != _AUTH_FAILED:
            raise
        seconds = error.data.get("retry_after") if isinstance(error.data, dict) else None
        raise CommandError(
            f"{error.message} (code {error.code})",
            hint="call the command again and type the right PIN; five wrong ones in a row make further ones wait"
            if seconds is None
            else f"call the command again after {seconds} seconds; wrong PINs make each further one wait longer",
        ) from error


async def has_pin(keystore: "huks_async.Keystore") -> bool:
    """Whether the user whose keys the command uses has a PIN."""
    from huks_async.access.pin import PinAuthenticator  # late: most keys ask for none

    enrolment = await PinAuthenticator().enrolled(keystore.auth_host, FIRST_USER)
    return int(_PIN) in enrolment.enrolled


async def _refuse_void(keystore: "huks_async.Keystore", alias: str, stored: Iterable[HuksParam]) -> None:
    """Refuse (12000007) a key that ended with the user's PIN, which no new one would bring back.

    One that was made for a PIN before the present one is refused when this is shown.
    """
    access = next((param.value for param in stored if param.tag == _T.HUKS_TAG_KEY_AUTH_ACCESS_TYPE), 0)
    ends = isinstance(access, int) and access & HuksAuthAccessType.HUKS_AUTH_ACCESS_INVALID_CLEAR_PASSWORD
    if ends and not await has_pin(keystore):
        raise BusinessError(
            _VOID,
            f"the key {alias!r} is of no use any more: the user's PIN was cleared since the key was made",
        )


def ask_pin(alias: str) -> str:
    """Ask for the PIN of the user whose key it is."""
    return ask_secret(f"PIN for the key {escape_alias(alias)}", hint=NO_TERMINAL)


def escape_alias(alias: str) -> str:
    """An alias in a prompt, so that it cannot write to the terminal."""
    return repr(alias)


def _demands(stored: Iterable[HuksParam], session: Iterable[Any]) -> bool:
    """Whether a session without a challenge needs a token: where one authentication holds for some time."""
    key = {int(param.tag): param.value for param in stored}
    purposes = key.get(_T.HUKS_TAG_KEY_AUTH_PURPOSE)
    purpose = next((param.value for param in session if param.tag == _T.HUKS_TAG_PURPOSE), 0)
    if key.get(_T.HUKS_TAG_NO_AUTH_REQUIRED) or not key.get(_T.HUKS_TAG_USER_AUTH_TYPE):
        return False
    if isinstance(purposes, int) and not purposes & int(HuksKeyPurpose(purpose)):
        return False
    return key.get(_T.HUKS_TAG_CHALLENGE_TYPE) == HuksChallengeType.HUKS_CHALLENGE_TYPE_NONE


def _read_token(name: str) -> bytes:
    data = bytearray()
    with open_input(name) as file:
        for piece in segments(file):
            data += piece
            if len(data) > _TOKEN_BYTES:
                break
    if len(data) != _TOKEN_BYTES:
        raise CommandError(f"{name} holds no token: those have {_TOKEN_BYTES} bytes")
    return bytes(data)
