"""The command line against a real server over a real SQLite file."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.cli.support import run, start

POLICY = """@id("small-notes")
permit (principal, action == Enactor::Action::"auto_approve", resource)
when { resource.action_type == "CREATE_INTERNAL_NOTE" && context.arguments.title == "small" };
"""
CASES = """
[[cases]]
name = "a small note needs nobody"
expect = "permit"
question.action = "auto_approve"
question.action_type = "CREATE_INTERNAL_NOTE"
question.risk_class = "MINIMAL"
question.arguments.title = "small"
"""


class Server:
    """`enactor serve --dev` in a process of its own, on a free port."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "enactor.db"
        self.said = ""
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ENACTOR_")},
            "HOME": str(folder),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "enactor", "serve", "--dev", "--port", "0", "--log-level", "warning",
             "--store", f"sqlite:///{self.database}"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        announced = re.search(r"listens on (http://\S+),", self.process.stdout.readline())
        if announced is None:
            pytest.fail(self.process.communicate()[1])
        self.url = announced[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)

    def stop(self, how: int = signal.SIGTERM) -> tuple[int, str]:
        """Ends the process; its exit status and what it said on standard error."""
        if self.process.returncode is None:
            self.process.send_signal(how)
            self.said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, self.said


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of this module share; each takes an account or a tenant of its own."""
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running
        assert running.stop() == (0, "")


As = Callable[..., None]


@pytest.fixture
def act(server: Server, monkeypatch: pytest.MonkeyPatch) -> As:
    """Becomes somebody with those roles for the commands that follow."""
    monkeypatch.setenv("ENACTOR_URL", server.url)
    monkeypatch.setenv("HOME", server.environment["HOME"])

    def become(subject: str, *roles: str, tenant: str = "acme") -> None:
        arguments = ["--subject", subject, *(["--tenant", tenant] if tenant else [])]
        for role in roles:
            arguments += ["--role", role]
        made = run("dev", "token", *arguments, *(["--agent"] if roles == ("proposer",) else []))
        assert made.exit_code == 0, made.stderr
        monkeypatch.setenv("ENACTOR_TOKEN", made.stdout.strip())

    return become


def done(*arguments: str) -> Any:
    """Runs a command that has to succeed; its answer."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(code: str, *arguments: str) -> None:
    """Runs a command that has to be refused with a code, in one line."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stderr.endswith(f"[{code}]\n"), result.stderr
    assert result.stderr.count("\n") == 1


def proposed(account: str, title: str = "Call back") -> Any:
    """A proposed note."""
    return done("propose", "CREATE_INTERNAL_NOTE", "--account", account, "-p", f"title={title}")


def test_from_a_proposal_to_a_verified_ledger(act: As, tmp_path: Path) -> None:
    """Propose, find, approve, follow, read back, export, verify; one changed word in the bundle is found."""
    act("planner", "proposer")
    intent = proposed("path")
    act("ana", "approver", "auditor")
    listed = run("list", "--account", "path", "--status", "PENDING_APPROVAL")
    assert intent["action_intent_id"] in listed.stdout
    assert run("approve", intent["action_intent_id"], "--digest", intent["approval_digest"]).exit_code == 0
    watched = run("status", intent["action_intent_id"], "--watch")
    assert watched.exit_code == 0, watched.stderr
    assert "status: SUCCEEDED" in watched.stdout
    assert done("status", intent["action_intent_id"])["external_object_refs"][0]["object_type"] == "note"
    timeline = run("timeline", intent["action_intent_id"]).stdout
    assert [line.split("\t")[1] for line in timeline.splitlines()[1:]] == sorted(
        ["decision", "decision", "approval", "execution", "execution", "execution", "outcome"],
        key=["decision", "approval", "execution", "outcome"].index,
    )
    bundle = tmp_path / "ledger.jsonl"
    assert run("ledger", "export", "-o", str(bundle)).exit_code == 0
    assert done("ledger", "verify", str(bundle))["ok"] is True
    bundle.write_bytes(bundle.read_bytes().replace(b"Call back", b"Call Back", 1))
    broken = run("ledger", "verify", str(bundle))
    assert broken.exit_code == 1
    assert "acme/path" in broken.stderr


def test_watching_from_before_the_approval_sees_the_end(act: As, server: Server) -> None:
    """Whoever watches a proposal sees its decision and its outcome as they happen, in a process of its own."""
    act("planner", "proposer")
    intent = proposed("watch")
    command = [sys.executable, "-m", "enactor", "status", intent["action_intent_id"], "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        assert first["data"]["event_type"] == "INTENT_PROPOSED"
        act("ana", "approver")
        done("approve", intent["action_intent_id"], "--digest", intent["approval_digest"])
        rest, _ = watching.communicate(timeout=60)
    seen = [json.loads(line) for line in rest.splitlines()]
    assert seen[-2]["data"]["event_type"] == "ACTION_EXECUTED"
    assert seen[-1]["status"] == "SUCCEEDED"
    assert watching.returncode == 0


def test_who_may_not_is_refused(act: As) -> None:
    """One's own proposal, a stale digest, another tenant's intent, a role too few: each has its code."""
    act("bob", "proposer", "approver")
    intent = proposed("refused")
    identity, digest = intent["action_intent_id"], intent["approval_digest"]
    refused("SELF_DECISION_FORBIDDEN", "approve", identity, "--digest", digest)
    act("ana", "approver")
    refused("APPROVAL_STALE", "approve", identity, "--digest", "0" * 64)
    refused("FORBIDDEN", "ledger", "export", "-o", "x.jsonl")
    refused("INVALID_INPUT", "list", "--status", "LOST")
    refused("INVALID_PAGE_TOKEN", "list", "--next-token", "made-up")
    act("eve", "approver", tenant="umbrella")
    refused("INTENT_NOT_FOUND", "status", identity)
    act("planner", "proposer")
    refused("INVALID_PARAMETERS", "propose", "CREATE_INTERNAL_NOTE", "--account", "refused", "-p", "titel=x")
    refused("UNKNOWN_ACTION_TYPE", "propose", "LAUNCH", "--account", "refused")


def test_rejecting_and_cancelling_end_an_intent(act: As) -> None:
    """A rejected and a cancelled intent can neither be approved nor resolved."""
    act("planner", "proposer")
    first, second = proposed("ends"), proposed("ends")
    assert done("cancel", first["action_intent_id"], "--reason", "Changed my mind.")["status"] == "CANCELLED"
    act("ana", "approver", "operator")
    assert done("reject", second["action_intent_id"], "--reason", "No.")["status"] == "REJECTED"
    for intent in (first, second):
        identity = intent["action_intent_id"]
        refused("ILLEGAL_TRANSITION", "approve", identity, "--digest", intent["approval_digest"])
        refused("ILLEGAL_TRANSITION", "resolve", identity, "--executed", "--comment", "c")
        assert run("status", identity, "--watch").exit_code == 1


def test_a_kill_switch_blocks_and_a_replay_runs_again(act: As) -> None:
    """Set, refused, reported, listed, cleared; what was refused stays so until an administrator replays it."""
    act("planner", "proposer", tenant="stopped")
    identity, digest = (intent := proposed("switch"))["action_intent_id"], intent["approval_digest"]
    act("olga", "operator", "approver", "admin", tenant="stopped")
    assert run("kill-switch", "set", "tenant", "--reason", "Stop.").stdout.startswith("tenant is on: 0 executed")
    assert run("approve", identity, "--digest", digest).exit_code == 0
    watched = run("status", identity, "--watch")
    assert watched.exit_code == 1
    assert "KILL_SWITCH_ENABLED" in watched.stdout
    assert [one["action_intent_id"] for one in done("kill-switch", "report", "tenant")["blocked"]] == [identity]
    assert "tenant\ton\tStop." in run("kill-switch", "list").stdout
    assert done("kill-switch", "clear", "tenant", "--reason", "Over.")["enabled"] is False
    assert done("status", identity)["status"] == "CANCELLED"
    assert run("replay", identity, "--reason", "The switch is off.").stdout == "Run 2 started.\n"
    assert "run: 2" in run("status", identity, "--watch").stdout


def test_policies_are_tried_set_and_in_force(act: As, tmp_path: Path) -> None:
    """The same case fails before the policy is set and passes after; then the server approves by it."""
    (tmp_path / "policy.cedar").write_text(POLICY)
    (tmp_path / "cases.toml").write_text(CASES)
    act("ada", "admin", tenant="lenient")
    assert run("policy", "test", "cases.toml").exit_code == 1
    assert run("policy", "test", "cases.toml", "--policies", "policy.cedar").exit_code == 0
    assert done("policy", "set", "policy.cedar")["version"] == 1
    assert run("policy", "test", "cases.toml").exit_code == 0
    assert "small-notes" in run("policy", "show").stdout
    (tmp_path / "question.toml").write_text(
        'action = "auto_approve"\naction_type = "CREATE_INTERNAL_NOTE"\nrisk_class = "LOW"\narguments.title = "large"\n'
    )
    assert run("policy", "explain", "question.toml").stdout.startswith("answer: forbid\n")
    (tmp_path / "broken.cedar").write_text("permit (")
    refused("INVALID_POLICY", "policy", "set", "broken.cedar")
    act("planner", "proposer", tenant="lenient")
    assert proposed("a", "small")["status"] == "APPROVED"
    assert proposed("a", "large")["status"] == "PENDING_APPROVAL"


def test_budgets_and_action_types(act: As, tmp_path: Path) -> None:
    """A budget is set and shown; a platform administrator registers a stricter version, and it is the latest."""
    act("ada", "admin", tenant="thrifty")
    assert done("budget", "set", "*", "--max", "3", "--window", "1h")["max_executions"] == 3
    assert "*\t0\t3\t3600" in run("budget", "list").stdout
    act("pat", "platform_admin", tenant="")
    latest = done("action-type", "show", "CREATE_INTERNAL_TASK")
    (tmp_path / "entry.toml").write_text(
        'action_type = "CREATE_INTERNAL_TASK"\ntool_name = "internal.create_task"\nrisk_class = "HIGH"\n'
    )
    assert done("action-type", "register", "entry.toml")["in_force"] is True
    assert "CREATE_INTERNAL_TASK\t2\tHIGH" in run("action-type", "list").stdout
    assert done("action-type", "show", "CREATE_INTERNAL_TASK", "--version", "1") == latest
    (tmp_path / "entry.toml").write_text(
        'action_type = "CREATE_INTERNAL_TASK"\ntool_name = "internal.create_task"\nrisk_class = "MINIMAL"\n'
    )
    assert "second platform administrator" in run("action-type", "register", "entry.toml").stdout
    shown = run("action-type", "show", "CREATE_INTERNAL_TASK", "--json").stdout
    Path("entry.json").write_text(shown.replace('"risk_class": "MINIMAL"', '"risk_class": "HIGH"'))
    assert done("action-type", "register", "entry.json")["entry"]["risk_class"] == "HIGH"
    refused("NOT_FOUND", "action-type", "show", "CREATE_INTERNAL_TASK", "--version", "9")


def test_a_login_is_tried_at_the_server(act: As, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A token of the server's is kept and used; one that it does not know is refused."""
    act("ana", "approver")
    token = os.environ["ENACTOR_TOKEN"]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("ENACTOR_TOKEN")
    refused("UNAUTHENTICATED", "list")
    forged = run("login", given=f"{token[:-8]}AAAAAAAA")
    assert forged.exit_code == 1
    assert forged.stderr.endswith("[UNAUTHENTICATED]\n")
    assert run("login", given=token).exit_code == 0
    monkeypatch.delenv("ENACTOR_URL")
    assert run("list").exit_code == 0


