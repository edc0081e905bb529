"""What a call's bytes do on the wire: whether any left, how the answer came, and that nothing is sent twice.

The MCP SDK's transports say neither. One of its connections serves many calls, and a transport error of one request
would take all of them with it; so errors end here, in the record of the one call they belong to (`Flight`). The record
travels in a context variable, which the SDK carries from the caller to the task that makes the request.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self

import httpx
import httpx2
import msgspec
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest
from msgspec import Struct

from enactor.domain.errors import EnactorError

_log = logging.getLogger("enactor.gateway")

CALL: Final = "tools/call"
SESSION: Final = "mcp-session-id"
_HIDDEN: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})

Headers = Callable[[], Awaitable[Mapping[str, str]]]
"""Gives the headers that authenticate a request, fresh for each."""


class _Message(Struct):
    method: str = ""


_METHOD: Final = msgspec.json.Decoder(_Message)


class TooLate(Exception):
    """It is too late to send. Nothing left."""


class Flight:
    """The record of one call's way to the server and back.

    Attributes:
        sent: bytes of the request may have left. While it is False, none did.
        too_late: the permit had run out before the request left.
        status: the HTTP status of the answer.
        in_session: the request named a session of the server's.
        retry_after: the answer's `Retry-After`, seconds.
        error: the error's type, where the transport failed.
        reason: what may be said of it.
        retryable: the situation may pass.
        too_large: the answer was longer than is read.
        raw: the answer as it came.
        credentials: the values of headers that must not appear in anything that is kept.
    """

    def __init__(self, check: Callable[[], bool]) -> None:
        self._check = check
        self.sent = False
        self.too_late = False
        self.status: int | None = None
        self.in_session = False
        self.retry_after: float | None = None
        self.error = ""
        self.reason = ""
        self.retryable = True
        self.too_large = False
        self.raw = bytearray()
        self.credentials: tuple[str, ...] = ()

    def leave(self) -> None:
        """The request is about to leave. Raises `TooLate`, and then it does not."""
        if self.sent:
            raise TooLate
        if not self._check():
            self.too_late = True
            raise TooLate
        self.sent = True


FLIGHT: Final[contextvars.ContextVar[Flight | None]] = contextvars.ContextVar("enactor.flight", default=None)


class Wire(httpx2.AsyncBaseTransport):
    """The HTTP transport under the SDK's.

    Args:
        inner: makes connections and sends; it must not repeat a request.
        headers: authenticates each request.
        largest: the longest answer that is read, bytes.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, headers: Headers, largest: int) -> None:
        self._inner = inner
        self._headers = headers
        self._largest = largest
        self.failure = ""
        """What went wrong last, of what belongs to no call; safe to show."""
        self.unauthorized = False
        """The last answer was 401."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends the request once. A failure becomes an answer that the SDK takes for one, and a note in the flight."""
        content = await request.aread()
        # The variable is set for everything a caller does; only the call itself is the flight.
        flight = FLIGHT.get()
        flight = flight if flight is not None and _is_call(content) else None
        try:
            return await self._send(request, content, flight)
        except EnactorError as error:
            self._note(flight, type(error).__name__, error.message)
            if flight is not None:
                flight.retryable = error.retryable
        except TooLate:
            pass
        except Exception as error:  # noqa: BLE001 - of whatever kind: it must not end the calls of others
            self._note(flight, type(error).__name__, _said(error))
        return httpx2.Response(502, content=b"", request=request)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._inner.aclose()

    async def _send(self, request: httpx2.Request, content: bytes, flight: Flight | None) -> httpx2.Response:
        given = await self._headers()
        kept = [(name, value) for name, value in request.headers.multi_items() if name.lower() != "accept-encoding"]
        extensions = dict(request.extensions)
        if flight is not None:
            flight.credentials = tuple(given.values())
            flight.in_session = SESSION in request.headers
            extensions["trace"] = _watch(flight)
        outgoing = httpx.Request(
            request.method,
            str(request.url),
            # An answer that is packed could be larger than its length says.
            headers=[*kept, ("accept-encoding", "identity"), *given.items()],
            content=content,
            extensions=extensions,
        )
        response = await self._inner.handle_async_request(outgoing)
        if flight is not None:
            flight.status = response.status_code
            flight.retry_after = _seconds(response.headers)
        self.unauthorized = response.status_code == 401
        if self.unauthorized:
            self.failure = "the server does not accept the credentials (401)"
        elif response.status_code >= 400:
            self.failure = f"the server answered {response.status_code}"
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx.DecodingError("The answer is packed, which was not asked for.")
        limit = None if request.method == "GET" else self._largest
        return httpx2.Response(
            response.status_code,
            headers=[(name, value) for name, value in response.headers.multi_items() if name.lower() not in _HIDDEN],
            stream=_Body(response, flight, limit),
            request=request,
        )

    def _note(self, flight: Flight | None, error: str, reason: str) -> None:
        self.failure = reason
        if flight is not None:
            flight.error, flight.reason = error, reason


