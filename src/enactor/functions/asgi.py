"""An ASGI application behind API Gateway: HTTP API events of payload version 2.0 in, responses out.

API Gateway buffers: a response that streams is collected until it ends or `seconds` have passed, and is then told that
the client has left. For server-sent events that is long polling: the client comes again with `Last-Event-ID`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import unquote

from enactor.domain.errors import InvalidInput

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]
_TEXT: Final = ("text/", "application/json", "application/problem+json", "application/javascript")


class Exchange:
    """One request and what is answered.

    Args:
        event: of API Gateway.

    Raises:
        InvalidInput: it is not an event of payload version 2.0.
    """

    def __init__(self, event: Any) -> None:
        try:
            if event["version"] != "2.0":
                raise ValueError
            http = event["requestContext"]["http"]
            body = event.get("body") or ""
            self._body = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
            headers = [(name.lower(), value) for name, value in (event.get("headers") or {}).items()]
            if cookies := event.get("cookies"):
                headers.append(("cookie", "; ".join(cookies)))
            path = _without_stage(event["rawPath"], event["requestContext"].get("stage", "$default"))
            self.scope: Scope = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "http_version": "1.1",
                "method": http["method"],
                "scheme": "https",
                "path": unquote(path),
                "raw_path": path.encode(),
                "root_path": "",
                "query_string": event.get("rawQueryString", "").encode(),
                "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
                "client": (http.get("sourceIp", ""), 0),
                "server": (event["requestContext"].get("domainName", ""), 443),
            }
        except (KeyError, TypeError, AttributeError, ValueError, UnicodeEncodeError, binascii.Error):
            raise InvalidInput("This is not an event of an HTTP API, payload version 2.0.") from None
        self._asked = False
        self._over = asyncio.Event()
        self._status = 500
        self._headers: list[tuple[bytes, bytes]] = []
        self._answer = bytearray()

    async def receive(self) -> dict[str, Any]:
        """The whole body at once; after that, the client leaves when the time is up."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Collects the response."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._answer += message.get("body", b"")
            if not message.get("more_body", False):
                self._over.set()

    async def run(self, application: Application, seconds: float) -> dict[str, Any]:
        """Has the application answer. A stream that is still open after `seconds` is told that its reader left."""
        work = asyncio.ensure_future(application(self.scope, self.receive, self.send))
        try:
            _, pending = await asyncio.wait({work}, timeout=max(seconds, 0.1))
            if pending:
                self._over.set()
                _, pending = await asyncio.wait({work}, timeout=1)
                if pending:
                    work.cancel()
            await asyncio.gather(work, return_exceptions=bool(pending))
        finally:
            work.cancel()
        return self._response()

    def _response(self) -> dict[str, Any]:
        headers: dict[str, str] = {}
        cookies: list[str] = []
        for raw, content in self._headers:
            name, value = raw.decode("latin-1").lower(), content.decode("latin-1")
            if name == "set-cookie":
                cookies.append(value)
            else:
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body, kind = bytes(self._answer), headers.get("content-type", "")
        readable = kind.startswith(_TEXT) and "content-encoding" not in headers
        return {
            "statusCode": self._status,
            "headers": headers,
            "cookies": cookies,
            "isBase64Encoded": not readable,
            "body": body.decode() if readable else base64.b64encode(body).decode(),
        }


def _without_stage(path: str, stage: str) -> str:
    """API Gateway puts the name of a stage that is not the default one in front of the path."""
    return path.removeprefix(f"/{stage}") or "/" if stage != "$default" else path
