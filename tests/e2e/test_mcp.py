"""An MCP server of somebody else's, wrapped and governed: proposed through `/mcp`, approved by people, called once."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from enactor.demo.stage import Caller, Server
from tests.npm import binary


class Wrapped(Server):
    """A server whose settings are in its folder."""

    @property
    def environment(self) -> dict[str, str]:
        """As any server's, with its own settings file."""
        return {**super().environment, "ENACTOR_CONFIG": str(self.folder / "enactor.toml")}

    def enactor(self, *arguments: str) -> str:
        """What a command of `enactor` printed."""
        command = [sys.executable, "-m", "enactor", *arguments]
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=90)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Wrapped]:
    """A server that governs `server-filesystem` for one directory."""
    (tmp_path / "files").mkdir()
    (tmp_path / "enactor.toml").write_text(f"[mcp]\nartifacts = {json.dumps(str(tmp_path / 'artifacts'))}\n")
    made = Wrapped(tmp_path)
    command = f"{binary('mcp-server-filesystem')} {tmp_path / 'files'}"
    made.enactor("mcp", "wrap", "--command", command, "--name", "files", "--only", "write_file", "--risk", "MEDIUM")
    made.start()
    yield made
    made.close()


async def test_wrapped_server_is_proposed_approved_and_called_once(server: Wrapped, tmp_path: Path) -> None:
    """No file is written before the approval; after it exactly the approved one is, and the agent can see that."""
    path = tmp_path / "files" / "note.txt"
    token = server.token("planner", "proposer", agent=True)
    ana = Caller(server, "ana", server.token("ana", "approver"))
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http,
        Client(streamable_http_client(f"{server.url}/mcp", http_client=http), cache=None) as agent,
    ):
        names = [tool.name for tool in (await agent.list_tools()).tools]
        assert "propose_files_write_file" in names
        parameters = {"path": str(path), "content": "approved"}
        proposal = {"account_id": "north", "parameters": parameters}
        made = await agent.call_tool("propose_files_write_file", proposal)
        again = await agent.call_tool("propose_files_write_file", proposal)
        assert again.structured_content["action_intent_id"] == made.structured_content["action_intent_id"]
        assert not path.exists()
        intent = made.structured_content["action_intent_id"]
        shown = ana.ask("GET", f"/v1/intents/{intent}", 200)
        assert shown["risk_class"] == "MEDIUM"
        assert json.loads(shown["tool_call"]["argument_bytes"]) == parameters
        digest = {"approval_digest": made.structured_content["approval_digest"]}
        ana.ask("POST", f"/v1/intents/{intent}/approve", 202, json=digest)
        with ana.client.stream("GET", f"/v1/executions/{intent}/events") as events:
            assert any("ACTION_EXECUTED" in line for line in events.iter_lines())
        told: Any = await agent.call_tool("get_execution_status", {"action_intent_id": intent})
    assert told.structured_content["status"] == "SUCCEEDED"
    assert path.read_text() == "approved"


def test_gateway_is_off_unless_told(server: Wrapped) -> None:
    """`/gateway/mcp` is not there by default."""
    anybody = server.client(server.token("planner", "proposer"))
    assert anybody.post("/gateway/mcp", json={}).status_code == 404
    assert anybody.post("/mcp", json={}).status_code != 404
