"""Tokens for trying things out: the development issuer, which only `serve --dev` accepts."""

from __future__ import annotations

from typing import Annotated

import typer

from enactor.cli.options import AsJson, group

commands = group("dev", "For `enactor serve --dev` on this machine, and nothing else.")


@commands.callback()
def _dev() -> None:
    """Keeps `token` a command of its group."""


@commands.command("token")
def token(
    role: Annotated[
        list[str],
        typer.Option("--role", help="proposer, approver, operator, auditor, admin or platform_admin; repeatable."),
    ],
    subject: Annotated[str, typer.Option("--subject", help="Who it speaks for.")],
    tenant: Annotated[str, typer.Option("--tenant", help="The tenant; empty for platform_admin alone.")] = "",
    account: Annotated[
        list[str] | None, typer.Option("--account", help="An account it reaches; all when absent. Repeatable.")
    ] = None,
    agent: Annotated[bool, typer.Option("--agent", help="An agent's: it fills no human quorum.")] = False,
    lifetime: Annotated[str, typer.Option("--lifetime", metavar="DURATION", help="How long it is good.")] = "12h",
    as_json: AsJson = False,
) -> None:
    """Print a token of the development issuer."""
    raise NotImplementedError
