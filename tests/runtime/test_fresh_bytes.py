"""Bytes that are filled after they were made: the way for long ones against the plain one for short ones."""

import os
import sys
import threading

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from huks_async.files.chunks import TAG_BYTES, ChunkCipher, nonce
from huks_async.runtime import fresh_bytes
from huks_async.runtime.fresh_bytes import filled_bytes

LONG = 256 * 1024
SIZES = (0, 1, 2, 1000, LONG - 1, LONG, LONG + 1, 1_000_003)


@pytest.mark.parametrize("cpython", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_content_and_identity(size: int, cpython: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is what was written, in an object of its own, with one reference, like any other bytes."""
    monkeypatch.setattr(fresh_bytes, "_CAN", cpython)
    content = os.urandom(size)

    def fill(view: memoryview) -> int:
        assert (len(view), view.format, view.readonly, view.contiguous) == (size, "B", False, True)
        view[:] = content
        return size

    one, two = filled_bytes(size, fill), filled_bytes(size, fill)
    assert type(one) is type(two) is bytes
    assert one == two == content
    assert hash(one) == hash(content)
    if size > 1:
        assert one is not two
        plain = os.urandom(size)
        assert sys.getrefcount(one) == sys.getrefcount(plain)


def test_what_fill_raises_comes_out() -> None:
    """And the view is of no use afterwards, neither then nor when all went well."""
    views = []

    def fails(view: memoryview) -> int:
        views.append(view)
        raise RuntimeError("no")

    def works(view: memoryview) -> int:
        views.append(view)
        return len(view)

    for size in (10, LONG):
        with pytest.raises(RuntimeError, match="no"):
            filled_bytes(size, fails)
        filled_bytes(size, works)
    for view in views:
        with pytest.raises(ValueError, match="released"):
            view[0]


@pytest.mark.parametrize("size", [10, LONG])
@pytest.mark.parametrize("missing", [1, -1])
def test_what_is_not_filled_does_not_come_out(size: int, missing: int) -> None:
    """Old memory of the process would be in it."""
    with pytest.raises(ValueError, match=f"{size - missing} of {size} bytes"):
        filled_bytes(size, lambda _: size - missing)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_chunks_are_what_the_library_returns(kind: type) -> None:
    """A chunk that is sealed into fresh bytes is the one that `AESGCM.encrypt` returns, and is opened likewise."""
    key = os.urandom(32)
    cipher, plain = ChunkCipher(key, 1 << 20), AESGCM(key)
    for size in (*SIZES, 1 << 20):
        data = kind(os.urandom(size))
        last = size < 1 << 20
        sealed = cipher.seal(3 if size else 0, data, last=last)
        assert sealed == plain.encrypt(nonce(3 if size else 0, last=last), bytes(data), None)
        assert len(sealed) == size + TAG_BYTES
        assert cipher.open(3 if size else 0, kind(sealed), last=last) == bytes(data)


def test_many_threads_at_once() -> None:
    """Each gets its own memory."""
    wrong = []

    def work(number: int) -> None:
        content = bytes([number]) * (LONG + number)

        def copy(view: memoryview) -> int:
            view[:] = content
            return len(view)

        for _ in range(50):
            kept = [filled_bytes(len(content), copy) for _ in range(3)]
            if any(one != content for one in kept):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
