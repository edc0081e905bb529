"""InvokeTool: a permit, one call, a classified reply, and another permit only where that is safe.

`invoke_tool` decides what may happen next from everything recorded so far; `looked_up` takes a look-up's answer, and
`settle.settled` a call's reply, and both come back to it. The same functions serve compensation: only the plan differs.
"""

from __future__ import annotations

from typing import Final

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
    done_by,
    in_doubt,
    next_call,
    of_purpose,
)
from enactor.domain.time import rfc3339
from enactor.pipeline import partial, undoing
from enactor.pipeline.calls import Plan, new_permit, plan_of, request_for
from enactor.pipeline.model import (
    Call,
    Context,
    LookUp,
    Reads,
    Run,
    Turn,
    Wait,
    calls_of_this_run,
    with_attempt,
    with_permit,
)
from enactor.pipeline.preflight import refusal
from enactor.pipeline.record import Ending, finish
from enactor.pipeline.retries import wait
from enactor.pipeline.target import has_to_be_read, read_target
from enactor.ports.commands import Command, SettlePermit, TakePermit, UpdateAttempt
from enactor.ports.tools import LookUpResult, Reply


def invoke_tool(run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...] = ()) -> Turn:
    """What may happen next: a call, a look-up, a wait, or the end.

    Args:
        commands: what led here and is not durable yet; they travel with whatever comes next.
    """
    plan = plan_of(run, reads)
    permits = of_purpose(run.permits, plan.purpose)
    repeat = repeat_of(plan, permits, run, ctx)
    match repeat.verdict:
        case Verdict.RECOVER:
            return Wait(run=run, commands=commands, until=run.lock.deadline_at, reason=repeat.reason)
        case Verdict.SETTLE:
            return done_with(plan, run, reads, ctx, commands)
        case Verdict.WAIT:
            return wait(run, ctx, repeat.until, repeat.reason, commands)
        case Verdict.LOOK_UP:
            last = permits[-1]
            return LookUp(run=run, commands=commands, request=request_for(plan, run, reads, last.call_no, 0))
        case Verdict.IN_DOUBT:
            return _doubt(plan, run, reads, ctx, repeat.reason, commands)
        case Verdict.CALL:
            return _call(plan, permits, run, reads, ctx, repeat, commands)


def repeat_of(
    plan: Plan, permits: tuple[WritePermit, ...], run: Run, ctx: Context, *, look_up_only: bool = False
) -> Repeat:
    """What the calls made so far allow. A run that is not RUNNING never calls, so it is asked as if to look up."""
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


def calls_made(permits: tuple[WritePermit, ...], run: Run) -> int:
    """How many calls of the run count against its retries; being put off by a closed door does not."""
    return calls_of_this_run(permits, run) - run.lock.deferral_count


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
        permits, commands = of_purpose(run.permits, plan.purpose), (*commands, *absent)
    lock = run.lock
    if lock.status is not RunStatus.RUNNING:
        return _no_more_calls(run, reads, ctx, repeat.reason, commands)
    reason = refusal(run, reads, ctx, plan.purpose)
    if reason is not None:
        return partial.abandoned(run, reads, ctx, reason.ending(), commands)
    gone = partial.undo_is_gone(reads) if plan.purpose is Phase.COMPENSATION else None
    if gone is not None:
        code = FailureCode.TOOL_MAPPING_NOT_FOUND.value
        ending = Ending(RunStatus.FAILED, code=code, error_class=ErrorClass.VALIDATION, message=gone)
        return partial.abandoned(run, reads, ctx, ending, commands)
    if lock.resume_at > ctx.now_ms():
        return Wait(run=run, commands=commands, until=lock.resume_at, reason=lock.waiting_for)
    if calls_made(permits, run) > reads.intent.execution_policy.retry_count:
        return exhausted(plan, permits, run, reads, ctx, commands)
    if has_to_be_read(plan, run, reads):
        return read_target(plan, run, reads, ctx, commands)
    if reads.intent.undoes is not None and not calls_of_this_run(permits, run):
        run, said = undoing.begun(run, reads, ctx)
        commands = (*commands, *said)
    permit = new_permit(plan, run, lock, reads, ctx)
    run = with_attempt(
        run,
        attempt_count=calls_of_this_run(run.permits, run) + 1,
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
                    "purpose": plan.purpose,
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


def exhausted(
    plan: Plan, permits: tuple[WritePermit, ...], run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...]
) -> Turn:
    """No call is left. What is in doubt is looked up, if it can be, before the run says that it does not know."""
    if plan.semantics.has_lookup and any(in_doubt(permit) for permit in permits):
        repeat = repeat_of(plan, permits, run, ctx, look_up_only=True)
        if repeat.verdict is Verdict.LOOK_UP:
            request = request_for(plan, run, reads, permits[-1].call_no, 0)
            return LookUp(run=run, commands=commands, request=request)
        if repeat.verdict is Verdict.WAIT:
            return wait(run, ctx, repeat.until, repeat.reason, commands)
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


_ENDS_AS: Final = {
    FailureCode.KILL_SWITCH_ENABLED: RunStatus.CANCELLED,
    FailureCode.CANCELLED_BY_REQUEST: RunStatus.CANCELLED,
    FailureCode.INTENT_EXPIRED: RunStatus.EXPIRED,
}


