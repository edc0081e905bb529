"""The state machine's definition (Amazon States Language), generated from the pipeline's list of steps.

    StartExecution → ValidatePreflight → MapActionToTool → InvokeTool → WhatNext → RecordOutcome

Only what can branch after the outside was touched passes the one Choice state, so that the usual run enters six states.
Everything that is not an answer of InvokeTool or CompensateAction goes to Recover, never to a recording state.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from enactor.engines.stepfunctions.contract import Next
from enactor.pipeline.stepping import RECORD_FAILURE, RECORD_OUTCOME, RECOVER
from enactor.pipeline.steps import STEPS

CHOICE: Final = "WhatNext"
FUNCTIONS: Final[dict[str, str]] = {
    "StartExecution": "validator",
    "ValidatePreflight": "validator",
    "MapActionToTool": "mapper",
    "InvokeTool": "invoker",
    "CompensateAction": "compensator",
    RECORD_OUTCOME: "recorder",
    RECORD_FAILURE: "failure_recorder",
    RECOVER: "recoverer",
}
"""Which function runs a state's step; the step's own name travels in the payload."""

FUNCTION_SECONDS: Final[dict[str, int]] = {
    "validator": 30,
    "mapper": 30,
    "invoker": 840,
    "compensator": 840,
    "recorder": 30,
    "failure_recorder": 30,
    "recoverer": 840,
}
"""How long a function may run. A call ends sooner, because the function gives it no more time than it has itself."""

STATE_MARGIN_SECONDS: Final = 30
"""How much longer a state waits than its function may run."""

_STEPS_THAT_CALL: Final = ("InvokeTool", "CompensateAction")
_TRANSIENT: Final = [
    "TransientError",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
]
_RETRY: Final = {
    "ErrorEquals": _TRANSIENT,
    "IntervalSeconds": 1,
    "MaxAttempts": 6,
    "BackoffRate": 2.0,
    "MaxDelaySeconds": 60,
    "JitterStrategy": "FULL",
}
_CRASHED: Final = {
    "ErrorEquals": ["Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout"],
    "IntervalSeconds": 2,
    "MaxAttempts": 2,
    "BackoffRate": 2.0,
    "JitterStrategy": "FULL",
}
"""A function whose process ended. Where none can have called, it is run again; elsewhere Recover looks first."""
_DONE: Final = "AlreadyHandled"


def definition(resource_of: dict[str, str], partition: str = "aws") -> dict[str, Any]:
    """The definition, with the ARN (or a placeholder) of each function.

    Args:
        resource_of: by function name, as in `FUNCTIONS`.
    """
    names = [step.name for step in STEPS]
    states: dict[str, Any] = {}
    for name, after in zip(names, [*names[1:], ""], strict=True):
        calls = name in _STEPS_THAT_CALL
        states[name] = _task(name, resource_of, partition, CHOICE if calls else after, _catches(name))
    states[CHOICE] = {
        "Type": "Choice",
        "Choices": [{"Variable": "$.next", "StringEquals": going.value, "Next": going.value} for going in Next],
        "Default": RECOVER,
    }
    states[Next.WAIT.value] = {"Type": "Wait", "TimestampPath": "$.until", "Next": RECOVER}
    states[RECOVER] = _task(RECOVER, resource_of, partition, CHOICE, [_catch(["States.ALL"], "Stuck")])
    states[RECORD_OUTCOME] = _task(RECORD_OUTCOME, resource_of, partition, "", [_catch(["States.ALL"], RECOVER)])
    states[RECORD_FAILURE] = _task(RECORD_FAILURE, resource_of, partition, CHOICE, [_catch(["States.ALL"], RECOVER)])
    states[Next.RECORDED.value] = {"Type": "Succeed"}
    states[_DONE] = {"Type": "Succeed", "Comment": "A duplicate: somebody else has the run, or it is over."}
    states["NotStarted"] = {
        "Type": "Fail",
        "Error": "NothingToRun",
        "Cause": "No such intent, or no approval in force: no lock was taken, and nothing was called.",
    }
    states["Stuck"] = {
        "Type": "Fail",
        "Error": "Stuck",
        "Cause": "The run keeps its lock; the sweeper comes back to it. See the function's log.",
    }
    return {
        "Comment": "Enactor: one approved action. Generated from src/enactor/pipeline/steps.py; do not edit.",
        "StartAt": names[0],
        "States": states,
    }


def _catches(name: str) -> list[dict[str, Any]]:
    if name in _STEPS_THAT_CALL:
        # Whatever happened to the function, a call may be out: what is known decides, not the error.
        return [_catch(["States.ALL"], RECOVER)]
    refusals = [
        _catch(["DuplicateExecution"], _DONE),
        _catch(["RunInProgress"], RECOVER),
    ]
    if name == "StartExecution":
        return [*refusals, _catch(["NothingToRun"], "NotStarted"), _catch(["States.ALL"], "Stuck")]
    return [*refusals, _catch(["PermanentError"], RECORD_FAILURE), _catch(["States.ALL"], RECOVER)]


def _catch(errors: list[str], target: str) -> dict[str, Any]:
    # The input goes on as it was: an error's text has no business between the states.
    return {"ErrorEquals": errors, "ResultPath": None, "Next": target}


def _task(
    name: str, resource_of: dict[str, str], partition: str, after: str, catches: list[dict[str, Any]]
) -> dict[str, Any]:
    function = FUNCTIONS[name]
    return {
        "Type": "Task",
        "Resource": f"arn:{partition}:states:::lambda:invoke",
        "Parameters": {
            "FunctionName": resource_of[function],
            "Payload": {
                "step": name,
                "action_intent_id.$": "$.action_intent_id",
                "tenant_id.$": "$.tenant_id",
                "run_number.$": "$.run_number",
                "fence.$": "$.fence",
            },
        },
        "OutputPath": "$.Payload",
        "TimeoutSeconds": FUNCTION_SECONDS[function] + STATE_MARGIN_SECONDS,
        "Retry": copy.deepcopy([_RETRY] if name in _STEPS_THAT_CALL else [_RETRY, _CRASHED]),
        "Catch": catches,
        **({"Next": after} if after else {"End": True}),
    }
