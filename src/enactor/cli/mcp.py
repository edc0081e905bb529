"""`enactor mcp wrap`: an MCP server's tools become action types, so that they are proposed and not called."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from enactor.cli.failures import Failure
from enactor.cli.options import AsJson, group, wrong_usage
from enactor.cli.output import print_json, print_table, say
from enactor.cli.text import one_line
from enactor.domain.errors import ConfigurationError, EnactorError

if TYPE_CHECKING:
    from enactor.gateway.mcp_plane import McpToolPlane
    from enactor.settings import McpServerSettings, Settings

commands = group("mcp", "MCP servers whose tools are governed.")

_RISKS: Final = ("MINIMAL", "LOW", "MEDIUM", "HIGH")


@commands.callback()
def _mcp() -> None:
    """Keeps `wrap` a command of its group, though it is the only one."""


@commands.command("wrap")
def wrap(
    url: Annotated[str | None, typer.Argument(help="Where the server is, over streamable HTTP.")] = None,
    command: Annotated[
        str | None, typer.Option("--command", help="Instead of a URL: the command of a server over stdio.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The namespace of its tools; from the URL.")] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="NAME=REFERENCE", help="A header, its value by reference: env:X, file:/x."),
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="Only tools listed as TARGET___tool.")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this tool; repeatable.")] = None,
    risk: Annotated[str, typer.Option("--risk", help="MINIMAL, LOW, MEDIUM or HIGH, for every tool.")] = "HIGH",
    network: Annotated[
        list[str] | None, typer.Option("--network", help="A private network it may be in, like 10.0.0.0/8.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the settings, and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """List a server's tools and put it into the settings: from the next start they are proposed through /mcp.

    Every tool is UNSAFE (no promise about a call whose reply was lost) and of HIGH risk unless told otherwise.
    """
    if (url is None) == (command is None):
        wrong_usage("Give a URL or --command, and not both.", "URL")
    if risk not in _RISKS:
        wrong_usage(f"A risk is one of {', '.join(_RISKS)}.", "--risk")
    import asyncio

    from enactor.cli.server import loaded

    given = loaded()
    entry: dict[str, Any] = {"name": name or _name(url, command)}
    entry |= {"url": url} if url is not None else {"command": shlex.split(command or "")}
    if header:
        entry["headers"] = dict(_header(item) for item in header)
    if target is not None:
        entry["target"] = target
    if only:
        entry["only"] = only
    if network:
        entry["networks"] = network
    if risk != "HIGH":
        entry["default"] = {"risk": risk}
    settings = _checked(entry)
    if any(server.name == settings.name for server in given.settings.mcp_servers):
        raise Failure(f"The settings have an MCP server named {settings.name} already; choose another --name.")
    tools = asyncio.run(_listed(settings, given.settings))
    if not tools:
        raise Failure(f"The MCP server {settings.name} offers no tool that can be taken.")
    text = _toml(entry)
    file = given.file or Path(os.environ.get("ENACTOR_CONFIG", "enactor.toml"))
    if not dry_run:
        _append(file, text)
    if as_json:
        print_json({"settings": entry, "file": None if dry_run else str(file), "tools": tools})
        return
    rows = [(tool["tool"], tool["action_type"], tool["risk"], one_line(tool["description"])[:80]) for tool in tools]
    print_table(("tool", "action type", "risk", "what it says of itself"), rows, "")
    if dry_run:
        say(text)
    else:
        say(f"Added to {file}. From the next `enactor serve` on, agents propose these tools through /mcp.")


async def _listed(server: McpServerSettings, settings: Settings) -> list[dict[str, Any]]:
    """The server's tools as they will be known. Raises `Failure`."""
    from enactor.gateway.mcp_plane import McpToolPlane
    from enactor.system import SystemClock
    from enactor.wiring.mcp import surroundings, target_of

    clock = SystemClock()
    target = target_of(server, surroundings(settings, clock, show_errors=bool(server.command)))
    plane: McpToolPlane = McpToolPlane([target], clock)
    try:
        await plane.refresh(server.name)
        names = plane.action_types()
        return [
            {
                "tool": tool.tool_name,
                "action_type": names.get(tool.tool_name, ""),
                "risk": tool.risk_class.value,
                "write": tool.write_semantics.mode.value,
                "description": tool.description,
            }
            for tool in plane.definitions().values()
        ]
    except EnactorError as error:
        raise Failure(error.message) from None
    finally:
        await plane.close()


def _checked(entry: dict[str, Any]) -> McpServerSettings:
    """The entry as settings. What is wrong with it is wrong usage."""
    from pydantic import ValidationError

    from enactor.settings import McpServerSettings

    try:
        return McpServerSettings.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        wrong_usage(f"{where}: {str(first['msg']).removeprefix('Value error, ')}".lstrip(": "))


def _name(url: str | None, command: str | None) -> str:
    """A name from where the server is: of `https://mcp.linear.app/mcp` it is `linear`."""
    if url is not None:
        labels = [label for label in (urlsplit(url).hostname or "").split(".") if label not in ("mcp", "api", "www")]
        found = labels[0] if labels else ""
    else:
        words = [Path(word).stem for word in shlex.split(command or "") if not word.startswith("-")]
        found = next((word for word in reversed(words) if re.match(r"[A-Za-z@]", word)), "")
    found = re.sub(r"[^a-z0-9_-]+", "-", found.lower().removeprefix("server-")).strip("-_")[:64]
    return found if re.match(r"[a-z]", found) else "mcp"


def _header(item: str) -> tuple[str, str]:
    name, separator, reference = item.partition("=")
    if not separator:
        wrong_usage("Write NAME=env:VARIABLE or NAME=file:/path.", "--header")
    return name, reference


def _toml(entry: dict[str, Any]) -> str:
    """The entry as the settings file has it."""
    lines = ["[[mcp_servers]]"]
    for key, value in entry.items():
        lines.append(f"{key} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(name)} = {_value(inner)}' for name, inner in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _append(file: Path, text: str) -> None:
    """Adds to the settings file, if it is still right with it; else it stays what it was."""
    from enactor.settings import load

    before = file.read_text(encoding="utf-8") if file.exists() else None
    separator = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(f"{before or ''}{separator}{text}", encoding="utf-8")
    try:
        load({}, {**os.environ, "ENACTOR_CONFIG": str(beside)})
        if before is not None:
            beside.chmod(file.stat().st_mode & 0o777)
        beside.replace(file)
    except ConfigurationError as error:
        raise Failure(f"{file} would not be right with it, and stays as it was: {error.message}") from None
    finally:
        beside.unlink(missing_ok=True)
