"""Undo: a proposal of its own, to take back what one run did (specification, section 7)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from enactor.domain.action_type import ActionType, CompensationStrategy
from enactor.domain.approval import approval_digest
from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.canonical import canonical
from enactor.domain.errors import (
    ConfigurationError,
    EffectKeyTaken,
    IllegalTransition,
    InvalidInput,
    TargetUnreadable,
    TooManyPending,
    UndoConflict,
    UndoImpossible,
)
from enactor.domain.idempotency import undo_effect_key, undo_key
from enactor.domain.intent import ActionIntent, FrozenCall, Undoes, preview_of
from enactor.domain.ledger import LedgerEvent
from enactor.domain.outcome import ActionOutcome, CompensationStatus, ObjectRef
from enactor.domain.permit import Purpose, WritePermit, done_by
from enactor.domain.policy import PolicyAction, PolicyAnswer, PolicyMode
from enactor.domain.principal import Permission, Principal
from enactor.pipeline.undoing import changed_since, read_back_request
from enactor.ports.commands import Command, Conflict, ConflictKind, CreateIntent
from enactor.ports.store import ExecutionRecords
from enactor.ports.tools import CallRequest, ToolDefinition
from enactor.service.core import Core
from enactor.service.drafting import Proposal, draft, required_approvals
from enactor.service.freezing import Freezer, frozen_facts
from enactor.service.registry import Registry

_MAX_REASON: Final = 4_000
_TAKEN_BACK: Final = frozenset({CompensationStatus.COMPLETED})


class _Effect(Struct, frozen=True, kw_only=True):
    """An effect that stands and can be taken back: the run, the call that made it, and what it left."""

    intent: ActionIntent
    attempt: ExecutionAttempt
    outcome: ActionOutcome
    call: WritePermit

    @property
    def refs(self) -> tuple[ObjectRef, ...]:
        return self.call.external_object_refs or self.outcome.external_object_refs


class Undoing:
    """The use case of taking back what a run did."""

    def __init__(self, core: Core, registry: Registry) -> None:
        self._core = core
        self._registry = registry
        self._freezer = Freezer(core)

    async def undo(
        self, by: Principal, action_intent_id: str, reason: str, *, trace_id: str | None = None
    ) -> ActionIntent:
        """Proposes to take back what the current run of an intent did. Nothing is called before it is approved.

        The undo is at least as risky as the original, and takes back only what is read back under the original's key
        as it was left.

        Args:
            by: an operator; the undo is its proposal, so somebody else has to approve it.
            reason: kept as the rationale.

        Raises:
            UndoImpossible: it is an undo itself, or how it is taken back is for people or not at all.
            UndoConflict: what it did is not there as it was left.
            IllegalTransition: the run has no effect that is known and stands.
            EffectKeyTaken: an undo of this run is on its way, or was done; `action_intent_id` names it.
            Forbidden, PolicyDenied, TooManyPending: not by this principal, or not now.
        """
        by.require(Permission.UNDO)
        if not reason.strip() or len(reason) > _MAX_REASON:
            raise InvalidInput(f"An undo needs a reason, of at most {_MAX_REASON} characters.")
        core = self._core
        intent = await core.visible_intent(by, action_intent_id)
        records = await core.store.execution(by.tenant_id, action_intent_id)
        effect_key = undo_effect_key(action_intent_id, records.attempt.run_number if records and records.attempt else 1)
        holder = await core.store.effect_holder(by.tenant_id, effect_key)
        if holder is not None:
            raise _taken(holder)
        effect = _effect_of(intent, records)
        definition = self._tool_of(intent)
        answer = await core.ask(
            by, core.question(PolicyAction.UNDO, by, intent, msgspec.json.decode(intent.tool_call.argument_bytes))
        )
        entry = await self._registry.entry_for_undo(by.tenant_id, definition)
        refs, read = await self._read_back(by, effect, definition)
        undo = await self._frozen(by, effect, entry, refs, reason, trace_id)
        entries: list[Command] = [
            core.intent_entry(undo, LedgerEvent.INTENT_PROPOSED, by.name, _facts(undo), from_outside=False),
            *([core.intent_entry(undo, LedgerEvent.TARGET_READ, by.name, read)] if read else []),
            core.intent_entry(undo, LedgerEvent.POLICY_EVALUATED, "policy", _evaluated(undo, answer)),
            core.intent_entry(
                intent,
                LedgerEvent.POLICY_EVALUATED,
                by.name,
                {**_evaluated(undo, answer), "undo_intent_id": undo.action_intent_id, "reason": reason},
                effect.attempt.run_number,
            ),
        ]
        create = CreateIntent(
            intent=undo,
            max_pending_of_proposer=core.limits.max_pending_of_proposer,
            max_pending_of_tenant=core.limits.max_pending_of_tenant,
        )
        try:
            await core.store.commit([create, *entries])
        except Conflict as conflict:
            if conflict.kind is ConflictKind.EFFECT_KEY_TAKEN:
                raise _taken(str(conflict.current)) from conflict
            if conflict.kind is ConflictKind.TOO_MANY_PENDING:
                message = "Too many intents wait for a decision; have some decided or cancelled first."
                raise TooManyPending(message) from conflict
            raise
        return undo

    def _tool_of(self, intent: ActionIntent) -> ToolDefinition:
        """The tool that takes an intent's effect back: the pinned one, as it was approved. Raises `UndoImpossible`."""
        pinned = intent.compensation
        if pinned.strategy is not CompensationStrategy.AUTOMATIC or pinned.tool_name is None:
            by_hand = "A person has to take it back" if pinned.strategy is CompensationStrategy.MANUAL else "It stays"
            raise UndoImpossible(
                f"{by_hand}: {pinned.note or 'its action type names no way to take it back.'}",
                compensation_strategy=pinned.strategy.value,
                compensation_note=pinned.note,
            )
        definition = self._core.tools.definition(pinned.tool_name)
        if definition is None or definition.tool_schema_version != pinned.tool_schema_version:
            raise UndoImpossible(
                f"The tool {pinned.tool_name} that takes it back is not there any more, or is another one by now.",
                compensation_strategy=pinned.strategy.value,
            )
        return definition

    async def _read_back(
        self, by: Principal, effect: _Effect, definition: ToolDefinition
    ) -> tuple[tuple[ObjectRef, ...], dict[str, Any] | None]:
        """Reads back what is to be taken back, by the original's key.

        Returns:
            The objects, each at the version it was left at, and what the ledger says of the reading: nothing when the
            original's tool cannot be looked up. Then the tool that takes it back has to check what it finds by itself.
        """
        core, intent = self._core, effect.intent
        if not intent.write_semantics.has_lookup:
            if definition.verifies_undo:
                return effect.refs, None
            raise UndoImpossible("Nothing can read back what it did, so it cannot be taken back safely; do it by hand.")
        request = read_back_request(
            intent,
            run_number=effect.attempt.run_number,
            key=effect.call.idempotency_key,
            refs=effect.refs,
            trace_id=effect.outcome.trace_id,
        )
        answer = await core.tools.look_up(request)
        unchanged = bool(answer.found) and not changed_since(effect.refs, answer.refs)
        data = {
            "tool_name": intent.tool_call.tool_name,
            "purpose": "UNDO",
            "found": answer.found,
            "unchanged": unchanged,
        }
        if unchanged:
            recorded = all(ref.version is not None for ref in effect.refs) and bool(effect.refs)
            return (effect.refs if recorded else answer.refs or effect.refs), data
        if answer.deferred_reason:
            raise TargetUnreadable(
                f"The target is not read now: {answer.deferred_reason}. Nothing was changed; try again.",
                retry_after_seconds=answer.retry_after_seconds,
            )
        entry = core.intent_entry(intent, LedgerEvent.TARGET_READ, by.name, data, effect.attempt.run_number)
        await core.store.commit([entry])
        if answer.found is None:
            said = answer.message or "the target does not say"
            raise UndoConflict(f"What it did could not be read back as it was left ({said}); nothing was changed.")
        if not answer.found:
            raise UndoConflict("What it did is not there any more; there is nothing to take back.")
        raise UndoConflict("Somebody changed it since; nothing was changed. Take it back by hand, if still wanted.")

    async def _frozen(
        self,
        by: Principal,
        effect: _Effect,
        entry: ActionType,
        refs: tuple[ObjectRef, ...],
        reason: str,
        trace_id: str | None,
    ) -> ActionIntent:
        core, original = self._core, effect.intent
        policies = await core.store.policies(by.tenant_id)
        proposal = Proposal(
            action_type=entry.action_type,
            account_id=original.account_id,
            parameters={},
            rationale=reason,
            execution_policy=original.execution_policy,
        )
        undo = draft(core, by, proposal, entry, trace_id)
        undoes = Undoes(
            action_intent_id=original.action_intent_id,
            run_number=effect.attempt.run_number,
            original_key=effect.call.idempotency_key,
            refs=refs,
        )
        arguments = self._arguments(undo, effect, undoes)
        undo = self._freezer.freeze(undo, entry, arguments)
        risk = max(original.risk_class, entry.risk_class, key=lambda one: one.rank)
        undo = msgspec.structs.replace(
            undo,
            # Its arguments are exactly what the tool is given, whatever the registry would make of parameters.
            tool_call=FrozenCall(entry.tool_name, entry.tool_schema_version, canonical(arguments).decode()),
            risk_class=risk,
            required_approvals=max(original.required_approvals, required_approvals(risk)),
            compensation=msgspec.structs.replace(
                entry.compensation,
                strategy=CompensationStrategy.NONE,
                tool_name=None,
                tool_schema_version=None,
                write_semantics=None,
                note="It takes something back. What it takes back can be proposed anew.",
            ),
            target=original.target,
            effect_key=undo_effect_key(original.action_intent_id, effect.attempt.run_number),
            summary=f"Take back: {original.summary}",
            undoes=undoes,
            policy_version=core.policy.version(policies),
            shadow=core.limits.shadow or (policies is not None and policies.mode is PolicyMode.SHADOW),
        )
        shown = original.preview
        if shown is not None:
            guard = core.tools.definition(entry.tool_name)
            version = next((ref.version for ref in refs if ref.version is not None), "")
            preview = preview_of(shown.after, shown.before, version, guard.guard if guard else shown.guard)
            undo = msgspec.structs.replace(undo, preview=preview)
        return msgspec.structs.replace(undo, approval_digest=approval_digest(undo))

    def _arguments(self, undo: ActionIntent, effect: _Effect, undoes: Undoes) -> dict[str, Any]:
        call = undo.tool_call
        request = CallRequest(
            tenant_id=undo.tenant_id,
            account_id=undo.account_id,
            action_intent_id=undo.action_intent_id,
            run_number=0,
            call_no=0,
            purpose=Purpose.EFFECT,
            tool_name=call.tool_name,
            tool_schema_version=call.tool_schema_version,
            argument_bytes=effect.intent.tool_call.argument_bytes,
            idempotency_key=undo_key(
                tenant_id=undo.tenant_id,
                original_key=undoes.original_key,
                run_number=undoes.run_number,
                generation=0,
                tool_name=call.tool_name,
            ),
            trace_id=undo.trace_id,
            send_not_after=0,
            timeout_seconds=0,
            original=undoes.refs,
            original_key=undoes.original_key,
        )
        try:
            return self._core.tools.undo_arguments(request)
        except ConfigurationError as error:
            raise UndoImpossible(error.message) from error


