"""Large segments through a kept buffer.

A fresh result buffer of a large segment costs page faults on every call, which for CBC and ECB weigh
as much as the cipher itself. A buffer kept by the thread is paid for once; only the copy
into the resulting `bytes` remains.
"""

import threading

from cryptography.hazmat.primitives.ciphers import CipherContext

from huks_async.model.params import BytesLike

SMALLEST = 32 * 1024
"""Below this many bytes a fresh buffer is as fast."""
LARGEST = 1024 * 1024
"""Above this many bytes the kept buffer would hold too much memory in each thread."""
_MAX_BLOCK = 16


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.view = memoryview(b"")

    def room(self, size: int) -> memoryview:
        if len(self.view) < size:
            self.view = memoryview(bytearray(size))
        return self.view


_scratch = _Scratch()
_ZEROS = memoryview(bytes(LARGEST + 2 * _MAX_BLOCK))


def update_blocks(context: CipherContext, data: BytesLike, *, wipe: bool) -> bytes:
    """What `context.update(data)` gives; `wipe` clears the output (plaintext) from the kept buffer."""
    size = len(data)
    if not SMALLEST <= size <= LARGEST:
        return context.update(data)
    view = _scratch.room(size + _MAX_BLOCK)
    written = context.update_into(data, view)
    output = bytes(view[:written])
    if wipe:
        view[:written] = _ZEROS[:written]
    return output


def update_but_last(context: CipherContext, data: BytesLike, held: bytes, keep: int) -> tuple[bytes, bytes]:
    """`held` and what `context.update(data)` gives, parted before the last `keep` bytes.

    For decryption with padding: whether the last block is padding is known at the end alone.
    """
    size = len(data)
    if not SMALLEST <= size <= LARGEST:
        output = held + context.update(data) if held else context.update(data)
        cut = max(len(output) - keep, 0)
        return output[:cut], output[cut:]
    start = len(held)
    view = _scratch.room(size + 2 * _MAX_BLOCK)
    view[:start] = held
    end = start + context.update_into(data, view[start:])
    cut = end - keep
    parted = bytes(view[:cut]), bytes(view[cut:end])
    view[:end] = _ZEROS[:end]
    return parted
