import json
from pathlib import Path

import pytest

from enactor.settings import load
from tests.cli.support import run


def test_wrap_puts_a_server_into_the_settings(tickets: str, tmp_path: Path) -> None:
    """The tools are listed as UNSAFE and HIGH, and the settings file gains the server and keeps what it had."""
    (tmp_path / "enactor.toml").write_text("port = 9000")
    result = run("mcp", "wrap", tickets, "--name", "helpdesk", "--header", "X-Key=env:HELPDESK_KEY", "--json")
    assert result.exit_code == 1
    assert "HELPDESK_KEY is not set" in result.output
    result = run("mcp", "wrap", tickets, "--name", "helpdesk", "--only", "create", "--only", "close", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.output)
    assert [(tool["tool"], tool["action_type"], tool["risk"], tool["write"]) for tool in answer["tools"]] == [
        ("helpdesk.create", "HELPDESK_CREATE", "HIGH", "UNSAFE"),
        ("helpdesk.close", "HELPDESK_CLOSE", "HIGH", "UNSAFE"),
    ]
    settings = load({}, {}, tmp_path).settings
    assert settings.port == 9000
    assert [(server.name, server.url, server.only) for server in settings.mcp_servers] == [
        ("helpdesk", tickets, ("create", "close"))
    ]
    again = run("mcp", "wrap", tickets, "--name", "helpdesk")
    assert again.exit_code == 1
    assert "already" in again.output
    second = run("mcp", "wrap", tickets, "--risk", "MEDIUM")
    assert second.exit_code == 0, second.output
    assert "HIGH" not in second.output
    assert [server.name for server in load({}, {}, tmp_path).settings.mcp_servers] == ["helpdesk", "mcp"]


def test_wrap_dry_run_writes_nothing(tickets: str, tmp_path: Path) -> None:
    """What would be written is printed."""
    result = run("mcp", "wrap", tickets, "--dry-run")
    assert result.exit_code == 0
    assert "[[mcp_servers]]" in result.output
    assert not (tmp_path / "enactor.toml").exists()


def test_wrap_that_cannot_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither or both of URL and command, a plain http URL elsewhere, a risk that is none: wrong usage."""
    monkeypatch.chdir(tmp_path)
    for arguments in (
        (),
        ("https://a.example/mcp", "--command", "x"),
        ("http://a.example/mcp",),
        ("https://a.example/mcp", "--risk", "NONE"),
        ("https://a.example/mcp", "--header", "X"),
        ("https://a.example/mcp", "--header", "X=plain-secret"),
        ("https://a.example/mcp", "--name", "No Name"),
    ):
        result = run("mcp", "wrap", *arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert "plain-secret" not in result.output
    assert not (tmp_path / "enactor.toml").exists()


def test_wrap_of_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer, or a command that cannot be run, is one line and status 1."""
    monkeypatch.chdir(tmp_path)
    result = run("mcp", "wrap", "http://127.0.0.1:9/mcp")
    assert result.exit_code == 1
    assert "cannot be used" in result.output
    result = run("mcp", "wrap", "--command", "/nowhere/server-x --flag")
    assert result.exit_code == 1
    assert "cannot be run" in result.output
