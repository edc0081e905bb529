"""The functions of the pipeline: each runs the steps that the definition gives it, and no others."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from enactor.domain.attempt import RunStatus
from enactor.domain.errors import StoreFailed, Unavailable
from enactor.engines.stepfunctions.contract import Next, StepState, step_state
from enactor.engines.stepfunctions.definition import FUNCTIONS
from enactor.engines.stepfunctions.errors import NothingToRun, TransientError
from enactor.engines.stepfunctions.runner import StepRunner
from enactor.functions.composition import Timely, no_tools, parts, tools
from enactor.functions.runtime import Handler, count, handler, milliseconds_left
from enactor.pipeline.stepping import RECORD_FAILURE, RECORD_OUTCOME
from enactor.ports.tools import ToolPlane

_log = logging.getLogger("enactor.functions")
_METRICS = {
    RunStatus.SUCCEEDED: "ExecutionsSucceeded",
    RunStatus.FAILED: "ExecutionsFailed",
    RunStatus.CANCELLED: "ExecutionsCancelled",
    RunStatus.EXPIRED: "ExecutionsExpired",
    RunStatus.IN_DOUBT: "ExecutionsInDoubt",
}


def _of(function: str, *, calls: bool = True) -> Handler:
    """The handler of a function. `calls`: whether its steps look at tools or call them."""

    async def work(event: Any, context: Any) -> dict[str, Any]:
        state = step_state(event)
        name = event.get("step")
        if FUNCTIONS.get(name) != function:
            raise NothingToRun("NOT_MY_STEP")
        given = await _run(name, state, context, calls=calls)
        fields: dict[str, Any] = msgspec.to_builtins(given)
        return fields

    return handler(work)


async def _run(name: str, state: StepState, context: Any, *, calls: bool) -> StepState:
    plane: ToolPlane = no_tools()
    try:
        made = await parts()
        if calls:
            plane = Timely(await tools(), lambda: milliseconds_left(context))
    except (StoreFailed, Unavailable) as error:
        raise TransientError(error.error_code) from None
    given = await StepRunner(made.stepper(plane)).run(name, state)
    _log.info(
        "%s of %s leads to %s",
        name,
        state.action_intent_id,
        given.next,
        extra={"step": name, "action_intent_id": state.action_intent_id, "run_number": state.run_number},
    )
    if name in (RECORD_OUTCOME, RECORD_FAILURE) and given.next in (Next.RECORDED, Next.WAIT) and given.status:
        count(
            {_METRICS[RunStatus(given.status)]: 1},
            made.environment.prefix,
            action_intent_id=state.action_intent_id,
            run_number=str(state.run_number),
        )
    return given


validator = _of("validator", calls=False)
mapper = _of("mapper")
invoker = _of("invoker")
compensator = _of("compensator")
recorder = _of("recorder", calls=False)
failure_recorder = _of("failure_recorder")
recoverer = _of("recoverer")
