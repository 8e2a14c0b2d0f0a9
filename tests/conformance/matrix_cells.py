"""Every legal cell of the support matrix, and every neighbour just outside, as data for a test to walk."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from huks_async.crypto.rules.matrix import AGREE, ALGORITHMS, CIPHER, DERIVE, MAC, SIGNATURE, Algorithm, Usage
from huks_async.model.enums import (
    HuksCipherMode,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyPadding,
    HuksKeyPurpose,
    HuksKeySize,
)
from tests.conformance import support as s

# inside the ranges: the ends, the documented sizes, and some that are easily wrong
_INSIDE = {16, 24, 56, 520, 1016, 1024, 1032, 1536, 2040, 2048, 8000}
_DOCUMENTED = {int(size) for size in HuksKeySize}
_SERVED = {
    purposes: {
        int(number)
        for algorithm in ALGORITHMS.values()
        for usage in algorithm.usages
        if usage.purposes == purposes
        for number in usage.sessions
    }
    for purposes in (CIPHER, SIGNATURE, DERIVE, MAC, AGREE)
}


@dataclass(frozen=True)
class Cell:
    """One legal combination: a key of this usage and size, and a session of this form."""

    algorithm: int
    usage: Usage
    size: int
    session: int
    mode: int | None
    padding: int | None
    digest: int | None
    generable: bool

    def __str__(self) -> str:
        parts = [HuksKeyAlg(self.session).name.removeprefix("HUKS_ALG_"), str(self.size)]
        parts += [str(part) for part in (self.mode, self.padding, self.digest) if part is not None]
        return "/".join(parts)

    @property
    def tags(self) -> dict[str, Any]:
        """Mode, padding and digest as tags."""
        return {"BLOCK_MODE": self.mode, "PADDING": self.padding, "DIGEST": self.digest}


@dataclass(frozen=True)
class Neighbour:
    """A combination just outside: parameters of a key, those of a session or None, and the code."""

    name: str
    key: dict[str, Any]
    session: dict[str, Any] | None
    code: int


def sizes_of(algorithm: Algorithm, usage: Usage | None = None) -> list[int]:
    """The sizes to walk: all of a list; of a range its ends, the documented ones and a few inside."""
    found: set[int] = set()
    for entry in (usage.sizes if usage else None) or algorithm.sizes:
        if isinstance(entry, range):
            found |= {entry[0], entry[1], entry[-2], entry[-1]}
            found |= {size for size in _DOCUMENTED | _INSIDE if size in entry}
        else:
            found.add(entry)
    return sorted(found)


def is_generable(algorithm: Algorithm, size: int) -> bool:
    """Whether keys of this size can be generated without the extra for old sizes."""
    return not any(
        size in entry if isinstance(entry, range) else size == entry for entry in algorithm.extra_sizes
    )


def cells(algorithm: Algorithm) -> Iterator[Cell]:
    """Every legal cell that has a session, of sizes that can be made (RSA's small ones by OpenSSL's command)."""
    for usage in algorithm.usages:
        for size in sizes_of(algorithm, usage):
            if algorithm.number == s.DSA and not is_generable(algorithm, size):
                continue
            for session in usage.sessions:
                for form in usage.forms:
                    digests: list[int | None] = list(form.digests) or [None]
                    if form.digests and not form.digest_needed:
                        digests.append(None)
                    for digest in digests:
                        yield Cell(
                            int(algorithm.number),
                            usage,
                            size,
                            int(session),
                            form.mode,
                            form.padding,
                            digest,
                            is_generable(algorithm, size),
                        )


def neighbours(algorithm: Algorithm) -> Iterator[Neighbour]:
    """Every combination one step outside, with its documented code."""
    yield from _wrong_sizes(algorithm)
    yield from _wrong_purposes(algorithm)
    for usage in algorithm.usages:
        yield from _wrong_values(algorithm, usage)
        yield from _wrong_sessions(algorithm, usage)


def small_key(algorithm: Algorithm, usage: Usage, **more: Any) -> dict[str, Any]:
    """Parameters of the smallest sensible key of a usage, with every choice left to the session."""
    sizes = [size for size in sizes_of(algorithm, usage) if is_generable(algorithm, size)]
    size = next((size for size in sizes if size >= 1024), sizes[-1]) if algorithm.extra_sizes else sizes[-1]
    return {"ALGORITHM": int(algorithm.number), "KEY_SIZE": size, "PURPOSE": usage.purposes} | more


def _wrong_sizes(algorithm: Algorithm) -> Iterator[Neighbour]:
    mac = algorithm.number in (s.HMAC, s.SM3_MAC)
    for usage in algorithm.usages:
        legal = sizes_of(algorithm, usage)
        near = {0, 1} | {size + step for size in legal for step in (-8, -1, 1, 8)}
        entries = usage.sizes or algorithm.sizes
        for size in sorted(near):
            inside = any(size in entry if isinstance(entry, range) else size == entry for entry in entries)
            if size >= 0 and not inside:
                key = small_key(algorithm, usage, KEY_SIZE=size)
                yield Neighbour(f"size {size}", key, None, 401 if mac else 12000003)
        yield Neighbour("no size", small_key(algorithm, usage, KEY_SIZE=None), None, 12000002)
        yield Neighbour("no purpose", small_key(algorithm, usage, PURPOSE=None), None, 12000002)


def _wrong_purposes(algorithm: Algorithm) -> Iterator[Neighbour]:
    first = algorithm.usages[0]
    every = [int(purpose) for purpose in HuksKeyPurpose]
    for purposes in [*every, *(a | b for a, b in combinations(every, 2)), sum(every), 512]:
        if not any(purposes & ~usage.purposes == 0 for usage in algorithm.usages):
            key = small_key(algorithm, first, PURPOSE=purposes)
            yield Neighbour(f"purposes {purposes}", key, None, 12000003)


def _wrong_values(algorithm: Algorithm, usage: Usage) -> Iterator[Neighbour]:
    """Values that no form of the usage has: refused with the key, and by a session on an open key."""
    axes = (
        ("BLOCK_MODE", usage.modes, HuksCipherMode),
        ("PADDING", usage.paddings, HuksKeyPadding),
        ("DIGEST", usage.digests, HuksKeyDigest),
    )
    if not usage.sessions:
        return
    # the last form: the digest of RSA's first two plays no part
    legal = [cell for cell in cells(algorithm) if cell.usage is usage][-1]
    for tag, accepted, enum in axes:
        if not accepted:
            continue
        for value in [*enum, 99]:
            if value in accepted:
                continue
            key = small_key(algorithm, usage)
            # a padding of small devices is not supported rather than wrong
            small = (algorithm.number, usage.purposes, tag, value) == (
                s.RSA,
                SIGNATURE,
                "PADDING",
                s.ISO_9796_2,
            )
            code = 12000001 if small else 12000003
            yield Neighbour(f"key with {tag} {value}", key | {tag: int(value)}, None, code)
            session = _session(usage, legal) | {tag: int(value)}
            yield Neighbour(f"session with {tag} {value}", key, session, code)
    modes, paddings, digests = (list(values) or [None] for _, values, _ in axes)
    for mode in modes:
        for padding in paddings:
            for digest in digests:
                if any(_is_form(form, mode, padding, digest) for form in usage.forms):
                    continue
                tags = {"BLOCK_MODE": mode, "PADDING": padding, "DIGEST": digest}
                session = _session(usage, legal) | tags
                yield Neighbour(f"session with {tags}", small_key(algorithm, usage), session, 12000003)
                if mode is not None:
                    yield Neighbour(f"key with {tags}", small_key(algorithm, usage, **tags), None, 12000003)


def _is_form(form: Any, mode: int | None, padding: int | None, digest: int | None) -> bool:
    return bool(
        form.mode == mode and form.padding == padding and (digest in form.digests or not form.digests)
    )


def _wrong_sessions(algorithm: Algorithm, usage: Usage) -> Iterator[Neighbour]:
    """Algorithms and purposes of sessions that the usage does not have."""
    legal = next((cell for cell in cells(algorithm) if cell.usage is usage), None)
    key = small_key(algorithm, usage)
    base = {"DIGEST": int(s.SHA256), "PADDING": int(s.NOPAD)} if legal is None else _session(usage, legal)
    for number in HuksKeyAlg:
        if number in usage.sessions or usage.purposes not in _SERVED:
            continue
        # keys for SM2 agreement have no engine, which their own session finds last
        unserved = number not in _SERVED[usage.purposes] and not (number == algorithm.number == s.SM2)
        code = 12000003 if unserved else 401
        # without a digest some algorithms would be asked for it first
        wrong = base | {"ALGORITHM": int(number), "PURPOSE": usage.purposes & -usage.purposes}
        if wrong.get("DIGEST") is None:
            wrong["DIGEST"] = int(s.SHA256)
        yield Neighbour(f"session of {number.name}", key, wrong, code)
    purposes = [int(purpose) for purpose in HuksKeyPurpose if purpose in (s.WRAP, s.UNWRAP)]
    if usage.purposes in (CIPHER, SIGNATURE):
        purposes.append(usage.purposes)
    for purpose in purposes:
        wrong = base | {"ALGORITHM": int(algorithm.number), "PURPOSE": purpose}
        yield Neighbour(f"session for purpose {purpose}", key, wrong, 401)
    if legal is not None:
        for purpose in (usage.purposes & -usage.purposes, usage.purposes & (usage.purposes - 1)):
            if purpose and usage.purposes != purpose:
                one_way = key | {"PURPOSE": usage.purposes & ~purpose}
                wrong = base | {"PURPOSE": purpose}
                yield Neighbour(f"purpose {purpose} that the key lacks", one_way, wrong, 401)
        for tag, values in (
            ("BLOCK_MODE", usage.modes),
            ("PADDING", usage.paddings),
            ("DIGEST", usage.digests),
        ):
            fixed = getattr(legal, {"BLOCK_MODE": "mode", "PADDING": "padding", "DIGEST": "digest"}[tag])
            ignored = algorithm.number == s.RSA and usage.purposes == CIPHER and tag == "DIGEST"
            if not values or ignored or fixed is None:
                continue
            yield Neighbour(f"no {tag}, the key has it", key | {tag: fixed}, base | {tag: None}, 401)
            other = next((value for value in values if value != fixed), None)
            if other is not None:
                yield Neighbour(f"another {tag} than the key's", key | {tag: fixed}, base | {tag: other}, 401)


def _session(usage: Usage, cell: Cell) -> dict[str, Any]:
    return {"ALGORITHM": cell.session, "PURPOSE": usage.purposes & -usage.purposes, **cell.tags}
