"""Intents, decisions, `Idempotency-Key`s, effect keys and pending limits."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from enactor.conformance.builders import AGENT, ANA, TENANT, Builder
from enactor.conformance.store.base import (
    StoreSuite,
    approved,
    calling,
    closed,
    creation,
    ended,
    refused,
    running,
    start,
)
from enactor.domain.approval import Decision
from enactor.domain.attempt import RunStatus
from enactor.domain.intent import ActionIntent, IntentStatus, SwitchMark
from enactor.domain.principal import PrincipalRef
from enactor.ports.commands import (
    AppendApproval,
    Conflict,
    ConflictKind,
    RecordOutcome,
    ReleaseEffectKey,
    ReserveRequest,
    SetKillSwitch,
    UpdateAttempt,
    UpdateIntent,
)
from enactor.ports.store import Store

KEY = "refund:payment-9"


class IntentSuite(StoreSuite):
    """What may become of an intent before it runs."""

    async def test_an_intent_comes_back_as_it_was_stored(self, store: Store, build: Builder) -> None:
        """Every attribute survives, text outside ASCII and nesting included."""
        intent = build.approved(
            parameters={"title": "Ünïcode “quotes” 🎉", "deep": {"list": [1, None, True, {"x": 1.5}]}},
            evidence_refs=("doc:1", "doc:2"),
            rationale="Line one\nLine two\t\u202eright to left",
            labels={"undo_of": "ai_x"},
        )
        await store.commit([creation(intent)])
        assert await store.intent(TENANT, intent.action_intent_id) == intent

    async def test_an_id_is_stored_once(self, store: Store, build: Builder) -> None:
        """A second intent under the same id never replaces the first."""
        intent = await approved(store, build)
        other = replace(intent, summary="something else")
        conflict = await refused(store, build, ConflictKind.VERSION_CHANGED, [creation(other)])
        assert conflict.current == intent
        assert await store.intent(TENANT, intent.action_intent_id) == intent

    async def test_an_update_names_the_version_it_saw(self, store: Store, build: Builder) -> None:
        """An update of another version is refused with the stored intent, and changes nothing."""
        intent = await approved(store, build)
        cancelled = closed(intent, IntentStatus.CANCELLED)
        conflict = await refused(
            store, build, ConflictKind.VERSION_CHANGED, [UpdateIntent(intent=cancelled, expected_version=2)]
        )
        assert conflict.current == intent
        await store.commit([UpdateIntent(intent=cancelled, expected_version=1)])
        assert await store.intent(TENANT, intent.action_intent_id) == cancelled

    async def test_of_racing_updates_one_wins(self, store: Store, build: Builder) -> None:
        """Fifty updates of the same version: one happens, the others are refused."""
        intent = await approved(store, build)
        updates = [replace(intent, version=2, decided_reason=str(number)) for number in range(50)]
        results = await asyncio.gather(
            *(store.commit([UpdateIntent(intent=update, expected_version=1)]) for update in updates),
            return_exceptions=True,
        )
        won = [update for update, result in zip(updates, results, strict=True) if result is None]
        assert len(won) == 1
        assert [result.kind for result in results if isinstance(result, Conflict)] == [
            ConflictKind.VERSION_CHANGED
        ] * 49
        assert await store.intent(TENANT, intent.action_intent_id) == won[0]

    async def test_an_unknown_intent_is_not_updated(self, store: Store, build: Builder) -> None:
        """An update of an intent that does not exist, or is another tenant's, is refused."""
        update = UpdateIntent(intent=build.intent(), expected_version=1)
        await refused(store, build, ConflictKind.NOT_FOUND, [update])
        intent = await approved(store, build)
        theirs = replace(intent, tenant_id="globex", version=2)
        await refused(store, build, ConflictKind.NOT_FOUND, [UpdateIntent(intent=theirs, expected_version=1)])

    async def test_what_has_started_is_not_edited(self, store: Store, build: Builder) -> None:
        """An update that needs an unstarted intent is refused once there is a lock; another is not."""
        intent, attempt = await running(store, build)
        changed = replace(intent, version=2, decided_reason="noted")
        conflict = await refused(
            store, build, ConflictKind.ALREADY_STARTED, [UpdateIntent(intent=changed, expected_version=1)]
        )
        assert conflict.current == attempt
        await store.commit([UpdateIntent(intent=changed, expected_version=1, unstarted=False)])
        assert await store.intent(TENANT, intent.action_intent_id) == changed

    async def test_every_revision_is_kept(self, store: Store, build: Builder) -> None:
        """The last record of each revision can be read, oldest first."""
        first = build.intent()
        await store.commit([creation(first)])
        second = replace(first, revision=2, version=2, summary="second")
        await store.commit([UpdateIntent(intent=second, expected_version=1)])
        third = replace(first, revision=3, version=3, summary="third")
        await store.commit([UpdateIntent(intent=third, expected_version=2)])
        decided = closed(third, IntentStatus.APPROVED)
        await store.commit([UpdateIntent(intent=decided, expected_version=3)])
        assert await store.revisions(TENANT, first.action_intent_id) == (first, second, decided)

    async def test_an_approval_holds_only_under_the_switches_it_saw(self, store: Store, build: Builder) -> None:
        """A switch turned between reading and approving refuses the approval, also when it is off again."""
        intent = build.intent()
        await store.commit([creation(intent)])
        marked = replace(
            closed(intent, IntentStatus.APPROVED), switch_marks=(SwitchMark("global", 0), SwitchMark("tenant:acme", 0))
        )
        approve = UpdateIntent(intent=marked, expected_version=1, check_marks=True)
        on, off = build.switch("global", 1), build.switch("global", 2, enabled=False)
        await store.commit([SetKillSwitch(switch=on, expected_generation=0)])
        conflict = await refused(store, build, ConflictKind.SWITCH_CHANGED, [approve])
        assert conflict.current == on
        await store.commit([SetKillSwitch(switch=off, expected_generation=1)])
        await refused(store, build, ConflictKind.SWITCH_CHANGED, [approve])
        marked = replace(marked, switch_marks=(SwitchMark("global", 2), SwitchMark("tenant:acme", 0)))
        await store.commit([UpdateIntent(intent=marked, expected_version=1, check_marks=True)])

    # -- decisions and request keys ------------------------------------------------------------------------------

    async def test_a_person_decides_a_revision_once(self, store: Store, build: Builder) -> None:
        """The same person's second word on a revision is refused, whatever it says; other words are kept in order."""
        intent = await approved(store, build)
        first = build.approval(intent)
        await store.commit([AppendApproval(approval=first)])
        again = replace(first, decision=Decision.REJECTED)
        conflict = await refused(store, build, ConflictKind.ALREADY_DECIDED, [AppendApproval(approval=again)])
        assert conflict.current == first
        others = (
            replace(first, decided_by=PrincipalRef(ANA.iss, "bert")),
            replace(first, decided_by=PrincipalRef("https://other.example", ANA.sub)),
            replace(first, revision=2),
            replace(first, run_number=1, decision=Decision.RESOLVED_EXECUTED),
        )
        for other in others:
            await store.commit([AppendApproval(approval=other)])
        assert await store.approvals(TENANT, intent.action_intent_id) == (first, *others)

    async def test_decisions_about_the_platform_belong_to_no_tenant(self, store: Store, build: Builder) -> None:
        """A decision about something that is not an intent is read without a tenant, and by no tenant."""
        vote = build.approval(build.intent(), action_intent_id="registry:CREATE_INTERNAL_NOTE")
        await store.commit([AppendApproval(approval=vote)])
        await refused(store, build, ConflictKind.ALREADY_DECIDED, [AppendApproval(approval=vote)])
        assert await store.approvals("", "registry:CREATE_INTERNAL_NOTE") == (vote,)
        assert await store.approvals(TENANT, "registry:CREATE_INTERNAL_NOTE") == ()

    async def test_a_request_key_is_used_once_by_each_principal(self, store: Store, build: Builder) -> None:
        """The second use is refused with what was stored; another principal's or tenant's use is its own."""
        intent = build.intent()
        request = build.request(intent)
        await store.commit([ReserveRequest(request=request), creation(intent)])
        again = replace(request, body_hash="other", action_intent_id="ai_other")
        conflict = await refused(store, build, ConflictKind.REQUEST_KEY_USED, [ReserveRequest(request=again)])
        assert conflict.current == request
        assert await store.request(TENANT, request.principal, request.key) == request
        for other in (replace(request, principal="x#y"), replace(request, tenant_id="globex")):
            await store.commit([ReserveRequest(request=other)])
            assert await store.request(other.tenant_id, other.principal, other.key) == other
        assert await store.request(TENANT, request.principal, "never used") is None

    async def test_of_racing_uses_of_a_request_key_one_wins(self, store: Store, build: Builder) -> None:
        """Fifty proposals under one key at once store one intent."""
        intents = [build.intent() for _ in range(50)]
        results = await asyncio.gather(
            *(store.commit([ReserveRequest(request=build.request(it)), creation(it)]) for it in intents),
            return_exceptions=True,
        )
        stored = [it for it in intents if await store.intent(TENANT, it.action_intent_id)]
        won = [it for it, result in zip(intents, results, strict=True) if result is None]
        assert stored == won
        assert len(won) == 1
        losers = [result for result in results if isinstance(result, Conflict)]
        assert {loser.current for loser in losers} == {build.request(won[0])}

    # -- effect keys ---------------------------------------------------------------------------------------------

    async def test_two_intents_never_hold_one_effect_key(self, store: Store, build: Builder) -> None:
        """A second intent with the key is refused with the first one's id; another tenant's key is another key."""
        first = await approved(store, build, effect_key=KEY)
        conflict = await refused(store, build, ConflictKind.EFFECT_KEY_TAKEN, [creation(build.intent(effect_key=KEY))])
        assert conflict.current == first.action_intent_id
        assert await store.effect_holder(TENANT, KEY) == first.action_intent_id
        theirs = build.intent(effect_key=KEY, tenant_id="globex")
        await store.commit([creation(theirs)])
        assert await store.effect_holder("globex", KEY) == theirs.action_intent_id

    async def test_of_racing_claims_of_an_effect_key_one_wins(self, store: Store, build: Builder) -> None:
        """Fifty intents for one effect at once: one is stored."""
        intents = [build.intent(effect_key=KEY) for _ in range(50)]
        results = await asyncio.gather(*(store.commit([creation(it)]) for it in intents), return_exceptions=True)
        won = [it for it, result in zip(intents, results, strict=True) if result is None]
        assert len(won) == 1
        assert await store.effect_holder(TENANT, KEY) == won[0].action_intent_id
        assert {r.current for r in results if isinstance(r, Conflict)} == {won[0].action_intent_id}

    @pytest.mark.parametrize("status", [IntentStatus.REJECTED, IntentStatus.EXPIRED, IntentStatus.CANCELLED])
    async def test_a_closed_intent_gives_its_effect_key_back(
        self, store: Store, build: Builder, status: IntentStatus
    ) -> None:
        """Rejected, expired or cancelled, an intent stands in nobody's way."""
        first = await approved(store, build, effect_key=KEY)
        await store.commit([UpdateIntent(intent=closed(first, status), expected_version=1)])
        assert await store.effect_holder(TENANT, KEY) is None
        second = await approved(store, build, effect_key=KEY)
        assert await store.effect_holder(TENANT, KEY) == second.action_intent_id

    @pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.EXPIRED])
    async def test_a_run_without_effect_gives_its_effect_key_back(
        self, store: Store, build: Builder, status: RunStatus
    ) -> None:
        """After a run that ended without an effect somebody else may try."""
        await ended(store, build, status, effect_key=KEY)
        assert await store.effect_holder(TENANT, KEY) is None
        await approved(store, build, effect_key=KEY)

    async def test_a_run_that_ends_as_it_starts_gives_its_effect_key_back(self, store: Store, build: Builder) -> None:
        """Start and end in one commit, as of a run that a switch refuses, release the key like any other end."""
        intent = await approved(store, build, effect_key=KEY)
        over = build.attempt(intent, status=RunStatus.CANCELLED)
        outcome = RecordOutcome(outcome=build.outcome(intent, over, status=RunStatus.CANCELLED))
        await store.commit([start(intent, over, now_ms=build.clock.now_ms()), outcome])
        assert await store.effect_holder(TENANT, KEY) is None

    async def test_an_effect_key_is_held_while_the_effect_is_possible(self, store: Store, build: Builder) -> None:
        """Pending, approved, running, calling, in doubt, and for ever after success, the key is taken."""

        async def still_held(holder: ActionIntent, key: str) -> None:
            conflict = await refused(
                store, build, ConflictKind.EFFECT_KEY_TAKEN, [creation(build.intent(effect_key=key))]
            )
            assert conflict.current == holder.action_intent_id

        pending = build.intent(effect_key="pending")
        await store.commit([creation(pending)])
        await still_held(pending, "pending")
        await still_held(await approved(store, build, effect_key="approved"), "approved")
        await still_held((await running(store, build, effect_key="running"))[0], "running")
        await still_held((await calling(store, build, effect_key="calling"))[0], "calling")
        await still_held((await ended(store, build, RunStatus.IN_DOUBT, effect_key="doubt"))[0], "doubt")
        await still_held((await ended(store, build, RunStatus.SUCCEEDED, effect_key="done"))[0], "done")

    async def test_an_effect_that_was_taken_back_gives_its_key_back(self, store: Store, build: Builder) -> None:
        """The holder's own key alone, and only once: whoever has it since keeps it."""
        first, _ = await ended(store, build, RunStatus.SUCCEEDED, effect_key=KEY)
        release = ReleaseEffectKey(tenant_id=TENANT, action_intent_id=first.action_intent_id)
        other, _ = await ended(store, build, RunStatus.SUCCEEDED, effect_key="another")
        await store.commit([ReleaseEffectKey(tenant_id=TENANT, action_intent_id=other.action_intent_id)])
        assert await store.effect_holder(TENANT, KEY) == first.action_intent_id
        await store.commit([release])
        assert await store.effect_holder(TENANT, KEY) is None
        second = await approved(store, build, effect_key=KEY)
        await store.commit([release])
        assert await store.effect_holder(TENANT, KEY) == second.action_intent_id

    async def test_an_edit_moves_the_effect_key(self, store: Store, build: Builder) -> None:
        """A revision with another effect claims its key and frees the old one, unless the new one is taken."""
        mine, theirs = build.intent(effect_key="mine"), build.intent(effect_key="theirs")
        await store.commit([creation(mine)])
        await store.commit([creation(theirs)])
        edit = replace(mine, revision=2, version=2, effect_key="theirs")
        conflict = await refused(
            store, build, ConflictKind.EFFECT_KEY_TAKEN, [UpdateIntent(intent=edit, expected_version=1)]
        )
        assert conflict.current == theirs.action_intent_id
        edit = replace(mine, revision=2, version=2, effect_key="new")
        await store.commit([UpdateIntent(intent=edit, expected_version=1)])
        assert await store.effect_holder(TENANT, "mine") is None
        assert await store.effect_holder(TENANT, "new") == mine.action_intent_id
        dropped = replace(edit, revision=3, version=3, effect_key=None)
        await store.commit([UpdateIntent(intent=dropped, expected_version=2)])
        assert await store.effect_holder(TENANT, "new") is None

    async def test_another_run_claims_the_effect_key_again(self, store: Store, build: Builder) -> None:
        """A replay is refused while another intent holds the key that the failed run gave back."""
        intent, over = await ended(store, build, RunStatus.FAILED, effect_key=KEY)
        other = await approved(store, build, effect_key=KEY)
        again = start(intent, build.attempt(intent, run_number=2), now_ms=build.clock.now_ms())
        conflict = await refused(store, build, ConflictKind.EFFECT_KEY_TAKEN, [again])
        assert conflict.current == other.action_intent_id
        await store.commit([UpdateIntent(intent=closed(other, IntentStatus.CANCELLED), expected_version=1)])
        await store.commit([again])
        assert await store.effect_holder(TENANT, KEY) == intent.action_intent_id
        failed = replace(again.attempt, status=RunStatus.FAILED)
        await store.commit([UpdateAttempt(attempt=failed, expected_fence=1)])
        assert await store.effect_holder(TENANT, KEY) is None
        assert over.run_number == 1

    # -- pending limits ------------------------------------------------------------------------------------------

    async def test_a_proposer_waits_behind_its_own_limit(self, store: Store, build: Builder) -> None:
        """With as many intents pending as it may have, a proposer's next one is refused; another's is not."""
        pending = [build.intent() for _ in range(3)]
        for intent in pending:
            await store.commit([creation(intent, of_proposer=3)])
        await refused(store, build, ConflictKind.TOO_MANY_PENDING, [creation(build.intent(), of_proposer=3)])
        await store.commit([creation(build.intent(proposed_by=ANA), of_proposer=3)])
        await store.commit([creation(build.intent(tenant_id="globex"), of_proposer=3)])
        await store.commit([creation(build.approved(), of_proposer=3)])
        decided = closed(pending[0], IntentStatus.REJECTED)
        await store.commit([UpdateIntent(intent=decided, expected_version=1)])
        await store.commit([creation(build.intent(), of_proposer=3)])
        await refused(store, build, ConflictKind.TOO_MANY_PENDING, [creation(build.intent(), of_proposer=3)])

    async def test_a_tenant_waits_behind_its_limit(self, store: Store, build: Builder) -> None:
        """The tenant's limit counts every proposer's pending intents, and an edited one counts again."""
        first = build.approved()
        await store.commit([creation(first)])
        await store.commit([creation(build.intent(proposed_by=ANA), of_tenant=2)])
        edit = replace(first, revision=2, version=2, status=IntentStatus.PENDING_APPROVAL)
        await store.commit([UpdateIntent(intent=edit, expected_version=1)])
        late = build.intent(proposed_by=PrincipalRef(AGENT.iss, "agent-8"))
        await refused(store, build, ConflictKind.TOO_MANY_PENDING, [creation(late, of_tenant=2)])
        await store.commit([creation(late, of_tenant=3)])

    async def test_racing_proposals_do_not_slip_past_the_limit(self, store: Store, build: Builder) -> None:
        """Of a hundred proposals at once, exactly as many are stored as may be pending."""
        intents = [build.intent() for _ in range(100)]
        results = await asyncio.gather(
            *(store.commit([creation(it, of_proposer=20)]) for it in intents), return_exceptions=True
        )
        assert sum(result is None for result in results) == 20
        assert [r.kind for r in results if isinstance(r, Conflict)] == [ConflictKind.TOO_MANY_PENDING] * 80
