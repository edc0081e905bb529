"""Whether the server lives, can work, and how it is doing."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from enactor.domain.errors import EnactorError
from enactor.http import metrics
from enactor.http.answers import answer
from enactor.http.context import Deps, HttpDeps
from enactor.http.openapi import Answer, described
from enactor.http.views import Health

router = APIRouter(tags=["Health"])

_OK: Final = "ok"
_FAILING: Final = "failing"
_LATE: Final = "late"


@router.get(
    "/healthz",
    summary="Liveness",
    **described({200: Answer(description="The process answers.", kind=Health)}, (500,), secured=False),
)
async def healthz(deps: Deps) -> Response:
    """Says that the process answers, and nothing more."""
    return answer(Health(status=_OK, version=deps.version))


@router.get(
    "/readyz",
    summary="Readiness",
    **described(
        {
            200: Answer(
                description="Store, engine and tools can work. `ledger` is `late` while an entry stays out of its log.",
                kind=Health,
            ),
            503: Answer(description="One of them cannot; `checks` says which.", kind=Health),
        },
        (500,),
        secured=False,
    ),
)
async def readyz(deps: Deps) -> Response:
    """Asks the store, the engine and the tools whether they can work.

    A ledger whose log is late is said, and is no reason to send nobody here any more.
    """
    checks = {
        "store": await _store(deps),
        "engine": _OK if deps.engine.info().accepting else _FAILING,
        "tools": _OK if deps.tools.definitions() else _FAILING,
    }
    ready = all(check == _OK for check in checks.values())
    checks["ledger"] = _LATE if deps.ledger().alarm else _OK
    return answer(Health(status=_OK if ready else _FAILING, version=deps.version, checks=checks), 200 if ready else 503)


@router.get(
    "/metrics",
    summary="Metrics",
    **described({200: Answer(description="Prometheus's text format.", media_type="text/plain")}, (500,), secured=False),
)
async def read_metrics(deps: Deps) -> Response:
    """Counts of requests and executions, and how busy the engine is. Nothing in it tells tenants apart."""
    return Response(deps.metrics.text(), media_type=metrics.MEDIA_TYPE)


async def _store(deps: HttpDeps) -> str:
    try:
        async with asyncio.timeout(deps.settings.ready_seconds):
            await deps.store.info()
    except (EnactorError, TimeoutError):
        return _FAILING
    return _OK
