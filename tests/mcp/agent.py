"""An Enactor that serves `/mcp` on a real port, and agents that talk to it through the SDK's client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from enactor.mcp.agents import AgentServer
from enactor.mcp.door import AGENTS, Door, DoorSettings, admitting, mount
from tests.gateway.servers import serving
from tests.http.world import World


class Face:
    """The server, and whoever talks to it."""

    def __init__(self, world: World, port: int) -> None:
        self.world = world
        self.base = f"http://127.0.0.1:{port}"

    @asynccontextmanager
    async def client(self, token: str, mode: str = "auto") -> AsyncIterator[Client]:
        """The SDK's client with a token."""
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http,
            Client(streamable_http_client(f"{self.base}{AGENTS}", http_client=http), mode=mode, cache=None) as client,
        ):
            yield client

    @asynccontextmanager
    async def agent(self, subject: str = "planner", mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
        """A proposing program."""
        async with self.client(self.world.token(subject, "proposer", agent=True, **options), mode) as client:
            yield client


def text_of(result: CallToolResult) -> str:
    """The text of a result."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


@asynccontextmanager
async def facing(world: World, **settings: Any) -> AsyncIterator[Face]:
    """Serves a world's application with `/mcp` in it."""
    server = AgentServer(world.assembly.service, world.store, world.clock, "0.0.0")
    admit = admitting(world.deps.authenticator, development=True)
    door = Door(server.server, AGENTS, admit, DoorSettings(**settings))
    mount(world.app, [door])
    await door.start()
    try:
        async with serving(world.app) as port:
            yield Face(world, port)
    finally:
        await door.stop()