def _no_more_calls(run: Run, reads: Reads, ctx: Context, reason: str, commands: tuple[Command, ...]) -> Turn:
    """A run in doubt whose calls are proven to have had no effect ends as what it failed of. It never calls again."""
    lock = run.lock
    code = lock.last_error_code or FailureCode.TOOL_FAILED.value
    ending = Ending(
        next((status for known, status in _ENDS_AS.items() if known == code), RunStatus.FAILED),
        code=code,
        error_class=ErrorClass(lock.last_error_class) if lock.last_error_class else ErrorClass.UNKNOWN,
        message=f"It was in doubt, and it is established now that no call had an effect: {reason}.",
    )
    return partial.abandoned(run, reads, ctx, ending, commands)


def _doubt(plan: Plan, run: Run, reads: Reads, ctx: Context, reason: str, commands: tuple[Command, ...]) -> Turn:
    lock = run.lock
    if lock.status is not RunStatus.RUNNING:
        doubted_for = ctx.now_ms() - min(permit.taken_at for permit in run.permits)
        pause = max(ctx.settings.doubt_look_up_ms, doubted_for)
        run = with_attempt(run, deadline_at=ctx.now_ms() + pause, updated_at=ctx.now())
        update = UpdateAttempt(attempt=run.lock, expected_fence=lock.fence, expected_status=lock.status)
        return Wait(run=run, commands=(*commands, update), until=run.lock.deadline_at, reason=reason)
    if plan.purpose is not Phase.EFFECT:
        return partial.doubtful(run, reads, ctx, reason, commands)
    restored = any(permit.call_no == 0 and in_doubt(permit) for permit in run.permits)
    code = FailureCode.RESTORED_FROM_BACKUP if restored else FailureCode.EFFECT_UNKNOWN
    what = "It may have been executed after the backup was made" if restored else "The effect of a call is not known"
    ending = Ending(
        RunStatus.IN_DOUBT,
        code=lock.last_error_code or code.value,
        error_class=ErrorClass(lock.last_error_class) if lock.last_error_class else ErrorClass.UNKNOWN,
        message=f"{what}: {reason}. {lock.last_error_message}".strip(),
    )
    return finish(run, reads, ctx, ending, commands)


def done_with(
    plan: Plan, run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...], reply: Reply | None = None
) -> Turn:
    """The tool has done it. What was in doubt under the same key is settled by that.

    Args:
        reply: the reply that says so, if it has just come.
    """
    permits = of_purpose(run.permits, plan.purpose)
    done = done_by(permits, plan.purpose)
    if done is None:
        raise RuntimeError("nothing was done")
    for permit in permits:
        if permit.result is CallResult.UNKNOWN and in_doubt(permit):
            same = msgspec.structs.replace(permit, settled_by=SettledBy.SAME_KEY_DONE)
            settle = SettlePermit(permit=same, expected=CallResult.UNKNOWN, expected_fence=run.lock.fence)
            commands = (*commands, settle)
            run = with_permit(run, same)
    if plan.purpose is Phase.COMPENSATION and done.partial:
        return partial.incomplete(run, reads, ctx, reply.message if reply is not None else "", commands)
    if plan.purpose is Phase.COMPENSATION:
        return partial.completed(run, reads, ctx, commands)
    if done.partial:
        return partial.begin(run, reads, ctx, done, commands, reply)
    artifact_ref = reply.artifact_ref if reply is not None else None
    ending = Ending(RunStatus.SUCCEEDED, refs=done.external_object_refs, artifact_ref=artifact_ref)
    return finish(run, reads, ctx, ending, commands)


def looked_up(turn: LookUp, reads: Reads, ctx: Context, asked_at: int, answer: LookUpResult) -> Turn:
    """Takes a look-up's answer. Evidence is in the ledger before anything is done on its strength.

    Args:
        asked_at: when the look-up was begun, epoch milliseconds: what it did not find was absent then.
    """
    run = turn.run
    plan = plan_of(run, reads)
    if answer.deferred_reason:
        return _look_up_put_off(plan, run, reads, ctx, answer)
    entry = ctx.entry(
        run,
        reads.intent,
        LedgerEvent.LOOKUP_PERFORMED,
        {
            "purpose": plan.purpose,
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


def _look_up_put_off(plan: Plan, run: Run, reads: Reads, ctx: Context, answer: LookUpResult) -> Turn:
    """A closed door answers nothing. The run waits for it, but not for ever before people hear of the doubt."""
    until = ctx.now_ms() + max(1_000, int((answer.retry_after_seconds or 0.0) * 1000))
    entry = ctx.entry(
        run,
        reads.intent,
        LedgerEvent.EXECUTION_DEFERRED,
        {"reason": answer.deferred_reason, "until": rfc3339(until), "purpose": plan.purpose, "look_up": True},
    )
    asked = max(permit.reply_not_after for permit in of_purpose(run.permits, plan.purpose))
    if run.lock.status is RunStatus.RUNNING and until <= asked + ctx.settings.look_up_patience_ms:
        return wait(run, ctx, until, answer.deferred_reason, (entry,))
    return invoke_tool(msgspec.structs.replace(run, cannot_tell=True), reads, ctx, (entry,))
