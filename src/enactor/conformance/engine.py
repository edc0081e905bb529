"""The behavioural suite of the engine port. An engine is supported when its subclass of `EngineConformance` passes.

A subclass provides the fixtures `world`, over any store, and `make_engine`: a callable that makes an engine over a
world's store, which plays the part of a new process each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from enactor.conformance.target import Act, Killed, Point
from enactor.conformance.watched import Watched
from enactor.conformance.world import ANA, World, turns
from enactor.domain.attempt import RunStatus
from enactor.domain.intent import ActionIntent, ExecutionPolicy
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import CallResult
from enactor.ports.engine import Engine

MakeEngine = Callable[[World], Engine]

_START: Final = (LedgerEvent.EXECUTION_STARTED,)
_PERMIT: Final = (LedgerEvent.WRITE_PERMITTED, LedgerEvent.TOOL_INVOKED)
_RETRY: Final = (*_PERMIT, LedgerEvent.TOOL_RETRY_SCHEDULED)

# What happens → the tool, the target's script, and the ledger of the run, the same on every engine.
SCENARIOS: Final[dict[str, tuple[str, tuple[Act, ...], tuple[LedgerEvent, ...]]]] = {
    "done at once": ("keyed", (), (*_START, *_PERMIT, LedgerEvent.ACTION_EXECUTED)),
    "refused, then done": ("keyed", (Act.REFUSE,), (*_START, *_RETRY, *_PERMIT, LedgerEvent.ACTION_EXECUTED)),
    "refused for good": ("keyed", (Act.REFUSE_FOR_GOOD,), (*_START, *_PERMIT, LedgerEvent.ACTION_FAILED)),
    "refused to the last": (
        "keyed",
        (Act.REFUSE,) * 4,
        (*_START, *_RETRY, *_RETRY, *_RETRY, *_PERMIT, LedgerEvent.ACTION_FAILED),
    ),
    "reply lost, same key": (
        "keyed",
        (Act.DO_AND_LOSE_REPLY,),
        (*_START, *_RETRY, *_PERMIT, LedgerEvent.ACTION_EXECUTED),
    ),
    "reply lost, found": (
        "searched",
        (Act.DO_AND_LOSE_REPLY,),
        (*_START, *_PERMIT, LedgerEvent.LOOKUP_PERFORMED, LedgerEvent.ACTION_EXECUTED),
    ),
    "request lost, searched twice, called again": (
        "searched",
        (Act.LOSE_REQUEST,),
        (
            *_START,
            *_PERMIT,
            LedgerEvent.LOOKUP_PERFORMED,
            LedgerEvent.LOOKUP_PERFORMED,
            *_PERMIT,
            LedgerEvent.ACTION_EXECUTED,
        ),
    ),
    "reply lost, nobody knows": (
        "unsafe",
        (Act.DO_AND_LOSE_REPLY,),
        (*_START, *_PERMIT, LedgerEvent.EXECUTION_IN_DOUBT),
    ),
    "done in part, taken back": (
        "partial",
        (Act.DO_PARTLY,),
        (
            *_START,
            *_PERMIT,
            LedgerEvent.COMPENSATION_STARTED,
            *_PERMIT,
            LedgerEvent.COMPENSATION_COMPLETED,
            LedgerEvent.ACTION_FAILED,
        ),
    ),
}


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Returns when `check` says so. It waits for what is under way, never for time to pass."""
    while not await check():  # noqa: ASYNC110 - engines announce nothing of the kind
        await asyncio.sleep(0)


async def quiet(engine: Engine) -> None:
    """Returns when the engine has nothing queued and drives nothing."""
    await turns()
    while (info := engine.info()).queued or info.running:  # noqa: ASYNC110 - the port has this and no event
        await asyncio.sleep(0)


