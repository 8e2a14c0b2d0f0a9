"""`huks sign` and `huks verify`."""

from typing import Annotated, Literal, TypeAlias

from cryptography.hazmat.primitives.asymmetric.dsa import DSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cyclopts import Parameter

import huks_async
from huks_async import interchange
from huks_async.cli.operations.pump import pump
from huks_async.cli.shell.console import CommandError, say
from huks_async.cli.shell.files import STANDARD, open_input, segments
from huks_async.cli.words.arguments import (
    TO_STANDARD_OUTPUT,
    Alias,
    Destination,
    InputName,
    check_standard_input,
    no_option,
)
from huks_async.cli.words.authentication import USED_HERE, UsePlace
from huks_async.cli.words.parameters import Tags, options, session_tags
from huks_async.model.enums import HuksKeyAlg, HuksKeyDigest, HuksKeyPadding, HuksKeyPurpose
from huks_async.model.errors import BusinessError

_CRYPTO_FAIL = 12000006
_WHOLE_MESSAGES = (HuksKeyAlg.HUKS_ALG_ED25519, HuksKeyAlg.HUKS_ALG_ML_DSA)
_MAX_SIGNATURE = 64 * 1024

SignatureForm: TypeAlias = Annotated[
    Literal["der", "raw"],
    Parameter(
        name="--signature-form",
        help="Form of an ECDSA, DSA or SM2 signature: der, or raw: r and s one after the other, as JOSE and WebCrypto "
        "have it.",
    ),
]


async def sign(
    alias: Alias,
    file: InputName = STANDARD,
    /,
    *,
    form: SignatureForm = "der",
    destination: Destination = TO_STANDARD_OUTPUT,
    place: UsePlace = USED_HERE,
) -> None:
    """Sign a file. The output is the bare signature."""
    check_standard_input(file, place.token_file)
    destination.refuse_terminal("the signature")
    async with place.open(new=False) as keystore:
        tags = await _tags(keystore, alias, place, HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN)
        group = await _group(keystore, alias, place, tags) if form == "raw" else None
        made = bytearray()
        opening = destination.prepare()
        with open_input(file) as source:
            await pump(keystore, alias, options(**tags), segments(source), made.extend, place=place)
    # opened only now: the shell may have led a descriptor to the file that is signed
    with opening() as target:
        target.write(interchange.signature_to_raw(made, *group) if group else bytes(made))
        target.commit()


async def verify(
    alias: Alias,
    file: InputName = STANDARD,
    /,
    *,
    signature: Annotated[
        str,
        Parameter(
            name=["--signature", "-s"],
            help="File with the bare signature; - is standard input.",
            allow_leading_hyphen=True,
            validator=no_option,
        ),
    ],
    form: SignatureForm = "der",
    place: UsePlace = USED_HERE,
) -> None:
    """Verify a file's signature. A bad one ends with code 1."""
    check_standard_input(signature, file, place.token_file)
    given = _read_signature(signature)
    async with place.open(new=False) as keystore:
        tags = await _tags(keystore, alias, place, HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY)
        if form == "raw":
            given = interchange.signature_from_raw(given, *await _group(keystore, alias, place, tags))
        with open_input(file) as source:
            try:
                await pump(keystore, alias, options(**tags), segments(source), _nothing, given, place=place)
            except BusinessError as error:
                if error.code != _CRYPTO_FAIL:
                    raise
                hint = f"another key, another file, or a changed one; it was checked {_manner(tags)}"
                if interchange.signature_from_raw.__name__ in error.message:
                    hint = "it is as long as r ‖ s, so try --signature-form raw"
                raise CommandError("the signature does not match", hint=hint) from error
    say("the signature matches")


def _manner(tags: Tags) -> str:
    """With which digest and padding a signature was checked, which its maker must have used, too."""
    if tags["ALGORITHM"] in _WHOLE_MESSAGES:
        return "over the whole file"
    digest, padding = HuksKeyDigest(int(tags["DIGEST"])), tags.get("PADDING")
    words = f"with {digest.name.removeprefix('HUKS_DIGEST_')}"
    if digest == HuksKeyDigest.HUKS_DIGEST_NONE:
        words = "without a digest"
    return (
        words
        if padding is None
        else f"{words} and {HuksKeyPadding(int(padding)).name.removeprefix('HUKS_PADDING_')}"
    )


def _nothing(data: bytes) -> None:
    """Verification has no output."""


def _read_signature(name: str) -> bytes:
    data = bytearray()
    with open_input(name) as file:
        for piece in segments(file):
            data += piece
            if len(data) > _MAX_SIGNATURE:
                raise CommandError(f"{name} is longer than any signature")
    if not data:
        raise CommandError(f"{name} is empty, so it holds no signature")
    return bytes(data)


async def _group(
    keystore: "huks_async.Keystore", alias: str, place: UsePlace, tags: Tags
) -> tuple[int, int | None]:
    """The algorithm, and the size that tells how long the two numbers of its signatures are.

    Raises:
        CommandError: its signatures are no pair of numbers.

    """
    algorithm, size = tags["ALGORITHM"], tags["KEY_SIZE"]
    assert isinstance(algorithm, int)
    assert isinstance(size, int)
    if algorithm in (HuksKeyAlg.HUKS_ALG_ECC, HuksKeyAlg.HUKS_ALG_SM2):
        return algorithm, size
    if algorithm == HuksKeyAlg.HUKS_ALG_DSA:
        # the size of the key is that of p; signatures have the length of q
        public = load_der_public_key((await keystore.exportKeyItem(alias, options(**place.tags))).outData)
        assert isinstance(public, DSAPublicKey)
        return algorithm, public.parameters().parameter_numbers().q.bit_length()
    raise CommandError(
        f"signatures of the key {alias!r} have one form, which all programs share",
        hint="leave out --signature-form; it is for ECDSA, DSA and SM2",
    )


async def _tags(
    keystore: "huks_async.Keystore", alias: str, place: UsePlace, purpose: HuksKeyPurpose
) -> Tags:
    stored = (await keystore.getKeyItemProperties(alias, options(**place.tags))).properties
    tags = session_tags(alias, stored, purpose)
    # a key that leaves these open is used with the most common choice
    usual: Tags = {"DIGEST": HuksKeyDigest.HUKS_DIGEST_SHA256}
    if tags["ALGORITHM"] == HuksKeyAlg.HUKS_ALG_RSA:
        usual["PADDING"] = HuksKeyPadding.HUKS_PADDING_PSS
    return usual | tags | place.tags
