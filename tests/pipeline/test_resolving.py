"""What ends a doubt by a person's word, and running again afterwards."""

import asyncio

import msgspec
import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.target import ABSENCE_FINAL_AFTER_SECONDS, Act, Point
from enactor.conformance.world import AGENT, ANA, BEA, TENANT, World, open_world
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import EffectKeyTaken, Forbidden, IllegalTransition, IntentNotFound, InvalidInput
from enactor.domain.intent import ActionIntent
from enactor.domain.ledger import LedgerEvent
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import CallResult, SettledBy
from enactor.domain.principal import Principal, Role, person
from enactor.ports.commands import Conflict, CreateIntent
from enactor.service import Resolution
from enactor.stores.memory import MemoryStore

S, F, D, C = RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.IN_DOUBT, RunStatus.CANCELLED
REF = ObjectRef(system="target", object_type="order", object_id="order-1")
OTHER_REF = ObjectRef(system="target", object_type="order", object_id="order-2")
CLERK = person("clerk", roles=frozenset({Role.APPROVER}), tenant_id=TENANT)
ROBOT = Principal(
    iss="local", sub="script", tenant_id=TENANT, account_ids=("*",), roles=frozenset({Role.OPERATOR, Role.APPROVER})
)


async def doubtful(world: World, kind: str = "unsafe", act: Act = Act.DO_AND_LOSE_REPLY) -> ActionIntent:
    """An intent whose run is in doubt."""
    world.target.script(act)
    intent = await world.approved(kind)
    await world.run(intent)
    assert await world.status(intent) is D
    return intent


async def resolve(
    world: World, intent: ActionIntent, by: Principal = ANA, *, executed: bool = False, refs: tuple[ObjectRef, ...] = ()
) -> Resolution:
    """Says what somebody found out."""
    operations = world.service.operations
    return await operations.resolve(by, intent.action_intent_id, executed=executed, refs=refs, comment="I looked.")


async def test_executed(world: World) -> None:
    """The run has succeeded, with what the person named; the permit says by whose word."""
    intent = await doubtful(world)
    assert (await resolve(world, intent, executed=True, refs=(REF,))).status is S
    outcomes = await world.store.outcomes(intent.tenant_id, intent.action_intent_id)
    assert [(o.outcome_revision, o.status) for o in outcomes] == [(1, D), (2, S)]
    assert outcomes[1].external_object_refs == (REF,)
    (permit,) = await world.permits(intent)
    assert (permit.result, permit.settled_by) == (CallResult.DONE, SettledBy.RESOLVED)
    assert await world.events(intent) == [
        LedgerEvent.EXECUTION_STARTED,
        LedgerEvent.WRITE_PERMITTED,
        LedgerEvent.TOOL_INVOKED,
        LedgerEvent.EXECUTION_IN_DOUBT,
        LedgerEvent.IN_DOUBT_RESOLVED,
        LedgerEvent.ACTION_EXECUTED,
    ]
    await world.verify()


async def test_not_executed_and_run_again(world: World) -> None:
    """The run has failed; a replay is a new run under the same key, because a person can be wrong."""
    intent = await doubtful(world, act=Act.LOSE_REQUEST)
    assert (await resolve(world, intent)).status is F
    (permit,) = await world.permits(intent)
    assert (permit.result, permit.settled_by) == (CallResult.UNKNOWN, SettledBy.RESOLVED)
    before = await world.attempt(intent)
    number = await world.service.operations.replay(ANA, intent.action_intent_id, "nothing was there")
    assert number == 2
    await world.run(intent, number)
    attempt = await world.attempt(intent)
    assert (attempt.status, attempt.run_number, attempt.owner) == (S, 2, f"exec-{intent.action_intent_id}-r2")
    assert attempt.fence > before.fence, "fences only grow"
    assert len({sent.key for sent in world.target.sent}) == 1
    events = await world.events(intent)
    assert events[-1] is LedgerEvent.REPLAY_COMPLETED
    assert [events.count(e) for e in (LedgerEvent.REPLAY_REQUESTED, LedgerEvent.REPLAY_STARTED)] == [1, 1]
    outcomes = await world.store.outcomes(intent.tenant_id, intent.action_intent_id)
    assert [(o.run_number, o.outcome_revision, o.status) for o in outcomes] == [(1, 1, D), (1, 2, F), (2, 1, S)]
    await world.verify()


async def test_a_key_is_not_given_up_on_a_persons_word(world: World) -> None:
    """Even where failures burn keys: the call may have been honoured under it after all."""
    world.target.script(*[Act.DO_AND_LOSE_REPLY] * 4)
    intent = await world.approved("burning")
    await world.run(intent)
    await resolve(world, intent)
    number = await world.service.operations.replay(ANA, intent.action_intent_id, "again")
    await world.run(intent, number)
    assert len({sent.key for sent in world.target.sent}) == 1
    assert len(world.target.made) == 1


