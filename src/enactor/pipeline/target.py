"""Reading the target once more before the first call: what was approved must still be what is there.

Only before the first call. Once a request may have left, what is there may be our own doing, and the tool's own guard
and the look-up take over.
"""

from __future__ import annotations

import msgspec

from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ErrorClass, FailureCode
from enactor.domain.permit import CallResult, Purpose, in_doubt, of_purpose
from enactor.pipeline.calls import Plan, request_for
from enactor.pipeline.model import Context, Reads, ReadTarget, Run, Turn
from enactor.pipeline.record import Ending, finish
from enactor.pipeline.undoing import READ_SECONDS, read_back_request
from enactor.ports.commands import Command


def has_to_be_read(plan: Plan, run: Run, reads: Reads) -> bool:
    """Whether the target is read before the next call: as long as no call of this run can have left."""
    if plan.purpose is not Purpose.EFFECT or run.target_read:
        return False
    undo, original = reads.intent.undoes is not None, run.original
    # An undo without a look-up of the original is left to its tool, which checks what it finds.
    readable = original is not None and original.intent.write_semantics.has_lookup
    if not (readable if undo else reads.intent.preview is not None):
        return False
    effect = of_purpose(run.permits, Purpose.EFFECT)
    left = any(p.run_number == run.run_number and p.result is not CallResult.NOT_SENT for p in effect)
    return not left and not any(in_doubt(permit) for permit in effect)


def read_target(plan: Plan, run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...]) -> Turn:
    """The turn that reads the target: an undo reads back what it takes back, anything else its preview."""
    intent, undoes, original = reads.intent, reads.intent.undoes, run.original
    if undoes is not None and original is not None:
        request = read_back_request(
            original.intent,
            run_number=undoes.run_number,
            key=undoes.original_key,
            refs=undoes.refs,
            trace_id=run.lock.trace_id,
        )
        return ReadTarget(run=run, commands=commands, request=request, back=True)
    if reads.tool is None or not reads.tool.previews:
        message = "The tool offers no preview any more, so what was approved cannot be held against the target."
        return stale(run, reads, ctx, message, commands)
    request = msgspec.structs.replace(
        request_for(plan, run, reads, 0, 0), timeout_seconds=min(READ_SECONDS, intent.execution_policy.timeout_seconds)
    )
    return ReadTarget(run=run, commands=commands, request=request)


def stale(run: Run, reads: Reads, ctx: Context, message: str, commands: tuple[Command, ...]) -> Turn:
    """Ends the run: what was approved is not what is there. Nothing was called."""
    ending = Ending(
        RunStatus.FAILED, code=FailureCode.STALE_PREVIEW.value, error_class=ErrorClass.VALIDATION, message=message
    )
    return finish(run, reads, ctx, ending, commands)
