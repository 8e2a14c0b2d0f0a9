"""`huks store`: the file that holds the keys, as a whole."""

from typing import Annotated

from cyclopts import Parameter

from huks_async.cli.shell.console import CommandError, say, show_json, usage_error
from huks_async.cli.shell.files import STANDARD
from huks_async.cli.words.arguments import HERE, Json, Place, no_option


async def backup(
    target: Annotated[
        str,
        Parameter(
            help="The file to make; there must be nothing of this name yet.",
            allow_leading_hyphen=True,
            validator=no_option,
        ),
    ],
    /,
    *,
    json: Json = False,
    place: Place = HERE,
) -> None:
    """Copy the store to a new file while it is in use. The root key is not in the copy: keep it elsewhere."""
    if target == STANDARD:
        raise usage_error("a backup is a file, not a stream", hint="name the file to make")
    if not target:
        raise usage_error("the name of the backup is empty", hint="name the file to make")
    if place.is_missing():
        # opening would make a new store, and the backup of a mistyped address would be empty
        raise CommandError(
            f"there is no store {place.address}", hint="check --store, or HUKS_ASYNC_HOME for the default one"
        )
    async with place.open() as keystore:
        made = await keystore.backup(target)
    if json:
        show_json({"path": made.path, "keys": made.keys, "size": made.size})
    else:
        keys = "1 key" if made.keys == 1 else f"{made.keys} keys"
        say(f"copied the store to {made.path}: {keys}, each opened in the copy; {made.size} bytes")
        say("the root key is not in it; keep a copy of that, apart")