class EngineConformance:
    """Everything that every engine promises."""

    @pytest.fixture
    async def engine(self, world: World, make_engine: MakeEngine) -> Engine:
        """A started engine, which the world's use cases submit to."""
        engine = make_engine(world)
        await engine.start()
        world.service = world.service_with(engine)
        return engine

    @staticmethod
    async def ended(world: World, engine: Engine, intent: ActionIntent) -> RunStatus:
        """Lets time pass until the run has ended or is in doubt."""
        for _ in range(400):
            await quiet(engine)
            attempt = (await world.records(intent)).attempt
            if attempt is not None and attempt.status is not RunStatus.RUNNING:
                return attempt.status
            world.clock.advance(2)
        raise AssertionError(f"the run never ended: {await world.records(intent)}")

    # -- runs ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("scenario", SCENARIOS)
    async def test_the_same_scenario_leaves_the_same_ledger(self, world: World, engine: Engine, scenario: str) -> None:
        """Whoever schedules the steps, what happened and in which order is the same."""
        kind, script, events = SCENARIOS[scenario]
        world.target.script(*script)
        intent = await world.approved(kind)
        await self.ended(world, engine, intent)
        await engine.drain(5)
        assert tuple(await world.events(intent)) == events
        await world.verify()

    async def test_an_approval_delivered_many_times_runs_once(self, world: World, engine: Engine) -> None:
        """Fifty deliveries at once, and fifty after it is over: one start, one call."""
        intent = await world.approved("unsafe")
        execute = world.service.decisions.execute
        await asyncio.gather(*(execute(ANA, intent.action_intent_id) for _ in range(50)))
        await self.ended(world, engine, intent)
        await asyncio.gather(*(execute(ANA, intent.action_intent_id) for _ in range(50)))
        await quiet(engine)
        await engine.drain(5)
        assert (await world.events(intent)).count(LedgerEvent.EXECUTION_STARTED) == 1
        assert len(world.target.sent) == 1

    async def test_many_runs_each_once(self, world: World, engine: Engine) -> None:
        """A hundred intents at once are a hundred effects."""
        intents = await asyncio.gather(*(world.approved("keyed") for _ in range(100)))
        for intent in intents:
            assert await self.ended(world, engine, intent) is RunStatus.SUCCEEDED
        await engine.drain(5)
        assert len(world.target.made) == 100
        await world.verify()

    # -- coming back ---------------------------------------------------------------------------------------------

    async def test_everything_unfinished_is_recovered_at_start(self, world: World, make_engine: MakeEngine) -> None:
        """Approved and never begun, waiting for a retry, and out in a call when the process died: all of them end."""
        waiting, out, cut, unstarted = [await world.approved("keyed") for _ in range(4)]
        world.target.script(Act.REFUSE, Act.DIE)
        await world.driver().drive(world.request(waiting))
        with pytest.raises(Killed):
            await world.driver().drive(world.request(out))
        dying = Watched(world.store)
        dying.die_after = 1
        with pytest.raises(Killed):
            await world.driver(dying).drive(world.request(cut))
        assert [permit.result for permit in await world.permits(out)] == [CallResult.OPEN]
        engine = make_engine(world)
        await engine.start()
        for intent in (waiting, out, cut, unstarted):
            assert await self.ended(world, engine, intent) is RunStatus.SUCCEEDED
        await engine.drain(5)
        assert len(world.target.made) == 4
        await world.verify()

    async def test_a_retry_survives_its_process(self, world: World, make_engine: MakeEngine) -> None:
        """The wait of one process is kept by the next one, to the second."""
        world.target.script(Act.REFUSE)
        first = make_engine(world)
        await first.start()
        world.service = world.service_with(first)
        intent = await world.approved("keyed")
        await quiet(first)
        await first.drain(5)
        due = (await world.attempt(intent)).resume_at
        assert due > world.clock.now_ms()
        second = make_engine(world)
        await second.start()
        await quiet(second)
        assert len(world.target.sent) == 1
        assert await self.ended(world, second, intent) is RunStatus.SUCCEEDED
        await second.drain(5)
        assert world.target.sent[1].at >= due

    async def test_drain_lets_calls_come_back(self, world: World, engine: Engine) -> None:
        """What is out is recorded before the engine stops; nothing new is begun, and the next start takes it up."""
        out = await world.approved("unsafe")
        hold = world.target.hold(Point.REPLY)
        await hold.reached.wait()
        draining = asyncio.create_task(engine.drain(60))
        await turns()
        later = await world.approved("unsafe")
        assert not draining.done()
        hold.release()
        await draining
        assert await world.status(out) is RunStatus.SUCCEEDED
        assert (await world.records(later)).attempt is None
        assert not engine.info().accepting

    async def test_what_does_not_come_back_is_left_open(
        self, world: World, engine: Engine, make_engine: MakeEngine
    ) -> None:
        """A call that outlasts the drain keeps its permit open; the next start finds it, and says nothing false."""
        intent = await world.approved("unsafe")
        hold = world.target.hold(Point.SEND)
        await hold.reached.wait()
        await engine.drain(0)
        assert [permit.result for permit in await world.permits(intent)] == [CallResult.OPEN]
        second = make_engine(world)
        await second.start()
        assert await self.ended(world, second, intent) is RunStatus.IN_DOUBT
        await second.drain(5)
        assert world.target.sent == []

    # -- being told ----------------------------------------------------------------------------------------------

    async def test_a_switch_stops_what_waits_at_once(self, world: World, engine: Engine) -> None:
        """Not when its wait is over: a run that waits for a retry is ended as soon as the switch is turned."""
        world.target.script(Act.REFUSE)
        intent = await world.approved("keyed")
        await quiet(engine)
        await world.service.operations.set_switch(ANA, "tenant", enabled=True, reason="stop")
        await quiet(engine)
        assert await world.status(intent) is RunStatus.CANCELLED
        await engine.drain(5)
        assert len(world.target.sent) == 1

    async def test_a_cancel_stops_what_waits_at_once(self, world: World, engine: Engine) -> None:
        """The same for a cancel."""
        world.target.script(Act.REFUSE)
        intent = await world.approved("keyed", execution_policy=ExecutionPolicy(retry_count=9))
        await quiet(engine)
        await world.service.decisions.cancel(ANA, intent.action_intent_id)
        await quiet(engine)
        assert await world.status(intent) is RunStatus.CANCELLED
        await engine.drain(5)

    async def test_a_doubt_is_looked_up_again_by_itself(self, world: World, engine: Engine) -> None:
        """In doubt because a look-up could not tell; when it can, the engine finds out without being asked."""
        world.target.blind = True
        world.target.script(Act.DO_AND_LOSE_REPLY)
        intent = await world.approved("searched")
        assert await self.ended(world, engine, intent) is RunStatus.IN_DOUBT
        world.target.blind = False

        async def found() -> bool:
            world.clock.advance(5)
            await turns()
            return await world.status(intent) is RunStatus.SUCCEEDED

        await until(found)
        await engine.drain(5)
        assert len(world.target.sent) == 1

    async def test_nothing_is_run_that_nobody_approved(self, world: World, engine: Engine) -> None:
        """Word of an intent that waits, or of one that does not exist, changes nothing."""
        intent = await world.proposed("keyed")
        await engine.submit(world.request(intent))
        await engine.submit(world.request(await world.proposed("unsafe"), 7))
        await quiet(engine)
        await engine.drain(5)
        assert (await world.records(intent)).attempt is None
        assert world.target.sent == []
