"""`huks encrypt` and `huks decrypt`."""

import contextlib
import io
import itertools
from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from cyclopts import Parameter

import huks_async
from huks_async.cli.flow.progress import Progress
from huks_async.cli.flow.shown import Shown
from huks_async.cli.flow.source import Source, open_source
from huks_async.cli.operations import sealed_file, sm2
from huks_async.cli.shell.console import CommandError, usage_error
from huks_async.cli.shell.files import STANDARD, empty_input, open_input, segments
from huks_async.cli.shell.targets import Output
from huks_async.cli.shell.temporary import temporary_copy
from huks_async.cli.words.arguments import (
    TO_STANDARD_OUTPUT,
    Destination,
    Place,
    check_key_names,
    check_standard_input,
    no_option,
)
from huks_async.cli.words.authentication import USED_HERE, UsePlace
from huks_async.cli.words.parameters import Tags, options, session_tags
from huks_async.files.chunks import ChunkCipher
from huks_async.files.header import PREFIX_BYTES, header_length, read_header, version_of
from huks_async.keystore.file_keys import find_file_key, new_file
from huks_async.model.enums import HuksKeyAlg, HuksKeyDigest, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.tags import HuksTag

_CRYPTO_FAIL = 12000006
_NOTHING_WRITTEN = "nothing was written"
_PART_WRITTEN = "what was written before is verified, but it is not the whole; --whole writes nothing before the end was seen"

_First = Annotated[
    str | None,
    Parameter(
        help="The key's name; the file, if keys are named by -k.",
        validator=no_option,
        allow_leading_hyphen=True,
    ),
]
_Second = Annotated[
    str | None,
    Parameter(help="The file to read; - is standard input.", validator=no_option, allow_leading_hyphen=True),
]
_Keys = Annotated[
    list[str] | None,
    Parameter(name=["--key", "-k"], negative=(), help="A key that is to open the file; repeatable."),
]
_Quiet = Annotated[
    bool, Parameter(name=["--quiet", "-q"], negative=(), help="Show no progress on the terminal.")
]


async def encrypt(
    alias: _First = None,
    file: _Second = None,
    /,
    *,
    keys: _Keys = None,
    version: Annotated[
        Literal["1", "2"] | None,
        Parameter(
            name="--format",
            help="Format of the file; 2 unless older programs must read it. An SM2 key alone makes a bare "
            "ciphertext without it.",
        ),
    ] = None,
    form: sm2.Form = None,
    quiet: _Quiet = False,
    destination: Destination = TO_STANDARD_OUTPUT,
    place: UsePlace = USED_HERE,
) -> None:
    """Encrypt a file with a key, or with several, each of which opens it: huks encrypt -k ONE -k OTHER FILE.

    Keys are those for AES-GCM, or any that the keystore can hide a file's key with. With an SM2 key alone the
    output is the bare ciphertext, in the form that --sm2-form names.
    """
    aliases, name = _keys_and_file(alias, file, keys)
    check_standard_input(name, place.token_file)
    destination.refuse_terminal("the encrypted file")
    if version is not None and form is not None:
        raise usage_error("--sm2-form writes a bare ciphertext, which has no --format")
    if len(aliases) > 1 and (form is not None or version == "1"):
        raise usage_error(
            f"{'--format 1' if version else '--sm2-form'} takes one key, {len(aliases)} are given"
        )
    with contextlib.ExitStack() as stack:
        async with place.open(new=False) as keystore:
            if version != "2" and len(aliases) == 1:
                bare = version is None and await _is_sm2(keystore, aliases[0], place, form)
                if bare or version == "1":
                    tags = await _tags(keystore, aliases[0], place, HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT)
                    source = stack.enter_context(open_input(name))
                    target = stack.enter_context(destination.open(source=source))
                    if bare:
                        target.write(await sm2.encrypt(keystore, aliases[0], tags, source, form, place))
                    else:
                        from huks_async.cli.operations import one_message  # late: few files are of format 1

                        await one_message.encrypt(keystore, aliases[0], tags, source, target, place)
                    target.commit()
                    return
            header, file_key = await new_file(
                keystore, aliases, options(**place.tags), show_token=place.show_tokens(keystore)
            )
        # the keystore has done its part, and the rest is between the file's own key and the processors
        cipher = ChunkCipher(header.chunk_key(file_key), header.chunk_bytes)
        opened = stack.enter_context(open_input(name))
        # before its length is looked at: what is appended in between would be in neither file
        target = stack.enter_context(destination.open(source=opened))
        source_of_units = stack.enter_context(_source(opened))
        progress = stack.enter_context(_progress(source_of_units, quiet=quiet))
        sealed_file.seal(source_of_units, header.data, cipher, target, progress)
        target.commit()


