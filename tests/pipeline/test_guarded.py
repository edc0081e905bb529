"""Runs whose connector is guarded: put off durably, visible, stopped while they wait, and never burnt by a storm."""

import msgspec

from enactor.conformance.clocks import ManualClock
from enactor.conformance.target import Act
from enactor.conformance.world import AGENT, ANA, World, open_world
from enactor.domain.attempt import RunStatus
from enactor.domain.intent import ActionIntent, ExecutionPolicy
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import CallResult
from enactor.domain.principal import Role, person
from enactor.domain.time import rfc3339
from enactor.gateway.doors import GuardRules
from enactor.gateway.guards import Guards
from enactor.pipeline.driver import Driven, Driver, Progress
from enactor.pipeline.model import Earlier
from enactor.stores.memory import MemoryStore

OLA = person("ola", roles=frozenset({Role.OPERATOR, Role.AUDITOR}), tenant_id="acme")


async def guarded(**rules: object) -> World:
    """A world whose target is guarded."""
    clock = ManualClock()
    return await open_world(MemoryStore(clock), clock, guards=Guards(default=GuardRules(**rules)))  # type: ignore[arg-type]


async def again(world: World, driver: Driver, intent: ActionIntent, driven: Driven) -> Driven:
    """Comes back when the wait is over."""
    world.clock.advance(max(0, driven.until - world.clock.now_ms()) / 1000)
    return await driver.drive(world.request(intent), Earlier.SELF, driven.fence)


async def test_a_storm_of_429_burns_one_retry_of_one_run() -> None:
    """Twenty runs meet a target that is busy: one call is made, the others wait without a send, and all are done."""
    world = await guarded()
    world.target.script(Act.REFUSE)
    intents = [await world.approved("keyed", execution_policy=ExecutionPolicy(retry_count=1)) for _ in range(20)]
    driver = world.driver()
    waiting = [(intent, await driver.drive(world.request(intent))) for intent in intents]
    assert len(world.target.sent) == 1
    while waiting:
        intent, driven = waiting.pop(min(range(len(waiting)), key=lambda index: waiting[index][1].until))
        driven = await again(world, driver, intent, driven)
        if driven.progress is Progress.WAITING:
            waiting.append((intent, driven))
    assert [await world.status(intent) for intent in intents] == [RunStatus.SUCCEEDED] * 20
    assert len(world.target.sent) == 21
    results = [permit.result for intent in intents for permit in await world.permits(intent)]
    assert results.count(CallResult.REFUSED) == 1
    assert results.count(CallResult.DONE) == 20
    await world.verify()


async def test_why_and_until_when_is_said() -> None:
    """Explanation and timeline say what is in the way and until when; many deferrals are one line."""
    world = await guarded(failures=1, open_seconds=600, longest_open_seconds=600)
    world.target.script(Act.NOT_SENT)
    intent = await world.approved("unsafe", execution_policy=ExecutionPolicy(retry_count=1))
    driver = world.driver()
    driven = await driver.drive(world.request(intent))
    driven = await again(world, driver, intent, driven)
    why = "target is not called for now: a call failed"
    view = await world.service.inspection.execution(ANA, intent.action_intent_id)
    assert view.status == "RUNNING"
    assert view.explanation == f"Waits until {rfc3339(driven.until)}: {why}."
    assert view.error_code == "DOOR_CLOSED"
    lines = await world.service.inspection.timeline(ANA, intent.action_intent_id)
    assert lines[-1].text == f"Put off until {rfc3339(driven.until)}: {why}"
    world.clock.jump(-300)
    for _ in range(2):
        driven = await driver.drive(world.request(intent), Earlier.SELF, driven.fence)
        world.clock.jump((driven.until - world.clock.now_ms()) / 1000)
    driven = await driver.drive(world.request(intent), Earlier.SELF, driven.fence)
    lines = await world.service.inspection.timeline(ANA, intent.action_intent_id)
    assert lines[-1].text.startswith("Put off ")
    assert f" times, last until {rfc3339(driven.until)}: {why}" in lines[-1].text
    assert [line.event_type for line in lines].count("EXECUTION_DEFERRED") == 1
    assert [line.event_type for line in lines].count("TOOL_RETRY_SCHEDULED") == 1


async def test_a_run_that_waits_can_be_stopped() -> None:
    """A cancel and a switch end a run that a closed door put off, before the door opens and with nothing sent."""
    world = await guarded(failures=1)
    world.target.script(Act.NOT_SENT)
    opener = await world.approved("unsafe")
    driver = world.driver()
    await driver.drive(world.request(opener))
    cancelled, switched = await world.approved("unsafe"), await world.approved("unsafe")
    waits = {intent.action_intent_id: await driver.drive(world.request(intent)) for intent in (cancelled, switched)}
    assert {driven.progress for driven in waits.values()} == {Progress.WAITING}
    await world.service.decisions.cancel(AGENT, cancelled.action_intent_id, "no longer wanted")
    driven = await driver.drive(world.request(cancelled), Earlier.SELF, waits[cancelled.action_intent_id].fence)
    assert driven.status is RunStatus.CANCELLED
    report = await world.service.operations.set_switch(OLA, "tenant", enabled=True, reason="incident")
    assert switched.action_intent_id in {run.action_intent_id for run in report.blocked}
    driven = await driver.drive(world.request(switched), Earlier.SELF, waits[switched.action_intent_id].fence)
    assert (driven.status, (await world.outcome(switched)).error_code) == (RunStatus.CANCELLED, "KILL_SWITCH_ENABLED")
    assert world.target.sent == []


async def test_a_look_up_waits_for_the_door_and_settles() -> None:
    """The reply was lost and the door is closed: nothing is said to have been looked up until it has been."""
    world = await guarded(failures=1)
    world.target.script(Act.DO_AND_LOSE_REPLY)
    intent = await world.approved("searched")
    driver = world.driver()
    driven = await driver.drive(world.request(intent))
    assert (driven.progress, driven.status) == (Progress.WAITING, RunStatus.RUNNING)
    assert world.target.look_ups == 0
    assert LedgerEvent.LOOKUP_PERFORMED not in await world.events(intent)
    assert (await world.attempt(intent)).deferral_count == 0, "a look-up put off must not pass for a call put off"
    driven = await again(world, driver, intent, driven)
    assert driven.status is RunStatus.SUCCEEDED
    assert len(world.target.sent) == world.target.look_ups == 1


async def test_a_door_that_stays_closed_leaves_no_doubt_unsaid() -> None:
    """After ten minutes people hear of the doubt; the door opens, and the next look-up settles it."""
    world = await guarded(failures=1, open_seconds=900, longest_open_seconds=900)
    world.target.script(Act.DO_AND_LOSE_REPLY)
    intent = await world.approved("searched")
    await world.run(intent)
    assert await world.status(intent) is RunStatus.IN_DOUBT
    assert world.target.look_ups == 0
    world.clock.advance(3_600)
    driven = await world.driver().drive(world.request(intent))
    assert driven.status is RunStatus.SUCCEEDED
    deferred = [e for e in await world.entries(intent) if e.event_type is LedgerEvent.EXECUTION_DEFERRED]
    assert all(msgspec.json.decode(entry.data)["look_up"] for entry in deferred)
    await world.verify()
