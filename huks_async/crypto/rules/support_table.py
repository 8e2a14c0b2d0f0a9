"""The support matrix in words: what `huks algorithms` prints and the documentation shows."""

from collections.abc import Iterable, Iterator

from huks_async.crypto.rules.matrix import ALGORITHMS, Algorithm, Form, Usage, has_size, list_sizes
from huks_async.model.enums import HuksCipherMode, HuksKeyAlg, HuksKeyDigest, HuksKeyPadding, HuksKeyPurpose

COLUMNS = ("Algorithm", "Sizes", "Purposes", "Sessions", "Mode, padding, digests", "API", "Notes")


def rows(*, device: bool = False, joint: str = "; ") -> Iterator[tuple[str, ...]]:
    """A row for each group of purposes of each algorithm; what is the algorithm's stands in its first row.

    Args:
        device: only what a device with the standard software engine has, too.
        joint: stands between the legal combinations of one row.
    """
    for algorithm in ALGORITHMS.values():
        first = True
        for usage in algorithm.usages:
            if device and not (algorithm.device and usage.device):
                continue
            yield _row(algorithm, usage.on_device() if device else usage, joint, first=first)
            first = False


def _row(algorithm: Algorithm, usage: Usage, joint: str, *, first: bool) -> tuple[str, ...]:
    return (
        algorithm.number.name.removeprefix("HUKS_ALG_") if first else "",
        list_sizes(usage.sizes) if usage.sizes else list_sizes(algorithm.sizes) if first else "",
        " ".join(purpose.name[17:] for purpose in HuksKeyPurpose if purpose & usage.purposes),
        ", ".join(HuksKeyAlg(number).name.removeprefix("HUKS_ALG_") for number in usage.sessions) or "–",
        joint.join(words for form in usage.forms if (words := _form(form))) or "–",
        algorithm.since if first else "",
        "; ".join(_notes(algorithm, usage, first=first)),
    )


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
    for form in usage.forms:
        if not form.device:
            yield f"{_form(form).partition(',')[0]} is an extension, not in the device profile"
    if usage.note:
        yield usage.note
    for padding, reason in usage.refused_paddings.items():
        yield f"{HuksKeyPadding(padding).name[13:]} is refused (12000001): {reason}"


def _singles(sizes: Iterable[int | range]) -> Iterator[int]:
    for size in sizes:
        yield from size if isinstance(size, range) else (size,)
