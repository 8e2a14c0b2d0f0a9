"""Objects that are no data: they hold threads, files or keys, and a copy would be of no use, or a leak."""

from typing import Any, NoReturn


class Uncopied:
    """Refuses `copy`, `pickle` and what they serve, `multiprocessing` among it."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be copied, pickled or sent to another process: make one there, from "
            "the same arguments"
        )
