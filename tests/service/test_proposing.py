"""Proposing: limits, effect keys, idempotency keys, batches, automatic approval."""

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from enactor.conformance.target import Act
from enactor.conformance.world import ACCOUNT, AGENT, ANA, TENANT, World
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import (
    EffectKeyTaken,
    EnactorError,
    Forbidden,
    IdempotencyKeyReused,
    InvalidInput,
    InvalidParameters,
    RequestInProgress,
    TooManyPending,
    UnknownActionType,
)
from enactor.domain.intent import ActionIntent, ExecutionPolicy, IntentStatus, Target, TargetSource
from enactor.domain.ledger import LedgerEvent
from enactor.domain.principal import agent
from enactor.service import Proposal, Proposed

OTHER_AGENT = replace(AGENT, sub="other-robot")


def proposal(item: str = "tea", kind: str = "KEYED", **more: Any) -> Proposal:
    """An order."""
    fields = {"account_id": ACCOUNT, "parameters": {"item": item}, **more}
    return Proposal(action_type=f"TARGET_{kind}", **fields)


async def propose(world: World, what: Proposal, by: Any = AGENT, key: str | None = None) -> Proposed:
    """Proposes it."""
    return await world.service.proposals.propose(by, what, idempotency_key=key)


# -- what is frozen --------------------------------------------------------------------------------------------------


async def test_what_a_proposal_freezes(world: World) -> None:
    """The call, byte for byte, with everything the digest binds; and the ledger has what was asked."""
    made = (await propose(world, proposal(rationale="they asked", evidence_refs=("mail-1",)))).intent
    assert made.tool_call.argument_bytes == '{"item":"tea"}'
    assert (made.status, made.revision, made.version) == (IntentStatus.PENDING_APPROVAL, 1, 1)
    assert (made.summary, made.effect_key) == ("Order tea", "order:tea")
    assert made.expires_at_epoch == world.clock.now_ms() // 1000 + 7 * 86_400
    proposed, evaluated = await world.entries(made)
    data = msgspec.json.decode(proposed.data)
    assert (proposed.event_type, evaluated.event_type) == (
        LedgerEvent.INTENT_PROPOSED,
        LedgerEvent.POLICY_EVALUATED,
    )
    assert data["approval_digest"] == made.approval_digest
    assert data["argument_bytes"] == made.tool_call.argument_bytes


async def test_what_a_proposal_may_wish_for_is_capped(world: World) -> None:
    """Retries, timeout and life time are at most what the registry allows."""
    wish = ExecutionPolicy(retry_count=10_000, timeout_seconds=10_000)
    made = (await propose(world, proposal(execution_policy=wish, expires_in_seconds=10**9))).intent
    assert made.execution_policy == ExecutionPolicy(retry_count=10, timeout_seconds=300)
    assert made.expires_at_epoch == world.clock.now_ms() // 1000 + 30 * 86_400


async def test_a_target_is_the_proposers_word(world: World) -> None:
    """Unless the tool says where it is in the arguments, whatever the proposal says its source is."""
    target = Target("shop", "7", TargetSource.ARGUMENTS)
    made = (await propose(world, proposal(target=target))).intent
    assert made.target == Target("shop", "7", TargetSource.PROPOSER)


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (proposal(kind="UNHEARD_OF"), UnknownActionType),
        (Proposal(action_type="", account_id=ACCOUNT, parameters={}), UnknownActionType),
        (proposal(parameters={"item": 5}), InvalidParameters),
        (proposal(parameters={"item": "tea", "more": 1}), InvalidParameters),
        (proposal(parameters={"item": None}), InvalidParameters),
        (proposal(parameters={"item": "x", "deep": [[[[1]]]]}), InvalidParameters),
        (proposal(parameters={"item": "\ud800"}), InvalidInput),
        (proposal(account_id="_tenant"), InvalidInput),
        (proposal(account_id=""), InvalidInput),
        (proposal(expires_in_seconds=0), InvalidInput),
        (proposal(expires_in_seconds=-1), InvalidInput),
        (proposal(execution_policy=ExecutionPolicy(retry_count=-1)), InvalidInput),
        (proposal(execution_policy=ExecutionPolicy(timeout_seconds=0)), InvalidInput),
        (proposal(rationale="x" * 4_001), InvalidInput),
    ],
)
async def test_what_cannot_be_meant_is_refused_when_proposed(world: World, what: Proposal, error: type) -> None:
    """A typed error, and nothing stored: no intent, no entry, no request key."""
    position = await world.store.last_position()
    with pytest.raises(error):
        await propose(world, what, key="k")
    assert await world.store.last_position() == position
    assert (await propose(world, proposal(), key="k")).created, "the key is free"


