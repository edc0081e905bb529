"""One configured operation as a tool: its effect, its look-up, and its undoing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from enactor.connectors.accounts import AccountTargets
from enactor.connectors.http_call import Answer, Unclear
from enactor.connectors.http_target import HttpTarget
from enactor.connectors.openapi import replies
from enactor.connectors.openapi.arguments import SchemaArguments
from enactor.connectors.openapi.fixing import with_fixed
from enactor.connectors.openapi.operations import Operation
from enactor.connectors.openapi.requests import Prepared, WrongArgument, checked_header, prepared
from enactor.connectors.openapi.settings import ReadSettings, ServerSettings, ToolSettings, UndoSettings
from enactor.connectors.sdk import (
    Absent,
    CannotTell,
    ChangedSince,
    Found,
    LookUpAnswer,
    NotSent,
    Refused,
    ToolCall,
    ToolResult,
    UndoArguments,
)
from enactor.domain.errors import ErrorClass
from enactor.domain.outcome import ObjectRef
from enactor.gateway.pointing import fill
from enactor.ports.clock import Clock


class Server(Struct, frozen=True):
    """Where the API is for a tenant."""

    settings: ServerSettings
    target: HttpTarget

    def account(self, account_id: str) -> str | None:
        """What stands there for an account of ours; None when nothing does."""
        accounts = self.settings.accounts
        return account_id if accounts is None else accounts.get(account_id)

    def url(self, request: Prepared) -> str:
        """The whole address of a request."""
        return f"{self.settings.base_url}{request.target}"


class Operations(Struct, frozen=True):
    """The operations that a tool needs: the effect's, and those that search, read back and undo where there are any."""

    effect: Operation
    lookup: Operation | None = None
    undo: Operation | None = None
    read: Operation | None = None


