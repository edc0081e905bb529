"""The API: the whole HTTP interface behind API Gateway, whose authoriser has looked at the token and which looks again.

The gateway's authoriser keeps strangers from costing anything; who may do what is decided here, from the token itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from enactor import __version__
from enactor.functions.asgi import Exchange
from enactor.functions.clients import Bus
from enactor.functions.composition import Parts, parts, tools
from enactor.functions.runtime import handler, milliseconds_left

if TYPE_CHECKING:
    from fastapi import FastAPI

    from enactor.http.context import HttpDeps

_LONGEST_SECONDS: Final = 25.0
"""API Gateway waits 30 seconds."""
_MARGIN_MS: Final = 3_000
_BODY_BYTES: Final = 4 * 1024 * 1024
"""A Lambda request has at most 6 MB, and base64 makes four bytes of three."""

_MCP: Final = ("/mcp", "/gateway/", "/.well-known/")


class _Served(Struct):
    """The application of this process.

    Attributes:
        doors: whether it serves MCP yet, whose SDK most requests need nothing of.
    """

    app: FastAPI
    deps: HttpDeps
    doors: bool = False


_kept: dict[str, _Served] = {}


async def application(path: str) -> FastAPI:
    """The application of this process, made at its first request; with what a request to `path` needs of it."""
    if "served" not in _kept:
        _kept["served"] = await _compose(await parts())
    served = _kept["served"]
    if path.startswith(_MCP) and not served.doors:
        await _open_doors(served)
    return served.app


async def _open_doors(served: _Served) -> None:
    """Adds `/mcp`, and `/gateway/mcp` where it is on."""
    from enactor.functions.planes import open_direct
    from enactor.functions.planes import settings as read_settings
    from enactor.wiring.mcp import doors_of

    settings = read_settings()
    detour = settings.mcp.gateway and settings.mcp.behind_gateway
    direct = await open_direct(await parts()) if detour else await tools()
    # Whatever name API Gateway was asked by is ours; a process that listens on loopback has to be more careful.
    for door in doors_of(settings.model_copy(update={"host": ""}), direct, served.deps):
        served.app.router.routes.extend(door.routes())
        await door.start()
    served.doors = True


async def _compose(made: Parts) -> _Served:
    from enactor.engines.stepfunctions.trigger import ApprovalTrigger
    from enactor.functions.planes import artifacts
    from enactor.functions.planes import settings as read_settings
    from enactor.functions.services import KeptSigners
    from enactor.http.app import create_app
    from enactor.http.auth import Authenticator
    from enactor.http.context import HttpDeps, HttpSettings
    from enactor.policies.cedar import CedarPolicyEngine
    from enactor.service import Core, Limits, Service
    from enactor.wiring.assembly import find_transforms
    from enactor.wiring.ledger import log_options

    settings, plane = read_settings(), await tools()
    engine = ApprovalTrigger(Bus(made.environment.event_bus), made.store, made.stepper(plane))
    core = Core(
        store=made.store,
        tools=plane,
        engine=engine,
        policy=CedarPolicyEngine(),
        clock=made.clock,
        ids=made.context.ids,
        randomness=made.context.randomness,
        limits=Limits(
            max_pending_of_proposer=settings.limits.pending_per_proposer,
            max_pending_of_tenant=settings.limits.pending_per_tenant,
            expires_in_seconds=settings.limits.expires_in_seconds,
            shadow=settings.shadow,
        ),
        transforms=find_transforms(),
    )
    log = log_options(settings, made.context.randomness)
    if settings.ledger.signing_keys:
        log = msgspec.structs.replace(log, signers=KeptSigners(settings.ledger.signing_keys, made.clock))
    service = Service(core, made.context, log, artifacts(settings))
    await service.registry.ensure_defaults(plane.action_types())
    body_bytes = min(settings.limits.body_bytes, _BODY_BYTES)
    deps = HttpDeps(
        service=service,
        store=made.store,
        engine=engine,
        tools=plane,
        authenticator=Authenticator(settings.issuers, made.clock),
        clock=made.clock,
        ids=made.context.ids,
        randomness=made.context.randomness,
        version=__version__,
        settings=HttpSettings(max_body_bytes=body_bytes, max_body_depth=settings.limits.body_depth),
    )
    return _Served(create_app(deps), deps)


async def _answer(event: Any, context: Any) -> dict[str, Any]:
    exchange = Exchange(event)
    seconds = min(_LONGEST_SECONDS, (milliseconds_left(context) - _MARGIN_MS) / 1000)
    return await exchange.run(await application(exchange.scope["path"]), seconds)


answer = handler(_answer)
