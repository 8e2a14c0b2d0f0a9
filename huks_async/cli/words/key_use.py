"""What a new key is for: options of its generation or import, and what holds without them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from huks_async.cli.shell.console import usage_error
from huks_async.cli.words.parameters import Tags
from huks_async.crypto.rules.matrix import (
    AGREE,
    ALGORITHMS,
    CIPHER,
    DERIVE,
    MAC,
    SIGNATURE,
    WRAPPING,
    list_sizes,
)
from huks_async.model.enums import (
    HuksCipherMode,
    HuksImportKeyType,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyPadding,
    HuksKeyPurpose,
    HuksRsaPssSaltLenType,
)

_A, _D, _M, _P = HuksKeyAlg, HuksKeyDigest, HuksCipherMode, HuksKeyPurpose
_OAEP, _PSS = HuksKeyPadding.HUKS_PADDING_OAEP, HuksKeyPadding.HUKS_PADDING_PSS
_NONE, _PKCS7 = HuksKeyPadding.HUKS_PADDING_NONE, HuksKeyPadding.HUKS_PADDING_PKCS7

ALGORITHM_NAMES: dict[str, int] = {
    one.number.name.removeprefix("HUKS_ALG_").lower().replace("_", "-"): number
    for number, one in ALGORITHMS.items()
}
"""Every algorithm that keys have, by the word for it on the command line."""

TYPES: dict[str, int] = {
    "public": HuksImportKeyType.HUKS_KEY_TYPE_PUBLIC_KEY,
    "private": HuksImportKeyType.HUKS_KEY_TYPE_PRIVATE_KEY,
    "pair": HuksImportKeyType.HUKS_KEY_TYPE_KEY_PAIR,
}
"""Import types by their words; symmetric keys are imported as `public`."""

PURPOSE_WORDS = {one.name.removeprefix("HUKS_KEY_PURPOSE_").lower(): int(one) for one in _P}
DIGEST_WORDS = {one.name.removeprefix("HUKS_DIGEST_").lower(): int(one) for one in _D}
MODE_WORDS = {one.name.removeprefix("HUKS_MODE_").lower(): int(one) for one in _M}
PADDING_WORDS = {
    "none": int(_NONE),
    "oaep": int(_OAEP),
    "pss": int(_PSS),
    "pkcs1": int(HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5),
    "pkcs5": int(HuksKeyPadding.HUKS_PADDING_PKCS5),
    "pkcs7": int(_PKCS7),
    "iso-9796-2": int(HuksKeyPadding.HUKS_PADDING_ISO_IEC_9796_2),
    "iso-9797-1": int(HuksKeyPadding.HUKS_PADDING_ISO_IEC_9797_1),
}

# the first that an algorithm has is what its keys are most often for
_COMMON = (CIPHER, SIGNATURE, MAC, AGREE, WRAPPING)
_COMMON_OF = {
    int(_A.HUKS_ALG_RSA): SIGNATURE,
    int(_A.HUKS_ALG_SM2): SIGNATURE,
    int(_A.HUKS_ALG_X25519): AGREE,
}
_OF_HALF = {
    TYPES["public"]: _P.HUKS_KEY_PURPOSE_VERIFY
    | _P.HUKS_KEY_PURPOSE_ENCRYPT
    | _P.HUKS_KEY_PURPOSE_WRAP
    | AGREE,
    TYPES["private"]: _P.HUKS_KEY_PURPOSE_SIGN
    | _P.HUKS_KEY_PURPOSE_DECRYPT
    | _P.HUKS_KEY_PURPOSE_UNWRAP
    | AGREE,
}
_ECC_DIGESTS = {384: _D.HUKS_DIGEST_SHA384, 521: _D.HUKS_DIGEST_SHA512}
_NEEDS_BLOCKS = (_M.HUKS_MODE_ECB, _M.HUKS_MODE_CBC)


@Parameter(name="*")
@dataclass(frozen=True)
class Use:
    """What the key may do."""

    purpose: Annotated[
        list[str] | None,
        Parameter(
            name=["--purpose", "-p"],
            negative=(),
            help=f"One of {', '.join(PURPOSE_WORDS)}; may be repeated. Default: what such keys are made for.",
        ),
    ] = None
    digest: Annotated[str | None, Parameter(help=f"One of {', '.join(DIGEST_WORDS)}.")] = None
    padding: Annotated[str | None, Parameter(help=f"One of {', '.join(PADDING_WORDS)}.")] = None
    mode: Annotated[str | None, Parameter(help=f"Block mode: one of {', '.join(MODE_WORDS)}.")] = None

    def tags(self, algorithm: int, size: int, import_type: int | None = None) -> Tags:
        """The tags of the new key, its algorithm and size among them, and the type of its import.

        Raises:
            CommandError: a word that is none of its list.

        """
        mask = 0
        for word in self.purpose or ():
            mask |= choose(PURPOSE_WORDS, word, "purpose")
        mask = mask or _usual_purposes(algorithm, import_type)
        tags = _usual(algorithm, size, mask)
        if self.digest is not None:
            tags["DIGEST"] = choose(DIGEST_WORDS, self.digest, "digest")
        if self.mode is not None:
            tags["BLOCK_MODE"] = choose(MODE_WORDS, self.mode, "mode")
            tags["PADDING"] = _usual_padding(algorithm, tags["BLOCK_MODE"])
        if self.padding is not None:
            tags["PADDING"] = choose(PADDING_WORDS, self.padding, "padding")
        if algorithm == _A.HUKS_ALG_RSA and tags.get("PADDING") == _PSS:
            tags["RSA_PSS_SALT_LEN_TYPE"] = HuksRsaPssSaltLenType.HUKS_RSA_PSS_SALT_LEN_DIGEST
        tags |= {"ALGORITHM": algorithm, "KEY_SIZE": size, "PURPOSE": mask}
        return tags if import_type is None else tags | {"IMPORT_KEY_TYPE": import_type}


def choose(table: Mapping[str, int], word: str, what: str) -> int:
    """The number that a word stands for.

    Raises:
        CommandError: the table has no such word.

    """
    number = table.get(word.lower())
    if number is None:
        raise usage_error(f"there is no {what} {word!r}", hint=f"known are {', '.join(table)}")
    return number


def choose_size(algorithm: int, given: int | None) -> int:
    """The size that was given, or the only one of the algorithm.

    Raises:
        CommandError: none was given, and there are several.

    """
    if given is not None:
        return given
    sizes = ALGORITHMS[algorithm].sizes
    if len(sizes) == 1 and isinstance(sizes[0], int):
        return sizes[0]
    raise usage_error(f"{algorithm_word(algorithm)} keys need --size", hint=f"sizes are {list_sizes(sizes)}")


def word_of(table: Mapping[str, int], number: int) -> str:
    """The opposite of `choose`."""
    return next(word for word, known in table.items() if known == number)


def algorithm_word(algorithm: int) -> str:
    """The opposite of `ALGORITHM_NAMES`."""
    return word_of(ALGORITHM_NAMES, algorithm)


def _usual_purposes(algorithm: int, import_type: int | None) -> int:
    has = [usage.purposes for usage in ALGORITHMS[algorithm].usages]
    group = _COMMON_OF.get(algorithm) or next(one for one in _COMMON if one in has)
    if group in (CIPHER, MAC) or import_type is None:
        return group
    return group & _OF_HALF.get(import_type, group)


def _usual(algorithm: int, size: int, purposes: int) -> Tags:
    """What a key fixes of its sessions unless told otherwise; nothing where there is no usual choice."""
    if algorithm == _A.HUKS_ALG_AES and purposes & CIPHER:
        return {"BLOCK_MODE": _M.HUKS_MODE_GCM, "PADDING": _NONE}
    if algorithm == _A.HUKS_ALG_RSA:
        return {"DIGEST": _D.HUKS_DIGEST_SHA256, "PADDING": _OAEP if purposes & CIPHER else _PSS}
    if algorithm == _A.HUKS_ALG_SM2 and purposes & (CIPHER | SIGNATURE):
        return {"DIGEST": _D.HUKS_DIGEST_SM3}
    if algorithm in (_A.HUKS_ALG_ED25519, _A.HUKS_ALG_ML_DSA) and purposes & SIGNATURE:
        return {"DIGEST": _D.HUKS_DIGEST_NONE}
    if algorithm in (_A.HUKS_ALG_ECC, _A.HUKS_ALG_DSA) and purposes & SIGNATURE:
        return {"DIGEST": _ECC_DIGESTS.get(size, _D.HUKS_DIGEST_SHA256)}
    if algorithm == _A.HUKS_ALG_HMAC or (algorithm == _A.HUKS_ALG_AES and purposes & (DERIVE | MAC)):
        return {"DIGEST": _D.HUKS_DIGEST_SHA256}
    return {}


def _usual_padding(algorithm: int, mode: object) -> int:
    pads = algorithm in (_A.HUKS_ALG_AES, _A.HUKS_ALG_SM4) and mode in _NEEDS_BLOCKS
    return _PKCS7 if pads else _NONE
