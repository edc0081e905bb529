"""Help, versions, bad usage, and how little is loaded to get there."""

import subprocess
import sys

import pytest

import enactor
from tests.cli.support import run, start

CLIENTS = [
    "login",
    "logout",
    "propose",
    "approve",
    "reject",
    "cancel",
    "status",
    "timeline",
    "list",
    "resolve",
    "replay",
    "undo",
]
SERVERS = ["serve", "worker", "migrate", "doctor", "demo"]
GROUPS = {
    "kill-switch": ["set", "clear", "list", "report"],
    "action-type": ["list", "show", "register"],
    "policy": ["show", "set", "test", "explain"],
    "budget": ["list", "set"],
    "ledger": ["export", "verify"],
    "dev": ["token"],
}
COMMANDS = [(name,) for name in (*CLIENTS, *SERVERS)] + [(group, name) for group in GROUPS for name in GROUPS[group]]
READING = [
    ("status",), ("timeline",), ("list",), ("kill-switch", "list"), ("kill-switch", "report"), ("action-type", "list"),
    ("action-type", "show"), ("policy", "show"), ("policy", "test"), ("policy", "explain"), ("budget", "list"),
    ("ledger", "verify"), ("doctor",),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    """Each says what it does, in plain text."""
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: enactor {' '.join(command)} ")
    assert "\x1b" not in result.stdout
    assert "│" not in result.stdout


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_every_reading_command_speaks_json(command: tuple[str, ...]) -> None:
    """--json is there wherever something is read."""
    assert "--json" in run(*command, "--help").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("approv",),
        ("list", "--acount", "x"),
        ("approve",),
        ("propose", "T"),
        ("serve", "--port", "70000"),
        ("serve", "--port", "http"),
        ("policy", "set", "f", "--mode", "ponder"),
        ("kill-switch", "flip"),
        ("dev", "token", "--role", "approver"),
    ],
)
def test_bad_usage_exits_2_and_says_how_it_is_used(arguments: tuple[str, ...]) -> None:
    """Unknown commands and options, missing and wrong values: a usage line on standard error, nothing else."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: enactor")
    assert "Error: " in result.stderr


@pytest.mark.parametrize("arguments", [(), ("ledger",), ("dev",)])
def test_no_command_is_answered_with_help(arguments: tuple[str, ...]) -> None:
    """Who names no command sees which there are; it is bad usage all the same."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Commands:" in result.output


def test_the_version_is_the_packages() -> None:
    """--version prints it and exits 0, through the installed entry point and through -m."""
    installed = start("--version")
    assert (installed.returncode, installed.stdout) == (0, f"enactor {enactor.__version__}\n")
    assert run("--version").stdout == installed.stdout


def test_client_commands_start_without_the_server() -> None:
    """Showing help loads no web framework, HTTP client, database, policy engine or drawing library."""
    servers = ["fastapi", "starlette", "uvicorn", "asyncio", "sqlite3", "cedarpy", "joserfc", "cryptography"]
    heavy = [*servers, "httpx", "pydantic", "rich"]
    program = (
        "import sys; before = set(sys.modules); from enactor.cli.app import application; application(); "
        f"print(*sorted(set({heavy!r}) & (sys.modules.keys() - before)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "\n"
