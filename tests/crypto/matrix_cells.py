"""Every cell of the support matrix that a session can serve, as parameters to run."""

from collections.abc import Iterator
from typing import NamedTuple

from huks_async.crypto.rules.matrix import ALGORITHMS, Algorithm, Form, Usage
from huks_async.model.enums import HuksCipherMode, HuksKeyAlg, HuksKeyDigest, HuksKeyPadding, HuksKeyPurpose
from huks_async.model.tags import HuksTag


class Cell(NamedTuple):
    """One kind of session on one kind of key."""

    algorithm: int
    size: int
    purposes: int
    purpose: int
    session: int
    mode: int | None
    padding: int | None
    digest: int | None

    def __str__(self) -> str:
        words = [HuksKeyAlg(self.algorithm).name[9:], str(self.size), HuksKeyPurpose(self.purpose).name[17:]]
        if self.session != self.algorithm:
            words.append(HuksKeyAlg(self.session).name[9:])
        words += [] if self.mode is None else [HuksCipherMode(self.mode).name[10:]]
        words += [] if self.padding is None else [HuksKeyPadding(self.padding).name[13:]]
        words += [] if self.digest is None else [HuksKeyDigest(self.digest).name[12:]]
        return "-".join(words)

    @property
    def fixed(self) -> dict[int, int]:
        """What key and session both say."""
        values = {
            HuksTag.HUKS_TAG_BLOCK_MODE: self.mode,
            HuksTag.HUKS_TAG_PADDING: self.padding,
            HuksTag.HUKS_TAG_DIGEST: self.digest,
        }
        return {tag: value for tag, value in values.items() if value is not None}


def sample_sizes(algorithm: Algorithm, usage: Usage) -> Iterator[int]:
    """All single sizes; of every range the ends and what is common in between."""
    for entry in usage.sizes or algorithm.sizes:
        if isinstance(entry, range):
            yield from dict.fromkeys((entry[0], *(n for n in (1024, 2048, 3072) if n in entry), entry[-1]))
        else:
            yield entry


def _digests(form: Form) -> Iterator[int | None]:
    if not form.digests or not form.digest_needed:
        yield None
    yield from form.digests


def cells() -> Iterator[Cell]:
    """Every cell, with sample sizes."""
    for number, algorithm in ALGORITHMS.items():
        for usage in algorithm.usages:
            purposes = [purpose for purpose in HuksKeyPurpose if purpose & usage.purposes]
            for size in dict.fromkeys(sample_sizes(algorithm, usage)):
                for session in usage.sessions:
                    for form in usage.forms:
                        for digest in _digests(form):
                            for purpose in purposes:
                                yield Cell(
                                    number,
                                    size,
                                    usage.purposes,
                                    purpose,
                                    session,
                                    form.mode,
                                    form.padding,
                                    digest,
                                )
