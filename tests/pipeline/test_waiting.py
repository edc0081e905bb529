"""Waits: backoff with jitter, Retry-After, closed doors, and waking up early or late."""

from itertools import pairwise

import msgspec
import pytest

from enactor.conformance.target import Act
from enactor.conformance.world import World
from enactor.domain.attempt import RunStatus
from enactor.domain.intent import ActionIntent, ExecutionPolicy
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import CallResult
from enactor.pipeline.driver import Driven, Driver, Progress
from enactor.pipeline.model import Earlier
from enactor.pipeline.settle import backoff_ms

pytestmark = pytest.mark.parametrize("world", ["memory"], indirect=True)

S, F, D, E, C = (
    RunStatus.SUCCEEDED,
    RunStatus.FAILED,
    RunStatus.IN_DOUBT,
    RunStatus.EXPIRED,
    RunStatus.CANCELLED,
)


async def wake(world: World, driver: Driver, intent: ActionIntent, driven: Driven) -> Driven:
    """Comes back when the wait is over."""
    world.clock.advance((driven.until - world.clock.now_ms()) / 1000)
    return await driver.drive(world.request(intent), Earlier.SELF, driven.fence)


async def test_backoff_doubles_with_jitter(world: World) -> None:
    """2 s, then twice as long each time, each between half of it and all of it."""
    world.target.script(*[Act.NOT_SENT] * 6)
    intent = await world.approved("keyed", execution_policy=ExecutionPolicy(retry_count=6))
    driver = world.driver()
    driven = await driver.drive(world.request(intent))
    delays = []
    while driven.progress is Progress.WAITING:
        delays.append(driven.until - world.clock.now_ms())
        driven = await wake(world, driver, intent, driven)
    assert driven.status is S
    assert len(delays) == 6
    for number, delay in enumerate(delays):
        assert 1_000 * 2**number <= delay <= 2_000 * 2**number
    assert len({delay / 2**number for number, delay in enumerate(delays)}) > 1, "no jitter"


def test_backoff_is_capped_and_honours_retry_after(world: World) -> None:
    """Never longer than the cap by itself, never shorter than the target asks, and never for ever."""
    ctx = world.ctx
    assert 150_000 <= backoff_ms(30, None, ctx) <= 300_000
    assert backoff_ms(0, 120.5, ctx) == 120_500
    assert 1_000 <= backoff_ms(0, 0.1, ctx) <= 2_000
    assert 1_000 <= backoff_ms(0, -5, ctx) <= 2_000
    assert backoff_ms(0, 1e12, ctx) == 86_400_000


async def test_retry_after_is_honoured(world: World) -> None:
    """The target asked for seven seconds."""
    world.target.script(Act.REFUSE)
    intent = await world.approved("keyed")
    driven = await world.driver().drive(world.request(intent))
    assert driven.until - world.clock.now_ms() == 7_000


@pytest.mark.parametrize("retries", [0, 1, 5])
async def test_at_most_so_many_retries(world: World, retries: int) -> None:
    """A call and its retries, then the run fails with the last error."""
    world.target.script(*[Act.REFUSE] * 20)
    intent = await world.approved("keyed", execution_policy=ExecutionPolicy(retry_count=retries))
    await world.run(intent)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.error_code, outcome.attempt_count) == (F, "BUSY", retries + 1)
    scheduled = [e for e in await world.entries(intent) if e.event_type is LedgerEvent.TOOL_RETRY_SCHEDULED]
    assert [msgspec.json.decode(e.data)["retry"] for e in scheduled] == list(range(1, retries + 1))


async def test_woken_early_it_waits_on(world: World) -> None:
    """Word that comes before the time calls nothing and changes nothing."""
    world.target.script(Act.REFUSE)
    intent = await world.approved("keyed")
    driver = world.driver()
    driven = await driver.drive(world.request(intent))
    before = await world.records(intent)
    again = await driver.drive(world.request(intent), Earlier.SELF, driven.fence)
    assert (again.progress, again.until, again.fence) == (Progress.WAITING, driven.until, driven.fence)
    assert await world.records(intent) == before


async def test_a_wait_survives_the_process(world: World) -> None:
    """A new process takes the run over with its wait, and calls when that is over, not before."""
    world.target.script(Act.REFUSE)
    intent = await world.approved("keyed")
    driven = await world.driver().drive(world.request(intent))
    taken = await world.driver().drive(world.request(intent), Earlier.DEAD)
    assert (taken.progress, taken.until) == (Progress.WAITING, driven.until)
    attempt = await world.attempt(intent)
    assert attempt.deadline_at == driven.until + world.settings.grace_ms, "nobody else thinks that it is lost"
    assert len(world.target.sent) == 1
    await wake(world, world.driver(), intent, taken)
    assert await world.status(intent) is S


# -- closed doors ----------------------------------------------------------------------------------------------------


