"""Undo: a proposal of its own that takes back what one run did, and nothing else."""

from __future__ import annotations

import msgspec
import pytest

from enactor.conformance.shelf import Item
from enactor.conformance.target import Act
from enactor.conformance.world import ANA, BEA, TENANT, World
from enactor.connectors.sdk import Refused
from enactor.domain.action_type import RiskClass
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import (
    ApprovalStale,
    EffectKeyTaken,
    Forbidden,
    IllegalTransition,
    SelfDecision,
    UndoConflict,
    UndoImpossible,
    UnknownActionType,
)
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.ledger import LedgerEvent
from enactor.domain.outcome import CompensationStatus, ObjectRef
from enactor.domain.principal import Role, agent, person
from enactor.ports.commands import RegisterActionType
from enactor.service import Proposal

both = pytest.mark.parametrize("world", ["memory", "sqlite"], indirect=True)
memory_only = pytest.mark.parametrize("world", ["memory"], indirect=True)

C = CompensationStatus
OPERATOR = person("olga", tenant_id=TENANT, roles=frozenset({Role.OPERATOR}))


async def put(world: World, label: str = "tea") -> ActionIntent:
    """What was put on the shelf, and stands there."""
    intent = await world.decided(await world.proposed_on_shelf("put", label=label))
    await world.run(intent)
    assert await world.status(intent) is RunStatus.SUCCEEDED
    return intent


async def relabelled(world: World) -> ActionIntent:
    """What somebody had on the shelf, labelled anew."""
    world.shelf.items["item-9"] = Item(label="old", key="", changed_by="", version=3)
    intent = await world.decided(await world.proposed_on_shelf("relabel", object_id="item-9", label="new"))
    await world.run(intent)
    assert await world.status(intent) is RunStatus.SUCCEEDED
    return intent


