"""Kill switches, budgets and the registry from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.answers import INTENT_ID, report
from tests.cli.support import Canned, run

ENTRY: dict[str, Any] = {
    "action_type": "REFUND",
    "registry_version": 2,
    "tool_name": "payments.refund",
    "tool_schema_version": "1",
    "connector_id": "payments",
    "risk_class": "HIGH",
    "summary": "Refund {amount}",
    "effect_key": "refund:{payment_id}",
    "write_semantics": {"mode": "IDEMPOTENT"},
    "compensation": {"strategy": "NONE", "tool_name": None, "note": "A refund cannot be taken back."},
    "parameter_schema": {"type": "object"},
    "created_at": "2026-11-23T15:42:00.123Z",
    "deprecated_at": None,
}


@pytest.mark.parametrize(
    ("arguments", "scope", "body"),
    [
        (
            ("set", "tenant", "--reason", "Stop."),
            "tenant",
            {"enabled": True, "reason": "Stop.", "compensation": False},
        ),
        (
            ("set", "platform:connector:crm", "--reason", "Stop.", "--allow-compensation"),
            "platform:connector:crm",
            {"enabled": True, "reason": "Stop.", "compensation": True},
        ),
        (("clear", "action-type:T", "--reason", "Over."), "action-type:T", {"enabled": False, "reason": "Over."}),
    ],
)
def test_turning_a_switch_prints_what_it_stopped(
    api: Canned, arguments: tuple[str, ...], scope: str, body: dict[str, Any]
) -> None:
    """The containment report is the answer, and it is shown whole."""
    api.on("PUT", f"/v1/kill-switches/{scope}", report(scope=scope))
    result = run("kill-switch", *arguments)
    assert result.exit_code == 0, result.stderr
    assert api.requests[0].body == body
    first, *table = result.stdout.splitlines()
    assert first.startswith(f"{scope} is on: 1 executed, 0 blocked, 1 unknown, since ")
    assert [line.split("\t")[0] for line in table[1:]] == ["executed", "unknown"]
    assert table[2].split("\t")[1:4] == [INTENT_ID, "1", "RUNNING"]
    assert table[2].endswith("2026-11-23T15:43:00.000Z")
    assert json.loads(run("kill-switch", *arguments, "--json").stdout) == report(scope=scope)


def test_a_report_is_asked_for_and_paged(api: Canned) -> None:
    """Since, limit and page become the query; what follows is announced."""
    api.on("GET", "/v1/kill-switches/tenant/report", report(enabled=False, executed=[], unknown=[], next_token="n"))
    result = run("kill-switch", "report", "tenant", "--since", "2026-11-23T00:00:00Z", "--limit", "5",
                 "--next-token", "m")  # fmt: skip
    assert api.requests[0].query == "since=2026-11-23T00%3A00%3A00Z&limit=5&next_token=m"
    assert result.stdout.startswith("tenant is off: 0 executed")
    assert "--next-token n" in result.stderr


def test_switches_are_listed(api: Canned) -> None:
    """Scope, state, reason and who; the platform's say nothing of whom. Every page is read: one may hold what is on."""
    items = [
        {"scope": "tenant", "enabled": True, "reason": "Stop.", "set_by": "dev:olga", "set_at": "t1"},
        {"scope": "global", "enabled": False, "reason": "Over.", "set_by": None, "set_at": "t2"},
    ]
    api.on("GET", "/v1/kill-switches", {"items": items[:1], "next_token": "n"})
    api.on("GET", "/v1/kill-switches", {"items": items[1:], "next_token": None})
    assert run("kill-switch", "list").stdout.splitlines()[1:] == [
        "tenant\ton\tStop.\tdev:olga\tt1",
        "global\toff\tOver.\t\tt2",
    ]
    assert [request.query for request in api.requests] == ["", "limit=100&next_token=n"]
    assert json.loads(run("kill-switch", "list", "--json").stdout) == {"items": items[1:], "next_token": None}


@pytest.mark.parametrize(
    "arguments", [("set", "tenant"), ("clear", "tenant"), ("set", "--reason", "x"), ("report",), ("flip", "tenant")]
)
def test_a_switch_needs_a_scope_and_a_reason(api: Canned, arguments: tuple[str, ...]) -> None:
    """What is left out is bad usage, and nothing is turned."""
    assert run("kill-switch", *arguments).exit_code == 2
    assert api.requests == []


