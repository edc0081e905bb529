"""Two workers handed the same run on purpose, one of them paused where it hurts."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from enactor.conformance.target import Act, Hold, Point
from enactor.conformance.world import ANA, BEA, World
from enactor.domain.attempt import RunStatus
from enactor.domain.intent import ActionIntent, ExecutionPolicy
from enactor.domain.ledger import LedgerEntry, LedgerEvent
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import CallResult, SettledBy
from enactor.pipeline.driver import Driven, Progress
from enactor.pipeline.model import Earlier
from enactor.ports.engine import RunRequest

S, F, D = RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.IN_DOUBT


async def until(hold: Hold, task: asyncio.Task[Any]) -> None:
    """Returns when the call of `task` has come to the hold. What ended the task before is raised."""
    reached = asyncio.ensure_future(hold.reached.wait())
    await asyncio.wait({reached, task}, return_when=asyncio.FIRST_COMPLETED)
    reached.cancel()
    if task.done():
        raise AssertionError(f"the call never came there: {task.result()}")


async def paused(
    world: World, intent: ActionIntent, point: Point, call_no: int = 1
) -> tuple[asyncio.Task[Driven], Hold]:
    """A worker that has gone as far as `point` and stands still."""
    hold = world.target.hold(point, call_no)
    driving: Coroutine[Any, Any, Driven] = world.driver().drive(world.request(intent))
    task = asyncio.create_task(driving)
    await until(hold, task)
    return task, hold


async def hasty(world: World, kind: str) -> ActionIntent:
    """An approved intent whose holder is presumed lost after six seconds: well before his pause may be over."""
    world.ctx.settings = msgspec.structs.replace(world.settings, grace_ms=0)
    return await world.approved(kind, execution_policy=ExecutionPolicy(timeout_seconds=1))


async def past_deadline(world: World, intent: ActionIntent) -> None:
    """Moves on to where the run's holder is presumed lost."""
    left = (await world.attempt(intent)).deadline_at - world.clock.now_ms()
    world.clock.advance(max(0, left) / 1000)


def late(entries: tuple[LedgerEntry, ...]) -> list[dict[str, Any]]:
    """What the ledger says of late results."""
    return [msgspec.json.decode(e.data) for e in entries if e.event_type is LedgerEvent.LATE_RESULT]


@pytest.mark.parametrize("point", [Point.CHECK, Point.SEND, Point.REPLY])
async def test_the_second_one_waits_until_the_first_is_overdue(world: World, point: Point) -> None:
    """A run that somebody holds is left to him until its deadline; nothing of it changes meanwhile."""
    intent = await world.approved("keyed")
    first, hold = await paused(world, intent, point)
    before = await world.records(intent)
    second = await world.driver().drive(world.request(intent))
    assert (second.progress, second.until) == (Progress.WAITING, (await world.attempt(intent)).deadline_at)
    assert await world.records(intent) == before
    hold.release()
    assert (await first).status is S
    assert len(world.target.made) == 1


@pytest.mark.parametrize("kind", ["keyed", "searched", "never_final", "unsafe"])
async def test_paused_before_the_check_it_sends_nothing(world: World, kind: str) -> None:
    """Whoever finds at its check that it is too late sends nothing, and says so, late as it is."""
    intent = await world.approved(kind)
    first, hold = await paused(world, intent, Point.CHECK)
    await past_deadline(world, intent)
    second = await world.driver().drive(world.request(intent))
    hold.release()
    await first
    assert late(await world.entries(intent))[0]["result"] == "NOT_SENT"
    if second.progress is Progress.WAITING and second.status is not D:
        world.clock.advance(200)
        await world.run(intent)
    calls = 0 if kind in ("never_final", "unsafe") else 1
    assert len(world.target.sent) == len(world.target.made) == calls
    assert await world.status(intent) is (S if calls else F)
    await world.verify()


