"""Who may decide what, and what a decision is good for."""

import asyncio
import itertools
from collections.abc import Awaitable

import msgspec
import pytest
from msgspec.structs import replace

from enactor.conformance.target import Act
from enactor.conformance.world import ACCOUNT, AGENT, ANA, BEA, TENANT, World
from enactor.domain.approval import ApprovalSource
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import (
    ApprovalStale,
    EnactorError,
    Forbidden,
    IllegalTransition,
    IntentNotFound,
    InvalidParameters,
    NotApproved,
    PreconditionFailed,
    SelfDecision,
)
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.ledger import LedgerEvent
from enactor.domain.principal import Principal, PrincipalRef, Role, person
from enactor.service import Decided

CARL = person("carl", tenant_id=TENANT)
PROGRAM = replace(ANA, sub="approval-bot", interactive=False)
DELEGATE = replace(ANA, sub="assistant", actors=(PrincipalRef("local", "somebody"),))
PENDING, APPROVED, REJECTED = IntentStatus.PENDING_APPROVAL, IntentStatus.APPROVED, IntentStatus.REJECTED


async def approve(world: World, intent: ActionIntent, by: Principal = ANA, digest: str = "") -> Decided:
    """Approves an intent as it is at hand."""
    return await world.service.decisions.approve(by, intent.action_intent_id, digest or intent.approval_digest)


async def edit(world: World, intent: ActionIntent, by: Principal = ANA, item: str = "coffee") -> ActionIntent:
    """Orders something else."""
    proposals = world.service.proposals
    return await proposals.edit(by, intent.action_intent_id, {"item": item}, intent.approval_digest)


async def now(world: World, intent: ActionIntent) -> ActionIntent:
    """The intent as the store has it."""
    return (await world.records(intent)).intent


async def submitted(world: World) -> list[str]:
    """What the engine was told to run."""
    return [request.action_intent_id for request in world.inbox.requests]


# -- the digest ------------------------------------------------------------------------------------------------------


async def test_an_approval_binds_the_digest(world: World) -> None:
    """Another digest approves nothing, and the answer says which is the current one."""
    intent = await world.proposed("keyed")
    for digest in ("", "0" * 64, intent.approval_digest.upper() + "x"):
        with pytest.raises(ApprovalStale) as refused:
            await approve(world, intent, digest=digest or "nothing")
        assert refused.value.details["current_digest"] == intent.approval_digest
    assert await world.store.approvals(TENANT, intent.action_intent_id) == ()
    assert (await approve(world, intent)).intent.status is APPROVED


async def test_what_an_approval_records(world: World) -> None:
    """Who, of what, as what, and why it was allowed; and the run is handed to the engine."""
    intent = await world.proposed("keyed")
    await world.service.decisions.approve(ANA, intent.action_intent_id, intent.approval_digest, "looks right")
    (approval,) = await world.store.approvals(TENANT, intent.action_intent_id)
    assert approval.decided_by == ANA.ref
    assert (approval.approval_digest, approval.revision) == (intent.approval_digest, 1)
    assert (approval.approval_source, approval.comment) == (ApprovalSource.HUMAN, "looks right")
    entry = (await world.entries(intent))[-1]
    data = msgspec.json.decode(entry.data)
    assert (entry.event_type, entry.actor) == (LedgerEvent.ACTION_APPROVED, "local#ana")
    assert data["reasons"] == ["permissive"]
    assert data["in_force"] is True
    assert await submitted(world) == [intent.action_intent_id]


async def test_approving_again_changes_nothing_and_delivers_again(world: World) -> None:
    """The same approval may arrive any number of times; the record is the same, and the engine hears of it again."""
    intent = await world.proposed("keyed")
    first = await approve(world, intent)
    position = await world.store.last_position()
    for by in (ANA, BEA, ANA):
        assert (await approve(world, intent, by)).intent == first.intent
    assert await world.store.last_position() == position
    assert len(await submitted(world)) == 4


