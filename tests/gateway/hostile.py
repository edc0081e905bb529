"""A raw HTTP server that speaks just enough MCP to be listed, and then does with a call whatever a test tells it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

Behave = Callable[["Call"], Awaitable[None]]


class Call:
    """One `tools/call` on its way in, and the connection to answer it on."""

    def __init__(self, message: dict[str, Any], headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        self.message = message
        self.headers = headers
        self.writer = writer

    async def raw(self, content: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(content)
        await self.writer.drain()

    async def http(self, status: int, body: bytes, content_type: str = "application/json", **headers: str) -> None:
        """An HTTP response."""
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
        await self.raw(head.encode() + body)

    async def result(self, result: dict[str, Any]) -> None:
        """A JSON-RPC result."""
        await self.http(200, json.dumps({"jsonrpc": "2.0", "id": self.message["id"], "result": result}).encode())

    async def error(self, code: int, message: str, status: int = 200) -> None:
        """A JSON-RPC error."""
        error = {"code": code, "message": message}
        await self.http(status, json.dumps({"jsonrpc": "2.0", "id": self.message["id"], "error": error}).encode())

    def hang_up(self) -> None:
        """Resets the connection."""
        self.writer.transport.abort()


class Hostile:
    """Use it as an async context manager. `calls` holds every `tools/call` whose bytes came in."""

    def __init__(
        self,
        behave: Behave,
        tools: list[dict[str, Any]] | None = None,
        session: str = "s-1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.tls = tls
        self.called = asyncio.Event()
        self.behave = behave
        self.tools = tools or [{"name": "create", "inputSchema": {"type": "object", "properties": {"title": {}}}}]
        self.session = session
        self.calls: list[Call] = []
        self.seen: list[tuple[str, str]] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/mcp"

    async def __aenter__(self) -> Hostile:
        await self.listen(0)
        return self

    async def listen(self, port: int) -> None:
        """Begins to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, reuse_address=True, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_: object) -> None:
        await self.vanish()

    async def vanish(self) -> None:
        """Stops listening and hangs up on everybody."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.seen.append((method, path))
                await self._answer(method, json.loads(body) if body else {}, headers, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(
        self, method: str, message: dict[str, Any], headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> None:
        call = Call(message, headers, writer)
        if method != "POST":
            await call.http(405, b"")
            return
        match message["method"]:
            case "initialize":
                result = {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "hostile", "version": "1"},
                }
                answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
                await call.http(200, answer, mcp_session_id=self.session)
            case "tools/list":
                await call.result({"tools": self.tools})
            case "tools/call":
                self.calls.append(call)
                self.called.set()
                await self.behave(call)
            case _ if "id" in message:
                await call.error(-32601, "no such method")
            case _:
                await call.http(202, b"")
