"""AWS's services behind the ports of the engine. The SDK is imported when the first client is made."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from enactor.domain.errors import Unavailable
from enactor.engines.stepfunctions.contract import StepState
from enactor.engines.stepfunctions.engine import as_input
from enactor.engines.stepfunctions.trigger import DETAIL_TYPE, SOURCE, Approved, detail_of
from enactor.functions.runtime import TRACE_VARIABLE

_CONNECT_SECONDS: Final = 3
_READ_SECONDS: Final = 10
ENTRIES_AT_ONCE: Final = 10
"""What PutEvents takes."""


@functools.cache
def client(service: str) -> Any:
    """A client of the function's own region, made once. It repeats calls: each of them may be made twice."""
    import botocore.session
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        parameter_validation=False,
        retries={"mode": "standard", "total_max_attempts": 4},
    )
    return botocore.session.get_session().create_client(service, config=config)


async def _ask(service: str, operation: str, **parameters: Any) -> dict[str, Any]:
    """One call. Raises `Unavailable`, or the SDK's `ClientError` of a kind that trying again does not help."""
    from botocore.exceptions import BotoCoreError, ClientError

    made = client(service)
    try:
        answer: dict[str, Any] = await asyncio.to_thread(getattr(made, operation), **parameters)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))[:100]
        if code == "ExecutionAlreadyExists":
            raise
        raise Unavailable(f"AWS does not do {operation} now: {code}.") from None
    except BotoCoreError as error:
        raise Unavailable(f"AWS cannot be asked for {operation}: {type(error).__name__}.") from None
    return answer


class StateMachine:
    """The state machine of an ARN."""

    def __init__(self, arn: str) -> None:
        self._arn = arn

    async def start_execution(self, name: str, state: StepState) -> bool:
        """Starts an execution; False when there is, or was in the last 90 days, one of that name.

        Raises:
            Unavailable: it cannot be started now.
        """
        from botocore.exceptions import ClientError

        parameters = {"stateMachineArn": self._arn, "name": name, "input": json.dumps(as_input(state))}
        if trace := os.environ.get(TRACE_VARIABLE):
            parameters["traceHeader"] = trace[:256]
        try:
            await _ask("stepfunctions", "start_execution", **parameters)
        except ClientError:
            return False
        return True


class Bus:
    """The event bus of a name."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def publish(self, approved: Approved) -> None:
        """Announces an approval. Raises `Unavailable`."""
        if await self.put([(DETAIL_TYPE, detail_of(approved))]):
            raise Unavailable("The event bus did not take the event.")

    async def put(self, events: Sequence[tuple[str, Mapping[str, Any]]]) -> list[int]:
        """Puts up to ten events, each with its detail-type. Returns the places of those that were not taken.

        Raises:
            Unavailable: none was taken.
        """
        trace = os.environ.get(TRACE_VARIABLE)
        entries = [
            {
                "EventBusName": self._name,
                "Source": SOURCE,
                "DetailType": detail_type,
                "Detail": json.dumps(detail),
                **({"TraceHeader": trace[:500]} if trace else {}),
            }
            for detail_type, detail in events
        ]
        answer = await _ask("events", "put_events", Entries=entries)
        return [place for place, entry in enumerate(answer.get("Entries", ())) if entry.get("ErrorCode")]
