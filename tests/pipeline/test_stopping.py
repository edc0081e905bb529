"""Kill switches, cancels, expiry and budgets: what stops a run, when, and what the record then says."""

import asyncio
from itertools import product

import msgspec
import pytest

from enactor.conformance.target import Act, Point
from enactor.conformance.world import ANA, BEA, PLATFORM, World
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ApprovalStale, IllegalTransition
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import CallResult
from enactor.pipeline.driver import Progress
from enactor.service import ContainmentReport

S, F, D = RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.IN_DOUBT
R, C, E = RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.EXPIRED
SCOPES = {
    "global": PLATFORM,
    "platform:connector:target": PLATFORM,
    "platform:action-type:TARGET_KEYED": PLATFORM,
    "tenant": ANA,
    "connector:target": ANA,
    "action-type:TARGET_KEYED": ANA,
}


async def turn(world: World, scope: str = "tenant", *, on: bool, compensation: bool = False) -> ContainmentReport:
    """Turns a switch."""
    operations = world.service.operations
    by = SCOPES.get(scope, ANA)
    return await operations.set_switch(by, scope, enabled=on, reason="test", compensation=compensation)


async def report(world: World, scope: str = "tenant") -> dict[str, list[str]]:
    """The containment report, as ids."""
    shown = await world.service.operations.report(ANA, scope)
    names = ("executed", "blocked", "unknown")
    return {name: [run.action_intent_id for run in getattr(shown, name)] for name in names}


def is_in(shown: dict[str, list[str]], intent: ActionIntent) -> list[str]:
    """Under which headings an intent is."""
    return [name for name, ids in shown.items() if intent.action_intent_id in ids]


@pytest.mark.parametrize("scope", SCOPES)
async def test_each_scope_stops_what_is_queued(world: World, scope: str) -> None:
    """Approved and not begun: nothing is called, the run is CANCELLED, and it says by which switch."""
    intent = await world.approved("keyed")
    await turn(world, scope, on=True)
    await world.run(intent, handed=True)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.error_code) == (C, "KILL_SWITCH_ENABLED")
    assert world.target.sent == []
    assert is_in(await report(world, scope), intent) == ["blocked"]
    assert LedgerEvent.EXECUTION_CANCELLED in await world.events(intent)


@pytest.mark.parametrize("scope", SCOPES)
async def test_each_scope_stops_what_waits_for_a_retry(world: World, scope: str) -> None:
    """Refused once and waiting: no second call."""
    world.target.script(Act.REFUSE)
    intent = await world.approved("keyed")
    driver = world.driver()
    assert (await driver.drive(world.request(intent))).progress is Progress.WAITING
    await turn(world, scope, on=True)
    assert is_in(await report(world, scope), intent) == ["blocked"]
    await world.run(intent, driver=driver)
    assert await world.status(intent) is C
    assert len(world.target.sent) == 1
    assert is_in(await report(world, scope), intent) == ["blocked"]


@pytest.mark.parametrize("scope", SCOPES)
async def test_each_scope_stops_what_is_about_to_take_a_permit(world: World, scope: str) -> None:
    """A worker that has read that no switch is on, and commits after one was turned, gets no permit."""
    intent = await world.approved("keyed")
    driver = world.driver()
    read = driver.reads

    async def reads(intent: ActionIntent, *, cancel_requested: bool) -> object:
        seen = await read(intent, cancel_requested=cancel_requested)
        driver.reads = read  # type: ignore[method-assign]
        await turn(world, scope, on=True)
        return seen

    driver.reads = reads  # type: ignore[method-assign, assignment]
    await driver.drive(world.request(intent, handed=True))
    assert await world.status(intent) is C
    assert world.target.sent == []
    assert await world.permits(intent) == ()


@pytest.mark.parametrize("scope", SCOPES)
async def test_on_and_off_again_still_refuses(world: World, scope: str) -> None:
    """A switch that was on at any time since the approval refuses the run for ever; a later approval is free."""
    before = await world.approved("keyed")
    await turn(world, scope, on=True)
    await turn(world, scope, on=False)
    after = await world.approved("keyed")
    await world.run(before)
    await world.run(after)
    assert (await world.status(before), await world.status(after)) == (C, S)
    assert "was on since" in str((await world.outcome(before)).error_message)


async def test_a_switch_elsewhere_stops_nothing(world: World) -> None:
    """Another connector, another action type, another tenant: none of them is this run's business."""
    intent = await world.approved("keyed")
    await turn(world, "connector:other", on=True)
    await turn(world, "action-type:TARGET_UNSAFE", on=True)
    other = msgspec.structs.replace(ANA, tenant_id="other")
    await world.service.operations.set_switch(other, "tenant", enabled=True, reason="theirs")
    await world.run(intent)
    assert await world.status(intent) is S


