"""One state of the state machine: runs its step, and says where to go. Every function of the pipeline is this."""

from __future__ import annotations

from typing import Final

from enactor.domain.errors import ApprovalStale, EnactorError, IntentNotFound, StoreFailed
from enactor.engines.stepfunctions.contract import StepState, advanced, recorded
from enactor.engines.stepfunctions.errors import DuplicateExecution, NothingToRun, RunInProgress, TransientError
from enactor.pipeline.driver import Progress
from enactor.pipeline.stepping import RECORD_FAILURE, RECORD_OUTCOME, RECOVER, Stepper

CHOSEN: Final = frozenset({"InvokeTool", "CompensateAction", RECOVER, RECORD_FAILURE})
"""The states after which the Choice state comes."""


class StepRunner:
    """Runs the states over a store and a tool plane."""

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper

    async def run(self, name: str, state: StepState) -> StepState:
        """Runs one state.

        Raises:
            TransientError: it may be run again; whatever was decided before is found again in the store.
            DuplicateExecution, PermanentError, RunInProgress, NothingToRun: see `errors.py`.
        """
        try:
            driven = await self.stepper.step(name, state.request(), state.fence)
        except (IntentNotFound, ApprovalStale) as error:
            raise NothingToRun(error.error_code) from None
        except StoreFailed:
            # The next try reads what is there: a commit whose reply was lost is found, or was never made.
            raise TransientError("STORE_FAILED") from None
        except EnactorError as error:
            if error.retryable:
                raise TransientError(error.error_code) from None
            raise
        if name not in (RECORD_OUTCOME, RECORD_FAILURE):
            return advanced(state, driven, chosen=name in CHOSEN)
        lock = driven.run.attempt if driven.run is not None else None
        if name == RECORD_OUTCOME and driven.progress is Progress.NOTHING:
            raise DuplicateExecution("STARTED_ALREADY")
        if name == RECORD_OUTCOME and driven.progress is not Progress.ENDED:
            raise RunInProgress("NOT_RECORDED")
        return recorded(state, driven, lock.deadline_at if lock is not None else 0)
