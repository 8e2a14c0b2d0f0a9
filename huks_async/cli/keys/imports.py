"""`huks keys import` and `import-wrapped`: keys that come from outside."""

from typing import Annotated, Literal

from cyclopts import Parameter

from huks_async.cli.shell.console import CommandError, say
from huks_async.cli.words.arguments import (
    HERE,
    Alias,
    InputName,
    Place,
    Replace,
    check_standard_input,
    key_name,
    naming_replace,
    no_option,
)
from huks_async.cli.words.authentication import Demand
from huks_async.cli.words.key_file import RECOGNISED, Reading, read_key, read_key_file
from huks_async.cli.words.key_use import ALGORITHM_NAMES, TYPES, Use, algorithm_word, choose, choose_size
from huks_async.cli.words.numbers import Number
from huks_async.cli.words.parameters import Tags, options, purposes_text
from huks_async.crypto.key_material import SYMMETRIC_ALGORITHMS
from huks_async.keys.forms.key_files import import_data
from huks_async.model.enums import HuksKeyAlg, HuksUnwrapSuite
from huks_async.model.tags import HuksTag

_SUITES: dict[object, int] = {
    HuksKeyAlg.HUKS_ALG_X25519: HuksUnwrapSuite.HUKS_UNWRAP_SUITE_X25519_AES_256_GCM_NOPADDING,
    HuksKeyAlg.HUKS_ALG_ECC: HuksUnwrapSuite.HUKS_UNWRAP_SUITE_ECDH_AES_256_GCM_NOPADDING,
    HuksKeyAlg.HUKS_ALG_SM2: HuksUnwrapSuite.HUKS_UNWRAP_SUITE_SM2_SM4_ECB_NOPADDING,
}
_ANY = Use()
_NOTHING = Demand()


async def import_key(
    alias: Alias,
    file: InputName,
    /,
    *,
    reading: Reading = RECOGNISED,
    use: Use = _ANY,
    demand: Demand = _NOTHING,
    replace: Replace = False,
    place: Place = HERE,
) -> None:
    """Take a key of a file into the keystore.

    PEM, PKCS#8, SubjectPublicKeyInfo, JWK and HUKS's header form tell what key they hold; raw bytes
    need --algorithm.

    The file stays where it is.
    """
    material = await read_key(file, reading)
    import_type, data = import_data(material)
    tags = use.tags(material.algorithm, material.size, import_type)
    demanded = demand.tags_of(tags)
    async with place.open() as keystore:
        with naming_replace(alias):
            await keystore.importKeyItem(
                alias, options(data, **tags, **demanded, KEY_OVERRIDE=replace, **place.tags)
            )
    _say_imported(alias, tags)


async def import_wrapped(
    alias: Alias,
    file: InputName,
    /,
    *,
    wrapping: Annotated[
        str,
        Parameter(name=["--with", "-w"], help="The key that it was encrypted for.", validator=key_name),
    ],
    algorithm: Annotated[
        str, Parameter(name=["--algorithm", "-a"], help=f"Of the new key: {', '.join(ALGORITHM_NAMES)}.")
    ],
    size: Annotated[
        Number | None, Parameter(name=["--size", "-s"], help="Of the new key: bits, or the parameter set.")
    ] = None,
    type_: Annotated[
        Literal["public", "private", "pair"] | None,
        Parameter(name=["--type", "-t"], help="Halves of the new key; a pair unless it is symmetric."),
    ] = None,
    public_key: Annotated[
        str | None,
        Parameter(
            help="File with the public half of the new key: key pairs in suite 5 need it.",
            allow_leading_hyphen=True,
            validator=no_option,
        ),
    ] = None,
    use: Use = _ANY,
    replace: Replace = False,
    place: Place = HERE,
) -> None:
    """Take a key into the keystore that `huks keys wrap` encrypted for one of its keys."""
    number = choose(ALGORITHM_NAMES, algorithm, "algorithm")
    half = type_ or ("public" if number in SYMMETRIC_ALGORITHMS else "pair")
    tags = use.tags(number, choose_size(number, size), TYPES[half])
    if public_key is not None:
        tags["ASYMMETRIC_PUBLIC_KEY_DATA"] = await _public_half(file, public_key, algorithm)
    data = read_key_file(file)
    async with place.open(new=False) as keystore:
        found = (await keystore.getKeyItemProperties(wrapping, options(**place.tags))).properties
        suite = _SUITES.get(next(p.value for p in found if p.tag == HuksTag.HUKS_TAG_ALGORITHM))
        if suite is None:
            raise CommandError(
                f"the key {wrapping!r} is not one that keys are encrypted for",
                hint="make one: huks keys generate ALIAS --kind unwrap-x25519",
            )
        tags |= {"UNWRAP_ALGORITHM_SUITE": suite, "KEY_OVERRIDE": replace, **place.tags}
        with naming_replace(alias):
            await keystore.importWrappedKeyItem(alias, wrapping, options(data, **tags))
    _say_imported(alias, tags)


async def _public_half(file: str, public_key: str, algorithm: str) -> bytes:
    check_standard_input(file, public_key)
    public = (await read_key(public_key, Reading(algorithm=algorithm))).public
    if not public:
        raise CommandError(f"{public_key} has no public half")
    return public


def _say_imported(alias: str, tags: Tags) -> None:
    algorithm = int(tags["ALGORITHM"])
    half = next(word for word, number in TYPES.items() if number == tags["IMPORT_KEY_TYPE"])
    kind = "" if algorithm in SYMMETRIC_ALGORITHMS else f" {half}"
    say(
        f"imported the key {alias!r} ({algorithm_word(algorithm)} {int(tags['KEY_SIZE'])}{kind}) "
        f"to {purposes_text(tags['PURPOSE'])}"
    )
