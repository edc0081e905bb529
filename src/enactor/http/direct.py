"""Routes that are answered directly: by their function alone, without what FastAPI puts around every route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from enactor.domain.errors import EnactorError
from enactor.http.context import trace_id_of
from enactor.http.problems import of_conflict, problem_response
from enactor.ports.commands import Conflict


class DirectRoute(APIRoute):
    """A route whose function takes the request and makes the response: there are no dependencies to solve.

    Its path has no parameters. It is a route like any other for the document and for requests that do not fit it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function itself."""
        return self.endpoint


class Direct:
    """ASGI middleware that hands a request straight to the direct route of its method and path, if there is one.

    What is left out finds the route, wraps its errors (twice) and closes what dependencies opened: for a route without
    dependencies that takes longer than reading the request and writing the answer.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        direct = [route for route in routes if isinstance(route, DirectRoute)]
        self._routes = {(method, route.path): route for route in direct for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request, or passes it on."""
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None or scope.get("root_path"):
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        response = await answered(route.endpoint, Request(scope, receive))
        await response(scope, receive, send)


async def answered(endpoint: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """The endpoint's response, or the problem document of what it raises."""
    try:
        return await endpoint(request)
    except EnactorError as error:
        return problem_response(error, trace_id_of(request))
    except Conflict as conflict:
        return problem_response(of_conflict(conflict), trace_id_of(request))
