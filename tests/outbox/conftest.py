from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from enactor.ports.store import Store
from enactor.stores.memory import MemoryStore
from enactor.stores.sqlite import SqliteStore
from tests.outbox.receiver import Receiver
from tests.outbox.rig import Rig, present


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a module's tests over the stores that its `STORES` names; over the memory store without it."""
    if "rig" in metafunc.fixturenames:
        metafunc.parametrize("rig", getattr(metafunc.module, "STORES", ["memory"]), indirect=True)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes everything."""
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """A rig over a store; what it started is ended."""
    clock = present()
    store: Store = MemoryStore(clock)
    if request.param == "sqlite":
        store = await SqliteStore.open(tmp_path / "enactor.db", clock=clock)
    rig = Rig(store, clock)
    yield rig
    await rig.close()
    await store.close()
