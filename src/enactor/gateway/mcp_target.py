"""One MCP server as a target: what it lists, the connections to it, and its calls and look-ups, each made once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import httpx
import msgspec
from mcp_types import CallToolResult, Result, Tool
from msgspec import Struct

from enactor.domain.errors import ConfigurationError, EnactorError, Unavailable
from enactor.domain.mapping import is_secret_reference
from enactor.domain.permit import CallResult, Purpose
from enactor.gateway.mcp_answers import Secrets, data_of, not_sent, reply_of
from enactor.gateway.mcp_client import McpConnection
from enactor.gateway.mcp_definitions import Known, definitions_of
from enactor.gateway.mcp_rules import McpServer
from enactor.gateway.mcp_wire import Flight
from enactor.gateway.pointing import AnswerIncomplete, extract_refs, fill, pointed_at
from enactor.ports.artifacts import ArtifactStore
from enactor.ports.clock import Clock
from enactor.ports.secrets import SecretSource
from enactor.ports.tools import CallRequest, LookUpResult, Reply

_log = logging.getLogger("enactor.gateway")

KEY_META: Final = "enactor/idempotency-key"
"""Where a call's key is in its `_meta`, for servers that look there."""


class HeaderSource:
    """Authenticates requests to one target. As it stands, with nothing.

    Attributes:
        per_tenant: the headers differ by tenant, so connections must not be shared between tenants.
    """

    per_tenant = False

    async def headers(self, tenant_id: str) -> Mapping[str, str]:
        """The headers for the next request of a tenant; of none when tools are listed. Raises `EnactorError`."""
        return {}

    async def refused(self, tenant_id: str) -> bool:
        """The target did not accept them. Returns whether those of the next request may be better."""
        return True

    def accepted(self, tenant_id: str) -> None:
        """The target accepted them."""

    async def close(self) -> None:
        """Lets go of connections."""


class StaticHeaders(HeaderSource):
    """Headers whose values are secrets of the server's own settings, read anew for each request.

    Args:
        references: header names with the references of their values.
        read: reads a reference; raises `ConfigurationError`.
    """

    def __init__(self, references: Mapping[str, str], read: Callable[[str], str]) -> None:
        self._references = references
        self._read = read

    async def headers(self, tenant_id: str) -> Mapping[str, str]:
        return {name: self._read(reference) for name, reference in self._references.items()}


class Surroundings(Struct, frozen=True, kw_only=True):
    """What every target works with.

    Attributes:
        secrets: where `{"$secret": name}` in arguments is read from.
        transport: makes what sends HTTP requests to a server, once for each connection.
        read_reference: the secret that a reference of the settings points at.
        version: of this program.
        show_errors: what processes write to their standard error is shown.
    """

    clock: Clock
    secrets: SecretSource
    artifacts: ArtifactStore
    transport: Callable[[McpServer], httpx.AsyncBaseTransport]
    read_reference: Callable[[str], str]
    version: str
    show_errors: bool = False


class _Session:
    """A connection, with what it listed and when."""

    def __init__(self, connection: McpConnection, known: dict[str, Known], listed_at: int) -> None:
        self.connection = connection
        self.known = known
        self.listed_at = listed_at


