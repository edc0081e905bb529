"""What a call's reply means: durable together with whatever follows from it."""

from __future__ import annotations

import msgspec

from enactor.domain.attempt import Phase, RunStatus
from enactor.domain.errors import ErrorClass, FailureCode
from enactor.domain.intent import is_expired
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import CLEAN, CallResult, Verdict, WritePermit, collides, done_by, is_clean, of_purpose
from enactor.domain.time import rfc3339
from enactor.pipeline import partial
from enactor.pipeline.calls import Plan, plan_of
from enactor.pipeline.invoke import calls_made, done_with, exhausted, invoke_tool, repeat_of
from enactor.pipeline.model import Call, Context, Reads, Run, Turn, with_attempt, with_permit
from enactor.pipeline.record import Ending, collision
from enactor.pipeline.retries import backoff_ms, wait
from enactor.pipeline.start import effect_idempotency_key
from enactor.ports.commands import Command, SettlePermit
from enactor.ports.tools import Reply


def settled(call: Call, reads: Reads, ctx: Context, reply: Reply) -> Turn:
    """Takes the reply of a call: what it means, durable with whatever follows from it."""
    run, intent = call.run, reads.intent
    plan = plan_of(run, reads)
    known = done_by(run.permits, plan.purpose)
    permit = msgspec.structs.replace(
        call.permit,
        result=reply.result,
        external_object_refs=reply.refs,
        partial=reply.partial,
        retryable=reply.retryable,
        error_code=reply.error_code,
        gone_by=ctx.now_ms() if reply.result is CallResult.UNKNOWN else 0,
    )
    run = with_permit(run, permit)
    commands: tuple[Command, ...] = (
        SettlePermit(permit=permit, expected_fence=permit.fence),
        ctx.entry(run, intent, LedgerEvent.TOOL_INVOKED, _facts(plan, permit, reply)),
    )
    if known is not None and collides(known.external_object_refs, reply.refs):
        commands = (*commands, collision(run, intent, ctx, permit, known.external_object_refs))
    run = _with_error(run, reply)
    if reply.result is CallResult.DONE:
        return done_with(plan, run, reads, ctx, commands, reply)
    permits = of_purpose(run.permits, plan.purpose)
    if reply.result is CallResult.NOT_SENT and reply.deferred_reason:
        return _deferred(plan, run, reads, ctx, reply, commands)
    if reply.result in CLEAN and not reply.retryable:
        return exhausted(plan, permits, run, reads, ctx, commands)
    if reply.result is CallResult.UNKNOWN:
        verdict = repeat_of(plan, permits, run, ctx).verdict
        if verdict is not Verdict.CALL:
            return invoke_tool(run, reads, ctx, commands)
    return _retry(plan, run, reads, ctx, reply, commands)


def _with_error(run: Run, reply: Reply) -> Run:
    """`run` with what the reply says went wrong, or no longer with what went wrong before."""
    lock = run.lock
    if reply.result is CallResult.DONE and not lock.last_error_code and not reply.message:
        return run
    return with_attempt(
        run,
        last_error_class=reply.error_class.value if reply.error_class else None,
        last_error_code=reply.error_code,
        last_error_message=reply.message,
    )


def _facts(plan: Plan, permit: WritePermit, reply: Reply) -> dict[str, object]:
    facts: dict[str, object] = {
        "call_no": permit.call_no,
        "purpose": plan.purpose,
        "tool_name": plan.tool_name,
        "result": reply.result,
        "external_object_refs": [list(ref.identity) for ref in reply.refs],
    }
    if reply.error_code:
        facts |= {"error_code": reply.error_code, "retryable": reply.retryable, "error_message": reply.message}
    if reply.error_class:
        facts["error_class"] = reply.error_class
    if reply.partial:
        facts["partial"] = True
    return facts


def _retry(plan: Plan, run: Run, reads: Reads, ctx: Context, reply: Reply, commands: tuple[Command, ...]) -> Turn:
    permits = of_purpose(run.permits, plan.purpose)
    calls = calls_made(permits, run)
    if calls > reads.intent.execution_policy.retry_count:
        return exhausted(plan, permits, run, reads, ctx, commands)
    delay = backoff_ms(calls - 1, reply.retry_after_seconds, ctx)
    if plan.semantics.failure_burns_key and plan.purpose is Phase.EFFECT and is_clean(permits):
        generation = run.lock.generation + 1
        key = effect_idempotency_key(reads.intent, generation)
        run = with_attempt(run, generation=generation, idempotency_key=key)
    reason = f"retry {calls} of {reads.intent.execution_policy.retry_count} after {reply.error_code or reply.result}"
    entry = ctx.entry(
        run,
        reads.intent,
        LedgerEvent.TOOL_RETRY_SCHEDULED,
        {"retry": calls, "delay_ms": delay, "error_code": reply.error_code, "purpose": plan.purpose},
    )
    return wait(run, ctx, ctx.now_ms() + delay, reason, (*commands, entry))


def _deferred(plan: Plan, run: Run, reads: Reads, ctx: Context, reply: Reply, commands: tuple[Command, ...]) -> Turn:
    count = run.lock.deferral_count + 1
    delay = backoff_ms(min(count - 1, 6), reply.retry_after_seconds, ctx)
    until = ctx.now_ms() + delay
    # An intent expires; what is left of a partial effect does not.
    expired = plan.purpose is Phase.EFFECT and is_expired(reads.intent, until)
    if expired or count > ctx.settings.max_deferrals:
        ending = Ending(
            RunStatus.EXPIRED if expired else RunStatus.FAILED,
            code=(FailureCode.INTENT_EXPIRED if expired else FailureCode.DEFERRALS_EXHAUSTED).value,
            error_class=ErrorClass.DOWNSTREAM,
            message=f"Put off {count} times: {reply.deferred_reason}.",
        )
        return partial.abandoned(run, reads, ctx, ending, commands)
    run = with_attempt(run, deferral_count=count)
    entry = ctx.entry(
        run,
        reads.intent,
        LedgerEvent.EXECUTION_DEFERRED,
        {
            "reason": reply.deferred_reason,
            "deferral": count,
            "delay_ms": delay,
            "until": rfc3339(until),
            "purpose": plan.purpose,
        },
    )
    return wait(run, ctx, until, reply.deferred_reason, (*commands, entry))
