import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from enactor.domain.errors import ConfigurationError
from enactor.domain.permit import CallResult
from enactor.gateway.execution_tokens import AUDIENCE, ExecutionTokens
from enactor.mcp.door import Door, DoorSettings
from enactor.mcp.tool_server import GATEWAY, ToolServer
from enactor.ports.tools import CallRequest, Reply
from tests.gateway.servers import serving
from tests.http.world import World, world_of

KEY = b"k" * 32


class Plane:
    """A world whose pipeline's calls are made through `/gateway/mcp` by whoever holds their token."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tokens = ExecutionTokens(KEY, world.store, world.clock, world.assembly.randomness)
        self.waiting: asyncio.Queue[CallRequest] = asyncio.Queue()
        self.replies: asyncio.Queue[Reply] = asyncio.Queue()
        self.called: list[CallRequest] = []
        self.url = ""
        self._call = world.assembly.tools.call

    async def hold(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Stands in for the pipeline's own call: the permit stays open until somebody replies."""
        await self.waiting.put(request)
        return await self.replies.get()

    async def make(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """The connectors' own call."""
        self.called.append(request)
        return await self._call(request, check)

    @asynccontextmanager
    async def client(self, token: str) -> AsyncIterator[Client]:
        """Somebody with a token."""
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http,
            Client(streamable_http_client(self.url, http_client=http), cache=None) as client,
        ):
            yield client

    async def permitted(self, **parameters: Any) -> CallRequest:
        """A call whose permit is open."""
        await self.world.approved(**parameters)
        return await self.waiting.get()

    async def refusal(self, token: str, request: CallRequest, **arguments: Any) -> str:
        """What is said of a call that is refused."""
        async with self.client(token) as client:
            with pytest.raises(MCPError) as refused:
                await client.session.call_tool(request.tool_name, arguments or json.loads(request.argument_bytes))
        assert self.called == []
        return str(refused.value)


@pytest.fixture
async def plane(key_file: Path) -> AsyncIterator[Plane]:
    """The tool plane of a world, behind `/gateway/mcp`."""
    async with world_of(key_file) as world:
        made = Plane(world)
        server = ToolServer(world.assembly.direct, made.tokens, world.clock, "0")
        server._plane = type(
            "Called",
            (),
            {
                "call": made.make,
                "definition": world.assembly.direct.definition,
                "definitions": world.assembly.direct.definitions,
            },
        )  # type: ignore[assignment]
        world.assembly.tools.call = made.hold  # type: ignore[method-assign]
        door = Door(server.server, GATEWAY, server.admit, DoorSettings(), metadata=False)
        world.app.router.routes.extend(door.routes())
        await door.start()
        async with serving(world.app) as port:
            made.url = f"http://127.0.0.1:{port}{GATEWAY}"
            yield made
        await door.stop()
        for _ in range(10):
            made.replies.put_nowait(Reply(result=CallResult.NOT_SENT))


async def test_a_token_makes_its_call_once(plane: Plane) -> None:
    """The holder of a token makes the permitted call, exactly as approved, and cannot make it again."""
    request = await plane.permitted(title="Printer")
    async with plane.client(plane.tokens.mint(request)) as client:
        arguments = json.loads(request.argument_bytes)
        result = await client.session.call_tool(request.tool_name, arguments)
        with pytest.raises(MCPError, match="used before"):
            await client.session.call_tool(request.tool_name, arguments)
    assert not result.is_error
    assert result.structured_content["result"] == "DONE"
    assert result.structured_content["refs"][0]["object_type"] == "note"
    assert [msgspec.structs.replace(call, send_not_after=0) for call in plane.called] == [
        msgspec.structs.replace(request, send_not_after=0)
    ]
    plane.replies.put_nowait(msgspec.convert(result.structured_content, Reply))
    await plane.world.over(request.action_intent_id)


