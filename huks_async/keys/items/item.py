"""A key item as the rest of the library uses it, and the encoding of its parameters."""

import struct
from collections.abc import Mapping
from itertools import chain
from typing import Any

from huks_async.access.demand import Demand, demand_of
from huks_async.crypto import engine
from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.items.prepared import Plan, PreparedSessions
from huks_async.model.limits import Limits
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTagType


class KeyItem:
    """One stored key: its parameters and its material."""

    __slots__ = (
        "_guarded",
        "_ready",
        "alias",
        "demand",
        "material",
        "messages",
        "params",
        "prepared",
        "version",
    )

    def __init__(self, alias: str, params: ParamSet, material: KeyMaterial, version: int) -> None:
        self.alias: str = alias
        self.params: ParamSet = params
        self.material: KeyMaterial = material
        self.version: int = version
        self.prepared: PreparedSessions = PreparedSessions()
        self.messages: dict[Any, Any] = {}
        """What the functions on messages keep with this key, by use; made at the first use."""
        self.demand: Demand | None = demand_of(params.numbers)
        """What the key demands before it is used, such as an authentication; None for nearly all keys."""
        self._guarded: PreparedSessions | None = None
        self._ready: Any = None

    @property
    def guarded(self) -> PreparedSessions:
        """The plans for sessions behind a gate. They are separate from `prepared`, whose sessions have no gate."""
        if self._guarded is None:
            self._guarded = PreparedSessions()
        return self._guarded

    @property
    def ready(self) -> Any:
        """The object that operations use, made at the first use."""
        if self._ready is None:
            self._ready = engine.load(self.material)
        return self._ready

    def plan(self, session: Mapping[int, int], limits: Limits, context: Any, *, device: bool) -> Plan:
        """Let the key authorise a session's number parameters; see `engine.prepare`."""
        starter = engine.prepare(self.params.numbers, self.material, session, limits, device=device)
        return Plan(starter, self.ready, context)

    def forget(self) -> None:
        """Drop what was prepared from the key; running sessions keep what they have."""
        self._ready = None
        self.prepared.clear()
        self._guarded = None
        self.messages.clear()


_TYPE_MASK = 0xF000_0000


def encode_params(params: ParamSet) -> bytes:
    """The parameters as bytes: per parameter the tag, then 8 bytes of number or a length and bytes."""
    # an unsigned long may use the bit that is the sign of others, so all are masked to 64 bits
    numbers = [(tag, value & 0xFFFF_FFFF_FFFF_FFFF) for tag, value in params.numbers.items()]
    parts = [struct.pack(f"<H{'IQ' * len(numbers)}", len(params), *chain.from_iterable(numbers))]
    for tag, blob in params.blobs.items():
        parts.append(struct.pack("<II", tag, len(blob)) + blob)
    return b"".join(parts)


def decode_params(data: bytes) -> ParamSet:
    """The reverse of `encode_params`; ValueError for anything else."""
    params = ParamSet()
    try:
        (count,) = struct.unpack_from("<H", data, 0)
        offset = 2
        for _ in range(count):
            (tag,) = struct.unpack_from("<I", data, offset)
            kind = tag & _TYPE_MASK
            if kind == HuksTagType.HUKS_TAG_TYPE_BYTES:
                (length,) = struct.unpack_from("<I", data, offset + 4)
                offset += 8
                value = data[offset : offset + length]
                if len(value) != length:
                    raise ValueError("a parameter is cut off")
                params.blobs[tag] = value
                offset += length
            else:
                form = "<Q" if kind == HuksTagType.HUKS_TAG_TYPE_ULONG else "<q"
                (number,) = struct.unpack_from(form, data, offset + 4)
                params.numbers[tag] = bool(number) if kind == HuksTagType.HUKS_TAG_TYPE_BOOL else number
                offset += 12
    except struct.error as error:
        raise ValueError("the parameters are cut off") from error
    if offset != len(data):
        raise ValueError("bytes follow the parameters")
    return params
