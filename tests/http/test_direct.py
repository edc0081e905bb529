"""Routes that are answered directly: the way around the framework leads to the same answers."""

from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from enactor.domain.errors import EnactorError, TooManyPending
from enactor.http.context import TRACE
from enactor.http.direct import Direct, DirectRoute, answered
from enactor.ports.commands import Conflict, ConflictKind
from tests.http.world import Caller, World, proposal

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_KEPT = {"x-trace-id", "content-type", "etag", "www-authenticate", "retry-after", "cache-control"}


@pytest.mark.parametrize(
    ("path", "body", "key", "bearer"),
    [
        pytest.param("/v1/intents", proposal(), "once", True, id="the same intent"),
        pytest.param("/v1/intents", proposal("NO_SUCH"), None, True, id="unknown action type"),
        pytest.param("/v1/intents", b"{", None, True, id="no JSON"),
        pytest.param("/v1/intents", b" " * 2_000_000, None, True, id="too long"),
        pytest.param("/v1/intents", proposal(), None, False, id="no token"),
        pytest.param("/v1/intents/batch", [proposal("NO_SUCH")], None, True, id="batch"),
        pytest.param("/v1/intents/batch", {"items": []}, None, True, id="empty batch"),
    ],
)
async def test_both_ways_answer_alike(world: World, path: str, body: Any, key: str | None, bearer: bool) -> None:
    """Under a root path a request goes through the framework; status, headers and body are those of the direct way."""
    token = world.token("planner", "proposer", agent=True) if bearer else None
    headers = {"traceparent": f"00-{_TRACE}-00f067aa0ba902b7-01", **({"idempotency-key": key} if key else {})}
    if key:
        await Caller(httpx.ASGITransport(world.app), token).post(path, body, headers)
    ways = []
    for root in ("", "/below"):
        caller = Caller(httpx.ASGITransport(world.app, root_path=root), token)
        response = await caller.post(root + path, body, headers)
        ways.append((response.status_code, {name: response.headers.get(name) for name in _KEPT}, response.content))
    assert ways[0] == ways[1]


@pytest.mark.parametrize(
    ("raised", "status"),
    [(TooManyPending("x"), 429), (Conflict(ConflictKind.EFFECT_KEY_TAKEN, "ai_x"), 409)],
)
async def test_what_a_function_raises_is_a_problem(raised: Exception, status: int) -> None:
    """Errors and lost races become problem documents; what nobody foresaw is left to the edge."""

    async def endpoint(request: Request) -> Response:
        raise raised

    request = Request({"type": "http", TRACE: _TRACE})
    response = await answered(endpoint, request)
    assert (response.status_code, response.media_type) == (status, "application/problem+json")
    raised = ZeroDivisionError("x")
    with pytest.raises(ZeroDivisionError):
        await answered(endpoint, request)


async def test_only_direct_routes_are_answered_directly(world: World) -> None:
    """Of the whole application two routes are, with their own method; everything else is passed on."""
    passed: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append((scope.get("method"), scope.get("path")))

    async def nothing(*_: Message) -> Any:
        raise EnactorError("nobody reads or answers here")

    direct = [route.path for route in world.app.routes if isinstance(route, DirectRoute)]
    assert sorted(direct) == ["/v1/intents", "/v1/intents/batch"]
    others = [("GET", "/v1/intents"), ("POST", "/v1/intents/"), ("PUT", "/v1/intents/batch")]
    middleware = Direct(app, world.app.routes)
    for method, path in others:
        await middleware({"type": "http", "method": method, "path": path, "root_path": ""}, nothing, nothing)
    await middleware({"type": "lifespan"}, nothing, nothing)
    assert passed == [*others, (None, None)]
