"""Starting servers, and all the ways in which one cannot start."""

import json
import socket
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

import enactor.demo
from tests.cli.support import run, start


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Nobody could log in"),
        (("--dev", "--host", "192.0.2.1"), "dev works on loopback only"),
        (("--dev", "--store", "mysql://h/d"), "unknown store scheme 'mysql'"),
        (("--dev", "--store", "dynamodb://eu-west-1"), "enactor: DynamoDB "),
        (("--dev", "--engine", "restate", "--store", "memory://"), "This version has no restate engine"),
        (("--dev", "--engine", "temporal"), "engine (flag --engine)"),
        (("--dev", "--workers", "2"), "sqlite takes one process"),
        (("--dev", "--workers", "2", "--store", "dynamodb://eu-west-1"), "This version serves with one process"),
        (("--dev", "--log-level", "chatty"), "log_level (flag --log-level)"),
    ],
)
def test_a_server_that_cannot_be_says_why(arguments: tuple[str, ...], said: str) -> None:
    """One line, exit status 1, and nothing was made."""
    result = run("serve", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(Path().glob("enactor.db*")) == []


def test_a_port_that_is_in_use_is_one_line() -> None:
    """The port is named, and what to do; the database is not touched."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = start("serve", "--dev", "--port", str(port))
    assert result.returncode == 1
    assert result.stderr == f"enactor: Port {port} is in use; stop what listens there or choose --port.\n"
    assert list(Path().glob("enactor.db*")) == []


def test_a_worker_of_the_local_engine_has_nothing_to_do() -> None:
    """It says so in one line."""
    result = run("worker")
    assert result.exit_code == 1
    assert result.stderr == "enactor: The local engine executes within `enactor serve` and has no workers of its own.\n"


@pytest.mark.parametrize("status", [0, 1])
def test_the_demonstrations_status_is_the_commands(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Whether everything held is the exit status; its folder is passed on."""
    seen: list[Path] = []

    def played(folder: Path) -> int:
        seen.append(folder)
        return status

    monkeypatch.setattr(enactor.demo, "run", played)
    assert run("demo", "--folder", "stage").exit_code == status
    assert seen == [Path("stage")]


def claims(token: str) -> dict[str, object]:
    """What a token says, its signature verified with the development key."""
    key = ECKey.import_key(json.loads((Path.home() / ".local/state/enactor/dev-issuer.json").read_text()))
    return dict(jwt.decode(token, key, algorithms=["ES256"]).claims)


def test_a_development_token_says_what_was_asked() -> None:
    """Tenant, roles, accounts, subject and lifetime; a person by default, a program with --agent."""
    printed = run("dev", "token", "--tenant", "acme", "--role", "approver", "--role", "operator", "--subject", "ana",
                  "--account", "a", "--account", "b", "--lifetime", "15m")  # fmt: skip
    assert printed.exit_code == 0, printed.stderr
    said = claims(printed.stdout.strip())
    assert (said["tenant_id"], said["roles"], said["sub"]) == ("acme", ["approver", "operator"], "ana")
    assert said["account_ids"] == ["a", "b"]
    assert int(str(said["exp"])) - int(str(said["iat"])) == 900
    assert "amr" in said
    body = json.loads(
        run("dev", "token", "--tenant", "t", "--role", "proposer", "--subject", "p", "--agent", "--json").stdout
    )
    assert body["expires_in_seconds"] == 8 * 3600
    agent = claims(body["token"])
    assert agent["account_ids"] == ["*"]
    assert "amr" not in agent


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tenant", "acme", "--role", "boss"),
        ("--role", "approver"),
        ("--tenant", "acme", "--role", "platform_admin"),
        ("--tenant", "_x", "--role", "approver"),
        ("--tenant", "acme", "--role", "approver", "--lifetime", "never"),
        ("--tenant", "acme", "--role", "approver", "--lifetime", "9999d"),
    ],
)
def test_a_token_that_cannot_be_is_bad_usage(arguments: tuple[str, ...]) -> None:
    """Unknown roles, roles without their tenant and endless lifetimes are refused with status 2."""
    result = run("dev", "token", "--subject", "ana", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_development_key_that_others_can_read_is_refused() -> None:
    """Whoever can read it can be anybody; one line says what to do."""
    run("dev", "token", "--tenant", "acme", "--role", "approver", "--subject", "ana")
    (Path.home() / ".local/state/enactor/dev-issuer.json").chmod(0o644)
    result = run("dev", "token", "--tenant", "acme", "--role", "approver", "--subject", "ana")
    assert result.exit_code == 1
    assert "chmod 600" in result.stderr