async def test_tools_have_input_and_output_schemas(plane: Plane) -> None:
    """Every connector's tool is listed with what it takes and what comes back, and answers fit that."""
    request = await plane.permitted(title="Printer")
    async with plane.client(plane.tokens.mint(request)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        answer = await client.session.call_tool(request.tool_name, json.loads(request.argument_bytes))
    assert {"internal.create_note", "internal.delete_object", "bank.transfer"} <= tools.keys()
    assert tools["internal.create_note"].input_schema["required"] == ["title"]
    schema = tools["internal.create_note"].output_schema
    assert schema is not None
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(answer.structured_content)


async def test_a_token_is_good_for_nothing_else(plane: Plane) -> None:
    """Another tool, other arguments, another call or key: nothing is called."""
    request = await plane.permitted(title="Printer")
    token = plane.tokens.mint(request)
    other = msgspec.structs.replace(request, tool_name="internal.create_task")
    assert "another call" in await plane.refusal(token, other)
    assert "another call" in await plane.refusal(token, request, title="Printer", body="more")
    for change in (
        {"call_no": 2},
        {"run_number": 2},
        {"idempotency_key": "x" * 64},
        {"tenant_id": "globex"},
        {"account_id": "south"},
        {"action_intent_id": "ai_other"},
    ):
        minted = plane.tokens.mint(msgspec.structs.replace(request, **change))
        assert "not open" in await plane.refusal(minted, request)


async def test_a_settled_permit_takes_no_token(plane: Plane) -> None:
    """Once the permit has its result, its token is worth nothing."""
    request = await plane.permitted(title="Printer")
    token = plane.tokens.mint(request)
    plane.replies.put_nowait(Reply(result=CallResult.DONE))
    await plane.world.over(request.action_intent_id)
    assert "not open" in await plane.refusal(token, request)


async def test_a_late_token_sends_nothing(plane: Plane) -> None:
    """Within its minute, but past the permit's own time: redeemed, and nothing is sent."""
    request = await plane.permitted(title="Printer")
    token = plane.tokens.mint(request)
    plane.world.clock.advance(30)
    async with plane.client(token) as client:
        result = await client.session.call_tool(request.tool_name, json.loads(request.argument_bytes))
    assert result.is_error
    assert result.structured_content["result"] == "NOT_SENT"


async def test_only_execution_tokens_of_the_last_minute(plane: Plane) -> None:
    """The API's tokens, expired ones and forged ones do not get in; nor does an execution token get into the API."""
    request = await plane.permitted(title="Printer")
    good = plane.tokens.mint(request)
    claims = jwt.decode(good, OctKey.import_key(KEY), algorithms=["HS256"]).claims
    header = {"alg": "HS256", "typ": "enactor-execution+jwt"}

    def signed(key: bytes = KEY, head: dict[str, str] | None = None, **changes: Any) -> str:
        return jwt.encode(head or header, {**claims, **changes}, OctKey.import_key(key))

    bad = [
        plane.world.token("planner", "proposer"),
        signed(b"x" * 32),
        signed(aud="enactor"),
        signed(head={"alg": "HS256", "typ": "JWT"}),
        signed(purpose="OTHER"),
        "x.y.z",
        "x" * 9_000,
    ]
    async with httpx2.AsyncClient() as http:

        async def status(token: str) -> int:
            answer = await http.post(plane.url, json={}, headers={"authorization": f"Bearer {token}"})
            return answer.status_code

        assert [await status(token) for token in bad] == [401] * len(bad)
        assert await status(good) != 401
        plane.world.clock.advance(60)
        assert await status(good) == 401
    assert (await plane.world.anybody(plane.tokens.mint(request)).get("/v1/intents")).status_code == 401
    assert claims["aud"] == AUDIENCE


def test_short_keys_are_refused(plane: Plane) -> None:
    """A key that could be guessed signs nothing."""
    with pytest.raises(ConfigurationError, match="32 bytes"):
        ExecutionTokens(b"short", plane.world.store, plane.world.clock, plane.world.assembly.randomness)
