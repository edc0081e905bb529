"""The process dies at any instruction, and another comes over the same store: nothing twice, nothing false."""

from pathlib import Path

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.target import Act, Killed
from enactor.conformance.watched import Watched
from enactor.conformance.world import ANA, World, open_world
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ApprovalStale
from enactor.domain.intent import ActionIntent
from enactor.domain.ledger import LedgerEvent
from enactor.domain.outcome import CompensationStatus
from enactor.domain.permit import CallResult
from enactor.pipeline.driver import Driven, Progress
from enactor.pipeline.model import Earlier
from enactor.stores.memory import MemoryStore
from enactor.stores.sqlite import SqliteStore

S, F, D, C = RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.IN_DOUBT, RunStatus.CANCELLED
KINDS = ["keyed", "keyed_searched", "searched", "never_final", "unsafe", "burning"]
SCRIPTS = {
    "plain": (),
    "lost reply": (Act.DO_AND_LOSE_REPLY,),
    "lost request": (Act.LOSE_REQUEST,),
    "refused": (Act.REFUSE,),
    "not sent, then lost": (Act.NOT_SENT, Act.DO_AND_LOSE_REPLY),
    "refused for good": (Act.REFUSE_FOR_GOOD,),
    "done in part": (Act.DO_PARTLY,),
}


async def until_killed(world: World, watched: Watched, intent: ActionIntent) -> Driven | None:
    """Drives a run over every wait, until its process dies; what it came to if it does not."""
    driver = world.driver(watched)
    try:
        return await world.run(intent, driver=driver, handed=True)
    except Killed:
        return None


async def recovered(world: World, intent: ActionIntent) -> None:
    """A new process takes up whatever the dead one left, as the engine does at its start."""
    due = await world.store.due(world.clock.now_ms(), 10)
    for run in due:
        await world.run(intent, run.run_number, earlier=Earlier.DEAD)


async def nothing_false(world: World, intent: ActionIntent, *, unsafe: bool) -> RunStatus:
    """What must hold however a run went; returns its status."""
    target, records = world.target, await world.records(intent)
    assert records.attempt is not None
    assert records.outcome is not None
    status = records.attempt.status
    assert status is not RunStatus.RUNNING
    assert records.outcome.status is status
    standing = [made for made in target.objects() if made not in target.taken_back]
    assert len(target.objects()) <= 1
    if unsafe:
        unclear = [permit for permit in records.permits if permit.result is CallResult.UNKNOWN]
        assert len(unclear) <= 1
    match status:
        case RunStatus.SUCCEEDED:
            assert [ref.object_id for ref in records.outcome.external_object_refs] == standing
        case RunStatus.IN_DOUBT:
            assert any(permit.result is CallResult.UNKNOWN for permit in records.permits)
        case _ if records.outcome.compensation_status is CompensationStatus.NONE and "PART" not in str(
            records.outcome.error_code
        ):
            assert standing == []
        case _ if records.outcome.compensation_status is CompensationStatus.COMPLETED:
            assert standing == []
        case _:
            pass
    events = await world.events(intent)
    ends = (LedgerEvent.ACTION_EXECUTED, LedgerEvent.ACTION_FAILED, LedgerEvent.EXECUTION_IN_DOUBT)
    assert sum(events.count(event) for event in ends) == 1
    assert events.count(LedgerEvent.EXECUTION_STARTED) == 1
    assert await world.store.due(world.clock.now_ms(), 10) == ()
    await world.verify()
    return status


async def commits_of(kind: str, script: tuple[Act, ...]) -> int:
    """How many commits a run makes that nobody disturbs."""
    clock = ManualClock()
    world = await open_world(MemoryStore(clock), clock)
    world.target.script(*script)
    watched = Watched(world.store)
    await until_killed(world, watched, await world.approved(kind))
    return len(watched.commits)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("kind", [*KINDS, "partial", "partial_unsafe", "partial_by_hand"])
async def test_killed_around_every_commit(kind: str, script: str) -> None:
    """Before and after each commit: exactly one effect where the target cooperates, else one at most, and no lie."""
    count = await commits_of(kind, SCRIPTS[script])
    assert count >= 2
    for number in range(1, count + 1):
        for where in ("die_before", "die_after"):
            clock = ManualClock()
            world = await open_world(MemoryStore(clock), clock)
            world.target.script(*SCRIPTS[script])
            watched = Watched(world.store)
            setattr(watched, where, number)
            intent = await world.approved(kind)
            assert await until_killed(world, watched, intent) is None, f"{where} {number} was never reached"
            await recovered(world, intent)
            status = await nothing_false(world, intent, unsafe=kind in ("unsafe", "partial_unsafe"))
            cooperates = kind in ("keyed", "keyed_searched", "searched", "burning")
            if cooperates and script in ("plain", "lost reply", "lost request", "refused", "not sent, then lost"):
                assert status is S, f"{where} {number}"
                assert len(world.target.made) == 1


