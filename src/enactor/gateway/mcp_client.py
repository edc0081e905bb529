"""One connection to an MCP server, kept open and used by many calls. It lists tools and makes calls, each once.

The SDK's own `Client.call_tool` sends a call again when a server says that a header does not match or that it wants
more input. What is used here is the session below it, which sends what it is told, once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, cast

import httpx
import httpx2
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import Implementation, PaginatedRequestParams, RequestParamsMeta, Result, ServerNotification, Tool
from pydantic import ValidationError

from enactor.domain.errors import Unavailable
from enactor.gateway.mcp_rules import McpServer
from enactor.gateway.mcp_wire import FLIGHT, Flight, Gate, Headers, Wire

_log = logging.getLogger("enactor.gateway")
_PAGES: Final = 100
_TOOLS: Final = 2_000
_CLOSING_SECONDS: Final = 10.0
_NAME: Final = "enactor"


class McpConnection:
    """A connection. Open it before use; when it has ended, make another.

    Args:
        server: where to.
        version: of this program, told to the server.
        headers: authenticates each HTTP request.
        inner: sends HTTP requests; not used for a process.
        environment: the variables of the process, besides PATH and its like.
        on_tools_changed: called when the server says that its tools have changed.
        show_errors: what a process writes to its standard error goes to this one's, and is dropped otherwise.
    """

    def __init__(
        self,
        server: McpServer,
        *,
        version: str,
        headers: Headers,
        inner: httpx.AsyncBaseTransport | None = None,
        environment: Mapping[str, str] | None = None,
        on_tools_changed: Callable[[], None] = lambda: None,
        show_errors: bool = False,
    ) -> None:
        self._server = server
        self._version = version
        self._wire = Wire(inner, headers, server.largest_bytes) if inner is not None else None
        self._environment = dict(environment or {})
        self._on_tools_changed = on_tools_changed
        self._show_errors = show_errors
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._failure = ""
        self._out = 0
        self._retired = False

    @property
    def open(self) -> bool:
        """Whether calls can be made."""
        return self._client is not None and not self._retired and not self._ending.is_set()

    @property
    def unauthorized(self) -> bool:
        """Whether the last answer was that the credentials are not accepted."""
        return self._wire is not None and self._wire.unauthorized

    async def start(self) -> None:
        """Connects and negotiates. Raises `Unavailable` that says why it cannot."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(ready), name=f"mcp {self._server.name}")
        try:
            async with asyncio.timeout(self._server.connect_seconds):
                await asyncio.shield(ready)
        except TimeoutError:
            await self.close()
            raise self._unavailable("it did not answer in time") from None
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends the connection, and the process. Calls still out end as unknown."""
        self._ending.set()
        if self._task is None:
            return
        done, _ = await asyncio.wait({self._task}, timeout=_CLOSING_SECONDS if self._client else 0)
        if not done:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CLOSING_SECONDS)

    def retire(self) -> None:
        """Takes no more calls; the connection ends when those that are out have come back."""
        self._retired = True
        if self._out == 0:
            self._ending.set()

    async def tools(self) -> list[Tool]:
        """Every tool that the server lists. Raises `Unavailable`."""
        client = self._client
        if client is None:
            raise self._unavailable("the connection has ended")
        if self._wire is not None:
            self._wire.failure = ""
        found: list[Tool] = []
        cursor: str | None = None
        seen: set[str] = set()
        try:
            async with asyncio.timeout(self._server.connect_seconds):
                for _ in range(_PAGES):
                    params = PaginatedRequestParams(cursor=cursor) if cursor is not None else None
                    page = await client.session.list_tools(params=params)
                    found += page.tools
                    cursor = page.next_cursor
                    if cursor is None:
                        break
                    if cursor in seen or len(found) > _TOOLS:
                        raise self._unavailable("its listing of tools does not end")
                    seen.add(cursor)
                else:
                    raise self._unavailable("its listing of tools does not end")
        except TimeoutError:
            self.retire()
            raise self._unavailable("it did not list its tools in time") from None
        except (MCPError, ValidationError, RuntimeError) as error:
            self.retire()
            raise self._unavailable(self._reason(error, "it does not list its tools")) from None
        return found

    async def call(self, name: str, arguments: dict[str, Any], meta: dict[str, Any], flight: Flight) -> Result:
        """Makes a call, once.

        Args:
            flight: told what became of the request on its way; whatever is raised, it says whether anything left.

        Returns:
            The result as it came, one that asks for more input among them.

        Raises:
            MCPError: the server answered with an error, or no answer came.
            Exception: what came fits nothing.
        """
        client = self._client
        if client is None or not self.open:
            raise self._unavailable("the connection has ended")
        token = FLIGHT.set(flight)
        self._out += 1
        try:
            result: Result = await client.session.call_tool(
                name,
                arguments,
                meta=cast(RequestParamsMeta, meta),
                allow_input_required=True,
                allow_claimed=True,
            )
            return result
        finally:
            FLIGHT.reset(token)
            self._out -= 1
            if self._retired:
                self.retire()

    async def _hold(self, ready: asyncio.Future[None]) -> None:
        try:
            async with AsyncExitStack() as stack:
                client = await self._connect(stack)
                self._client = client
                ready.set_result(None)
                await self._ending.wait()
        except asyncio.CancelledError:
            self._failure = self._failure or "the connection was given up"
        except BaseException as error:  # noqa: BLE001 - groups of errors from the SDK's tasks among them
            self._failure = self._reason(error, "no connection could be made")
            _log.info("the connection to %s ended by %s", self._server.name, type(error).__name__)
        finally:
            self._client = None
            self._ending.set()
            if not ready.done():
                ready.set_exception(self._unavailable(self._failure))

    async def _connect(self, stack: AsyncExitStack) -> Client:
        server = self._server
        transport: Any
        if server.url is not None and self._wire is not None:
            http = httpx2.AsyncClient(
                transport=self._wire,
                # A redirect within one origin would be followed with the same call: that is a second send.
                max_redirects=0,
                timeout=httpx2.Timeout(None, connect=server.connect_seconds, pool=server.connect_seconds),
            )
            await stack.enter_async_context(http)
            transport = streamable_http_client(server.url, http_client=http, max_sse_event_size=server.largest_bytes)
        else:
            parameters = StdioServerParameters(
                command=server.command[0],
                args=list(server.command[1:]),
                env=self._environment,
                cwd=server.directory,
            )
            if self._show_errors:
                streams = stdio_client(parameters)
            else:
                nowhere = stack.enter_context(Path(os.devnull).open("w"))  # noqa: ASYNC230, SIM115 - it never blocks, and is closed by the stack
                streams = stdio_client(parameters, errlog=nowhere)
            transport = Gate(streams, self._ending.set)
        return await stack.enter_async_context(
            Client(
                transport,
                client_info=Implementation(name=_NAME, version=self._version),
                message_handler=self._heard,
                # A listing is asked for because it may have changed.
                cache=None,
            )
        )

    async def _heard(self, message: ServerNotification | Exception) -> None:
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            self._on_tools_changed()

    def _reason(self, error: BaseException, otherwise: str) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if self._wire is not None and self._wire.failure:
            return self._wire.failure
        if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
            return f"its command cannot be run: {error.strerror}"
        if self._server.command and self._client is None:
            return "its process ended, or does not speak MCP"
        return otherwise

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(f"The MCP server '{self._server.name}' cannot be used: {reason}.")
