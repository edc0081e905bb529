"""`enactor connector`: those of a server, and a new one to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from enactor.cli.answers import items
from enactor.cli.client import Api
from enactor.cli.options import AsJson, group
from enactor.cli.output import print_json, print_table, say

commands = group("connector", "Connectors: what makes other systems callable.")


@commands.command("list")
def list_connectors(as_json: AsJson = False) -> None:
    """List the connectors that are on, each with how its calls do and its tools."""
    answer = Api().whole("/v1/connectors")
    if as_json:
        print_json(answer)
        return
    rows = []
    for one in items(answer):
        if not isinstance(one, dict):
            continue
        health = one.get("health", {})
        state = f"{health.get('state')}: {health['reason']}" if health.get("reason") else health.get("state")
        tools = [tool for tool in one.get("tools", []) if tool.get("proposable")]
        first = (one.get("connector"), one.get("configuration_version"), state)
        for index, tool in enumerate(tools or [{}]):
            promise = tool.get("write_semantics", {}).get("mode")
            shown = first if index == 0 else ("", "", "")
            rows.append((*shown, tool.get("tool_name"), promise, tool.get("risk_class")))
    print_table(("connector", "version", "calls", "tool", "promise", "risk"), rows, "There is no connector.")


@commands.command("new")
def new(
    name: Annotated[str, typer.Argument(help="The connector's name, such as tickets: the namespace of its tools.")],
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Where to write it; enactor-NAME here without it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a connector package that works and is tested: one tool with look-up, undo and preview."""
    from enactor.cli.scaffold import write_connector

    folder = directory if directory is not None else Path(f"enactor-{name.replace('_', '-')}")
    written = write_connector(name, folder)
    if as_json:
        print_json({"name": name, "directory": str(folder), "files": [str(path) for path in written]})
        return
    for path in written:
        say(str(path))
    say(f"Its tests pass as they stand: cd {folder}, pip install -e '.[dev]', pytest. Then read its README.md.")
