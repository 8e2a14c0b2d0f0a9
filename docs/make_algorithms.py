"""Bring the table in docs/algorithms.md up to date with huks_async/crypto/matrix.py.

`python docs/make_algorithms.py` rewrites the page; what stands outside the two marks is written by hand.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from huks_async.crypto.matrix import ALGORITHMS, Algorithm, Form, Usage, has_size, list_sizes
from huks_async.model.enums import HuksCipherMode, HuksKeyAlg, HuksKeyDigest, HuksKeyPadding, HuksKeyPurpose

PAGE = Path(__file__).parent / "algorithms.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"

HEAD = """\
| Algorithm | Sizes | Purposes | Sessions | Mode, padding, digests | API | Notes |
|---|---|---|---|---|---|---|
"""


def render(page: str) -> str:
    """The page with the table that the matrix gives."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    rows = (
        _row(algorithm, usage, first=index == 0)
        for algorithm in ALGORITHMS.values()
        for index, usage in enumerate(algorithm.usages)
    )
    return before + BEGIN + HEAD + "".join(rows) + END + after


def _row(algorithm: Algorithm, usage: Usage, *, first: bool) -> str:
    cells = (
        f"**{algorithm.number.name.removeprefix('HUKS_ALG_')}**" if first else "",
        list_sizes(usage.sizes) if usage.sizes else list_sizes(algorithm.sizes) if first else "",
        " ".join(purpose.name[17:] for purpose in HuksKeyPurpose if purpose & usage.purposes),
        ", ".join(HuksKeyAlg(number).name.removeprefix("HUKS_ALG_") for number in usage.sessions) or "–",
        "<br>".join(words for form in usage.forms if (words := _form(form))) or "–",
        algorithm.since if first else "",
        "; ".join(_notes(algorithm, usage, first=first)) or "",
    )
    return "| " + " | ".join(cells) + " |\n"


def _form(form: Form) -> str:
    mode = "" if form.mode is None else HuksCipherMode(form.mode).name[10:]
    padding = "" if form.padding is None else HuksKeyPadding(form.padding).name[13:]
    if set(form.digests) == set(HuksKeyDigest):
        digests = "any digest, which plays no part"
    else:
        digests = " ".join(HuksKeyDigest(digest).name[12:] for digest in form.digests)
    return ", ".join(word for word in (mode, padding, digests) if word)


def _notes(algorithm: Algorithm, usage: Usage, *, first: bool) -> Iterator[str]:
    if first and algorithm.legacy_sizes:
        every = all(has_size(algorithm.legacy_sizes, size) for size in _singles(algorithm.sizes))
        yield "legacy" if every else f"legacy: {list_sizes(algorithm.legacy_sizes)}"
    if first and algorithm.extra_sizes:
        yield f"generation needs the extra `legacy`: {list_sizes(algorithm.extra_sizes)}"
    if not (algorithm.device and usage.device):
        yield "not in the device profile"
    if usage.note:
        yield usage.note
    for padding, reason in usage.refused_paddings.items():
        yield f"{HuksKeyPadding(padding).name[13:]} is refused (12000001): {reason}"


def _singles(sizes: Iterable[int | range]) -> Iterator[int]:
    for size in sizes:
        yield from size if isinstance(size, range) else (size,)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
