from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from enactor.stores.memory import MemoryStore
from tests.outbox.receiver import Receiver
from tests.outbox.rig import Rig, present


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes everything."""
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A rig over the memory store; what it started is ended."""
    clock = present()
    rig = Rig(MemoryStore(clock), clock)
    yield rig
    await rig.close()
