"""`huks mac`, `derive` and `agree`: keys that give short outputs. What is derived or agreed is a secret."""

import hmac
import itertools
from typing import Annotated, Literal

from cyclopts import Parameter

import huks_async
from huks_async.cli.operations.pump import pump
from huks_async.cli.shell.console import CommandError, say, usage_error
from huks_async.cli.shell.files import STANDARD, Way, open_input, segments
from huks_async.cli.words.arguments import (
    TO_STANDARD_OUTPUT,
    Alias,
    Destination,
    InputName,
    check_standard_input,
    no_option,
)
from huks_async.cli.words.authentication import USED_HERE, UsePlace
from huks_async.cli.words.key_file import Reading, read_key
from huks_async.cli.words.key_use import DIGEST_WORDS, algorithm_word, choose
from huks_async.cli.words.numbers import Number
from huks_async.cli.words.parameters import Tags, options, session_tags
from huks_async.crypto.rules.matrix import ALGORITHMS, usage_of
from huks_async.model.enums import HuksKeyAlg, HuksKeyPurpose

_P = HuksKeyPurpose
_MAX_MAC = 64
_CMAC_IV = bytes(8)
_ECC = int(HuksKeyAlg.HUKS_ALG_ECC)

Digest = Annotated[
    str | None,
    Parameter(help="Digest, if the key allows several. Default: sha256 if it allows that, else its first."),
]


async def mac(
    alias: Alias,
    file: InputName = STANDARD,
    /,
    *,
    check: Annotated[
        str | None,
        Parameter(
            name=["--check", "-c"],
            help="Compare with the bare code in this file instead; another one ends with code 1.",
            allow_leading_hyphen=True,
            validator=no_option,
        ),
    ] = None,
    digest: Digest = None,
    hexadecimal: Annotated[
        bool, Parameter(name="--hex", negative=(), help="Write hexadecimal digits and a line end.")
    ] = False,
    destination: Destination = TO_STANDARD_OUTPUT,
    place: UsePlace = USED_HERE,
) -> None:
    """Authenticate a file: writes the bare code of an HMAC, SM3 or CMAC key."""
    check_standard_input(check, file, place.token_file)
    if check is not None and (hexadecimal or destination != TO_STANDARD_OUTPUT):
        raise usage_error("--check writes no code, so --output, --force and --hex have no place beside it")
    if check is None and not hexadecimal:
        destination.refuse_terminal("the code")
    opening = destination.prepare() if check is None else None
    given = b"" if check is None else _read_code(check)
    async with place.open(new=False) as keystore:
        tags = await _tags(keystore, alias, place, _P.HUKS_KEY_PURPOSE_MAC, digest)
        if tags["ALGORITHM"] == HuksKeyAlg.HUKS_ALG_CMAC:
            # the only IV that CMAC has; the API asks for it all the same
            tags["IV"] = _CMAC_IV
        code = bytearray()
        with open_input(file) as source:
            await pump(keystore, alias, options(**tags), segments(source), code.extend, place=place)
    if opening is not None:
        with opening() as target:
            target.write(f"{code.hex()}\n".encode() if hexadecimal else bytes(code))
            target.commit()
    elif not hmac.compare_digest(given, code):
        raise CommandError("the code does not match", hint="another key, another file, or a changed one")
    else:
        say("the code matches")


async def derive(
    alias: Alias,
    /,
    *,
    size: Annotated[
        Number, Parameter(name=["--bytes", "-n"], help="Length of what is derived, in bytes.")
    ] = 32,
    by: Annotated[Literal["hkdf", "pbkdf2"], Parameter(help="The function.")] = "hkdf",
    salt: Annotated[str | None, Parameter(help="Hexadecimal digits.")] = None,
    info: Annotated[str | None, Parameter(help="What the bytes are for, as text; HKDF only.")] = None,
    info_hex: Annotated[str | None, Parameter(help="The same in hexadecimal digits.")] = None,
    iterations: Annotated[Number | None, Parameter(help="Rounds; PBKDF2 only.")] = None,
    digest: Digest = None,
    destination: Destination = TO_STANDARD_OUTPUT,
    place: UsePlace = USED_HERE,
) -> None:
    """Derive secret bytes from a key. The same words give the same bytes."""
    destination.refuse_terminal("what is derived", nature="secret")
    if info is not None and info_hex is not None:
        raise usage_error("--info and --info-hex exclude each other")
    if by == "pbkdf2" and (info is not None or info_hex is not None):
        raise usage_error("PBKDF2 has no --info", hint="put it into the salt, or take --by hkdf")
    if by == "hkdf" and iterations is not None:
        raise usage_error("HKDF has no --iterations", hint="of a password make a key with --by pbkdf2")
    if by == "pbkdf2" and iterations is None:
        raise usage_error("PBKDF2 needs --iterations", hint="at least 1000; a password needs 600,000 or more")
    choices: Tags = {"DERIVE_KEY_SIZE": size}
    choices["ALGORITHM"] = HuksKeyAlg.HUKS_ALG_HKDF if by == "hkdf" else HuksKeyAlg.HUKS_ALG_PBKDF2
    if salt is not None:
        choices["SALT"] = _from_hex(salt, "--salt")
    if info is not None:
        # whatever the locale, text is UTF-8; bytes that are no text stay as they are
        choices["INFO"] = info.encode("utf-8", "surrogateescape")
    if info_hex is not None:
        choices["INFO"] = _from_hex(info_hex, "--info-hex")
    if iterations is not None:
        choices["ITERATION"] = iterations
    opening = destination.prepare(private=True)
    async with place.open(new=False) as keystore:
        tags = await _tags(keystore, alias, place, _P.HUKS_KEY_PURPOSE_DERIVE, digest)
        derived = await _whole(keystore, alias, tags | choices, b"", place)
    _write(derived, opening)


