"""Recognising a list of parameters by the very objects that it consists of, so that it need not be parsed again.

Must never give another answer than parsing would.
"""

from collections.abc import Collection
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Few places of a program make the lists that one thing is asked for with; beyond this number they are parsed again.
_MAX_LISTS = 4
# A longer value is left to the parser, so that all values of a list that is recognised stay far below the
# size at which a set of parameters is refused.
_LONGEST_VALUE = 64 * 1024


class KnownLists(Generic[T]):
    """A few lists of mappings that were parsed without fault, and what their numbers came to."""

    __slots__ = ("_lists",)

    def __init__(self) -> None:
        self._lists: list[_KnownList[T]] = []

    def clear(self) -> None:
        """Forget everything."""
        self._lists.clear()

    def recognise(self, properties: list[Any]) -> tuple[T, dict[int, bytes]] | None:
        """Find what a list of mappings came to whose tags and numbers are the same objects as an earlier one's.

        Returns:
            what its numbers came to, and the byte strings by tag, which are this list's own.

        Raises:
            Exception: of any class, where the list holds something that is for the parser.
        """
        for known in self._lists:
            if len(properties) != known.length:
                continue
            for place, tag, number in known.numbers:
                param = properties[place]
                if param["value"] is not number or param["tag"] is not tag:
                    break
            else:
                blobs = {}
                for place, tag, name in known.blobs:
                    param = properties[place]
                    value = param["value"]
                    if param["tag"] is not tag or type(value) is not bytes or len(value) > _LONGEST_VALUE:
                        return None
                    blobs[name] = value
                return known.meaning, blobs
        return None

    def keep_list(self, properties: object, blobs: Collection[int], meaning: T) -> None:
        """Remember a list that was parsed without fault, if it has the form that can be recognised.

        Args:
            properties: what the caller passed.
            blobs: the tags of the byte strings that parsing it gave.
            meaning: what its numbers came to.
        """
        if type(properties) is not list:
            return
        try:
            if self.recognise(properties) is not None:
                return
            known = _KnownList(properties, blobs, meaning)
        except Exception:
            return  # objects in place of mappings, which may change their answer from one call to the next
        if len(known.blobs) == len(blobs):  # not so where the parser knows a tag by a newer name
            self._lists.insert(0, known)
            del self._lists[_MAX_LISTS:]


class _KnownList(Generic[T]):
    """Which objects the tags and values of a list are.

    Integers never change, so a list that consists of the same objects means the same, types and all. The
    mappings around them may have changed, so they are looked into each time.
    """

    __slots__ = ("blobs", "length", "meaning", "numbers")

    def __init__(self, properties: list[Any], blobs: Collection[int], meaning: T) -> None:
        self.length = len(properties)
        self.numbers: list[tuple[int, int, int]] = []
        """(place in the list, tag, value)"""
        self.blobs: list[tuple[int, int, int]] = []
        """(place in the list, tag as the caller has it, tag)"""
        for place, param in enumerate(properties):
            tag, value = param["tag"], param["value"]
            if tag in blobs:
                self.blobs.append((place, tag, int(tag)))
            else:
                self.numbers.append((place, tag, value))
        self.meaning = meaning