async def test_who_may_propose(world: World) -> None:
    """It needs the role, and the token has to cover the account."""
    with pytest.raises(Forbidden):
        await propose(world, proposal(), by=ANA)
    with pytest.raises(Forbidden):
        await propose(world, proposal(), by=agent("narrow", tenant_id=TENANT, account_ids=("south",)))
    with pytest.raises(Forbidden):
        await propose(world, proposal(), by=agent("none", tenant_id=TENANT, account_ids=()))


# -- limits ----------------------------------------------------------------------------------------------------------


async def test_pending_limits(world: World) -> None:
    """Fifty for each proposer, by default, and five hundred for a tenant; what is decided makes room."""
    made = [await world.proposed("keyed") for _ in range(50)]
    with pytest.raises(TooManyPending):
        await world.proposed("keyed")
    assert await world.proposed("keyed", by=OTHER_AGENT)
    assert await world.proposed("keyed", by=agent("robot", tenant_id="elsewhere"))
    decisions = world.service.decisions
    await decisions.approve(ANA, made[0].action_intent_id, made[0].approval_digest)
    await decisions.reject(ANA, made[1].action_intent_id, "no")
    await decisions.cancel(AGENT, made[2].action_intent_id)
    for _ in range(3):
        await world.proposed("keyed")
    with pytest.raises(TooManyPending):
        await world.proposed("keyed")


async def test_the_tenants_limit(world: World) -> None:
    """However many proposers there are."""
    world.limits = replace(world.limits, max_pending_of_tenant=5)
    world.service = world.service_with(world.inbox)
    for number in range(5):
        await world.proposed("keyed", by=replace(AGENT, sub=f"robot-{number}"))
    with pytest.raises(TooManyPending):
        await world.proposed("keyed", by=OTHER_AGENT)


async def test_limits_hold_at_once(world: World) -> None:
    """A hundred proposals at the same moment: fifty are taken."""
    answers = await asyncio.gather(*(world.proposed("keyed") for _ in range(100)), return_exceptions=True)
    assert sum(isinstance(answer, ActionIntent) for answer in answers) == 50
    assert sum(isinstance(answer, TooManyPending) for answer in answers) == 50


# -- effect keys -----------------------------------------------------------------------------------------------------


async def _ended(world: World, intent: ActionIntent, how: str) -> None:
    decisions = world.service.decisions
    match how:
        case "rejected":
            await decisions.reject(ANA, intent.action_intent_id, "no")
        case "cancelled":
            await decisions.cancel(AGENT, intent.action_intent_id)
        case "expired":
            world.clock.advance(11)
            await decisions.expire_due()
        case "approved":
            await decisions.approve(ANA, intent.action_intent_id, intent.approval_digest)
        case "succeeded" | "failed" | "in doubt":
            acts = {"failed": (Act.REFUSE_FOR_GOOD,), "in doubt": (Act.LOSE_REQUEST,) * 4}
            world.target.script(*acts.get(how, ()))
            await decisions.approve(ANA, intent.action_intent_id, intent.approval_digest)
            await world.run(intent)


