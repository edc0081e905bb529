"""The MCP server that `benchmarks.gateway` calls: the SDK's own over streamable HTTP, with one tool that makes nothing.

`python -m benchmarks.gateway_server` listens on a free port, prints it, and serves until its input ends.
"""

import asyncio
import contextlib
import socket
import sys
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.routing import Mount

_INPUT = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "body": {"type": "string"}},
    "required": ["title"],
}
_OUTPUT = {
    "type": "object",
    "properties": {"ticket": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}},
    "required": ["ticket"],
}
TOOL = types.Tool(name="create", description="Makes a ticket.", input_schema=_INPUT, output_schema=_OUTPUT)


async def listed(ctx: Any, params: Any) -> types.ListToolsResult:
    """The one tool."""
    return types.ListToolsResult(tools=[TOOL])


async def called(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    """An answer with structured content, as a ticket system's would be."""
    content = {"ticket": {"id": "T-1", "url": "https://tickets.example/T-1"}}
    text = types.TextContent(type="text", text='{"ticket": {"id": "T-1", "url": "https://tickets.example/T-1"}}')
    return types.CallToolResult(content=[text], structured_content=content)


async def main() -> None:
    """Serves until the standard input ends."""
    server: Server[Any] = Server("tickets", version="1", on_list_tools=listed, on_call_tool=called)
    manager = StreamableHTTPSessionManager(server)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    app = Starlette(routes=[Mount("/mcp", app=manager.handle_request)])
    config = uvicorn.Config(app, http="httptools", lifespan="off", log_config=None, access_log=False)
    serving = uvicorn.Server(config)
    async with manager.run():
        task = asyncio.create_task(serving.serve(sockets=[listening]))
        print(listening.getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        serving.should_exit = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(task, 5)


if __name__ == "__main__":
    asyncio.run(main())