@pytest.mark.parametrize("act", [Act.DIE, Act.DO_AND_DIE])
@pytest.mark.parametrize("before", [(), (Act.REFUSE,), (Act.NOT_SENT,)])
@pytest.mark.parametrize("kind", KINDS)
async def test_killed_within_the_call(world: World, kind: str, before: tuple[Act, ...], act: Act) -> None:
    """Before the target did it or after, the reply unheard: one effect at most, and the record says what is known."""
    world.target.script(*before, act)
    intent = await world.approved(kind)
    assert await until_killed(world, Watched(world.store), intent) is None
    await recovered(world, intent)
    status = await nothing_false(world, intent, unsafe=kind == "unsafe")
    if kind in ("unsafe",) or (kind == "never_final" and act is Act.DIE):
        assert status is D
        assert len(world.target.sent) == len([one for one in before if one is Act.REFUSE]) + 1
    else:
        assert status is S
        assert len(world.target.made) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_killed_again_and_again(fast_world: World, kind: str) -> None:
    """Three processes in a row die after their first commit, each with a permit in its hand; the fourth goes on."""
    world = fast_world
    intent = await world.approved(kind)
    for life in range(3):
        watched = Watched(world.store)
        watched.die_after = 1
        try:
            await world.run(intent, driver=world.driver(watched), earlier=Earlier.DEAD if life else Earlier.UNKNOWN)
        except Killed:
            continue
    await recovered(world, intent)
    status = await nothing_false(world, intent, unsafe=kind == "unsafe")
    assert len(world.target.sent) <= 1
    assert status is (S if kind in ("keyed", "keyed_searched", "searched", "burning") else D)


async def test_what_kills_its_process_is_not_tried_for_ever(fast_world: World) -> None:
    """A permit whose call nobody heard of counts as a call: after the last retry it is a person's turn."""
    world = fast_world
    intent = await world.approved("keyed")
    world.target.script(*[Act.DIE] * 10)
    for life in range(10):
        try:
            await world.run(intent, earlier=Earlier.DEAD if life else Earlier.UNKNOWN)
        except Killed:
            continue
    assert await nothing_false(world, intent, unsafe=False) is D
    assert len(world.target.sent) == intent.execution_policy.retry_count + 1


async def test_killed_in_the_middle_of_a_budgets_refusal(world: World) -> None:
    """The lock was taken and the refusal not written yet: whoever comes back still refuses, and charges nothing."""
    await world.service.operations.set_budget(ANA, "*", 3_600, 0)
    intent = await world.approved("keyed")
    watched = Watched(world.store)
    watched.die_after = 2
    assert await until_killed(world, watched, intent) is None
    assert await world.status(intent) is RunStatus.RUNNING
    await recovered(world, intent)
    assert (await world.outcome(intent)).error_code == "BUDGET_EXCEEDED"
    assert world.target.sent == []


@pytest.mark.parametrize("where", ["die_before", "die_after"])
@pytest.mark.parametrize("number", [1, 2])
async def test_killed_over_a_file(tmp_path: Path, where: str, number: int) -> None:
    """The same with a real file, closed and opened again in between."""
    clock = ManualClock()
    path = tmp_path / "enactor.db"
    store = await SqliteStore.open(path, clock=clock)
    world = await open_world(store, clock)
    intent = await world.approved("keyed")
    watched = Watched(store)
    setattr(watched, where, number)
    assert await until_killed(world, watched, intent) is None
    await store.close()
    world.store = await SqliteStore.open(path, clock=clock)
    await recovered(world, intent)
    assert await nothing_false(world, intent, unsafe=False) is S
    await world.store.close()


async def test_a_commit_that_was_done_and_not_heard_of(world: World) -> None:
    """The same owner asking again finds what it has stored: it starts once, and is charged once."""
    await world.service.operations.set_budget(ANA, "*", 3_600, 5)
    intent = await world.approved("keyed")
    watched = Watched(world.store)
    watched.die_after = 1
    assert await until_killed(world, watched, intent) is None
    again = await world.driver().drive(world.request(intent, handed=True), Earlier.DEAD)
    assert again.progress is not Progress.NOTHING
    await recovered(world, intent)
    assert [used for _, used in await world.store.budgets(intent.tenant_id)] == [1]
    assert await world.status(intent) is S


async def test_nothing_is_started_without_an_approval(world: World) -> None:
    """A request to run what nobody approved changes nothing."""
    intent = await world.proposed("keyed")
    position = await world.store.last_position()
    with pytest.raises(ApprovalStale):
        await world.run(intent)
    assert await world.store.last_position() == position