async def agree(
    alias: Alias,
    peer: InputName,
    /,
    *,
    destination: Destination = TO_STANDARD_OUTPUT,
    place: UsePlace = USED_HERE,
) -> None:
    """Agree on secret bytes with the holder of another key, whose public half is in a file of any form.

    They are the bare result of the agreement: derive keys from them before they encrypt anything.
    """
    check_standard_input(peer, place.token_file)
    destination.refuse_terminal("what is agreed", nature="secret")
    opening = destination.prepare(private=True)
    async with place.open(new=False) as keystore:
        tags = await _tags(keystore, alias, place, _P.HUKS_KEY_PURPOSE_AGREE, None)
        key = _ECC if tags["ALGORITHM"] == HuksKeyAlg.HUKS_ALG_ECDH else int(tags["ALGORITHM"])
        public = (await read_key(peer, Reading(algorithm=algorithm_word(key)))).public
        if not public:
            raise CommandError(f"{peer} has no public half")
        agreed = await _whole(keystore, alias, tags, public, place)
    _write(agreed, opening)


async def _tags(
    keystore: "huks_async.Keystore", alias: str, place: UsePlace, purpose: HuksKeyPurpose, digest: str | None
) -> Tags:
    """The tags of a session: what the key fixes, what was asked for, and the first that can be for the rest."""
    stored = (await keystore.getKeyItemProperties(alias, options(**place.tags))).properties
    tags = session_tags(alias, stored, purpose)
    algorithm = ALGORITHMS[int(tags["ALGORITHM"])]
    usage = usage_of(algorithm, purpose)
    if usage is None or not usage.sessions:
        raise CommandError(
            f"no session serves keys of {algorithm_word(algorithm.number)} for this", hint="huks algorithms"
        )
    # a cipher key authenticates by HMAC, a key of ECC agrees by ECDH
    tags["ALGORITHM"] = usage.sessions[0]
    if digest is not None and not usage.digests:
        raise usage_error(f"{algorithm_word(usage.sessions[0])} has no --digest", hint="leave it out")
    if digest is not None:
        tags["DIGEST"] = choose(DIGEST_WORDS, digest, "digest")
    elif usage.digests and "DIGEST" not in tags:
        usual = DIGEST_WORDS["sha256"]
        tags["DIGEST"] = usual if usual in usage.digests else usage.digests[0]
    form = usage.forms[0]
    if form.mode is not None:
        tags.setdefault("BLOCK_MODE", form.mode)
    if form.padding is not None:
        tags.setdefault("PADDING", form.padding)
    return tags | place.tags


async def _whole(
    keystore: "huks_async.Keystore", alias: str, tags: Tags, data: bytes, place: UsePlace
) -> bytes:
    output = bytearray()
    await pump(keystore, alias, options(**tags), [data], output.extend, place=place)
    return bytes(output)


def _write(secret: bytes, opening: Way) -> None:
    with opening() as target:
        target.write(secret)
        target.commit()


def _read_code(name: str) -> bytes:
    with open_input(name) as file:
        data = b"".join(itertools.islice(segments(file), _MAX_MAC + 1))
    if not 0 < len(data) <= _MAX_MAC:
        raise CommandError(f"{name} holds no bare code, which has 1 to {_MAX_MAC} bytes")
    return data


def _from_hex(text: str, option: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise usage_error(
            f"{option} takes hexadecimal digits", hint="openssl rand -hex 32 makes some"
        ) from None
