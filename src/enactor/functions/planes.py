"""The tool plane of a function: connectors in the function itself, and MCP servers and gateways by their URLs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from enactor.domain.errors import Unavailable
from enactor.functions.clients import client
from enactor.gateway.composite import CompositeToolPlane, GovernedPlane
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.secrets import EnvFileSecrets
from enactor.settings import Settings
from enactor.settings.loading import load
from enactor.wiring.assembly import find_connectors

if TYPE_CHECKING:
    from enactor.functions.composition import Parts
    from enactor.gateway.aws_artifacts import S3Artifacts
    from enactor.gateway.mcp_plane import McpToolPlane


def settings() -> Settings:
    """The settings of this function's environment. Raises `ConfigurationError`."""
    return load({}, os.environ).settings


async def open_plane(parts: Parts) -> GovernedPlane:
    """The tools as the pipeline calls them: through a gateway where settings say so. Raises as `open_direct` does."""
    direct, given = await open_direct(parts), settings()
    if not given.mcp.behind_gateway:
        return direct
    from enactor.wiring.mcp import detour_of

    detour = detour_of(given, parts.store, parts.clock, parts.context.randomness)
    return direct if detour is None else detour.through(direct)


async def open_direct(parts: Parts) -> GovernedPlane:
    """The tool plane that the settings describe, listed.

    Raises:
        ConfigurationError: the settings are wrong.
        Unavailable: a server does not say what tools it has.
    """
    given = settings()
    connectors = find_connectors(given.connectors, parts.store, parts.clock, given.connector_settings)
    inside = InProcessToolPlane(connectors, EnvFileSecrets(given.secrets))
    if not given.mcp_servers:
        return inside
    return CompositeToolPlane([inside, await _servers(parts, given)])


def artifacts(given: Settings) -> S3Artifacts | None:
    """The bucket that long answers are put aside in, and erased from. None where no bucket is set."""
    if not given.aws.artifacts:
        return None
    from enactor.gateway.aws_artifacts import S3Artifacts

    return S3Artifacts(client("s3"), given.aws.artifacts)


async def _servers(parts: Parts, given: Settings) -> McpToolPlane:
    from enactor.gateway.mcp_plane import McpToolPlane
    from enactor.wiring.mcp import surroundings, target_of

    around = surroundings(given, parts.clock)
    if kept := artifacts(given):
        around = msgspec.structs.replace(around, artifacts=kept)
    targets = [target_of(server, around) for server in given.mcp_servers]
    plane = McpToolPlane(targets, parts.clock, listings=given.mcp.artifacts / "listings")
    await plane.start()
    silent = sorted(name for name, target in plane.targets.items() if target.failure)
    if silent:
        await plane.close()
        raise Unavailable(f"The MCP server '{silent[0]}' does not say what tools it has.")
    return plane
