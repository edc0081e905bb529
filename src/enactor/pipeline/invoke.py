"""InvokeTool: a permit, one call, a classified reply, and another permit only where that is safe.

`invoke_tool` decides what may happen next from everything recorded so far; `settled` takes a call's reply and
`looked_up` a look-up's answer, and both come back to it. The same functions serve compensation: only the plan differs.
"""

from __future__ import annotations

import msgspec

from enactor.domain.action_type import WriteMode
from enactor.domain.attempt import Phase, RunStatus
from enactor.domain.errors import ErrorClass, FailureCode
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import (
    CallResult,
    Repeat,
    SettledBy,
    Verdict,
    WritePermit,
    collides,
    in_doubt,
    may_end_clean,
    next_call,
    of_purpose,
)
from enactor.pipeline import partial
from enactor.pipeline.calls import Plan, new_permit, plan_of, request_for
from enactor.pipeline.model import Call, Context, LookUp, Reads, Run, Turn, Wait, with_attempt, with_permit
from enactor.pipeline.preflight import refusal
from enactor.pipeline.record import Ending, collision, finish
from enactor.pipeline.start import effect_idempotency_key
from enactor.ports.commands import Command, SettlePermit, TakePermit, UpdateAttempt
from enactor.ports.tools import LookUpResult, Reply


def invoke_tool(run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...] = ()) -> Turn:
    """What may happen next: a call, a look-up, a wait, or the end.

    Args:
        commands: what led here and is not durable yet; they travel with whatever comes next.
    """
    plan = plan_of(run, reads)
    permits = of_purpose(run.permits, plan.purpose)
    repeat = _repeat(plan, permits, run, ctx)
    match repeat.verdict:
        case Verdict.RECOVER:
            return Wait(run=run, commands=commands, until=run.lock.deadline_at, reason=repeat.reason)
        case Verdict.SETTLE:
            return _succeeded(plan, permits, run, reads, ctx, commands)
        case Verdict.WAIT:
            return _wait(run, ctx, repeat.until, repeat.reason, commands)
        case Verdict.LOOK_UP:
            last = permits[-1]
            return LookUp(run=run, commands=commands, request=request_for(plan, run, reads, last.call_no, 0))
        case Verdict.IN_DOUBT:
            return _doubt(plan, run, reads, ctx, repeat.reason, commands)
        case Verdict.CALL:
            return _call(plan, permits, run, reads, ctx, repeat, commands)


def _repeat(
    plan: Plan, permits: tuple[WritePermit, ...], run: Run, ctx: Context, *, look_up_only: bool = False
) -> Repeat:
    semantics = plan.semantics
    if look_up_only or run.lock.status is not RunStatus.RUNNING:
        semantics = msgspec.structs.replace(semantics, mode=WriteMode.LOOKUP)
    return next_call(
        permits,
        semantics,
        now_ms=ctx.now_ms(),
        max_pause_ms=ctx.settings.max_pause_ms,
        call_window_ms=ctx.settings.call_window_ms,
        absent_at=run.absent_at,
        cannot_tell=run.cannot_tell,
    )


def _call(
    plan: Plan,
    permits: tuple[WritePermit, ...],
    run: Run,
    reads: Reads,
    ctx: Context,
    repeat: Repeat,
    commands: tuple[Command, ...],
) -> Turn:
    if repeat.proves_absence:
        run, absent = _proven_absent(permits, run)
        commands = (*commands, *absent)
    lock = run.lock
    if lock.status is not RunStatus.RUNNING:
        return _no_more_calls(run, reads, ctx, commands)
    reason = refusal(run, reads, ctx, plan.purpose)
    if reason is not None:
        return partial.abandoned(run, reads, ctx, reason.ending(), commands)
    if lock.resume_at > ctx.now_ms():
        return Wait(run=run, commands=commands, until=lock.resume_at, reason=lock.waiting_for)
    calls = sum(1 for permit in permits if permit.run_number == run.run_number) - lock.deferral_count
    if calls > reads.intent.execution_policy.retry_count:
        return _exhausted(plan, permits, run, reads, ctx, commands)
    permit = new_permit(plan, run, lock, reads, ctx)
    run = with_attempt(
        run,
        attempt_count=sum(1 for known in run.permits if known.run_number == run.run_number) + 1,
        last_attempt_id=f"{lock.owner}#{permit.call_no}",
        updated_at=ctx.now(),
        resume_at=0,
        waiting_for="",
        deadline_at=permit.reply_not_after + ctx.settings.grace_ms,
    )
    run = with_permit(run, permit)
    return Call(
        run=run,
        commands=(
            *commands,
            UpdateAttempt(attempt=run.lock, expected_fence=lock.fence),
            TakePermit(permit=permit, marks=lock.switch_marks),
            ctx.entry(
                run,
                reads.intent,
                LedgerEvent.WRITE_PERMITTED,
                {
                    "call_no": permit.call_no,
                    "purpose": plan.purpose.value,
                    "fence": permit.fence,
                    "idempotency_key": permit.idempotency_key,
                    "call_not_after": permit.call_not_after,
                    "tool_name": plan.tool_name,
                    "reason": repeat.reason,
                },
            ),
        ),
        request=request_for(plan, run, reads, permit.call_no, ctx.clock.elapsed_ms() + ctx.settings.call_window_ms),
        permit=permit,
    )