async def undone(world: World, intent: ActionIntent) -> ActionIntent:
    """The undo of an intent, proposed, approved and run."""
    undo = await world.decided(await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong"))
    await world.run(undo)
    return undo


async def compensation(world: World, intent: ActionIntent) -> CompensationStatus:
    """What the original says of being taken back."""
    return (await world.outcome(intent)).compensation_status


@both
async def test_taken_back(world: World) -> None:
    """Proposed, approved by somebody else, called once, and the original says so in revisions of its outcome."""
    intent = await put(world)
    undo = await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong shelf")
    assert undo.status is IntentStatus.PENDING_APPROVAL
    assert (undo.action_type, undo.summary) == ("SHELF_TAKE_OFF", "Take back: Put tea there")
    assert (undo.risk_class, undo.required_approvals) == (RiskClass.LOW, 1)
    assert world.shelf.calls == ["put"], "nothing is called before it is approved"
    await world.run(await world.decided(undo))
    assert (world.shelf.calls, world.shelf.items) == (["put", "take_off"], {})
    outcomes = await world.store.outcomes(TENANT, intent.action_intent_id)
    assert [(o.status, o.compensation_status) for o in outcomes] == [
        (RunStatus.SUCCEEDED, C.NONE),
        (RunStatus.SUCCEEDED, C.PENDING),
        (RunStatus.SUCCEEDED, C.COMPLETED),
    ]
    assert outcomes[-1].compensated_by == undo.action_intent_id
    events = [entry.event_type for entry in await world.entries(intent)][-3:]
    assert events == [
        LedgerEvent.POLICY_EVALUATED,
        LedgerEvent.COMPENSATION_STARTED,
        LedgerEvent.COMPENSATION_COMPLETED,
    ]
    lines = [line.text for line in await world.service.inspection.timeline(ANA, intent.action_intent_id)]
    assert lines[-3:] == [
        f"local#olga proposed to take it back ({undo.action_intent_id}): wrong shelf",
        f"Taking it back by {undo.action_intent_id}, with shelf.take_off",
        f"Taken back by {undo.action_intent_id}",
    ]
    view = await world.service.inspection.execution(ANA, intent.action_intent_id)
    assert (view.status, view.compensation_status, view.compensated_by) == (
        "SUCCEEDED",
        "COMPLETED",
        undo.action_intent_id,
    )
    assert view.explanation.endswith(f"It was taken back by {undo.action_intent_id}.")
    await world.verify()


@both
async def test_undoing_twice_changes_nothing(world: World) -> None:
    """While the first is pending, runs or has succeeded, a second one is refused and names it."""
    intent = await put(world)
    undo = await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong")
    for step in (lambda: world.decided(undo), lambda: world.run(undo), lambda: world.run(undo)):
        with pytest.raises(EffectKeyTaken) as refused:
            await world.service.undoing.undo(ANA, intent.action_intent_id, "me too")
        assert refused.value.details["action_intent_id"] == undo.action_intent_id
        await step()
    assert world.shelf.calls == ["put", "take_off"]


@both
async def test_the_earlier_value_comes_back_and_no_proposer_sees_it(world: World) -> None:
    """What the preview showed before is in the undo's preview alone: not in its arguments, nor in the ledger."""
    intent = await relabelled(world)
    undo = await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong")
    assert undo.preview is not None
    assert (undo.preview.before, undo.preview.after) == ({"label": "new"}, {"label": "old"})
    seen = undo.tool_call.argument_bytes + str(undo.parameters) + "".join(e.data for e in await world.entries(undo))
    assert '"old"' not in seen
    assert (undo.risk_class, undo.required_approvals) == (RiskClass.HIGH, 2), "the tool that undoes is riskier"
    await world.run(await world.decided(undo))
    assert world.shelf.items["item-9"].label == "old"
    assert await compensation(world, intent) is C.COMPLETED


@memory_only
@pytest.mark.parametrize("gone", [True, False])
async def test_what_somebody_changed_is_refused(world: World, gone: bool) -> None:
    """At the proposal: nothing is stored but the reading, and it stays as somebody left it."""
    intent = await put(world)
    if gone:
        world.shelf.items.clear()
    else:
        world.shelf.touch("item-1")
    with pytest.raises(UndoConflict):
        await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong")
    entry = (await world.entries(intent))[-1]
    data = msgspec.json.decode(entry.data)
    assert (entry.event_type, data["found"], data["unchanged"]) == (LedgerEvent.TARGET_READ, not gone, False)
    assert world.shelf.calls == ["put"]
    assert await world.store.effect_holder(TENANT, f"undo:{intent.action_intent_id}:1") is None


@memory_only
@pytest.mark.parametrize("change", ["gone", "version", "dark"])
async def test_what_somebody_changed_after_the_approval_is_not_called_for(world: World, change: str) -> None:
    """It is read back once more before the first call; the run says why, and a later undo is possible again."""
    intent = await put(world)
    undo = await world.decided(await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong"))
    match change:
        case "gone":
            world.shelf.items.clear()
        case "version":
            world.shelf.touch("item-1")
        case _:
            world.shelf.dark.add("find")
    await world.run(undo)
    outcome = await world.outcome(undo)
    code = "TARGET_UNREADABLE" if change == "dark" else "UNDO_CONFLICT"
    assert (outcome.status, outcome.error_code, world.shelf.calls) == (RunStatus.FAILED, code, ["put"])
    assert await compensation(world, intent) is C.NONE, "nothing was called for it"
    assert await world.store.effect_holder(TENANT, f"undo:{intent.action_intent_id}:1") is None


@memory_only
async def test_the_tool_itself_refuses_what_was_changed_in_the_last_moment(world: World) -> None:
    """Between reading back and calling somebody may change it: CHANGED_SINCE, on the undo and on the original."""
    intent = await put(world)
    undo = await world.decided(await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong"))
    world.shelf.refused.append(Refused("CHANGED_SINCE", "It is not as it was left."))
    await world.run(undo)
    assert (await world.outcome(undo)).error_code == "CHANGED_SINCE"
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.compensation_status) == (RunStatus.SUCCEEDED, C.FAILED)
    assert "not as it was left" in str(outcome.compensation_error)
    again = await undone(world, intent)
    assert again.action_intent_id != undo.action_intent_id
    assert await compensation(world, intent) is C.COMPLETED
    keys = {(await world.permits(one))[0].idempotency_key for one in (undo, again)}
    assert len(keys) == 1, "every undo of a run has the same key"


@memory_only
async def test_its_effect_key_is_given_back(world: World) -> None:
    """Taken back, the same thing may be done again."""
    entry = await world.service.core.action_type_for(TENANT, "SHELF_PUT")
    assert entry is not None
    keyed = msgspec.structs.replace(entry, registry_version=2, effect_key="put:{label}")
    await world.store.commit([RegisterActionType(action_type=keyed)])
    intent = await put(world)
    with pytest.raises(EffectKeyTaken):
        await world.proposed_on_shelf("put", label="tea")
    await undone(world, intent)
    assert (await put(world)).action_intent_id != intent.action_intent_id


@memory_only
@pytest.mark.parametrize(("executed", "status"), [(True, C.COMPLETED), (False, C.FAILED)])
async def test_an_undo_in_doubt(world: World, executed: bool, status: CompensationStatus) -> None:
    """Both say so, nothing else may take it back meanwhile, and a person's word ends it for both."""
    intent = await put(world)
    world.shelf.lost = 1
    world.shelf.dark.add("find_taken_off")
    undo = await undone(world, intent)
    assert await world.status(undo) is RunStatus.IN_DOUBT
    assert await compensation(world, intent) is C.IN_DOUBT
    view = await world.service.inspection.execution(ANA, intent.action_intent_id)
    assert undo.action_intent_id in view.explanation
    with pytest.raises(EffectKeyTaken):
        await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "again")
    await world.service.operations.resolve(BEA, undo.action_intent_id, executed=executed, comment="I looked")
    assert await compensation(world, intent) is status
    ends = LedgerEvent.COMPENSATION_COMPLETED if executed else LedgerEvent.COMPENSATION_FAILED
    assert [entry.event_type for entry in await world.entries(intent)][-1] is ends
    await world.verify()


@memory_only
async def test_an_undo_in_doubt_is_settled_by_its_look_up(world: World) -> None:
    """What takes it back is looked up by its own means, as any other call is."""
    intent = await put(world)
    world.shelf.lost = 1
    undo = await undone(world, intent)
    assert (await world.status(undo), await compensation(world, intent)) == (RunStatus.SUCCEEDED, C.COMPLETED)
    assert world.shelf.calls == ["put", "take_off"]


@memory_only
async def test_what_is_not_known_or_did_nothing_is_not_undone(world: World) -> None:
    """Pending, in doubt, failed: each is refused with what to do instead."""
    pending = await world.proposed_on_shelf("put", label="a")
    world.target.script(Act.LOSE_REQUEST)
    doubtful = await world.approved("partial_unsafe")
    await world.run(doubtful)
    assert await world.status(doubtful) is RunStatus.IN_DOUBT
    world.shelf.refused.append(Refused("NO", "No."))
    failed = await world.decided(await world.proposed_on_shelf("put", label="b"))
    await world.run(failed)
    for intent, word in ((pending, "never executed"), (doubtful, "resolve it first"), (failed, "had no effect")):
        with pytest.raises(IllegalTransition, match=word):
            await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong")


@memory_only
@pytest.mark.parametrize(("kind", "said"), [("spill", "Sweep it up."), ("burn", "no way to take it back")])
async def test_by_hand_or_not_at_all(world: World, kind: str, said: str) -> None:
    """MANUAL and NONE answer with their documented statement, which the execution shows as well."""
    intent = await world.decided(await world.proposed_on_shelf(kind, label="milk"))
    await world.run(intent)
    with pytest.raises(UndoImpossible, match=said):
        await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong")
    view = await world.service.inspection.execution(ANA, intent.action_intent_id)
    assert view.compensation_strategy == ("MANUAL" if kind == "spill" else "NONE")
    assert said in view.compensation_note


@memory_only
async def test_an_undo_is_not_undone_nor_edited(world: World) -> None:
    """What was taken back is proposed anew; and nobody turns an undo against another object."""
    intent = await put(world)
    undo = await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong")
    arguments = {**undo.parameters, "refs": []}
    with pytest.raises(IllegalTransition, match="edited"):
        await world.service.proposals.edit(ANA, undo.action_intent_id, arguments, undo.approval_digest)
    await world.run(await world.decided(undo))
    with pytest.raises(UndoImpossible, match="itself"):
        await world.service.undoing.undo(OPERATOR, undo.action_intent_id, "undo the undo")


@memory_only
async def test_nobody_proposes_the_tool_that_undoes(world: World) -> None:
    """It is registered for undos alone: a proposal of it would choose whose object it takes."""
    entry = await world.service.core.action_type_for(TENANT, "SHELF_TAKE_OFF")
    assert entry is not None
    assert entry.undo_only
    parameters = {"original_key": "k", "refs": []}
    proposal = Proposal(action_type="SHELF_TAKE_OFF", account_id="north", parameters=parameters)
    with pytest.raises(UnknownActionType):
        await world.service.proposals.propose(agent("robot", tenant_id=TENANT), proposal)


@memory_only
async def test_who_may(world: World) -> None:
    """An operator of the account proposes it, a policy may forbid it, and its proposer does not approve it."""
    intent = await put(world)
    auditor = person("aud", tenant_id=TENANT, roles=frozenset({Role.AUDITOR, Role.APPROVER}))
    with pytest.raises(Forbidden):
        await world.service.undoing.undo(auditor, intent.action_intent_id, "wrong")
    undo = await world.service.undoing.undo(ANA, intent.action_intent_id, "wrong")
    assert [(q.action.value, q.action_type) for q in world.policy.questions][-1] == ("undo", "SHELF_PUT")
    with pytest.raises(SelfDecision):
        await world.service.decisions.approve(ANA, undo.action_intent_id, undo.approval_digest)
    with pytest.raises(ApprovalStale):
        await world.service.decisions.approve(BEA, undo.action_intent_id, "0" * 64)


@memory_only
async def test_what_a_person_said_was_done_is_read_back_for_its_version(world: World) -> None:
    """A resolve names no version: the one that is read back under our key is what the undo is bound to."""
    world.shelf.lost = 1
    world.shelf.dark.update({"find", "find_label"})
    world.shelf.items["item-9"] = Item(label="old", key="", changed_by="", version=3)
    intent = await world.decided(await world.proposed_on_shelf("relabel", object_id="item-9", label="new"))
    await world.run(intent)
    ref = ObjectRef(system="shelf", object_type="item", object_id="item-9")
    await world.service.operations.resolve(ANA, intent.action_intent_id, executed=True, refs=(ref,), comment="there")
    world.shelf.dark.clear()
    undo = await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong")
    assert undo.undoes is not None
    assert undo.undoes.refs[0].version == "4"
    await world.run(await world.decided(undo))
    assert world.shelf.items["item-9"].label == "old"


@memory_only
async def test_a_partial_effect_that_stands_can_be_undone(world: World) -> None:
    """Its own compensation failed; an operator's undo takes it back after all, under another key."""
    world.target.script(Act.DO_PARTLY)
    world.target.script_undo(Act.REFUSE_FOR_GOOD)
    intent = await world.approved("partial")
    await world.run(intent)
    assert await compensation(world, intent) is C.FAILED
    undo = await undone(world, intent)
    assert await world.status(undo) is RunStatus.SUCCEEDED
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.compensation_status) == (RunStatus.FAILED, C.COMPLETED)
    assert world.target.taken_back == world.target.objects()


@memory_only
async def test_a_switch_stops_an_undo(world: World) -> None:
    """It is an action like any other: stopped before its call, nothing is said of the original."""
    intent = await put(world)
    undo = await world.decided(await world.service.undoing.undo(OPERATOR, intent.action_intent_id, "wrong"))
    await world.service.operations.set_switch(ANA, "connector:shelf", enabled=True, reason="stop")
    await world.run(undo)
    assert await world.status(undo) is RunStatus.CANCELLED
    assert (await compensation(world, intent), world.shelf.calls) == (C.NONE, ["put"])
