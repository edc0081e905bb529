"""What every handler shares: one event loop for the life of the process, logs, metrics, and errors without stacks."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from enactor.engines.stepfunctions.errors import (
    DuplicateExecution,
    NothingToRun,
    PermanentError,
    RunInProgress,
    TransientError,
)

Result = TypeVar("Result")
Handler = Callable[[Any, Any], Any]
WAYS: Final = (TransientError, PermanentError, DuplicateExecution, RunInProgress, NothingToRun)
NAMESPACE: Final = "Enactor"
TRACE_VARIABLE: Final = "_X_AMZN_TRACE_ID"
"""Where Lambda puts the X-Ray trace header of the invocation."""

_log = logging.getLogger("enactor.functions")


class FunctionFailed(Exception):
    """Something that nobody foresaw; its type is in the log, and its text nowhere, because it may hold anything."""


@functools.cache
def _runner() -> asyncio.Runner:
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("enactor").setLevel(os.environ.get("ENACTOR_LOG_LEVEL", "info").upper())
    return asyncio.Runner()


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs `work` on the process's one loop, which connections and tasks of earlier invocations live on."""
    return _runner().run(work)


def handler(function: Callable[[Any, Any], Coroutine[Any, Any, Any]]) -> Handler:
    """A Lambda handler of a coroutine function.

    What leaves is one of the errors that the state machine knows, or `FunctionFailed`: never a stack or a foreign text.
    """

    @functools.wraps(function)
    def handle(event: Any, context: Any) -> Any:
        way: Exception
        try:
            return run(function(event, context))
        except WAYS as error:
            way = error
        except Exception as error:  # noqa: BLE001 - whatever it was, the caller gets an error of ours
            _log.error("the function failed of %s", type(error).__name__)
            way = FunctionFailed(type(error).__name__)
        raise way.with_traceback(None) from None

    return handle


def milliseconds_left(context: Any) -> int:
    """How long this invocation may still run."""
    return int(context.get_remaining_time_in_millis())


def count(metrics: Mapping[str, float], prefix: str, **properties: str) -> None:
    """Writes metrics as a line of the log, in CloudWatch's embedded metric format.

    Args:
        metrics: names with counts.
        prefix: the deployment; the metrics' one dimension.
        properties: what else the line says, for people and queries; no dimension, so it costs nothing.
    """
    line = {
        "_aws": {
            "Timestamp": time.time_ns() // 1_000_000,  # noqa: TID251 - the log's own clock; nothing is decided by it
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["Deployment"]],
                    "Metrics": [{"Name": name, "Unit": "Count"} for name in metrics],
                }
            ],
        },
        "Deployment": prefix,
        **properties,
        **metrics,
    }
    sys.stdout.write(json.dumps(line) + "\n")
