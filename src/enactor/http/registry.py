"""Routes of the registry of action types."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from enactor.domain.action_type import ActionType
from enactor.domain.principal import Permission
from enactor.http.answers import answer
from enactor.http.bodies import read_body
from enactor.http.context import DEFAULT_LIMIT, By, Deps, Limit, NextToken
from enactor.http.openapi import READING, WRITING, Answer, described
from enactor.http.requests import RegistrationBody
from enactor.http.views import ActionTypePage, RegisteredView

router = APIRouter(tags=["Action types"])

_REGISTRATION: Final = msgspec.json.Decoder(RegistrationBody)

Name = Annotated[str, Path(max_length=128, examples=["CREATE_INTERNAL_NOTE"])]


@router.get(
    "/v1/action-types",
    summary="List action types",
    **described({200: Answer(description="The latest version of each.", kind=ActionTypePage)}, READING),
)
async def list_action_types(deps: Deps, by: By, limit: Limit = DEFAULT_LIMIT, next_token: NextToken = None) -> Response:
    """What can be proposed, by name; one with `deprecated_at` no longer can."""
    page = await deps.service.registry.list(by, limit, next_token)
    return answer(ActionTypePage(items=page.items, next_token=page.next_token))


@router.post(
    "/v1/action-types",
    summary="Register an action type",
    **described(
        {
            201: Answer(description="The new version is in force.", kind=RegisteredView),
            202: Answer(
                description="It weakens the one before; a second administrator has to ask for the same.",
                kind=RegisteredView,
            ),
        },
        (*WRITING, 404, 409),
        body=RegistrationBody,
    ),
)
async def register(request: Request, deps: Deps, by: By) -> Response:
    """Adds a version: the platform's by a platform administrator, a tenant's own stricter one by its administrator."""
    by.require(Permission.REGISTRY, Permission.POLICY)
    body = await read_body(request, _REGISTRATION)
    registered = await deps.service.registry.register(by, body.registration())
    view = RegisteredView(
        entry=registered.entry, in_force=registered.in_force, approvals_missing=registered.approvals_missing
    )
    return answer(view, 201 if registered.in_force else 202)


@router.get(
    "/v1/action-types/{action_type}",
    summary="Read an action type",
    **described({200: Answer(description="Its latest version.", kind=ActionType)}, (*READING, 404)),
)
async def read_latest(action_type: Name, deps: Deps, by: By) -> Response:
    """The latest version, as the caller's tenant sees it."""
    return answer(await deps.service.registry.get(by, action_type, None))


@router.get(
    "/v1/action-types/{action_type}/versions/{version}",
    summary="Read a version of an action type",
    **described({200: Answer(description="The version.", kind=ActionType)}, (*READING, 404)),
)
async def read_version(
    action_type: Name, version: Annotated[int, Path(ge=1, le=2**31 - 1)], deps: Deps, by: By
) -> Response:
    """One version; it is there for ever, because intents keep theirs."""
    return answer(await deps.service.registry.get(by, action_type, version))
