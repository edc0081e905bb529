"""One HTTP request under one permit: sent once, with proof of whether any of it left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
from msgspec import Struct

from enactor.connectors.sdk import NotSent
from enactor.domain.errors import EnactorError

LONGEST_ANSWER: Final = 4 * 1024 * 1024
_LEAVING: Final = "send_request_headers.started"


class Unclear(Exception):
    """The request may have left, and nothing says how it ended: what the pipeline calls UNKNOWN.

    Its text is safe to show: it names what happened, never what was sent or answered.
    """


class Answer(Struct, frozen=True):
    """A complete answer."""

    status: int
    headers: httpx.Headers
    body: bytes


async def send_once(
    client: httpx.AsyncClient,
    request: httpx.Request,
    before_send: Callable[[], None],
    longest: int = LONGEST_ANSWER,
) -> Answer:
    """Sends a request once and reads its answer whole. Nothing here repeats, redirects or retries.

    Args:
        client: whose transport is used; it must not follow redirects.
        before_send: called when a connection stands and the first byte is about to leave; what it raises keeps the
            request from leaving. `ToolCall.ensure_timely` belongs here.
        longest: bytes of the answer's body; a longer one counts as unreadable.

    Raises:
        NotSent: the transport proves that no byte of the request left: name, connection, TLS, or waiting for either.
        Unclear: anything else that is not a complete answer.
    """
    left = False

    async def trace(event: str, _info: dict[str, Any]) -> None:
        nonlocal left
        if event.endswith(_LEAVING):
            before_send()
            left = True

    request.extensions = {**request.extensions, "trace": trace}
    try:
        response = await client.send(request, stream=True, follow_redirects=False)
        try:
            return Answer(response.status_code, response.headers, await _whole(response, longest))
        finally:
            await response.aclose()
    except httpx.HTTPError as error:
        if left:
            raise Unclear(f"no complete answer came: {type(error).__name__}") from None
        raise NotSent(_code(error), f"No connection came about: {type(error).__name__}.") from None
    except EnactorError as error:
        if left:
            raise Unclear("no complete answer came") from None
        raise NotSent(
            error.error_code, error.message, retryable=error.retryable, error_class=error.error_class
        ) from None


async def _whole(response: httpx.Response, longest: int) -> bytes:
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > longest:
            raise Unclear("the answer is longer than can be read")
    return bytes(content)


def _code(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.PoolTimeout):
        return "NO_FREE_CONNECTION"
    if isinstance(error, httpx.ConnectTimeout):
        return "CONNECT_TIMEOUT"
    return "CONNECT_FAILED"


def retry_after_seconds(headers: httpx.Headers, now_ms: int) -> float | None:
    """What `Retry-After` (RFC 9110, section 10.2.3) asks for, in seconds from now, or None."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at: datetime = parsedate_to_datetime(text)
        return max(0.0, at.timestamp() - now_ms / 1000)
    except (ValueError, OverflowError):
        return None