async def test_how_long_the_second_one_waits(world: World) -> None:
    """Exactly until `call_not_after` and `max_pause` have passed; a caller proven dead needs no waiting."""
    intent = await hasty(world, "searched")
    first, hold = await paused(world, intent, Point.SEND)
    permit = (await world.permits(intent))[0]
    await past_deadline(world, intent)
    driven = await world.driver().drive(world.request(intent))
    assert driven.progress is Progress.WAITING
    assert driven.until == permit.call_not_after + world.settings.max_pause_ms
    assert world.target.look_ups == 0
    hold.release()
    await first
    assert (await world.attempt(intent)).status is RunStatus.RUNNING, "the taker-over has the run, and finds it done"
    assert (await world.run(intent)).status is S

    other = await world.approved("searched")
    first, hold = await paused(world, other, Point.SEND)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    driven = await world.driver().drive(world.request(other), Earlier.DEAD)
    assert world.target.look_ups == 1
    assert driven.until == (await world.permits(other))[0].call_not_after + 30_000


@pytest.mark.parametrize("kind", ["keyed", "keyed_searched", "searched"])
@pytest.mark.parametrize("point", [Point.SEND, Point.REPLY])
async def test_both_finish_and_there_is_one_effect(world: World, kind: str, point: Point) -> None:
    """The second finishes, then the first wakes up and has done it too: one object, one outcome, no incident."""
    intent = await hasty(world, kind)
    first, hold = await paused(world, intent, point)
    await past_deadline(world, intent)
    taker = world.driver()
    driven = await taker.drive(world.request(intent))
    if driven.progress is Progress.WAITING:
        # Not longer than a pause may be.
        hold.release()
        await first
        driven = await world.run(intent, driver=taker)
    else:
        assert driven.status is S
        hold.release()
        await first
    assert await world.status(intent) is S
    assert len(set(world.target.made)) == 1
    assert [entry["incident"] for entry in late(await world.entries(intent))] == [False]
    assert len(await world.store.outcomes(intent.tenant_id, intent.action_intent_id)) == 1
    events = await world.events(intent)
    assert events.count(LedgerEvent.ACTION_EXECUTED) == 1
    assert LedgerEvent.LEASE_TAKEN_OVER in events
    assert LedgerEvent.IDEMPOTENCY_COLLISION_DETECTED not in events
    await world.verify()


async def test_a_late_result_settles_a_doubt(world: World) -> None:
    """UNSAFE: the taker-over calls nothing and says that it does not know; then the first one's reply arrives."""
    intent = await world.approved("unsafe")
    first, hold = await paused(world, intent, Point.REPLY)
    await past_deadline(world, intent)
    assert (await world.driver().drive(world.request(intent))).status is D
    hold.release()
    assert (await first).status is S
    outcomes = await world.store.outcomes(intent.tenant_id, intent.action_intent_id)
    assert [(o.outcome_revision, o.status) for o in outcomes] == [(1, D), (2, S)]
    assert [ref.object_id for ref in outcomes[1].external_object_refs] == world.target.objects()
    (permit,) = await world.permits(intent)
    assert (permit.result, permit.settled_by, permit.taken_over) == (CallResult.DONE, SettledBy.LATE_RESULT, True)
    assert len(world.target.sent) == 1
    await world.verify()


async def test_a_late_refusal_settles_a_doubt_too(world: World) -> None:
    """The first one was refused after all: the run failed, nothing is in doubt, and the record says why."""
    world.target.script(Act.REFUSE)
    intent = await world.approved("unsafe")
    first, hold = await paused(world, intent, Point.SEND)
    await past_deadline(world, intent)
    assert (await world.driver().drive(world.request(intent))).status is D
    hold.release()
    assert (await first).status is F
    (permit,) = await world.permits(intent)
    assert (permit.result, permit.settled_by) == (CallResult.REFUSED, SettledBy.LATE_RESULT)
    assert "look-up" not in str((await world.outcome(intent)).error_message)


