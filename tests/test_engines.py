"""Each engine against the port's suite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.engine import EngineConformance, MakeEngine
from enactor.conformance.world import World, open_world
from enactor.engines.local import LocalEngine
from enactor.ports.engine import Engine
from enactor.stores.memory import MemoryStore
from enactor.stores.sqlite import SqliteStore
from tests.engines.interpreter import SimulatedAws


class TestLocalEngine(EngineConformance):
    """The engine in this process, over the stores of this process."""

    @pytest.fixture(params=["memory", "sqlite"])
    async def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
        """A world over either store."""
        clock = ManualClock()
        if request.param == "memory":
            store = MemoryStore(clock)
        else:
            store = await SqliteStore.open(tmp_path / "enactor.db", clock=clock)
        yield await open_world(store, clock)
        await store.close()

    @pytest.fixture
    def make_engine(self) -> MakeEngine:
        """A local engine."""

        def make(world: World) -> Engine:
            return LocalEngine(world.driver(), world.store, world.clock)

        return make


class TestStepFunctionsEngine(EngineConformance):
    """The generated state machine with the functions' code, over the memory store; `tests/aws` runs it on emulators."""

    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        """A world in memory."""
        clock = ManualClock()
        store = MemoryStore(clock)
        yield await open_world(store, clock)
        await store.close()

    @pytest.fixture
    def make_engine(self) -> MakeEngine:
        """Everything from the bus to the sweeper, simulated around the real parts."""

        def make(world: World) -> Engine:
            return SimulatedAws(world)

        return make
