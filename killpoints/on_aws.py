"""Enactor on AWS as a subject: functions that die before and after each write and call, while the state machine lives.

Simulated, and labelled so: the store is the DynamoDB store over the emulator (moto, one request at a time), the state
machine is the generated definition in our own interpreter, and a function is a step that runs in this process. It dies
by an exception that nothing catches on the way, as if its process were gone; what it held in memory is forgotten with
it, and the definition's retries and catches decide what comes next. The world, the tools, the points and the oracle
are those of every other section.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from enactor import Limits, agent, person
from enactor.conformance.aws import Emulator
from enactor.conformance.aws.emulator import CREDENTIALS
from enactor.conformance.aws.stores import client_of, opened
from enactor.conformance.target import Killed
from enactor.conformance.world import World
from enactor.domain.attempt import TERMINAL, RunStatus
from enactor.domain.intent import ExecutionPolicy
from enactor.gateway.guards import GuardedPlane
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.secrets import EnvFileSecrets
from enactor.pipeline.driver import Driver
from enactor.pipeline.model import Context
from enactor.policies.cedar import CedarPolicyEngine
from enactor.ports.clock import Ids
from enactor.ports.store import Store
from enactor.service import Core, Proposal, Service
from enactor.system import SystemClock, SystemRandomness
from enactor.wiring.faults import FaultyPlane, FaultyStore
from killpoints.combinations import Combination, combinations, half, lost
from killpoints.harness import WorldProcess
from killpoints.judge import judge
from killpoints.kinds import KINDS, MAX_PAUSE_MS, an_order, call_window_ms
from killpoints.matrix import CONVERGE_SECONDS, RETRIES, Cell, Cut
from killpoints.oracle import allowed, blinded, broken_off
from killpoints.subjects.enactor_program import GUARDS, SETTINGS, said
from killpoints.subjects.enactor_shop import Shop
from tests.engines.interpreter import SimulatedAws

SWEEP_SECONDS = 1.0
"""The sweeper's schedule here; deployed it is a minute."""

_LOOK_SECONDS = 0.25
"""How often an order is looked at."""

_KINDS = ("keyed", "searched", "unsafe")
_BEHAVIOURS = ("does it", "commits, drops the reply", "500 before commit", "loses the request")
_ROBOT, _ANA = agent("robot"), person("ana")


class Dying:
    """The functions' fault points: each is noted, and at the cut's own the function that reaches it dies."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._seen: Counter[str] = Counter()
        self.journal: list[str] = []
        self.points: list[tuple[str, int]] = []
        self.reached_it = False

    async def reached(self, point: str) -> None:
        """The same as `passed`."""
        self.passed(point)

    def passed(self, point: str) -> None:
        """Notes the point. Raises `Killed` if it is the cut's."""
        self._seen[point] += 1
        self.journal.append(point)
        self.points.append((point, self._seen[point]))
        if (point, self._seen[point]) == (self._cut.point, self._cut.occurrence):
            self.reached_it = True
            self.journal.append("killed")
            raise Killed


class Account(SimulatedAws):
    """One order's AWS, with a sweeper that comes more often than a deployed one."""

    def __init__(self, *given: Any, sweeps: bool = False, **more: Any) -> None:
        super().__init__(*given, **more)
        self._sweeps = sweeps

    async def _keep_sweeping(self) -> None:
        while self._sweeps:
            await self._engine.sweep()
            await self._world.clock.sleep(SWEEP_SECONDS)


