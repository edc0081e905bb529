"""Proposing and editing: parameters are validated and mapped here, once, and the call is frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from enactor.domain.approval import Approval, ApprovalSource, Decision, approval_digest
from enactor.domain.canonical import digest
from enactor.domain.errors import (
    EffectKeyTaken,
    EnactorError,
    Forbidden,
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidInput,
    PolicyDenied,
    PreconditionFailed,
    RequestInProgress,
    TooManyPending,
    UnknownActionType,
)
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.kill_switch import marks
from enactor.domain.ledger import LedgerEvent
from enactor.domain.policy import AUTO_APPROVABLE, PolicyAction, PolicyAnswer, PolicyMode, PolicySet
from enactor.domain.principal import Permission, Principal, PrincipalRef, Role
from enactor.ports.commands import (
    AppendApproval,
    AppendLedger,
    Command,
    Conflict,
    ConflictKind,
    CreateIntent,
    RequestKey,
    ReserveRequest,
    UpdateIntent,
)
from enactor.ports.engine import RunRequest
from enactor.service.core import Core, because, racing
from enactor.service.drafting import Proposal, check_form, draft
from enactor.service.freezing import Freezer, frozen_facts
from enactor.service.previewing import Previewer

MAX_BATCH: Final = 1_000
_AT_ONCE: Final = 128
"""So many of a batch's proposals are begun in one turn of the loop; others get theirs in between."""


class Proposed(Struct, frozen=True):
    """The intent, and whether this very request made it (else it is the one made before)."""

    intent: ActionIntent
    created: bool


