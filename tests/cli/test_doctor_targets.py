"""`enactor doctor` looks at what actions would be done to: connectors' targets, and MCP servers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from enactor.conformance.radicale import Radicale
from tests.cli.support import run, unanswered
from tests.connectors.openapi.orders import Orders
from tests.connectors.openapi.rig import TOOL, api


def examined(toml: str, document: Any = None) -> list[tuple[str, str, str]]:
    """What is found of connectors and MCP servers under settings: state, text and advice."""
    Path("enactor.toml").write_text(toml)
    if document is not None:
        Path("orders.json").write_text(json.dumps(document))
    result = run("doctor", "--dev", "--store", "memory://", "--json")
    findings = json.loads(result.stdout)["findings"]
    wanted = [one for one in findings if one["area"] in ("connector", "mcp server")]
    assert all(one["advice"] for one in wanted if one["state"] == "problem")
    assert result.exit_code == (1 if any(one["state"] == "problem" for one in findings) else 0)
    return [(one["state"], one["text"], one["advice"]) for one in wanted]


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings' port is some free one."""
    monkeypatch.setenv("ENACTOR_PORT", "0")


def test_calendars(radicale: Radicale, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real calendar is found good with its password, and bad without; the password is nowhere in what is said."""
    url = asyncio.run(radicale.make_calendar("doctor"))
    toml = f"""
        connectors = ["internal", "caldav"]
        [[connector_settings.caldav.calendars]]
        tenant = "acme"
        accounts = ["north"]
        url = "{url}"
        access.basic = {{ user = "{radicale.user}", password = "env:CALENDAR_PASSWORD" }}
        """
    monkeypatch.setenv("CALENDAR_PASSWORD", radicale.password)
    assert [state for state, _, _ in examined(toml)] == ["ok", "ok", "ok"]
    monkeypatch.setenv("CALENDAR_PASSWORD", "not-the-password")
    (*_, (state, text, _)) = examined(toml)
    assert (state, "does not take our credentials" in text) == ("problem", True)
    assert "not-the-password" not in text
    assert examined(toml.replace('"internal", "caldav"', '"internal"'))[-1][0] == "warning"


def test_an_api_and_its_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that is broken, settings that do not fit it, and a server that is not there, each with its advice."""
    monkeypatch.setenv("ORDERS_KEY", "x")
    with unanswered() as port:
        (one,) = api(f"http://127.0.0.1:{port}", "orders.json")["apis"]
        settings = json.dumps({"openapi": {"apis": [one]}})
        monkeypatch.setenv("ENACTOR_CONNECTOR_SETTINGS", settings)
        toml = 'connectors = ["openapi"]'
        good, tools, closed = examined(toml, Orders().document)
        assert (good[0], tools[0], closed[0]) == ("ok", "ok", "problem")
        assert "No connection" in closed[1]
        ((state, text, advice),) = examined(toml, {"openapi": "2.0", "paths": {}})
        assert (state, advice) == ("problem", "correct connector_settings.openapi")
        assert "OpenAPI 2.0 is not understood" in text
        wrong = {**TOOL, "operation": "createNothing"}
        changed = json.dumps({"openapi": {"apis": [{**one, "tools": {"create_order": wrong}}]}})
        monkeypatch.setenv("ENACTOR_CONNECTOR_SETTINGS", changed)
        ((_, text, _),) = examined(toml, Orders().document)
        assert "no operation 'createNothing'" in text


def test_mcp_servers(tickets: str) -> None:
    """One whose tools are listed, one for a tool that it does not have, and one that is not there."""
    with unanswered() as port:
        found = examined(f"""
            [[mcp_servers]]
            name = "helpdesk"
            url = "{tickets}"
            [[mcp_servers]]
            name = "mistaken"
            url = "{tickets}"
            tools.no_such_tool = {{ risk = "LOW" }}
            [[mcp_servers]]
            name = "away"
            url = "http://127.0.0.1:{port}/mcp"
            """)
    servers = found[1:]
    assert [state for state, _, _ in servers] == ["ok", "warning", "problem"]
    assert "create" in servers[0][1]
    assert "none named no_such_tool" in servers[1][1]
    assert servers[2][1].startswith("away at http://127.0.0.1")