@pytest.mark.parametrize(
    ("how", "free"),
    [
        ("pending", False),
        ("approved", False),
        ("succeeded", False),
        ("in doubt", False),
        ("rejected", True),
        ("cancelled", True),
        ("expired", True),
        ("failed", True),
    ],
)
async def test_two_intents_never_do_the_same_thing(world: World, how: str, free: bool) -> None:
    """One holds the effect key while it is pending, in force, in doubt or done; the other one is told which."""
    first = (await propose(world, proposal(expires_in_seconds=10))).intent
    await _ended(world, first, how)
    if free:
        assert (await propose(world, proposal(), by=OTHER_AGENT)).created
        return
    with pytest.raises(EffectKeyTaken) as refused:
        await propose(world, proposal(), by=OTHER_AGENT)
    assert refused.value.details["action_intent_id"] == first.action_intent_id
    assert (await propose(world, proposal("coffee"))).created
    assert (await propose(world, proposal(), by=agent("robot", tenant_id="elsewhere"))).created


async def test_a_doubt_that_is_resolved_frees_the_key_only_if_nothing_happened(world: World) -> None:
    """NOT_EXECUTED gives it back; EXECUTED keeps it."""
    for executed in (False, True):
        item = f"item-{executed}"
        first = (await propose(world, proposal(item))).intent
        await _ended(world, first, "in doubt")
        resolve = world.service.operations.resolve
        await resolve(ANA, first.action_intent_id, executed=executed, comment="I looked.")
        if executed:
            with pytest.raises(EffectKeyTaken):
                await propose(world, proposal(item))
        else:
            assert (await propose(world, proposal(item))).created


async def test_an_edit_moves_the_effect_key(world: World) -> None:
    """To one that is free, and never onto another intent's; the old one is free then."""
    tea, coffee = [(await propose(world, proposal(item))).intent for item in ("tea", "coffee")]
    proposals = world.service.proposals
    with pytest.raises(EffectKeyTaken):
        await proposals.edit(ANA, tea.action_intent_id, {"item": "coffee"}, tea.approval_digest)
    await proposals.edit(ANA, coffee.action_intent_id, {"item": "milk"}, coffee.approval_digest)
    edited = await proposals.edit(ANA, tea.action_intent_id, {"item": "coffee"}, tea.approval_digest)
    assert edited.effect_key == "order:coffee"
    assert (await propose(world, proposal("tea"))).created


# -- idempotency keys ------------------------------------------------------------------------------------------------


async def test_the_same_key_and_body_is_the_same_intent(world: World) -> None:
    """However often it is sent, also after a decision; and another key is another intent."""
    first = await propose(world, proposal(), key="k1")
    again = await propose(world, proposal(), key="k1")
    assert (first.created, again.created) == (True, False)
    assert again.intent == first.intent
    await world.service.decisions.reject(ANA, first.intent.action_intent_id, "no")
    third = await propose(world, proposal(), key="k1")
    assert (third.created, third.intent.status) == (False, IntentStatus.REJECTED)
    assert (await propose(world, proposal(), key="k2")).created


async def test_the_same_key_with_another_body_is_refused(world: World) -> None:
    """Any member of the body counts."""
    await propose(world, proposal(), key="k1")
    for other in (proposal("coffee"), proposal(rationale="x"), proposal(expires_in_seconds=5), proposal(kind="UNSAFE")):
        with pytest.raises(IdempotencyKeyReused):
            await propose(world, other, key="k1")


async def test_keys_are_each_proposers_own(world: World) -> None:
    """Another proposer, and another tenant's, may use the same key for something else."""
    await propose(world, proposal("a"), key="k1")
    assert (await propose(world, proposal("b"), by=OTHER_AGENT, key="k1")).created
    assert (await propose(world, proposal("c"), by=agent("robot", tenant_id="elsewhere"), key="k1")).created


async def test_the_same_key_at_once(world: World) -> None:
    """One intent: the others get it, or hear that it is being made."""
    answers = await asyncio.gather(*(propose(world, proposal(), key="k1") for _ in range(10)), return_exceptions=True)
    made = [answer for answer in answers if isinstance(answer, Proposed)]
    assert [answer.created for answer in made].count(True) == 1
    assert all(isinstance(answer, Proposed | RequestInProgress) for answer in answers)
    assert len({answer.intent.action_intent_id for answer in made}) == 1


