"""What a person's word does to a run in doubt, or to one whose taking back is in doubt."""

from __future__ import annotations

import msgspec

from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ErrorClass, FailureCode
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import CallResult, Purpose, SettledBy, in_doubt, of_purpose
from enactor.pipeline import partial
from enactor.pipeline.model import Context, End, Reads, Run, with_permit
from enactor.pipeline.record import Ending, finish
from enactor.ports.commands import Command, SettlePermit


def resolved(run: Run, reads: Reads, ctx: Context, *, executed: bool, refs: tuple[ObjectRef, ...]) -> End:
    """Ends a run in doubt as EXECUTED (with what it made) or NOT_EXECUTED.

    Of a run that failed and whose compensation is in doubt, it says whether the partial effect was taken back.
    The doubtful calls are marked as resolved, not rewritten: a late result can still show that the person was wrong.
    """
    commands: list[Command] = []
    purpose = Purpose.EFFECT if run.lock.status is RunStatus.IN_DOUBT else Purpose.COMPENSATION
    doubtful = [permit for permit in of_purpose(run.permits, purpose) if in_doubt(permit)]
    for permit in doubtful:
        settled = msgspec.structs.replace(permit, result=CallResult.UNKNOWN, settled_by=SettledBy.RESOLVED)
        if executed and permit is doubtful[-1]:
            settled = msgspec.structs.replace(settled, result=CallResult.DONE, external_object_refs=refs)
        commands.append(SettlePermit(permit=settled, expected=permit.result, expected_fence=run.lock.fence))
        run = with_permit(run, settled)
    if purpose is Purpose.COMPENSATION:
        return partial.learned(run, reads, ctx, tuple(commands))
    if executed:
        return finish(run, reads, ctx, Ending(RunStatus.SUCCEEDED, refs=refs), tuple(commands))
    ending = Ending(
        RunStatus.FAILED,
        code=FailureCode.RESOLVED_NOT_EXECUTED.value,
        error_class=ErrorClass.UNKNOWN,
        message="A person established that the action was not executed.",
    )
    return finish(run, reads, ctx, ending, tuple(commands))
