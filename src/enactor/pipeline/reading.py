"""Takes what was read from the target before the first call: goes on, waits, or ends the run."""

from __future__ import annotations

from typing import Any

import msgspec

from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ErrorClass, FailureCode
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import Purpose
from enactor.pipeline.invoke import invoke_tool
from enactor.pipeline.model import Context, Reads, ReadTarget, Run, Turn, with_attempt
from enactor.pipeline.record import Ending, finish
from enactor.pipeline.retries import backoff_ms, wait
from enactor.pipeline.target import stale
from enactor.pipeline.undoing import changed_since
from enactor.ports.commands import Command
from enactor.ports.tools import LookUpResult, Reading


def target_read(turn: ReadTarget, reads: Reads, ctx: Context, answer: Reading | LookUpResult) -> Turn:
    """Takes what was read: goes on when it is what was approved, ends the run when it is not.

    A target that cannot be read puts the run off, as often as its policy allows retries.
    """
    run = turn.run
    if isinstance(answer, LookUpResult):
        return _back(run, reads, ctx, answer)
    if answer.before is None:
        return _unread(run, reads, ctx, answer)
    approved = reads.intent.preview
    same = approved is not None and (answer.before, answer.version_tag) == (approved.before, approved.version_tag)
    entry = _entry(run, reads, ctx, {"unchanged": same})
    if not same:
        message = "The target was changed after the preview that was approved; nothing was called. Propose it again."
        return stale(run, reads, ctx, message, (entry,))
    return _on(run, reads, ctx, entry)


def _back(run: Run, reads: Reads, ctx: Context, answer: LookUpResult) -> Turn:
    if answer.found is None:
        unread = Reading(
            retryable=True,
            error_class=ErrorClass.DOWNSTREAM,
            message=answer.message or "The look-up cannot tell.",
            retry_after_seconds=answer.retry_after_seconds,
            deferred_reason=answer.deferred_reason,
        )
        return _unread(run, reads, ctx, unread)
    undoes = reads.intent.undoes
    same = answer.found and undoes is not None and not changed_since(undoes.refs, answer.refs)
    entry = _entry(run, reads, ctx, {"purpose": "UNDO", "found": answer.found, "unchanged": same})
    if not same:
        what = "It was changed since it was left" if answer.found else "It is not there any more"
        ending = Ending(
            RunStatus.FAILED,
            code=FailureCode.UNDO_CONFLICT.value,
            error_class=ErrorClass.VALIDATION,
            message=f"{what}; nothing was called. Take it back by hand, if that is still wanted.",
        )
        return finish(run, reads, ctx, ending, (entry,))
    return _on(run, reads, ctx, entry)


def _on(run: Run, reads: Reads, ctx: Context, entry: Command) -> Turn:
    return invoke_tool(msgspec.structs.replace(run, target_read=True), reads, ctx, (entry,))


def _unread(run: Run, reads: Reads, ctx: Context, answer: Reading) -> Turn:
    code = answer.error_code or FailureCode.TARGET_UNREADABLE.value
    failed = run.lock.failed_reads + 1
    facts = {"failed": True, "error_code": code, "attempt": failed}
    if answer.error_class:
        facts["error_class"] = answer.error_class.value
    entry = _entry(run, reads, ctx, facts)
    if code == "NOT_FOUND":
        return stale(run, reads, ctx, f"What the action is about is not there any more. {answer.message}", (entry,))
    most = ctx.settings.max_deferrals if answer.deferred_reason else reads.intent.execution_policy.retry_count
    if failed > most or not (answer.retryable or answer.deferred_reason):
        ending = Ending(
            RunStatus.FAILED,
            code=code,
            error_class=answer.error_class or ErrorClass.DOWNSTREAM,
            message=f"The target could not be read before the call, so nothing was called. {answer.message}".strip(),
        )
        return finish(run, reads, ctx, ending, (entry,))
    delay = backoff_ms(min(failed - 1, 6), answer.retry_after_seconds, ctx)
    reason = answer.deferred_reason or f"the target could not be read ({code})"
    run = with_attempt(run, failed_reads=failed)
    deferred = ctx.entry(
        run,
        reads.intent,
        LedgerEvent.EXECUTION_DEFERRED,
        {"reason": reason, "deferral": failed, "delay_ms": delay, "purpose": Purpose.EFFECT},
    )
    return wait(run, ctx, ctx.now_ms() + delay, reason, (entry, deferred))


def _entry(run: Run, reads: Reads, ctx: Context, facts: dict[str, Any]) -> Command:
    """What was read is left out: whoever may read the ledger may not be one who may see it."""
    data = {"tool_name": reads.intent.tool_call.tool_name, "purpose": "PREVIEW", **facts}
    return ctx.entry(run, reads.intent, LedgerEvent.TARGET_READ, data)
