"""Connectors that are called through `/gateway/mcp`: this process's own, or another's over the same store."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enactor.conformance.clocks import ManualClock, SeededRandomness
from enactor.conformance.target import Act, Order, Target
from enactor.conformance.tools import ToolPlaneConformance, timely
from enactor.connectors.sdk import ToolCall, ToolResult, tool
from enactor.domain.action_type import WriteMode
from enactor.domain.errors import ConfigurationError
from enactor.domain.permit import CallResult
from enactor.gateway.mcp_plane import McpToolPlane
from enactor.gateway.mcp_rules import McpServer
from enactor.mcp.tool_server import GATEWAY
from enactor.settings import McpSettings, Settings, load
from enactor.stores.memory import MemoryStore
from enactor.wiring.mcp import detour_of, doors_of
from tests.gateway.hostile import Call, Hostile
from tests.gateway.rig import CREATE
from tests.gateway.rig import Rig as GatewayRig
from tests.gateway.servers import listen, serving
from tests.http.world import World, world_of
from tests.mcp.agent import facing

KEY = "k" * 32


class Seen:
    """The requests that came to a gateway: their bearer tokens, and what was asked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.twice = False

    @property
    def tokens(self) -> list[str]:
        """The tokens of `tools/call`, in order."""
        return [token for token, message in self.requests if message.get("method") == "tools/call"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Notes a request and passes it on; twice, and with the second answer, where a proxy would."""
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        headers = {name: value.decode() for name, value in scope["headers"]}
        asked = json.loads(body) if body else {}
        if scope["path"] == GATEWAY:
            self.requests.append((headers.get(b"authorization", "").removeprefix("Bearer "), asked))
        if self.twice and asked.get("method") == "tools/call":
            await self._app(dict(scope), _again(body), _drop)
        await self._app(scope, _again(body), send)


def _again(body: bytes) -> Receive:
    told = False

    async def receive() -> Message:
        nonlocal told
        if told:
            return {"type": "http.disconnect"}
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _drop(_: Message) -> None:
    return None


class Rig:
    """An Enactor whose target is called through the gateway of another one, which alone does anything."""

    def __init__(self, here: World, there: World, seen: Seen, gateway: str) -> None:
        self.gateway = gateway
        self.here = here
        self.there = there
        self.seen = seen

    @staticmethod
    def target(world: World) -> Target:
        """The target as one of the two has it."""
        return next(connector for connector in world.assembly.connectors if isinstance(connector, Target))

    async def status(self, kind: str, *acts: Act, item: str = "tea") -> dict[str, Any]:
        """What became of an approved order."""
        self.target(self.there).script(*acts)
        intent = await self.here.executed(f"TARGET_{kind.upper()}", item=item)
        answer = await self.here.ana.get(f"/v1/executions/{intent['action_intent_id']}")
        status: dict[str, Any] = answer.json()
        return status


def settings_of(key_file: Path, port: int, connector: str) -> Settings:
    """The connector is called through the gateway at the port."""
    mcp = McpSettings(
        agents=False,
        gateway=True,
        gateway_key="env:GATEWAY_KEY",
        gateway_url=f"http://127.0.0.1:{port}{GATEWAY}",
        behind_gateway=(connector,),
    )
    return Settings(mcp=mcp, dev_key_file=key_file)


@asynccontextmanager
async def rig_of(key_file: Path, there: Callable[[ManualClock], Target] = Target) -> AsyncIterator[Rig]:
    """Two Enactors over one store; `there` makes the other one's connector."""
    clock = ManualClock()
    store = MemoryStore(clock)
    listening = listen()
    settings = settings_of(key_file, listening.getsockname()[1], "target")
    detour = detour_of(settings, store, clock, SeededRandomness(7))
    async with (
        world_of(key_file, clock=clock, store=store, connectors=lambda c: [Target(c)], detour=detour) as here,
        world_of(key_file, clock=clock, store=store, connectors=lambda c: [there(c)]) as other,
    ):
        # Whoever came second has registered its own tools last; what is proposed here is pinned to what is here.
        await here.assembly.service.registry.ensure_defaults(here.assembly.tools.action_types())
        (door,) = doors_of(settings, other.assembly.direct, other.deps)
        other.app.router.routes.extend(door.routes())
        await door.start()
        seen = Seen(other.app)
        async with serving(seen, listening):
            yield Rig(here, other, seen, str(settings.mcp.gateway_url))
        await door.stop()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", KEY)


@pytest.fixture
async def rig(key_file: Path) -> AsyncIterator[Rig]:
    """The two."""
    async with rig_of(key_file) as made:
        yield made


async def test_each_call_goes_there_with_a_token_of_its_own(rig: Rig) -> None:
    """What is approved here is done there, once, under a fresh token that says which call it is good for."""
    for item in ("tea", "coffee"):
        status = await rig.status("keyed", item=item)
        assert status["status"] == "SUCCEEDED"
        assert status["external_object_refs"][0]["object_type"] == "order"
    assert (len(rig.target(rig.there).sent), rig.target(rig.here).sent) == (2, [])
    first, second = (
        jwt.decode(token, OctKey.import_key(KEY.encode()), algorithms=["HS256"]).claims for token in rig.seen.tokens
    )
    assert first["aud"] == "enactor-gateway"
    assert first["exp"] - first["iat"] == 60
    assert first["tool_name"] == "target.keyed"
    assert first["idempotency_key"] == rig.target(rig.there).sent[0].key
    assert first["jti"] != second["jti"]
    assert first["action_intent_id"] != second["action_intent_id"]


async def test_a_used_token_is_good_nowhere(rig: Rig) -> None:
    """Sent again, at the API or at `/mcp` it is refused; its permit is closed and it is spent."""
    await rig.status("keyed")
    (token,) = rig.seen.tokens
    (message,) = [asked for _, asked in rig.seen.requests if asked.get("method") == "tools/call"]
    async with facing(rig.here) as agents, httpx.AsyncClient() as http:
        headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-11-25",
        }
        plain = {**message, "params": {key: message["params"][key] for key in ("name", "arguments")}}
        again = await http.post(rig.gateway, json=plain, headers=headers)
        assert "not open" in again.json()["error"]["message"]
        for path in ("/v1/intents", "/mcp"):
            refused = await http.request("POST", f"{agents.base}{path}", json={}, headers=headers)
            assert refused.status_code == 401
    assert len(rig.target(rig.there).sent) == 1


