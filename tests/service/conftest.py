"""A world over the memory store, for the use cases of proposers and approvers."""

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.world import World, open_world
from enactor.service import Limits
from enactor.stores.memory import MemoryStore


@pytest.fixture
async def world() -> World:
    """The default limits, and policies that allow what roles allow."""
    clock = ManualClock()
    return await open_world(MemoryStore(clock), clock, limits=Limits())