class _Body(httpx2.AsyncByteStream):
    """An answer's body. It ends early, with a note, where the connection breaks or it becomes too long."""

    def __init__(self, response: httpx.Response, flight: Flight | None, largest: int | None) -> None:
        self._response = response
        self._flight = flight
        self._largest = largest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0
        try:
            async for chunk in self._response.aiter_raw():
                length += len(chunk)
                if self._largest is not None and length > self._largest:
                    if self._flight is not None:
                        self._flight.too_large = True
                    return
                if self._flight is not None:
                    self._flight.raw += chunk
                yield chunk
        except httpx.HTTPError as error:
            if self._flight is not None:
                self._flight.error, self._flight.reason = type(error).__name__, _said(error)

    async def aclose(self) -> None:
        await self._response.aclose()


def _watch(flight: Flight) -> Callable[[str, Mapping[str, Any]], Awaitable[None]]:
    async def trace(name: str, _: Mapping[str, Any]) -> None:
        # httpcore's last word before the first byte: the connection is there, nothing has been written to it.
        if name.endswith(".send_request_headers.started"):
            flight.leave()

    return trace


def _is_call(content: bytes) -> bool:
    try:
        return _METHOD.decode(content).method == CALL
    except msgspec.MsgspecError:
        return False


def _said(error: Exception) -> str:
    """What may be said of a transport's error: never its text, which may hold anything."""
    match error:
        case httpx.TimeoutException():
            return "it took too long"
        case httpx.ConnectError():
            return "no connection could be made"
        case httpx.DecodingError():
            return "the answer could not be read"
        case _:
            return "the connection broke"


def _seconds(headers: httpx.Headers) -> float | None:
    """`Retry-After` as seconds (RFC 9110, section 10.2.3); a date is counted from the answer's own `Date`."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())


class Gate:
    """The streams of a process, watched: its end is noticed, and a call leaves only while its permit is good.

    Args:
        streams: the SDK's transport, not entered yet.
        on_end: called when the process has said its last word.
    """

    def __init__(self, streams: Any, on_end: Callable[[], None]) -> None:
        self._streams = streams
        self._on_end = on_end

    async def __aenter__(self) -> tuple[_Incoming, _Outgoing]:
        incoming, outgoing = await self._streams.__aenter__()
        return _Incoming(incoming, self._on_end), _Outgoing(outgoing)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        ended: bool | None = await self._streams.__aexit__(kind, error, trace)
        return ended


class _Incoming:
    def __init__(self, inner: Any, on_end: Callable[[], None]) -> None:
        self._inner = inner
        self._on_end = on_end

    async def receive(self) -> SessionMessage | Exception:
        received: SessionMessage | Exception = await self._inner.receive()
        return received

    async def aclose(self) -> None:
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            received: SessionMessage | Exception = await self._inner.__anext__()
        except StopAsyncIteration:
            self._on_end()
            raise
        return received

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)


class _Outgoing:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def send(self, item: SessionMessage, /) -> None:
        flight = FLIGHT.get()
        if flight is not None and isinstance(item.message, JSONRPCRequest) and item.message.method == CALL:
            flight.leave()
        await self._inner.send(item)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)
