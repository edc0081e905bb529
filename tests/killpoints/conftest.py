"""A world in a process of its own."""

from collections.abc import AsyncIterator

import pytest

from killpoints.harness import WorldProcess


@pytest.fixture
async def world() -> AsyncIterator[WorldProcess]:
    """A world that does what it is asked to."""
    async with WorldProcess() as started:
        yield started