class Proposals:
    """The use cases of proposers, and the edit of approvers."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._freezer = Freezer(core)
        self._previewer = Previewer(core)
        self._in_progress: set[tuple[str, str, str]] = set()

    async def propose(
        self,
        by: Principal,
        proposal: Proposal,
        *,
        idempotency_key: str | None = None,
        also: tuple[str, ...] = (),
        trace_id: str | None = None,
    ) -> Proposed:
        """Makes an intent of a proposal, with its call frozen.

        Args:
            by: the proposer.
            idempotency_key: the same key with the same proposal gives the same intent.
            also: further keys that stand for the same request; they are reserved with it, or none of them is.
            trace_id: the decision trace (32 hexadecimal digits, W3C); made when absent.

        Raises:
            UnknownActionType, InvalidParameters, InvalidInput: it cannot be done as asked; nothing was stored.
            Forbidden, PolicyDenied: not by this principal, or not at all.
            TooManyPending, EffectKeyTaken, IdempotencyKeyReused, RequestInProgress: not now.
        """
        by.require(Permission.PROPOSE)
        if idempotency_key is None:
            return Proposed(await self._create(by, proposal, None, trace_id), True)
        if not 1 <= len(idempotency_key) <= 255:
            raise InvalidInput("An Idempotency-Key has 1 to 255 characters.")
        slot = (by.tenant_id, by.name, idempotency_key)
        body_hash = digest(msgspec.to_builtins(proposal))
        keys = (idempotency_key, *also)
        if slot in self._in_progress:
            raise RequestInProgress("A request with this Idempotency-Key is still in progress; ask again shortly.")
        self._in_progress.add(slot)
        try:
            known = await self._core.store.request(*slot)
            if known is None:
                try:
                    return Proposed(await self._create(by, proposal, (keys, body_hash), trace_id), True)
                except Conflict as conflict:
                    if not isinstance(conflict.current, RequestKey):
                        raise
                    known = conflict.current
            if known.body_hash != body_hash:
                raise IdempotencyKeyReused("This Idempotency-Key came with another body before; use a new key.")
            return Proposed(await self._core.visible_intent(by, known.action_intent_id), False)
        finally:
            self._in_progress.discard(slot)

    async def propose_batch(self, by: Principal, proposals: Sequence[Proposal]) -> list[Proposed | EnactorError]:
        """Proposes each item on its own; the results are in the order of the items, refusals as errors.

        Raises:
            InvalidInput: more than 1,000 items, or none.
        """
        by.require(Permission.PROPOSE)
        if not 1 <= len(proposals) <= MAX_BATCH:
            raise InvalidInput(f"A batch has 1 to {MAX_BATCH} proposals.")
        results: list[Proposed | EnactorError] = []
        begun = []
        for start in range(0, len(proposals), _AT_ONCE):
            slice_ = [self._create(by, item, None, None) for item in proposals[start : start + _AT_ONCE]]
            begun.append(asyncio.gather(*slice_, return_exceptions=True))
            await asyncio.sleep(0)
        for outcome in [outcome for made in begun for outcome in await made]:
            if isinstance(outcome, ActionIntent):
                results.append(Proposed(outcome, True))
            elif isinstance(outcome, EnactorError):
                results.append(outcome)
            else:
                raise outcome
        return results

    async def edit(
        self, by: Principal, action_intent_id: str, parameters: dict[str, Any], if_match: str
    ) -> ActionIntent:
        """Replaces the parameters: a new revision with a new digest that needs a new approval.

        Raises:
            PreconditionFailed: `if_match` is not the current digest.
            IllegalTransition: an execution exists, or the intent is closed.
        """
        by.require(Permission.EDIT)

        async def attempt() -> ActionIntent:
            before = await self._core.visible_intent(by, action_intent_id)
            if before.approval_digest != if_match:
                raise PreconditionFailed(
                    "The intent was changed; read it again.", current_digest=before.approval_digest
                )
            if before.status not in (IntentStatus.PENDING_APPROVAL, IntentStatus.APPROVED):
                raise IllegalTransition(f"The intent is {before.status} and cannot be edited.")
            entry = await self._core.action_type_for(before.tenant_id, before.action_type, before.registry_version)
            if entry is None:
                raise UnknownActionType(f"The action type {before.action_type} is gone.")
            if before.undoes is not None:
                raise IllegalTransition("An undo takes back exactly one run; it cannot be edited. Reject it instead.")
            policies = await self._core.store.policies(before.tenant_id)
            after = self._freezer.freeze(before, entry, parameters)
            permitted = self._may_edit(by, after, policies)
            after = msgspec.structs.replace(
                after,
                revision=before.revision + 1,
                version=before.version + 1,
                contributors=tuple(sorted({*before.contributors, *by.everyone()})),
                status=IntentStatus.PENDING_APPROVAL,
                approval_source=None,
                approved_at=None,
                switch_marks=(),
                updated_at=self._core.now(),
                digest_salt=self._core.randomness.bytes(16).hex(),
                policy_version=permitted.policy_version,
                preview=None,
            )
            after, read = await self._previewer.previewed(after, by.name)
            after = msgspec.structs.replace(after, approval_digest=approval_digest(after))
            changed = self._core.intent_entry(
                after,
                LedgerEvent.INTENT_EDITED,
                by.name,
                {**frozen_facts(after), "replaces_digest": before.approval_digest},
                from_outside=False,
            )
            facts = {"policy_version": permitted.policy_version, "propose": list(permitted.reasons), "edit": True}
            evaluated = self._core.intent_entry(after, LedgerEvent.POLICY_EVALUATED, "policy", facts)
            try:
                await self._core.store.commit(
                    [
                        UpdateIntent(intent=after, expected_version=before.version, unstarted=True),
                        changed,
                        *read,
                        evaluated,
                    ]
                )
            except Conflict as conflict:
                raise _refused(conflict, after) from conflict
            return after

        return await racing(attempt, {ConflictKind.VERSION_CHANGED})

    def _may_edit(self, by: Principal, after: ActionIntent, policies: PolicySet | None) -> PolicyAnswer:
        """Asks whether what an edit makes of an intent may be proposed: by the editor, whose words they are now."""
        core = self._core
        arguments = msgspec.json.decode(after.tool_call.argument_bytes)
        question = core.question(PolicyAction.PROPOSE, by, after, arguments)
        roles = tuple(sorted({*question.principal_roles, Role.PROPOSER.value}))
        answer = core.policy.ask(msgspec.structs.replace(question, principal_roles=roles), policies)
        if not answer.allowed:
            raise PolicyDenied(f"Policy does not permit this to be proposed, nor to be edited to.{because(answer)}")
        return answer

    # -- making an intent ----------------------------------------------------------------------------------------

    async def _create(
        self, by: Principal, proposal: Proposal, request: tuple[tuple[str, ...], str] | None, trace_id: str | None
    ) -> ActionIntent:
        core = self._core
        check_form(proposal)
        if not by.reaches(proposal.account_id):
            raise Forbidden("The token does not cover this account.")
        entry = await core.action_type_for(by.tenant_id, proposal.action_type)
        if entry is None or entry.deprecated_at is not None or entry.undo_only:
            raise UnknownActionType(f"There is no action type '{proposal.action_type[:100]}' to propose.")
        intent = draft(core, by, proposal, entry, trace_id)
        policies = await core.store.policies(by.tenant_id)
        shadow = core.limits.shadow or (policies is not None and policies.mode is PolicyMode.SHADOW)
        intent = self._freezer.freeze(intent, entry, proposal.parameters)
        arguments = msgspec.json.decode(intent.tool_call.argument_bytes)
        question = core.question(PolicyAction.PROPOSE, by, intent, arguments)
        permitted = core.policy.ask(question, policies)
        if not permitted.allowed:
            raise PolicyDenied(f"Policy does not permit this proposal.{because(permitted)}")
        version = permitted.policy_version
        intent = msgspec.structs.replace(intent, policy_version=version, shadow=shadow)
        # Not before: what a policy forbids to propose is not to be read through a proposal either.
        intent, read = await self._previewer.previewed(intent, by.name)
        intent = msgspec.structs.replace(intent, approval_digest=approval_digest(intent))
        automatic = core.policy.ask(msgspec.structs.replace(question, action=PolicyAction.AUTO_APPROVE), policies)
        approved = automatic.allowed and intent.risk_class in AUTO_APPROVABLE
        commands: list[Command] = []
        if request is not None:
            keys, body_hash = request
            commands += [ReserveRequest(request=self._request_key(by, intent, key, body_hash)) for key in keys]
        entries: list[Command] = [
            core.intent_entry(intent, LedgerEvent.INTENT_PROPOSED, by.name, frozen_facts(intent), from_outside=False),
            *read,
            core.intent_entry(
                intent,
                LedgerEvent.POLICY_EVALUATED,
                "policy",
                {
                    "policy_version": version,
                    "propose": list(permitted.reasons),
                    "auto_approve": approved,
                    "auto_approve_reasons": list(automatic.reasons),
                    "auto_approve_errors": list(automatic.errors),
                    "required_approvals": intent.required_approvals,
                    "shadow": shadow,
                },
                from_outside=False,
            ),
        ]
        if approved:
            scopes, switches = await core.scopes_and_marks(intent)
            intent = msgspec.structs.replace(
                intent,
                status=IntentStatus.APPROVED,
                approval_source=ApprovalSource.POLICY.value,
                approved_at=intent.created_at,
                switch_marks=marks(scopes, switches),
            )
            entries += self._approved_by_policy(intent, version)
        create = CreateIntent(
            intent=intent,
            max_pending_of_proposer=core.limits.max_pending_of_proposer,
            max_pending_of_tenant=core.limits.max_pending_of_tenant,
        )
        try:
            await core.store.commit([*commands, create, *entries])
        except Conflict as conflict:
            if conflict.kind is ConflictKind.REQUEST_KEY_USED:
                raise
            raise _refused(conflict, intent) from conflict
        if approved and not shadow:
            await core.engine.submit(
                RunRequest(action_intent_id=intent.action_intent_id, tenant_id=intent.tenant_id, intent=intent)
            )
        return intent

    def _approved_by_policy(self, intent: ActionIntent, version: str) -> list[Command]:
        approval = Approval(
            action_intent_id=intent.action_intent_id,
            revision=intent.revision,
            approval_digest=intent.approval_digest,
            decision=Decision.APPROVED,
            decided_by=PrincipalRef("policy", version),
            approval_source=ApprovalSource.POLICY,
            decided_at=intent.created_at,
        )
        entry: AppendLedger = self._core.intent_entry(
            intent,
            LedgerEvent.ACTION_APPROVED,
            "policy",
            {"approval_digest": intent.approval_digest, "approval_source": "POLICY", "in_force": True},
        )
        return [AppendApproval(approval=approval), entry]

    def _request_key(self, by: Principal, intent: ActionIntent, key: str, body_hash: str) -> RequestKey:
        return RequestKey(
            tenant_id=by.tenant_id,
            principal=by.name,
            key=key,
            body_hash=body_hash,
            action_intent_id=intent.action_intent_id,
            created_at=intent.created_at,
        )


def _refused(conflict: Conflict, intent: ActionIntent) -> Exception:
    match conflict.kind:
        case ConflictKind.EFFECT_KEY_TAKEN:
            return EffectKeyTaken(
                f"Intent {conflict.current} is about to do, or did, the same thing ({intent.effect_key}).",
                action_intent_id=conflict.current,
            )
        case ConflictKind.TOO_MANY_PENDING:
            return TooManyPending("Too many intents wait for a decision; have some decided or cancelled first.")
        case ConflictKind.ALREADY_STARTED:
            return IllegalTransition("An execution exists; it is too late to edit.")
        case _:
            return conflict
