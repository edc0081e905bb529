"""All commands, in the order in which they are listed."""

from __future__ import annotations

from typing import Annotated

import typer

from enactor.cli import (
    action_types,
    budgets,
    connectors,
    development,
    doctor,
    executions,
    intents,
    ledger_keeping,
    login,
    mcp,
    policies,
    server,
    switches,
)
from enactor.cli.failures import Commands

_ABOUT = """Enactor stands between an agent's proposal and its effect.

Client commands talk to the server at ENACTOR_URL with the token in ENACTOR_TOKEN, or of `enactor login`.
"""


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"enactor {version('enactor')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What stands before a command."""


def application() -> typer.Typer:
    """The command `enactor`."""
    app = typer.Typer(
        name="enactor",
        help=_ABOUT,
        cls=Commands,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=_ABOUT)(_options)
    app.command("login")(login.login)
    app.command("logout")(login.logout)
    app.command("propose")(intents.propose)
    app.command("approve")(intents.approve)
    app.command("reject")(intents.reject)
    app.command("cancel")(intents.cancel)
    app.command("status")(executions.status)
    app.command("timeline")(executions.timeline)
    app.command("list")(executions.list_executions)
    app.command("resolve")(executions.resolve)
    app.command("undo")(executions.undo)
    app.command("replay")(executions.replay)
    for commands in (switches, action_types, policies, budgets, ledger_keeping, connectors, mcp):
        app.add_typer(commands.commands)
    app.command("serve")(server.serve)
    app.command("worker")(server.worker)
    app.command("migrate")(server.migrate)
    app.command("doctor")(doctor.doctor)
    app.command("demo")(server.demo)
    app.add_typer(development.commands)
    return app