async def test_the_same_key_at_two_servers_at_once(world: World) -> None:
    """Two processes cannot hear of each other's work: the store decides, and both answer with the one intent."""
    servers = [world.service_with(world.inbox) for _ in range(2)]
    answers = await asyncio.gather(
        *(server.proposals.propose(AGENT, proposal(), idempotency_key="k1") for server in servers)
    )
    assert sorted(answer.created for answer in answers) == [False, True]
    assert answers[0].intent == answers[1].intent


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_has_a_length(world: World, key: str) -> None:
    """1 to 255 characters."""
    with pytest.raises(InvalidInput):
        await propose(world, proposal(), key=key)


# -- batches ---------------------------------------------------------------------------------------------------------


async def test_a_batch_answers_item_by_item(world: World) -> None:
    """In order, each on its own: what cannot be does not keep the others from being."""
    batch = [proposal("a"), proposal(kind="NONE"), proposal("b"), proposal("a"), proposal(parameters={"item": 1})]
    answers = await world.service.proposals.propose_batch(AGENT, batch)
    assert [type(answer) for answer in answers] == [
        Proposed,
        UnknownActionType,
        Proposed,
        EffectKeyTaken,
        InvalidParameters,
    ]
    assert [a.intent.effect_key for a in answers if isinstance(a, Proposed)] == ["order:a", "order:b"]


@pytest.mark.parametrize("size", [0, 1_001])
async def test_a_batch_has_a_size(world: World, size: int) -> None:
    """1 to 1,000 proposals."""
    with pytest.raises(InvalidInput):
        await world.service.proposals.propose_batch(AGENT, [proposal()] * size)


# -- automatic approval ----------------------------------------------------------------------------------------------


async def test_what_a_policy_approves_runs_at_once(world: World) -> None:
    """Its approval is the policy's, is in the ledger, and is handed to the engine."""
    world.policy.automatic.add("TARGET_KEYED")
    made = (await propose(world, proposal())).intent
    assert (made.status, made.approval_source) == (IntentStatus.APPROVED, "POLICY")
    assert [request.action_intent_id for request in world.inbox.requests] == [made.action_intent_id]
    await world.run(made)
    assert await world.status(made) is RunStatus.SUCCEEDED
    assert (await world.outcome(made)).approval_source == "POLICY"
    assert LedgerEvent.ACTION_APPROVED in [e.event_type for e in await world.entries(made)]


async def test_nothing_stands_in_for_two_people(world: World) -> None:
    """HIGH risk is not approved by a policy, whatever it says."""
    world.policy.automatic.add("TARGET_GRAVE")
    made = (await propose(world, proposal(kind="GRAVE"))).intent
    assert made.status is IntentStatus.PENDING_APPROVAL
    assert world.inbox.requests == []


async def test_automatic_approval_under_a_switch(world: World) -> None:
    """What is approved while a switch is on, or as it is turned, does not run."""
    world.policy.automatic.add("TARGET_KEYED")
    read = world.store.switches

    async def switches(scopes: object) -> object:
        seen = await read(scopes)  # type: ignore[arg-type]
        world.store.switches = read  # type: ignore[method-assign]
        await world.service.operations.set_switch(ANA, "tenant", enabled=True, reason="stop")
        await world.service.operations.set_switch(ANA, "tenant", enabled=False, reason="go on")
        return seen

    world.store.switches = switches  # type: ignore[method-assign, assignment]
    made = (await propose(world, proposal())).intent
    await world.run(made)
    assert await world.status(made) is RunStatus.CANCELLED
    assert world.target.sent == []


async def test_a_proposer_sees_its_own(world: World) -> None:
    """And not another's, nor an approver of another account: for them it does not exist."""
    made = (await propose(world, proposal())).intent
    visible = world.service.core.visible_intent
    assert (await visible(AGENT, made.action_intent_id)) == made
    assert (await visible(ANA, made.action_intent_id)) == made
    for by in (OTHER_AGENT, replace(ANA, account_ids=("south",)), replace(ANA, tenant_id="elsewhere")):
        with pytest.raises(EnactorError) as refused:
            await visible(by, made.action_intent_id)
        assert refused.value.error_code == "INTENT_NOT_FOUND"
