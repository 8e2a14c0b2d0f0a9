"""A key in a file: which form it has, and what key it is."""

import json
import os
import string
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter

from huks_async.cli.shell.console import CommandError, say, usage_error
from huks_async.cli.shell.files import open_input, segments
from huks_async.cli.words.arguments import check_standard_input, no_option
from huks_async.cli.words.key_use import ALGORITHM_NAMES, TYPES, algorithm_word, choose
from huks_async.crypto.material import SYMMETRIC_ALGORITHMS, KeyMaterial
from huks_async.keys import convert
from huks_async.keys.layouts import LAYOUTS, unpack
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError

KeyForm: TypeAlias = Literal["pem", "pkcs8", "spki", "jwk", "layout", "raw"]

MAX_KEY_FILE = 1024 * 1024
_RAW_HALVES = frozenset({int(HuksKeyAlg.HUKS_ALG_X25519), int(HuksKeyAlg.HUKS_ALG_ED25519)})
_DIGITS = frozenset((string.hexdigits + string.whitespace).encode())
_INTEGER, _BITS, _OCTETS, _SEQUENCE = 0x02, 0x03, 0x04, 0x30
_AFTER_ALGORITHM: dict[int, KeyForm] = {_BITS: "spki", _OCTETS: "pkcs8"}
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
        material = _read(data, form, algorithm, password)
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


def recognise(data: bytes, algorithm: int | None = None) -> KeyForm:
    """The form of a key, by its content; what has no structure is raw.

    Args:
        data: the key.
        algorithm: what the key is said to be; symmetric keys are never taken for header form or DER.

    """
    if b"-----BEGIN " in data:
        return "pem"
    if _is_json_object(data):
        return "jwk"
    if algorithm in SYMMETRIC_ALGORITHMS:
        return "raw"
    if int.from_bytes(data[:4], "little") in LAYOUTS:
        try:
            unpack(data)
        except BusinessError:
            pass  # its first bytes look like a header by chance: the other forms are tried
        else:
            return "layout"
    return _der_form(data) or "raw"


def half_of(material: KeyMaterial) -> str:
    """The type that the key is imported as, a word of `TYPES`."""
    if material.is_symmetric or not material.secret:
        return "public"
    return "pair" if material.public else "private"


def import_data(material: KeyMaterial) -> tuple[int, bytes]:
    """IMPORT_KEY_TYPE and `inData` that import this key."""
    half = half_of(material)
    if half != "public":
        return TYPES[half], convert.to_layout(material)
    return TYPES[half], material.secret if material.is_symmetric else material.public


def _read(data: bytes, form: KeyForm, algorithm: int | None, password: bytes | None) -> KeyMaterial:
    match form:
        case "pem":
            return convert.from_pem(data, password)
        case "pkcs8":
            return convert.from_pkcs8(data, password)
        case "spki":
            return convert.from_spki(data)
        case "jwk":
            if algorithm is None or algorithm not in SYMMETRIC_ALGORITHMS:
                return convert.from_jwk(data)
            return convert.from_jwk(data, algorithm=algorithm)
    return convert.from_layout(data)


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
    encrypted = b"-----BEGIN ENCRYPTED" in data or _der_form(data) == "pkcs8"
    if not encrypted:
        return None
    return _HINT_OF_ENCRYPTED if password is None else "another passphrase, or a damaged file"


def _is_json_object(data: bytes) -> bool:
    if data.lstrip()[:1] != b"{":
        return False
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _der_form(data: bytes) -> KeyForm | None:
    # PrivateKeyInfo and its elders begin with their version. EncryptedPrivateKeyInfo and
    # SubjectPublicKeyInfo both begin with an algorithm; an octet string or a bit string follows.
    outer = _element(data, 0)
    if outer is None or outer[0] != _SEQUENCE or outer[2] != len(data):
        return None
    first = _element(data, outer[1])
    if first is None:
        return None
    if first[0] == _INTEGER:
        return "pkcs8"
    second = _element(data, first[2])
    if first[0] != _SEQUENCE or second is None or second[2] != len(data):
        return None
    return _AFTER_ALGORITHM.get(second[0])


def _element(data: bytes, start: int) -> tuple[int, int, int] | None:
    """Tag of the DER element at `start`, where its content begins and where it ends."""
    if start + 2 > len(data):
        return None
    length, content = data[start + 1], start + 2
    if length >= 0x80:
        width = length - 0x80
        length = int.from_bytes(data[content : content + width], "big")
        content += width
    return (data[start], content, content + length) if content + length <= len(data) else None