class OnAws:
    """Runs cells, each with an order of its own, over one set of tables."""

    def __init__(self, store: Store, world: WorldProcess, folder: Path, at_once: int) -> None:
        self._store = store
        self._world = world
        self._folder = folder
        self._gate = asyncio.Semaphore(at_once)
        self._clock, self._randomness = SystemClock(), SystemRandomness()
        self._ids = Ids(self._clock, self._randomness)
        self._numbers = 0

    async def prepare(self) -> Account:
        """Registers the tools, and begins to sweep for all orders. Returns who sweeps."""
        shop = Shop(self._world.url, self._folder)
        plane = self._plane(shop)
        sweeper = self._account(plane, self._store, sweeps=True)
        await self._service(plane, sweeper).registry.ensure_defaults(plane.action_types())
        await sweeper.start()
        return sweeper

    def _plane(self, shop: Shop) -> InProcessToolPlane:
        return InProcessToolPlane([shop], EnvFileSecrets({}))

    def _context(self, window_ms: int) -> Context:
        settings = msgspec.structs.replace(SETTINGS, max_pause_ms=MAX_PAUSE_MS, call_window_ms=window_ms)
        return Context(self._clock, self._ids, self._randomness, settings)

    def _account(self, plane: Any, store: Store, *, window_ms: int = 30_000, sweeps: bool = False) -> Account:
        driver = Driver(store, GuardedPlane(plane, GUARDS, self._clock), self._context(window_ms))
        around = SimpleNamespace(store=self._store, clock=self._clock)
        return Account(cast(World, around), driver=driver, sweeps=sweeps)

    def _service(self, plane: Any, aws: Account) -> Service:
        core = Core(
            store=self._store,
            tools=GuardedPlane(plane, GUARDS, self._clock),
            engine=aws,
            policy=CedarPolicyEngine(),
            clock=self._clock,
            ids=self._ids,
            randomness=self._randomness,
            limits=Limits(max_pending_of_proposer=10_000, max_pending_of_tenant=10_000),
            transforms={},
        )
        return Service(core, self._context(30_000))

    async def run(self, combination: Combination, cut: Cut, *, start_up: bool = False) -> Cell:
        """Runs one cell and judges it, as soon as there is room for it."""
        async with self._gate:
            return await self._run(combination, cut)

    async def _run(self, combination: Combination, cut: Cut) -> Cell:
        self._numbers += 1
        order = f"order-{self._numbers}."
        folder = self._folder / order
        folder.mkdir()
        await self._world.plan({order: combination.plan()})
        dying = Dying(cut)
        shop = Shop(self._world.url, folder, {combination.kind})
        plane = self._plane(shop)
        faulty = FaultyPlane(plane, dying)
        # Whoever takes over a function's call waits until it cannot be sent any more: nobody here is slower than that.
        window = call_window_ms(combination.kind, paused=True)
        aws = self._account(faulty, cast(Store, FaultyStore(self._store, dying)), window_ms=window)
        service = self._service(plane, aws)
        trouble: list[str] = []
        name = await self._submitted(service, combination, order)
        try:
            async with asyncio.timeout(CONVERGE_SECONDS):
                await self._settled(service, name, searched=bool(KINDS[combination.kind].get("look_up")))
        except TimeoutError:
            trouble.append(f"it did not converge within {CONVERGE_SECONDS:g} s")
        view = await service.inspection.execution(_ANA, name)
        refs = [ref.object_id for ref in view.external_object_refs]
        says = {"says": said(view), "refs": refs, "detail": f"{view.status} {view.error_code or ''}"}
        await aws.drain(0)
        await shop.aclose()
        seen = (await self._world.seen(order)).get(order, {})
        honest = allowed(combination.kind, seen, dying.journal)
        honest = broken_off(folder, order, combination.kind, blinded(folder, order, honest, seen), seen)
        tally = judge(order, says, seen, honest)
        tally.false += len(trouble)
        tally.faults = [f"{combination.kind}, {combination.behaviour}, {cut}: {it}" for it in tally.faults + trouble]
        shutil.rmtree(folder)
        return Cell(combination, cut, tally, dying.points, dying.reached_it or not cut.point)

    async def _submitted(self, service: Service, combination: Combination, order: str) -> str:
        """The id of the order's intent, approved."""
        wanted = an_order(order, combination.kind, (*combination.effect, *combination.undo))
        proposal = Proposal(
            action_type=f"SHOP_{combination.kind.upper()}",
            account_id="north",
            parameters={"order": order},
            execution_policy=ExecutionPolicy(retry_count=RETRIES, timeout_seconds=wanted["timeout"]),
        )
        intent = (await service.proposals.propose(_ROBOT, proposal, idempotency_key=order)).intent
        await service.decisions.approve(_ANA, intent.action_intent_id, intent.approval_digest)
        return intent.action_intent_id

    async def _settled(self, service: Service, name: str, *, searched: bool) -> None:
        """Waits for an end, or for a doubt that no look-up can end."""
        while True:
            status = (await service.inspection.execution(_ANA, name)).status
            if status in TERMINAL or (status == RunStatus.IN_DOUBT and not searched):
                return
            await asyncio.sleep(_LOOK_SECONDS)


def chosen(*, quick: bool) -> list[Combination]:
    """What is run: of the full matrix, the promises and behaviours that lead different ways through the states."""
    if quick:
        return [lost("keyed"), lost("unsafe"), half("partial", "undoes it, drops the reply")]
    found = [each for each in combinations() if each.kind in _KINDS and each.behaviour in _BEHAVIOURS]
    return [*found, half("partial", "undoes it"), half("partial", "undoes it, drops the reply")]


@asynccontextmanager
async def on_aws(folder: Path, at_once: int) -> AsyncIterator[OnAws]:
    """The emulator with the store's tables, the world, and what runs cells over them."""
    logging.getLogger("enactor").setLevel(logging.CRITICAL)
    os.environ.update(CREDENTIALS)
    with Emulator() as emulator:
        client = await asyncio.to_thread(client_of, emulator)
        store = await opened(client, SystemClock())
        async with WorldProcess() as world:
            cells = OnAws(cast(Store, store), world, folder, at_once)
            sweeper = await cells.prepare()
            try:
                yield cells
            finally:
                await sweeper.drain(0)
                await store.close()
                client.close()
