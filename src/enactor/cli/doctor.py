"""`enactor doctor`: what is in force, what is wrong with it, and what to do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from enactor.cli.failures import Failure
from enactor.cli.options import AsJson, StoreUrl
from enactor.cli.output import print_json, print_table, say
from enactor.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from enactor.cli.findings import Finding
    from enactor.settings import Loaded


def doctor(
    dev: Annotated[bool | None, typer.Option("--dev", help="Look at things as `serve --dev` would.")] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Print the settings in force and check everything they name. Exit status 1 when something is wrong."""
    import asyncio

    from enactor.cli.checks import check
    from enactor.cli.findings import Finding, State
    from enactor.settings import load

    loaded: Loaded | None = None
    try:
        loaded = load({"dev": dev, "store": store}, os.environ)
        findings = asyncio.run(check(loaded, os.environ))
    except ConfigurationError as error:
        problems = error.details.get("problems", [error.message])
        named = problems if isinstance(problems, list) else [error.message]
        findings = [Finding("settings", State.PROBLEM, str(problem), "correct it") for problem in named]
    wrong = sum(finding.state is State.PROBLEM for finding in findings)
    if as_json:
        settings = [{"name": name, "value": value, "source": source} for name, value, source in _in_force(loaded)]
        print_json({"settings": settings, "findings": msgspec.to_builtins(findings), "ok": not wrong})
    else:
        _print(loaded, findings)
    if wrong:
        raise Failure(f"{wrong} thing{'s are' if wrong > 1 else ' is'} wrong.")


def _print(loaded: Loaded | None, findings: list[Finding]) -> None:
    if loaded is not None:
        say(f"Settings in force ({'no settings file' if loaded.file is None else loaded.file}):")
        print_table(("setting", "value", "from"), _in_force(loaded), "", quoted=False)
    say("Checks:")
    rows = [(finding.state, finding.area, finding.text, finding.advice) for finding in findings]
    print_table(("state", "what", "finding", "what to do"), rows, "", quoted=False)


def _in_force(loaded: Loaded | None) -> list[tuple[str, str, str]]:
    """Every setting as name, value and source; secrets are references, and a store's password is left out."""
    if loaded is None:
        return []
    return [(name, _shown(name, loaded.settings), source) for name, source in loaded.sources.items()]


def _shown(name: str, settings: Any) -> str:
    from enactor.settings import without_password

    value = settings
    for part in name.split("."):
        value = getattr(value, part)
    match name:
        case "store":
            return without_password(value)
        case "issuers":
            return ", ".join(issuer.issuer for issuer in value) or "none"
        case "webhooks":
            return ", ".join(webhook.url for webhook in value) or "none"
        case "mcp_servers":
            return ", ".join(server.name for server in value) or "none"
        case "connector_settings":
            return ", ".join(value) or "none"
        case "secrets":
            return ", ".join(f"{tenant}/{secret}" for tenant in value for secret in value[tenant]) or "none"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
