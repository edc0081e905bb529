"""The protocol's own conformance suite against both servers, and against the client of the tool plane.

What it covers otherwise needs tools of its own names, or what these servers do not offer; docs/mcp.md lists each
scenario that is left out, with the reason.
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from enactor.gateway.execution_tokens import ExecutionTokens
from enactor.mcp.agents import AgentServer
from enactor.mcp.door import AGENTS, Door, DoorSettings, admitting
from enactor.mcp.tool_server import GATEWAY, ToolServer
from tests.gateway.rig import request
from tests.gateway.servers import serving
from tests.http.world import World, world_of
from tests.npm import binary

SERVER_SCENARIOS = ["server-initialize", "ping", "tools-list", "dns-rebinding-protection"]
CLIENT_SCENARIOS = ["initialize", "tools_call", "sse-retry"]


def with_token(app: ASGIApp, path: str, token: str) -> ASGIApp:
    """The application at one path, for a suite that sends no token."""

    async def forwarding(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*scope.get("headers", []), (b"authorization", f"Bearer {token}".encode())]
        await app({**scope, "headers": headers, "path": path, "raw_path": path.encode()}, receive, send)

    return forwarding


@pytest.fixture
async def servers(key_file: Path) -> AsyncIterator[dict[str, str]]:
    """The URLs of both servers, which need no token here."""
    async with world_of(key_file) as world:
        doors = {AGENTS: agents(world), GATEWAY: tools(world)}
        for door, _ in doors.values():
            world.app.router.routes.extend(door.routes())
            await door.start()
        tokens = {path: token for path, (_, token) in doors.items()}
        async with (
            serving(with_token(world.app, AGENTS, tokens[AGENTS])) as agents_port,
            serving(with_token(world.app, GATEWAY, tokens[GATEWAY])) as tools_port,
        ):
            yield {AGENTS: f"http://127.0.0.1:{agents_port}/mcp", GATEWAY: f"http://127.0.0.1:{tools_port}/mcp"}
        for door, _ in doors.values():
            await door.stop()


def agents(world: World) -> tuple[Door, str]:
    """`/mcp`, and a token for it."""
    server = AgentServer(world.assembly.service, world.store, world.clock, "0").server
    admit = admitting(world.deps.authenticator, development=True)
    return Door(server, AGENTS, admit, DoorSettings()), world.token("planner", "proposer", agent=True)


def tools(world: World) -> tuple[Door, str]:
    """`/gateway/mcp`, and a token for it."""
    tokens = ExecutionTokens(b"k" * 32, world.store, world.clock, world.assembly.randomness)
    server = ToolServer(world.assembly.direct, tokens, world.clock, "0")
    return Door(server.server, GATEWAY, server.admit, DoorSettings(), metadata=False), tokens.mint(request())


async def suite(*arguments: str) -> tuple[int, str]:
    """The exit status and the output of the conformance suite."""
    process = await asyncio.create_subprocess_exec(
        binary("conformance"), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.parametrize("path", [AGENTS, GATEWAY])
async def test_servers_pass(servers: dict[str, str], path: str, tmp_path: Path) -> None:
    """Every scenario about what the servers offer passes for each of them."""
    for scenario in SERVER_SCENARIOS:
        status, output = await suite(
            "server", "--url", servers[path], "--scenario", scenario, "--output-dir", str(tmp_path)
        )
        assert status == 0, output
        assert re.search(r"Passed: (\d+)/\1, 0 failed, 0 warnings", output), output


@pytest.mark.parametrize("scenario", CLIENT_SCENARIOS)
async def test_client_passes(scenario: str, tmp_path: Path) -> None:
    """The client behind the tool plane passes the scenarios about connecting and calling."""
    script = tmp_path / "client.py"
    script.write_text(
        "import asyncio, json, sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from enactor.gateway.mcp_rules import McpServer\n"
        "from tests.gateway.rig import Rig, request\n"
        "async def main(url):\n"
        f"    plane = await Rig(Path({str(tmp_path)!r})).plane(McpServer(name='suite', url=url))\n"
        "    for name in plane.definitions():\n"
        "        reply = await plane.call(request(name, a=2, b=3), lambda: True)\n"
        "        assert reply.result == 'DONE', reply\n"
        "    await plane.close()\n"
        "asyncio.run(main(sys.argv[1]))\n"
    )
    status, output = await suite(
        "client", "--command", f"{sys.executable} {script}", "--scenario", scenario, "--output-dir", str(tmp_path)
    )
    assert status == 0, output


async def test_every_scenario_is_run_or_explained() -> None:
    """A scenario that the suite has and that runs nowhere here is named in docs/mcp.md, with the reason."""
    status, output = await suite("list")
    assert status == 0, output
    scenarios = re.findall(r"^  - (\S+)$", output, re.MULTILINE)
    page = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text().partition("## Conformance")[2]
    # `tools-call-simple-text`, `-image` in one row share what comes before.
    named = re.findall(r"`([^`]+)`", page)
    patterns = [f"tools-call{name}" if name.startswith("-") else name for name in named]
    left_out = {name for name in scenarios if name not in (*SERVER_SCENARIOS, *CLIENT_SCENARIOS)}
    assert len(scenarios) > 40
    assert {name for name in left_out if not any(fnmatch(name, pattern) for pattern in patterns)} == set()
    assert not {name for name in (*SERVER_SCENARIOS, *CLIENT_SCENARIOS) if name not in scenarios}
