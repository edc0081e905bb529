"""A real HTTP server on a free port of 127.0.0.1 that keeps what it gets and answers as a test tells it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook


@dataclass(frozen=True)
class Received:
    """One request as it came over the wire; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    server_name: str | None = None

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent."""
        return json.loads(self.body)

    @property
    def id(self) -> str:
        """The `webhook-id`."""
        return self.headers["webhook-id"]

    def verify(self, secret: str) -> None:
        """Verifies the signature as a receiver does. Raises `WebhookVerificationError`."""
        assert Webhook(secret).verify(self.body, self.headers) == self.event


@dataclass(frozen=True)
class Reply:
    """What to answer; `raw` instead of everything else, `hold` to wait first, `close` to hang up without an answer."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    hold: asyncio.Event | None = None
    close: bool = False


Respond = Callable[[Received], Reply | Awaitable[Reply]]
OK = Reply()


class Receiver:
    """Use it as an async context manager. `received` grows in the order of arrival."""

    def __init__(self, respond: Respond = lambda _: OK, tls: ssl.SSLContext | None = None) -> None:
        self.respond = respond
        self.received: list[Received] = []
        self.connections = 0
        self.names: list[str | None] = []
        self.port = 0
        self._tls = tls
        self._came = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.names.append(name)

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        """The `webhook-id` of every request."""
        return [request.id for request in self.received]

    async def until(self, count: int) -> list[Received]:
        """Everything received, once it is at least `count`."""
        await self.when(lambda: len(self.received) >= count)
        return self.received

    async def when(self, condition: Callable[[], bool]) -> None:
        """Returns when something received makes `condition` hold."""
        async with self._came:
            await self._came.wait_for(condition)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        # Cancelled is how the server ends a connection; asyncio's streams would report it as an error.
        over = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError)
        with contextlib.suppress(*over):
            while await self._answer_one(reader, writer):
                pass
        writer.transport.abort()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Received(method, path, headers, body, self.names[-1] if self.names else None)
        self.received.append(request)
        async with self._came:
            self._came.notify_all()
        reply = self.respond(request)
        if not isinstance(reply, Reply):
            reply = await reply
        if reply.hold is not None:
            await reply.hold.wait()
        if reply.close:
            writer.transport.abort()
            return False
        if reply.raw is not None:
            writer.write(reply.raw)
        else:
            given = {"content-length": str(len(reply.body)), **reply.headers}
            if reply.status == 204:
                del given["content-length"]
            lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
            writer.write(f"HTTP/1.1 {reply.status} Status\r\n{lines}\r\n".encode() + reply.body)
        await writer.drain()
        return True
