"""Reads of a sealed file that are cancelled at random moments, on each kind of event loop."""

import io
import random
import threading
from collections.abc import Awaitable, Callable

import anyio
import pytest

from tests.files.support import import_aes, keystore, no_job_is_left, other_file

BITS = 12
KEY = bytes(range(32))
DATA = random.Random(8).randbytes(3_000_000)
FILE = other_file(KEY, DATA, bits=BITS)
"""As long as several workers read at once."""


def run_within(seconds: float, function: Callable[[], Awaitable[None]], backend: str, uvloop: bool) -> None:
    """Run it in a thread that is left alone after the time: a wait that is shielded cannot be ended from outside."""
    ended: list[BaseException | None] = []

    def work() -> None:
        try:
            anyio.run(function, backend=backend, backend_options={"use_uvloop": True} if uvloop else {})
            ended.append(None)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert ended, f"something still waits after {seconds} s"
    if ended[0] is not None:
        raise ended[0]


@pytest.mark.parametrize(
    ("backend", "uvloop"),
    [("asyncio", False), ("asyncio", True), ("trio", False)],
    ids=["asyncio", "uvloop", "trio"],
)
def test_reads_cancelled_at_random_moments_all_end(backend: str, uvloop: bool) -> None:
    """Also while the chunks that a read waits for have not begun, because other reads keep the workers busy."""
    if uvloop or backend == "trio":
        pytest.importorskip("uvloop" if uvloop else "trio")
    moments = random.Random(20)

    async def main() -> None:
        async with keystore() as opened:
            await import_aes(opened, "key", KEY)
            async with opened.open_sealed("key", io.BytesIO(FILE)) as reader:
                for _ in range(100):
                    async with anyio.create_task_group() as tasks:
                        for _ in range(3):
                            tasks.start_soon(reader.read_at, moments.randrange(1 << BITS), len(DATA))
                        await anyio.sleep(moments.random() * 0.01)
                        tasks.cancel_scope.cancel()
                assert await reader.read_at(5, len(DATA)) == DATA[5:]
            assert await no_job_is_left(opened)

    run_within(120, main, backend, uvloop)
