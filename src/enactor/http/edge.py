"""The outermost layer of every request: its trace, its size, its count, and an answer whatever happens inside."""

from __future__ import annotations

import logging
import re
import time
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enactor.domain.errors import PayloadTooLarge
from enactor.http.context import DEPS, TRACE, HttpDeps
from enactor.http.problems import problem_response, unexpected

_TRACEPARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

_log = logging.getLogger("enactor.http")


def trace_in(traceparent: bytes) -> str | None:
    """The trace id of a `traceparent` header (W3C Trace Context, section 3.2), or None when it is not valid."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[4] is not None):
        return None
    if found[2] == b"0" * 32 or found[3] == b"0" * 16:
        return None
    return found[2].decode()


class Edge:
    """ASGI middleware around everything.

    Gives the request its trace id, refuses bodies that are too long while they come in, counts the request, and turns
    what nobody foresaw into a problem document that says nothing and a log line that names the exception's type.
    """

    def __init__(self, app: ASGIApp, deps: HttpDeps) -> None:
        self._app = app
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request, or passes on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(self._deps, scope, receive, send).run(self._app)


class _Exchange:
    """One request and its response."""

    def __init__(self, deps: HttpDeps, scope: Scope, receive: Receive, send: Send) -> None:
        self._deps = deps
        self._scope = scope
        self._receive = receive
        self._send = send
        self._longest = deps.settings.max_body_bytes
        self._received = 0
        self._status = 0
        self._too_long = False
        trace, request_id = None, b""
        for name, value in scope["headers"]:
            if name == b"traceparent":
                trace = trace_in(value)
            elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                request_id = value
            elif name == b"content-length" and (not value.isdigit() or int(value[:20]) > self._longest):
                self._too_long = True
        self._trace = trace or deps.ids.new()
        scope[TRACE] = self._trace
        scope[DEPS] = scope["app"].state.deps
        self._headers = [
            (b"x-trace-id", self._trace.encode()),
            (b"x-request-id", request_id or self._trace.encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def run(self, app: ASGIApp) -> None:
        began = time.perf_counter()
        try:
            if self._too_long:
                raise self._longer()
            await app(self._scope, self.receive, self.send)
        except ClientDisconnect:
            # Nobody is there to answer.
            self._status = self._status or 499
        except PayloadTooLarge as error:
            await problem_response(error, self._trace)(self._scope, self._receive, self.send)
        except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer
            # The message of an exception nobody foresaw may hold anything, a secret too.
            _log.error("request of trace %s ended by %s", self._trace, type(error).__name__)
            if self._status == 0:
                await unexpected(self._trace)(self._scope, self._receive, self.send)
        finally:
            self._count(time.perf_counter() - began)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._longest:
                raise self._longer()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = message.setdefault("headers", [])
            given = {name for name, _ in headers}
            message["headers"] = [*headers, *[header for header in self._headers if header[0] not in given]]
        await self._send(message)

    def _longer(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"A body has at most {self._longest} bytes here; send less at once.")

    def _count(self, seconds: float) -> None:
        path = getattr(self._scope.get("route"), "path", None)
        method = self._scope["method"]
        self._deps.metrics.answered(
            method if method in _METHODS else "OTHER", path or "unmatched", self._status, seconds
        )
