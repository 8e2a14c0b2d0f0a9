"""Short forms of `python -m tests.adversity.sealed_files`, and the streams under every event loop."""

import random

import anyio
import pytest

from tests.adversity import sealed_files
from tests.files.support import keystore, seal, unseal


@pytest.mark.asyncio
async def test_random_chunkings_and_cancellations() -> None:
    """Pieces of any size come back right; what is left or cancelled leaves nothing."""
    random.seed(20)
    assert (await sealed_files.chunkings(60)).wrong == 0


@pytest.mark.asyncio
async def test_random_ranges_of_full_chunks() -> None:
    """Ranges of a file with chunks of the usual size, and no chunk opened in vain."""
    random.seed(21)
    assert (await sealed_files.ranges(60, 5)).wrong == 0


@pytest.mark.parametrize(
    ("backend", "options"),
    [("asyncio", {}), ("asyncio", {"use_uvloop": True}), ("trio", {})],
    ids=["asyncio", "uvloop", "trio"],
)
def test_event_loops(backend: str, options: dict[str, bool]) -> None:
    """Streams work the same under asyncio, uvloop and trio, left early and cancelled, too."""
    data = random.Random(22).randbytes(3_000_000)

    async def run() -> None:
        async with keystore("aes-gcm") as opened:
            sealed = await seal(opened, "aes-gcm", data)
            assert await unseal(opened, "aes-gcm", sealed[:70_000], sealed[70_000:]) == data
            for step in range(8):
                with anyio.move_on_after(step * 0.0005):
                    await unseal(opened, "aes-gcm", sealed)
            assert opened.statistics().open == 0

    anyio.run(run, backend=backend, backend_options=options)
