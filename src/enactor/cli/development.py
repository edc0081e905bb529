"""Tokens for trying things out: of the development issuer, whom only `serve --dev` believes."""

from __future__ import annotations

from typing import Annotated

import typer

from enactor.cli.options import AsJson, duration, group, wrong_usage
from enactor.cli.output import print_json, say

commands = group("dev", "For `enactor serve --dev` on this machine, and nothing else.")


@commands.callback()
def _dev() -> None:
    """Keeps `token` a command of its group, though it is the only one."""


@commands.command("token")
def token(
    role: Annotated[
        list[str],
        typer.Option("--role", help="proposer, approver, operator, auditor, admin or platform_admin; repeatable."),
    ],
    subject: Annotated[str, typer.Option("--subject", help="Who it is about.")],
    tenant: Annotated[str, typer.Option("--tenant", help="The tenant; none for a platform_admin.")] = "",
    account: Annotated[
        list[str] | None, typer.Option("--account", help="An account it reaches; all when absent. Repeatable.")
    ] = None,
    agent: Annotated[bool, typer.Option("--agent", help="It is about a program, which fills no human quorum.")] = False,
    lifetime: Annotated[
        str, typer.Option("--lifetime", metavar="DURATION", help="How long it is good: 90, 15m, 8h, 7d.")
    ] = "8h",
    as_json: AsJson = False,
) -> None:
    """Print a token. Whoever can read the development key can be anybody there, which is why it is loopback only."""
    from enactor.cli.server import loaded
    from enactor.domain.errors import InvalidInput
    from enactor.domain.principal import ALL_ACCOUNTS
    from enactor.http.dev_issuer import DevIssuer
    from enactor.system import SystemClock

    seconds = duration(lifetime, "--lifetime")
    issuer = DevIssuer.load(loaded().settings.dev_key_file)
    try:
        minted = issuer.mint(
            tenant=tenant,
            roles=role,
            subject=subject,
            clock=SystemClock(),
            accounts=account or (ALL_ACCOUNTS,),
            agent=agent,
            lifetime_seconds=seconds or 0,
        )
    except InvalidInput as error:
        wrong_usage(error.message)
    if as_json:
        print_json({"token": minted, "expires_in_seconds": seconds})
    else:
        say(minted)
