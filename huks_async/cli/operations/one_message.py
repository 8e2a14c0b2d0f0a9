"""Format 1 of encrypted files: the whole file is one AES-GCM message, in one session."""

import io
import os
from typing import Any

import huks_async
from huks_async.cli.operations import container
from huks_async.cli.operations.pump import pump, pump_verified
from huks_async.cli.shell.console import CommandError
from huks_async.cli.shell.files import segments
from huks_async.cli.shell.targets import Output
from huks_async.cli.words.authentication import UsePlace
from huks_async.cli.words.parameters import Tags, options
from huks_async.model.enums import HuksCipherMode, HuksKeyAlg
from huks_async.model.tags import HuksTag


async def encrypt(
    keystore: "huks_async.Keystore",
    alias: str,
    tags: Tags,
    source: io.FileIO,
    target: Output,
    place: UsePlace,
) -> None:
    """Write the file of all that the source has.

    Raises:
        CommandError: the key is for something else, or makes the nonces itself.

    """
    from huks_async.access.demand import is_bound  # late: format 1 is seldom written

    stored = (await keystore.getKeyItemProperties(alias, options(**place.tags))).properties
    key: dict[int, Any] = {int(param.tag): param.value for param in stored}
    # a key that asks for nobody takes one, whatever purposes it has
    if HuksTag.HUKS_TAG_KEY_AUTH_PURPOSE in key and is_bound(key):
        raise CommandError(
            f"the key {alias!r} has --auth-purpose, so that it takes no nonce from outside, and format 1 is "
            "encrypted with one",
            hint="leave out --format 1",
        )
    nonce = os.urandom(container.NONCE_BYTES)
    session = options(**_gcm(alias, tags), NONCE=nonce, ASSOCIATED_DATA=container.HEADER)
    heads = iter([container.HEADER + nonce])

    def write(piece: bytes) -> None:
        # the first piece comes when the session is open and the user was there: no head stands in a pipe alone
        target.write(next(heads, b"") + piece)

    await pump(keystore, alias, session, container.counted(segments(source)), write, place=place)


async def decrypt(
    keystore: "huks_async.Keystore",
    alias: str,
    tags: Tags,
    source: io.FileIO,
    begun: bytes,
    target: Output,
    place: UsePlace,
) -> None:
    """Write what the file holds, all or nothing; `begun` is what was read of a stream before.

    Raises:
        CommandError: it is cut off, or the key is for something else.
        BusinessError: 12000006 where it does not verify.

    """
    with container.open_sealed(source, begun) as sealed:
        session = options(
            **_gcm(alias, tags), NONCE=sealed.nonce, AE_TAG=sealed.tag, ASSOCIATED_DATA=container.HEADER
        )
        # stream keeps everything back until the tag is verified; a hidden target does so itself
        feed = pump if target.hidden else pump_verified
        await feed(keystore, alias, session, sealed.ciphertext(), target.write, place=place)


def _gcm(alias: str, tags: Tags) -> Tags:
    mode = tags.get("BLOCK_MODE", HuksCipherMode.HUKS_MODE_GCM)
    if tags["ALGORITHM"] != HuksKeyAlg.HUKS_ALG_AES or mode != HuksCipherMode.HUKS_MODE_GCM:
        raise CommandError(
            f"the key {alias!r} is no AES-GCM key, which format 1 is encrypted with",
            hint="make one: huks keys generate ALIAS --kind aes-256-gcm",
        )
    return {"PADDING": 0} | tags | {"BLOCK_MODE": mode}
