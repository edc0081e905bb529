"""Partial effects: taken back by the pinned tool, or said to stand; never taken back while anything is in doubt."""

import asyncio

import msgspec
import pytest
from msgspec.structs import replace

from enactor.conformance.shelf import Item
from enactor.conformance.target import Act, Point
from enactor.conformance.world import ANA, World
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import IllegalTransition
from enactor.domain.ledger import LedgerEvent
from enactor.domain.outcome import CompensationStatus
from enactor.domain.permit import CallResult, Purpose, SettledBy
from enactor.pipeline.driver import Progress
from enactor.pipeline.model import Earlier

pytestmark = pytest.mark.parametrize("world", ["memory"], indirect=True)

F, D, S = RunStatus.FAILED, RunStatus.IN_DOUBT, RunStatus.SUCCEEDED
NONE, COMPLETED, FAILED, DOUBT = (
    CompensationStatus.NONE,
    CompensationStatus.COMPLETED,
    CompensationStatus.FAILED,
    CompensationStatus.IN_DOUBT,
)

# kind, what taking back does → error code, compensation status, whether the effect stands, calls to take back
ROWS = [
    ("partial", (), "PARTIAL_EFFECT", COMPLETED, False, 1),
    ("partial", (Act.REFUSE, Act.NOT_SENT), "PARTIAL_EFFECT", COMPLETED, False, 3),
    ("partial", (Act.DO_AND_LOSE_REPLY,), "PARTIAL_EFFECT", COMPLETED, False, 2),
    ("partial", (Act.LOSE_REQUEST,), "PARTIAL_EFFECT", COMPLETED, False, 2),
    ("partial", (Act.REFUSE_FOR_GOOD,), "COMPENSATION_FAILED", FAILED, True, 1),
    ("partial", (Act.REFUSE,) * 4, "COMPENSATION_FAILED", FAILED, True, 4),
    ("partial", (Act.DO_PARTLY,), "COMPENSATION_FAILED", FAILED, True, 1),
    ("partial", (Act.DO_AND_LOSE_REPLY,) * 4, "COMPENSATION_FAILED", DOUBT, True, 4),
    ("partial_unsafe", (), "PARTIAL_EFFECT", COMPLETED, False, 1),
    ("partial_unsafe", (Act.DO_AND_LOSE_REPLY,), "COMPENSATION_FAILED", DOUBT, True, 1),
    ("partial_unsafe", (Act.LOSE_REQUEST,), "COMPENSATION_FAILED", DOUBT, True, 1),
    ("partial_by_hand", (), "PARTIAL_EFFECT", NONE, True, 0),
    ("keyed", (), "PARTIAL_EFFECT", NONE, True, 0),
]


@pytest.mark.parametrize(("kind", "undo", "code", "status", "stands", "calls"), ROWS)
async def test_each_way_it_can_go(
    world: World, kind: str, undo: tuple[Act, ...], code: str, status: CompensationStatus, stands: bool, calls: int
) -> None:
    """Completed, failed, in doubt, by hand, not at all: the run failed, and the outcome says what is left of it."""
    world.target.script(Act.DO_PARTLY)
    world.target.script_undo(*undo)
    intent = await world.approved(kind)
    await world.run(intent)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.error_code, outcome.compensation_status) == (F, code, status)
    assert bool(outcome.external_object_refs) is stands, "the refs are what stands"
    permits = await world.permits(intent)
    undone = [permit for permit in permits if permit.purpose is Purpose.COMPENSATION]
    assert len(undone) == calls
    assert len({permit.idempotency_key for permit in permits}) == (2 if calls else 1)
    events = await world.events(intent)
    assert (LedgerEvent.COMPENSATION_STARTED in events) is bool(calls)
    assert (LedgerEvent.COMPENSATION_COMPLETED in events) is (status is COMPLETED)
    assert (LedgerEvent.COMPENSATION_FAILED in events) is (status in (FAILED, DOUBT))
    if kind == "partial_by_hand":
        assert "Call the shop." in str(outcome.error_message)
    await world.verify()


async def test_an_unknown_effect_is_never_taken_back(world: World) -> None:
    """Only the tool's own word that it did part of it starts a compensation."""
    world.target.script(Act.DO_AND_LOSE_REPLY)
    intent = await world.approved("partial_unsafe")
    await world.run(intent)
    assert await world.status(intent) is D
    assert LedgerEvent.COMPENSATION_STARTED not in await world.events(intent)
    assert world.target.taken_back == []


