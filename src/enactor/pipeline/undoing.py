"""What the run of an undo says about the run that it takes back: in the same commits as about itself."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from enactor.domain.attempt import RunStatus
from enactor.domain.idempotency import undo_key
from enactor.domain.intent import ActionIntent
from enactor.domain.ledger import LedgerEvent, record
from enactor.domain.outcome import CompensationStatus, ObjectRef
from enactor.domain.permit import Purpose
from enactor.pipeline.model import SYSTEM_ACTOR, Context, Original, Reads, Run
from enactor.ports.commands import AppendLedger, Command, RecordOutcome, ReleaseEffectKey
from enactor.ports.store import Store
from enactor.ports.tools import CallRequest

READ_SECONDS: Final = 10.0
"""How long reading a target may take before anything is written to it."""

_EVENTS: Final = {
    CompensationStatus.PENDING: LedgerEvent.COMPENSATION_STARTED,
    CompensationStatus.COMPLETED: LedgerEvent.COMPENSATION_COMPLETED,
    CompensationStatus.FAILED: LedgerEvent.COMPENSATION_FAILED,
    CompensationStatus.IN_DOUBT: LedgerEvent.COMPENSATION_FAILED,
}


async def original_of(store: Store, intent: ActionIntent) -> Original | None:
    """The run that an intent takes back, as the store knows it now; None unless it is an undo."""
    undoes = intent.undoes
    if undoes is None:
        return None
    records = await store.execution(intent.tenant_id, undoes.action_intent_id)
    if records is None or records.outcome is None or records.outcome.run_number != undoes.run_number:
        return None
    return Original(intent=records.intent, outcome=records.outcome)


def key_of_undo(intent: ActionIntent, generation: int) -> str:
    """The idempotency key of an undo's call: every undo of the same run has the same."""
    undoes = intent.undoes
    if undoes is None:
        raise RuntimeError("only an undo has the key of one")
    return undo_key(
        tenant_id=intent.tenant_id,
        original_key=undoes.original_key,
        run_number=undoes.run_number,
        generation=generation,
        tool_name=intent.tool_call.tool_name,
    )


def begun(run: Run, reads: Reads, ctx: Context) -> tuple[Run, tuple[Command, ...]]:
    """The first call of an undo is permitted: the original says that it is being taken back."""
    return _said(run, reads, ctx, CompensationStatus.PENDING, None)


def ended(run: Run, reads: Reads, ctx: Context, status: RunStatus, message: str | None) -> tuple[Command, ...]:
    """An undo's run has ended, or is in doubt: the original says what is known of it now.

    Nothing is said of an original that the undo never called for. Taken back, it gives its effect key back.
    """
    original = run.original
    if original is None:
        return ()
    called = any(permit.purpose is Purpose.EFFECT for permit in run.permits)
    if not called and status is not RunStatus.SUCCEEDED:
        return ()
    match status:
        case RunStatus.SUCCEEDED:
            _, commands = _said(run, reads, ctx, CompensationStatus.COMPLETED, None)
            release = ReleaseEffectKey(
                tenant_id=original.intent.tenant_id, action_intent_id=original.intent.action_intent_id
            )
            return (*commands, release)
        case RunStatus.IN_DOUBT:
            return _said(run, reads, ctx, CompensationStatus.IN_DOUBT, message)[1]
        case _:
            return _said(run, reads, ctx, CompensationStatus.FAILED, message)[1]


def _said(
    run: Run, reads: Reads, ctx: Context, status: CompensationStatus, error: str | None
) -> tuple[Run, tuple[Command, ...]]:
    original = run.original
    if original is None or original.outcome.compensation_status is status:
        return run, ()
    undo = reads.intent.action_intent_id
    outcome = msgspec.structs.replace(
        original.outcome,
        outcome_revision=original.outcome.outcome_revision + 1,
        compensation_status=status,
        compensation_error=error,
        compensated_by=undo,
    )
    data: dict[str, Any] = {"undo_intent_id": undo, "outcome_revision": outcome.outcome_revision}
    match status:
        case CompensationStatus.PENDING:
            refs = outcome.external_object_refs
            data |= {
                "tool_name": reads.intent.tool_call.tool_name,
                "external_object_refs": [list(ref.identity) for ref in refs],
            }
        case CompensationStatus.FAILED | CompensationStatus.IN_DOUBT:
            data |= {"compensation_status": status.value, "reason": error or ""}
        case _:
            pass
    commands = (RecordOutcome(outcome=outcome), _entry(original, ctx, _EVENTS[status], data))
    return msgspec.structs.replace(run, original=msgspec.structs.replace(original, outcome=outcome)), commands


def _entry(original: Original, ctx: Context, event: LedgerEvent, data: dict[str, Any]) -> AppendLedger:
    intent, outcome = original.intent, original.outcome
    return AppendLedger(
        record=record(
            entry_id=ctx.ids.new(),
            salt=ctx.randomness.bytes(16),
            tenant_id=intent.tenant_id,
            account_id=intent.account_id,
            event_type=event,
            timestamp=ctx.now(),
            actor=SYSTEM_ACTOR,
            trace_id=outcome.trace_id,
            decision_trace_id=intent.trace_id,
            action_intent_id=intent.action_intent_id,
            run_number=outcome.run_number,
            data=data,
        )
    )


def read_back_request(
    original: ActionIntent, *, run_number: int, key: str, refs: tuple[ObjectRef, ...], trace_id: str
) -> CallRequest:
    """The look-up that reads back what a run made."""
    return CallRequest(
        tenant_id=original.tenant_id,
        account_id=original.account_id,
        action_intent_id=original.action_intent_id,
        run_number=run_number,
        call_no=0,
        purpose=Purpose.EFFECT,
        tool_name=original.tool_call.tool_name,
        tool_schema_version=original.tool_call.tool_schema_version,
        argument_bytes=original.tool_call.argument_bytes,
        idempotency_key=key,
        trace_id=trace_id,
        send_not_after=0,
        timeout_seconds=READ_SECONDS,
        original=refs,
        expected_version=original.preview.version_tag if original.preview is not None else None,
    )


def changed_since(recorded: tuple[ObjectRef, ...], found: tuple[ObjectRef, ...]) -> bool:
    """Whether what was read back is not what was left: another object, or another version of it.

    Where one of the two does not tell objects or versions, there is nothing to hold against the other.
    """
    if not recorded or not found:
        return False
    left = {ref.identity: ref.version for ref in recorded}
    if left.keys() != {ref.identity for ref in found}:
        return True
    return any(
        ref.version is not None and left[ref.identity] is not None and ref.version != left[ref.identity]
        for ref in found
    )
