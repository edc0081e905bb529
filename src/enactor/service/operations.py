"""What operators and administrators do besides kill switches: resolve, replay, budgets, policies."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from enactor.domain.action_type import RiskClass
from enactor.domain.approval import Approval, ApprovalSource, Decision
from enactor.domain.attempt import RunStatus
from enactor.domain.budget import Budget
from enactor.domain.canonical import digest
from enactor.domain.errors import BudgetExceeded, DataErased, EffectKeyTaken, IllegalTransition, InvalidInput
from enactor.domain.intent import ActionIntent, IntentStatus, is_expired
from enactor.domain.kill_switch import marks, scopes_of
from enactor.domain.ledger import LedgerEvent
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import Purpose, done_by, is_clean, of_purpose
from enactor.domain.policy import PolicyAction, PolicyMode, PolicySet
from enactor.domain.principal import Permission, Principal
from enactor.pipeline.model import Context, Reads, Run
from enactor.pipeline.recover import compensation_in_doubt
from enactor.pipeline.resolve import resolved
from enactor.pipeline.start import effect_idempotency_key, new_attempt
from enactor.pipeline.undoing import original_of
from enactor.ports.commands import (
    AppendApproval,
    Conflict,
    ConflictKind,
    SetBudget,
    SetPolicies,
    StartAttempt,
)
from enactor.ports.store import ExecutionRecords
from enactor.service.core import Core, racing
from enactor.service.decisions import source_of
from enactor.service.switches import KillSwitches

_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,127}")


class Resolution(Struct, frozen=True):
    """The intent whose run was resolved, the run's status now, and how many people are still missing."""

    intent: ActionIntent
    status: RunStatus
    approvals_missing: int


