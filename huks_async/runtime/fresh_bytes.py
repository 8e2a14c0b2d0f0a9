"""Making large `bytes` objects whose content C code writes into them.

A function that returns a long result as `bytes` usually has the memory filled with zeros first, while it holds the
interpreter's lock. For a piece of a stream that is a quarter of the work, and the part that threads cannot share.
"""

import ctypes
import sys
from collections.abc import Callable

# C-API functions that CPython documents for this purpose: a bytes object made without content may be written to
# until somebody else has a reference to it. They are looked up anew, because the functions of `ctypes.pythonapi`
# are shared by all code of the process, with the types that were set last.
_new_bytes = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)
_address = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(("PyBytes_AsString", ctypes.pythonapi))
_view = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)
_WRITABLE = 0x200

_WORTH_IT = 256 * 1024
"""From this size on, zeros cost more than the calls of this module, 4 µs. Short objects may also be shared ones."""
_CAN = sys.implementation.name == "cpython"


def filled_bytes(length: int, fill: Callable[[memoryview], int]) -> bytes:
    """Return a bytes object of that length with the content that `fill` writes.

    Args:
        length: in bytes.
        fill: called once, with a writable view of the whole object; returns how many bytes it has written. If it
            raises, the object is dropped.

    Raises:
        ValueError: `fill` has not written all. What is left would be old memory of this process.
    """
    if length < _WORTH_IT or not _CAN:
        target = bytearray(length)
        with memoryview(target) as view:
            written = fill(view)
        made = bytes(target)
    else:
        made = _new_bytes(None, length)
        with _view(_address(made), length, _WRITABLE) as view:
            written = fill(view)
    if written != length:
        raise ValueError(f"{written} of {length} bytes were written")
    return made
