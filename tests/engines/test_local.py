"""What the local engine promises besides the port's suite: bounds, fairness, the sweeper, and how it fails."""

import asyncio
import functools
import logging
from typing import Any

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.engine import quiet, until
from enactor.conformance.target import Act, Killed, Point
from enactor.conformance.watched import Watched
from enactor.conformance.world import World, open_world, turns
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import StoreFailed
from enactor.domain.intent import IntentStatus
from enactor.domain.ledger import LedgerEvent
from enactor.domain.principal import agent
from enactor.engines.local import LocalEngine
from enactor.stores.memory import MemoryStore

S = RunStatus.SUCCEEDED


@pytest.fixture
async def world() -> World:
    """A world whose engine the test makes."""
    clock = ManualClock()
    return await open_world(MemoryStore(clock), clock)


async def started(world: World, **options: Any) -> LocalEngine:
    """A started engine, whose timer and sweeper wait for their time."""
    engine = LocalEngine(world.driver(), world.store, world.clock, **options)
    await engine.start()
    await world.clock.until_asleep(2)
    return engine


async def test_never_more_at_once_than_it_may(world: World) -> None:
    """Twenty runs, three at a time; and all three places are used."""
    engine = await started(world, concurrency=3)
    gate = world.target.gate(Point.REPLY)
    for _ in range(20):
        await engine.submit(world.request(await world.approved("keyed")))
    await gate.reached.wait()
    await turns(60)
    info = engine.info()
    assert (info.kind, info.running, info.queued, info.waiting, info.accepting) == ("local", 3, 17, 0, True)
    gate.release()
    await quiet(engine)
    await engine.drain(5)
    assert (len(world.target.made), world.target.most_at_once) == (20, 3)


async def test_a_tenant_with_much_waiting_does_not_hold_up_another(world: World) -> None:
    """One place, ten runs of one tenant queued: another's two are not behind them all."""
    engine = await started(world, concurrency=1)
    gate = world.target.gate(Point.CHECK)
    for _ in range(10):
        await engine.submit(world.request(await world.approved("keyed")))
    await gate.reached.wait()
    for _ in range(2):
        intent = await world.approved("keyed", by=agent("robot", tenant_id="small"))
        await engine.submit(world.request(intent))
    gate.release()
    await quiet(engine)
    await engine.drain(5)
    order = [sent.tenant_id for sent in world.target.sent]
    assert len(order) == 12
    assert [at for at, tenant in enumerate(order) if tenant == "small"][-1] <= 4


@pytest.mark.parametrize("hops", range(6))
async def test_word_that_comes_as_the_last_worker_leaves(world: World, hops: int) -> None:
    """Whenever in the loop's turn a run is submitted, it is driven: no worker that has gone is counted on."""
    left = [world.request(await world.approved("keyed")) for _ in range(10)]
    tasks: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    def submit() -> None:
        tasks.append(loop.create_task(engine.submit(left.pop())))

    def next_one(_: str, __: RunStatus) -> None:
        step: Any = submit
        for _hop in range(hops):
            step = functools.partial(loop.call_soon, step)
        if left:
            loop.call_soon(step)

    engine = await started(world, concurrency=1, listener=next_one)
    await engine.submit(left.pop())
    for _ in range(20):
        await quiet(engine)
    await engine.drain(5)
    assert left == []
    assert len(world.target.made) == 10


async def test_the_listener_hears_of_ends_and_doubts(world: World) -> None:
    """Once for each, after it is durable; and nothing while a run goes on."""
    heard: list[tuple[str, RunStatus]] = []
    engine = await started(world, listener=lambda intent, status: heard.append((intent, status)))
    world.target.script(Act.REFUSE)
    retried = await world.approved("keyed")
    await engine.submit(world.request(retried))
    await quiet(engine)
    assert heard == []
    world.target.script(Act.LOSE_REQUEST)
    lost = await world.approved("unsafe")
    await engine.submit(world.request(lost))
    await quiet(engine)
    world.clock.advance(7)
    await quiet(engine)
    await engine.drain(5)
    assert heard == [(lost.action_intent_id, RunStatus.IN_DOUBT), (retried.action_intent_id, S)]


# -- the sweeper -----------------------------------------------------------------------------------------------------


async def test_what_nobody_submitted_is_found(world: World) -> None:
    """Approved, and the word of it lost: the next sweep begins it."""
    engine = await started(world, sweep_seconds=5)
    intent = await world.approved("keyed")
    await quiet(engine)
    assert (await world.records(intent)).attempt is None
    world.clock.advance(5)
    await quiet(engine)
    assert await world.status(intent) is S
    await engine.drain(5)