def test_a_running_server_keeps_its_database(act: As, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor sees it running; its file can be verified meanwhile, and migrating it is refused in one line."""
    monkeypatch.setenv("ENACTOR_STORE", f"sqlite:///{server.database}")
    monkeypatch.setenv("ENACTOR_PORT", server.url.rpartition(":")[2])
    act("ana", "approver")
    checked = run("doctor", "--dev")
    assert checked.exit_code == 0, checked.output
    assert f"running and ready at {server.url}" in checked.stdout
    verified = run("ledger", "verify", "--json")
    assert verified.exit_code == 0, verified.stderr
    assert json.loads(verified.stdout)["ok"] is True
    refused("STORE_FAILED", "migrate")


def test_a_stopped_servers_database_is_checked(tmp_path: Path) -> None:
    """After SIGTERM, exit status 0, and the store itself verifies; doctor and migrate open it."""
    with Server(tmp_path) as server:
        assert server.stop() == (0, "")
    url = f"sqlite:///{server.database}"
    verified = run("ledger", "verify", "--store", url)
    assert verified.exit_code == 0, verified.stderr
    assert "Self-consistent only" in verified.stdout
    assert done("migrate", "--store", url)["schema_version"] >= 1
    assert f"{server.database} is at schema version" in run("migrate", "--store", url).stdout


def test_a_full_disk_stops_the_server_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a commit cannot be made durable: exit status 1, one line, and what was acknowledged is there afterwards."""
    with Server(tmp_path) as server:
        monkeypatch.setenv("ENACTOR_URL", server.url)
        token = run("dev", "token", "--subject", "p", "--role", "proposer", "--tenant", "acme")
        monkeypatch.setenv("ENACTOR_TOKEN", token.stdout.strip())
        kept = [proposed("a", f"kept {number}")["action_intent_id"] for number in range(3)]
        # From here on no file of the server's grows: the kernel's answer to a write is an error, as on a full disk.
        log = server.database.with_name("enactor.db-wal")
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (log.stat().st_size,) * 2)
        assert run("propose", "CREATE_INTERNAL_NOTE", "--account", "a", "-p", "title=lost").exit_code == 1
        _, said = server.process.communicate(timeout=60)
        assert server.process.returncode == 1
        assert said.count("\n") == 1
        assert said.startswith("enactor: The database ")
    with Server(tmp_path) as again:
        monkeypatch.setenv("ENACTOR_URL", again.url)
        assert {one["action_intent_id"] for one in done("list")["items"]} == set(kept)
        assert again.stop() == (0, "")


@pytest.mark.parametrize("store", ["sqlite:////proc/enactor.db", "sqlite:///broken.db", "sqlite:///foreign.db"])
def test_a_database_that_cannot_be_used_is_one_line(store: str) -> None:
    """One that cannot be written, a damaged one and another program's: exit status 1 and what to do."""
    Path("broken.db").write_bytes(b"this is no database, however long it is" * 100)
    make = "import sqlite3; sqlite3.connect('foreign.db').execute('create table t (a)')"
    subprocess.run([sys.executable, "-c", make], check=True)
    for command in (("serve", "--dev", "--port", "0"), ("migrate",)):
        result = start(*command, "--store", store)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("enactor: The database ")
        assert result.stderr.count("\n") == 1
