"""`huks access`: the PIN of the user that keys can be bound to, and tokens that stand for it."""

from typing import Annotated

from cyclopts import Parameter

import huks_async
from huks_async.access.callers import FIRST_USER
from huks_async.access.pin import PinAuthenticator
from huks_async.cli.shell.console import CommandError, say, show, show_json, usage_error
from huks_async.cli.shell.prompts import ask_secret
from huks_async.cli.words.arguments import HERE, TO_STANDARD_OUTPUT, Destination, Json, Place
from huks_async.cli.words.authentication import guessing, has_pin
from huks_async.model.errors import BusinessError

_EXISTS = 12000017
_AT_A_TERMINAL = "a PIN is typed at a terminal; programs use huks_async.access.PinAuthenticator"


async def enroll(
    *,
    change: Annotated[
        bool, Parameter(negative=(), help="Replace the PIN; the old one is asked for.")
    ] = False,
    place: Place = HERE,
) -> None:
    """Give the user a PIN, which is asked for twice. Keys made with --auth pin are bound to it."""
    async with place.open() as keystore:
        pins = PinAuthenticator()
        old = ask_secret("old PIN", hint=_AT_A_TERMINAL) if change else None
        new = ask_secret("new PIN", hint=_AT_A_TERMINAL)
        if ask_secret("the same again", hint=_AT_A_TERMINAL) != new:
            raise CommandError("the two PINs differ; nothing was changed")
        if old is not None:
            with guessing():
                await pins.change(keystore, FIRST_USER, old, new)
        else:
            await _enroll(keystore, pins, new)
    say("the user has a new PIN")


async def _enroll(keystore: "huks_async.Keystore", pins: PinAuthenticator, pin: str) -> None:
    try:
        await pins.enroll(keystore, FIRST_USER, pin)
    except BusinessError as error:
        if error.code != _EXISTS:
            raise
        raise CommandError(
            f"{error.message} (code {error.code})",
            hint="huks access enroll --change changes it; huks access clear takes it away",
        ) from error


async def clear(
    *,
    yes: Annotated[
        bool,
        Parameter(
            negative=(), help="Do it, although keys that are bound to the PIN become unusable for ever."
        ),
    ] = False,
    place: Place = HERE,
) -> None:
    """Take the PIN away. Keys with --auth-access clear-password can never be used again."""
    if not yes:
        raise usage_error("keys that are bound to the PIN would end for good", hint="add --yes")
    async with place.open(new=False) as keystore:
        await PinAuthenticator().clear(keystore, FIRST_USER)
    say("the user has no PIN any more")


async def status(*, json: Json = False, place: Place = HERE) -> None:
    """Tell whether the user has a PIN."""
    async with place.open(new=False) as keystore:
        there = await has_pin(keystore)
    if json:
        show_json({"user": FIRST_USER, "pin": there})
    else:
        show(f"user {FIRST_USER}: {'a PIN' if there else 'no PIN'}")


async def token(*, destination: Destination = TO_STANDARD_OUTPUT, place: Place = HERE) -> None:
    """Ask for the PIN, and write a token for keys with --auth-challenge none: good until their timeout."""
    destination.refuse_terminal("the token", nature="secret")
    opening = destination.prepare(private=True)
    async with place.open(new=False) as keystore:
        pin = ask_secret("PIN", hint=_AT_A_TERMINAL)
        with guessing():
            made = await keystore.authenticate(b"", pin)
        with opening() as target:
            target.write(made)
            target.commit()
