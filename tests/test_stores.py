"""Each store against the port's suite."""

from collections.abc import Awaitable, Callable

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.store import StoreConformance
from enactor.ports.store import Store
from enactor.stores.memory import MemoryStore


class TestMemoryStore(StoreConformance):
    """The reference."""

    @pytest.fixture
    def open_store(self, clock: ManualClock) -> Callable[[], Awaitable[Store]]:
        """A new store each time: memory keeps nothing."""

        async def open_store() -> Store:
            return MemoryStore(clock)

        return open_store
