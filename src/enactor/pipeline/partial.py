"""Partial effects: how taking them back begins and ends. The calls in between are InvokeTool's."""

from __future__ import annotations

from enactor.domain.action_type import CompensationStrategy
from enactor.domain.attempt import Phase, RunStatus
from enactor.domain.errors import ErrorClass, FailureCode
from enactor.domain.ledger import LedgerEvent
from enactor.domain.outcome import CompensationStatus
from enactor.domain.permit import Purpose, in_doubt, of_purpose
from enactor.pipeline.calls import effect_refs
from enactor.pipeline.model import Context, Continue, Reads, Run, Turn, with_attempt
from enactor.pipeline.record import Ending, finish
from enactor.ports.commands import Command, UpdateAttempt
from enactor.ports.tools import Reply


def begin(run: Run, reads: Reads, ctx: Context, reply: Reply, commands: tuple[Command, ...]) -> Turn:
    """The tool did less than was asked. Takes it back if the pinned strategy says how; else says so and ends."""
    pinned = reads.intent.compensation
    if pinned.strategy is not CompensationStrategy.AUTOMATIC or pinned.tool_name is None:
        ending = Ending(
            RunStatus.FAILED,
            refs=reply.refs,
            code=FailureCode.PARTIAL_EFFECT.value,
            error_class=reply.error_class or ErrorClass.DOWNSTREAM,
            message=f"Done in part: {reply.message} Compensation: {pinned.strategy.value}. {pinned.note}".strip(),
            artifact_ref=reply.artifact_ref,
            partial=True,
        )
        return finish(run, reads, ctx, ending, commands)
    lock = run.lock
    run = with_attempt(run, phase=Phase.COMPENSATION, resume_at=0, deferral_count=0, updated_at=ctx.now())
    entry = ctx.entry(
        run,
        reads.intent,
        LedgerEvent.COMPENSATION_STARTED,
        {"tool_name": pinned.tool_name, "external_object_refs": [list(ref.identity) for ref in reply.refs]},
    )
    return Continue(run=run, commands=(*commands, UpdateAttempt(attempt=run.lock, expected_fence=lock.fence), entry))


def completed(run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...]) -> Turn:
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
) -> Turn:
    entry = ctx.entry(
        run, reads.intent, LedgerEvent.COMPENSATION_FAILED, {"compensation_status": status.value, "reason": reason}
    )
    ending = Ending(
        RunStatus.FAILED,
        refs=effect_refs(run),
        code=FailureCode.COMPENSATION_FAILED.value,
        error_class=ErrorClass.DOWNSTREAM,
        message="Done in part, and not known to be taken back; a person has to look.",
        compensation=status,
        compensation_error=reason,
        partial=True,
    )
    return finish(run, reads, ctx, ending, (*commands, entry))