async def test_a_closed_door_puts_off_and_costs_no_retry(world: World) -> None:
    """Ten times put off and then called, with no retry allowed."""
    world.doors.closed = "the connector's limit"
    intent = await world.approved("unsafe", execution_policy=ExecutionPolicy(retry_count=0))
    driver = world.driver()
    driven = await driver.drive(world.request(intent))
    for _ in range(10):
        assert (await world.attempt(intent)).waiting_for == "the connector's limit"
        driven = await wake(world, driver, intent, driven)
    world.doors.closed = ""
    await wake(world, driver, intent, driven)
    assert await world.status(intent) is S
    deferred = [e for e in await world.events(intent) if e is LedgerEvent.EXECUTION_DEFERRED]
    assert len(deferred) == 11
    assert len(world.target.sent) == 1


async def test_at_most_200_times(world: World) -> None:
    """The 201st closed door ends the run, as FAILED: nothing was ever sent."""
    world.doors.closed = "shut"
    intent = await world.approved("unsafe")
    await world.run(intent)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.error_code) == (F, "DEFERRALS_EXHAUSTED")
    assert [p.result for p in await world.permits(intent)] == [CallResult.NOT_SENT] * 201
    assert world.target.sent == []


async def test_never_put_off_past_expiry(world: World) -> None:
    """A wait that would end after the expiry ends the run now."""
    world.doors.closed = "shut"
    intent = await world.approved("unsafe", expires_in_seconds=60)
    await world.run(intent)
    assert await world.status(intent) is E
    assert world.clock.now_ms() < intent.expires_at_epoch * 1000


async def test_put_off_and_woken_after_expiry(world: World) -> None:
    """Put off in time, the process away until after the expiry: an approval that is over is not executed."""
    world.doors.closed = "shut"
    intent = await world.approved("unsafe", expires_in_seconds=60)
    await world.driver().drive(world.request(intent))
    world.doors.closed = ""
    world.clock.advance(3_600)
    await world.run(intent, earlier=Earlier.DEAD)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.error_code) == (E, "INTENT_EXPIRED")
    assert world.target.sent == []


async def test_put_off_with_a_call_in_doubt(world: World) -> None:
    """A doubt stays one, whatever the doors do: IN_DOUBT, not EXPIRED."""
    world.target.script(Act.DO_AND_LOSE_REPLY)
    intent = await world.approved("keyed", expires_in_seconds=60)
    driver = world.driver()
    driven = await driver.drive(world.request(intent))
    world.doors.closed = "shut"
    while driven.progress is Progress.WAITING:
        driven = await wake(world, driver, intent, driven)
    assert driven.status is D


# -- looking again ---------------------------------------------------------------------------------------------------


async def test_a_doubt_is_looked_up_again_by_itself(world: World) -> None:
    """First after a minute, then after twice as long each time; found, it is settled."""
    world.target.blind = True
    world.target.script(Act.DO_AND_LOSE_REPLY)
    intent = await world.approved("searched")
    await world.run(intent)
    assert await world.status(intent) is D
    asked: list[int] = []
    for _ in range(5):
        (due,) = await _due_at(world, intent)
        world.clock.advance((due - world.clock.now_ms()) / 1000)
        asked.append(world.clock.now_ms())
        await world.driver().drive(world.request(intent), Earlier.DEAD)
    assert world.target.look_ups == 6
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert all(later >= earlier * 1.9 for earlier, later in pairwise(gaps))
    world.target.blind = False
    (due,) = await _due_at(world, intent)
    world.clock.advance((due - world.clock.now_ms()) / 1000)
    await world.driver().drive(world.request(intent), Earlier.DEAD)
    outcomes = await world.store.outcomes(intent.tenant_id, intent.action_intent_id)
    assert [outcome.status for outcome in outcomes] == [D, S]


async def test_nobody_can_make_it_look_more_often(world: World) -> None:
    """Delivering the approval again and again does not search the target again and again."""
    world.target.blind = True
    world.target.script(Act.DO_AND_LOSE_REPLY)
    intent = await world.approved("searched")
    await world.run(intent)
    for _ in range(10):
        await world.driver().drive(world.request(intent))
    assert world.target.look_ups == 1


async def test_a_doubt_that_cannot_be_looked_up_waits_for_a_person(world: World) -> None:
    """It is due for nobody but people."""
    world.target.script(Act.DO_AND_LOSE_REPLY)
    intent = await world.approved("unsafe")
    await world.run(intent)
    world.clock.advance(86_400)
    assert await world.store.due(world.clock.now_ms(), 10) == ()
    assert (await world.driver().drive(world.request(intent))).progress is Progress.NOTHING


async def _due_at(world: World, intent: ActionIntent) -> list[int]:
    attempt = await world.attempt(intent)
    assert await world.store.due(attempt.deadline_at - 1, 10) == ()
    return [run.deadline_at for run in await world.store.due(attempt.deadline_at, 10)]
