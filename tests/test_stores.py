"""Each store against the port's suite."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from enactor.conformance.aws.stores import opened
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store import DurableStoreConformance, SharedStoreConformance, StoreConformance
from enactor.conformance.store.intents import IntentSuite
from enactor.conformance.store.ledger import LedgerSuite
from enactor.conformance.store.permits import PermitSuite
from enactor.conformance.store.runs import RunSuite
from enactor.ports.store import Store
from enactor.stores.memory import MemoryStore
from enactor.stores.sqlite import SqliteStore, memory, state, strides, writer


class TestMemoryStore(StoreConformance):
    """The reference."""

    @pytest.fixture
    def open_store(self, clock: ManualClock) -> Callable[[], Awaitable[Store]]:
        """A new store each time: memory keeps nothing."""

        async def open_store() -> Store:
            return MemoryStore(clock)

        return open_store


class Sqlite:
    """The database of the test."""

    @pytest.fixture
    def open_store(self, clock: ManualClock, tmp_path: Path) -> Callable[[], Awaitable[Store]]:
        """Opens it."""

        async def open_store() -> Store:
            return await SqliteStore.open(tmp_path / "enactor.db", clock=clock)

        return open_store


class TestSqliteStore(Sqlite, DurableStoreConformance):
    """The embedded default."""


class TestSqliteStoreThatForgets(Sqlite, IntentSuite, PermitSuite, RunSuite, LedgerSuite):
    """The same with nothing kept in memory from one batch to the next, as long after an intent was last in use."""

    @pytest.fixture(autouse=True)
    def forget(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keeps no intent, makes every commit on the writer's thread, and indexes what is new every few entries."""
        monkeypatch.setattr(state, "_KEPT", 0)
        monkeypatch.setattr(memory, "_INTENTS_KEPT", 0)
        monkeypatch.setattr(memory, "_ANSWERS_KEPT", 0)
        monkeypatch.setattr(strides, "STRIDE", 3)
        monkeypatch.setattr(writer, "_QUICK_SECONDS", 0.0)


class TestDynamoStore(SharedStoreConformance):
    """The AWS store, against DynamoDB's emulator, whose requests are serialised."""

    @pytest.fixture
    def open_store(self, clock: ManualClock, dynamo: Any) -> Callable[[], Awaitable[Store]]:
        """Opens it."""

        async def open_store() -> Store:
            return await opened(dynamo, clock)

        return open_store