def _proven_absent(permits: tuple[WritePermit, ...], run: Run) -> tuple[Run, tuple[Command, ...]]:
    commands: list[Command] = []
    for permit in permits:
        if in_doubt(permit):
            settled = msgspec.structs.replace(permit, settled_by=SettledBy.LOOKUP_ABSENT)
            commands.append(SettlePermit(permit=settled, expected=permit.result, expected_fence=run.lock.fence))
            run = with_permit(run, settled)
    return run, tuple(commands)


def settled(call: Call, reads: Reads, ctx: Context, reply: Reply) -> Turn:
    """Takes the reply of a call: what it means, durable with whatever follows from it."""
    run, intent = call.run, reads.intent
    plan = plan_of(run, reads)
    earlier = of_purpose(run.permits, plan.purpose)
    permit = msgspec.structs.replace(
        call.permit,
        result=reply.result,
        external_object_refs=reply.refs,
        retryable=reply.retryable,
        error_code=reply.error_code,
    )
    run = with_permit(run, permit)
    commands: tuple[Command, ...] = (
        SettlePermit(permit=permit, expected_fence=permit.fence),
        ctx.entry(run, intent, LedgerEvent.TOOL_INVOKED, _facts(plan, permit, reply)),
    )
    known = next((p.external_object_refs for p in earlier if p.result is CallResult.DONE), ())
    if collides(known, reply.refs):
        commands = (*commands, collision(run, intent, ctx, permit, known))
    run = with_attempt(
        run,
        last_error_class=reply.error_class.value if reply.error_class else None,
        last_error_code=reply.error_code,
        last_error_message=reply.message,
    )
    if reply.result is CallResult.DONE and reply.partial and plan.purpose is Phase.EFFECT:
        return partial.begin(run, reads, ctx, reply, commands)
    if reply.result is CallResult.DONE:
        return _succeeded(plan, of_purpose(run.permits, plan.purpose), run, reads, ctx, commands, reply.artifact_ref)
    if reply.result is CallResult.NOT_SENT and reply.deferred_reason:
        return _deferred(plan, run, reads, ctx, reply, commands)
    if reply.result is CallResult.REFUSED and not reply.retryable:
        return _failed(run, reads, ctx, commands)
    if reply.result is CallResult.UNKNOWN:
        verdict = _repeat(plan, of_purpose(run.permits, plan.purpose), run, ctx).verdict
        if verdict is not Verdict.CALL:
            return invoke_tool(run, reads, ctx, commands)
    return _retry(plan, run, reads, ctx, reply, commands)


def _facts(plan: Plan, permit: WritePermit, reply: Reply) -> dict[str, object]:
    facts: dict[str, object] = {
        "call_no": permit.call_no,
        "purpose": plan.purpose.value,
        "tool_name": plan.tool_name,
        "result": reply.result.value,
        "external_object_refs": [list(ref.identity) for ref in reply.refs],
    }
    if reply.error_code:
        facts |= {"error_code": reply.error_code, "retryable": reply.retryable, "error_message": reply.message}
    if reply.error_class:
        facts["error_class"] = reply.error_class.value
    if reply.partial:
        facts["partial"] = True
    return facts