async def test_a_late_unknown_settles_nothing(world: World) -> None:
    """A late reply that says nothing is recorded, and the doubt stays."""
    world.target.script(Act.DO_AND_LOSE_REPLY)
    intent = await world.approved("unsafe")
    first, hold = await paused(world, intent, Point.REPLY)
    await past_deadline(world, intent)
    await world.driver().drive(world.request(intent))
    hold.release()
    await first
    assert await world.status(intent) is D
    assert late(await world.entries(intent))[0]["result"] == "UNKNOWN"


async def test_a_late_result_after_not_executed_is_an_incident(world: World) -> None:
    """A person was wrong: the ledger says so, the outcome stays, and a replay calls nothing a second time."""
    intent = await world.approved("unsafe")
    first, hold = await paused(world, intent, Point.REPLY)
    await past_deadline(world, intent)
    await world.driver().drive(world.request(intent))
    resolve = world.service.operations.resolve
    await resolve(ANA, intent.action_intent_id, executed=False, comment="Nothing is there.")
    assert await world.status(intent) is F
    hold.release()
    await first
    assert late(await world.entries(intent))[0]["incident"] is True
    assert await world.status(intent) is F
    (permit,) = await world.permits(intent)
    assert (permit.result, permit.settled_by) == (CallResult.DONE, SettledBy.LATE_RESULT)

    number = await world.service.operations.replay(ANA, intent.action_intent_id, "again")
    assert (await world.run(intent, number)).status is S
    assert len(world.target.sent) == 1, "the replay found what had been done"
    await world.verify()


async def test_a_late_result_after_a_replay_is_an_incident(world: World) -> None:
    """A person was wrong, and a replay has done it again: both are in the ledger, each under its own run and trace."""
    intent = await world.approved("unsafe")
    first, hold = await paused(world, intent, Point.REPLY)
    trace = (await world.attempt(intent)).trace_id
    await past_deadline(world, intent)
    await world.driver().drive(world.request(intent))
    operations = world.service.operations
    await operations.resolve(ANA, intent.action_intent_id, executed=False, comment="Nothing is there.")
    number = await operations.replay(ANA, intent.action_intent_id, "again")
    await world.run(intent, number)
    before = await world.records(intent)
    hold.release()
    await first
    assert (await world.records(intent)).attempt == before.attempt
    entries = await world.entries(intent)
    assert late(entries)[0]["incident"] is True
    (entry,) = [e for e in entries if e.event_type is LedgerEvent.LATE_RESULT]
    assert (entry.run_number, entry.trace_id) == (1, trace)
    assert LedgerEvent.IDEMPOTENCY_COLLISION_DETECTED in await world.events(intent)
    assert (await world.outcome(intent)).external_object_refs[0].object_id == "order-2"
    await world.verify()


async def test_a_late_result_after_executed_confirms_it(world: World) -> None:
    """A person was right, and named the object: no incident. Naming another one is a collision."""
    for named, incident in (("order-1", False), ("order-x", True)):
        intent = await world.approved("unsafe")
        first, hold = await paused(world, intent, Point.REPLY)
        await past_deadline(world, intent)
        await world.driver().drive(world.request(intent))
        ref = ObjectRef(system="target", object_type="order", object_id=named)
        resolve = world.service.operations.resolve
        await resolve(ANA, intent.action_intent_id, executed=True, refs=(ref,), comment="I looked.")
        hold.release()
        await first
        entries = await world.entries(intent)
        assert late(entries)[0]["incident"] is incident
        collisions = [e for e in entries if e.event_type is LedgerEvent.IDEMPOTENCY_COLLISION_DETECTED]
        assert len(collisions) == incident
        assert (await world.outcome(intent)).external_object_refs[0].object_id == named
        assert await world.status(intent) is S


