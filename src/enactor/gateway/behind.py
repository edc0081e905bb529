"""Connectors behind an Enactor's own MCP server: each call goes there with an execution token of its own (section 6).

What the tools are is known here, from the same connectors; what they do is done where `/gateway/mcp` is served: in this
process or in another one over the same store, which alone needs the targets' credentials.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import httpx
import msgspec
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult, Result

from enactor.domain.errors import EnactorError, ErrorClass, FailureCode, Unavailable
from enactor.domain.permit import CallResult
from enactor.gateway.composite import GovernedPlane
from enactor.gateway.execution_tokens import LIFETIME_SECONDS, ExecutionTokens, Use
from enactor.gateway.mcp_answers import not_sent, unknown
from enactor.gateway.mcp_client import McpConnection
from enactor.gateway.mcp_rules import McpServer
from enactor.gateway.mcp_wire import Flight
from enactor.ports.clock import Clock
from enactor.ports.tools import CallRequest, LookUpResult, Reply

NOTHING_CALLED: Final[dict[str, Any]] = {"called": False}
"""The data of an error by which a gateway says that it called nothing."""

_log = logging.getLogger("enactor.gateway")
_MARGIN_SECONDS: Final = 2.0
"""The gateway keeps a call's timeout, and its word for what became of it is better than ours."""
_TOKEN: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("enactor.execution_token", default="")


class GatewayLink:
    """The way to a `/gateway/mcp`. One connection is kept; each request carries the token of the call it is made for.

    Args:
        url: where it is.
        tokens: mints the tokens.
        transport: what sends HTTP requests; it must not repeat one.
        version: of this program, told to the server.
    """

    def __init__(
        self,
        url: str,
        tokens: ExecutionTokens,
        clock: Clock,
        transport: Callable[[], httpx.AsyncBaseTransport],
        version: str,
    ) -> None:
        self._server = McpServer(name="gateway", url=url)
        self._tokens = tokens
        self._clock = clock
        self._transport = transport
        self._version = version
        self._connection: McpConnection | None = None
        self._connecting = asyncio.Lock()

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Makes the call once, with a token minted for it now that its permit is durable; see `ports.tools`."""
        flight = Flight(check)
        minted_at = self._clock.now_ms()
        try:
            outcome = await self._ask(request, Use.CALL, flight)
        except EnactorError as error:
            return not_sent(FailureCode.TOOL_UNREACHABLE.value, error.message, retryable=error.retryable)
        if flight.too_late:
            return not_sent("TOO_LATE_TO_SEND", "The permit ran out before the call left.")
        if not flight.sent:
            reason = flight.reason or "the connection ended"
            return not_sent(
                FailureCode.TOOL_UNREACHABLE.value, f"Nothing was sent: {reason}.", retryable=flight.retryable
            )
        if isinstance(outcome, CallToolResult) and not flight.error and not flight.too_large:
            return _reply(outcome)
        in_time = self._clock.now_ms() < minted_at + LIFETIME_SECONDS * 1000
        if flight.status == 401 and in_time:
            # Later, it could be the answer to a copy of the call, made by something on the way.
            return _refused("The gateway did not take the execution token.", ErrorClass.AUTH)
        if (
            isinstance(outcome, MCPError)
            and outcome.error.code == INVALID_PARAMS
            and outcome.error.data == NOTHING_CALLED
        ):
            return _refused(f"The gateway refused: {outcome.error.message}", ErrorClass.VALIDATION)
        if isinstance(outcome, TimeoutError):
            return unknown("No answer came from the gateway in time.", code=FailureCode.TOOL_TIMEOUT)
        return unknown("The call left, and the gateway did not say what became of it.")

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Has the gateway search the target, with a token for that alone; trouble is "cannot tell"."""
        try:
            outcome = await self._ask(request, Use.LOOK_UP, Flight(lambda: True))
            if isinstance(outcome, CallToolResult):
                return msgspec.convert(outcome.structured_content, LookUpResult)
        except (EnactorError, msgspec.ValidationError):
            pass
        return LookUpResult(found=None, message="The look-up failed.")

    async def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def _ask(self, request: CallRequest, use: Use, flight: Flight) -> Result | BaseException:
        """One request with a token of its own. Raises `EnactorError` when none was made."""
        arguments: dict[str, Any] = msgspec.json.decode(request.argument_bytes)
        token = _TOKEN.set(self._tokens.mint(request, use))
        try:
            connection = await self._connected()
            async with asyncio.timeout(request.timeout_seconds + _MARGIN_SECONDS):
                return await connection.call(request.tool_name, arguments, {}, flight)
        except EnactorError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the flight knows whether anything left
            _log.info("the call of %s through the gateway ended by %s", request.tool_name, type(error).__name__)
            return error
        finally:
            _TOKEN.reset(token)

    async def _connected(self) -> McpConnection:
        async with self._connecting:
            if self._connection is None or not self._connection.open:
                connection = McpConnection(
                    self._server, version=self._version, headers=self._headers, inner=self._transport()
                )
                await connection.start()
                self._connection = connection
                # The SDK holds answers against the tools' schemas, and would ask for them in the midst of a call.
                await connection.tools()
            return self._connection

    async def _headers(self) -> Mapping[str, str]:
        token = _TOKEN.get()
        if not token:
            raise Unavailable("Nothing is asked of the gateway without an execution token.")
        return {"authorization": f"Bearer {token}"}


class BehindGateway:
    """A tool plane some of whose connectors are called through a gateway.

    Args:
        inner: knows all tools, and calls those of the other connectors.
        connectors: whose tools are called through `link`.
    """

    def __init__(self, inner: GovernedPlane, connectors: Collection[str], link: GatewayLink) -> None:
        self._inner = inner
        self._connectors = frozenset(connectors)
        self._link = link
        self.keeps_time: bool = getattr(inner, "keeps_time", False)
        self.definition = inner.definition
        self.definitions = inner.definitions
        self.action_types = inner.action_types
        self.validate = inner.validate
        self.connector_version = inner.connector_version
        self.undo_arguments = inner.undo_arguments
        # Reading is no permitted call, and a token is for nothing else: the target is read from here.
        self.preview = inner.preview

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Makes the call once, there or here."""
        if self._is_behind(request.tool_name):
            return await self._link.call(request, check)
        return await self._inner.call(request, check)

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Searches the target, there or here: here when there is no call whose doubt a token could be for."""
        if request.call_no and self._is_behind(request.tool_name):
            return await self._link.look_up(request)
        return await self._inner.look_up(request)

    async def close(self) -> None:
        """Ends the connection to the gateway, and closes the other connectors."""
        await self._link.close()
        await self._inner.close()

    def _is_behind(self, tool_name: str) -> bool:
        definition = self.definition(tool_name)
        return definition is not None and definition.connector_id in self._connectors


def _reply(outcome: CallToolResult) -> Reply:
    try:
        reply = msgspec.convert(outcome.structured_content, Reply)
    except msgspec.ValidationError:
        return unknown("The gateway's answer is not a reply.")
    return reply if reply.result is not CallResult.OPEN else unknown("The gateway's answer is not a reply.")


def _refused(message: str, error_class: ErrorClass) -> Reply:
    return Reply(
        result=CallResult.REFUSED,
        retryable=error_class is ErrorClass.AUTH,
        error_class=error_class,
        error_code=FailureCode.TOOL_REFUSED.value,
        message=message,
        answered=True,
    )