class Operations(KillSwitches):
    """The use cases of operators and administrators, those of kill switches among them."""

    def __init__(self, core: Core, pipeline: Context) -> None:
        super().__init__(core)
        self._pipeline = pipeline

    # -- runs ----------------------------------------------------------------------------------------------------

    async def resolve(
        self,
        by: Principal,
        action_intent_id: str,
        *,
        executed: bool,
        refs: tuple[ObjectRef, ...] = (),
        comment: str,
    ) -> Resolution:
        """Says what a person found out about a run in doubt. HIGH risk needs two people to say the same.

        Of a run that failed in part, and of which it is not known whether that part was taken back, EXECUTED says that
        it was and NOT_EXECUTED that it stands.

        Raises:
            IllegalTransition: the run is not in doubt.
            InvalidInput: refs with NOT_EXECUTED, or no comment.
        """
        by.require(Permission.RESOLVE)
        if not comment.strip():
            raise InvalidInput("A resolve needs a comment that says how it was found out.")
        if refs and not executed:
            raise InvalidInput("NOT_EXECUTED has no external_object_refs.")
        subject = digest([executed, sorted(list(ref.identity) for ref in refs)])
        voted = False

        async def attempt() -> Resolution:
            nonlocal voted
            core = self._core
            intent = await core.visible_intent(by, action_intent_id)
            records = await core.store.execution(by.tenant_id, action_intent_id)
            lock = records.attempt if records else None
            doubt = _doubt(records)
            if voted and lock is not None and doubt is None:
                return Resolution(intent, lock.status, 0)
            if records is None or lock is None or doubt is None:
                status = lock.status.value if lock else intent.status.value
                raise IllegalTransition(f"Only a run in doubt can be resolved; this one is {status}.")
            arguments = msgspec.json.decode(intent.tool_call.argument_bytes)
            answer = await core.ask(by, core.question(PolicyAction.RESOLVE, by, intent, arguments))
            approval = Approval(
                action_intent_id=action_intent_id,
                revision=intent.revision,
                approval_digest=intent.approval_digest,
                decision=Decision.RESOLVED_EXECUTED if executed else Decision.RESOLVED_NOT_EXECUTED,
                decided_by=by.ref,
                approval_source=source_of(by),
                decided_at=core.now(),
                comment=comment,
                run_number=lock.run_number,
                subject_digest=subject,
            )
            said = await self._said(intent, lock.run_number)
            already = any(known.decided_by == by.ref for known in said)
            missing = _people_missing(intent, said if already else (*said, approval), approval)
            if already and missing:
                raise IllegalTransition(
                    "What you said of this run stands; another person has to agree with what was said."
                )
            entry = core.intent_entry(
                intent,
                LedgerEvent.IN_DOUBT_RESOLVED,
                by.name,
                {
                    "resolution": "EXECUTED" if executed else "NOT_EXECUTED",
                    "purpose": doubt.value,
                    "external_object_refs": [list(ref.identity) for ref in refs],
                    "comment": comment,
                    "in_force": missing == 0,
                    "approvals_missing": missing,
                    "policy_version": answer.policy_version,
                },
                lock.run_number,
            )
            vote = [] if already else [AppendApproval(approval=approval)]
            if missing:
                await core.store.commit([*vote, entry])
                voted = True
                # Two who say it at the same time each see only their own word; whoever looks again sees both.
                missing = _people_missing(intent, await self._said(intent, lock.run_number), approval)
                return Resolution(intent, lock.status, missing) if missing else await attempt()
            reads = Reads(intent=intent, entry=None, tool=None)
            run = msgspec.structs.replace(
                Run.of(records, lock.run_number), original=await original_of(core.store, intent)
            )
            end = resolved(run, reads, self._pipeline, executed=executed, refs=refs)
            await core.store.commit([*vote, entry, *end.commands])
            return Resolution(intent, end.run.lock.status, 0)

        return await racing(
            attempt,
            {
                ConflictKind.STALE_FENCE,
                ConflictKind.STATUS_CHANGED,
                ConflictKind.PERMIT_SETTLED,
                ConflictKind.ALREADY_DECIDED,
                ConflictKind.OUTCOME_EXISTS,
            },
        )

    async def _said(self, intent: ActionIntent, run_number: int) -> tuple[Approval, ...]:
        """What people have said about a run in doubt."""
        known = await self._core.store.approvals(intent.tenant_id, intent.action_intent_id)
        return tuple(approval for approval in known if approval.run_number == run_number)

    async def replay(self, by: Principal, action_intent_id: str, reason: str) -> int:
        """Starts a new run of a failed or cancelled one, under the same key. Returns its run number.

        The kill switches count from now on: what was on before the replay was asked for does not refuse it.

        Raises:
            DataErased: what would be executed is not there any more.
            IllegalTransition: the last run did not fail, did part of it, or the approval has expired.
        """
        by.require(Permission.REPLAY)
        if not reason.strip():
            raise InvalidInput("A replay needs a reason.")

        async def attempt() -> int:
            core = self._core
            intent = await core.visible_intent(by, action_intent_id)
            if intent.erased_at:
                raise DataErased("Its personal data was erased, and with it what would be executed: propose it anew.")
            records = await core.store.execution(by.tenant_id, action_intent_id)
            lock = records.attempt if records else None
            if records is None or lock is None or lock.status not in (RunStatus.FAILED, RunStatus.CANCELLED):
                raise IllegalTransition("Only a run that ended FAILED or CANCELLED can be replayed.")
            if intent.status is not IntentStatus.APPROVED or intent.shadow or is_expired(intent, core.clock.now_ms()):
                raise IllegalTransition("The approval is no longer in force; propose the action again.")
            done = done_by(records.permits, Purpose.EFFECT)
            if done is not None and done.partial:
                raise IllegalTransition("Part of it was done; under the same key it cannot be done anew. Propose it.")
            burned = intent.write_semantics.failure_burns_key and is_clean(of_purpose(records.permits, Purpose.EFFECT))
            generation = lock.generation + (1 if burned else 0)
            scopes = scopes_of(intent.tenant_id, intent.action_type, intent.connector_id)
            fresh = msgspec.structs.replace(
                new_attempt(intent, lock.run_number + 1, self._pipeline),
                fence=lock.fence + 1,
                generation=generation,
                idempotency_key=effect_idempotency_key(intent, generation),
                switch_marks=marks(scopes, await core.store.switches(scopes)),
            )
            data: dict[str, Any] = {"replay_reason": reason, "run_number": fresh.run_number}
            await core.store.commit(
                [
                    StartAttempt(
                        attempt=fresh,
                        intent_version=intent.version,
                        revision=intent.revision,
                        approval_digest=intent.approval_digest,
                        now_ms=core.clock.now_ms(),
                    ),
                    core.intent_entry(intent, LedgerEvent.REPLAY_REQUESTED, by.name, data, fresh.run_number),
                    core.intent_entry(
                        intent,
                        LedgerEvent.REPLAY_STARTED,
                        "enactor",
                        {"owner": fresh.owner, "idempotency_key": fresh.idempotency_key},
                        fresh.run_number,
                    ),
                ]
            )
            await self._submit(by.tenant_id, action_intent_id, fresh.run_number)
            return fresh.run_number

        try:
            return await racing(attempt, {ConflictKind.STARTED_BY_OTHER_OWNER, ConflictKind.STARTED_BY_SAME_OWNER})
        except Conflict as conflict:
            if conflict.kind is ConflictKind.EFFECT_KEY_TAKEN:
                raise EffectKeyTaken(
                    f"Intent {conflict.current} is about to do, or did, the same thing.",
                    action_intent_id=conflict.current,
                ) from conflict
            if conflict.kind is ConflictKind.BUDGET_EXCEEDED:
                raise BudgetExceeded("A budget has no room for another execution in its current window.") from conflict
            raise IllegalTransition("The approval is no longer in force; propose the action again.") from conflict

    # -- budgets and policies ------------------------------------------------------------------------------------

    async def budgets(self, by: Principal) -> tuple[tuple[Budget, int], ...]:
        """The tenant's budgets, each with what its current window has used."""
        by.require(Permission.READ)
        return await self._core.store.budgets(by.tenant_id)

    async def set_budget(self, by: Principal, action_type: str, window_seconds: int, max_executions: int) -> Budget:
        """Sets the budget of an action type, or of `*`."""
        by.require(Permission.BUDGET)
        if action_type != "*" and _NAME.fullmatch(action_type) is None:
            raise InvalidInput("A budget is for an action type's name, or for '*'.")
        if not 1 <= window_seconds <= 366 * 86_400 or not 0 <= max_executions <= 1_000_000_000:
            raise InvalidInput("A window has 1 second to 366 days, and a budget 0 to 10^9 executions.")
        core = self._core
        budget = Budget(
            tenant_id=by.tenant_id,
            action_type=action_type,
            window_seconds=window_seconds,
            max_executions=max_executions,
            set_by=by.name,
            set_at=core.now(),
        )
        entry = core.chain_entry(
            by.tenant_id, LedgerEvent.REGISTRY_CHANGED, by.name, {"budget": msgspec.to_builtins(budget)}
        )
        await core.store.commit([SetBudget(budget=budget), entry])
        return budget

    async def policies(self, by: Principal) -> PolicySet | None:
        """The tenant's own policies, or None while it has none."""
        by.require(Permission.READ)
        return await self._core.store.policies(by.tenant_id)

    async def set_policies(self, by: Principal, text: str, mode: PolicyMode) -> PolicySet:
        """Replaces the tenant's policies. Raises `InvalidPolicy`; then the old ones stay in force."""
        by.require(Permission.POLICY)
        await asyncio.to_thread(self._core.policy.check, text)

        async def attempt() -> PolicySet:
            core = self._core
            before = await core.store.policies(by.tenant_id)
            after = PolicySet(
                tenant_id=by.tenant_id,
                version=(before.version if before else 0) + 1,
                text=text,
                mode=mode,
                set_by=by.name,
                set_at=core.now(),
            )
            data = {"policies": text, "mode": mode.value, "version": after.version}
            entry = core.chain_entry(by.tenant_id, LedgerEvent.REGISTRY_CHANGED, by.name, data)
            await core.store.commit([SetPolicies(policies=after), entry])
            return after

        return await racing(attempt, {ConflictKind.VERSION_CHANGED})


def _doubt(records: ExecutionRecords | None) -> Purpose | None:
    """What of a run is in doubt: what it was to do, or the taking back of what it did in part; None if neither is."""
    lock = records.attempt if records else None
    if records is None or lock is None:
        return None
    if lock.status is RunStatus.IN_DOUBT:
        return Purpose.EFFECT
    run = Run.of(records, lock.run_number)
    return Purpose.COMPENSATION if compensation_in_doubt(run) else None


def _people_missing(intent: ActionIntent, said: Sequence[Approval], word: Approval) -> int:
    """How many more have to say the same as `word`. For HIGH risk two people must; a program's word does not count."""
    high = intent.risk_class is RiskClass.HIGH
    agreeing = {
        known.decided_by
        for known in said
        if known.decision is word.decision
        and known.subject_digest == word.subject_digest
        and (known.approval_source is ApprovalSource.HUMAN or not high)
    }
    return max(0, (2 if high else 1) - len(agreeing))
