"""Recognising a list of parameters by the very objects that it consists of, so that it need not be parsed again.

Must never give another answer than parsing would.
"""

from collections.abc import Collection
from typing import Any, Generic, Self, TypeVar

from huks_async.model.params import HuksParam, ParamSet

T = TypeVar("T")

# A program makes the parameters for one key in few places, so few lists are kept; the others are parsed again.
_MAX_LISTS = 4
# A list with a longer value is parsed each time, so that the values of a recognised list stay far below the size
# at which a set of parameters is refused.
_LONGEST_VALUE = 64 * 1024


class KnownLists(Generic[T]):
    """A few lists of mappings or `HuksParam` that were parsed without error, each with what was made from its numbers."""

    __slots__ = ("_lists",)

    def __init__(self) -> None:
        self._lists: list[_KnownList[T]] = []

    def clear(self) -> None:
        """Forget everything."""
        self._lists.clear()

    def recognise(self, properties: list[Any]) -> tuple[T, dict[int, bytes], Self] | None:
        """Find an earlier list of the same form whose tags and numbers are the same objects as those of this list.

        Objects of other classes with the attributes of `HuksParam` are for the parser, which refuses them.

        Returns:
            the meaning that was kept with the earlier list, this list's own byte strings by tag, and these lists;
            None if there is no such list.

        Raises:
            Exception: of any class, if the list holds something that only the parser can judge.
        """
        of_objects = bool(properties) and type(properties[0]) is HuksParam
        for known in self._lists:
            if len(properties) != known.length or known.of_objects is not of_objects:
                continue
            # twice the same, in place: one call more for either form would be felt in a short session
            if of_objects:
                for place, tag, number in known.numbers:
                    param = properties[place]
                    if type(param) is not HuksParam or param.value is not number or param.tag is not tag:
                        break
                else:
                    blobs = {}
                    for place, tag, name in known.blobs:
                        param = properties[place]
                        if type(param) is not HuksParam or param.tag is not tag:
                            return None
                        value = param.value
                        if type(value) is not bytes or len(value) > _LONGEST_VALUE:
                            return None
                        blobs[name] = value
                    return known.meaning, blobs, self
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
                return known.meaning, blobs, self
        return None

    def keep_list(self, properties: object, params: ParamSet, meaning: T) -> None:
        """Remember a list that was parsed without error, if it has a form that can be recognised.

        Its caller may have changed it since it was parsed, at any await in between: then it is not remembered.

        Args:
            properties: what the caller passed.
            params: what parsing it gave.
            meaning: what was made from its numbers, to be returned when the list is recognised.
        """
        if type(properties) is not list:
            return
        try:
            if self.recognise(properties) is not None:
                return
            known = _KnownList(properties, params.blobs, meaning)
            if not known.says(params):
                return
        except Exception:
            return  # the list is of both forms, or holds objects of the caller's, which may raise anything
        self._lists.insert(0, known)
        del self._lists[_MAX_LISTS:]


class _KnownList(Generic[T]):
    """The very objects that the tags and values of a list are.

    Integers never change, so a list with the same objects has the same meaning, including the types of its values.
    The mappings or `HuksParam` around them may change, so they are read each time.
    """

    __slots__ = ("blobs", "length", "meaning", "numbers", "of_objects")

    def __init__(self, properties: list[Any], blobs: Collection[int], meaning: T) -> None:
        self.length = len(properties)
        self.of_objects = bool(properties) and type(properties[0]) is HuksParam
        self.numbers: list[tuple[int, int, int]] = []
        """(place in the list, tag, value)"""
        self.blobs: list[tuple[int, int, int]] = []
        """(place in the list, tag as the caller has it, tag)"""
        for place, param in enumerate(properties):
            tag, value = (param.tag, param.value) if self.of_objects else (param["tag"], param["value"])
            if tag in blobs:
                self.blobs.append((place, tag, int.__int__(tag)))
            else:
                self.numbers.append((place, tag, value))
        self.meaning = meaning

    def says(self, params: ParamSet) -> bool:
        """Whether parsing the list would give these numbers, and byte strings under these tags.

        It would not if its caller has changed it, or if the parser replaced an old tag by its newer one.
        """
        numbers = {
            int.__int__(tag): value if type(value) is bool else int.__int__(value)
            for _, tag, value in self.numbers
        }
        # 1 equals True
        return (
            numbers == params.numbers
            and all(type(value) is type(params.numbers[tag]) for tag, value in numbers.items())
            and {name for _, _, name in self.blobs} == params.blobs.keys()
            and self.length == len(params)
        )