def _effect_of(intent: ActionIntent, records: ExecutionRecords | None) -> _Effect:
    """What a run did, if it is known and stands. Raises `UndoImpossible`, `IllegalTransition`."""
    if intent.erased_at:
        raise UndoImpossible("Its data was erased, so nobody knows any more what would have to be taken back.")
    if intent.undoes is not None:
        raise UndoImpossible(
            f"This is the undo of {intent.undoes.action_intent_id} itself. Propose that action again instead.",
            action_intent_id=intent.undoes.action_intent_id,
        )
    attempt = records.attempt if records else None
    outcome = records.outcome if records else None
    if records is None or attempt is None:
        raise IllegalTransition("It was never executed, so there is nothing to take back; cancel or reject it instead.")
    if attempt.status is RunStatus.RUNNING:
        raise IllegalTransition("It is being executed; cancel it, or wait for its end.")
    if attempt.status is RunStatus.IN_DOUBT:
        raise IllegalTransition("It is not known whether it happened; resolve it first. What is unknown is not undone.")
    done = done_by(records.permits, Purpose.EFFECT)
    if done is None or outcome is None:
        raise IllegalTransition(f"The run is {attempt.status} and had no effect, so there is nothing to take back.")
    match outcome.compensation_status:
        case CompensationStatus.COMPLETED:
            raise IllegalTransition("It was taken back already.", action_intent_id=outcome.compensated_by)
        case CompensationStatus.IN_DOUBT:
            raise IllegalTransition("It is not known whether it was taken back; resolve that first.")
        case _:
            return _Effect(intent=intent, attempt=attempt, outcome=outcome, call=done)


def _taken(holder: str) -> EffectKeyTaken:
    return EffectKeyTaken(
        f"Intent {holder} takes this run back, or did; undoing twice changes nothing.", action_intent_id=holder
    )


def _facts(undo: ActionIntent) -> dict[str, Any]:
    return {**frozen_facts(undo), "undoes": msgspec.to_builtins(undo.undoes)}


def _evaluated(undo: ActionIntent, answer: PolicyAnswer) -> dict[str, Any]:
    return {
        "policy_version": answer.policy_version,
        "undo": list(answer.reasons),
        "auto_approve": False,
        "required_approvals": undo.required_approvals,
        "shadow": undo.shadow,
    }
