"""A fork by C code, of which Python is told nothing, at a moment that its interpreter survives.

A copy has none of the other threads. Where one of them held the interpreter's lock, or had asked for it, the
copy would wait for that thread for ever, before it runs a line of any library.
"""

import ctypes
import sys
import time


def bare_fork() -> int:
    """The C library's `fork()`: the child's process id, or 0 in the child."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # a thread that waits for the interpreter's lock asks for it after this time
    try:
        time.sleep(0.02)  # threads that had asked before take their turn
        return int(ctypes.PyDLL(None).fork())  # CDLL would let the lock go during the call
    finally:
        sys.setswitchinterval(interval)