async def test_a_collision_is_recorded_and_nothing_overwritten(world: World) -> None:
    """A target that broke its promise made two objects under one key: both are in the ledger, one in the record."""
    world.target.script(Act.DO_ELSEWHERE, Act.DO_ELSEWHERE)
    intent = await world.approved("keyed")
    first, hold = await paused(world, intent, Point.REPLY)
    await past_deadline(world, intent)
    assert (await world.driver().drive(world.request(intent))).status is S
    before = await world.records(intent)
    hold.release()
    await first
    assert await world.records(intent) == before
    (collision,) = [
        msgspec.json.decode(e.data)
        for e in await world.entries(intent)
        if e.event_type is LedgerEvent.IDEMPOTENCY_COLLISION_DETECTED
    ]
    assert collision["known_refs"] == [["target", "order", "elsewhere-2"]]
    assert collision["reported_refs"] == [["target", "order", "elsewhere-1"]]
    assert late(await world.entries(intent))[0]["incident"] is True


async def test_a_look_up_that_was_wrong_is_an_incident(world: World) -> None:
    """The target said that nothing was there, and made it after all: two objects, and the ledger says so."""
    world.target.script(Act.DO_LATER)
    intent = await world.approved("searched")
    hold = world.target.hold(Point.CHECK, 2)
    running = asyncio.create_task(world.run(intent))
    await until(hold, running)
    (first, _) = await world.permits(intent)
    assert first.settled_by is SettledBy.LOOKUP_ABSENT
    world.target.land()
    hold.release()
    await running
    assert len(world.target.made) == 2
    assert await world.status(intent) is S


@pytest.mark.parametrize("dies", [False, True])
async def test_a_pause_of_its_own_counts_too(world: World, dies: bool) -> None:
    """Paused between check and send, and nobody took over: the call left late, and lands later still. It is waited for.

    Whether the caller hears nothing or dies there, an absence is final only so long after it was gone.
    """
    world.target.script(Act.DO_LATER)
    intent = await world.approved("searched")
    hold = world.target.hold(Point.SEND)
    driver = world.driver()
    task = asyncio.create_task(driver.drive(world.request(intent)))
    await until(hold, task)
    world.clock.advance(50)
    if dies:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        driven = await driver.drive(world.request(intent), Earlier.DEAD)
    else:
        hold.release()
        driven = await task
    assert driven.progress is Progress.WAITING
    assert driven.until == world.clock.now_ms() + 30_000
    world.target.land()
    assert (await world.run(intent, driver=driver, earlier=Earlier.DEAD)).status is S
    assert len(world.target.made) == 1
    await world.verify()


async def test_a_result_that_comes_while_somebody_gives_up_is_not_lost(world: World) -> None:
    """The taker-over is about to say that it does not know; the reply arrives first, and is what is recorded."""
    intent = await hasty(world, "searched")
    first, hold = await paused(world, intent, Point.REPLY)
    await past_deadline(world, intent)
    taker = world.driver()
    driven = await taker.drive(world.request(intent))
    world.clock.advance((driven.until - world.clock.now_ms()) / 1000)
    world.target.blind = True
    looking = world.target.hold(Point.LOOK_UP)
    second = asyncio.create_task(taker.drive(world.request(intent), Earlier.SELF, driven.fence))
    await until(looking, second)
    hold.release()
    await first
    looking.release()
    assert (await second).status is S
    outcomes = await world.store.outcomes(intent.tenant_id, intent.action_intent_id)
    assert [(o.outcome_revision, o.status) for o in outcomes] == [(1, S)]
    assert len(world.target.made) == 1


async def test_a_partial_result_that_comes_late_is_not_success(world: World) -> None:
    """What is known late to be done in part ends the run as FAILED with what was made, and says that it stands."""
    world.target.script(Act.DO_PARTLY)
    intent = await world.approved("partial_unsafe")
    first, hold = await paused(world, intent, Point.REPLY)
    await past_deadline(world, intent)
    assert (await world.driver().drive(world.request(intent))).status is D
    hold.release()
    await first
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.error_code) == (F, "PARTIAL_EFFECT")
    assert [ref.object_id for ref in outcome.external_object_refs] == world.target.objects()
    assert not world.target.taken_back
    await world.verify()