class OperationTool:
    """The tool. Its methods are what the connector offers to the tool plane.

    Args:
        settings: what the tool promises.
        operations: what it is made of.
        servers: where it is called.
        clock: for `Retry-After`.
    """

    def __init__(
        self,
        settings: ToolSettings,
        operations: Operations,
        servers: AccountTargets[Server],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._operations = operations
        self._servers = servers
        self._clock = clock
        self._rules = replies.rules_of(settings.refs)

    async def call(self, args: SchemaArguments, call: ToolCall) -> ToolResult:
        """Makes the one request, and says what its answer means."""
        server, account = self._server(call)
        values = {"key": call.idempotency_key, "account": account}
        request = _request(
            self._operations.effect, with_fixed(args.root, self._settings.fixed, values), self._settings.headers, values
        )
        effect_free = self._settings.effect_free_statuses
        answer = await _send(server, self._operations.effect, request, call, effect_free)
        if answer.status in self._settings.success_statuses:
            return ToolResult(refs=replies.done(answer, self._rules, server.target.what))
        raise replies.refusal(answer, effect_free, self._settings, server.target.what, self._clock.now_ms())

    async def look_up(self, args: SchemaArguments, call: ToolCall) -> LookUpAnswer:
        """Searches the target for the key."""
        look, operation = self._settings.lookup, self._operations.lookup
        if look is None or operation is None:
            return CannotTell(message="The tool has no look-up.")
        try:
            server, account = self._server(call)
            values = {"key": call.idempotency_key, "account": account, "arguments": args.root}
            answer = await _read(server, operation, look, values)
            rules = replies.rules_of(look.refs) or self._rules
            return replies.looked_up(answer, look, rules, call.idempotency_key, account, server.target.what)
        except Refused as refused:
            return CannotTell(message=f"{refused.code}: {refused.message}")

    async def undo(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Takes the effect back, if the object carries the key, belongs to the account, and is as it was left."""
        undo, operation, original = self._undoing(args)
        server, account = self._server(call)
        async with server.target.before_sending(call):
            thing = await self._read_back(undo, args, original, call)
        if thing is None:
            return ToolResult(refs=(original,), message="It was gone already.")
        if replies.text_at(thing, undo.read.key) != args.original_key:
            raise Refused("NOT_OURS", "The object does not carry our key.", error_class=ErrorClass.AUTH)
        if undo.read.account is not None and replies.text_at(thing, undo.read.account) != account:
            raise Refused("ACCOUNT_MISMATCH", "The object belongs to another account.", error_class=ErrorClass.AUTH)
        if original.version is None or replies.text_at(thing, undo.read.version) != original.version:
            raise ChangedSince("Somebody changed the object since; take it back by hand.")
        values = _undo_values(args, original, account, call)
        request = _filled(operation, undo, values)
        answer = await _send(server, operation, request, call, undo.effect_free_statuses)
        if answer.status in self._settings.success_statuses:
            return ToolResult(refs=(original,))
        if answer.status in replies.GONE:
            return ToolResult(refs=(original,), message="It was gone already.")
        raise replies.refusal(
            answer, undo.effect_free_statuses, self._settings, server.target.what, self._clock.now_ms()
        )

    async def look_up_undo(self, args: UndoArguments, call: ToolCall) -> LookUpAnswer:
        """Whether the object is gone."""
        try:
            undo, _, original = self._undoing(args)
            thing = await self._read_back(undo, args, original, call)
        except Refused as refused:
            return CannotTell(message=f"{refused.code}: {refused.message}")
        return Found(refs=(original,)) if thing is None else Absent()

    async def _read_back(self, undo: UndoSettings, args: UndoArguments, original: ObjectRef, call: ToolCall) -> Any:
        """The object as it is; None when it is gone."""
        server, account = self._server(call)
        operation = self._operations.read
        if operation is None:
            raise Refused("NOTHING_TO_UNDO", "The tool cannot be undone.", error_class=ErrorClass.VALIDATION)
        answer = await _read(server, operation, undo.read, _undo_values(args, original, account, call))
        if answer.status in replies.GONE:
            return None
        thing = replies.read(answer, server.target.what)
        return None if replies.is_gone(thing, undo.read.gone) else thing

    def _undoing(self, args: UndoArguments) -> tuple[UndoSettings, Operation, ObjectRef]:
        undo, operation = self._settings.undo, self._operations.undo
        system = {rule.system for rule in self._rules}
        refs = [ref for ref in args.refs if ref.get("system") in system]
        if undo is None or operation is None or len(refs) != 1:
            raise Refused("NOTHING_TO_UNDO", "The original names no single object.", error_class=ErrorClass.VALIDATION)
        try:
            return undo, operation, msgspec.convert(refs[0], ObjectRef)
        except msgspec.ValidationError:
            raise Refused(
                "NOTHING_TO_UNDO", "The original names no single object.", error_class=ErrorClass.VALIDATION
            ) from None

    def _server(self, call: ToolCall) -> tuple[Server, str]:
        """Where a call goes, and what stands there for its account. Raises `Refused` when nothing does."""
        server = self._servers.find(call.tenant_id, call.account_id)
        account = server.account(call.account_id) if server is not None else None
        if server is None or account is None:
            raise Refused(
                "ACCOUNT_NOT_MAPPED",
                "The API is not configured for the account; name it under connector_settings.openapi.",
                error_class=ErrorClass.VALIDATION,
            )
        return server, account


async def _send(
    server: Server, operation: Operation, request: Prepared, call: ToolCall, effect_free: tuple[int, ...]
) -> Answer:
    try:
        return await server.target.write(
            operation.method, server.url(request), call, headers=request.headers, content=request.content
        )
    except Refused as refused:
        # Where the settings do not say so, not even a 401 proves that nothing was done.
        if refused.code == "UNAUTHORIZED" and 401 not in effect_free:
            raise Unclear(refused.message) from None
        raise


def _undo_values(args: UndoArguments, original: ObjectRef, account: str, call: ToolCall) -> dict[str, Any]:
    return {
        "key": call.idempotency_key,
        "original_key": args.original_key,
        "account": account,
        "arguments": args.original_arguments,
        "ref": msgspec.to_builtins(original),
    }


async def _read(server: Server, operation: Operation, settings: ReadSettings, values: Mapping[str, Any]) -> Answer:
    request = _filled(operation, settings, values)
    return await server.target.read(
        operation.method, server.url(request), headers=request.headers, content=request.content
    )


def _filled(operation: Operation, settings: ReadSettings, values: Mapping[str, Any]) -> Prepared:
    try:
        arguments = fill(settings.arguments, values)
    except KeyError as error:
        raise NotSent(
            "ARGUMENTS_UNUSABLE", f"There is nothing at {str(error)[:200]} for the request.", retryable=False
        ) from None
    return _request(operation, arguments, settings.headers, values)


def _request(
    operation: Operation, arguments: Mapping[str, Any], headers: Mapping[str, str], values: Mapping[str, Any]
) -> Prepared:
    """The request of arguments, with further headers. Raises `NotSent` when it cannot be written."""
    try:
        request = prepared(operation, arguments)
        more = {name: checked_header(name, str(value)) for name, value in fill(headers, values).items()}
    except WrongArgument as wrong:
        raise NotSent("ARGUMENTS_UNUSABLE", f"{wrong.argument} {wrong.why}.", retryable=False) from None
    except KeyError as error:
        raise NotSent(
            "ARGUMENTS_UNUSABLE", f"There is nothing at {str(error)[:200]} for the request.", retryable=False
        ) from None
    return Prepared(request.target, {"Accept": "application/json", **request.headers, **more}, request.content)
