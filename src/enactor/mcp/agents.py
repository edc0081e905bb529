"""`/mcp`: an MCP server through which agents propose. Nothing in it executes, and no decision travels through it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

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
)

from enactor.domain.action_type import ActionType
from enactor.domain.errors import EnactorError, InvalidInput
from enactor.domain.principal import ALL_ACCOUNTS, Permission, Principal
from enactor.http.context import TRACE
from enactor.http.requests import LongText, Seconds
from enactor.mcp.catalogue import LONGEST_NAME, PREFIX, STATUS_TOOL, proposing_tool, status_tool, tool_name
from enactor.mcp.door import CALLER
from enactor.mcp.sameness import keys_of
from enactor.ports.clock import Clock
from enactor.ports.store import Store
from enactor.service import ExecutionView, Proposal, Service

_log = logging.getLogger("enactor.mcp")
_PAGE: Final = 100
_INSTRUCTIONS: Final = (
    "Tools named propose_… propose an action and never execute it. A person or a policy decides elsewhere; nothing you "
    f"send here can approve anything. Ask for what became of a proposal with {STATUS_TOOL}; do not propose it again."
)
_WORDS: Final = {
    "PENDING_APPROVAL": "NOT EXECUTED. It waits for a decision, which is made elsewhere and by somebody else.",
    "REJECTED": "NOT EXECUTED. It was rejected, and will not be.",
    "PENDING": "NOT EXECUTED YET. It is approved and waits for its turn.",
    "RUNNING": "BEING EXECUTED. Its effect is not known yet.",
    "SUCCEEDED": "EXECUTED, exactly as approved.",
    "FAILED": "NOT DONE. The execution ended without the effect that was asked for.",
    "CANCELLED": "NOT EXECUTED. It was cancelled.",
    "EXPIRED": "NOT EXECUTED. It expired before it was.",
    "IN_DOUBT": "UNKNOWN. A call was made whose effect is not known; a person finds out. Do not propose it again.",
}
Answer = TypeVar("Answer")
Context = ServerRequestContext[Any, Any]


class _Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    parameters: dict[str, Any]
    account_id: str | None = None
    rationale: LongText = ""
    expires_in_seconds: Seconds | None = None
    idempotency_key: str | None = None


class _StatusAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    action_intent_id: str


class AgentServer:
    """The tools of `/mcp`.

    Args:
        service: the use cases.
        store: for what was proposed before.
    """

    def __init__(self, service: Service, store: Store, clock: Clock, version: str) -> None:
        self._service = service
        self._store = store
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.server: Server[Any] = Server(
            "enactor",
            version=version,
            title="Enactor",
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def _list(self, ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        by = _principal(ctx)

        async def listed() -> ListToolsResult:
            by.require(Permission.PROPOSE)
            page = await self._service.registry.list(by, _PAGE, params.cursor if params else None)
            tools = [proposing_tool(entry, by) for entry in page.items if _can_be_proposed(entry)]
            first = params is None or params.cursor is None
            return ListToolsResult(tools=[status_tool(), *tools] if first else tools, next_cursor=page.next_token)

        try:
            return await self._guarded(ctx, listed)
        except EnactorError as error:
            raise MCPError(code=INVALID_PARAMS, message=error.message) from None

    async def _call(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        by = _principal(ctx)
        arguments = params.arguments or {}
        try:
            if params.name == STATUS_TOOL:
                return await self._guarded(ctx, lambda: self._status(by, arguments))
            entry = await self._guarded(ctx, lambda: self._entry(by, params.name))
            if entry is None:
                raise MCPError(code=INVALID_PARAMS, message=f"Unknown tool: {params.name[:100]}")
            return await self._guarded(ctx, lambda: self._propose(ctx, by, entry, arguments))
        except EnactorError as error:
            text = f"NOT EXECUTED. {error.message} [{error.error_code}]"
            return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)

    async def _guarded(self, ctx: Context, action: Callable[[], Awaitable[Answer]]) -> Answer:
        """Runs an action. What nobody foresaw is named by its type in the log, and by nothing in the answer."""
        try:
            return await action()
        except (EnactorError, MCPError):
            raise
        except Exception as error:  # noqa: BLE001 - the SDK would put the exception's text into its answer
            trace_id = _trace(ctx)
            _log.error("an MCP request of trace %s ended by %s", trace_id, type(error).__name__)
            raise MCPError(
                code=INTERNAL_ERROR, message=f"Something went wrong here; the log names it by its trace {trace_id}."
            ) from None

    async def _entry(self, by: Principal, name: str) -> ActionType | None:
        """The entry that a tool proposes, if this principal sees it."""
        by.require(Permission.PROPOSE)
        if not name.startswith(PREFIX):
            return None
        if len(name) < LONGEST_NAME:
            found = await self._service.core.action_type_for(by.tenant_id, name.removeprefix(PREFIX).upper())
            fits = found is not None and _can_be_proposed(found) and tool_name(found.action_type) == name
            return found if fits else None
        token: str | None = None
        while True:
            page = await self._service.registry.list(by, _PAGE, token)
            for entry in page.items:
                if tool_name(entry.action_type) == name and _can_be_proposed(entry):
                    return entry
            token = page.next_token
            if token is None:
                return None

    async def _propose(
        self, ctx: Context, by: Principal, entry: ActionType, arguments: dict[str, Any]
    ) -> CallToolResult:
        asked = _convert(arguments, _Asked)
        account_id = asked.account_id
        if account_id is None:
            if len(by.account_ids) != 1 or ALL_ACCOUNTS in by.account_ids:
                raise InvalidInput("Say which account it is for: account_id.")
            account_id = by.account_ids[0]
        proposal = Proposal(
            action_type=entry.action_type,
            account_id=account_id,
            parameters=asked.parameters,
            rationale=asked.rationale,
            expires_in_seconds=asked.expires_in_seconds,
        )
        said = {
            "account_id": account_id,
            "parameters": asked.parameters,
            "rationale": asked.rationale,
            "expires_in_seconds": asked.expires_in_seconds,
        }
        # One at a time of each principal: a call that is sent again while it is worked on waits for the first.
        slot = f"{by.tenant_id} {by.ref}"
        lock = self._locks.setdefault(slot, asyncio.Lock())
        async with lock:
            named = asked.idempotency_key
            keys = await keys_of(by, entry.action_type, said, named, self._store, self._clock)
            proposed = await self._service.proposals.propose(
                by, proposal, idempotency_key=keys[0], also=keys[1:], trace_id=_trace(ctx)
            )
        intent = proposed.intent
        view = await self._service.inspection.execution(by, intent.action_intent_id)
        again = "" if proposed.created else " This very call was made before; it is the same proposal."
        text = (
            f"NOT EXECUTED by this call. Proposed as {intent.action_intent_id} (digest {intent.approval_digest}), "
            f"status {view.status}.{again} A person or a policy decides, elsewhere. To learn what became of it call "
            f'{STATUS_TOOL} with {{"action_intent_id": "{intent.action_intent_id}"}}.'
        )
        return CallToolResult(
            content=[TextContent(type="text", text=text)],
            structured_content={
                "executed_by_this_call": False,
                "action_intent_id": intent.action_intent_id,
                "approval_digest": intent.approval_digest,
                "status": view.status,
                "newly_proposed": proposed.created,
            },
        )

    async def _status(self, by: Principal, arguments: dict[str, Any]) -> CallToolResult:
        asked = _convert(arguments, _StatusAsked)
        view = await self._service.inspection.execution(by, asked.action_intent_id)
        return CallToolResult(
            content=[TextContent(type="text", text=f"{_WORDS[view.status]} ({view.action_intent_id})")],
            structured_content=_facts(view),
        )


def _can_be_proposed(entry: ActionType) -> bool:
    """Whether agents may: not what is deprecated, nor what only an undo proposes."""
    return entry.deprecated_at is None and not entry.undo_only


def _facts(view: ExecutionView) -> dict[str, Any]:
    """What an agent is told of an execution. Sentences are left out: a third party may have written parts of them."""
    return {
        "action_intent_id": view.action_intent_id,
        "status": view.status,
        "run_number": view.run_number,
        "attempt_count": view.attempt_count,
        "external_object_refs": msgspec.to_builtins(view.external_object_refs),
        "error_class": view.error_class,
        "error_code": view.error_code,
        "compensation_status": view.compensation_status,
    }


def _convert(arguments: dict[str, Any], kind: type[Answer]) -> Answer:
    try:
        return msgspec.convert(arguments, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The arguments do not fit: {str(error).rstrip('.')[:300]}.") from None


def _principal(ctx: Context) -> Principal:
    principal = ctx.request.scope.get(CALLER) if ctx.request is not None else None
    if not isinstance(principal, Principal):
        raise MCPError(code=INTERNAL_ERROR, message="The request has no principal.")
    return principal


def _trace(ctx: Context) -> str | None:
    trace_id = ctx.request.scope.get(TRACE) if ctx.request is not None else None
    return trace_id if isinstance(trace_id, str) else None
