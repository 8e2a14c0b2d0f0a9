"""A key in a file: which form it has, and what key it is."""

import os
import string
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from huks_async.cli.shell.console import CommandError, say, usage_error
from huks_async.cli.shell.files import open_input, segments
from huks_async.cli.words.arguments import check_standard_input, no_option
from huks_async.cli.words.key_use import ALGORITHM_NAMES, TYPES, algorithm_word, choose
from huks_async.crypto.key_material import SYMMETRIC_ALGORITHMS, KeyMaterial
from huks_async.keys.forms.identify import identify
from huks_async.keys.forms.key_files import (
    ReadForm,
    import_type_of,
    needs_passphrase,
    read_apart,
    readable,
    recognise,
)
from huks_async.keys.forms.key_files import read as read_material
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError

MAX_KEY_FILE = 1024 * 1024
_RAW_HALVES = frozenset({int(HuksKeyAlg.HUKS_ALG_X25519), int(HuksKeyAlg.HUKS_ALG_ED25519)})
_RAW_POINTS = frozenset({int(HuksKeyAlg.HUKS_ALG_ECC), int(HuksKeyAlg.HUKS_ALG_SM2)})
# hexadecimal digits are among those of base64
_TEXT_BYTES = frozenset((string.ascii_letters + string.digits + "+/=-_" + string.whitespace).encode())
_TEXT_HINT = (
    "raw keys are bare bytes; make them of hexadecimal digits with xxd -r -p, of base64 with base64 -d"
)
_HINT_OF_ENCRYPTED = "if it is encrypted: --passphrase-file FILE or --passphrase-env NAME"


@Parameter(name="*")
@dataclass(frozen=True)
class Reading:
    """How a key file is to be read."""

    form: Annotated[
        ReadForm | None,
        Parameter(
            name=["--form", "-f"], help="Form of the file, where it is not to be recognised by content."
        ),
    ] = None
    algorithm: Annotated[
        str | None,
        Parameter(
            name=["--algorithm", "-a"],
            help=f"What raw bytes are a key of: {', '.join(ALGORITHM_NAMES)}. Other files must hold such a key.",
        ),
    ] = None
    private: Annotated[
        bool, Parameter(negative=(), help="Raw bytes of x25519 or ed25519 are the private half.")
    ] = False
    passphrase_file: Annotated[
        str | None,
        Parameter(
            help="File whose first line opens an encrypted key; - is standard input.",
            allow_leading_hyphen=True,
            validator=no_option,
        ),
    ] = None
    passphrase_env: Annotated[
        str | None, Parameter(help="Environment variable whose value opens an encrypted key.")
    ] = None


RECOGNISED = Reading()


async def read_key(name: str, reading: Reading = RECOGNISED) -> KeyMaterial:
    """Read the key in a file.

    Raises:
        CommandError: there is none, or not what the options say of it.

    """
    password = _passphrase(name, reading)
    return await parse_key(name, read_key_file(name), reading, password)


async def parse_key(
    name: str, data: bytes, reading: Reading = RECOGNISED, password: bytes | None = None
) -> KeyMaterial:
    """Read a key whose bytes came from the file `name`; errors of `read_key`."""
    algorithm = None
    if reading.algorithm is not None:
        algorithm = choose(ALGORITHM_NAMES, reading.algorithm, "algorithm")
    content = readable(data, algorithm)
    is_raw = (reading.form or recognise(content, algorithm) or "raw") == "raw"
    if is_raw and algorithm is not None:
        _check_raw(name, algorithm, private=reading.private)
    elif is_raw and identify(content) is None:
        raise CommandError(
            f"{name} has no form that tells what key it is, or it is damaged",
            hint=f"of raw bytes say --algorithm, one of {', '.join(ALGORITHM_NAMES)}",
        )
    elif reading.private:
        raise CommandError("--private is for raw bytes; the halves of a key in another form are seen")
    try:
        if is_raw:
            material = read_material(data, "raw", algorithm, private=reading.private)
        else:
            kind = algorithm if algorithm in SYMMETRIC_ALGORITHMS else None
            material = await read_apart(data, reading.form, kind, password)
    except BusinessError as error:
        what, _, way_out = error.message.partition("; ")
        raise CommandError(
            f"{name}: {what} (code {error.code})",
            hint=_hint(content, password, is_raw=is_raw) or way_out or None,
        ) from None
    if algorithm is not None and material.algorithm != algorithm:
        raise CommandError(
            f"{name} holds a key of {algorithm_word(material.algorithm)}, not of {reading.algorithm}"
        )
    if is_raw and _is_text(data):
        say(f"warning: {name} is text, and its characters are taken as the key; {_TEXT_HINT}")
    elif password is not None and not needs_passphrase(content):
        say(f"note: {name} is not encrypted, so the passphrase was not used")
    return material


def read_key_file(name: str) -> bytes:
    """All bytes of a file that may hold a key.

    Raises:
        CommandError: there are none, or too many.

    """
    data = bytearray()
    with open_input(name) as file:
        for piece in segments(file):
            data += piece
            if len(data) > MAX_KEY_FILE:
                raise CommandError(f"{name} is longer than any key, {MAX_KEY_FILE} bytes")
    if not data:
        raise CommandError(f"{name} is empty, so it holds no key")
    return bytes(data)


def half_of(material: KeyMaterial) -> str:
    """The type that the key is imported as, a word of `TYPES`."""
    return next(word for word, number in TYPES.items() if number == import_type_of(material))


def _check_raw(name: str, algorithm: int, *, private: bool) -> None:
    """Refuse options that raw bytes of this algorithm do not take."""
    word = algorithm_word(algorithm)
    if algorithm not in SYMMETRIC_ALGORITHMS | _RAW_HALVES | _RAW_POINTS:
        raise CommandError(f"{name} has none of the forms of {word} keys", hint="huks keys describe FILE")
    if private and algorithm not in _RAW_HALVES:
        raise usage_error(f"--private is for x25519 and ed25519; {word} keys have no raw private half")


def _is_text(data: bytes) -> bool:
    return all(byte in _TEXT_BYTES for byte in data)


def _passphrase(key_file: str, reading: Reading) -> bytes | None:
    name, variable = reading.passphrase_file, reading.passphrase_env
    if name is not None and variable is not None:
        raise usage_error("--passphrase-file and --passphrase-env exclude each other")
    if variable is not None:
        value = os.environb.get(os.fsencode(variable))
        if value is None:
            raise usage_error(f"the environment has no variable {variable}")
        return value
    if name is None:
        return None
    check_standard_input(name, key_file)
    data = b""
    with open_input(name) as file:
        for piece in segments(file):
            data += piece
            if b"\n" in piece:
                break
            if len(data) > MAX_KEY_FILE:
                raise CommandError(
                    f"the first line of {name} is longer than any passphrase, {MAX_KEY_FILE} bytes"
                )
    return data.split(b"\n", 1)[0].removesuffix(b"\r")


def _hint(content: bytes, password: bytes | None, *, is_raw: bool) -> str | None:
    if is_raw:
        return _TEXT_HINT if _is_text(content) else None
    if password is None and needs_passphrase(content):
        return _HINT_OF_ENCRYPTED
    return None