async def test_what_became_of_a_call_comes_back_as_it_was(rig: Rig) -> None:
    """A refusal, a retry, an unknown and a partial effect with its compensation are what they are in one process."""
    refused = await rig.status("keyed", Act.REFUSE_FOR_GOOD, item="a")
    assert (refused["status"], refused["error_code"]) == ("FAILED", "NO_STOCK")
    unknown = await rig.status("unsafe", Act.LOSE_REQUEST, item="b")
    assert (unknown["status"], unknown["error_code"]) == ("IN_DOUBT", "TOOL_FAILED")
    partial = await rig.status("partial", Act.DO_PARTLY, item="c")
    assert (partial["status"], partial["compensation_status"]) == ("FAILED", "COMPLETED")
    assert rig.target(rig.there).taken_back == ["order-1"]


async def test_a_lost_reply_is_looked_up_there(rig: Rig) -> None:
    """Only there are the target's credentials: the look-up goes the same way, with a token for that alone."""
    status = await rig.status("searched", Act.DO_AND_LOSE_REPLY)
    assert status["status"] == "SUCCEEDED"
    call, look_up = (
        jwt.decode(token, OctKey.import_key(KEY.encode()), algorithms=["HS256"]).claims["use"]
        for token in rig.seen.tokens
    )
    assert (call, look_up) == ("CALL", "LOOK_UP")
    assert (len(rig.target(rig.there).sent), rig.target(rig.there).look_ups, rig.target(rig.here).look_ups) == (1, 1, 0)


async def test_a_copy_made_on_the_way_is_no_proof_of_nothing(rig: Rig) -> None:
    """A proxy sends the call twice and passes the second answer on: it was made once, and nobody denies it."""
    rig.seen.twice = True
    status = await rig.status("unsafe")
    assert len(rig.target(rig.there).sent) == 1
    assert status["status"] == "IN_DOUBT"


