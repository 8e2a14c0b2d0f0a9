"""What the documentation lists of algorithms, and the support matrix, in one form that can be compared.

A cell is a line `purposes mode padding digest`, with `-` for what plays no part and `any` where every
value will do.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huks_async.crypto.rules.matrix import ALGORITHMS
from huks_async.model.enums import HuksCipherMode, HuksKeyDigest, HuksKeyPadding, HuksKeyPurpose

FACTS = Path(__file__).parent / "facts" / "algorithms.json"

Facts = dict[str, dict[str, Any]]


def facts() -> Facts:
    """The project's own record of what is documented."""
    read: Facts = json.loads(FACTS.read_text())
    return read


def from_specification(path: Path) -> Facts:
    """The same from the detailed specification."""
    found: Facts = {}
    for name, entry in json.loads(path.read_text())["algorithms"].items():
        if entry.get("class") == "session algorithm":
            continue
        cells, refused = [], {}
        groups = [set(group) for group in entry["purpose_groups"]]
        for purposes, rows in entry["purposes"].items():
            whole = next(group for group in groups if group >= set(purposes.split("|")))
            for row in rows:
                for cell in _cells(_words(whole), row):
                    if row.get("reference_engine") is False and "error" in row:
                        refused[cell] = row["error"]
                    else:
                        cells.append(cell)
        found[name] = {
            "number": entry["enum"],
            "sizes": [size for row in entry["sizes"] for size in _sizes(row)],
            "groups": [_words(group) for group in groups],
            "cells": sorted(set(cells)),
            "refused": refused,
        }
    return found


def _sizes(row: dict[str, Any]) -> list[Any]:
    bits = row.get("bits", row.get("parameter_set"))
    if isinstance(bits, list):
        return bits
    ends = re.search(r"(\d+)\.\.(\d+)", bits)
    assert ends, bits
    return [[int(ends[1]), int(ends[2]), 8]]


def _cells(purposes: str, row: dict[str, Any]) -> Iterator[str]:
    mode = row.get("block_mode", "-")
    mode = "-" if mode.startswith("ignored") else mode
    paddings = row.get("padding", "-")
    digests = row.get("digest", "-")
    digests = [digests] if isinstance(digests, str) else digests
    for padding in [paddings] if isinstance(paddings, str) else paddings:
        for digest in [*digests, *row.get("also_in_engine", [])]:
            plain = "any" if digest.startswith("any") else "-" if digest == "ignored" else digest
            yield f"{purposes} {mode} {padding} {plain}"


def from_matrix() -> Facts:
    """The support matrix in this form."""
    return {
        algorithm.number.name.removeprefix("HUKS_ALG_"): {
            "number": int(algorithm.number),
            "sizes": [
                [size.start, size[-1], size.step] if isinstance(size, range) else size
                for size in algorithm.sizes
            ],
            "groups": [purpose_words(usage.purposes) for usage in algorithm.usages],
            "cells": sorted(
                cell
                for usage in algorithm.usages
                for form in usage.forms
                for cell in _form_cells(purpose_words(usage.purposes), form)
            ),
            "sessions": {purpose_words(usage.purposes): bool(usage.sessions) for usage in algorithm.usages},
        }
        for algorithm in ALGORITHMS.values()
    }


def _words(purposes: set[str]) -> str:
    return "|".join(member.name[17:] for member in HuksKeyPurpose if member.name[17:] in purposes)


def purpose_words(purposes: int) -> str:
    return "|".join(member.name[17:] for member in HuksKeyPurpose if member & purposes)


def _form_cells(purposes: str, form: Any) -> Iterator[str]:
    mode = "-" if form.mode is None else HuksCipherMode(form.mode).name[10:]
    padding = "-" if form.padding is None else HuksKeyPadding(form.padding).name[13:]
    digests = (
        ["any"]
        if set(form.digests) == set(HuksKeyDigest)
        else [HuksKeyDigest(d).name[12:] for d in form.digests]
    )
    for digest in digests or ["-"]:
        yield f"{purposes} {mode} {padding} {digest}"


def numbers(sizes: list[Any]) -> set[int]:
    """All sizes of a list of numbers and [first, last, step]."""
    found: set[int] = set()
    for size in sizes:
        found.update(range(size[0], size[1] + 1, size[2]) if isinstance(size, list) else [size])
    return found
