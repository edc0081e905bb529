"""The MCP servers whose tools can be called, as the settings say. What only calls needs no face of ours."""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from enactor import __version__
from enactor.domain.action_type import RiskClass, WriteMode, WriteSemantics
from enactor.gateway.artifacts import FileArtifacts
from enactor.gateway.egress import EgressRules, GuardedTransport
from enactor.gateway.mcp_oauth import OAuthHeaders
from enactor.gateway.mcp_plane import McpToolPlane
from enactor.gateway.mcp_rules import LookUpRule, McpServer, RefRule, ToolRule
from enactor.gateway.mcp_target import McpTarget, Surroundings
from enactor.gateway.oauth import TokenSource
from enactor.gateway.secrets import EnvFileSecrets, read_reference
from enactor.ports.clock import Clock
from enactor.settings import LOOPBACK, McpServerSettings, Settings, ToolSettings


def server_of(settings: McpServerSettings) -> McpServer:
    """A server as the gateway takes it."""
    plain = settings.model_dump(include=_SHARED)
    return McpServer(
        **plain,
        client=f"{settings.oauth.token_url} {settings.oauth.client_id}" if settings.oauth else "",
        rules={name: _rule(tool) for name, tool in settings.tools.items()},
        default=_rule(settings.default),
    )


def surroundings(settings: Settings, clock: Clock, *, show_errors: bool = False) -> Surroundings:
    """What targets work with."""

    def transport(server: McpServer) -> GuardedTransport:
        host = urlsplit(server.url or "").hostname or ""
        hosts = server.hosts if server.hosts is not None else [host]
        # A server beside us is reached over loopback only where the settings say so: by its URL.
        rules = EgressRules(hosts=hosts, networks=server.networks, development=host in LOOPBACK)
        return GuardedTransport(rules, clock)

    return Surroundings(
        clock=clock,
        secrets=EnvFileSecrets(settings.secrets),
        artifacts=FileArtifacts(settings.mcp.artifacts),
        transport=transport,
        read_reference=lambda reference: read_reference(reference, os.environ, "mcp_servers"),
        version=__version__,
        show_errors=show_errors,
    )


def plane_of(settings: Settings, clock: Clock) -> McpToolPlane:
    """The tools of the servers in the settings. Raises `ConfigurationError`."""
    return plane_in(surroundings(settings, clock), settings)


def plane_in(around: Surroundings, settings: Settings) -> McpToolPlane:
    """The same in surroundings at hand, whose artifacts may be elsewhere. Raises `ConfigurationError`."""
    targets = [McpTarget(server_of(server), around, _oauth(server, around)) for server in settings.mcp_servers]
    return McpToolPlane(targets, around.clock, listings=settings.mcp.artifacts / "listings")


def _oauth(server: McpServerSettings, around: Surroundings) -> OAuthHeaders | None:
    if server.oauth is None:
        return None
    host = urlsplit(server.oauth.token_url).hostname or ""
    rules = EgressRules(hosts=[host], networks=server.networks, development=host in LOOPBACK)
    source = TokenSource(
        server.oauth,
        lambda reference, what: around.read_reference(reference),
        GuardedTransport(rules, around.clock),
        around.clock,
        f"The MCP server '{server.name}'",
    )
    return OAuthHeaders(source)


_SHARED: Final = {
    *("name", "url", "command", "directory", "headers", "environment", "target", "only", "hosts", "networks"),
    *("connect_seconds", "refresh_seconds", "artifact_bytes", "largest_bytes", "keep_answers"),
}
_SEMANTICS: Final = {"key_retention_seconds", "absence_final_after_seconds"}
_DIFFERENT: Final = {*_SEMANTICS, "write", "risk", "refs", "lookup"}


def _rule(settings: ToolSettings) -> ToolRule:
    semantics = WriteSemantics(mode=WriteMode(settings.write), **settings.model_dump(include=_SEMANTICS))
    same: dict[str, Any] = settings.model_dump(exclude=_DIFFERENT)
    lookup = None
    if settings.lookup is not None:
        lookup = msgspec.convert(settings.lookup.model_dump(), LookUpRule)
    return ToolRule(
        semantics=semantics,
        risk=RiskClass(settings.risk),
        refs=tuple(RefRule(**ref.model_dump()) for ref in settings.refs),
        lookup=lookup,
        **same,
    )