async def test_a_tool_that_is_another_there_is_not_called(key_file: Path) -> None:
    """The gateway's own version of the tool is not the one that was approved: refused, and nothing is sent."""

    class Newer(Target):
        """The same connector, a version later."""

        @tool(write=WriteMode.UNSAFE, summary="Order {item}, and pay for it")
        async def unsafe(self, args: Order, call: ToolCall) -> ToolResult:
            """Orders and pays."""
            return await super().unsafe(args, call)

    async with rig_of(key_file, Newer) as rig:
        status = await rig.status("unsafe")
        assert status["status"] == "FAILED"
        assert "not the approved one" in status["error_message"]
        assert rig.target(rig.there).sent == []


async def test_one_process_calls_its_own_gateway(key_file: Path) -> None:
    """The same server is both sides: what is approved is done once, through the door for tokens; then it goes away."""
    clock = ManualClock()
    store = MemoryStore(clock)
    listening = listen()
    settings = settings_of(key_file, listening.getsockname()[1], "bank")
    detour = detour_of(settings, store, clock, SeededRandomness(7))
    async with world_of(key_file, clock=clock, store=store, detour=detour) as world:
        (door,) = doors_of(settings, world.assembly.direct, world.deps)
        world.app.router.routes.extend(door.routes())
        await door.start()
        seen = Seen(world.app)
        async with serving(seen, listening):
            intent = await world.executed("BANK_TRANSFER", payment_id="p-1")
            status = (await world.ana.get(f"/v1/executions/{intent['action_intent_id']}")).json()
            assert (status["status"], len(seen.tokens)) == ("SUCCEEDED", 1)
        await door.stop()
        request = ToolPlaneConformance.request(tool_name="bank.transfer", argument_bytes='{"payment_id":"p-2"}')
        gone = await world.assembly.tools.call(request, timely)
        assert (gone.result, gone.error_code, gone.retryable) == (CallResult.NOT_SENT, "TOOL_UNREACHABLE", True)
        assert (await world.assembly.tools.look_up(request)).found is None


async def test_a_token_goes_no_further_than_the_gateway(key_file: Path, tmp_path: Path) -> None:
    """Behind the gateway is an MCP server of somebody else's: it is called once, and sees nothing of the token."""
    seen_there: list[str] = []

    async def behave(call: Call) -> None:
        seen_there.append(json.dumps([call.headers, call.message]))
        await call.result({"content": [], "structuredContent": {"ticket": {"id": "T-1"}}})

    rig = GatewayRig(tmp_path)
    store = MemoryStore(rig.clock)
    listening = listen()
    settings = settings_of(key_file, listening.getsockname()[1], "tickets")
    detour = detour_of(settings, store, rig.clock, SeededRandomness(7))
    async with Hostile(behave) as server:
        plane = McpToolPlane([rig.target(McpServer(name="tickets", url=server.url, rules=CREATE))], rig.clock)
        async with world_of(key_file, clock=rig.clock, store=store, detour=detour, mcp=plane) as world:
            (door,) = doors_of(settings, world.assembly.direct, world.deps)
            world.app.router.routes.extend(door.routes())
            await door.start()
            seen = Seen(world.app)
            async with serving(seen, listening):
                intent = await world.executed("TICKETS_CREATE", title="Printer")
            await door.stop()
            status = (await world.ana.get(f"/v1/executions/{intent['action_intent_id']}")).json()
    assert (status["status"], len(seen.tokens), len(seen_there)) == ("SUCCEEDED", 1, 1)
    parts = seen.tokens[0].split(".")
    assert not any(part in seen_there[0] for part in parts)
    assert "authorization" not in seen_there[0].lower()


def test_what_has_to_be_said(tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address and a key, or with a guessable key: an error at the start."""
    (tmp_path / "enactor.toml").write_text('[mcp]\nbehind_gateway = ["crm"]\n')
    with pytest.raises(ConfigurationError, match="behind_gateway needs gateway_url and gateway_key"):
        load({}, {}, tmp_path)
    told = McpSettings(
        behind_gateway=("crm",), gateway_url="https://g.example/gateway/mcp", gateway_key="env:GATEWAY_KEY"
    )
    clock = ManualClock()
    around = (MemoryStore(clock), clock, SeededRandomness())
    assert detour_of(Settings(), *around) is None
    detour = detour_of(Settings(mcp=told), *around)
    assert detour is not None
    assert detour.connectors == {"crm"}
    monkeypatch.setenv("GATEWAY_KEY", "short")
    with pytest.raises(ConfigurationError, match="32 bytes"):
        detour_of(Settings(mcp=told), *around)
