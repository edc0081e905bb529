"""The API: the whole HTTP interface behind API Gateway, whose authoriser has looked at the token and which looks again.

The gateway's authoriser keeps strangers from costing anything; who may do what is decided here, from the token itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from enactor import __version__
from enactor.functions.asgi import Exchange
from enactor.functions.clients import Bus
from enactor.functions.composition import Parts, parts, tools
from enactor.functions.runtime import handler, milliseconds_left

if TYPE_CHECKING:
    from fastapi import FastAPI

_LONGEST_SECONDS: Final = 25.0
"""API Gateway waits 30 seconds."""
_MARGIN_MS: Final = 3_000
_BODY_BYTES: Final = 4 * 1024 * 1024
"""A Lambda request has at most 6 MB, and base64 makes four bytes of three."""

_kept: dict[str, FastAPI] = {}


async def application() -> FastAPI:
    """The application of this process, made at its first request; with the tools' action types in the registry."""
    if "application" not in _kept:
        made = await parts()
        _kept["application"] = await _compose(made)
    return _kept["application"]


async def _compose(made: Parts) -> FastAPI:
    from enactor.engines.stepfunctions.trigger import ApprovalTrigger
    from enactor.functions.planes import settings as read_settings
    from enactor.http.app import create_app
    from enactor.http.auth import Authenticator
    from enactor.http.context import HttpDeps, HttpSettings
    from enactor.policies.cedar import CedarPolicyEngine
    from enactor.service import Core, Limits, Service
    from enactor.wiring.assembly import find_transforms

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
    service = Service(core, made.context)
    await service.registry.ensure_defaults(plane.action_types())
    return create_app(
        HttpDeps(
            service=service,
            store=made.store,
            engine=engine,
            tools=plane,
            authenticator=Authenticator(settings.issuers, made.clock),
            clock=made.clock,
            ids=made.context.ids,
            randomness=made.context.randomness,
            version=__version__,
            settings=HttpSettings(
                max_body_bytes=min(settings.limits.body_bytes, _BODY_BYTES), max_body_depth=settings.limits.body_depth
            ),
        )
    )


async def _answer(event: Any, context: Any) -> dict[str, Any]:
    exchange = Exchange(event)
    seconds = min(_LONGEST_SECONDS, (milliseconds_left(context) - _MARGIN_MS) / 1000)
    return await exchange.run(await application(), seconds)


answer = handler(_answer)
