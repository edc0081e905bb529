"""What an MCP server's answer means (specification, section 3), and what of it may be kept and shown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    INTERNAL_ERROR,
    PARSE_ERROR,
    REQUEST_TIMEOUT,
    CallToolResult,
    Result,
    TextContent,
)

from enactor.domain.errors import ErrorClass, FailureCode
from enactor.domain.permit import CallResult
from enactor.domain.text import visible
from enactor.gateway.mcp_rules import ToolRule
from enactor.gateway.mcp_wire import Flight
from enactor.gateway.pointing import AnswerIncomplete, extract_refs
from enactor.ports.tools import Reply

_SHOWN: Final = 500
_SHORTEST_SECRET: Final = 4
_REDACTED: Final = "[secret]"


class Secrets:
    """Values that must not appear in anything that is kept: what was put into a call or authenticated it."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Adds values; of `Bearer abc` also the token alone."""
        for value in values:
            self._values |= {part for part in (value, *value.split()) if len(part) >= _SHORTEST_SECRET}

    def out_of(self, text: str) -> str:
        """`text` without them."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, _REDACTED)
            text = text.replace(json.dumps(value)[1:-1], _REDACTED)
        return text

    def out_of_bytes(self, content: bytes) -> bytes:
        """`content` without them."""
        for value in sorted(self._values, key=len, reverse=True):
            content = content.replace(value.encode(), _REDACTED.encode())
            content = content.replace(json.dumps(value)[1:-1].encode(), _REDACTED.encode())
        return content


def data_of(result: CallToolResult) -> Any:
    """What a result says as data: its structured content, or its one text if that is a JSON object (older servers)."""
    if result.structured_content is not None:
        return result.structured_content
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    if len(texts) != 1 or not texts[0].lstrip().startswith("{"):
        return None
    try:
        return json.loads(texts[0])
    except (ValueError, RecursionError):
        return None


def said(result: CallToolResult) -> str:
    """The text of a result."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def reply_of(rule: ToolRule, flight: Flight, outcome: Result | BaseException, secrets: Secrets) -> Reply:
    """What became of a call.

    Args:
        flight: what became of its request.
        outcome: the result, or what was raised in its place.
        secrets: what must not be in any message.
    """
    if flight.too_late:
        return not_sent("TOO_LATE_TO_SEND", "The permit ran out before the call left.")
    if not flight.sent:
        reason = flight.reason or "the connection ended"
        return not_sent(FailureCode.TOOL_UNREACHABLE.value, f"Nothing was sent: {reason}.", retryable=flight.retryable)
    if flight.error or flight.too_large:
        # What came before the break may read like an answer; it is not known to be one.
        return _no_answer(flight, outcome)
    if isinstance(outcome, CallToolResult):
        return _answered(rule, outcome, secrets)
    if flight.status is not None and (refused := _refused_by_status(rule, flight)) is not None:
        return refused
    if isinstance(outcome, MCPError):
        return _protocol_error(rule, flight, outcome, secrets)
    return _no_answer(flight, outcome)


def not_sent(code: str, message: str, *, retryable: bool = True) -> Reply:
    """Nothing left."""
    return Reply(
        result=CallResult.NOT_SENT,
        retryable=retryable,
        error_class=ErrorClass.DOWNSTREAM if retryable else ErrorClass.VALIDATION,
        error_code=code,
        message=message,
    )


def unknown(
    message: str,
    *,
    code: FailureCode = FailureCode.TOOL_FAILED,
    retry_after: float | None = None,
    answered: bool = False,
) -> Reply:
    """Something left, and nobody knows what it did."""
    timeout = code is FailureCode.TOOL_TIMEOUT
    return Reply(
        result=CallResult.UNKNOWN,
        retryable=True,
        error_class=ErrorClass.TIMEOUT if timeout else ErrorClass.UNKNOWN,
        error_code=code.value,
        message=message,
        retry_after_seconds=retry_after,
        answered=answered,
    )


def _answered(rule: ToolRule, result: CallToolResult, secrets: Secrets) -> Reply:
    if result.result_type != "complete":
        return unknown("The tool's answer is of a kind that is not known here.", answered=True)
    if result.is_error:
        # What a third party calls an error may well have come after the effect.
        return unknown(f"The tool says that it failed: {_quoted(said(result), secrets)}", answered=True)
    try:
        refs = extract_refs(rule.refs, data_of(result))
    except AnswerIncomplete as error:
        return unknown(f"The tool's answer does not say what it did: {error}", answered=True)
    return Reply(result=CallResult.DONE, refs=refs)


def _refused_by_status(rule: ToolRule, flight: Flight) -> Reply | None:
    status = flight.status
    if status == 404 and flight.in_session:
        # MCP, "Session Management": a server answers so when the session has ended, before it looks at the request.
        return _refused("MCP_SESSION_ENDED", "The server had ended the session.", retryable=True)
    if status not in rule.effect_free_statuses:
        return None
    if status in (401, 403):
        return _refused(
            "TOOL_CREDENTIALS_REFUSED",
            f"The server does not accept the credentials ({status}).",
            retryable=status == 401,
            error_class=ErrorClass.AUTH,
        )
    limited = status == 429
    return Reply(
        result=CallResult.REFUSED,
        retryable=limited,
        error_class=ErrorClass.RATE_LIMIT if limited else ErrorClass.DOWNSTREAM,
        error_code=FailureCode.TOOL_REFUSED.value,
        message=f"The server answered {status}.",
        retry_after_seconds=flight.retry_after if limited else None,
    )


def _refused(
    code: str, message: str, *, retryable: bool = False, error_class: ErrorClass = ErrorClass.DOWNSTREAM
) -> Reply:
    return Reply(
        result=CallResult.REFUSED,
        retryable=retryable,
        error_class=error_class,
        error_code=code,
        message=message,
        answered=True,
    )


def _protocol_error(rule: ToolRule, flight: Flight, error: MCPError, secrets: Secrets) -> Reply:
    code = error.error.code
    if code == REQUEST_TIMEOUT:
        return unknown("No answer came in time.", code=FailureCode.TOOL_TIMEOUT)
    quoted = _quoted(error.error.message, secrets)
    if code in rule.effect_free_codes and (flight.status is None or flight.status < 500):
        return _refused(FailureCode.TOOL_REFUSED.value, f"The server refused the call ({code}): {quoted}")
    if flight.status is not None and flight.status >= 300:
        refused = flight.status < 500 and flight.status not in (408, 429)
        return unknown(f"The server answered {flight.status}.", retry_after=flight.retry_after, answered=refused)
    if code in (PARSE_ERROR, CONNECTION_CLOSED):
        return unknown("The call left, and its answer could not be read to the end.")
    return unknown(f"The server answered with an error ({code}): {quoted}", answered=code != INTERNAL_ERROR)


def _no_answer(flight: Flight, outcome: Result | BaseException) -> Reply:
    if flight.too_large:
        return unknown("The answer is longer than what is read.")
    if isinstance(outcome, TimeoutError):
        return unknown("No answer came in time.", code=FailureCode.TOOL_TIMEOUT)
    if flight.error:
        return unknown(f"The call left, and no answer came: {flight.reason}.")
    if isinstance(outcome, Result):
        return unknown("The tool asks for more input, which nobody here gives.", answered=True)
    return unknown("The answer does not fit what the tool declares.")


def _quoted(text: str, secrets: Secrets) -> str:
    """What a third party wrote, for people: quoted, no links, nothing invisible, none of our secrets."""
    return f"“{visible(secrets.out_of(text), _SHOWN)}”"
