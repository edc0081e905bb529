"""Kill switches and their containment reports."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from enactor.cli.answers import Containment, items, understood
from enactor.cli.client import Api, segment
from enactor.cli.options import AsJson, Limit, NextToken, group
from enactor.cli.output import note, print_json, print_table, say

commands = group("kill-switch", "Stop what has not been sent yet, and see what was.")

Scope = Annotated[
    str,
    typer.Argument(help="global, tenant, action-type:NAME, connector:NAME, or one of the last two after platform:."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; operators read it.")]


@commands.command("set")
def set_switch(
    scope: Scope,
    reason: Reason,
    compensation: Annotated[
        bool, typer.Option("--allow-compensation", help="Partial effects may still be taken back.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn a switch on. Prints what it stopped, and what had already left."""
    _turn(scope, {"enabled": True, "reason": reason, "compensation": compensation}, as_json)


@commands.command("clear")
def clear(scope: Scope, reason: Reason, as_json: AsJson = False) -> None:
    """Turn a switch off. What it refused stays refused."""
    _turn(scope, {"enabled": False, "reason": reason}, as_json)


@commands.command("list")
def list_switches(as_json: AsJson = False) -> None:
    """List the switches that were ever set."""
    answer = Api().whole("/v1/kill-switches")
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            one.get("scope"),
            "on" if one.get("enabled") else "off",
            one.get("reason"),
            one.get("set_by"),
            one.get("set_at"),
        )
        for one in items(answer)
        if isinstance(one, dict)
    ]
    print_table(("scope", "state", "reason", "by", "since"), rows, "No switch was ever set.")


@commands.command("report")
def report(
    scope: Scope,
    since: Annotated[
        str | None, typer.Option("--since", metavar="INSTANT", help="RFC 3339; runs that ended earlier are left out.")
    ] = None,
    limit: Limit = 100,
    next_token: NextToken = None,
    as_json: AsJson = False,
) -> None:
    """Show every run in a switch's scope, also those that were replayed since: executed, blocked, or unknown."""
    answer = Api().get(f"/v1/kill-switches/{segment(scope)}/report", since=since, limit=limit, next_token=next_token)
    _print(answer, as_json)


def _turn(scope: str, body: dict[str, Any], as_json: bool) -> None:
    _print(Api().put(f"/v1/kill-switches/{segment(scope)}", body), as_json)


def _print(answer: object, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    found = understood(answer, Containment)
    say(
        f"{found.scope} is {'on' if found.enabled else 'off'}: {len(found.executed)} executed, "
        f"{len(found.blocked)} blocked, {len(found.unknown)} unknown"
        + (f", since {found.since}." if found.since else ".")
    )
    named = (("executed", found.executed), ("blocked", found.blocked), ("unknown", found.unknown))
    rows = [
        (kind, run.action_intent_id, run.run_number, run.status, run.account_id, run.action_type, run.open_until)
        for kind, runs in named
        for run in runs
    ]
    if rows:
        head = ("what became of it", "intent", "run", "status", "account", "action type", "may land until")
        print_table(head, rows, "")
    if found.next_token:
        note(f"There are more: enactor kill-switch report {found.scope} --next-token {found.next_token}")
