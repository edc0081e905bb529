"""RecordOutcome and RecordFailure: how a run ends. Nothing here ever says more than what is known."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ErrorClass, FailureCode
from enactor.domain.intent import ActionIntent
from enactor.domain.ledger import LedgerEvent
from enactor.domain.outcome import ActionOutcome, CompensationStatus, ObjectRef, tool_run_ref
from enactor.domain.permit import CallResult, Purpose, WritePermit, in_doubt, may_end_clean, of_purpose
from enactor.pipeline import undoing
from enactor.pipeline.model import Context, End, Reads, Run, calls_of_this_run
from enactor.ports.commands import Command, RecordOutcome, SettlePermit, UpdateAttempt

_EVENTS: Final[dict[RunStatus, LedgerEvent]] = {
    RunStatus.SUCCEEDED: LedgerEvent.ACTION_EXECUTED,
    RunStatus.FAILED: LedgerEvent.ACTION_FAILED,
    RunStatus.CANCELLED: LedgerEvent.EXECUTION_CANCELLED,
    RunStatus.EXPIRED: LedgerEvent.EXECUTION_EXPIRED,
    RunStatus.IN_DOUBT: LedgerEvent.EXECUTION_IN_DOUBT,
}


class Ending(Struct, frozen=True, gc=False):
    """How a run would end if nothing is in doubt."""

    status: RunStatus
    refs: tuple[ObjectRef, ...] = ()
    code: str | None = None
    error_class: ErrorClass | None = None
    message: str | None = None
    compensation: CompensationStatus = CompensationStatus.NONE
    compensation_error: str | None = None
    artifact_ref: str | None = None
    partial: bool = False


def honest(run: Run, ending: Ending) -> Ending:
    """`ending`, or IN_DOUBT when a call may have had an effect that nobody has established.

    A run ends FAILED, CANCELLED or EXPIRED only if all its calls were NOT_SENT or REFUSED (specification, section 3).
    """
    if ending.status in (RunStatus.SUCCEEDED, RunStatus.IN_DOUBT) or ending.partial:
        return ending
    if may_end_clean(of_purpose(run.permits, Purpose.EFFECT)):
        return ending
    why = f" ({ending.message})" if ending.message else ""
    return Ending(
        RunStatus.IN_DOUBT,
        code=ending.code if ending.code else FailureCode.EFFECT_UNKNOWN.value,
        error_class=ending.error_class or ErrorClass.UNKNOWN,
        message=f"A call was made whose effect is not known; a look-up or a person has to settle it.{why}",
    )


def finish(run: Run, reads: Reads, ctx: Context, ending: Ending, commands: tuple[Command, ...] = ()) -> End:
    """Ends the run: lock, outcome and ledger in one commit with `commands`.

    Args:
        ending: how it ends; turned into IN_DOUBT if anything else would say something false.
        commands: what led here and is not durable yet.
    """
    ending = honest(run, ending)
    intent, lock = reads.intent, run.lock
    now = ctx.now()
    calls = calls_of_this_run(run.permits, run)
    attempt = msgspec.structs.replace(
        lock,
        status=ending.status,
        updated_at=now,
        attempt_count=calls,
        last_error_class=ending.error_class.value if ending.error_class else None,
        last_error_code=ending.code,
        last_error_message=ending.message or "",
        resume_at=0,
        deadline_at=_next_look_up(reads, ctx, ending),
        waiting_for="",
    )
    outcome = ActionOutcome(
        action_intent_id=intent.action_intent_id,
        run_number=run.run_number,
        outcome_revision=run.outcome_revision + 1,
        status=ending.status,
        tenant_id=intent.tenant_id,
        account_id=intent.account_id,
        action_type=intent.action_type,
        trace_id=lock.trace_id,
        attempt_count=calls,
        tool_name=intent.tool_call.tool_name,
        tool_schema_version=intent.tool_call.tool_schema_version,
        registry_version=intent.registry_version,
        tool_run_ref=tool_run_ref(lock.trace_id, calls, intent.tool_call.tool_name),
        started_at=lock.started_at,
        completed_at=now,
        approval_source=intent.approval_source,
        external_object_refs=ending.refs,
        error_code=ending.code,
        error_class=ending.error_class.value if ending.error_class else None,
        error_message=ending.message,
        raw_response_artifact_ref=ending.artifact_ref,
        compensation_status=ending.compensation,
        compensation_error=ending.compensation_error,
    )
    ended = msgspec.structs.replace(run, attempt=attempt, outcome_revision=outcome.outcome_revision)
    entries = [ctx.entry(ended, intent, _EVENTS[ending.status], _facts(outcome))]
    if run.run_number > 1 and ending.status is not RunStatus.IN_DOUBT:
        replayed = ending.status is RunStatus.SUCCEEDED
        event = LedgerEvent.REPLAY_COMPLETED if replayed else LedgerEvent.REPLAY_FAILED
        entries.append(ctx.entry(ended, intent, event, {"status": ending.status}))
    return End(
        run=ended,
        commands=(
            *commands,
            *(_still_unknown(run) if ending.status is RunStatus.IN_DOUBT else ()),
            UpdateAttempt(attempt=attempt, expected_fence=lock.fence, expected_status=lock.status),
            RecordOutcome(outcome=outcome),
            *entries,
            *undoing.ended(run, reads, ctx, ending.status, ending.message),
        ),
    )


def _still_unknown(run: Run) -> tuple[Command, ...]:
    """Holds the doubt against the store: a late result that came in between makes the commit conflict."""
    return tuple(
        SettlePermit(permit=permit, expected=CallResult.UNKNOWN, expected_fence=run.lock.fence)
        for permit in run.permits
        if permit.result is CallResult.UNKNOWN and in_doubt(permit)
    )


def _facts(outcome: ActionOutcome) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "status": outcome.status,
        "outcome_revision": outcome.outcome_revision,
        "attempt_count": outcome.attempt_count,
        "tool_run_ref": outcome.tool_run_ref,
        "external_object_refs": [list(ref.identity) for ref in outcome.external_object_refs],
    }
    if outcome.error_code:
        facts["error_code"] = outcome.error_code
        facts["error_class"] = outcome.error_class
        facts["error_message"] = outcome.error_message
    if outcome.compensation_status is not CompensationStatus.NONE:
        facts["compensation_status"] = outcome.compensation_status
        facts["compensation_error"] = outcome.compensation_error
    return facts


def _next_look_up(reads: Reads, ctx: Context, ending: Ending) -> int:
    """When what is in doubt is looked up again by itself (epoch milliseconds); 0 where nothing is, or can be."""
    if ending.compensation is CompensationStatus.IN_DOUBT:
        semantics = reads.intent.compensation.write_semantics
    elif ending.status is RunStatus.IN_DOUBT:
        semantics = reads.intent.write_semantics
    else:
        return 0
    if semantics is None or not semantics.has_lookup:
        return 0
    return ctx.now_ms() + ctx.settings.doubt_look_up_ms


def collision(
    run: Run, intent: ActionIntent, ctx: Context, permit: WritePermit, known: tuple[ObjectRef, ...]
) -> Command:
    """One key is said to have made two different things: an incident for people, and nothing is overwritten."""
    return ctx.entry(
        run,
        intent,
        LedgerEvent.IDEMPOTENCY_COLLISION_DETECTED,
        {
            "idempotency_key": permit.idempotency_key,
            "call_no": permit.call_no,
            "known_refs": [list(ref.identity) for ref in known],
            "reported_refs": [list(ref.identity) for ref in permit.external_object_refs],
        },
    )