async def decrypt(
    alias: _First = None,
    file: _Second = None,
    /,
    *,
    keys: _Keys = None,
    whole: Annotated[
        bool, Parameter(negative=(), help="Write nothing before the whole input is verified, also to a pipe.")
    ] = False,
    part: Annotated[
        str | None,
        Parameter(
            name="--range", help="Only bytes FROM:TO of the content, counted from 0, TO not among them."
        ),
    ] = None,
    form: sm2.Form = None,
    quiet: _Quiet = False,
    destination: Destination = TO_STANDARD_OUTPUT,
    place: UsePlace = USED_HERE,
) -> None:
    """Decrypt a file that `huks encrypt` made, or with an SM2 key a bare ciphertext.

    Every byte is verified before it is written. A file appears when all are; a pipe gets them as they come, and
    the command ends with code 1 where the input is not whole: --whole waits for its end first.
    """
    aliases, name = _keys_and_file(alias, file, keys)
    check_standard_input(name, place.token_file)
    if len(aliases) > 1:
        raise usage_error("a file is decrypted with one key")
    wanted = None if part is None else sealed_file.Range.parse(part)
    if wanted is not None and (whole or form is not None):
        raise usage_error(f"--range and {'--whole' if whole else '--sm2-form'} exclude each other")
    with contextlib.ExitStack() as stack:
        async with place.open(new=False) as keystore:
            opened = stack.enter_context(open_input(name))
            # before anybody is asked for a PIN; and what the file is now is what its result may replace
            opening = destination.prepare(source=opened, part=wanted is not None)
            source = stack.enter_context(_source(opened))
            start = source.head(PREFIX_BYTES)
            version = version_of(start)
            if version is None or version == 1 or form is not None:
                if wanted is not None and version == 1:
                    raise _no_part("has format 1", "decrypt the whole and encrypt it again")
                bare = await _is_sm2(keystore, aliases[0], place, form)
                if wanted is not None and bare:
                    raise _no_part(
                        "is a bare ciphertext of SM2",
                        "decrypt the whole; files of encrypt --format 2 can be read in parts",
                    )
                if bare or version == 1:
                    target = await _decrypt_unchunked(
                        keystore,
                        aliases[0],
                        place,
                        source,
                        opened,
                        form,
                        lambda: Shown(stack.enter_context(opening()), destination.output),
                        bare=bare,
                    )
                    target.commit()
                    return
            with _explaining(_NOTHING_WRITTEN):
                header = read_header(source.head(header_length(start)))
                file_key = await find_file_key(
                    keystore,
                    aliases[0],
                    header,
                    options(**place.tags),
                    show_token=place.show_tokens(keystore),
                )
        cipher = ChunkCipher(header.chunk_key(file_key), header.chunk_bytes)
        target = Shown(stack.enter_context(opening()), destination.output)
        skip = len(header.data)
        if whole and not target.hidden:
            if source.size is None:
                # it is ciphertext that waits on the disk
                source = stack.enter_context(_source(stack.enter_context(_copy(source, opened))))
            with _progress(source, quiet=quiet) as progress, _explaining(_NOTHING_WRITTEN):
                sealed_file.verify_all(source, skip, cipher, progress)
        progress = stack.enter_context(_progress(source, quiet=quiet))
        with _explaining(_NOTHING_WRITTEN, target):
            if wanted is None:
                sealed_file.open_all(source, skip, cipher, target, progress)
            else:
                sealed_file.open_range(source, skip, cipher, wanted, target, progress)
        target.commit()


