"""The agents' examples as a reader runs them: processes of their own against a real server."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from enactor.demo.stage import Caller, Server

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`enactor serve --dev`."""
    made = Server(tmp_path_factory.mktemp("examples"))
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize("example", ["langgraph_agent.py", "openai_agents.py"])
def test_an_agent_proposes_and_nothing_is_executed_before_the_approval(server: Server, example: str) -> None:
    """The agent is told that nothing was executed, and nothing was; after a person's approval it is, exactly once."""
    agent = f"planner-{example}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ENACTOR_", "COVERAGE_"))},
        "ENACTOR_URL": server.url,
        "ENACTOR_TOKEN": server.token(agent, "proposer", agent=True),
    }
    ended = subprocess.run(
        [sys.executable, str(EXAMPLES / example)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert ended.returncode == 0, ended.stderr
    proposed, asked, answer = ended.stdout.strip().splitlines()
    assert proposed.startswith("propose_create_internal_note: NOT EXECUTED")
    assert asked.startswith("get_execution_status: NOT EXECUTED. It waits for a decision")
    assert answer.startswith("agent: I proposed it. NOT EXECUTED")
    (intent_id,) = set(re.findall(r"ai_[0-9a-f-]+", proposed))
    ana = Caller(server, "ana", server.token("ana", "approver"))
    notes = ana.ask("GET", "/v1/objects?type=note", 200)["items"]
    intent = ana.ask("GET", f"/v1/intents/{intent_id}", 200)
    assert intent["status"] == "PENDING_APPROVAL"
    assert intent["proposed_by"].endswith(agent)
    ana.ask("POST", f"/v1/intents/{intent_id}/approve", 202, json={"approval_digest": intent["approval_digest"]})
    with ana.client.stream("GET", f"/v1/executions/{intent_id}/events") as events:
        assert any("ACTION_EXECUTED" in line for line in events.iter_lines())
    assert len(ana.ask("GET", "/v1/objects?type=note", 200)["items"]) == len(notes) + 1


PAGE = EXAMPLES.parent / "docs" / "agents.md"
CONFIGURED = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", CONFIGURED, ids=["claude", "cursor"])
async def test_what_clients_are_configured_with_connects(server: Server, block: str) -> None:
    """A client that does what its file in docs/agents.md says finds the tools that propose."""
    told = json.loads(block)["mcpServers"]["enactor"]
    token = server.token("planner", "proposer", agent=True)
    headers = {name: re.sub(r"\$\{(env:)?ENACTOR_TOKEN\}", token, value) for name, value in told["headers"].items()}
    url = told["url"].replace("http://127.0.0.1:8420", server.url)
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        assert "propose_create_internal_note" in [tool.name for tool in (await client.list_tools()).tools]
