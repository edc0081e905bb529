"""StartExecution: takes the lock."""

from __future__ import annotations

import msgspec

from enactor.domain.attempt import ExecutionAttempt, Phase, RunStatus
from enactor.domain.errors import FailureCode
from enactor.domain.idempotency import idempotency_key
from enactor.domain.ids import run_name
from enactor.domain.intent import ActionIntent
from enactor.domain.ledger import LedgerEvent
from enactor.domain.time import rfc3339
from enactor.pipeline.model import Context, Continue, Duplicate, Reads, Run, Turn, with_attempt
from enactor.pipeline.undoing import key_of_undo
from enactor.ports.commands import StartAttempt, UpdateAttempt


def effect_idempotency_key(intent: ActionIntent, generation: int = 0) -> str:
    """The key of the intent's effect, the same in every run; an undo's is derived from that of what it takes back."""
    if intent.undoes is not None:
        return key_of_undo(intent, generation)
    return idempotency_key(
        tenant_id=intent.tenant_id,
        action_intent_id=intent.action_intent_id,
        revision=intent.revision,
        purpose=Phase.EFFECT,
        generation=generation,
        tool_name=intent.tool_call.tool_name,
        argument_bytes=intent.tool_call.argument_bytes,
    )


def new_attempt(intent: ActionIntent, run_number: int, ctx: Context) -> ExecutionAttempt:
    """The lock of a new run, held by the run's name."""
    now_ms = ctx.now_ms()
    now = rfc3339(now_ms)
    return ExecutionAttempt(
        action_intent_id=intent.action_intent_id,
        tenant_id=intent.tenant_id,
        account_id=intent.account_id,
        action_type=intent.action_type,
        connector_id=intent.connector_id,
        run_number=run_number,
        owner=run_name(intent.action_intent_id, run_number),
        fence=1,
        status=RunStatus.RUNNING,
        idempotency_key=effect_idempotency_key(intent),
        started_at=now,
        updated_at=now,
        trace_id=ctx.ids.new(),
        deadline_at=now_ms + ctx.settings.grace_ms,
        switch_marks=intent.switch_marks,
    )


def start_execution(run: Run, reads: Reads, ctx: Context) -> Turn:
    """Takes the lock, or finds that this run has it already.

    The conditions of `StartAttempt` decide a race. The same owner's lock without a call is taken up where it was, under
    a fence of its own: whoever else found it so is fenced off. Any further progress is Recover's business.
    """
    if run.attempt is not None:
        return _taken_up(run, run.attempt, ctx)
    intent = reads.intent
    attempt = new_attempt(intent, run.run_number, ctx)
    if reads.budget_exceeded:
        attempt = msgspec.structs.replace(attempt, last_error_code=FailureCode.BUDGET_EXCEEDED.value)
    started = msgspec.structs.replace(run, attempt=attempt)
    return Continue(
        run=started,
        commands=(
            StartAttempt(
                attempt=attempt,
                intent_version=intent.version,
                revision=intent.revision,
                approval_digest=intent.approval_digest,
                now_ms=ctx.now_ms(),
                charge_budget=not reads.budget_exceeded,
            ),
            ctx.entry(
                started,
                intent,
                LedgerEvent.EXECUTION_STARTED,
                {
                    "owner": attempt.owner,
                    "approval_digest": intent.approval_digest,
                    "registry_version": intent.registry_version,
                    "idempotency_key": attempt.idempotency_key,
                },
            ),
        ),
    )


def _taken_up(run: Run, lock: ExecutionAttempt, ctx: Context) -> Turn:
    called = any(permit.run_number == run.run_number for permit in run.permits)
    same = lock.owner == run_name(run.action_intent_id, run.run_number)
    if not same or lock.status is not RunStatus.RUNNING or called:
        return Duplicate(run=run, reason="the run has been started")
    run = with_attempt(
        run, fence=lock.fence + 1, updated_at=ctx.now(), deadline_at=ctx.now_ms() + ctx.settings.grace_ms
    )
    return Continue(run=run, commands=(UpdateAttempt(attempt=run.lock, expected_fence=lock.fence),))