def _retry(plan: Plan, run: Run, reads: Reads, ctx: Context, reply: Reply, commands: tuple[Command, ...]) -> Turn:
    permits = of_purpose(run.permits, plan.purpose)
    calls = sum(1 for permit in permits if permit.run_number == run.run_number) - run.lock.deferral_count
    if calls > reads.intent.execution_policy.retry_count:
        return _exhausted(plan, permits, run, reads, ctx, commands)
    delay = backoff_ms(calls - 1, reply.retry_after_seconds, ctx)
    if plan.semantics.failure_burns_key and plan.purpose is Phase.EFFECT and may_end_clean(permits):
        generation = run.lock.generation + 1
        key = effect_idempotency_key(reads.intent, generation)
        run = with_attempt(run, generation=generation, idempotency_key=key)
    reason = f"retry {calls} of {reads.intent.execution_policy.retry_count} after {reply.error_code or reply.result}"
    entry = ctx.entry(
        run,
        reads.intent,
        LedgerEvent.TOOL_RETRY_SCHEDULED,
        {"retry": calls, "delay_ms": delay, "error_code": reply.error_code, "purpose": plan.purpose.value},
    )
    return _wait(run, ctx, ctx.now_ms() + delay, reason, (*commands, entry))


def backoff_ms(retries_before: int, retry_after_seconds: float | None, ctx: Context) -> int:
    """How long to wait before a retry, in milliseconds: doubling with jitter, and never less than the target asks."""
    settings = ctx.settings
    ceiling = min(settings.backoff_ms * 2**retries_before, settings.backoff_cap_ms)
    jittered = ceiling * ctx.randomness.uniform(0.5, 1.0)
    wished = min((retry_after_seconds or 0.0) * 1000, 86_400_000)
    return int(max(jittered, wished))


def _wait(run: Run, ctx: Context, until: int, reason: str, commands: tuple[Command, ...]) -> Turn:
    lock = run.lock
    run = with_attempt(
        run,
        resume_at=until,
        waiting_for=reason,
        deadline_at=until + ctx.settings.grace_ms,
        updated_at=ctx.now(),
    )
    update = UpdateAttempt(attempt=run.lock, expected_fence=lock.fence, expected_status=lock.status)
    return Wait(run=run, commands=(*commands, update), until=until, reason=reason)


def _deferred(plan: Plan, run: Run, reads: Reads, ctx: Context, reply: Reply, commands: tuple[Command, ...]) -> Turn:
    count = run.lock.deferral_count + 1
    delay = backoff_ms(min(count - 1, 6), reply.retry_after_seconds, ctx)
    until = ctx.now_ms() + delay
    if count > ctx.settings.max_deferrals or until >= reads.intent.expires_at_epoch * 1000:
        expired = count <= ctx.settings.max_deferrals
        ending = Ending(
            RunStatus.EXPIRED if expired else RunStatus.FAILED,
            code=(FailureCode.INTENT_EXPIRED if expired else FailureCode.DEFERRALS_EXHAUSTED).value,
            error_class=ErrorClass.DOWNSTREAM,
            message=f"Put off {count} times and never sent: {reply.deferred_reason}.",
        )
        return partial.abandoned(run, reads, ctx, ending, commands)
    run = with_attempt(run, deferral_count=count)
    entry = ctx.entry(
        run,
        reads.intent,
        LedgerEvent.EXECUTION_DEFERRED,
        {"reason": reply.deferred_reason, "deferral": count, "delay_ms": delay, "purpose": plan.purpose.value},
    )
    return _wait(run, ctx, until, reply.deferred_reason, (*commands, entry))


def _exhausted(
    plan: Plan, permits: tuple[WritePermit, ...], run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...]
) -> Turn:
    """No call is left. What is in doubt is looked up, if it can be, before the run says that it does not know."""
    if plan.semantics.has_lookup and any(in_doubt(permit) for permit in permits):
        repeat = _repeat(plan, permits, run, ctx, look_up_only=True)
        if repeat.verdict is Verdict.LOOK_UP:
            request = request_for(plan, run, reads, permits[-1].call_no, 0)
            return LookUp(run=run, commands=commands, request=request)
        if repeat.verdict is Verdict.WAIT:
            return _wait(run, ctx, repeat.until, repeat.reason, commands)
        if repeat.proves_absence:
            run, absent = _proven_absent(permits, run)
            commands = (*commands, *absent)
    return _failed(run, reads, ctx, commands)


def _failed(run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...]) -> Turn:
    lock = run.lock
    ending = Ending(
        RunStatus.FAILED,
        code=lock.last_error_code or FailureCode.TOOL_FAILED.value,
        error_class=ErrorClass(lock.last_error_class) if lock.last_error_class else ErrorClass.UNKNOWN,
        message=lock.last_error_message or "The tool did not do it.",
    )
    return partial.abandoned(run, reads, ctx, ending, commands)


