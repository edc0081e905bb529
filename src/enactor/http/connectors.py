"""The route of connectors: what can be called, under which configuration, and how it does."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter
from msgspec import Struct
from starlette.responses import Response

from enactor.domain.action_type import Compensation, WriteSemantics
from enactor.domain.principal import Permission, Principal
from enactor.http.answers import answer
from enactor.http.context import DEFAULT_LIMIT, By, Deps, HttpDeps, Limit, NextToken
from enactor.http.openapi import READING, Answer, described
from enactor.http.slices import slice_of
from enactor.ports.tools import ConnectorHealth, ToolDefinition

router = APIRouter(tags=["Connectors"])


class ToolView(Struct, kw_only=True):
    """A tool: what it promises, and how what it does is taken back.

    `proposable` is false for a tool that only takes back what others did.
    """

    tool_name: str
    tool_schema_version: str
    definition_hash: str
    description: str
    risk_class: str
    write_semantics: WriteSemantics
    compensation: Compensation
    guard: str
    required_scopes: tuple[str, ...]
    proposable: bool


class ConnectorView(Struct, kw_only=True):
    """A connector. `configuration_version` names where its calls go and as whom, and is part of what is approved.

    It and `verifies_account` are null, and `tools` is empty, while a connector offers no tool, as an MCP server that
    cannot be reached. `health` is what this server process knows of the caller's tenant's calls.
    """

    connector: str
    configuration_version: str | None
    verifies_account: bool | None
    health: ConnectorHealth
    tools: tuple[ToolView, ...]


class ConnectorPage(Struct, kw_only=True):
    """The connectors, by name."""

    items: tuple[ConnectorView, ...]
    next_token: str | None = None


@router.get(
    "/v1/connectors",
    summary="List connectors",
    **described({200: Answer(description="The connectors that are on.", kind=ConnectorPage)}, READING),
)
async def list_connectors(deps: Deps, by: By, limit: Limit = DEFAULT_LIMIT, next_token: NextToken = None) -> Response:
    """Every connector that is on, with its tools. No address and no credential is in it."""
    by.require(Permission.READ, Permission.REGISTRY)
    views = tuple(_views(deps, by))
    page, after = slice_of("connectors", by, views, lambda view: view.connector, limit, next_token)
    return answer(ConnectorPage(items=page, next_token=after))


def _views(deps: HttpDeps, by: Principal) -> Iterator[ConnectorView]:
    offered: dict[str, list[ToolDefinition]] = {name: [] for name in sorted(deps.connectors)}
    for _, definition in sorted(deps.tools.definitions().items()):
        offered.setdefault(definition.connector_id, []).append(definition)
    health = deps.health(by.tenant_id) if by.tenant_id else {}
    for name, definitions in offered.items():
        first = definitions[0] if definitions else None
        yield ConnectorView(
            connector=name,
            configuration_version=None if first is None else first.connector_version,
            verifies_account=None if first is None else first.verifies_account,
            health=health.get(name, ConnectorHealth()),
            tools=tuple(_tool(definition) for definition in definitions),
        )


def _tool(definition: ToolDefinition) -> ToolView:
    return ToolView(
        tool_name=definition.tool_name,
        tool_schema_version=definition.tool_schema_version,
        definition_hash=definition.definition_hash,
        description=definition.description,
        risk_class=definition.risk_class.value,
        write_semantics=definition.write_semantics,
        compensation=definition.compensation,
        guard=definition.guard.value,
        required_scopes=definition.required_scopes,
        proposable=definition.governed,
    )