async def test_a_replay_of_a_clean_failure_gives_up_a_burnt_key(world: World) -> None:
    """Every call was refused, and the tool says that a refusal burns its key: a replay has another one."""
    world.target.script(Act.REFUSE_FOR_GOOD)
    intent = await world.approved("burning")
    await world.run(intent)
    number = await world.service.operations.replay(ANA, intent.action_intent_id, "again")
    await world.run(intent, number)
    assert await world.status(intent) is S
    assert len({sent.key for sent in world.target.sent}) == 2


async def test_high_risk_needs_two_people(world: World) -> None:
    """One word is recorded and changes nothing; the second one, if it is the same, does."""
    intent = await doubtful(world, "grave")
    first = await resolve(world, intent, executed=True, refs=(REF,))
    assert (first.status, first.approvals_missing) == (D, 1)
    with pytest.raises(IllegalTransition):
        await resolve(world, intent, executed=True, refs=(REF,))
    carl = person("carl", tenant_id=TENANT)
    assert (await resolve(world, intent, carl, executed=True, refs=(OTHER_REF,))).approvals_missing == 1
    assert (await resolve(world, intent, ROBOT, executed=True, refs=(REF,))).approvals_missing == 1
    assert await world.status(intent) is D
    assert (await resolve(world, intent, BEA, executed=True, refs=(REF,))).status is S
    words = [e for e in await world.events(intent) if e is LedgerEvent.IN_DOUBT_RESOLVED]
    assert len(words) == 4


async def test_two_people_who_disagree(world: World) -> None:
    """It takes a third who agrees with one of them."""
    intent = await doubtful(world, "grave")
    await resolve(world, intent, ANA, executed=True, refs=(REF,))
    await resolve(world, intent, BEA)
    assert await world.status(intent) is D
    carl = person("carl", tenant_id=TENANT)
    assert (await resolve(world, intent, carl)).status is F


async def test_two_people_at_once(world: World) -> None:
    """Each of them hears what came of it, and the run ends once."""
    for _ in range(5):
        intent = await doubtful(world, "grave")
        answers = await asyncio.gather(resolve(world, intent, ANA), resolve(world, intent, BEA))
        assert await world.status(intent) is F
        assert F in {answer.status for answer in answers}
        events = await world.events(intent)
        assert events.count(LedgerEvent.ACTION_FAILED) == 1


async def test_who_may_not(world: World) -> None:
    """It needs the operator's role, the tenant, a reason, and a run that is in doubt."""
    intent = await doubtful(world)
    with pytest.raises(Forbidden):
        await resolve(world, intent, CLERK)
    with pytest.raises(IntentNotFound):
        await resolve(world, intent, person("eve", tenant_id="other"))
    with pytest.raises(InvalidInput):
        await resolve(world, intent, executed=False, refs=(REF,))
    with pytest.raises(InvalidInput):
        await world.service.operations.resolve(ANA, intent.action_intent_id, executed=True, comment=" ")
    assert await world.status(intent) is D
    await resolve(world, intent)
    with pytest.raises(IllegalTransition):
        await resolve(world, intent, BEA)


async def test_a_resolve_races_with_a_look_up(world: World) -> None:
    """A person and a look-up at the same time: one of them ends it, and the other one finds it ended."""
    world.target.blind = True
    intent = await doubtful(world, "searched")
    world.target.blind = False
    world.clock.advance(60)
    answers = await asyncio.gather(
        resolve(world, intent, executed=True, refs=(REF,)),
        world.driver().drive(world.request(intent)),
        return_exceptions=True,
    )
    assert all(not isinstance(answer, Conflict) for answer in answers)
    assert await world.status(intent) is S
    assert (await world.events(intent)).count(LedgerEvent.ACTION_EXECUTED) == 1


# -- replay ----------------------------------------------------------------------------------------------------------


async def test_only_what_failed_is_replayed(world: World) -> None:
    """Not what succeeded, what is in doubt, or what never started."""
    replay = world.service.operations.replay
    done = await world.approved("keyed")
    await world.run(done)
    for intent in (done, await doubtful(world), await world.approved("keyed"), await world.proposed("keyed")):
        with pytest.raises(IllegalTransition):
            await replay(ANA, intent.action_intent_id, "again")
    with pytest.raises(InvalidInput):
        await replay(ANA, done.action_intent_id, " ")
    with pytest.raises(Forbidden):
        await replay(AGENT, done.action_intent_id, "again")


async def test_two_replays_at_once(world: World) -> None:
    """One new run, and one who hears that there is one."""
    world.target.script(Act.REFUSE_FOR_GOOD)
    intent = await world.approved("keyed")
    await world.run(intent)
    replay = world.service.operations.replay
    answers = await asyncio.gather(
        replay(ANA, intent.action_intent_id, "a"), replay(BEA, intent.action_intent_id, "b"), return_exceptions=True
    )
    assert 2 in answers
    assert sum(isinstance(answer, IllegalTransition) for answer in answers) == 1
    assert (await world.attempt(intent)).run_number == 2