async def test_approved_under_a_switch(world: World) -> None:
    """What is approved while the switch is on is refused while it is on; a replay after it is cleared runs."""
    await turn(world, on=True)
    intent = await world.approved("keyed")
    await world.run(intent)
    assert await world.status(intent) is C
    await turn(world, on=False)
    number = await world.service.operations.replay(ANA, intent.action_intent_id, "cleared")
    await world.run(intent, number)
    assert await world.status(intent) is S
    shown = await world.service.operations.report(ANA, "tenant")
    assert [(run.run_number, run.status) for run in shown.blocked] == [(1, "CANCELLED")], "the run that it stopped"
    assert [(run.run_number, run.status) for run in shown.executed] == [(2, "SUCCEEDED")]


ENDS = [(Act.DO, S, "executed"), (Act.REFUSE, C, "blocked"), (Act.DO_AND_LOSE_REPLY, D, "unknown")]


@pytest.mark.parametrize(("kind", "ends"), list(product(["keyed", "keyed_searched", "unsafe"], ENDS)))
async def test_a_call_that_was_out_is_unknown_until_it_settles(
    world: World, kind: str, ends: tuple[Act, RunStatus, str]
) -> None:
    """The report lists the open permit, and until when it can be sent; then what became of it."""
    act, status, heading = ends
    world.target.script(act)
    intent = await world.approved(kind)
    hold = world.target.hold(Point.SEND)
    running = asyncio.create_task(world.run(intent))
    await hold.reached.wait()
    shown = await turn(world, on=True)
    assert [run.action_intent_id for run in shown.unknown] == [intent.action_intent_id]
    assert shown.unknown[0].open_until is not None
    hold.release()
    await running
    assert await world.status(intent) is status
    assert is_in(await report(world), intent) == [heading]
    assert len(world.target.sent) == 1, "nothing was called after the switch"


async def test_unknown_settles(world: World) -> None:
    """In doubt because of a switch, looked up later (look-ups stay allowed): then it is executed, or blocked."""
    for act, heading, status in ((Act.DO_AND_LOSE_REPLY, "executed", S), (Act.LOSE_REQUEST, "blocked", C)):
        world.target.script(act)
        intent = await world.approved("keyed_searched")
        driver = world.driver()
        await driver.drive(world.request(intent))
        await turn(world, on=True)
        await world.run(intent, driver=driver)
        assert await world.status(intent) is D
        assert is_in(await report(world), intent) == ["unknown"]
        while await world.status(intent) is D:
            world.clock.advance(60)
            await driver.drive(world.request(intent))
        assert await world.status(intent) is status
        assert is_in(await report(world), intent) == [heading]
        await turn(world, on=False)


async def test_no_permit_after_the_acknowledgement(world: World) -> None:
    """Twenty runs and a switch at once: whatever was called had its permit before the switch was answered."""
    intents = [await world.approved("keyed") for _ in range(20)]
    driver = world.driver()

    async def one(intent: ActionIntent) -> None:
        await driver.drive(world.request(intent, handed=True))

    runs = [asyncio.create_task(one(intent)) for intent in intents[:10]]
    await asyncio.sleep(0)
    switching = asyncio.create_task(turn(world, on=True))
    runs += [asyncio.create_task(one(intent)) for intent in intents[10:]]
    shown = await switching
    await asyncio.gather(*runs)
    final = await report(world)
    blocked = {run.action_intent_id for run in shown.blocked}
    for intent in intents:
        permits = await world.permits(intent)
        status = await world.status(intent)
        assert (status is S) == bool(permits)
        if intent.action_intent_id in blocked:
            assert permits == (), "what the report calls blocked was called"
        assert is_in(final, intent) == ["executed" if permits else "blocked"]


async def test_a_report_of_a_switch_that_is_off_blocks_nothing_new(world: World) -> None:
    """What the switch does not stop is not called blocked: it may run at any moment."""
    await turn(world, on=True)
    await turn(world, on=False)
    free = await world.approved("keyed")
    assert is_in(await report(world), free) == []
    await world.run(free)
    assert is_in(await report(world), free) == ["executed"]


async def test_reports_show_the_callers_accounts_only(world: World) -> None:
    """Runs of accounts that the token does not cover are not listed."""
    intent = await world.approved("keyed")
    await turn(world, on=True)
    narrow = msgspec.structs.replace(ANA, account_ids=("south",))
    shown = await world.service.operations.report(narrow, "tenant")
    assert shown.blocked == ()
    assert is_in(await report(world), intent) == ["blocked"]


# -- cancelling ------------------------------------------------------------------------------------------------------


async def test_cancel_before_it_starts(world: World) -> None:
    """Then it never starts."""
    intent = await world.approved("keyed")
    cancelled = await world.service.decisions.cancel(ANA, intent.action_intent_id)
    assert (cancelled.requested_only, cancelled.intent.status) == (False, IntentStatus.CANCELLED)
    with pytest.raises(ApprovalStale):
        await world.driver().drive(world.request(intent, handed=True))
    assert world.target.sent == []


