"""What operators and administrators do: switches and their reports, resolve, replay, budgets, policies."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Struct

from enactor.domain.action_type import RiskClass
from enactor.domain.approval import Approval, ApprovalSource, Decision
from enactor.domain.attempt import RunStatus
from enactor.domain.budget import Budget
from enactor.domain.canonical import digest
from enactor.domain.errors import Forbidden, IllegalTransition, InvalidInput, NotFound
from enactor.domain.intent import ActionIntent, IntentStatus, is_expired
from enactor.domain.kill_switch import ContainedRun, KillSwitch, marks, scopes_of
from enactor.domain.ledger import LedgerEvent
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import Purpose, may_end_clean, of_purpose
from enactor.domain.policy import PolicyAction, PolicyMode, PolicyQuestion, PolicySet
from enactor.domain.principal import Permission, Principal
from enactor.domain.time import epoch_ms, rfc3339
from enactor.pipeline.model import Context, Reads, Run
from enactor.pipeline.resolve import resolved
from enactor.pipeline.start import effect_idempotency_key, new_attempt
from enactor.ports.commands import (
    AppendApproval,
    ConflictKind,
    SetBudget,
    SetKillSwitch,
    SetPolicies,
    StartAttempt,
)
from enactor.ports.engine import RunRequest
from enactor.ports.store import Page
from enactor.service.core import Core, racing
from enactor.service.decisions import source_of

_SCOPE: Final = re.compile(r"global|tenant|(?:platform:)?(?:action-type|connector):[A-Za-z0-9_.-]{1,128}")
_LOOK_BACK_MS: Final = 3_600_000
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,127}")


class ContainmentReport(Struct, frozen=True, kw_only=True):
    """What a switch stopped and what had already left, for the caller's tenant.

    `since` bounds what ended before: runs that ended earlier are not listed. `next_token` continues the listing.
    """

    scope: str
    enabled: bool
    generation: int
    set_at: str | None
    since: str
    executed: tuple[ContainedRun, ...]
    blocked: tuple[ContainedRun, ...]
    unknown: tuple[ContainedRun, ...]
    next_token: str | None = None


class Resolution(Struct, frozen=True):
    """The intent whose run was resolved, the run's status now, and how many people are still missing."""

    intent: ActionIntent
    status: RunStatus
    approvals_missing: int