def _no_more_calls(run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...]) -> Turn:
    """A run in doubt whose calls are proven to have had no effect ends as what it failed of. It never calls again."""
    lock = run.lock
    cancelled = lock.last_error_code in (FailureCode.KILL_SWITCH_ENABLED, FailureCode.CANCELLED_BY_REQUEST)
    ending = Ending(
        RunStatus.CANCELLED if cancelled else RunStatus.FAILED,
        code=lock.last_error_code,
        error_class=ErrorClass(lock.last_error_class) if lock.last_error_class else ErrorClass.UNKNOWN,
        message="A look-up established that no call had an effect.",
    )
    return partial.abandoned(run, reads, ctx, ending, commands)


def _doubt(plan: Plan, run: Run, reads: Reads, ctx: Context, reason: str, commands: tuple[Command, ...]) -> Turn:
    lock = run.lock
    if lock.status is RunStatus.IN_DOUBT:
        doubted_for = ctx.now_ms() - min(permit.taken_at for permit in run.permits)
        pause = max(ctx.settings.doubt_look_up_ms, doubted_for)
        run = with_attempt(run, deadline_at=ctx.now_ms() + pause, updated_at=ctx.now())
        update = UpdateAttempt(attempt=run.lock, expected_fence=lock.fence, expected_status=RunStatus.IN_DOUBT)
        return Wait(run=run, commands=(*commands, update), until=run.lock.deadline_at, reason=reason)
    if plan.purpose is not Phase.EFFECT:
        return partial.doubtful(run, reads, ctx, reason, commands)
    ending = Ending(
        RunStatus.IN_DOUBT,
        code=lock.last_error_code or FailureCode.EFFECT_UNKNOWN.value,
        error_class=ErrorClass(lock.last_error_class) if lock.last_error_class else ErrorClass.UNKNOWN,
        message=f"A call was made whose effect is not known: {reason}. {lock.last_error_message}".strip(),
    )
    return finish(run, reads, ctx, ending, commands)


def _succeeded(
    plan: Plan,
    permits: tuple[WritePermit, ...],
    run: Run,
    reads: Reads,
    ctx: Context,
    commands: tuple[Command, ...],
    artifact_ref: str | None = None,
) -> Turn:
    done = next(permit for permit in permits if permit.result is CallResult.DONE)
    for permit in permits:
        if permit.result is CallResult.UNKNOWN and permit.settled_by is None:
            same = msgspec.structs.replace(permit, settled_by=SettledBy.SAME_KEY_DONE)
            commands = (
                *commands,
                SettlePermit(permit=same, expected=CallResult.UNKNOWN, expected_fence=run.lock.fence),
            )
            run = with_permit(run, same)
    if plan.purpose is not Phase.EFFECT:
        return partial.completed(run, reads, ctx, commands)
    ending = Ending(RunStatus.SUCCEEDED, refs=done.external_object_refs, artifact_ref=artifact_ref)
    return finish(run, reads, ctx, ending, commands)


def looked_up(turn: LookUp, reads: Reads, ctx: Context, asked_at: int, answer: LookUpResult) -> Turn:
    """Takes a look-up's answer. Evidence is in the ledger before anything is done on its strength.

    Args:
        asked_at: when the look-up was begun, epoch milliseconds: what it did not find was absent then.
    """
    run = turn.run
    plan = plan_of(run, reads)
    entry = ctx.entry(
        run,
        reads.intent,
        LedgerEvent.LOOKUP_PERFORMED,
        {
            "purpose": plan.purpose.value,
            "tool_name": plan.tool_name,
            "idempotency_key": plan.idempotency_key,
            "found": answer.found,
            "asked_at": asked_at,
            "external_object_refs": [list(ref.identity) for ref in answer.refs],
        },
    )
    if answer.found is None:
        return invoke_tool(msgspec.structs.replace(run, cannot_tell=True), reads, ctx, (entry,))
    if not answer.found:
        return invoke_tool(msgspec.structs.replace(run, absent_at=asked_at), reads, ctx, (entry,))
    doubtful = [permit for permit in of_purpose(run.permits, plan.purpose) if in_doubt(permit)]
    last = doubtful[-1]
    found = msgspec.structs.replace(
        last, result=CallResult.DONE, external_object_refs=answer.refs, settled_by=SettledBy.LOOKUP_FOUND
    )
    run = with_permit(run, found)
    settle = SettlePermit(permit=found, expected=last.result, expected_fence=run.lock.fence)
    return invoke_tool(run, reads, ctx, (entry, settle))