async def test_cancel_is_honoured_before_the_next_permit(world: World) -> None:
    """A run that waits for a retry makes no other call."""
    world.target.script(Act.REFUSE)
    intent = await world.approved("keyed")
    driver = world.driver()
    await driver.drive(world.request(intent))
    cancelled = await world.service.decisions.cancel(ANA, intent.action_intent_id)
    assert cancelled.requested_only
    await world.run(intent, driver=driver)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.error_code) == (C, "CANCELLED_BY_REQUEST")
    assert len(world.target.sent) == 1


async def test_cancel_does_not_undo_a_call_that_is_out(world: World) -> None:
    """What was sent counts: the run says that it was executed, not that it was cancelled."""
    intent = await world.approved("keyed")
    hold = world.target.hold(Point.REPLY)
    running = asyncio.create_task(world.run(intent))
    await hold.reached.wait()
    await world.service.decisions.cancel(ANA, intent.action_intent_id)
    hold.release()
    await running
    assert await world.status(intent) is S
    with pytest.raises(IllegalTransition):
        await world.service.decisions.cancel(ANA, intent.action_intent_id)


async def test_cancel_of_a_run_in_doubt_is_a_doubt(world: World) -> None:
    """With a call unresolved a cancelled run is IN_DOUBT, never CANCELLED."""
    world.target.script(Act.DO_AND_LOSE_REPLY)
    intent = await world.approved("keyed")
    driver = world.driver()
    await driver.drive(world.request(intent))
    await world.service.decisions.cancel(ANA, intent.action_intent_id)
    await world.run(intent, driver=driver)
    assert await world.status(intent) is D
    assert len(world.target.sent) == 1


# -- expiry and budgets ----------------------------------------------------------------------------------------------


async def test_expiry_is_decided_at_the_first_permit(world: World) -> None:
    """One second before it still runs, from then on it does not; and once it has called it may go on past it."""
    early, late = [await world.approved("keyed", expires_in_seconds=100) for _ in range(2)]
    retried = await world.approved("keyed", expires_in_seconds=100)
    world.clock.advance(99)
    await world.run(early)
    world.target.script(Act.REFUSE)
    driver = world.driver()
    await driver.drive(world.request(retried))
    world.clock.advance(1)
    await world.run(late)
    await world.run(retried, driver=driver)
    assert [await world.status(intent) for intent in (early, late, retried)] == [S, E, S]
    assert (await world.outcome(late)).error_code == "INTENT_EXPIRED"


async def test_a_replay_does_not_outlive_the_approval(world: World) -> None:
    """Asked for in time and begun too late: it expires without a call, though an earlier run has called."""
    world.target.script(Act.REFUSE_FOR_GOOD)
    intent = await world.approved("keyed", expires_in_seconds=100)
    await world.run(intent)
    number = await world.service.operations.replay(ANA, intent.action_intent_id, "again")
    world.clock.advance(100)
    await world.run(intent, number)
    assert await world.status(intent) is E
    assert len(world.target.sent) == 1


async def test_expired_and_never_started(world: World) -> None:
    """The housekeeping closes what expired while pending or approved, each once."""
    pending = await world.proposed("keyed", expires_in_seconds=10)
    approved = await world.approved("keyed", expires_in_seconds=10)
    world.clock.advance(9)
    assert await world.service.decisions.expire_due() == 0
    world.clock.advance(1)
    assert await world.service.decisions.expire_due() == 2
    assert await world.service.decisions.expire_due() == 0
    for intent in (pending, approved):
        assert (await world.records(intent)).intent.status is IntentStatus.EXPIRED
        assert await world.events(intent) == [LedgerEvent.EXECUTION_EXPIRED]


async def test_a_budget_without_room(world: World) -> None:
    """The run that finds no room fails without a call, and a replay in the next window runs."""
    await world.service.operations.set_budget(ANA, "*", 3_600, 2)
    await world.service.operations.set_budget(ANA, "TARGET_UNSAFE", 3_600, 1)
    intents = [await world.approved(kind) for kind in ("unsafe", "unsafe", "keyed", "keyed")]
    for intent in intents:
        await world.run(intent, handed=True)
    assert [await world.status(intent) for intent in intents] == [S, F, S, F]
    outcome = await world.outcome(intents[1])
    assert (outcome.error_code, outcome.error_class) == ("BUDGET_EXCEEDED", "RATE_LIMIT")
    assert len(world.target.sent) == 2
    world.clock.advance(3_600)
    number = await world.service.operations.replay(ANA, intents[1].action_intent_id, "next window")
    await world.run(intents[1], number)
    assert await world.status(intents[1]) is S


async def test_a_retry_is_not_charged_again(world: World) -> None:
    """A budget counts runs, not calls."""
    await world.service.operations.set_budget(BEA, "*", 3_600, 1)
    world.target.script(Act.REFUSE)
    intent = await world.approved("keyed")
    await world.run(intent)
    assert [used for _, used in await world.service.operations.budgets(ANA)] == [1]
    assert [permit.result for permit in await world.permits(intent)] == [CallResult.REFUSED, CallResult.DONE]
