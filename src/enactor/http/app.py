"""The HTTP application, put together from its parts."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from enactor.domain.errors import ConfigurationError, EnactorError, InvalidInput, Unavailable
from enactor.http import (
    administration,
    connectors,
    docs,
    events,
    executions,
    health,
    intents,
    ledger,
    log,
    proposing,
    registry,
    switches,
)
from enactor.http.answers import answer
from enactor.http.context import HttpDeps, HttpSettings, trace_id_of
from enactor.http.direct import Direct
from enactor.http.edge import Edge
from enactor.http.ledger_metrics import LedgerCollector
from enactor.http.openapi import document
from enactor.http.problems import MethodNotAllowed, NoSuchRoute, of_conflict, problem_response, unexpected
from enactor.ports.commands import Conflict
from enactor.settings import LOOPBACK

_DESCRIPTION: Final = (
    "Enactor stands between an agent's proposal and its effect: what is approved is executed exactly once, exactly as "
    "approved. Every error is a problem document (RFC 9457) with a stable `type` and `error_code`."
)
_ROUTERS: Final = (
    proposing,
    intents,
    executions,
    events,
    switches,
    registry,
    connectors,
    administration,
    ledger,
    log,
    health,
    docs,
)


def create_app(deps: HttpDeps) -> FastAPI:
    """The HTTP API over `deps`.

    Raises:
        ConfigurationError: development tokens would be accepted from elsewhere than this machine.
    """
    require_loopback(deps.settings, development=deps.authenticator.accepts_development_tokens)
    routes = [route for module in _ROUTERS for route in module.router.routes]
    app = FastAPI(
        title="Enactor",
        version=deps.version,
        summary="Approved actions, executed exactly once.",
        description=_DESCRIPTION,
        # As they are, not included as routers: each level of inclusion is matched again on every request.
        routes=routes,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # It would put the messages and stacks of exceptions into logs of its own.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    app.state.deps = deps
    # The last one added is the outermost.
    app.add_middleware(Direct, routes=routes)
    app.add_middleware(Edge, deps=deps)
    app.add_exception_handler(EnactorError, _on_error)
    app.add_exception_handler(Conflict, _on_conflict)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    deps.metrics.watch(deps.engine)
    deps.metrics.registry.register(LedgerCollector(deps.ledger))
    made: list[dict[str, Any]] = []

    async def openapi() -> Response:
        if not made:
            made.append(document(app))
        return answer(made[0])

    app.add_api_route("/openapi.json", openapi, include_in_schema=False)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


def require_loopback(settings: HttpSettings, *, development: bool) -> None:
    """Refuses to accept development tokens anywhere but on loopback, and anywhere but under `--dev`.

    Args:
        development: whether the authenticator knows the development issuer.

    Raises:
        ConfigurationError: it would.
    """
    if development and not settings.dev:
        raise ConfigurationError("The development issuer exists only under `serve --dev`.")
    if settings.dev and settings.host not in LOOPBACK:
        raise ConfigurationError(f"--dev works on loopback only: set host to 127.0.0.1, not {settings.host[:100]}.")


async def _on_error(request: Request, error: Exception) -> Response:
    found = error if isinstance(error, EnactorError) else Unavailable("Try again.")
    return problem_response(found, trace_id_of(request))


async def _on_conflict(request: Request, error: Exception) -> Response:
    found = of_conflict(error) if isinstance(error, Conflict) else Unavailable("Try again.")
    return problem_response(found, trace_id_of(request))


async def _on_invalid(request: Request, error: Exception) -> Response:
    """A path or query parameter that does not fit. What was sent is not repeated."""
    found = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(str(part) for part in found.get("loc", ())[1:])
    said = str(found.get("msg", "it does not fit")).removeprefix("Value error, ")
    return problem_response(InvalidInput(f"'{where}' does not fit: {said}.", parameter=where), trace_id_of(request))


async def _on_http(request: Request, error: Exception) -> Response:
    """What the router itself refuses."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    trace_id = trace_id_of(request)
    if status == 404:
        return problem_response(NoSuchRoute("There is nothing at this path; see /openapi.json."), trace_id)
    if status == 405:
        methods = ", ".join(_methods(request))
        response = problem_response(MethodNotAllowed(f"This path takes {methods}."), trace_id)
        response.headers["allow"] = methods
        return response
    return unexpected(trace_id)


def _methods(request: Request) -> list[str]:
    """What the path takes (RFC 9110, section 10.2.1): the router names the methods of one of its routes only."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    first = next((route for route in routes if route.matches(request.scope)[0] is not Match.NONE), None)
    same = [route.methods or set() for route in routes if first is not None and route.path == first.path]
    return sorted(set().union(*same))
