"""`huks algorithms`: what keys can be and do."""

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from huks_async.cli.shell.console import show, show_json
from huks_async.cli.words.arguments import Json
from huks_async.cli.words.key_use import DIGEST_WORDS, MODE_WORDS, PADDING_WORDS, algorithm_word, word_of
from huks_async.cli.words.parameters import purposes_words
from huks_async.crypto.rules import support_table
from huks_async.crypto.rules.matrix import ALGORITHMS, Algorithm, Form, Sizes, Usage


def algorithms(
    *,
    device: Annotated[
        bool, Parameter(negative=(), help="Only what a device with the standard software engine has too.")
    ] = False,
    json: Json = False,
) -> None:
    """Print the support matrix, a line for each group of purposes of each algorithm."""
    if json:
        show_json({"algorithms": list(_for_programs(device))})
        return
    show("  ".join(support_table.COLUMNS).lower())
    name = sizes = ""
    for row in support_table.rows(device=device):
        if row[0]:
            name, sizes = row[0], row[1]
        show("  ".join((name, row[1] or sizes, *(cell for cell in row[2:] if cell))))


def _for_programs(device: bool) -> Iterator[dict[str, object]]:
    for algorithm in ALGORITHMS.values():
        usages = [
            usage.on_device() if device else usage
            for usage in algorithm.usages
            if not device or (algorithm.device and usage.device)
        ]
        if not usages:
            continue
        yield {
            "algorithm": algorithm_word(algorithm.number),
            "number": int(algorithm.number),
            "sizes": _sizes(algorithm.sizes),
            "legacy_sizes": _sizes(algorithm.legacy_sizes),
            "since_api": algorithm.since,
            "uses": [_use(algorithm, usage) for usage in usages],
        }


def _use(algorithm: Algorithm, usage: Usage) -> dict[str, object]:
    return {
        "purposes": purposes_words(usage.purposes),
        "sizes": _sizes(usage.sizes or algorithm.sizes),
        "session_algorithms": [int(number) for number in usage.sessions],
        "combinations": [_combination(form) for form in usage.forms],
        "device": algorithm.device and usage.device,
        "note": usage.note or None,
    }


def _combination(form: Form) -> dict[str, object]:
    return {
        "mode": None if form.mode is None else word_of(MODE_WORDS, form.mode),
        "padding": None if form.padding is None else word_of(PADDING_WORDS, form.padding),
        "digests": [word_of(DIGEST_WORDS, digest) for digest in form.digests],
        "device": form.device,
    }


def _sizes(sizes: Sizes) -> list[object]:
    return [
        {"from": one.start, "to": one[-1], "step": one.step} if isinstance(one, range) else one
        for one in sizes
    ]
