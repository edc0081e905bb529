"""A tool plane over MCP servers, and calls through it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enactor.conformance.clocks import ManualClock
from enactor.domain.errors import ConfigurationError
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import Purpose
from enactor.gateway.artifacts import FileArtifacts
from enactor.gateway.egress import EgressRules, GuardedTransport
from enactor.gateway.mcp_plane import McpToolPlane
from enactor.gateway.mcp_rules import McpServer, ToolRule
from enactor.gateway.mcp_target import HeaderSource, McpTarget, Surroundings
from enactor.gateway.pointing import RefRule
from enactor.ports.tools import CallRequest, Reply

KEY = "k" * 64
TICKET = RefRule(system="tickets", object_type="ticket", id="/ticket/id", url="/ticket/url", version="/ticket/etag")
CREATE = {"create": ToolRule(refs=(TICKET,))}


class Vault:
    """Secrets of tenants."""

    def __init__(self, **values: str) -> None:
        self.values = values

    def read(self, tenant_id: str, name: str) -> str:
        """The secret of that name."""
        if name not in self.values:
            raise ConfigurationError(f"There is no secret '{name}'.")
        return self.values[name]


@dataclass
class Rig:
    """What the planes of one test share."""

    directory: Path
    clock: ManualClock = field(default_factory=ManualClock)
    references: dict[str, str] = field(default_factory=dict)
    vault: Vault = field(default_factory=Vault)
    planes: list[McpToolPlane] = field(default_factory=list)

    @property
    def artifacts(self) -> FileArtifacts:
        """Where answers are kept."""
        return FileArtifacts(self.directory / "artifacts")

    def target(self, server: McpServer, source: HeaderSource | None = None) -> McpTarget:
        """One server."""
        around = Surroundings(
            clock=self.clock,
            secrets=self.vault,
            artifacts=self.artifacts,
            transport=lambda _: GuardedTransport(EgressRules(development=True), self.clock),
            read_reference=self.references.__getitem__,
            version="0",
        )
        return McpTarget(server, around, source)

    async def plane(self, *servers: McpServer, source: HeaderSource | None = None, **more: Any) -> McpToolPlane:
        """A started plane over the servers."""
        plane = McpToolPlane([self.target(server, source) for server in servers], self.clock, **more)
        self.planes.append(plane)
        await plane.start()
        return plane

    async def over(self, url: str, source: HeaderSource | None = None, **more: Any) -> McpToolPlane:
        """A started plane over one server, named `tickets`."""
        return await self.plane(McpServer(name="tickets", url=url, **{"rules": CREATE, **more}), source=source)


def request(tool: str = "tickets.create", *, timeout: float = 20, **arguments: Any) -> CallRequest:
    """A permitted call; `title` is there unless arguments are given."""
    return CallRequest(
        tenant_id="acme",
        account_id="north",
        action_intent_id="ai_1",
        run_number=1,
        call_no=1,
        purpose=Purpose.EFFECT,
        tool_name=tool,
        tool_schema_version="1",
        argument_bytes=json.dumps(arguments or {"title": "Printer"}),
        idempotency_key=KEY,
        trace_id="0" * 32,
        send_not_after=0,
        timeout_seconds=timeout,
    )


def undoing(tool: str, ref: ObjectRef) -> CallRequest:
    """The compensation of a call that made `ref`."""
    asked = json.dumps({"original_key": KEY, "refs": [{"object_id": ref.object_id}]})
    return CallRequest(
        tenant_id="acme",
        account_id="north",
        action_intent_id="ai_1",
        run_number=1,
        call_no=2,
        purpose=Purpose.COMPENSATION,
        tool_name=tool,
        tool_schema_version="1",
        argument_bytes=asked,
        idempotency_key="u" * 64,
        trace_id="0" * 32,
        send_not_after=0,
        timeout_seconds=20,
        original=(ref,),
        original_key=KEY,
    )


async def made(plane: McpToolPlane, call: CallRequest | None = None, check: Callable[[], bool] = lambda: True) -> Reply:
    """The reply to a call."""
    return await plane.call(call or request(), check)
