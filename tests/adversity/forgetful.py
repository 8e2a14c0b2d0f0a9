"""A file system that forgets at a power cut what was not synced: the model in memory, without the kernel's part.

Two states are kept. What processes see, and what the disk is sure to have:
- bytes of a file are on disk once the file was synced;
- a name in a folder is there once the folder was synced, or, for a new file, once that file was synced, as on ext4;
- the same for names that go, and for both names of a rename, which goes whole or not at all.

A cut may also leave some of what was not synced, as disks do: a random choice of pages of 4096 bytes, some of them
torn between sectors of 512, and of the changes of names a random first part, since file systems keep a journal of those.
"""

import random
import stat
import time
from dataclasses import dataclass, field

PAGE = 4096
SECTOR = 512
ROOT = 1


@dataclass(slots=True)
class Node:
    """A file or folder."""

    mode: int
    data: bytearray = field(default_factory=bytearray)
    names: dict[bytes, int] = field(default_factory=dict)
    links: int = 0
    changed: float = field(default_factory=time.time)
    # what the disk has, and what was done since: ("write", offset, bytes) or ("size", size, b"")
    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[str, int, bytes]] = field(default_factory=list)
    durable_names: dict[bytes, int] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


Change = list[tuple[int, bytes, int | None]]
"""Names that change together: (folder, name, node that it leads to from now on or None)."""


class Forgetful:
    """The tree of files, in both states."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {ROOT: Node(stat.S_IFDIR | 0o755, links=2)}
        self._next = ROOT + 1
        self._journal: list[tuple[Change, int]] = []
        """Changes of names that are not on disk yet, each with the node it created, 0 where it created none."""

    # --- names -------------------------------------------------------------------------------------------------

    def create(self, folder: int, name: bytes, mode: int) -> int:
        number, self._next = self._next, self._next + 1
        self.nodes[number] = Node(mode, links=2 if stat.S_ISDIR(mode) else 1)
        # a new folder is not made sure by a sync of its own, only by one of the folder it is in
        self._change([(folder, name, number)], 0 if stat.S_ISDIR(mode) else number)
        return number

    def link(self, number: int, folder: int, name: bytes) -> None:
        self.nodes[number].links += 1
        self._change([(folder, name, number)])

    def remove(self, folder: int, name: bytes) -> None:
        self.nodes[self.nodes[folder].names[name]].links -= 1
        self._change([(folder, name, None)])

    def rename(self, folder: int, name: bytes, to: int, new: bytes) -> None:
        number = self.nodes[folder].names[name]
        replaced = self.nodes[to].names.get(new)
        if replaced == number:
            return
        if replaced is not None:
            self.nodes[replaced].links -= 1
        self._change([(folder, name, None), (to, new, number)])

    def _change(self, change: Change, created: int = 0) -> None:
        for folder, name, number in change:
            _set(self.nodes[folder].names, name, number)
            self.nodes[folder].changed = time.time()
        self._journal.append((change, created))

    # --- bytes -------------------------------------------------------------------------------------------------

    def write(self, number: int, offset: int, piece: bytes) -> None:
        node = self.nodes[number]
        _put(node.data, offset, piece)
        node.unsynced.append(("write", offset, piece))
        node.changed = time.time()

    def resize(self, number: int, size: int) -> None:
        node = self.nodes[number]
        _resize(node.data, size)
        node.unsynced.append(("size", size, b""))
        node.changed = time.time()

    # --- syncs and cuts ----------------------------------------------------------------------------------------

    def sync(self, number: int) -> None:
        """What fsync promises of a file or folder."""
        node = self.nodes[number]
        for step in node.unsynced:
            _apply(node.durable, step)
        node.unsynced.clear()
        # A change goes to disk with what was done to the same names before it, so that none overtakes another.
        names: set[tuple[int, bytes]] = set()
        sure = []
        for place in range(len(self._journal) - 1, -1, -1):
            change, created = self._journal[place]
            touched = {(folder, name) for folder, name, _ in change}
            if created == number or any(folder == number for folder, _ in touched) or touched & names:
                names |= touched
                sure.append(place)
        for place in reversed(sure):
            self._make_sure(self._journal[place][0])
        for place in sure:
            del self._journal[place]

    def _make_sure(self, change: Change) -> None:
        for folder, name, number in change:
            _set(self.nodes[folder].durable_names, name, number)

    def after_cut(self, rng: random.Random, kept: float) -> "Forgetful":
        """What is there after a power cut now.

        Args:
            rng: chooses what is kept of what was not synced.
            kept: the share of it; 0: nothing of it is left, 1: all of it.

        """
        names = {number: dict(node.durable_names) for number, node in self.nodes.items()}
        for change, _ in self._journal[: _first_part(rng, len(self._journal), kept)]:
            for folder, name, number in change:
                _set(names[folder], name, number)
        image = Forgetful()
        image._next = self._next
        self._copy(image, ROOT, names, rng, kept)
        return image

    def _copy(
        self,
        image: "Forgetful",
        number: int,
        names: dict[int, dict[bytes, int]],
        rng: random.Random,
        kept: float,
    ) -> None:
        node = self.nodes[number]
        there = Node(node.mode, links=2 if node.is_folder else 0, changed=node.changed)
        image.nodes[number] = there
        there.durable = bytearray(node.durable)
        for step in node.unsynced:
            for part in _parts(step):
                if kept == 1 or rng.random() < kept:
                    _apply(there.durable, part if kept == 1 else _torn(part, rng))
        there.data = bytearray(there.durable)
        if node.is_folder:
            there.durable_names = names[number]
            there.names = dict(there.durable_names)
            for child in there.names.values():
                if child not in image.nodes:
                    self._copy(image, child, names, rng, kept)
                if not image.nodes[child].is_folder:
                    image.nodes[child].links += 1


def _set(names: dict[bytes, int], name: bytes, number: int | None) -> None:
    if number is None:
        names.pop(name, None)
    else:
        names[name] = number


def _resize(data: bytearray, size: int) -> None:
    if size < len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


def _put(data: bytearray, offset: int, piece: bytes) -> None:
    if offset > len(data):
        _resize(data, offset)
    data[offset : offset + len(piece)] = piece


def _apply(data: bytearray, step: tuple[str, int, bytes]) -> None:
    kind, place, piece = step
    if kind == "write":
        _put(data, place, piece)
    else:
        _resize(data, place)


def _first_part(rng: random.Random, count: int, kept: float) -> int:
    if kept in (0, 1):
        return int(count * kept)
    return rng.randint(0, count)


def _parts(step: tuple[str, int, bytes]) -> list[tuple[str, int, bytes]]:
    """A write's pages, each of which reaches the disk by itself."""
    kind, offset, piece = step
    if kind != "write":
        return [step]
    parts, at = [], 0
    while at < len(piece):
        size = PAGE - (offset + at) % PAGE
        parts.append((kind, offset + at, piece[at : at + size]))
        at += size
    return parts


def _torn(step: tuple[str, int, bytes], rng: random.Random) -> tuple[str, int, bytes]:
    kind, offset, piece = step
    if kind != "write" or len(piece) <= SECTOR or rng.random() > 0.2:
        return step
    return kind, offset, piece[: rng.randrange(0, len(piece), SECTOR)]
