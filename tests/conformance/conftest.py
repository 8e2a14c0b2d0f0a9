"""Keystores in memory, one of each profile."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import huks_async as huks


@pytest_asyncio.fixture
async def keystore() -> AsyncIterator[huks.Keystore]:
    """A keystore of the server profile."""
    async with huks.Keystore.open("memory:", profile="server", monitor=False) as opened:
        yield opened


@pytest_asyncio.fixture
async def device() -> AsyncIterator[huks.Keystore]:
    """A keystore of the device profile."""
    async with huks.Keystore.open("memory:", profile="device", monitor=False) as opened:
        yield opened


@pytest_asyncio.fixture(params=["server", "device"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[huks.Keystore]:
    """A keystore of each profile in turn."""
    async with huks.Keystore.open("memory:", profile=request.param, monitor=False) as opened:
        yield opened
