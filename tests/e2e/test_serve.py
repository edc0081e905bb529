"""A server process: how it starts, refuses to start, drains and stops."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from enactor.demo.stage import Caller, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A started server over an empty folder."""
    made = Server(tmp_path)
    made.start()
    yield made
    made.close()


def serve(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `enactor serve` to its end, which has to come by itself."""
    command = [sys.executable, "-m", "enactor", "serve", "--dev", *arguments]
    return subprocess.run(
        command, env=server.environment, capture_output=True, text=True, check=False, timeout=60, cwd=server.folder
    )


def one_line(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line a failed start says, and nothing else: no traceback."""
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1, ended.stderr
    return lines[0]


def test_sigterm_drains_and_exits_0(server: Server) -> None:
    """An operator's stop loses nothing and is not a failure, even while somebody follows events."""
    approver = Caller(server, "ana", server.token("ana", "approver"))
    with approver.client.stream("GET", "/v1/events") as response:
        assert response.status_code == 200
        assert server.stop() == 0, server.last_words()


def test_what_was_acknowledged_survives_a_stop(server: Server) -> None:
    """An intent that was proposed before a stop is there after the next start."""
    planner = Caller(server, "planner", server.token("planner", "proposer", agent=True))
    body = {"action_type": "CREATE_INTERNAL_NOTE", "account_id": "a", "parameters": {"title": "kept"}}
    made = planner.ask("POST", "/v1/intents", 201, json=body)
    assert server.stop() == 0
    server.start()
    assert planner.ask("GET", f"/v1/intents/{made['action_intent_id']}", 200)["status"] == "PENDING_APPROVAL"


def test_a_second_process_on_the_same_file_is_refused(server: Server) -> None:
    """Two servers on one SQLite file would be two writers; the second says so in one line and exits 1."""
    said = one_line(serve(server, "--port", "0", "--store", f"sqlite:///{server.database}"))
    assert "in use" in said or "another process" in said


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    """The message names the port and what to do, and no database is left behind locked."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = serve(Server(tmp_path), "--port", str(port), "--store", f"sqlite:///{tmp_path / 'x.db'}")
    assert str(port) in one_line(ended)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A wrong path must not cost somebody a file."""
    path = tmp_path / "letter.db"
    path.write_bytes(b"Dear Ana, " * 500)
    one_line(serve(Server(tmp_path), "--port", "0", "--store", f"sqlite:///{path}"))
    assert path.read_bytes() == b"Dear Ana, " * 500


def test_development_tokens_need_loopback(tmp_path: Path) -> None:
    """`--dev` on an address that others can reach is refused before anything listens."""
    ended = serve(Server(tmp_path), "--host", "0.0.0.0", "--port", "0")  # noqa: S104 - it must be refused
    assert ended.returncode != 0
    assert "loopback" in ended.stderr


def test_health_and_documentation_need_no_token(server: Server) -> None:
    """Probes and readers come without a token; everything else is refused without one."""
    with httpx.Client(base_url=server.url) as client:
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
            assert client.get(path).status_code == 200, path
        assert client.get("/v1/intents").status_code == 401


@pytest.mark.parametrize("signal_name", ["stop", "kill"])
def test_the_next_start_recovers_what_was_unfinished(server: Server, signal_name: str) -> None:
    """However the process ended, what was approved is executed once by the next one."""
    planner = Caller(server, "planner", server.token("planner", "proposer", agent=True))
    ana = Caller(server, "ana", server.token("ana", "approver"))
    body = {"action_type": "CREATE_INTERNAL_TASK", "account_id": "a", "parameters": {"title": "once"}}
    made = planner.ask("POST", "/v1/intents", 201, json=body)
    ana.ask(
        "POST",
        f"/v1/intents/{made['action_intent_id']}/approve",
        202,
        json={"approval_digest": made["approval_digest"]},
    )
    getattr(server, signal_name)()
    server.start()
    for event in ana.events(f"/v1/executions/{made['action_intent_id']}/events"):
        if event["data"]["event_type"] == "ACTION_EXECUTED":
            break
    tasks = ana.ask("GET", "/v1/objects", 200, params={"type": "task"})["items"]
    assert [task["body"]["title"] for task in tasks] == ["once"]


def test_restored_mode_asks_before_it_repeats(server: Server) -> None:
    """After a restore, what was waiting may have been executed since: the ledger says so before anything runs."""
    planner = Caller(server, "planner", server.token("planner", "proposer", agent=True))
    auditor = Caller(server, "audrey", server.token("audrey", "auditor"))
    body = {"action_type": "CREATE_INTERNAL_NOTE", "account_id": "a", "parameters": {"title": "restored"}}
    made = planner.ask("POST", "/v1/intents", 201, json=body)
    assert server.stop() == 0
    server.start("--restored")
    where = {"action_intent_id": made["action_intent_id"], "event_type": "LEASE_TAKEN_OVER"}
    entries = auditor.ask("GET", "/v1/ledger", 200, params=where)["items"]
    assert len(entries) == 1
