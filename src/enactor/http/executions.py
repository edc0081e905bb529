"""Routes of executions: what became of intents, and what people do about it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from enactor.domain.errors import NotFound
from enactor.domain.principal import Permission, Principal
from enactor.http.answers import answer
from enactor.http.bodies import read_body
from enactor.http.context import (
    DEFAULT_LIMIT,
    AccountId,
    ActionTypeName,
    By,
    Deps,
    HttpDeps,
    Limit,
    NextToken,
    trace_id_of,
)
from enactor.http.intent_views import IntentView, intent_view
from enactor.http.openapi import ETAG, READING, WRITING, Answer, described
from enactor.http.requests import ExecuteBody, ReplayBody, ResolutionKind, ResolveBody, UndoBody
from enactor.http.views import ExecutionPage, ObjectPage, Replay, ResolutionView, Timeline
from enactor.ports.commands import InternalObject
from enactor.service import ExecutionView

router = APIRouter(tags=["Executions"])

_EXECUTE: Final = msgspec.json.Decoder(ExecuteBody)
_RESOLVE: Final = msgspec.json.Decoder(ResolveBody)
_UNDO: Final = msgspec.json.Decoder(UndoBody)
_REPLAY: Final = msgspec.json.Decoder(ReplayBody)
_LIST: Final = described({200: Answer(description="Executions, newest first.", kind=ExecutionPage)}, READING)
_ONE: Final = described({200: Answer(description="The execution.", kind=ExecutionView)}, (*READING, 404))

Status = Annotated[
    Literal[
        "PENDING_APPROVAL",
        "REJECTED",
        "PENDING",
        "RUNNING",
        "SUCCEEDED",
        "FAILED",
        "CANCELLED",
        "EXPIRED",
        "IN_DOUBT",
    ]
    | None,
    Query(description="Only of this status."),
]


@router.post(
    "/v1/executions",
    summary="Deliver an approval again",
    **described(
        {202: Answer(description="Taken notice of.", kind=ExecutionView)}, (*WRITING, 404, 409), body=ExecuteBody
    ),
)
async def execute(request: Request, deps: Deps, by: By) -> Response:
    """Starts the execution of an approved intent if it has not started. However often it is asked, one run starts."""
    by.require(Permission.READ, Permission.READ_OWN)
    body = await read_body(request, _EXECUTE)
    await deps.service.decisions.execute(by, body.action_intent_id)
    return answer(await deps.service.inspection.execution(by, body.action_intent_id), 202)


@router.get("/v1/executions", summary="List executions", **_LIST)
async def list_executions(
    deps: Deps,
    by: By,
    account_id: AccountId = None,
    status: Status = None,
    action_type: ActionTypeName = None,
    limit: Limit = DEFAULT_LIMIT,
    next_token: NextToken = None,
) -> Response:
    """Executions that the token reaches, newest first, those that have not started included."""
    return await _list(deps, by, account_id, status, action_type, limit, next_token)


@router.get("/v1/accounts/{account_id}/executions", summary="List an account's executions", **_LIST)
async def list_of_account(
    account_id: Annotated[str, Path(max_length=64)],
    deps: Deps,
    by: By,
    status: Status = None,
    action_type: ActionTypeName = None,
    limit: Limit = DEFAULT_LIMIT,
    next_token: NextToken = None,
) -> Response:
    """Executions of one account, newest first; none when the token does not reach it."""
    return await _list(deps, by, account_id, status, action_type, limit, next_token)


async def _list(
    deps: HttpDeps,
    by: Principal,
    account_id: str | None,
    status: str | None,
    action_type: str | None,
    limit: int,
    next_token: str | None,
) -> Response:
    page = await deps.service.inspection.executions(
        by, account_id=account_id, status=status, action_type=action_type, limit=limit, page_token=next_token
    )
    return answer(ExecutionPage(items=page.items, next_token=page.next_token))


@router.get("/v1/executions/{action_intent_id}", summary="Read an execution", **_ONE)
@router.get("/v1/executions/{action_intent_id}/status", summary="Read an execution's status", **_ONE)
async def read_execution(action_intent_id: str, deps: Deps, by: By) -> Response:
    """Where an execution stands; `explanation` says in a sentence what, if anything, somebody has to do."""
    return answer(await deps.service.inspection.execution(by, action_intent_id))


@router.get(
    "/v1/executions/{action_intent_id}/timeline",
    summary="Read an execution's timeline",
    **described({200: Answer(description="One readable line each.", kind=Timeline)}, (*READING, 404)),
)
async def read_timeline(action_intent_id: str, deps: Deps, by: By) -> Response:
    """What happened: decision, approval, execution, outcome; retries are folded into one line."""
    return answer(Timeline(items=await deps.service.inspection.timeline(by, action_intent_id)))


@router.post(
    "/v1/executions/{action_intent_id}/resolve",
    summary="Resolve a run in doubt",
    **described({200: Answer(description="Recorded.", kind=ResolutionView)}, (*WRITING, 404, 409), body=ResolveBody),
)
async def resolve(action_intent_id: str, request: Request, deps: Deps, by: By) -> Response:
    """Says what became of a run in doubt. HIGH risk needs two people to say the same."""
    by.require(Permission.RESOLVE)
    body = await read_body(request, _RESOLVE)
    resolution = await deps.service.operations.resolve(
        by,
        action_intent_id,
        executed=body.resolution is ResolutionKind.EXECUTED,
        refs=tuple(item.ref() for item in body.external_object_refs),
        comment=body.comment,
    )
    return answer(
        ResolutionView(
            action_intent_id=action_intent_id,
            status=resolution.status.value,
            approvals_missing=resolution.approvals_missing,
        )
    )


@router.post(
    "/v1/executions/{action_intent_id}/undo",
    summary="Propose to take an execution's effect back",
    **described(
        {201: Answer(description="The undo, which waits for its own approval.", kind=IntentView, headers=ETAG)},
        (*WRITING, 404, 409, 422, 429),
        body=UndoBody,
    ),
)
async def undo(action_intent_id: str, request: Request, deps: Deps, by: By) -> Response:
    """Proposes the undo: an intent of its own, at least as risky as the original. Nothing is called before somebody
    else approves it. What somebody changed since is refused, and so is a second undo, with the first one's id.
    """
    by.require(Permission.UNDO)
    body = await read_body(request, _UNDO)
    intent = await deps.service.undoing.undo(by, action_intent_id, body.reason, trace_id=trace_id_of(request))
    return answer(intent_view(intent, by, ()), 201, {"etag": f'"{intent.approval_digest}"'})


@router.post(
    "/v1/executions/{action_intent_id}/replay",
    summary="Run a failed execution again",
    **described({202: Answer(description="The new run.", kind=Replay)}, (*WRITING, 404, 409), body=ReplayBody),
)
async def replay(action_intent_id: str, request: Request, deps: Deps, by: By) -> Response:
    """Starts a new run of a failed or cancelled one, under the same approval and the same idempotency key."""
    by.require(Permission.REPLAY)
    body = await read_body(request, _REPLAY)
    number = await deps.service.operations.replay(by, action_intent_id, body.replay_reason)
    return answer(Replay(action_intent_id=action_intent_id, run_number=number), 202)


@router.get(
    "/v1/objects",
    summary="List internal objects",
    **described({200: Answer(description="Objects, newest first.", kind=ObjectPage)}, READING),
)
async def list_objects(
    deps: Deps,
    by: By,
    type: Annotated[Literal["note", "task"], Query(description="Notes or tasks.")],  # noqa: A002 - the query's name
    account_id: AccountId = None,
    limit: Limit = DEFAULT_LIMIT,
    next_token: NextToken = None,
) -> Response:
    """Notes or tasks of the internal connector."""
    page = await deps.service.inspection.objects(by, type, account_id, limit, next_token)
    return answer(ObjectPage(items=page.items, next_token=page.next_token))


@router.get(
    "/v1/objects/{object_id}",
    summary="Read an internal object",
    **described({200: Answer(description="The object.", kind=InternalObject)}, (*READING, 404)),
)
async def read_object(object_id: Annotated[str, Path(max_length=128)], deps: Deps, by: By) -> Response:
    """A note or task of the internal connector, as an execution's `object_url` names it."""
    by.require(Permission.READ)
    found = await deps.store.object(by.tenant_id, object_id)
    if found is None or not by.reaches(found.account_id):
        raise NotFound("There is no such object.")
    return answer(found)
