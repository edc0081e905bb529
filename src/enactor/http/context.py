"""What every route is given: the parts it works with, who asks, and the trace of the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final

from fastapi import Depends, Query, Request
from msgspec import Struct, field
from starlette.requests import HTTPConnection

from enactor.domain.errors import Unauthenticated
from enactor.domain.principal import Principal
from enactor.http.auth import Authenticator, Session, bearer_token
from enactor.http.metrics import Metrics
from enactor.http.streams import Streams
from enactor.ports.clock import Clock, Ids, Randomness
from enactor.ports.engine import Engine
from enactor.ports.store import Store
from enactor.ports.tools import ConnectorHealth, ToolPlane
from enactor.service import Service
from enactor.service.keeper import KeeperStatus
from enactor.settings import LOOPBACK

TRACE: Final = "enactor.trace_id"
"""Where a request's trace id is in its ASGI scope."""
DEPS: Final = "enactor.deps"
"""Where the parts that a request is answered with are in its ASGI scope."""


class HttpSettings(Struct, frozen=True, kw_only=True):
    """Limits of the HTTP face.

    Attributes:
        max_body_bytes: longest request body; beyond it 413.
        max_body_depth: deepest nesting of a JSON body; beyond it 413.
        dev: whether the development issuer's tokens are accepted; `host` must be on loopback then.
        host: the address that is listened on.
        ready_seconds: how long `/readyz` waits for the store.
    """

    max_body_bytes: int = 1024 * 1024
    max_body_depth: int = 64
    dev: bool = False
    host: str = "127.0.0.1"
    ready_seconds: float = 2.0


def _nothing_known(_tenant_id: str) -> Mapping[str, ConnectorHealth]:
    return {}


class HttpDeps(Struct, frozen=True, kw_only=True):
    """Everything the HTTP face works with; made by the wiring.

    Attributes:
        connectors: every connector that is on, also one that offers no tool at the moment.
        ledger: how the ledger's logs stand.
        health: how a tenant's calls do, by connector.
    """

    service: Service
    store: Store
    engine: Engine
    tools: ToolPlane
    authenticator: Authenticator
    clock: Clock
    ids: Ids
    randomness: Randomness
    version: str
    settings: HttpSettings = HttpSettings()
    connectors: tuple[str, ...] = ()
    health: Callable[[str], Mapping[str, ConnectorHealth]] = _nothing_known
    metrics: Metrics = field(default_factory=Metrics)
    streams: Streams = field(default_factory=Streams)
    ledger: Callable[[], KeeperStatus] = KeeperStatus


def deps_of(request: HTTPConnection) -> HttpDeps:
    """The parts that a request is answered with."""
    deps: HttpDeps = request.scope[DEPS]
    return deps


async def _deps(request: Request) -> HttpDeps:
    return deps_of(request)


def values_of(request: HTTPConnection, header: bytes) -> list[str]:
    """What a request's headers of one name say, in order. The name is given in lower case."""
    return [value.decode("latin-1") for name, value in request.scope["headers"] if name == header]


async def session_of(request: Request) -> Session:
    """The session of a request's token. Raises `Unauthenticated`, `Unavailable`."""
    deps = deps_of(request)
    token = bearer_token(values_of(request, b"authorization"))
    session = deps.authenticator.known(token) or await deps.authenticator.authenticate(token)
    if session.development:
        client = request.scope.get("client")
        if not deps.settings.dev or client is None or client[0] not in LOOPBACK:
            raise Unauthenticated("Development tokens are good only on the machine that runs `serve --dev`.")
    return session


async def _principal(session: Annotated[Session, Depends(session_of)]) -> Principal:
    return session.principal


def trace_id_of(request: Request) -> str:
    """The request's trace id: the caller's (W3C Trace Context), or one of our own; 32 hexadecimal digits."""
    trace_id: str = request.scope[TRACE]
    return trace_id


Deps = Annotated[HttpDeps, Depends(_deps)]
Authenticated = Annotated[Session, Depends(session_of)]
By = Annotated[Principal, Depends(_principal)]
Limit = Annotated[int, Query(ge=1, le=100, description="Items on a page.")]
NextToken = Annotated[
    str | None,
    Query(max_length=4_096, description="The `next_token` of the page before; good for the same query only."),
]
AccountId = Annotated[str | None, Query(max_length=64, description="Only this account's.")]
ActionTypeName = Annotated[str | None, Query(max_length=128, description="Only of this action type.")]
DEFAULT_LIMIT: Final = 50
