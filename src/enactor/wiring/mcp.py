"""The doors through which others come over MCP, as the settings say."""

from __future__ import annotations

import os
from typing import Final

from enactor import __version__
from enactor.gateway.execution_tokens import ExecutionTokens
from enactor.gateway.secrets import read_reference
from enactor.http.auth import Authenticator
from enactor.http.context import HttpDeps
from enactor.http.dev_issuer import DevIssuer
from enactor.mcp.agents import AgentServer
from enactor.mcp.door import AGENTS, Door, DoorSettings, admitting
from enactor.mcp.tool_server import GATEWAY, ToolServer
from enactor.settings import Settings
from enactor.wiring.assembly import Assembly

_KEY_BYTES: Final = 32


def doors_of(settings: Settings, assembly: Assembly, deps: HttpDeps) -> list[Door]:
    """`/mcp`, and `/gateway/mcp` where it is on. Raises `ConfigurationError`."""
    doors: list[Door] = []
    reached = DoorSettings(
        public_url=settings.public_url,
        issuers=tuple(issuer.issuer for issuer in settings.issuers),
        host=settings.host,
        max_body_bytes=settings.limits.body_bytes,
    )
    if settings.mcp.agents:
        agents = AgentServer(assembly.service, assembly.store, assembly.clock, __version__)
        admit = admitting(_authenticator(settings, assembly, deps), development=settings.dev)
        doors.append(Door(agents.server, AGENTS, admit, reached))
    if settings.mcp.gateway:
        named = settings.mcp.gateway_key
        key = read_reference(named, os.environ, "mcp.gateway_key").encode() if named else None
        tokens = ExecutionTokens(
            key or assembly.randomness.bytes(_KEY_BYTES), assembly.store, assembly.clock, assembly.randomness
        )
        tools = ToolServer(assembly.tools, tokens, assembly.clock, __version__)
        doors.append(Door(tools.server, GATEWAY, tools.admit, reached, metadata=False))
    return doors


def _authenticator(settings: Settings, assembly: Assembly, deps: HttpDeps) -> Authenticator:
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
    return Authenticator(issuers, assembly.clock, dev_issuer=dev_issuer)
