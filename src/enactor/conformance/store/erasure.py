"""Erasure: nothing that was said, asked for or made is left of an intent, and the ledger still verifies."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from enactor.conformance.builders import TENANT, Builder, key_of, settled
from enactor.conformance.store.base import StoreSuite, approved, calling, closed, creation, refused, start, take
from enactor.domain.attempt import RunStatus
from enactor.domain.erasure import ERASED_KEY
from enactor.domain.intent import ActionIntent, FrozenCall, IntentStatus, Target
from enactor.domain.ledger import ChainVerifier, LedgerEvent
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import CallResult
from enactor.ports.commands import (
    AppendApproval,
    ConflictKind,
    CreateObject,
    EraseIntent,
    RecordOutcome,
    ReserveRequest,
    SettlePermit,
    UpdateAttempt,
    UpdateIntent,
)
from enactor.ports.store import LedgerFilter, Store

SECRET = "Grace-Hopper-1906"  # noqa: S105 - what has to be gone


def erase(intent: ActionIntent, build: Builder) -> EraseIntent:
    """The command that erases an intent."""
    return EraseIntent(tenant_id=intent.tenant_id, action_intent_id=intent.action_intent_id, erased_at=build.now())


async def personal(store: Store, build: Builder) -> ActionIntent:
    """An executed intent in the store, the second revision of itself, with personal data wherever there can be some."""
    fields = {
        "parameters": {"title": SECRET},
        "tool_call": FrozenCall("internal.create_note", "1", f'{{"title":"{SECRET}"}}'),
        "summary": f"Create “{SECRET}”",
        "target": Target("person", SECRET),
        "rationale": SECRET,
        "evidence_refs": (SECRET,),
        "effect_key": f"note:{SECRET}",
        "decided_reason": SECRET,
        "labels": {"who": SECRET},
    }
    first = build.intent(**fields)
    entry = build.entry(first, LedgerEvent.INTENT_PROPOSED, data={"parameters": {"title": SECRET}})
    await store.commit([creation(first), ReserveRequest(request=build.request(first, key=SECRET)), entry])
    second = replace(build.approved(**{**fields, "action_intent_id": first.action_intent_id, "revision": 2}), version=2)
    await store.commit(
        [
            UpdateIntent(intent=second, expected_version=1),
            AppendApproval(approval=build.approval(second, comment=SECRET, subject_digest=SECRET)),
        ]
    )
    attempt = build.attempt(second, last_error_message=SECRET, waiting_for=SECRET)
    await store.commit([start(second, attempt, now_ms=build.clock.now_ms())])
    permit = build.permit(attempt)
    await store.commit([take(permit, second)])
    made = build.object(key_of(second), object_id="note_x", body={"title": SECRET})
    await store.commit([CreateObject(object=made)])
    ref = ObjectRef(system="internal", object_type="note", object_id=SECRET, object_url=f"https://x/{SECRET}")
    over = replace(attempt, status=RunStatus.SUCCEEDED, updated_at=build.now())
    outcome = build.outcome(
        second,
        over,
        external_object_refs=(ref,),
        error_message=SECRET,
        raw_response_artifact_ref=SECRET,
        compensation_error=SECRET,
    )
    await store.commit(
        [
            SettlePermit(permit=settled(permit, external_object_refs=(ref,))),
            UpdateAttempt(attempt=over, expected_fence=1),
            RecordOutcome(outcome=outcome),
            build.entry(second, LedgerEvent.ACTION_EXECUTED, data={"refs": [SECRET]}),
        ]
    )
    return second


async def everything(store: Store, intent: ActionIntent) -> str:
    """All that readers tell of an intent, as text."""
    name = intent.action_intent_id
    seen = [
        await store.intent(TENANT, name),
        await store.revisions(TENANT, name),
        await store.approvals(TENANT, name),
        await store.execution(TENANT, name),
        await store.outcomes(TENANT, name),
        await store.request(TENANT, str(intent.proposed_by), SECRET),
        await store.object(TENANT, "note_x"),
        await store.object_by_key(TENANT, key_of(intent)),
        await store.object_by_key(TENANT, f"{ERASED_KEY}:note_x"),
        (await store.ledger(TENANT, LedgerFilter(), 100, None)).items,
    ]
    return msgspec.json.encode(seen).decode()


class ErasureSuite(StoreSuite):
    """What holds for `EraseIntent`."""

    async def test_nothing_personal_is_left(self, store: Store, build: Builder) -> None:
        """No record, revision, decision, key, object or ledger entry has it any more; other intents keep theirs."""
        intent = await personal(store, build)
        other = await approved(store, build, rationale="keeps")
        other_entries = await store.entries_after(0, 100, TENANT, other.action_intent_id)
        assert await everything(store, intent) != ""
        assert SECRET in await everything(store, intent)
        await store.commit([erase(intent, build), build.entry(intent, LedgerEvent.PERSONAL_DATA_ERASED)])
        left = await everything(store, intent)
        assert SECRET not in left
        assert key_of(intent) not in left
        stored = await store.intent(TENANT, intent.action_intent_id)
        assert stored is not None
        assert (stored.erased_at, stored.version, stored.status) == (build.now(), 3, intent.status)
        assert [it.revision for it in await store.revisions(TENANT, intent.action_intent_id)] == [1, 2]
        assert await store.object(TENANT, "note_x") is None
        assert await store.effect_holder(TENANT, f"note:{SECRET}") is None
        assert await store.request(TENANT, str(intent.proposed_by), SECRET) is None
        assert await store.intent(TENANT, other.action_intent_id) == other
        assert await store.entries_after(0, 100, TENANT, other.action_intent_id) == other_entries

    async def test_the_ledger_still_verifies(self, store: Store, build: Builder) -> None:
        """Entries keep their hashes and commitments, without data; what the commit itself appends keeps its own."""
        intent = await personal(store, build)
        before = await store.entries_after(0, 100)
        told = build.entry(intent, LedgerEvent.PERSONAL_DATA_ERASED, data={"reason": "asked for"})
        await store.commit([erase(intent, build), told])
        await store.commit([build.entry(intent)])
        entries = await store.entries_after(0, 100)
        assert [it.hash for it in entries[:2]] == [it.hash for it in before]
        assert [(it.data, it.salt) for it in entries[:2]] == [("", ""), ("", "")]
        assert [it.data_commitment for it in entries[:2]] == [it.data_commitment for it in before]
        assert entries[2].data == told.record.data
        assert [it.sequence for it in entries] == [1, 2, 3, 4]
        verifier = ChainVerifier()
        verifier.feed_all(entries)
        assert (verifier.faults, verifier.erased) == ([], 2)

    async def test_a_further_run_is_refused(self, store: Store, build: Builder) -> None:
        """Whoever read the intent before it was erased starts nothing with it, and changes nothing."""
        intent = await approved(store, build, effect_key="held")
        attempt = build.attempt(intent)
        await store.commit([start(intent, attempt, now_ms=build.clock.now_ms())])
        failed = replace(attempt, status=RunStatus.FAILED)
        await store.commit([UpdateAttempt(attempt=failed, expected_fence=1)])
        await store.commit([erase(intent, build)])
        again = build.attempt(intent, run_number=2, fence=2)
        await refused(store, build, ConflictKind.APPROVAL_STALE, [start(intent, again, now_ms=build.clock.now_ms())])
        stale = UpdateIntent(intent=replace(intent, version=2), expected_version=1, unstarted=False)
        await refused(store, build, ConflictKind.VERSION_CHANGED, [stale])

    @pytest.mark.parametrize("status", [IntentStatus.PENDING_APPROVAL, IntentStatus.APPROVED])
    async def test_what_may_still_happen_is_not_erased(
        self, store: Store, build: Builder, status: IntentStatus
    ) -> None:
        """A pending or approved intent has to be ended first; then it can be erased."""
        intent = build.intent(rationale=SECRET) if status is IntentStatus.PENDING_APPROVAL else build.approved()
        await store.commit([creation(intent)])
        await refused(store, build, ConflictKind.STATUS_CHANGED, [erase(intent, build)], after=False)
        ended = closed(intent, IntentStatus.CANCELLED)
        await store.commit([UpdateIntent(intent=ended, expected_version=1)])
        await store.commit([erase(intent, build)])
        stored = await store.intent(TENANT, intent.action_intent_id)
        assert stored is not None
        assert (stored.rationale, stored.status) == ("", IntentStatus.CANCELLED)

    async def test_a_run_that_is_not_over_is_not_erased(self, store: Store, build: Builder) -> None:
        """Running, in doubt, or ended with a call still open: refused."""
        intent, attempt, permit = await calling(store, build)
        await refused(store, build, ConflictKind.STATUS_CHANGED, [erase(intent, build)])
        doubt = replace(attempt, status=RunStatus.IN_DOUBT)
        await store.commit([UpdateAttempt(attempt=doubt, expected_fence=1)])
        await refused(store, build, ConflictKind.STATUS_CHANGED, [erase(intent, build)])
        over = replace(attempt, status=RunStatus.FAILED)
        update = UpdateAttempt(attempt=over, expected_fence=1, expected_status=RunStatus.IN_DOUBT)
        await store.commit([update])
        await refused(store, build, ConflictKind.STATUS_CHANGED, [erase(intent, build)])
        await store.commit([SettlePermit(permit=settled(permit, CallResult.REFUSED))])
        await store.commit([erase(intent, build)])

    async def test_only_the_tenant_erases(self, store: Store, build: Builder) -> None:
        """Another tenant's intent, and one that does not exist, are not found."""
        intent = await personal(store, build)
        await refused(store, build, ConflictKind.NOT_FOUND, [replace(erase(intent, build), tenant_id="globex")])
        unknown = replace(erase(intent, build), action_intent_id=build.intent().action_intent_id)
        await refused(store, build, ConflictKind.NOT_FOUND, [unknown])
        assert SECRET in await everything(store, intent)

    async def test_erasing_again_erases_what_came_since(self, store: Store, build: Builder) -> None:
        """An entry that was written after an erasure goes with the next one."""
        intent = await personal(store, build)
        await store.commit([erase(intent, build)])
        await store.commit([build.entry(intent, data={"late": SECRET})])
        assert SECRET in await everything(store, intent)
        await store.commit([erase(intent, build)])
        await store.scrub()
        assert SECRET not in await everything(store, intent)