async def test_a_partial_result_that_comes_late_to_a_running_run_is_taken_back(world: World) -> None:
    """While somebody else still has the run, what turns out to be partial is taken back by him."""
    world.target.script(Act.DO_PARTLY, Act.LOSE_REQUEST)
    intent = await world.approved("partial")
    first, hold = await paused(world, intent, Point.REPLY)
    await past_deadline(world, intent)
    taker = world.driver()
    driven = await taker.drive(world.request(intent))
    assert driven.progress is Progress.WAITING
    hold.release()
    await first
    await world.run(intent, driver=taker, earlier=Earlier.UNKNOWN)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.compensation_status) == (F, "COMPLETED")
    assert world.target.taken_back == world.target.objects()


async def test_a_fenced_worker_writes_nothing_of_its_own(world: World) -> None:
    """Everything a fenced-off worker can leave behind is its late result: lock, outcome and permit are the other's."""
    intent = await world.approved("keyed")
    first, hold = await paused(world, intent, Point.REPLY)
    await past_deadline(world, intent)
    await world.driver().drive(world.request(intent))
    before, position = await world.records(intent), await world.store.last_position()
    hold.release()
    await first
    assert await world.records(intent) == before
    (entry,) = await world.store.entries_after(position, 10)
    assert entry.event_type is LedgerEvent.LATE_RESULT


async def test_two_that_find_a_replay_uncalled(world: World) -> None:
    """A lock without a call may be found by two: one takes it up, the other neither calls nor ends the run."""
    world.target.script(Act.REFUSE_FOR_GOOD)
    intent = await world.approved("unsafe")
    await world.run(intent)
    number = await world.service.operations.replay(ANA, intent.action_intent_id, "stock is back")
    hold = world.target.hold(Point.SEND, 2)
    reading = world.driver()
    uncalled, _ = await reading.read(world.request(intent, number))
    first = asyncio.create_task(world.driver().drive(world.request(intent, number)))
    await until(hold, first)
    await world.service.operations.set_switch(BEA, "tenant", enabled=True, reason="stop")

    async def read_earlier(request: RunRequest) -> Any:
        del reading.read
        _, reads = await reading.read(request)
        return uncalled, reads

    reading.read = read_earlier  # type: ignore[method-assign, assignment]
    driven = await reading.drive(world.request(intent, number))
    assert driven.progress is Progress.WAITING, "the other one has it"
    assert await world.status(intent) is RunStatus.RUNNING
    hold.release()
    assert (await first).status is S
    assert len(world.target.made) == 1


async def test_a_holder_who_was_taken_over_while_he_waited(world: World) -> None:
    """He comes back after his wait and finds another fence: the run is not his any more, and he leaves it alone."""
    world.target.script(Act.REFUSE, Act.REFUSE)
    intent = await world.approved("keyed")
    mine = await world.driver().drive(world.request(intent))
    await past_deadline(world, intent)
    other = await world.driver().drive(world.request(intent))
    assert (other.progress, other.fence) == (Progress.WAITING, mine.fence + 1)
    world.clock.advance(20)
    before = await world.records(intent)
    driven = await world.driver().drive(world.request(intent), Earlier.SELF, mine.fence)
    assert driven.progress is Progress.NOTHING
    assert await world.records(intent) == before
    assert (await world.driver().drive(world.request(intent), Earlier.SELF, other.fence)).status is S


async def test_many_workers_start_one_run(world: World) -> None:
    """Fifty deliveries of one approval to fifty workers: one start, one call, one outcome."""
    intent = await world.approved("unsafe")
    done = await asyncio.gather(*(world.driver().drive(world.request(intent, handed=True)) for _ in range(50)))
    assert [d.status for d in done].count(S) >= 1
    events = await world.events(intent)
    assert events.count(LedgerEvent.EXECUTION_STARTED) == events.count(LedgerEvent.ACTION_EXECUTED) == 1
    assert len(world.target.sent) == len(world.target.made) == 1
