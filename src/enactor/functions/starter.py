"""The starter: takes approvals off the queue and starts executions, each message for itself."""

from __future__ import annotations

import logging
from typing import Any

from enactor.domain.errors import EnactorError
from enactor.engines.stepfunctions.trigger import MalformedEvent, Starter, TooEarly
from enactor.functions.composition import parts
from enactor.functions.runtime import count, handler

_log = logging.getLogger("enactor.functions")


async def _start(event: Any, context: Any) -> dict[str, Any]:
    """Starts what the messages ask for. Those that failed are named, and come again: a partial batch response."""
    made = await parts()
    starter = Starter(made.engine(), made.store)
    failed: list[str] = []
    for record in event["Records"]:
        try:
            await starter.take(record["body"])
        except (MalformedEvent, TooEarly, EnactorError) as error:
            code = error.error_code if isinstance(error, EnactorError) else str(error)
            _log.warning("message %s goes back to the queue: %s", record["messageId"], code)
            failed.append(record["messageId"])
        except Exception as error:  # noqa: BLE001 - one message must not take the others down with it
            _log.error("message %s goes back to the queue: %s", record["messageId"], type(error).__name__)
            failed.append(record["messageId"])
    if failed:
        count({"MessagesReturned": len(failed)}, made.environment.prefix)
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}


start = handler(_start)
