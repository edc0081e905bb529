"""Each store against the port's suite."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.store import DurableStoreConformance, StoreConformance
from enactor.ports.store import Store
from enactor.stores.memory import MemoryStore
from enactor.stores.sqlite import SqliteStore


class TestMemoryStore(StoreConformance):
    """The reference."""

    @pytest.fixture
    def open_store(self, clock: ManualClock) -> Callable[[], Awaitable[Store]]:
        """A new store each time: memory keeps nothing."""

        async def open_store() -> Store:
            return MemoryStore(clock)

        return open_store


class TestSqliteStore(DurableStoreConformance):
    """The embedded default."""

    @pytest.fixture
    def open_store(self, clock: ManualClock, tmp_path: Path) -> Callable[[], Awaitable[Store]]:
        """The database of the test."""

        async def open_store() -> Store:
            return await SqliteStore.open(tmp_path / "enactor.db", clock=clock)

        return open_store
