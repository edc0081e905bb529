"""Real MCP servers for tests: the SDK's, over streamable HTTP on a free port, and one that misbehaves on demand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[dict[str, Any]], Awaitable[types.CallToolResult]]


def tool(name: str, **more: Any) -> types.Tool:
    """A tool that takes a title."""
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "key": {"type": "string"}},
        "required": ["title"],
    }
    return types.Tool(name=name, **{"description": f"Does {name}.", "input_schema": schema, **more})


def data(**content: Any) -> types.CallToolResult:
    """A result with structured content."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=json.dumps(content))], structured_content=content
    )


@dataclass
class Tickets:
    """A server with a table of tickets. `calls` grows with every `tools/call` that reaches it."""

    tools: list[types.Tool] = field(default_factory=lambda: [tool("create"), tool("find"), tool("close")])
    handlers: dict[str, Handler] = field(default_factory=dict)
    calls: list[types.CallToolRequestParams] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)

    def server(self) -> Server[Any]:
        """The SDK's server over it."""
        return Server("tickets", version="1", on_list_tools=self._list, on_call_tool=self._call)

    async def _list(self, ctx: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self.tools)

    async def _call(self, ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        self.calls.append(params)
        handler = self.handlers.get(params.name) or getattr(self, f"do_{params.name.rpartition('___')[2]}")
        return await handler(params.arguments or {})

    async def do_create(self, arguments: dict[str, Any]) -> types.CallToolResult:
        """Makes a ticket, one for each key."""
        key = arguments.get("key") or f"{arguments['title']}-{len(self.made)}"
        number = self.made.setdefault(key, f"T-{len(self.made) + 1}")
        return data(ticket={"id": number, "url": f"https://tickets.example/{number}", "etag": "1"})

    async def do_find(self, arguments: dict[str, Any]) -> types.CallToolResult:
        """Finds a ticket by its key."""
        return data(items=[{"id": self.made[arguments["title"]]}] if arguments["title"] in self.made else [])

    async def do_close(self, arguments: dict[str, Any]) -> types.CallToolResult:
        """Removes a ticket by its number."""
        self.made = {key: number for key, number in self.made.items() if number != arguments["title"]}
        return data(closed=True)


def listen() -> socket.socket:
    """A socket that listens on a free port of 127.0.0.1."""
    # Only a socket that knows it is TCP gets TCP_NODELAY from asyncio.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    listening.setblocking(False)
    return listening


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, listening: socket.socket | None = None) -> AsyncIterator[int]:
    """Serves an ASGI application on a free port of 127.0.0.1, or on the socket given."""
    listening = listening or listen()
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listening.close()


@contextlib.asynccontextmanager
async def over_http(tickets: Tickets, *, stateless: bool = False, json_response: bool = False) -> AsyncIterator[str]:
    """The server over streamable HTTP; its URL."""
    manager = StreamableHTTPSessionManager(tickets.server(), stateless=stateless, json_response=json_response)

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        tickets.requests.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await manager.handle_request(scope, receive, send)

    async with manager.run(), serving(Starlette(routes=[Mount("/mcp", app=watched)])) as port:
        yield f"http://127.0.0.1:{port}/mcp/"
