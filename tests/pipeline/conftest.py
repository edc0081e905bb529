"""A world over each store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.world import World, open_world
from enactor.stores.memory import MemoryStore
from enactor.stores.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Everything a test of runs needs, with nobody who drives runs but the test."""
    clock = ManualClock()
    if request.param == "memory":
        store = MemoryStore(clock)
    else:
        store = await SqliteStore.open(tmp_path / "enactor.db", clock=clock)
    yield await open_world(store, clock)
    await store.close()


@pytest.fixture
async def fast_world() -> World:
    """The same over the memory store alone, for tests that try many things."""
    clock = ManualClock()
    return await open_world(MemoryStore(clock), clock)