async def test_execute_delivers_an_approval_and_makes_none(world: World) -> None:
    """Without one it is refused, with one the engine hears of it."""
    intent = await world.proposed("keyed")
    with pytest.raises(NotApproved):
        await world.service.decisions.execute(ANA, intent.action_intent_id)
    await approve(world, intent)
    await world.service.decisions.execute(AGENT, intent.action_intent_id)
    assert len(await submitted(world)) == 2


# -- nobody decides their own ----------------------------------------------------------------------------------------

BOTH = frozenset({Role.PROPOSER, Role.APPROVER})


@pytest.mark.parametrize("decision", ["approve", "reject"])
@pytest.mark.parametrize(
    ("proposer", "decider"),
    [
        (replace(ANA, roles=BOTH), ANA),
        (replace(AGENT, actors=(ANA.ref,)), ANA),
        (replace(AGENT, actors=(PrincipalRef("local", "x"), ANA.ref)), ANA),
        (replace(ANA, roles=BOTH), replace(BEA, actors=(ANA.ref,))),
        (replace(AGENT, actors=(CARL.ref,)), replace(BEA, actors=(CARL.ref,))),
    ],
    ids=["oneself", "in its act chain", "deep in it", "acting for the proposer", "both for the same"],
)
async def test_nobody_decides_their_own(world: World, proposer: Principal, decider: Principal, decision: str) -> None:
    """Not the proposer, nobody in the proposing token's chain, and nobody who acts for any of them."""
    intent = await world.proposed("keyed", by=proposer)
    decisions = world.service.decisions
    if decision == "approve":
        deciding: Awaitable[object] = approve(world, intent, decider)
    else:
        deciding = decisions.reject(decider, intent.action_intent_id, "no")
    with pytest.raises(SelfDecision):
        await deciding
    assert (await now(world, intent)).status is PENDING
    assert (await approve(world, intent, person("dora", tenant_id=TENANT))).intent.status is APPROVED


async def test_the_same_name_at_another_issuer_is_somebody_else(world: World) -> None:
    """Principals are issuer and subject."""
    intent = await world.proposed("keyed", by=replace(ANA, roles=BOTH))
    assert (await approve(world, intent, replace(ANA, iss="https://other.example"))).intent.status is APPROVED


async def test_whoever_edits_may_not_decide(world: World) -> None:
    """Nor whoever proposed the first revision; a third person may."""
    intent = await edit(world, await world.proposed("keyed", by=replace(CARL, roles=BOTH)), ANA)
    for by in (ANA, CARL):
        with pytest.raises(SelfDecision):
            await approve(world, intent, by)
    assert (await approve(world, intent, BEA)).intent.status is APPROVED


async def test_it_needs_the_role(world: World) -> None:
    """Roles do not nest: an operator who is no approver decides nothing."""
    intent = await world.proposed("keyed")
    for role in Role:
        if role is not Role.APPROVER:
            with pytest.raises((Forbidden, IntentNotFound)):
                await approve(world, intent, person("olga", roles=frozenset({role}), tenant_id=TENANT))
    for by in (person("eve", tenant_id="other"), replace(ANA, account_ids=("south",))):
        with pytest.raises(IntentNotFound):
            await approve(world, intent, by)


# -- how many --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "deciders", "missing"),
    [
        ("trivial", [PROGRAM], 0),
        ("trivial", [ANA], 0),
        ("keyed", [PROGRAM], 1),
        ("keyed", [DELEGATE], 1),
        ("keyed", [PROGRAM, DELEGATE], 1),
        ("keyed", [PROGRAM, ANA], 0),
        ("grave", [ANA], 1),
        ("grave", [ANA, ANA], 1),
        ("grave", [ANA, PROGRAM], 1),
        ("grave", [PROGRAM, DELEGATE], 2),
        ("grave", [ANA, BEA], 0),
        ("grave", [ANA, PROGRAM, BEA], 0),
    ],
)
async def test_how_many_it_takes(world: World, kind: str, deciders: list[Principal], missing: int) -> None:
    """0, 1 or 2 different people by risk; a program, or whoever acts for another, fills no place of a person."""
    intent = await world.proposed(kind)
    for by in deciders:
        decided = await approve(world, intent, by)
    assert decided.approvals_missing == missing
    assert decided.intent.status is (PENDING if missing else APPROVED)
    assert bool(await submitted(world)) is (missing == 0)
    if missing == 0:
        human = any(by.interactive and not by.actors for by in deciders)
        assert decided.intent.approval_source == ("HUMAN" if human else "PROGRAM")