class McpTarget:
    """An MCP server.

    Args:
        server: its settings.
        headers: authenticates requests; what the settings say when absent.
    """

    def __init__(self, server: McpServer, surroundings: Surroundings, headers: HeaderSource | None = None) -> None:
        server.check()
        self.server = server
        self.known: dict[str, Known] = {}
        """Its tools by Enactor's name, as last listed."""
        self.listed: list[Tool] = []
        """The same as the server listed them."""
        self.failure = "it was not asked yet"
        """Why it could not be listed last; empty when it could."""
        self._around = surroundings
        self._headers = headers or StaticHeaders(server.headers, surroundings.read_reference)
        self._sessions: dict[str, _Session] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._retired: set[McpConnection] = set()

    async def refresh(self) -> bool:
        """Lists the tools again. Returns whether they changed. Raises `Unavailable`; what was known then stands."""
        before = {name: known.definition for name, known in self.known.items()}
        try:
            await self._session("", fresh=True)
        except EnactorError as error:
            self.failure = error.message
            raise
        return before != {name: known.definition for name, known in self.known.items()}

    def recall(self, tools: list[Tool]) -> None:
        """Takes up what the server listed at an earlier time, until it lists anew. No call is made on its strength."""
        self.listed = tools
        self.known = definitions_of(self.server, tools)

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Makes the call, once; see `ports.tools`."""
        kept = Secrets()
        try:
            session = await self._session(request.tenant_id)
            known = self._pinned(session, request)
            arguments = self._arguments(known, request, kept)
        except _Unfit as unfit:
            return not_sent(unfit.code, unfit.message, retryable=False)
        except (ConfigurationError, KeyError) as error:
            message = error.message if isinstance(error, ConfigurationError) else "The arguments do not fit the tool."
            return not_sent("ARGUMENTS_UNUSABLE", message, retryable=False)
        except EnactorError as error:
            return not_sent("TOOL_UNREACHABLE", error.message)
        if not check():
            return not_sent("TOO_LATE_TO_SEND", "The permit ran out before the call left.")
        flight = Flight(check)
        outcome = await self._outcome(session.connection, known, arguments, request, flight)
        kept.add(flight.credentials)
        reply = reply_of(known.rule, flight, outcome, kept)
        if flight.status == 401:
            if not await self._headers.refused(request.tenant_id):
                reply = msgspec.structs.replace(reply, retryable=False)
        elif flight.status is not None and flight.status < 300:
            self._headers.accepted(request.tenant_id)
        if flight.status == 404 and flight.in_session:
            self._retire(request.tenant_id, session)
        return await self._with_artifact(request, reply, flight, outcome, kept)

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Searches the server by the call's key; see `ports.tools`."""
        try:
            session = await self._session(request.tenant_id)
            known = self._pinned(session, msgspec.structs.replace(request, definition_hash=""))
            rule = known.rule.lookup
            searching = session.known.get(f"{self.server.name}.{rule.tool}") if rule else None
            if rule is None or searching is None:
                return LookUpResult(found=None, message="The tool cannot be looked up.")
            kept = Secrets()
            arguments = fill(rule.arguments, {**_values(request), "arguments": _decoded(request)})
            flight = Flight(lambda: True)
            outcome = await self._outcome(session.connection, searching, arguments, request, flight)
            kept.add(flight.credentials)
            if not isinstance(outcome, CallToolResult) or outcome.is_error or outcome.result_type != "complete":
                return LookUpResult(found=None, message="The look-up failed.")
            found = pointed_at(data_of(outcome), rule.found)
            if found is None or found is False or found == []:
                return LookUpResult(found=False)
            items = found if isinstance(found, list) else [found]
            return LookUpResult(found=True, refs=tuple(ref for item in items for ref in extract_refs(rule.refs, item)))
        except (EnactorError, _Unfit, KeyError, AnswerIncomplete):
            return LookUpResult(found=None, message="The look-up failed.")

    async def close(self) -> None:
        """Ends every connection."""
        ending = [*(session.connection for session in self._sessions.values()), *self._retired]
        self._sessions.clear()
        self._retired.clear()
        await asyncio.gather(*(connection.close() for connection in ending))
        await self._headers.close()

    # -- connections ---------------------------------------------------------------------------------------------

    async def _session(self, tenant_id: str, *, fresh: bool = False) -> _Session:
        """An open connection whose listing stands. Raises `Unavailable`, `ConfigurationError`."""
        key = tenant_id if self._headers.per_tenant else ""
        session = self._sessions.get(key)
        if session is not None and session.connection.open and not fresh and not self._stale(session):
            return session
        async with self._locks.setdefault(key, asyncio.Lock()):
            session = self._sessions.get(key)
            if session is None or not session.connection.open:
                session = self._sessions[key] = await self._connected(key)
            elif fresh or self._stale(session):
                await self._list(session)
            return session

    def _stale(self, session: _Session) -> bool:
        return self._around.clock.elapsed_ms() - session.listed_at > self.server.refresh_seconds * 1000

    async def _connected(self, key: str) -> _Session:
        server, around = self.server, self._around
        environment = {name: around.read_reference(reference) for name, reference in server.environment.items()}
        changed: list[_Session] = []

        def on_tools_changed() -> None:
            if changed:
                changed[0].listed_at = -round(server.refresh_seconds * 1000) - 1

        connection = McpConnection(
            server,
            version=around.version,
            headers=partial(self._headers.headers, key),
            inner=around.transport(server) if server.url is not None else None,
            environment=environment,
            on_tools_changed=on_tools_changed,
            show_errors=around.show_errors,
        )
        session = _Session(connection, {}, 0)
        changed.append(session)
        try:
            await connection.start()
            await self._list(session)
        except BaseException as error:
            await connection.close()
            if isinstance(error, Unavailable) and connection.unauthorized:
                await self._headers.refused(key)
            raise
        return session

    async def _list(self, session: _Session) -> None:
        at = self._around.clock.elapsed_ms()
        tools = await session.connection.tools()
        session.known = definitions_of(self.server, tools)
        session.listed_at = at
        self.listed, self.known = tools, session.known
        self.failure = ""

    def _retire(self, tenant_id: str, session: _Session) -> None:
        key = tenant_id if self._headers.per_tenant else ""
        if self._sessions.get(key) is session:
            del self._sessions[key]
        session.connection.retire()
        self._retired = {connection for connection in self._retired if connection.open}
        self._retired.add(session.connection)

    # -- calls ---------------------------------------------------------------------------------------------------

    def _pinned(self, session: _Session, request: CallRequest) -> Known:
        known = session.known.get(request.tool_name)
        if known is None:
            raise _Unfit("TOOL_NOT_FOUND", f"The server does not list {request.tool_name} any more.")
        if request.definition_hash and known.definition.definition_hash != request.definition_hash:
            raise _Unfit("TOOL_CHANGED", f"The definition of {request.tool_name} changed; propose it again.")
        return known

    def undo_arguments(self, request: CallRequest) -> dict[str, Any]:
        """The arguments of a tool that takes something back. Raises `ConfigurationError`."""
        known = self.known.get(request.tool_name)
        if known is None or known.rule.undo_arguments is None:
            raise ConfigurationError(f"{request.tool_name} is not configured to undo: it has no undo_arguments.")
        try:
            return fill(known.rule.undo_arguments, _values(request))
        except KeyError as error:
            message = f"The undo_arguments of {request.tool_name} name {error.args[0]}, which the original has not."
            raise ConfigurationError(message) from None

    def _arguments(self, known: Known, request: CallRequest, kept: Secrets) -> dict[str, Any]:
        if request.purpose is Purpose.COMPENSATION:
            if known.rule.undo_arguments is None:
                raise ConfigurationError(f"{request.tool_name} is not configured to undo: it has no undo_arguments.")
            arguments = fill(known.rule.undo_arguments, _values(request))
        else:
            arguments = _decoded(request)
            for name, value in arguments.items():
                if is_secret_reference(value):
                    arguments[name] = self._around.secrets.read(request.tenant_id, value["$secret"])
                    kept.add([arguments[name]])
        if known.rule.key_argument is not None:
            arguments[known.rule.key_argument] = request.idempotency_key
        return arguments

    async def _outcome(
        self, connection: McpConnection, known: Known, arguments: dict[str, Any], request: CallRequest, flight: Flight
    ) -> Result | BaseException:
        """The result of one call, or what was raised in its place. Cancellation alone is not caught."""
        meta = {KEY_META: request.idempotency_key}
        try:
            async with asyncio.timeout(request.timeout_seconds):
                return await connection.call(known.listed_name, arguments, meta, flight)
        except Unavailable as error:
            flight.reason = error.message
            return error
        except Exception as error:  # noqa: BLE001 - whatever it is, the flight knows whether anything left
            _log.info("the call of %s ended by %s", request.tool_name, type(error).__name__)
            return error

    async def _with_artifact(
        self, request: CallRequest, reply: Reply, flight: Flight, outcome: Result | BaseException, kept: Secrets
    ) -> Reply:
        content = bytes(flight.raw)
        if not content and isinstance(outcome, CallToolResult):
            content = outcome.model_dump_json(by_alias=True, exclude_none=True).encode()
        doubtful = reply.result is CallResult.UNKNOWN
        if not content or not (doubtful or self.server.keep_answers or len(content) > self.server.artifact_bytes):
            return reply
        try:
            reference = await self._around.artifacts.put(request.tenant_id, kept.out_of_bytes(content))
        except EnactorError as error:
            # The call has ended as it has, whether or not its answer can be kept.
            _log.error("an answer of %s was not kept: %s", request.tool_name, error.message)
            return reply
        message = f"{reply.message} Its answer is kept: {reference}" if doubtful else reply.message
        return msgspec.structs.replace(reply, artifact_ref=reference, message=message)


class _Unfit(Exception):
    """What would be called is not what was approved."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _decoded(request: CallRequest) -> dict[str, Any]:
    arguments: dict[str, Any] = msgspec.json.decode(request.argument_bytes)
    return arguments


def _values(request: CallRequest) -> dict[str, Any]:
    return {
        "key": request.idempotency_key,
        "original_key": request.original_key,
        "ref": msgspec.to_builtins(request.original[0]) if request.original else {},
        "arguments": {},
        "account": request.account_id,
    }