def test_budgets_are_listed_and_set(api: Canned) -> None:
    """A window may be written with its unit; what it has used is shown."""
    budget = {"action_type": "*", "window_seconds": 86_400, "max_executions": 5, "used": 2, "set_by": "dev:ada"}
    api.on("GET", "/v1/budgets", {"items": [budget], "next_token": None})
    api.on("PUT", "/v1/budgets/*", budget)
    assert run("budget", "list").stdout.splitlines()[1] == "*\t2\t5\t86400\tdev:ada"
    assert json.loads(run("budget", "list", "--json").stdout)["items"] == [budget]
    result = run("budget", "set", "*", "--max", "5", "--window", "1d")
    assert api.requests[-1].body == {"window_seconds": 86_400, "max_executions": 5}
    assert result.stdout == "At most 5 executions of * start in each 86400 s.\n"
    assert json.loads(run("budget", "set", "*", "--max", "5", "--window", "1d", "--json").stdout) == budget


@pytest.mark.parametrize(
    "arguments", [("--max", "-1", "--window", "1d"), ("--max", "1", "--window", "0"), ("--max", "1")]
)
def test_a_budget_without_sense_is_bad_usage(api: Canned, arguments: tuple[str, ...]) -> None:
    """A negative number, an empty window and a missing one are not sent."""
    assert run("budget", "set", "*", *arguments).exit_code == 2
    assert api.requests == []


def test_action_types_are_listed(api: Canned) -> None:
    """Name, version, risk, tool and whether it is in force."""
    old = {**ENTRY, "action_type": "OLD", "deprecated_at": "2026-01-01T00:00:00.000Z"}
    api.on("GET", "/v1/action-types", {"items": [old, ENTRY], "next_token": "n"})
    result = run("action-type", "list")
    assert result.stdout.splitlines()[1:] == [
        "OLD\t2\tHIGH\tpayments.refund\tdeprecated",
        "REFUND\t2\tHIGH\tpayments.refund\tin force",
    ]
    assert "--next-token n" in result.stderr
    assert json.loads(run("action-type", "list", "--json").stdout)["next_token"] == "n"


def test_an_action_type_is_shown_by_version_or_the_latest(api: Canned) -> None:
    """A version is read as such; the latest is looked for through every page."""
    api.on("GET", "/v1/action-types/REFUND/versions/1", {**ENTRY, "registry_version": 1})
    shown = run("action-type", "show", "REFUND", "--version", "1").stdout
    assert "version: 1\n" in shown
    assert "note: A refund cannot be taken back.\n" in shown
    api.on("GET", "/v1/action-types", {"items": [], "next_token": "second"})
    api.on("GET", "/v1/action-types", {"items": [ENTRY], "next_token": None})
    assert json.loads(run("action-type", "show", "REFUND", "--json").stdout) == ENTRY
    assert api.requests[-1].query == "limit=100&next_token=second"
    result = run("action-type", "show", "REFUNDS")
    assert result.exit_code == 1
    assert "There is no action type REFUNDS" in result.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("entry.toml", 'action_type = "REFUND"\ntool_name = "payments.refund"\n'),
        ("entry.json", '{"action_type": "REFUND", "tool_name": "payments.refund"}'),
    ],
)
def test_an_action_type_is_registered_from_a_file(api: Canned, name: str, content: str) -> None:
    """TOML and JSON say the same; a weakening waits for a second administrator and says so."""
    Path(name).write_text(content)
    api.on("POST", "/v1/action-types", {"entry": ENTRY, "in_force": True, "approvals_missing": 0}, 201)
    api.on("POST", "/v1/action-types", {"entry": ENTRY, "in_force": False, "approvals_missing": 1}, 202)
    assert run("action-type", "register", name).stdout == "REFUND version 2 is in force.\n"
    assert api.requests[0].body == {"action_type": "REFUND", "tool_name": "payments.refund"}
    assert "second platform administrator" in run("action-type", "register", name).stdout
    assert json.loads(run("action-type", "register", name, "--json").stdout)["in_force"] is False


@pytest.mark.parametrize(
    ("name", "content"), [("entry.toml", "action_type ="), ("entry.json", "{"), ("entry.txt", "x"), (None, None)]
)
def test_a_file_that_is_no_entry_is_bad_usage(api: Canned, name: str | None, content: str | None) -> None:
    """Broken TOML and JSON, other text and a missing file are told before anything is sent."""
    if name is not None and content is not None:
        Path(name).write_text(content)
    assert run("action-type", "register", name or "missing.toml").exit_code == 2
    assert api.requests == []


def test_a_file_that_is_no_text_fails(api: Canned) -> None:
    """A binary file is named in one line."""
    Path("entry.toml").write_bytes(b"\xff\xfe")
    result = run("action-type", "register", "entry.toml")
    assert result.exit_code == 1
    assert result.stderr == "enactor: entry.toml is not UTF-8 text.\n"


def test_ids_in_reports_are_whole(api: Canned) -> None:
    """Nothing in a pipe is cut off or wrapped."""
    api.on("GET", "/v1/kill-switches/tenant/report", report())
    assert INTENT_ID in run("kill-switch", "report", "tenant").stdout
