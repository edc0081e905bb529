"""`enactor connector`: a new one to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from enactor.cli.options import AsJson, group
from enactor.cli.output import print_json, say

commands = group("connector", "Connectors: what makes other systems callable.")


@commands.callback()
def _connector() -> None:
    """Keeps `new` a command of its group, though it is the only one."""


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