async def test_a_replay_takes_the_effect_key_again(world: World) -> None:
    """Given back by the failure and taken by another intent meanwhile: the replay is refused, and says by whom."""
    world.target.script(Act.REFUSE_FOR_GOOD)
    first = await world.approved("keyed", parameters={"item": "tea"})
    await world.run(first)
    second = await world.approved("keyed", parameters={"item": "tea"})
    with pytest.raises(EffectKeyTaken) as refused:
        await world.service.operations.replay(ANA, first.action_intent_id, "again")
    assert refused.value.details == {"action_intent_id": second.action_intent_id}


async def test_a_replay_of_a_cancelled_run(world: World) -> None:
    """The cancel was for the first run alone."""
    world.target.script(Act.REFUSE)
    intent = await world.approved("keyed")
    driver = world.driver()
    await driver.drive(world.request(intent))
    await world.service.decisions.cancel(ANA, intent.action_intent_id)
    await world.run(intent, driver=driver)
    assert await world.status(intent) is C
    number = await world.service.operations.replay(ANA, intent.action_intent_id, "after all")
    await world.run(intent, number)
    assert await world.status(intent) is S


# -- after a restore -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "there", "status", "sent"),
    [
        ("keyed", True, S, 2),
        ("keyed", False, S, 1),
        ("searched", True, S, 1),
        ("searched", False, S, 1),
        ("never_final", True, S, 1),
        ("never_final", False, D, 0),
        ("unsafe", True, D, 1),
        ("unsafe", False, D, 0),
        ("burning", True, D, 1),
    ],
)
async def test_after_a_restore_from_backup(world: World, kind: str, there: bool, status: RunStatus, sent: int) -> None:
    """What was approved when the backup was made may have been executed since: the ordinary rules find out, or ask."""
    intent = await world.approved(kind)
    if there:
        # The world went on after the backup; the restored store knows nothing of it.
        clock = ManualClock()
        lost = await open_world(MemoryStore(clock), clock)
        lost.doors, lost.target = world.doors, world.target
        await lost.store.commit([CreateIntent(intent=intent, max_pending_of_proposer=9, max_pending_of_tenant=9)])
        await lost.run(intent)
    assert await world.service.restore.put_in_doubt() >= 1
    await world.run(intent)
    assert await world.status(intent) is status
    assert len(world.target.sent) == sent
    assert len(world.target.made) == (1 if there or status is S else 0)
    if status is D:
        assert (await world.outcome(intent)).error_code == "RESTORED_FROM_BACKUP"


@pytest.mark.parametrize(("kind", "status", "sent"), [("keyed", S, 3), ("searched", S, 2), ("unsafe", D, 2)])
async def test_what_had_failed_may_have_been_replayed_since_the_backup(
    world: World, kind: str, status: RunStatus, sent: int
) -> None:
    """A replay after the restore is not the first one that anybody knows of: it goes by the ordinary rules too."""
    world.target.script(Act.REFUSE_FOR_GOOD)
    intent = await world.approved(kind)
    await world.run(intent)
    over = await world.approved(kind, expires_in_seconds=60)
    world.target.script(Act.REFUSE_FOR_GOOD)
    await world.run(over)
    world.clock.advance(120)
    await world.approved(kind)
    before = len(world.target.sent)
    # After the backup the first one was replayed, and did it.
    key = (await world.permits(intent))[0].idempotency_key
    world.target.made.append(("order-since", key))
    world.target.sent.append(world.target.sent[0])
    assert await world.service.restore.put_in_doubt() == 2, "the pending approval, and what can be replayed"
    assert [permit.call_no for permit in await world.permits(over)] == [1], "its approval had run out by then"
    await world.service.operations.replay(ANA, intent.action_intent_id, "once more")
    await world.run(intent, 2)
    assert await world.status(intent) is status
    assert len(world.target.sent) - before == sent - 1
    assert world.target.objects(key) == ["order-since"]


async def test_the_evidence_is_in_the_ledger_before_the_repeat(world: World) -> None:
    """The look-up that allowed another call is recorded in an earlier entry than that call's permit."""
    world.target.script(Act.LOSE_REQUEST)
    intent = await world.approved("searched")
    hold = world.target.hold(Point.CHECK, 2)
    running = asyncio.create_task(world.run(intent))
    await hold.reached.wait()
    entries = await world.entries(intent)
    told = [(entry.event_type, msgspec.json.decode(entry.data)) for entry in entries]
    kinds = [kind for kind, _ in told]
    looked, repeated = kinds.index(LedgerEvent.LOOKUP_PERFORMED), len(kinds) - 1
    assert kinds[repeated] is LedgerEvent.WRITE_PERMITTED, "the second call has not left yet"
    assert looked < repeated
    found, permit = told[repeated - 1][1], told[repeated][1]
    assert (told[repeated - 1][0], found["found"]) == (LedgerEvent.LOOKUP_PERFORMED, False)
    assert "an absence is final" in permit["reason"]
    sent_by = (await world.permits(intent))[0].call_not_after
    assert found["asked_at"] >= sent_by + ABSENCE_FINAL_AFTER_SECONDS * 1000
    hold.release()
    await running
    assert await world.status(intent) is S
