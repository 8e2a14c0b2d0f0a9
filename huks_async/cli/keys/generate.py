"""`huks keys generate`: a new key of a kind that is usual, or of any row of `huks algorithms`."""

from typing import Annotated

from cyclopts import Parameter

from huks_async.cli.shell.console import say, usage_error
from huks_async.cli.words.arguments import HERE, Alias, Place, Replace, naming_replace
from huks_async.cli.words.authentication import Demand
from huks_async.cli.words.key_use import ALGORITHM_NAMES, Use, algorithm_word, choose, choose_size
from huks_async.cli.words.numbers import Number
from huks_async.cli.words.parameters import KINDS, Tags, options, purposes_text

_ANY = Use()
_NOTHING = Demand()
_USUAL = "aes-256-gcm"


async def generate(
    alias: Alias,
    /,
    *,
    kind: Annotated[
        str | None,
        Parameter(
            name=["--kind", "-k"],
            help=f"A usual kind: {', '.join(KINDS)}. Without one and --algorithm: {_USUAL}.",
        ),
    ] = None,
    algorithm: Annotated[
        str | None,
        Parameter(
            name=["--algorithm", "-a"], help=f"Instead of a kind: one of {', '.join(ALGORITHM_NAMES)}."
        ),
    ] = None,
    size: Annotated[
        Number | None, Parameter(name=["--size", "-s"], help="With --algorithm: bits, or the parameter set.")
    ] = None,
    use: Use = _ANY,
    demand: Demand = _NOTHING,
    replace: Replace = False,
    place: Place = HERE,
) -> None:
    """Make a new key.

    --purpose, --digest, --padding and --mode go with --algorithm; `huks algorithms` lists what goes together.
    """
    if algorithm is not None and kind is not None:
        raise usage_error(
            "--kind and --algorithm exclude each other", hint="a kind fixes all that the key is"
        )
    tags, words = _of_kind(kind, size, use) if algorithm is None else _of_algorithm(algorithm, size, use)
    demanded = demand.tags_of(tags, unwraps=(kind or "").startswith("unwrap-"))
    async with place.open() as keystore:
        with naming_replace(alias):
            await keystore.generateKeyItem(
                alias, options(**tags, **demanded, KEY_OVERRIDE=replace, **place.tags)
            )
    say(f"made the key {alias!r} ({words})")


def _of_kind(kind: str | None, size: int | None, use: Use) -> tuple[Tags, str]:
    word = _USUAL if kind is None else kind
    if word not in KINDS:
        raise usage_error(
            f"there is no kind {word!r}", hint=f"kinds are {', '.join(KINDS)}; or give --algorithm"
        )
    if size is not None or use != _ANY:
        raise usage_error(
            "--size, --purpose, --digest, --padding and --mode need --algorithm",
            hint=f"--algorithm ALGORITHM instead of the kind {word}",
        )
    return KINDS[word], word


def _of_algorithm(algorithm: str, size: int | None, use: Use) -> tuple[Tags, str]:
    number = choose(ALGORITHM_NAMES, algorithm, "algorithm")
    tags = use.tags(number, choose_size(number, size))
    words = f"{algorithm_word(number)} {int(tags['KEY_SIZE'])}, to {purposes_text(tags['PURPOSE'])}"
    return tags, words
