"""Routes of kill switches and their containment reports."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from enactor.domain.principal import Permission
from enactor.http.answers import answer
from enactor.http.bodies import read_body
from enactor.http.context import DEFAULT_LIMIT, By, Deps, Limit, NextToken
from enactor.http.instants import instant, instant_query
from enactor.http.openapi import READING, WRITING, Answer, described
from enactor.http.requests import SwitchBody
from enactor.http.slices import slice_of
from enactor.http.views import KillSwitchPage, kill_switch_view
from enactor.service import ContainmentReport

router = APIRouter(tags=["Kill switches"])

_SWITCH: Final = msgspec.json.Decoder(SwitchBody)

Scope = Annotated[
    str,
    Path(
        max_length=160,
        description="`global`, `tenant`, `action-type:NAME` or `connector:NAME` (a tenant's own), or one of the last "
        "two prefixed `platform:`.",
        examples=["tenant", "action-type:CREATE_INTERNAL_NOTE", "platform:connector:internal"],
    ),
]
Since = Annotated[str | None, instant_query("Leaves out what ended before this instant")]


@router.get(
    "/v1/kill-switches",
    summary="List kill switches",
    **described({200: Answer(description="All that were ever set.", kind=KillSwitchPage)}, READING),
)
async def list_switches(deps: Deps, by: By, limit: Limit = DEFAULT_LIMIT, next_token: NextToken = None) -> Response:
    """The tenant's own switches and the platform's."""
    switches = await deps.service.operations.switches(by)
    page, after = slice_of("kill-switches", by, switches, lambda switch: switch.scope, limit, next_token)
    return answer(KillSwitchPage(items=tuple(kill_switch_view(switch, by) for switch in page), next_token=after))


@router.put(
    "/v1/kill-switches/{scope}",
    summary="Turn a kill switch",
    **described(
        {200: Answer(description="What it stopped, and what had already left.", kind=ContainmentReport)},
        (*WRITING, 404),
        body=SwitchBody,
    ),
)
async def set_switch(scope: Scope, request: Request, deps: Deps, by: By) -> Response:
    """Turns a switch, durably, before it answers: no call is permitted in its scope afterwards."""
    by.require(Permission.SWITCH, Permission.PLATFORM_SWITCH)
    body = await read_body(request, _SWITCH)
    report = await deps.service.operations.set_switch(
        by, scope, enabled=body.enabled, reason=body.reason, compensation=body.compensation
    )
    return answer(report)


@router.get(
    "/v1/kill-switches/{scope}/report",
    summary="Read a containment report",
    **described({200: Answer(description="Every run in the scope.", kind=ContainmentReport)}, (*READING, 404)),
)
async def read_report(
    scope: Scope, deps: Deps, by: By, since: Since = None, limit: Limit = 100, next_token: NextToken = None
) -> Response:
    """The caller's tenant's runs in the scope: executed, blocked, or unknown while a call may still land.

    A run that was replayed is listed beside the later one, each with what became of it.
    """
    report = await deps.service.operations.report(
        by, scope, since=instant(since, "since"), limit=limit, page_token=next_token
    )
    return answer(report)
