"""`huks keys convert`, `describe` and `wrap`: keys in files, without a keystore."""

from json import dumps
from typing import Annotated

from cyclopts import Parameter

from huks_async.cli.shell.console import CommandError, say, show, show_json, usage_error
from huks_async.cli.words.arguments import (
    TO_STANDARD_OUTPUT,
    Destination,
    InputName,
    Json,
    check_standard_input,
)
from huks_async.cli.words.key_file import (
    RECOGNISED,
    Reading,
    half_of,
    parse_key,
    read_key,
    read_key_file,
)
from huks_async.cli.words.key_use import algorithm_word
from huks_async.cli.words.parameters import describe, properties
from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.forms import convert
from huks_async.keys.forms.describe import describe as describe_blob
from huks_async.keys.forms.key_files import KeyForm, import_data
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.tags import HuksTag
from huks_async.provisioning import pack_wrapped_key

_WRAPPING = (HuksKeyAlg.HUKS_ALG_X25519, HuksKeyAlg.HUKS_ALG_ECC, HuksKeyAlg.HUKS_ALG_SM2)
_BARE_X25519, _X25519_BYTES = Reading(form="raw", algorithm="x25519"), 32
_TEXT = ("pem", "jwk")


async def convert_key(
    file: InputName,
    /,
    *,
    to: Annotated[KeyForm, Parameter(name=["--to", "-t"], help="The form to write.")],
    public: Annotated[
        bool, Parameter(negative=(), help="Write the public half only, in form pem, jwk, raw or spki.")
    ] = False,
    destination: Destination = TO_STANDARD_OUTPUT,
    reading: Reading = RECOGNISED,
) -> None:
    """Write a key file in another form: PEM, PKCS#8, SubjectPublicKeyInfo, JWK, HUKS's header form, raw.

    What is written has the private half where the input has it and the form can; it is not encrypted.
    """
    if public and to in ("pkcs8", "layout"):
        raise usage_error(f"the form {to} is for private keys", hint="--to spki, pem, jwk or raw")
    material = await read_key(file, reading)
    if public and material.is_symmetric:
        raise usage_error(f"{algorithm_word(material.algorithm)} keys have no public half")
    private = bool(material.secret) and not public and to != "spki"
    data = _written(material, to, private=private)
    if private:
        destination.refuse_terminal("the key", nature="secret")
    elif to not in _TEXT:
        destination.refuse_terminal("the key in this form")
    with destination.open(private=private) as target:
        target.write(data)
        target.commit()


def describe_key(file: InputName, /, *, json: Json = False) -> None:
    """Print what a file holds: form, algorithm, size, halves, lengths, fingerprint. No secret of it."""
    told = describe_blob(read_key_file(file))
    if json:
        show_json(
            {
                "form": told.form,
                "bytes": told.length,
                "algorithm": told.algorithm or None,
                "size": told.size or None,
                "halves": list(told.halves),
                "fields": dict(told.fields),
                "sha256_of_public_half": told.fingerprint or None,
                "note": told.note or None,
            }
        )
        return
    lines = {
        "form": told.form,
        "bytes": told.length,
        "algorithm": told.algorithm,
        "size": told.size or "",
        "halves": ", ".join(told.halves),
        "fields": ", ".join(f"{name} {length} bytes" for name, length in told.fields.items()),
        "sha-256 of the public half": told.fingerprint,
        "note": told.note,
    }
    for name, value in lines.items():
        if value != "":
            show(f"{name}: {value}")


async def wrap_key(
    file: InputName,
    /,
    *,
    device: Annotated[
        InputName,
        Parameter(
            name=["--for", "-F"],
            help="File with the public half of the device's wrapping key: X25519, P-256 or SM2.",
        ),
    ],
    destination: Destination = TO_STANDARD_OUTPUT,
    reading: Reading = RECOGNISED,
) -> None:
    """Encrypt a key so that one device alone can import it, and say with which parameters.

    The file may be given to anybody; the device's public key must come over a way that is trusted.
    """
    destination.refuse_terminal("the wrapped key")
    check_standard_input(file, device, reading.passphrase_file)
    receiver = await _receiver(device)
    material = await read_key(file, reading)
    if not material.secret:
        raise CommandError(
            f"{file} holds a public key only, which needs no wrapping",
            hint="import it as it is: huks keys import ALIAS FILE",
        )
    import_type, data = import_data(material)
    packed = pack_wrapped_key(data, receiver, import_type=import_type)
    with destination.open() as target:
        target.write(packed.inData)
        target.commit()
    known = properties(ALGORITHM=material.algorithm, KEY_SIZE=material.size, IMPORT_KEY_TYPE=import_type)
    say("importWrappedKeyItem takes it with these parameters and the purposes of the key:")
    for param in (*known, *packed.properties):
        say(f"  {describe(param)}")
    words = f"--with WRAPPING_ALIAS --algorithm {algorithm_word(material.algorithm)} --size {material.size}"
    if not material.is_symmetric:
        words += f" --type {half_of(material)}"
    if any(param.tag == HuksTag.HUKS_TAG_ASYMMETRIC_PUBLIC_KEY_DATA for param in packed.properties):
        words += " --public-key PUBLIC_KEY_FILE"
    say(f"or: huks keys import-wrapped ALIAS FILE {words}")


async def _receiver(name: str) -> bytes:
    """The device's public key as `exportKeyItem` gives it; 32 bare bytes are X25519."""
    data = read_key_file(name)
    material = await parse_key(name, data, _BARE_X25519 if len(data) == _X25519_BYTES else RECOGNISED)
    if material.algorithm not in _WRAPPING or material.size != 256 or not material.public:
        raise CommandError(
            f"{name} is no public key that keys are encrypted for: "
            f"{algorithm_word(material.algorithm)} {material.size}",
            hint="the device makes one of X25519, ECC P-256 or SM2 and exports it",
        )
    return material.public


def _written(material: KeyMaterial, form: KeyForm, *, private: bool) -> bytes:
    match form:
        case "pem":
            return convert.to_pem(material, private=private).encode()
        case "pkcs8":
            return convert.to_pkcs8(material)
        case "spki":
            return convert.to_spki(material)
        case "jwk":
            return (dumps(convert.to_jwk(material, private=private)) + "\n").encode()
        case "layout":
            return convert.to_layout(material)
    return convert.to_raw(material, private=private)