async def test_two_people_at_the_same_moment(world: World) -> None:
    """Both count: neither sees the other's as missing for ever."""
    for _ in range(10):
        intent = await world.proposed("grave")
        decided = await asyncio.gather(approve(world, intent, ANA), approve(world, intent, BEA))
        assert sorted(each.approvals_missing for each in decided) == [0, 1]
        assert (await now(world, intent)).status is APPROVED
        assert len(await world.store.approvals(TENANT, intent.action_intent_id)) == 2


# -- editing ---------------------------------------------------------------------------------------------------------


async def test_an_edit_is_another_revision_with_another_digest(world: World) -> None:
    """The parameters, the frozen call, the summary and the effect key are new; what was approved before is not."""
    before = await world.proposed("grave")
    await approve(world, before, BEA)
    after = await edit(world, before, CARL)
    assert (after.revision, after.status) == (2, PENDING)
    assert after.approval_digest != before.approval_digest
    assert after.digest_salt != before.digest_salt
    assert msgspec.json.decode(after.tool_call.argument_bytes) == {"item": "coffee"}
    with pytest.raises(ApprovalStale):
        await approve(world, before, ANA)
    assert (await approve(world, after, ANA)).approvals_missing == 1, "the approval of the first revision is gone"
    assert (await approve(world, after, BEA)).approvals_missing == 0
    revisions = await world.store.revisions(TENANT, before.action_intent_id)
    assert [revision.revision for revision in revisions] == [1, 2]


async def test_an_approved_intent_that_is_edited_needs_a_new_approval(world: World) -> None:
    """And what the engine was told of the old revision starts nothing."""
    before = await world.approved("keyed")
    after = await edit(world, before, CARL)
    assert (after.status, after.approval_source, after.approved_at, after.switch_marks) == (PENDING, None, None, ())
    with pytest.raises(ApprovalStale):
        await world.driver().drive(world.request(before, handed=True))
    assert world.target.sent == []
    await approve(world, after, BEA)
    await world.run(after)
    assert await world.status(after) is RunStatus.SUCCEEDED


async def test_an_edit_needs_the_current_digest_and_no_execution(world: World) -> None:
    """Too late once it runs; refused when somebody else was first; and the parameters are validated as ever."""
    intent = await world.proposed("keyed")
    second = await edit(world, intent)
    with pytest.raises(PreconditionFailed):
        await edit(world, intent, BEA)
    with pytest.raises(InvalidParameters):
        await world.service.proposals.edit(BEA, intent.action_intent_id, {"item": 5}, second.approval_digest)
    await approve(world, second, CARL)
    await world.run(second)
    with pytest.raises(IllegalTransition):
        await edit(world, await now(world, second), BEA)
    with pytest.raises(Forbidden):
        await edit(world, await world.proposed("keyed"), AGENT)


# -- closing ---------------------------------------------------------------------------------------------------------


async def test_a_rejection_is_for_good(world: World) -> None:
    """Nothing can be done with it any more, by anybody."""
    intent = await world.proposed("keyed")
    rejected = await world.service.decisions.reject(ANA, intent.action_intent_id, "too much")
    assert (rejected.status, rejected.decided_reason) == (REJECTED, "too much")
    for again in (
        approve(world, intent, BEA),
        approve(world, intent, ANA),
        world.service.decisions.reject(BEA, intent.action_intent_id, "no"),
        world.service.decisions.cancel(BEA, intent.action_intent_id),
        edit(world, rejected, BEA),
    ):
        with pytest.raises(IllegalTransition):
            await again
    with pytest.raises(NotApproved):
        await world.service.decisions.execute(ANA, intent.action_intent_id)
    assert [e.event_type for e in await world.entries(intent)][-1] is LedgerEvent.ACTION_REJECTED


