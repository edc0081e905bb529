"""Approving, rejecting, cancelling, expiring: who may decide what, and when it is in force."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from enactor.domain.approval import Approval, ApprovalSource, Decision, humans_approving
from enactor.domain.attempt import TERMINAL, RunStatus
from enactor.domain.errors import (
    ApprovalStale,
    IllegalTransition,
    IntentNotFound,
    NotApproved,
    SelfDecision,
)
from enactor.domain.intent import ActionIntent, IntentStatus, is_expired
from enactor.domain.kill_switch import marks
from enactor.domain.ledger import LedgerEvent
from enactor.domain.policy import PolicyAction
from enactor.domain.principal import Permission, Principal
from enactor.ports.commands import AppendApproval, Conflict, ConflictKind, RequestCancel, UpdateIntent
from enactor.ports.engine import RunRequest
from enactor.service.core import Core, racing


class Decided(Struct, frozen=True):
    """The intent after a decision, and what is still missing for it to run."""

    intent: ActionIntent
    approvals_missing: int


class Cancelled(Struct, frozen=True):
    """Whether the intent is cancelled, or its running run was asked to stop before its next call."""

    intent: ActionIntent
    requested_only: bool


def source_of(by: Principal) -> ApprovalSource:
    """HUMAN needs an interactive login through a client that is not an agent's, with nobody in between."""
    return ApprovalSource.HUMAN if by.interactive and not by.actors else ApprovalSource.PROGRAM


