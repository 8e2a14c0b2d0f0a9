"""`huks keys list`, `show` and `delete`.

Making is in `generate`, exporting in `export`, attesting in `attest`;
keys that come from outside are in `imports` and `forms`.
"""

import sys
from typing import Annotated

from cyclopts import Parameter

from huks_async.cli.shell.console import (
    CommandError,
    escape,
    say,
    show,
    show_json,
    tell,
    usage_error,
)
from huks_async.cli.shell.interrupts import interruptible
from huks_async.cli.words.arguments import HERE, Alias, Json, Place
from huks_async.cli.words.parameters import describe, options, to_json


async def list_keys(*, json: Json = False, place: Place = HERE) -> None:
    """Print the names of all keys, one a line; characters that do not print are escaped."""
    async with place.open(new=False) as keystore:
        aliases = (await keystore.listAliases(options(**place.tags))).keyAliases
    if json:
        show_json({"keys": [{"alias": alias} for alias in sorted(aliases)]})
        return
    for alias in sorted(aliases):
        show(escape(alias))


async def show_key(alias: Alias, /, *, json: Json = False, place: Place = HERE) -> None:
    """Print what a key is and may do."""
    async with place.open(new=False) as keystore:
        stored = (await keystore.getKeyItemProperties(alias, options(**place.tags))).properties
    if json:
        show_json({"alias": alias, "properties": [to_json(param) for param in stored]})
        return
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
    async with place.open(new=False) as keystore:
        await keystore.deleteKeyItem(alias, options(**place.tags))
    say(f"deleted the key {alias!r}")


def _confirm(question: str) -> None:
    if sys.stdin is None or not sys.stdin.isatty() or not tell(f"{question} [y/N] "):
        raise usage_error("deleting needs a confirmation", hint="add --yes")
    try:
        with interruptible():
            answer = sys.stdin.readline()
    except UnicodeDecodeError:
        # whatever it is, it is no yes
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError("not deleted")
