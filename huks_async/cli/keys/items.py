"""`huks keys`: generate, list, show, delete.

Exporting is in `export`, attesting in `attest`; keys that come from outside are in `imports` and `forms`.
"""

import sys
from typing import Annotated

from cyclopts import Parameter

from huks_async.cli.shell.console import CommandError, escape, say, show, usage_error
from huks_async.cli.shell.interrupts import interruptible
from huks_async.cli.words.arguments import HERE, Alias, Place, Replace, naming_replace
from huks_async.cli.words.parameters import KINDS, describe, options


async def generate(
    alias: Alias,
    /,
    *,
    kind: Annotated[
        str, Parameter(name=["--kind", "-k"], help=f"One of {', '.join(KINDS)}.")
    ] = "aes-256-gcm",
    replace: Replace = False,
    place: Place = HERE,
) -> None:
    """Make a new key."""
    if kind not in KINDS:
        raise usage_error(f"there is no kind {kind!r}", hint=f"kinds are {', '.join(KINDS)}")
    async with place.open() as keystore:
        with naming_replace(alias):
            await keystore.generateKeyItem(alias, options(**KINDS[kind], KEY_OVERRIDE=replace, **place.tags))
    say(f"made the key {alias!r} ({kind})")


async def list_keys(*, place: Place = HERE) -> None:
    """Print the names of all keys, one a line; characters that do not print are escaped."""
    async with place.open() as keystore:
        aliases = (await keystore.listAliases(options(**place.tags))).keyAliases
    for alias in sorted(aliases):
        show(escape(alias))


async def show_key(alias: Alias, /, *, place: Place = HERE) -> None:
    """Print what a key is and may do."""
    async with place.open() as keystore:
        stored = (await keystore.getKeyItemProperties(alias, options(**place.tags))).properties
    for param in stored:
        show(describe(param))


async def delete(
    alias: Alias,
    /,
    *,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), help="Do not ask.")] = False,
    place: Place = HERE,
) -> None:
    """Delete a key for good. What it encrypted cannot be read any more."""
    if not yes:
        _confirm(f"delete the key {alias!r} for good?")
    async with place.open() as keystore:
        await keystore.deleteKeyItem(alias, options(**place.tags))
    say(f"deleted the key {alias!r}")


def _confirm(question: str) -> None:
    if sys.stdin is None or sys.stderr is None or not sys.stdin.isatty():
        raise usage_error("deleting needs a confirmation", hint="add --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    with interruptible():
        answer = sys.stdin.readline()
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError("not deleted")