class Decisions:
    """The use cases of approvers, of those who cancel, and of the clock."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def approve(self, by: Principal, action_intent_id: str, digest: str, comment: str = "") -> Decided:
        """Approves exactly what `digest` stands for. The run starts when nothing is missing.

        Raises:
            SelfDecision: `by` proposed or edited the current revision, or stands in its `act` chain.
            ApprovalStale: the digest is not the current one; `current_digest` in the details is.
            IllegalTransition: the intent is closed.
        """
        by.require(Permission.DECIDE)
        return await racing(
            lambda: self._approve(by, action_intent_id, digest, comment),
            {ConflictKind.VERSION_CHANGED, ConflictKind.SWITCH_CHANGED, ConflictKind.ALREADY_DECIDED},
        )

    async def _approve(self, by: Principal, action_intent_id: str, digest: str, comment: str) -> Decided:
        core = self._core
        intent = await core.visible_intent(by, action_intent_id)
        if by.everyone() & set(intent.contributors):
            raise SelfDecision("Whoever proposed or edited an intent cannot decide it; somebody else has to.")
        if digest != intent.approval_digest:
            raise ApprovalStale(
                "The intent is not what this digest stands for; read it again.", current_digest=intent.approval_digest
            )
        approvals = await core.store.approvals(by.tenant_id, action_intent_id)
        if intent.status is IntentStatus.APPROVED:
            await self._run(intent)
            return Decided(intent, 0)
        if intent.status is not IntentStatus.PENDING_APPROVAL:
            raise IllegalTransition(f"The intent is {intent.status} and cannot be approved.")
        if _decided(approvals, by, intent):
            return Decided(intent, _missing(intent, approvals))
        if is_expired(intent, core.clock.now_ms()):
            await self._expire(intent)
            raise IllegalTransition("The intent has expired; propose it again.")
        arguments = msgspec.json.decode(intent.tool_call.argument_bytes)
        answer = await core.ask(by, core.question(PolicyAction.APPROVE, by, intent, arguments))
        approval = Approval(
            action_intent_id=action_intent_id,
            revision=intent.revision,
            approval_digest=digest,
            decision=Decision.APPROVED,
            decided_by=by.ref,
            approval_source=source_of(by),
            decided_at=core.now(),
            comment=comment,
        )
        missing = _missing(intent, (*approvals, approval))
        after = msgspec.structs.replace(intent, version=intent.version + 1, updated_at=core.now())
        if missing == 0:
            scopes, switches = await core.scopes_and_marks(intent)
            after = msgspec.structs.replace(
                after,
                status=IntentStatus.APPROVED,
                approved_at=core.now(),
                approval_source=_source(approvals, approval).value,
                switch_marks=marks(scopes, switches),
            )
        entry = core.intent_entry(
            after,
            LedgerEvent.ACTION_APPROVED,
            by.name,
            {
                "approval_digest": digest,
                "revision": intent.revision,
                "approval_source": approval.approval_source.value,
                "comment": comment,
                "in_force": missing == 0,
                "approvals_missing": missing,
                "policy_version": answer.policy_version,
                "reasons": list(answer.reasons),
            },
        )
        await core.store.commit(
            [
                AppendApproval(approval=approval),
                UpdateIntent(intent=after, expected_version=intent.version, check_marks=missing == 0),
                entry,
            ]
        )
        if missing == 0:
            await self._run(after)
        return Decided(after, missing)

    async def execute(self, by: Principal, action_intent_id: str) -> ActionIntent:
        """Delivers the approval again: the run starts if it has not. Any number of deliveries start one run.

        Raises:
            NotApproved: no approval is in force.
        """
        intent = await self._core.visible_intent(by, action_intent_id)
        if intent.status is not IntentStatus.APPROVED:
            raise NotApproved(f"The intent is {intent.status}; only an approved one is executed.")
        await self._run(intent)
        return intent

    async def reject(self, by: Principal, action_intent_id: str, reason: str) -> ActionIntent:
        """Rejects the intent for good. Raises `SelfDecision`, `IllegalTransition`."""
        by.require(Permission.DECIDE)

        async def attempt() -> ActionIntent:
            core = self._core
            intent = await core.visible_intent(by, action_intent_id)
            if by.everyone() & set(intent.contributors):
                raise SelfDecision("Whoever proposed or edited an intent cannot decide it; cancel it instead.")
            if intent.status is not IntentStatus.PENDING_APPROVAL:
                raise IllegalTransition(f"The intent is {intent.status} and cannot be rejected.")
            arguments = msgspec.json.decode(intent.tool_call.argument_bytes)
            answer = await core.ask(by, core.question(PolicyAction.APPROVE, by, intent, arguments))
            after = _closed(intent, IntentStatus.REJECTED, core.now(), reason)
            approval = Approval(
                action_intent_id=action_intent_id,
                revision=intent.revision,
                approval_digest=intent.approval_digest,
                decision=Decision.REJECTED,
                decided_by=by.ref,
                approval_source=source_of(by),
                decided_at=core.now(),
                comment=reason,
            )
            data = {
                "revision": intent.revision,
                "reason": reason,
                "approval_source": approval.approval_source.value,
                "policy_version": answer.policy_version,
            }
            entry = core.intent_entry(after, LedgerEvent.ACTION_REJECTED, by.name, data)
            known = await core.store.approvals(by.tenant_id, action_intent_id)
            first = not any(a.decided_by == by.ref and a.revision == intent.revision for a in known)
            update = UpdateIntent(intent=after, expected_version=intent.version)
            await core.store.commit([*([AppendApproval(approval=approval)] if first else []), update, entry])
            return after

        return await racing(attempt, {ConflictKind.VERSION_CHANGED, ConflictKind.ALREADY_DECIDED})

    async def cancel(self, by: Principal, action_intent_id: str, reason: str = "") -> Cancelled:
        """Cancels what has not started; asks what is running to stop before its next call.

        Raises:
            IllegalTransition: it is closed or over.
        """
        by.require(Permission.CANCEL, Permission.CANCEL_OWN)
        return await racing(
            lambda: self._cancel(by, action_intent_id, reason),
            {ConflictKind.VERSION_CHANGED, ConflictKind.ALREADY_STARTED},
        )

    async def _cancel(self, by: Principal, action_intent_id: str, reason: str) -> Cancelled:
        core = self._core
        intent = await core.visible_intent(by, action_intent_id)
        if not by.may(Permission.CANCEL) and intent.proposed_by != by.ref:
            raise IntentNotFound("There is no such intent.")
        if intent.status not in (IntentStatus.PENDING_APPROVAL, IntentStatus.APPROVED):
            raise IllegalTransition(f"The intent is {intent.status} and cannot be cancelled.")
        records = await core.store.execution(by.tenant_id, action_intent_id)
        lock = records.attempt if records else None
        if lock is not None:
            if lock.status in TERMINAL:
                raise IllegalTransition(f"The run is over ({lock.status}); undo it instead, if it had an effect.")
            if lock.status is RunStatus.IN_DOUBT:
                raise IllegalTransition("The run is in doubt; resolve it instead.")
            entry = core.intent_entry(
                intent,
                LedgerEvent.INTENT_CANCELLED,
                by.name,
                {"reason": reason, "requested_only": True},
                lock.run_number,
            )
            request = RequestCancel(
                action_intent_id=action_intent_id,
                run_number=lock.run_number,
                requested_by=by.name,
                requested_at=core.now(),
            )
            await core.store.commit([request, entry])
            await self._run(intent, lock.run_number)
            return Cancelled(intent, True)
        after = _closed(intent, IntentStatus.CANCELLED, core.now(), reason)
        entry = core.intent_entry(
            after, LedgerEvent.INTENT_CANCELLED, by.name, {"reason": reason, "requested_only": False}
        )
        await core.store.commit([UpdateIntent(intent=after, expected_version=intent.version), entry])
        return Cancelled(after, False)

    async def expire_due(self, limit: int = 200) -> int:
        """Expires what is past its expiry and never started. Returns how many."""
        count = 0
        for intent in await self._core.store.expired(self._core.clock.now_ms(), limit):
            count += await self._expire(intent)
        return count

    async def _expire(self, intent: ActionIntent) -> bool:
        after = _closed(intent, IntentStatus.EXPIRED, self._core.now(), "expired")
        data = {"expires_at_epoch": intent.expires_at_epoch, "status_before": intent.status.value}
        entry = self._core.intent_entry(after, LedgerEvent.EXECUTION_EXPIRED, "enactor", data)
        try:
            await self._core.store.commit([UpdateIntent(intent=after, expected_version=intent.version), entry])
        except Conflict:
            # Somebody decided, edited or started it first: then it is theirs, and the clock was late.
            return False
        return True

    async def _run(self, intent: ActionIntent, run_number: int = 1) -> None:
        if intent.shadow:
            return
        first = intent if run_number == 1 else None
        await self._core.engine.submit(
            RunRequest(
                action_intent_id=intent.action_intent_id,
                tenant_id=intent.tenant_id,
                run_number=run_number,
                intent=first,
            )
        )


def _closed(intent: ActionIntent, status: IntentStatus, now: str, reason: str) -> ActionIntent:
    return msgspec.structs.replace(
        intent, status=status, version=intent.version + 1, updated_at=now, decided_reason=reason
    )


def _decided(approvals: tuple[Approval, ...], by: Principal, intent: ActionIntent) -> bool:
    return any(
        approval.decided_by == by.ref and approval.revision == intent.revision and approval.run_number == 0
        for approval in approvals
    )


def _missing(intent: ActionIntent, approvals: tuple[Approval, ...]) -> int:
    if intent.status is IntentStatus.APPROVED:
        return 0
    if intent.required_approvals == 0:
        return 0 if any(a.decision is Decision.APPROVED and a.revision == intent.revision for a in approvals) else 1
    return max(0, intent.required_approvals - len(humans_approving(approvals, intent)))


def _source(before: tuple[Approval, ...], last: Approval) -> ApprovalSource:
    human = any(a.approval_source is ApprovalSource.HUMAN for a in (*before, last))
    return ApprovalSource.HUMAN if human else last.approval_source
