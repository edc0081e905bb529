"""Partial effects: how taking them back begins and ends. The calls in between are InvokeTool's."""

from __future__ import annotations

from typing import Final

from enactor.domain.action_type import CompensationStrategy
from enactor.domain.attempt import Phase, RunStatus
from enactor.domain.errors import ErrorClass, FailureCode
from enactor.domain.ledger import LedgerEvent
from enactor.domain.outcome import CompensationStatus
from enactor.domain.permit import Purpose, WritePermit, done_by, in_doubt, of_purpose
from enactor.pipeline.calls import effect_refs
from enactor.pipeline.model import Context, Continue, End, Reads, Run, Turn, with_attempt
from enactor.pipeline.record import Ending, finish
from enactor.ports.commands import Command, UpdateAttempt
from enactor.ports.tools import Reply

_STANDING: Final = {
    CompensationStatus.FAILED: "Done in part, and not taken back; a person has to do it.",
    CompensationStatus.IN_DOUBT: "Done in part, and not known to be taken back; a person has to look.",
}


def begin(
    run: Run,
    reads: Reads,
    ctx: Context,
    done: WritePermit,
    commands: tuple[Command, ...],
    reply: Reply | None,
) -> Turn:
    """The tool did less than was asked. Takes it back if the pinned strategy says how; else says so and ends.

    Args:
        done: the call that did part of it.
        reply: its reply, if it is this very one that has just come.
    """
    pinned = reads.intent.compensation
    possible = pinned.strategy is CompensationStrategy.AUTOMATIC and pinned.tool_name is not None
    if not possible or run.lock.status is not RunStatus.RUNNING:
        said = f"Done in part: {reply.message}" if reply is not None and reply.message else "Done in part."
        why = "It became known too late to be taken back by itself." if possible else pinned.note
        ending = Ending(
            RunStatus.FAILED,
            refs=done.external_object_refs,
            code=FailureCode.PARTIAL_EFFECT.value,
            error_class=(reply.error_class if reply is not None else None) or ErrorClass.DOWNSTREAM,
            message=f"{said} Compensation: {pinned.strategy.value}. {why}".strip(),
            artifact_ref=reply.artifact_ref if reply is not None else None,
            partial=True,
        )
        return finish(run, reads, ctx, ending, commands)
    lock = run.lock
    run = with_attempt(run, phase=Phase.COMPENSATION, resume_at=0, deferral_count=0, updated_at=ctx.now())
    entry = ctx.entry(
        run,
        reads.intent,
        LedgerEvent.COMPENSATION_STARTED,
        {
            "tool_name": pinned.tool_name,
            "external_object_refs": [list(ref.identity) for ref in done.external_object_refs],
        },
    )
    return Continue(run=run, commands=(*commands, UpdateAttempt(attempt=run.lock, expected_fence=lock.fence), entry))


def undo_is_gone(reads: Reads) -> str | None:
    """Why the pinned tool cannot take the effect back any more, or None."""
    pinned, tool = reads.intent.compensation, reads.undo_tool
    if tool is None:
        return f"The tool {pinned.tool_name} that takes it back is not there any more."
    if tool.tool_schema_version != pinned.tool_schema_version:
        return f"The tool {pinned.tool_name} that takes it back is not the one that was approved."
    return None


def completed(run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...]) -> End:
    """The partial effect is taken back: the run failed, and the world is as it was."""
    entry = ctx.entry(run, reads.intent, LedgerEvent.COMPENSATION_COMPLETED, {})
    ending = Ending(
        RunStatus.FAILED,
        code=FailureCode.PARTIAL_EFFECT.value,
        error_class=ErrorClass.DOWNSTREAM,
        message="Done in part, and taken back.",
        compensation=CompensationStatus.COMPLETED,
        partial=True,
    )
    return finish(run, reads, ctx, ending, (*commands, entry))


def incomplete(run: Run, reads: Reads, ctx: Context, reason: str, commands: tuple[Command, ...]) -> End:
    """The tool that takes it back did less than was asked: part of the partial effect stands."""
    return _stands(run, reads, ctx, CompensationStatus.FAILED, f"Taken back only in part. {reason}".strip(), commands)


def learned(run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...]) -> End:
    """The doubt about a taking back ended after the run did, by a late result, a look-up or a person's word."""
    calls = of_purpose(run.permits, Purpose.COMPENSATION)
    done = done_by(calls, Purpose.COMPENSATION)
    if done is not None and not done.partial:
        return completed(run, reads, ctx, commands)
    if done is not None:
        return incomplete(run, reads, ctx, "", commands)
    if any(in_doubt(permit) for permit in calls):
        return End(run=run, commands=commands)
    return _stands(run, reads, ctx, CompensationStatus.FAILED, "It was not taken back.", commands)


def abandoned(run: Run, reads: Reads, ctx: Context, ending: Ending, commands: tuple[Command, ...]) -> Turn:
    """No further call will be made. While compensating that means that the partial effect stands."""
    if run.lock.phase is Phase.EFFECT:
        return finish(run, reads, ctx, ending, commands)
    if any(in_doubt(permit) for permit in of_purpose(run.permits, Purpose.COMPENSATION)):
        return doubtful(run, reads, ctx, ending.message or "", commands)
    return _stands(run, reads, ctx, CompensationStatus.FAILED, ending.message or "", commands)


def doubtful(run: Run, reads: Reads, ctx: Context, reason: str, commands: tuple[Command, ...]) -> Turn:
    """Whether the partial effect was taken back is not known; a person has to look."""
    return _stands(run, reads, ctx, CompensationStatus.IN_DOUBT, reason, commands)


def _stands(
    run: Run, reads: Reads, ctx: Context, status: CompensationStatus, reason: str, commands: tuple[Command, ...]
) -> End:
    entry = ctx.entry(
        run, reads.intent, LedgerEvent.COMPENSATION_FAILED, {"compensation_status": status, "reason": reason}
    )
    ending = Ending(
        RunStatus.FAILED,
        refs=effect_refs(run),
        code=FailureCode.COMPENSATION_FAILED.value,
        error_class=ErrorClass.DOWNSTREAM,
        message=_STANDING[status],
        compensation=status,
        compensation_error=reason,
        partial=True,
    )
    return finish(run, reads, ctx, ending, (*commands, entry))
