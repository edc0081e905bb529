"""MCP as the settings say: the servers whose tools can be called, and the doors through which others come."""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from enactor import __version__
from enactor.domain.action_type import RiskClass, WriteMode, WriteSemantics
from enactor.gateway.behind import BehindGateway, GatewayLink
from enactor.gateway.composite import GovernedPlane
from enactor.gateway.egress import EgressRules, GuardedTransport
from enactor.gateway.execution_tokens import ExecutionTokens
from enactor.gateway.mcp_oauth import OAuthHeaders
from enactor.gateway.mcp_plane import McpToolPlane
from enactor.gateway.mcp_rules import LookUpRule, McpServer, ToolRule
from enactor.gateway.mcp_target import McpTarget, StaticHeaders, Surroundings
from enactor.gateway.oauth import TokenSource
from enactor.gateway.pointing import RefRule
from enactor.gateway.secrets import EnvFileSecrets, read_reference
from enactor.http.auth import Authenticator
from enactor.http.context import HttpDeps
from enactor.http.dev_issuer import DevIssuer
from enactor.mcp.agents import AgentServer
from enactor.mcp.door import AGENTS, Door, DoorSettings, admitting
from enactor.mcp.tool_server import GATEWAY, ToolServer
from enactor.ports.clock import Clock, Randomness
from enactor.ports.store import Store
from enactor.settings import LOOPBACK, McpServerSettings, OAuthSettings, Settings, ToolSettings
from enactor.wiring.assembly import Detour, artifacts_of

_KEY_BYTES: Final = 32


def server_of(settings: McpServerSettings) -> McpServer:
    """A server as the gateway takes it."""
    plain = settings.model_dump(include=_SHARED)
    clients = {"oauth": settings.oauth, **{f"tenant {name}": client for name, client in settings.tenant_oauth.items()}}
    return McpServer(
        credentials={name: client.model_dump(mode="json") for name, client in clients.items() if client is not None},
        **plain,
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
        artifacts=artifacts_of(settings),
        transport=transport,
        read_reference=lambda reference: read_reference(reference, os.environ, "mcp_servers"),
        version=__version__,
        show_errors=show_errors,
    )


def target_of(settings: McpServerSettings, around: Surroundings) -> McpTarget:
    """A server as calls are made to it, with what authenticates them."""
    server = server_of(settings)
    if settings.oauth is None and not settings.tenant_oauth:
        return McpTarget(server, around)

    def source(client: OAuthSettings, whose: str) -> TokenSource:
        host = urlsplit(client.token_url).hostname or ""
        rules = EgressRules(hosts=[host], networks=settings.networks, development=host in LOOPBACK)
        what = f"The MCP server '{settings.name}'{whose}"
        transport = GuardedTransport(rules, around.clock)
        return TokenSource(client, lambda reference, _: around.read_reference(reference), transport, around.clock, what)

    common = source(settings.oauth, "") if settings.oauth is not None else None
    tenants = {name: source(client, f" for tenant {name}") for name, client in settings.tenant_oauth.items()}
    more = StaticHeaders(server.headers, around.read_reference)
    return McpTarget(server, around, OAuthHeaders(settings.name, common, tenants, more))


def plane_of(settings: Settings, clock: Clock) -> McpToolPlane:
    """The tools of the servers in the settings. Raises `ConfigurationError`."""
    around = surroundings(settings, clock)
    targets = [target_of(server, around) for server in settings.mcp_servers]
    return McpToolPlane(targets, clock, listings=settings.mcp.artifacts / "listings")


def tokens_of(settings: Settings, store: Store, clock: Clock, randomness: Randomness) -> ExecutionTokens:
    """Mints and takes execution tokens. Raises `ConfigurationError`."""
    named = settings.mcp.gateway_key
    key = read_reference(named, os.environ, "mcp.gateway_key").encode() if named else None
    return ExecutionTokens(key or randomness.bytes(_KEY_BYTES), store, clock, randomness)


def detour_of(settings: Settings, store: Store, clock: Clock, randomness: Randomness) -> Detour | None:
    """The way through a gateway that some connectors take, if any does. Raises `ConfigurationError`."""
    url = settings.mcp.gateway_url
    if not settings.mcp.behind_gateway or url is None:
        return None
    tokens = tokens_of(settings, store, clock, randomness)
    host = urlsplit(url).hostname or ""
    rules = EgressRules(hosts=[host], networks=settings.mcp.gateway_networks, development=host in LOOPBACK)
    rules.check_url(url)
    link = GatewayLink(url, tokens, clock, lambda: GuardedTransport(rules, clock), __version__)
    return Detour(
        connectors=frozenset(settings.mcp.behind_gateway),
        through=lambda plane: BehindGateway(plane, settings.mcp.behind_gateway, link),
    )


def doors_of(settings: Settings, direct: GovernedPlane, deps: HttpDeps) -> list[Door]:
    """`/mcp`, and `/gateway/mcp` where it is on.

    Args:
        direct: the tools without guards and detours, for `/gateway/mcp`.

    Raises:
        ConfigurationError: a key cannot be read.
    """
    doors: list[Door] = []
    reached = DoorSettings(
        public_url=settings.public_url,
        issuers=tuple(issuer.issuer for issuer in settings.issuers),
        host=settings.host,
        max_body_bytes=settings.limits.body_bytes,
    )
    if settings.mcp.agents:
        agents = AgentServer(deps.service, deps.store, deps.clock, __version__)
        admit = admitting(_authenticator(settings, deps), development=settings.dev)
        doors.append(Door(agents.server, AGENTS, admit, reached))
    if settings.mcp.gateway:
        tokens = tokens_of(settings, deps.store, deps.clock, deps.randomness)
        # Without guards: they are with the process that has the permit, and can put the run off.
        tools = ToolServer(direct, tokens, deps.clock, __version__)
        doors.append(Door(tools.server, GATEWAY, tools.admit, reached, metadata=False))
    return doors


def _authenticator(settings: Settings, deps: HttpDeps) -> Authenticator:
    """Takes the API's tokens, or for issuers that name audiences of `/mcp` those alone."""
    if not any(issuer.mcp_audiences for issuer in settings.issuers):
        return deps.authenticator
    issuers = [
        issuer.model_copy(update={"audiences": issuer.mcp_audiences, "client_ids": ()})
        if issuer.mcp_audiences
        else issuer
        for issuer in settings.issuers
    ]
    dev_issuer = DevIssuer.load(settings.dev_key_file) if settings.dev else None
    return Authenticator(issuers, deps.clock, dev_issuer=dev_issuer)


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
