"""What travels between the states: ids, a fence, and where to go. Everything else is read from the store.

The output of each state is valid input for every other one; both are the same record.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from enactor.domain.attempt import RunStatus
from enactor.domain.ids import is_intent_id, is_name
from enactor.domain.time import rfc3339
from enactor.engines.stepfunctions.errors import DuplicateExecution, NothingToRun, PermanentError, RunInProgress
from enactor.pipeline.driver import Driven, Progress
from enactor.pipeline.stepping import RECORD_FAILURE, RECORD_OUTCOME, RECOVER
from enactor.ports.engine import RunRequest

_LARGEST_RUN: Final = 10_000


class Next(StrEnum):
    """Where the state machine goes from the one Choice state; each value is a state's name."""

    VALIDATE_PREFLIGHT = "ValidatePreflight"
    MAP_ACTION_TO_TOOL = "MapActionToTool"
    INVOKE_TOOL = "InvokeTool"
    COMPENSATE_ACTION = "CompensateAction"
    RECORD_OUTCOME = RECORD_OUTCOME
    RECORD_FAILURE = RECORD_FAILURE
    RECOVER = RECOVER
    WAIT = "WaitUntil"
    NOTHING = "AlreadyHandled"
    RECORDED = "Recorded"


class StepState(Struct, frozen=True, kw_only=True):
    """Input and output of every state.

    Attributes:
        fence: the fence that this execution holds; 0 while it holds none.
        next: where to go.
        until: RFC 3339 in whole seconds, for the Wait state.
        status: the run's status as it is recorded.
    """

    action_intent_id: str
    tenant_id: str
    run_number: int = 1
    fence: int = 0
    next: str = ""
    until: str = ""
    status: str = ""

    def request(self) -> RunRequest:
        """The run it is about."""
        return RunRequest(action_intent_id=self.action_intent_id, tenant_id=self.tenant_id, run_number=self.run_number)


def step_state(event: Any) -> StepState:
    """A state's input. Raises `NothingToRun` when it is none; nothing of it is repeated."""
    try:
        state = msgspec.convert(event, StepState)
    except msgspec.ValidationError:
        raise NothingToRun("MALFORMED_INPUT") from None
    fits = is_intent_id(state.action_intent_id) and is_name(state.tenant_id)
    if not fits or not 1 <= state.run_number <= _LARGEST_RUN or state.fence < 0:
        raise NothingToRun("MALFORMED_INPUT")
    return state


def whole_seconds(epoch_ms: int) -> str:
    """An instant as a Wait state takes it, never earlier than meant."""
    return rfc3339(-(-epoch_ms // 1000) * 1000).replace(".000Z", "Z")


def advanced(state: StepState, driven: Driven, *, chosen: bool) -> StepState:
    """What a state gives on, from what came of its step.

    Args:
        chosen: whether a Choice state comes next. Without one a function says by an error that the way is another.

    Raises:
        DuplicateExecution, PermanentError, RunInProgress: without a Choice state, the way that is taken instead.
    """
    going = _next(driven)
    if not chosen:
        match going:
            case Next.NOTHING | Next.RECORD_OUTCOME:
                raise DuplicateExecution("STARTED_ALREADY")
            case Next.RECORD_FAILURE if driven.progress is Progress.ENDED:
                raise DuplicateExecution("ENDED_ALREADY")
            case Next.RECORD_FAILURE:
                raise PermanentError("REFUSED")
            case Next.RECOVER | Next.WAIT:
                raise RunInProgress("CALLED_ALREADY")
            case _:
                pass
    return msgspec.structs.replace(
        state,
        fence=driven.fence or state.fence,
        next=going.value,
        until=whole_seconds(driven.until) if driven.progress is Progress.WAITING else "",
        status=driven.status.value if driven.status is not None else "",
    )


def _next(driven: Driven) -> Next:
    match driven.progress:
        case Progress.STEPPED:
            return Next(driven.next_step)
        case Progress.WAITING:
            return Next.WAIT
        case Progress.ENDED:
            return Next.RECORD_OUTCOME if driven.status is RunStatus.SUCCEEDED else Next.RECORD_FAILURE
        case Progress.NOTHING:
            return Next.NOTHING


def recorded(state: StepState, driven: Driven, deadline_at: int) -> StepState:
    """What the recording states give on: the end, a wait for the next look-up, or Recover when nothing is recorded.

    Args:
        deadline_at: when a run in doubt is looked up again, epoch milliseconds; 0 when only a person can settle it.
    """
    if driven.progress is not Progress.ENDED:
        return advanced(state, driven, chosen=True)
    doubt = driven.status is RunStatus.IN_DOUBT and deadline_at > 0
    return msgspec.structs.replace(
        state,
        next=(Next.WAIT if doubt else Next.RECORDED).value,
        until=whole_seconds(deadline_at) if doubt else "",
        status=driven.status.value if driven.status is not None else "",
    )