async def test_a_doubt_under_the_same_key_is_settled_by_the_partial_result(world: World) -> None:
    """The second call under the key was done in part: so was the first, and the report of a switch says executed."""
    world.target.script(Act.LOSE_REQUEST, Act.DO_PARTLY)
    intent = await world.approved("partial_by_hand")
    await world.run(intent)
    first, second = await world.permits(intent)
    assert (first.settled_by, second.partial) == (SettledBy.SAME_KEY_DONE, True)
    report = await world.service.operations.report(ANA, "tenant")
    assert [run.action_intent_id for run in report.executed] == [intent.action_intent_id]


async def test_the_switch_says_whether_it_may_be_taken_back(world: World) -> None:
    """A switch stops compensation too, unless it says otherwise."""
    for allowed, status in ((False, FAILED), (True, COMPLETED)):
        world.target.script(Act.DO_PARTLY)
        intent = await world.approved("partial")
        hold = world.target.hold(Point.REPLY)
        running = asyncio.create_task(world.run(intent))
        await hold.reached.wait()
        set_switch = world.service.operations.set_switch
        await set_switch(ANA, "tenant", enabled=True, reason="stop", compensation=allowed)
        hold.release()
        await running
        assert (await world.outcome(intent)).compensation_status is status
        await set_switch(ANA, "tenant", enabled=False, reason="go on")


async def test_it_is_taken_back_after_the_intent_expired(world: World) -> None:
    """An intent expires; what is left of a partial effect does not, even while a door is closed."""
    world.target.script(Act.DO_PARTLY)
    world.target.script_undo(Act.NOT_SENT)
    intent = await world.approved("partial", expires_in_seconds=10)
    hold = world.target.hold(Point.REPLY)
    running = asyncio.create_task(world.run(intent))
    await hold.reached.wait()
    world.clock.advance(20)
    hold.release()
    await running
    assert (await world.outcome(intent)).compensation_status is COMPLETED


async def test_a_closed_door_puts_off_the_taking_back_too(world: World) -> None:
    """Past the intent's expiry as well, as long as deferrals last; then the partial effect is said to stand."""
    for opens, status in ((True, COMPLETED), (False, FAILED)):
        world.target.script(Act.DO_PARTLY)
        intent = await world.approved("partial", expires_in_seconds=60)
        hold = world.target.hold(Point.REPLY)
        driver = world.driver()
        first = asyncio.create_task(driver.drive(world.request(intent)))
        await hold.reached.wait()
        world.doors.closed = "shut"
        hold.release()
        driven = await first
        world.clock.advance(120)
        driven = await driver.drive(world.request(intent), Earlier.SELF, driven.fence)
        assert driven.progress is Progress.WAITING
        world.doors.closed = "" if opens else "shut"
        await world.run(intent, driver=driver, earlier=Earlier.DEAD)
        assert (await world.outcome(intent)).compensation_status is status
        world.doors.closed = ""


@pytest.mark.parametrize("gone", [True, False])
async def test_only_the_pinned_tool_takes_it_back(world: World, gone: bool) -> None:
    """Gone, or another version than was approved: it is not called, and a person has to do it."""
    world.target.script(Act.DO_PARTLY)
    intent = await world.approved("partial")
    definition = world.plane.definition("target.take_back")
    assert definition is not None
    changed = None if gone else replace(definition, tool_schema_version="2")
    world.doors.redefined["target.take_back"] = changed
    await world.run(intent)
    outcome = await world.outcome(intent)
    assert (outcome.error_code, outcome.compensation_status) == ("COMPENSATION_FAILED", FAILED)
    assert len(world.target.sent) == 1


async def test_what_was_done_in_part_is_not_replayed(world: World) -> None:
    """Under the same key it cannot be done anew, and another key would be another approval."""
    world.target.script(Act.DO_PARTLY)
    intent = await world.approved("partial")
    await world.run(intent)
    with pytest.raises(IllegalTransition):
        await world.service.operations.replay(ANA, intent.action_intent_id, "again")
    assert await world.status(intent) is F


@pytest.mark.parametrize(
    ("act", "status"), [(Act.DO, COMPLETED), (Act.REFUSE_FOR_GOOD, FAILED), (Act.DO_PARTLY, FAILED)]
)
async def test_a_late_result_of_taking_back(world: World, act: Act, status: CompensationStatus) -> None:
    """It ends the doubt in another revision of the outcome; the run's own status never changes again."""
    world.target.script(Act.DO_PARTLY)
    world.target.script_undo(act)
    intent = await world.approved("partial_unsafe")
    hold = world.target.hold(Point.SEND, 2)
    first = asyncio.create_task(world.run(intent))
    await hold.reached.wait()
    world.clock.advance(200)
    await world.run(intent)
    assert (await world.outcome(intent)).compensation_status is DOUBT
    hold.release()
    await first
    outcomes = await world.store.outcomes(intent.tenant_id, intent.action_intent_id)
    assert [(o.status, o.compensation_status) for o in outcomes] == [(F, DOUBT), (F, status)]
    late = [e for e in await world.entries(intent) if e.event_type is LedgerEvent.LATE_RESULT]
    assert msgspec.json.decode(late[0].data)["incident"] is False
    await world.verify()