class Operations:
    """The use cases of operators and administrators."""

    def __init__(self, core: Core, pipeline: Context) -> None:
        self._core = core
        self._pipeline = pipeline

    # -- kill switches -------------------------------------------------------------------------------------------

    async def set_switch(
        self, by: Principal, scope: str, *, enabled: bool, reason: str, compensation: bool = False
    ) -> ContainmentReport:
        """Turns a switch, durably, before it answers; then says what it stopped and what had already left.

        Args:
            scope: `global`, `tenant`, `action-type:{t}`, `connector:{c}`, or the last two prefixed `platform:`.
            compensation: partial effects may still be taken back while it is on.

        Raises:
            InvalidInput, Forbidden, PolicyDenied: it was not turned.
        """
        stored = self._storage_scope(by, scope)
        if not reason.strip():
            raise InvalidInput("A kill switch needs a reason; operators will read it.")
        question = PolicyQuestion(
            action=PolicyAction.SWITCH,
            tenant_id=by.tenant_id,
            principal_id=str(by.ref),
            principal_human=by.interactive,
            principal_roles=tuple(sorted(role.value for role in by.roles)),
            scope=scope,
        )
        answer = await self._core.ask(by, question)

        async def attempt() -> bool:
            core = self._core
            before = (await core.store.switches([stored])).get(stored)
            generation = before.generation if before else 0
            turned = enabled != (before.enabled if before else False)
            after = KillSwitch(
                scope=stored,
                tenant_id=by.tenant_id if stored.startswith("tenant:") else "",
                generation=generation + 1 if turned else generation,
                enabled=enabled,
                reason=reason,
                set_by=str(by.ref),
                set_at=core.now() if turned or before is None else before.set_at,
                compensation=compensation,
            )
            entry = core.chain_entry(
                after.tenant_id,
                LedgerEvent.KILL_SWITCH_CHANGED,
                str(by.ref),
                {
                    "scope": scope,
                    "enabled": enabled,
                    "generation": after.generation,
                    "reason": reason,
                    "compensation": compensation,
                    "policy_version": answer.policy_version,
                },
            )
            await core.store.commit([SetKillSwitch(switch=after, expected_generation=generation), entry])
            return turned

        if await racing(attempt, {ConflictKind.VERSION_CHANGED}) and enabled:
            await self._wake(by, stored)
        return await self._report(by, scope, stored, None, 100, None)

    async def report(
        self, by: Principal, scope: str, *, since: str | None = None, limit: int = 100, page_token: str | None = None
    ) -> ContainmentReport:
        """The containment report, read strongly. `since` is RFC 3339; without it, an hour before the switch was set."""
        by.require(Permission.READ, Permission.PLATFORM_SWITCH)
        if _SCOPE.fullmatch(scope) is None:
            raise NotFound("There is no such kill switch scope.")
        return await self._report(by, scope, storage_scope(by.tenant_id, scope), since, limit, page_token)

    async def switches(self, by: Principal) -> tuple[KillSwitch, ...]:
        """The switches that were ever set: the tenant's own and the platform's."""
        by.require(Permission.READ, Permission.PLATFORM_SWITCH)
        return await self._core.store.list_switches(by.tenant_id)

    def _storage_scope(self, by: Principal, scope: str) -> str:
        if _SCOPE.fullmatch(scope) is None:
            raise InvalidInput(
                "A scope is 'global', 'tenant', 'action-type:NAME', 'connector:NAME' or one of the last two "
                "prefixed 'platform:'."
            )
        platform = scope == "global" or scope.startswith("platform:")
        by.require(Permission.PLATFORM_SWITCH if platform else Permission.SWITCH)
        if not platform and not by.tenant_id:
            raise Forbidden("A token without a tenant turns only the platform's switches.")
        return storage_scope(by.tenant_id, scope)

    async def _wake(self, by: Principal, stored: str) -> None:
        if stored.startswith("tenant:"):
            await self._wake_tenant(by, stored)
            return
        core = self._core
        after = ""
        while due := await core.store.due(core.clock.now_ms(), 500, after):
            for run in due:
                await self._submit(run.tenant_id, run.action_intent_id, run.run_number)
            after = due[-1].action_intent_id

    async def _wake_tenant(self, by: Principal, stored: str) -> None:
        token: str | None = None
        while True:
            page = await self._core.store.runs_in_scope(by.tenant_id, stored, self._core.now(), 500, token)
            for run in page.items:
                if run.status in ("PENDING", RunStatus.RUNNING):
                    await self._submit(by.tenant_id, run.action_intent_id, max(run.run_number, 1))
            token = page.next_token
            if token is None:
                return

    async def _submit(self, tenant_id: str, action_intent_id: str, run_number: int) -> None:
        await self._core.engine.submit(
            RunRequest(action_intent_id=action_intent_id, tenant_id=tenant_id, run_number=run_number)
        )

    async def _report(
        self, by: Principal, scope: str, stored: str, since: str | None, limit: int, page_token: str | None
    ) -> ContainmentReport:
        core = self._core
        switch = (await core.store.switches([stored])).get(stored)
        if since is None:
            set_at = epoch_ms(switch.set_at) if switch else core.clock.now_ms()
            since = rfc3339(set_at - _LOOK_BACK_MS)
        page: Page[ContainedRun] = Page((), None)
        if by.tenant_id:
            page = await core.store.runs_in_scope(by.tenant_id, stored, since, limit, page_token)
        runs = [run for run in page.items if by.reaches(run.account_id)]
        return ContainmentReport(
            scope=scope,
            enabled=switch.enabled if switch else False,
            generation=switch.generation if switch else 0,
            set_at=switch.set_at if switch else None,
            since=since,
            executed=tuple(run for run in runs if run.containment == "executed"),
            blocked=tuple(run for run in runs if run.containment == "blocked"),
            unknown=tuple(run for run in runs if run.containment == "unknown"),
            next_token=page.next_token,
        )

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

        async def attempt() -> Resolution:
            core = self._core
            intent = await core.visible_intent(by, action_intent_id)
            records = await core.store.execution(by.tenant_id, action_intent_id)
            lock = records.attempt if records else None
            if records is None or lock is None or lock.status is not RunStatus.IN_DOUBT:
                status = lock.status.value if lock else intent.status.value
                raise IllegalTransition(f"Only a run in doubt can be resolved; this one is {status}.")
            answer = await core.ask(by, core.question(PolicyAction.RESOLVE, by, intent, {}))
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
            needed = 2 if intent.risk_class is RiskClass.HIGH else 1
            said = [
                known
                for known in await core.store.approvals(by.tenant_id, action_intent_id)
                if known.run_number == lock.run_number
            ]
            already = any(known.decided_by == by.ref for known in said)
            agreeing = {known.decided_by for known in (*said, approval) if _agrees(known, approval, needed)}
            missing = max(0, needed - len(agreeing))
            if already and missing:
                raise IllegalTransition("You have resolved this run; a second person has to say the same.")
            entry = core.intent_entry(
                intent,
                LedgerEvent.IN_DOUBT_RESOLVED,
                str(by.ref),
                {
                    "resolution": "EXECUTED" if executed else "NOT_EXECUTED",
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
                return Resolution(intent, lock.status, missing)
            reads = Reads(intent=intent, entry=None, tool=None)
            end = resolved(Run.of(records, lock.run_number), reads, self._pipeline, executed=executed, refs=refs)
            await core.store.commit([*vote, entry, *end.commands])
            return Resolution(intent, end.run.lock.status, 0)

        return await racing(
            attempt,
            {
                ConflictKind.STALE_FENCE,
                ConflictKind.STATUS_CHANGED,
                ConflictKind.PERMIT_SETTLED,
                ConflictKind.ALREADY_DECIDED,
            },
        )

    async def replay(self, by: Principal, action_intent_id: str, reason: str) -> int:
        """Starts a new run of a failed or cancelled one, under the same key. Returns its run number.

        The kill switches count from now on: what was on before the replay was asked for does not refuse it.

        Raises:
            IllegalTransition: the last run did not fail, or the approval has expired.
        """
        by.require(Permission.REPLAY)
        if not reason.strip():
            raise InvalidInput("A replay needs a reason.")

        async def attempt() -> int:
            core = self._core
            intent = await core.visible_intent(by, action_intent_id)
            records = await core.store.execution(by.tenant_id, action_intent_id)
            lock = records.attempt if records else None
            if records is None or lock is None or lock.status not in (RunStatus.FAILED, RunStatus.CANCELLED):
                raise IllegalTransition("Only a run that ended FAILED or CANCELLED can be replayed.")
            if intent.status is not IntentStatus.APPROVED or intent.shadow or is_expired(intent, core.clock.now_ms()):
                raise IllegalTransition("The approval is no longer in force; propose the action again.")
            clean = may_end_clean(of_purpose(records.permits, Purpose.EFFECT))
            burned = intent.write_semantics.failure_burns_key and clean
            generation = lock.generation + (1 if burned else 0)
            scopes = scopes_of(intent.tenant_id, intent.action_type, intent.connector_id)
            fresh = msgspec.structs.replace(
                new_attempt(intent, lock.run_number + 1, self._pipeline),
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
                    core.intent_entry(intent, LedgerEvent.REPLAY_REQUESTED, str(by.ref), data, fresh.run_number),
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

        return await racing(attempt, {ConflictKind.STARTED_BY_OTHER_OWNER, ConflictKind.STARTED_BY_SAME_OWNER})

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
            set_by=str(by.ref),
            set_at=core.now(),
        )
        entry = core.chain_entry(
            by.tenant_id, LedgerEvent.REGISTRY_CHANGED, str(by.ref), {"budget": msgspec.to_builtins(budget)}
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
        self._core.policy.check(text)

        async def attempt() -> PolicySet:
            core = self._core
            before = await core.store.policies(by.tenant_id)
            after = PolicySet(
                tenant_id=by.tenant_id,
                version=(before.version if before else 0) + 1,
                text=text,
                mode=mode,
                set_by=str(by.ref),
                set_at=core.now(),
            )
            data = {"policies": text, "mode": mode.value, "version": after.version}
            entry = core.chain_entry(by.tenant_id, LedgerEvent.REGISTRY_CHANGED, str(by.ref), data)
            await core.store.commit([SetPolicies(policies=after), entry])
            return after

        return await racing(attempt, {ConflictKind.VERSION_CHANGED})


def storage_scope(tenant_id: str, scope: str) -> str:
    """A public scope as the store keeps it."""
    if scope == "global":
        return scope
    if scope == "tenant":
        return f"tenant:{tenant_id}"
    if scope.startswith("platform:"):
        return scope.removeprefix("platform:")
    return f"tenant:{tenant_id}/{scope}"


def _agrees(known: Approval, other: Approval, needed: int) -> bool:
    human = needed == 1 or known.approval_source is ApprovalSource.HUMAN
    return human and known.decision is other.decision and known.subject_digest == other.subject_digest
