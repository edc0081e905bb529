"""`/gateway/mcp`: the connectors' tools as an MCP server, for holders of execution tokens and nobody else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)
from starlette.types import Scope

from enactor.domain.errors import EnactorError, ErrorClass, Forbidden
from enactor.domain.permit import CallResult
from enactor.gateway.behind import NOTHING_CALLED
from enactor.gateway.execution_tokens import ExecutionTokens, Grant, TokenSpent, Use
from enactor.mcp.door import CALLER, Admit
from enactor.ports.clock import Clock
from enactor.ports.tools import LookUpResult, ToolDefinition, ToolPlane

GATEWAY: Final = "/gateway/mcp"

_log = logging.getLogger("enactor.mcp")
_REPLY: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "result": {"enum": [result.value for result in CallResult if result is not CallResult.OPEN]},
        "found": {"type": ["boolean", "null"]},
        "refs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("system", "object_type", "object_id")},
                "required": ["system", "object_type", "object_id"],
            },
        },
        "partial": {"type": "boolean"},
        "retryable": {"type": "boolean"},
        "error_class": {"enum": [None, *(kind.value for kind in ErrorClass)]},
        "error_code": {"type": ["string", "null"]},
        "message": {"type": "string"},
        "retry_after_seconds": {"type": ["number", "null"]},
        "deferred_reason": {"type": "string"},
        "artifact_ref": {"type": ["string", "null"]},
        "answered": {"type": "boolean"},
    },
    "required": ["refs"],
    # The reply to a call, or what a look-up found.
    "anyOf": [{"required": ["result"]}, {"required": ["found"]}],
}
Context = ServerRequestContext[Any, Any]


class ToolServer:
    """The tools of a plane, each call against a token.

    Args:
        plane: whose tools they are.
        tokens: takes the tokens.
    """

    def __init__(self, plane: ToolPlane, tokens: ExecutionTokens, clock: Clock, version: str) -> None:
        self._plane = plane
        self._tokens = tokens
        self._clock = clock
        self.server: Server[Any] = Server(
            "enactor-gateway",
            version=version,
            title="Enactor's tool plane",
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    @property
    def admit(self) -> Admit:
        """Admits holders of execution tokens."""

        async def admit(token: str, scope: Scope) -> Grant:
            return self._tokens.verify(token)

        return admit

    async def _list(self, ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_tool(definition) for definition in self._plane.definitions().values()])

    async def _call(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        grant = ctx.request.scope.get(CALLER) if ctx.request is not None else None
        if not isinstance(grant, Grant):
            raise MCPError(code=INTERNAL_ERROR, message="The request has no execution token.")
        try:
            self._unchanged(grant)
            request, until = await self._tokens.redeem(grant, params.name, params.arguments or {})
        except TokenSpent as error:
            # Somebody has sent it twice, and the first time may have had an effect.
            raise MCPError(code=INVALID_PARAMS, message=error.message) from None
        except EnactorError as error:
            raise MCPError(
                code=INVALID_PARAMS, message=f"Nothing was called. {error.message}", data=NOTHING_CALLED
            ) from None
        except Exception as error:  # noqa: BLE001 - the SDK would put the exception's text into its answer
            _log.error("a call of trace %s ended by %s", grant.trace_id, type(error).__name__)
            raise MCPError(code=INTERNAL_ERROR, message="Nothing was called; something went wrong here.") from None
        if grant.use is Use.LOOK_UP:
            return _found(await self._plane.look_up(request))
        reply = await self._plane.call(request, _in_time(self._clock, until))
        content = msgspec.to_builtins(reply)
        text = f"{reply.result.value}{f': {reply.message}' if reply.message else ''}"
        return CallToolResult(
            content=[TextContent(type="text", text=text)],
            structured_content=content,
            is_error=reply.result is not CallResult.DONE,
        )

    def _unchanged(self, grant: Grant) -> None:
        """Raises `Forbidden` when the tool here is not the one that was approved there."""
        definition = self._plane.definition(grant.tool_name)
        if definition is None or (grant.definition_hash and definition.definition_hash != grant.definition_hash):
            raise Forbidden(f"The tool {grant.tool_name} is not the approved one here.")


def _found(answer: LookUpResult) -> CallToolResult:
    text = {True: "Found.", False: "Nothing was found.", None: "It cannot be told."}[answer.found]
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=msgspec.to_builtins(answer),
    )


def _in_time(clock: Clock, until: int) -> Callable[[], bool]:
    return lambda: clock.elapsed_ms() < until


def _tool(definition: ToolDefinition) -> Tool:
    return Tool(
        name=definition.tool_name,
        description=definition.description or None,
        input_schema={"type": "object", **definition.input_schema},
        output_schema=_REPLY,
    )