def _keys_and_file(first: str | None, second: str | None, keys: list[str] | None) -> tuple[list[str], str]:
    """The keys and the input, which are two words, or one where the keys are options."""
    if not keys:
        if first is None:
            raise usage_error(
                "no key is named", hint="name ALIAS before the file, or each of several keys by -k ALIAS"
            )
        keys, file = [first], second
    elif second is not None:
        raise usage_error(
            f"{first} and {second} cannot both be the file", hint="with -k, the file is the only other word"
        )
    else:
        keys, file = list(dict.fromkeys(keys)), first
    check_key_names(*keys)
    if file == "":
        # said before anybody is asked for a PIN
        raise empty_input()
    return keys, STANDARD if file is None else file


def _no_part(what: str, hint: str) -> CommandError:
    return CommandError(
        f"the input {what}, which is one message: no part of it can be verified alone", hint=hint
    )


@contextlib.contextmanager
def _source(file: io.FileIO) -> Iterator[Source]:
    with contextlib.closing(open_source(file)) as source:
        yield source


@contextlib.contextmanager
def _progress(source: Source, *, quiet: bool) -> Iterator[Progress]:
    progress = Progress(source.size, quiet=quiet)
    try:
        yield progress
    finally:
        progress.clear()


@contextlib.contextmanager
def _copy(source: Source, file: io.FileIO) -> Iterator[io.FileIO]:
    """What a stream has, in an unnamed temporary file."""
    with temporary_copy(itertools.chain([source.taken_from_stream()], segments(file))) as copy:
        yield copy


@contextlib.contextmanager
def _explaining(hint: str, target: Shown | None = None) -> Iterator[None]:
    """Tell what a file that does not verify means for what was written."""
    try:
        yield
    except BusinessError as error:
        if error.code != _CRYPTO_FAIL:
            raise
        if target is not None and target.begun and not target.hidden:
            hint = _PART_WRITTEN
        raise CommandError(f"the input cannot be decrypted: {error.message}", hint=hint) from error


async def _decrypt_unchunked(
    keystore: "huks_async.Keystore",
    alias: str,
    place: UsePlace,
    source: Source,
    file: io.FileIO,
    form: str | None,
    open_target: Callable[[], Shown],
    *,
    bare: bool,
) -> Output:
    """Decrypt format 1, or a bare ciphertext of SM2."""
    tags = await _tags(keystore, alias, place, HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT)
    begun = source.taken_from_stream()
    target = open_target()
    if bare:
        pieces = itertools.chain([begun], segments(file))
        target.write(await sm2.decrypt(keystore, alias, tags, pieces, form, place))
    else:
        from huks_async.cli.operations import one_message  # late, as above

        with _explaining(_NOTHING_WRITTEN):
            await one_message.decrypt(keystore, alias, tags, file, begun, target, place)
    return target


async def _is_sm2(keystore: "huks_async.Keystore", alias: str, place: Place, form: str | None) -> bool:
    """Whether a key makes and opens bare ciphertexts. No purpose is asked for: keys that derive or mac hide file keys."""
    stored = (await keystore.getKeyItemProperties(alias, options(**place.tags))).properties
    algorithm = next(param.value for param in stored if param.tag == HuksTag.HUKS_TAG_ALGORITHM)
    return sm2.is_sm2(algorithm, form, alias)


async def _tags(keystore: "huks_async.Keystore", alias: str, place: Place, purpose: HuksKeyPurpose) -> Tags:
    stored = (await keystore.getKeyItemProperties(alias, options(**place.tags))).properties
    tags = session_tags(alias, stored, purpose)
    if tags["ALGORITHM"] == HuksKeyAlg.HUKS_ALG_SM2:
        tags = {"DIGEST": HuksKeyDigest.HUKS_DIGEST_SM3} | tags
    return tags | place.tags
