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
from huks_async.keys.forms import convert
from huks_async.keys.forms.key_files import KeyForm, der_form, import_type_of, read_as, recognise
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError

MAX_KEY_FILE = 1024 * 1024
_RAW_HALVES = frozenset({int(HuksKeyAlg.HUKS_ALG_X25519), int(HuksKeyAlg.HUKS_ALG_ED25519)})
_DIGITS = frozenset((string.hexdigits + string.whitespace).encode())
_HINT_OF_ENCRYPTED = "if it is encrypted: --passphrase-file FILE or --passphrase-env NAME"


@Parameter(name="*")
@dataclass(frozen=True)
class Reading:
    """How a key file is to be read."""

    form: Annotated[
        KeyForm | None,
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


def read_key(name: str, reading: Reading = RECOGNISED) -> KeyMaterial:
    """Read the key in a file.

    Raises:
        CommandError: there is none, or not what the options say of it.

    """
    password = _passphrase(name, reading)
    return parse_key(name, read_key_file(name), reading, password)


def parse_key(
    name: str, data: bytes, reading: Reading = RECOGNISED, password: bytes | None = None
) -> KeyMaterial:
    """Read a key whose bytes came from the file `name`; errors of `read_key`."""
    algorithm = None
    if reading.algorithm is not None:
        algorithm = choose(ALGORITHM_NAMES, reading.algorithm, "algorithm")
    form = reading.form or recognise(data, algorithm)
    if form == "raw":
        return _raw(name, data, algorithm, private=reading.private)
    if reading.private:
        raise usage_error(f"--private is for raw bytes; the halves of a key in form {form} are seen")
    try:
        material = read_as(data, form, algorithm, password)
    except BusinessError as error:
        raise CommandError(
            f"{name}: {error.message} (code {error.code})", hint=_hint(data, password)
        ) from None
    if algorithm is not None and material.algorithm != algorithm:
        raise CommandError(
            f"{name} holds a key of {algorithm_word(material.algorithm)}, not of {reading.algorithm}"
        )
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


def _raw(name: str, data: bytes, algorithm: int | None, *, private: bool) -> KeyMaterial:
    if algorithm is None:
        raise usage_error(
            f"{name} has no form that tells what key it is, or it is damaged",
            hint=f"of raw bytes say --algorithm, one of {', '.join(ALGORITHM_NAMES)}",
        )
    word = algorithm_word(algorithm)
    if algorithm not in SYMMETRIC_ALGORITHMS | _RAW_HALVES:
        raise usage_error(f"{name} has none of the forms of {word} keys", hint="huks keys describe FILE")
    if private and algorithm not in _RAW_HALVES:
        raise usage_error(f"--private is for x25519 and ed25519; {word} keys have one half only")
    is_text = all(byte in _DIGITS for byte in data)
    text_hint = "raw keys are bare bytes; of hexadecimal digits make them with: xxd -r -p"
    try:
        material = convert.from_raw(algorithm, 8 * len(data), data, private=private)
    except BusinessError as error:
        hint = text_hint if is_text else None
        raise CommandError(f"{name}: {error.message} (code {error.code})", hint=hint) from None
    if is_text:
        say(f"warning: {name} is hexadecimal text, and its characters are taken as the key; {text_hint}")
    return material


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
    with open_input(name) as file:
        data = b"".join(segments(file))
    return data.split(b"\n", 1)[0].removesuffix(b"\r")


def _hint(data: bytes, password: bytes | None) -> str | None:
    if b"-----BEGIN OPENSSH PRIVATE KEY" in data:
        return "a key of OpenSSH; make a PKCS#8 copy of it: ssh-keygen -p -m PKCS8 -f COPY"
    if b"-----BEGIN CERTIFICATE" in data:
        return "a certificate; take its key out: openssl x509 -noout -pubkey -in FILE"
    encrypted = b"-----BEGIN ENCRYPTED" in data or der_form(data) == "pkcs8"
    if not encrypted:
        return None
    return _HINT_OF_ENCRYPTED if password is None else "another passphrase, or a damaged file"
