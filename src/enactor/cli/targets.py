"""What `enactor doctor` sees of the targets: connectors and MCP servers are reached, looked at, and not changed."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from enactor.cli.findings import Finding, State
from enactor.connectors.context import Check, ConnectorContext
from enactor.connectors.internal import SYSTEM as INTERNAL
from enactor.connectors.sdk import Connector
from enactor.domain.errors import ConfigurationError, EnactorError
from enactor.gateway.secrets import read_reference
from enactor.settings import LOOPBACK

if TYPE_CHECKING:
    from enactor.settings import McpServerSettings, Settings

_SECONDS: Final = 20.0


async def connectors(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """Every connector that is on: whether it is there, takes its settings, and finds its target as it needs it."""
    offered = {point.name: point for point in importlib.metadata.entry_points(group="enactor.connectors")}
    found: list[Finding] = []
    for name in settings.connectors:
        point = offered.get(name)
        if point is None:
            known = ", ".join(sorted(offered))
            found.append(_problem("connector", f"there is no connector {name}", f"installed are: {known}"))
        elif name == INTERNAL:
            found.append(Finding("connector", State.OK, f"{name} ({point.value})"))
        else:
            found += await _connector(name, point, settings, environment)
    for name in settings.connector_settings.keys() - set(settings.connectors):
        text = f"connector_settings.{name} is for a connector that is not on"
        found.append(Finding("connector", State.WARNING, text, f"add {name} to connectors, or remove its settings"))
    return found


async def mcp_servers(settings: Settings) -> list[Finding]:
    """Every MCP server: whether it can be reached, and how many of its tools can be taken."""
    return list(await asyncio.gather(*(_mcp_server(server, settings) for server in settings.mcp_servers)))


async def _connector(
    name: str, point: importlib.metadata.EntryPoint, settings: Settings, environment: Mapping[str, str]
) -> list[Finding]:
    try:
        kind: type[Connector] = point.load()
    except (ImportError, AttributeError) as error:
        return [_problem("connector", f"{name} cannot be loaded: {type(error).__name__}", "reinstall its package")]
    context = _context(name, settings, environment)
    try:
        made = await asyncio.to_thread(kind.configured_many, context)
    except ConfigurationError as error:
        return [_problem("connector", f"{name}: {error.message}", f"correct connector_settings.{name}")]
    except Exception as error:  # noqa: BLE001 - a connector is somebody else's code, and the others are looked at too
        return [_problem("connector", f"{name} cannot be made: {type(error).__name__}", "tell whoever wrote it")]
    found = [Finding("connector", State.OK, f"{name} ({point.value})")]
    for connector in made:
        found += await _looked_at(connector)
    return found


async def _looked_at(connector: Connector) -> list[Finding]:
    try:
        async with asyncio.timeout(_SECONDS):
            checks = await connector.doctor()
        return [_of(check) for check in checks]
    except TimeoutError:
        text = f"{connector.name}: its target was not looked at within {_SECONDS:g} s"
        return [_problem("connector", text, "check that this machine reaches it")]
    except Exception as error:  # noqa: BLE001 - as above
        text = f"{connector.name}: looking at its target failed: {type(error).__name__}"
        return [_problem("connector", text, "check its settings and that this machine reaches it")]
    finally:
        await connector.aclose()


def _context(name: str, settings: Settings, environment: Mapping[str, str]) -> ConnectorContext:
    from enactor.system import SystemClock

    return ConnectorContext(
        clock=SystemClock(),
        settings=settings.connector_settings.get(name, {}),
        read_secret=lambda reference, what: read_reference(reference, environment, what),
        development=settings.dev and settings.host in LOOPBACK,
    )


async def _mcp_server(server: McpServerSettings, settings: Settings) -> Finding:
    where = server.url or f"the command {server.command[0]}"
    if importlib.util.find_spec("mcp") is None:
        return _problem("mcp server", f"{server.name}: MCP needs an extra", "pip install 'enactor[mcp]'")
    from enactor.gateway.mcp_plane import McpToolPlane
    from enactor.gateway.mcp_target import McpTarget
    from enactor.system import SystemClock
    from enactor.wiring.mcp import server_of, surroundings

    clock = SystemClock()
    try:
        plane = McpToolPlane([McpTarget(server_of(server), surroundings(settings, clock))], clock)
    except EnactorError as error:
        return _problem("mcp server", f"{server.name}: {error.message}", "correct its settings")
    try:
        await plane.refresh(server.name)
        listed = plane.definitions()
    except EnactorError as error:
        advice = "check address, headers and that it runs"
        return _problem("mcp server", f"{server.name} at {where}: {error.message}", advice)
    finally:
        await plane.close()
    if not listed:
        return Finding(
            "mcp server", State.WARNING, f"{server.name} at {where}: no tool can be taken", "see only, target"
        )
    known = {name.partition(".")[2] for name in listed}
    if unknown := server.tools.keys() - known:
        text = f"{server.name} at {where}: {len(listed)} tools; it has none named {min(unknown)}"
        return Finding("mcp server", State.WARNING, text, f"correct mcp_servers.tools; there are: {_some(known)}")
    return Finding("mcp server", State.OK, f"{server.name} at {where}: {len(listed)} tools: {_some(known)}")


def _some(names: set[str]) -> str:
    shown = sorted(names)[:8]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")


def _of(check: Check) -> Finding:
    state = State.OK if check.good else State.PROBLEM if check.blocks else State.WARNING
    return Finding("connector", state, check.text, check.advice)


def _problem(area: str, text: str, advice: str) -> Finding:
    return Finding(area, State.PROBLEM, text, advice)
