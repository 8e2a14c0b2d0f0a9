"""Runs of the public interface: import a key, open a session, feed it in odd segments, finish it."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from huks_async import BusinessError, HuksOptions, HuksParam, HuksTag, Keystore
from huks_async.crypto.family import Family, OperationSpec
from huks_async.crypto.key_material import KeyMaterial
from huks_async.model.limits import Limits

PATTERNS: tuple[tuple[int, ...], ...] = ((0,), (1,), (7,), (3, 5, 2), (16,), (13, 1, 29), (17,), (31, 37))
"""Lengths of segments, repeated to the end of the data; 0 is all that is left."""

_MANY = 700
"""Data longer than this is not cut into single bytes here; `test_segmentation` does that."""


@dataclass(frozen=True)
class Key:
    """An imported key and the parameters that every session on it repeats."""

    alias: str
    params: tuple[HuksParam, ...]


def tags(**values: int | bytes) -> list[HuksParam]:
    """Parameters by the names of their tags without the prefix."""
    return [HuksParam(HuksTag["HUKS_TAG_" + name], value) for name, value in values.items()]


def segments(data: bytes, pattern: tuple[int, ...]) -> Iterator[bytes]:
    """The data in pieces of the pattern's lengths."""
    lengths = itertools.cycle(pattern)
    start = 0
    while start < len(data):
        length = next(lengths) or len(data)
        yield data[start : start + length]
        start += length


class Runs:
    """Keys and sessions of one keystore. Every session takes the next pattern of segments."""

    def __init__(self, keystore: Keystore) -> None:
        self.keystore = keystore
        self._turn = 0
        self._kept: dict[tuple[object, ...], Key] = {}

    async def key(
        self,
        algorithm: int,
        size: int,
        data: bytes,
        purpose: int,
        kind: int = 0,
        *,
        keep: bool = False,
        **fixed: int,
    ) -> Key:
        """Import a key; `fixed` parameters belong to it and to its sessions.

        With `keep` the same key is imported once; otherwise the next key replaces it.
        """
        name = (algorithm, size, data, purpose, kind, *fixed.items())
        known = self._kept.get(name)
        if known is not None:
            return known
        alias = f"kept {len(self._kept)}" if keep else "replaced"
        own = tags(ALGORITHM=algorithm, KEY_SIZE=size, **fixed)
        options = HuksOptions([*own, *tags(PURPOSE=purpose, IMPORT_KEY_TYPE=kind)], data)
        await self.keystore.importKeyItem(alias, options)
        key = Key(alias, tuple(own))
        if keep:
            self._kept[name] = key
        return key

    async def run(
        self,
        key: Key,
        purpose: int,
        data: bytes = b"",
        *,
        last: bytes | None = None,
        cut: tuple[int, ...] | None = None,
        extra: tuple[HuksParam, ...] = (),
        **more: int | bytes,
    ) -> bytes:
        """All output of a session over `data`.

        Args:
            key: the key; its parameters are repeated, but for those in `more`.
            purpose: of the session.
            data: fed in segments; where there is no `last`, every other session gives its last segment
                to finish and the others finish with nothing.
            last: what finish gets, where that is not data: a signature.
            cut: lengths of the segments; the next pattern by default.
            extra: parameters beside the documented tags.
            more: further parameters of the session. Empty bytes are left out: a tag must have a value.
        """
        self._turn += 1
        if cut is None:
            cut = PATTERNS[self._turn % len(PATTERNS)]
            if cut == (1,) and len(data) > _MANY:
                cut = (127,)
        given = tags(PURPOSE=purpose, **{name: value for name, value in more.items() if value != b""})
        named = {param.tag for param in given}
        params = [*(param for param in key.params if param.tag not in named), *given, *extra]
        keystore = self.keystore
        handle = (await keystore.initSession(key.alias, HuksOptions(params, b""))).handle
        pieces = list(segments(data, cut))
        if last is None:
            last = pieces.pop() if pieces and self._turn // len(PATTERNS) % 2 else b""
        out = [(await keystore.updateSession(handle, HuksOptions([], piece))).outData for piece in pieces]
        out.append((await keystore.finishSession(handle, HuksOptions([], last))).outData)
        return b"".join(out)

    async def derive(self, key: Key, purpose: int, data: bytes, **more: int | bytes) -> bytes:
        """The result of an agreement or a derivation: one update, and finish."""
        return await self.run(key, purpose, data or b"not used", last=b"", cut=(0,), **more)

    async def verifies(
        self, key: Key, purpose: int, message: bytes, signature: bytes, **more: int | bytes
    ) -> bool:
        """Whether a signature verifies; any other error than 'wrong signature' fails the test."""
        try:
            return await self.run(key, purpose, message, last=signature, **more) == b""
        except BusinessError as error:
            # 12000006: wrong; 12000003: longer than the key can make; 401: no signature at all
            if error.code == 12000006 or (error.code in (12000003, 401) and "signature" in error.message):
                return False
            raise


@asynccontextmanager
async def opened() -> AsyncIterator[Runs]:
    """Runs on a keystore in memory."""
    async with Keystore.open(store="memory:", monitor=False) as keystore:
        yield Runs(keystore)
        assert keystore.statistics().open == 0, "a session was left open"


async def code_of(call: Awaitable[object]) -> int | None:
    """The code of the error of a call, None for success."""
    try:
        await call
    except BusinessError as error:
        return error.code
    return None


def engine_run(
    family: Family,
    material: KeyMaterial,
    purpose: int,
    *pieces: bytes,
    algorithm: int | None = None,
    padding: int | None = None,
    digest: int | None = None,
    numbers: Mapping[int, int] | None = None,
    blobs: Mapping[int, bytes] | None = None,
) -> bytes:
    """The same as `Runs.run`, through the crypto room alone: for keys that no documented size allows."""
    spec = OperationSpec(
        purpose=purpose,
        algorithm=material.algorithm if algorithm is None else algorithm,
        key_algorithm=material.algorithm,
        size=material.size,
        mode=None,
        padding=padding,
        digest=digest,
        numbers=numbers or {},
        limits=Limits(),
        key_numbers={},
    )
    operation = family.starter(spec)(family.load(material), blobs or {})
    *first, last = pieces
    return b"".join([*(operation.update(piece) for piece in first), operation.finish(last)])
