"""The door to an MCP server over HTTP: who asks, and where to get a token (RFC 9728), before a byte reaches the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from enactor.domain.errors import EnactorError, Unauthenticated
from enactor.domain.principal import Principal
from enactor.http.auth import Authenticator, bearer_token
from enactor.http.context import TRACE
from enactor.http.problems import challenge, problem_response
from enactor.settings import LOOPBACK

AGENTS: Final = "/mcp"
METADATA: Final = "/.well-known/oauth-protected-resource"

CALLER: Final = "enactor.caller"
"""Where the door puts what a request's token stands for, in its ASGI scope."""

Admit = Callable[[str, Scope], Awaitable[object]]
"""Says what a bearer token stands for. Raises `Unauthenticated`, `Unavailable`."""


class DoorSettings(Struct, frozen=True, kw_only=True):
    """How the door is reached.

    Attributes:
        public_url: the address that clients use, without a path; what the request says when None.
        issuers: who issues tokens for it, for clients to find.
        host: the address that is listened on; on loopback, only names of this machine are answered.
        max_body_bytes: the longest request.
    """

    public_url: str | None = None
    issuers: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    max_body_bytes: int = 4 * 1024 * 1024

    def base(self, request: Request) -> str:
        """The address that clients use."""
        return (self.public_url or str(request.base_url)).rstrip("/")


class Door:
    """An MCP server behind a token, as an ASGI application. Every request stands for itself; there are no sessions.

    Args:
        server: the MCP server.
        path: where it is.
        admit: says what a token stands for.
        metadata: whether a 401 says where the metadata of RFC 9728 are.
    """

    def __init__(
        self, server: Server[Any], path: str, admit: Admit, settings: DoorSettings, *, metadata: bool = True
    ) -> None:
        self.path = path
        self._admit = admit
        self._settings = settings
        self._metadata = metadata
        self._manager = StreamableHTTPSessionManager(
            server,
            json_response=True,
            stateless=True,
            security_settings=_names(settings),
            max_request_body_size=settings.max_body_bytes,
        )
        self._stopping = asyncio.Event()
        self._holding: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to answer requests. Once."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._holding = asyncio.create_task(self._hold(ready), name=f"mcp {self.path}")
        await ready

    async def stop(self) -> None:
        """Answers no more. Stopping twice is stopping once."""
        self._stopping.set()
        if self._holding is not None:
            await self._holding

    async def _hold(self, ready: asyncio.Future[None]) -> None:
        # The manager has to be entered and left by the same task.
        async with self._manager.run():
            ready.set_result(None)
            await self._stopping.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        request = Request(scope, receive)
        trace_id = str(scope.get(TRACE, ""))
        if scope["method"] != "POST":
            # Nothing is ever sent of the server's own accord, and there are no sessions to end.
            await Response(status_code=405, headers={"allow": "POST"})(scope, receive, send)
            return
        try:
            token = bearer_token(
                [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
            )
            scope[CALLER] = await self._admit(token, scope)
        except EnactorError as error:
            response = problem_response(error, trace_id)
            if isinstance(error, Unauthenticated):
                response.headers["www-authenticate"] = challenge(error, *self._whereabouts(request))
            await response(scope, receive, send)
            return
        await self._manager.handle_request(scope, receive, send)

    def _whereabouts(self, request: Request) -> list[str]:
        """Where the metadata are (RFC 9728, section 5.1)."""
        return [f'resource_metadata="{self._settings.base(request)}{METADATA}{self.path}"'] if self._metadata else []

    def routes(self) -> list[BaseRoute]:
        """The server's route, and those of its metadata."""
        found: list[BaseRoute] = [Route(self.path, self)]
        if self._metadata:
            found += [Route(path, self._document, methods=["GET"]) for path in (METADATA, f"{METADATA}{self.path}")]
        return found

    async def _document(self, request: Request) -> Response:
        document: dict[str, object] = {
            "resource": f"{self._settings.base(request)}{self.path}",
            "bearer_methods_supported": ["header"],
            "resource_name": "Enactor",
        }
        if self._settings.issuers:
            document["authorization_servers"] = list(self._settings.issuers)
        return JSONResponse(document, headers={"access-control-allow-origin": "*"})


def admitting(authenticator: Authenticator, *, development: bool) -> Admit:
    """Admits whoever has a token that `authenticator` accepts.

    Args:
        development: development tokens are good, from this machine.
    """

    async def admit(token: str, scope: Scope) -> Principal:
        session = authenticator.known(token) or await authenticator.authenticate(token)
        if session.development:
            client = scope.get("client")
            if not development or client is None or client[0] not in LOOPBACK:
                raise Unauthenticated("Development tokens are good only on the machine that runs `serve --dev`.")
        return session.principal

    return admit


def mount(app: Any, doors: Iterable[Door]) -> None:
    """Adds the doors' routes to a Starlette or FastAPI application."""
    for door in doors:
        app.router.routes.extend(door.routes())


def _names(settings: DoorSettings) -> TransportSecuritySettings:
    """On loopback a page in a browser could reach us by a name of its own (DNS rebinding): only ours are answered."""
    if settings.host not in LOOPBACK:
        return TransportSecuritySettings(enable_dns_rebinding_protection=False)
    hosts = ["127.0.0.1", "localhost", "[::1]"]
    if settings.public_url is not None:
        hosts.append(settings.public_url.partition("://")[2].partition("/")[0])
    named = [form for host in hosts for form in (host, f"{host}:*")]
    origins = [f"{scheme}://{host}" for host in named for scheme in ("http", "https")]
    return TransportSecuritySettings(allowed_hosts=named, allowed_origins=origins)
