"""`huks encrypt` and `huks decrypt`."""

import os

import huks_async
from huks_async.cli.operations import container, sm2
from huks_async.cli.operations.pump import pump, pump_verified
from huks_async.cli.shell.console import CommandError
from huks_async.cli.shell.files import STANDARD, open_input, segments
from huks_async.cli.words.arguments import HERE, TO_STANDARD_OUTPUT, Alias, Destination, InputName, Place
from huks_async.cli.words.parameters import Tags, options, session_tags
from huks_async.model.enums import HuksCipherMode, HuksKeyAlg, HuksKeyDigest, HuksKeyPurpose
from huks_async.model.errors import BusinessError

_CRYPTO_FAIL = 12000006


async def encrypt(
    alias: Alias,
    file: InputName = STANDARD,
    /,
    *,
    form: sm2.Form = None,
    destination: Destination = TO_STANDARD_OUTPUT,
    place: Place = HERE,
) -> None:
    """Encrypt a file with an AES-GCM key, or a short one with an SM2 key.

    With an SM2 key the output is the bare ciphertext, in the form that --sm2-form names.
    """
    destination.refuse_terminal("the encrypted file")
    async with place.open() as keystore:
        tags = await _tags(keystore, alias, place, HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT)
        if sm2.is_sm2(tags, form, alias):
            with open_input(file) as source, destination.open(source=source) as target:
                target.write(await sm2.encrypt(keystore, alias, tags, source, form))
                target.commit()
            return
        nonce = os.urandom(container.NONCE_BYTES)
        with open_input(file) as source, destination.open(source=source) as target:
            target.write(container.HEADER + nonce)
            pieces = container.counted(segments(source))
            session_options = options(**tags, NONCE=nonce, ASSOCIATED_DATA=container.HEADER)
            await pump(keystore, alias, session_options, pieces, target.write)
            target.commit()


async def decrypt(
    alias: Alias,
    file: InputName = STANDARD,
    /,
    *,
    form: sm2.Form = None,
    destination: Destination = TO_STANDARD_OUTPUT,
    place: Place = HERE,
) -> None:
    """Decrypt a file that `huks encrypt` made, or with an SM2 key a bare ciphertext.

    Nothing is written where it can be read before the whole file is verified.
    """
    async with place.open() as keystore:
        tags = await _tags(keystore, alias, place, HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT)
        if sm2.is_sm2(tags, form, alias):
            with open_input(file) as source, destination.open(source=source) as target:
                target.write(await sm2.decrypt(keystore, alias, tags, source, form))
                target.commit()
            return
        with (
            open_input(file) as source,
            container.open_sealed(source) as sealed,
            destination.open(source=source) as target,
        ):
            session_options = options(
                **tags, NONCE=sealed.nonce, AE_TAG=sealed.tag, ASSOCIATED_DATA=container.HEADER
            )
            try:
                # stream keeps everything back until the tag is verified; a hidden target does so itself
                feed = pump if target.hidden else pump_verified
                await feed(keystore, alias, session_options, sealed.ciphertext(), target.write)
            except BusinessError as error:
                if error.code != _CRYPTO_FAIL:
                    raise
                raise CommandError(
                    "the input cannot be decrypted: it was made with another key, or was changed or cut off",
                    hint="nothing was written",
                ) from error
            target.commit()


async def _tags(keystore: "huks_async.Keystore", alias: str, place: Place, purpose: HuksKeyPurpose) -> Tags:
    stored = (await keystore.getKeyItemProperties(alias, options(**place.tags))).properties
    tags = session_tags(alias, stored, purpose)
    if tags["ALGORITHM"] == HuksKeyAlg.HUKS_ALG_SM2:
        return {"DIGEST": HuksKeyDigest.HUKS_DIGEST_SM3} | tags | place.tags
    mode = tags.get("BLOCK_MODE", HuksCipherMode.HUKS_MODE_GCM)
    if tags["ALGORITHM"] != HuksKeyAlg.HUKS_ALG_AES or mode != HuksCipherMode.HUKS_MODE_GCM:
        raise CommandError(
            f"the key {alias!r} is neither an AES-GCM key, which files are encrypted with, nor an SM2 key",
            hint="make one: huks keys generate ALIAS --kind aes-256-gcm",
        )
    return {"PADDING": 0} | tags | {"BLOCK_MODE": mode} | place.tags