async def test_a_run_past_its_deadline_is_taken_over(world: World) -> None:
    """Left to its holder until then, and taken over soon after."""
    engine = await started(world, sweep_seconds=5)
    intent = await world.approved("keyed")
    world.target.script(Act.DO_AND_DIE)
    with pytest.raises(Killed):
        await world.driver().drive(world.request(intent))
    deadline = (await world.attempt(intent)).deadline_at
    while world.clock.now_ms() + 5_000 < deadline:
        world.clock.advance(5)
        await quiet(engine)
        assert await world.status(intent) is RunStatus.RUNNING
    world.clock.advance(10)
    await quiet(engine)
    world.clock.advance(10)
    await quiet(engine)
    assert await world.status(intent) is S
    assert LedgerEvent.LEASE_TAKEN_OVER in await world.events(intent)
    assert len(world.target.made) == 1
    await engine.drain(5)


async def test_housekeeping_is_done_at_every_sweep(world: World) -> None:
    """Expired intents are closed; and a housekeeping that fails is tried again, without harm to the sweeper."""
    calls = 0

    async def housekeeping() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("not this time")
        await world.service.decisions.expire_due()

    pending = await world.proposed("keyed", expires_in_seconds=1)
    engine = await started(world, sweep_seconds=5, housekeeping=housekeeping)
    world.clock.advance(5)
    await turns()
    assert (await world.records(pending)).intent.status is IntentStatus.PENDING_APPROVAL
    world.clock.advance(5)
    await turns()
    assert (await world.records(pending)).intent.status is IntentStatus.EXPIRED
    await engine.drain(5)


async def test_a_sweep_goes_through_every_page(world: World) -> None:
    """More unfinished runs than a page has are all found at start."""
    intents = [await world.approved("keyed") for _ in range(12)]
    due = world.store.due

    async def three_at_most(now_ms: int, limit: int, after: str = "") -> Any:
        return await due(now_ms, min(limit, 3), after)

    world.store.due = three_at_most  # type: ignore[method-assign]
    engine = await started(world)
    await quiet(engine)
    await engine.drain(5)
    assert len(world.target.made) == len(intents)


# -- failing ---------------------------------------------------------------------------------------------------------


async def test_a_run_that_surprises_does_not_stop_the_others(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It keeps its lock and is found past its deadline; the log names the error's type, and nothing of its text."""
    watched = Watched(world.store)
    failures = 1

    async def fail_once(number: int) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise RuntimeError("the secret is hunter2")

    engine = LocalEngine(world.driver(watched), world.store, world.clock)
    await engine.start()
    bad, good = await world.approved("keyed"), await world.approved("keyed")
    watched.between = fail_once
    with caplog.at_level(logging.DEBUG):
        await engine.submit(world.request(bad))
        await engine.submit(world.request(good))
        await quiet(engine)
    assert await world.status(good) is S
    assert "RuntimeError" in caplog.text
    assert "hunter2" not in caplog.text
    world.clock.advance(5)
    await quiet(engine)
    assert await world.status(bad) is S
    await engine.drain(5)


@pytest.mark.parametrize("where", ["commit", "due"])
async def test_a_store_that_cannot_be_trusted_stops_the_engine(world: World, where: str) -> None:
    """It takes nothing more, and says why to whoever runs the process."""
    engine = await started(world, sweep_seconds=5)
    intent = await world.approved("keyed")

    async def fail(*_: Any, **__: Any) -> Any:
        raise StoreFailed("The disk is gone.")

    setattr(world.store, where, fail)
    if where == "commit":
        await engine.submit(world.request(intent))
    world.clock.advance(5)
    assert engine.failed is not None
    with pytest.raises(StoreFailed):
        await engine.failed
    assert not engine.info().accepting
    await engine.drain(5)


async def test_drain_twice_and_submit_afterwards(world: World) -> None:
    """A drained engine takes nothing, and draining it again is nothing more."""
    engine = await started(world)
    await engine.drain(1)
    await engine.drain(1)
    intent = await world.approved("keyed")
    await engine.submit(world.request(intent))
    await turns()
    assert (await world.records(intent)).attempt is None
    assert engine.info().queued == 0


async def test_a_shared_store_gives_nobody_up_for_dead(world: World) -> None:
    """Where other processes may hold runs, what is unfinished at start is left to its holder until its deadline."""
    intent = await world.approved("searched")
    hold = world.target.hold(Point.REPLY)
    other = asyncio.create_task(world.driver().drive(world.request(intent)))
    await hold.reached.wait()
    engine = await started(world, exclusive=False)
    await quiet(engine)
    assert LedgerEvent.LEASE_TAKEN_OVER not in await world.events(intent)
    hold.release()
    assert (await other).status is S
    await engine.drain(5)


async def test_two_engines_over_one_store(world: World) -> None:
    """Both hear of everything; each intent is executed once."""
    engines = [await started(world, exclusive=False) for _ in range(2)]
    intents = [await world.approved("unsafe") for _ in range(30)]
    for intent in intents:
        for engine in engines:
            await engine.submit(world.request(intent, handed=True))

    async def over() -> bool:
        return all([(await world.records(i)).outcome is not None for i in intents])

    await until(over)
    for engine in engines:
        await quiet(engine)
        await engine.drain(5)
    assert len(world.target.sent) == len(world.target.made) == 30