async def test_one_who_approved_may_still_reject(world: World) -> None:
    """While others are missing; the rejection counts."""
    intent = await world.proposed("grave")
    await approve(world, intent, ANA)
    assert (await world.service.decisions.reject(ANA, intent.action_intent_id, "on reflection")).status is REJECTED


async def test_what_has_expired_cannot_be_approved(world: World) -> None:
    """Even if nobody has closed it yet; it is closed then."""
    intent = await world.proposed("keyed", expires_in_seconds=10)
    world.clock.advance(10)
    with pytest.raises(IllegalTransition):
        await approve(world, intent)
    assert (await now(world, intent)).status is IntentStatus.EXPIRED
    assert await world.store.approvals(TENANT, intent.action_intent_id) == ()


async def test_who_may_cancel(world: World) -> None:
    """The proposer its own, an operator any of its tenant and accounts, nobody else."""
    other = replace(AGENT, sub="other")
    intent = await world.proposed("keyed")
    for by in (other, person("eve", tenant_id="other"), replace(ANA, account_ids=("south",))):
        with pytest.raises((IntentNotFound, Forbidden)):
            await world.service.decisions.cancel(by, intent.action_intent_id)
    assert (await world.service.decisions.cancel(AGENT, intent.action_intent_id)).intent.status == "CANCELLED"
    second = await world.proposed("keyed")
    assert (await world.service.decisions.cancel(ANA, second.action_intent_id)).intent.status == "CANCELLED"


async def test_every_pair_of_decisions_at_once(world: World) -> None:
    """Whoever is first wins, the other one is told, and nothing is half done."""

    def moves(intent: ActionIntent) -> dict[str, Awaitable[object]]:
        decisions = world.service.decisions
        return {
            "approve": approve(world, intent, ANA),
            "reject": decisions.reject(BEA, intent.action_intent_id, "no"),
            "cancel": decisions.cancel(CARL, intent.action_intent_id),
            "edit": edit(world, intent, person("dora", tenant_id=TENANT), item=f"x-{intent.action_intent_id}"),
        }

    for one, two in itertools.permutations(("approve", "reject", "cancel", "edit"), 2):
        intent = await world.proposed("keyed")
        both = moves(intent)
        for name, unused in both.items():
            if name not in (one, two):
                unused.close()  # type: ignore[attr-defined]
        answers = await asyncio.gather(both[one], both[two], return_exceptions=True)
        assert all(not isinstance(a, BaseException) or isinstance(a, EnactorError) for a in answers)
        assert sum(not isinstance(a, BaseException) for a in answers) >= 1
        after = await now(world, intent)
        if after.status is APPROVED:
            assert (
                after.approval_digest
                == (await world.store.approvals(TENANT, intent.action_intent_id))[-1].approval_digest
            )
    await world.verify()


async def test_a_switch_turned_while_approving(world: World) -> None:
    """The marks of an approval are those of its very moment: a switch in between is seen."""
    intent = await world.proposed("keyed")
    read = world.store.switches
    turned = 0

    async def switches(scopes: object) -> object:
        nonlocal turned
        seen = await read(scopes)  # type: ignore[arg-type]
        if not turned:
            turned += 1
            for on in (True, False):
                await world.service.operations.set_switch(BEA, "tenant", enabled=on, reason="x")
        return seen

    world.store.switches = switches  # type: ignore[method-assign, assignment]
    decided = await approve(world, intent)
    assert {mark.scope: mark.generation for mark in decided.intent.switch_marks}[f"tenant:{TENANT}"] == 2
    await world.run(intent)
    assert await world.status(intent) is RunStatus.SUCCEEDED


async def test_an_approval_survives_everything_but_an_edit(world: World) -> None:
    """Approved now, executed a week later by another process, exactly as approved."""
    intent = await world.approved("keyed", account_id=ACCOUNT)
    world.target.script(Act.NOT_SENT)
    world.clock.advance(6 * 86_400)
    await world.run(intent)
    records = await world.records(intent)
    assert records.attempt is not None
    assert records.attempt.status is RunStatus.SUCCEEDED
    assert records.intent == intent