async def test_taken_over_while_taking_back(world: World) -> None:
    """Whoever comes back goes on with the compensation, under its key, and not with the effect."""
    world.target.script(Act.DO_PARTLY)
    intent = await world.approved("partial")
    hold = world.target.hold(Point.SEND, 2)
    first = asyncio.create_task(world.run(intent))
    await hold.reached.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await world.run(intent, earlier=Earlier.DEAD)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.compensation_status) == (F, COMPLETED)
    effects = [permit for permit in await world.permits(intent) if permit.purpose is Purpose.EFFECT]
    assert [permit.result for permit in effects] == [CallResult.DONE]
    assert world.target.taken_back == world.target.objects()


@pytest.mark.parametrize(("executed", "status"), [(True, COMPLETED), (False, FAILED)])
async def test_a_person_ends_the_doubt_about_taking_back(
    world: World, executed: bool, status: CompensationStatus
) -> None:
    """Resolving says whether the partial effect was taken back; the run stays FAILED, and is resolved once."""
    world.target.script(Act.DO_PARTLY)
    world.target.script_undo(Act.LOSE_REQUEST)
    intent = await world.approved("partial_unsafe")
    await world.run(intent)
    assert (await world.outcome(intent)).compensation_status is DOUBT
    resolve = world.service.operations.resolve
    resolution = await resolve(ANA, intent.action_intent_id, executed=executed, comment="I asked the shop.")
    assert (resolution.status, resolution.approvals_missing) == (F, 0)
    outcomes = await world.store.outcomes(intent.tenant_id, intent.action_intent_id)
    assert [(o.status, o.compensation_status) for o in outcomes] == [(F, DOUBT), (F, status)]
    assert bool(outcomes[-1].external_object_refs) is not executed
    lines = [line.text for line in await world.service.inspection.timeline(ANA, intent.action_intent_id)]
    said = "EXECUTED" if executed else "NOT_EXECUTED"
    assert f"local#ana resolved whether it was taken back: {said}" in lines
    with pytest.raises(IllegalTransition):
        await resolve(ANA, intent.action_intent_id, executed=executed, comment="Again.")
    await world.verify()


@pytest.mark.parametrize("found", [True, False])
async def test_the_doubt_about_taking_back_is_looked_up(world: World, found: bool) -> None:
    """As long as the look-up cannot tell it is asked again, later and later, with no new revision for each time."""
    world.target.script(Act.DO_PARTLY)
    world.target.script_undo(Act.DO_AND_LOSE_REPLY if found else Act.LOSE_REQUEST)
    world.target.blind = True
    intent = await world.approved("partial_searched")
    await world.run(intent)
    assert (await world.outcome(intent)).compensation_status is DOUBT
    for _ in range(2):
        assert await world.store.due(world.clock.now_ms(), 10) == ()
        deadline = (await world.attempt(intent)).deadline_at
        world.clock.advance((deadline - world.clock.now_ms()) / 1000)
        (due,) = await world.store.due(world.clock.now_ms(), 10)
        assert (due.action_intent_id, due.status) == (intent.action_intent_id, F)
        await world.run(intent)
    assert len(await world.store.outcomes(intent.tenant_id, intent.action_intent_id)) == 1
    world.target.blind = False
    world.clock.advance(86_400)
    await world.run(intent)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.compensation_status) == (F, COMPLETED if found else FAILED)
    assert await world.store.due(world.clock.now_ms() + 10**9, 10) == ()
    calls = [p for p in await world.permits(intent) if p.purpose is Purpose.COMPENSATION]
    assert len(calls) == 1, "what is over never calls again"
    await world.verify()


async def test_taking_back_is_given_what_was_there_before(world: World) -> None:
    """The tool that takes a change back gets the original's arguments, and the values of the approved preview."""
    world.shelf.items["item-1"] = Item(label="old", key="", changed_by="", version=3)
    world.shelf.partly = 1
    intent = await world.decided(await world.proposed_on_shelf("relabel", object_id="item-1", label="new"))
    await world.run(intent)
    assert (await world.outcome(intent)).compensation_status is COMPLETED
    assert world.shelf.items["item-1"].label == "old"
