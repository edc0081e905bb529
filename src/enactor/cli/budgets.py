"""Budgets: how many executions may start in a window of time."""

from __future__ import annotations

from typing import Annotated

import typer

from enactor.cli.answers import items
from enactor.cli.client import Api, segment
from enactor.cli.options import AsJson, duration, group
from enactor.cli.output import print_json, print_table, say

commands = group("budget", "How many executions may start in a window of time.")


@commands.command("list")
def list_budgets(as_json: AsJson = False) -> None:
    """List the budgets, each with what its current window has used."""
    answer = Api().whole("/v1/budgets")
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            one.get("action_type"),
            one.get("used"),
            one.get("max_executions"),
            one.get("window_seconds"),
            one.get("set_by"),
        )
        for one in items(answer)
        if isinstance(one, dict)
    ]
    print_table(("action type", "used", "at most", "in seconds", "set by"), rows, "There is no budget.")


@commands.command("set")
def set_budget(
    action_type: Annotated[str, typer.Argument(help="An action type, or '*' for all together.")],
    executions: Annotated[int, typer.Option("--max", min=0, help="Executions that may start in one window.")],
    window: Annotated[str, typer.Option("--window", metavar="DURATION", help="The window: 90, 15m, 24h, 7d.")],
    as_json: AsJson = False,
) -> None:
    """Set the budget of an action type."""
    body = {"window_seconds": duration(window, "--window"), "max_executions": executions}
    answer = Api().put(f"/v1/budgets/{segment(action_type)}", body)
    if as_json:
        print_json(answer)
    else:
        say(f"At most {executions} executions of {action_type} start in each {body['window_seconds']} s.")
