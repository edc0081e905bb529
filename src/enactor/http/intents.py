"""Routes of intents: propose, read, edit, decide."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from enactor.domain.approval import Approval
from enactor.domain.errors import PreconditionFailed
from enactor.domain.intent import ActionIntent, IntentStatus
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
)
from enactor.http.intent_views import (
    Cancellation,
    Decision,
    IntentPage,
    IntentView,
    intent_view,
)
from enactor.http.openapi import ETAG, READING, WRITING, Answer, described, header
from enactor.http.requests import (
    ApproveBody,
    CancelBody,
    ParametersBody,
    RejectBody,
)
from enactor.http.slices import slice_of
from enactor.service.inspection import execution_status

router = APIRouter(tags=["Intents"])

_PARAMETERS: Final = msgspec.json.Decoder(ParametersBody)
_APPROVE: Final = msgspec.json.Decoder(ApproveBody)
_REJECT: Final = msgspec.json.Decoder(RejectBody)
_CANCEL: Final = msgspec.json.Decoder(CancelBody)

_DIGEST_TAG: Final = header(
    "If-Match", 'The approval digest that is edited, quoted: `"<approval_digest>"`; 412 without it.'
)


@router.get(
    "/v1/intents",
    summary="List intents",
    **described({200: Answer(description="Intents, newest first.", kind=IntentPage)}, READING),
)
async def list_intents(
    deps: Deps,
    by: By,
    status: IntentStatus | None = None,
    account_id: AccountId = None,
    action_type: ActionTypeName = None,
    limit: Limit = DEFAULT_LIMIT,
    next_token: NextToken = None,
) -> Response:
    """Intents that the token reaches, newest first; a proposer's own only. `status` is an intent's."""
    page = await deps.service.inspection.intents(
        by,
        account_id=account_id,
        status=status.value if status else None,
        action_type=action_type,
        limit=limit,
        page_token=next_token,
    )
    return answer(IntentPage(items=tuple(intent_view(item, by) for item in page.items), next_token=page.next_token))


@router.get(
    "/v1/intents/{action_intent_id}",
    summary="Read an intent",
    **described({200: Answer(description="The intent.", kind=IntentView, headers=ETAG)}, (*READING, 404)),
)
async def readintent_answer(action_intent_id: str, deps: Deps, by: By) -> Response:
    """The intent with its decisions; for approvers with its preview."""
    intent = await deps.service.inspection.intent(by, action_intent_id)
    return intent_answer(intent, by, await approvals_of(deps, intent))


@router.get(
    "/v1/intents/{action_intent_id}/revisions",
    summary="Read an intent's revisions",
    **described({200: Answer(description="Every revision, oldest first.", kind=IntentPage)}, (*READING, 404)),
)
async def read_revisions(
    action_intent_id: str, deps: Deps, by: By, limit: Limit = DEFAULT_LIMIT, next_token: NextToken = None
) -> Response:
    """Every revision as it was last, oldest first."""
    revisions = await deps.service.inspection.revisions(by, action_intent_id)
    listing = f"revisions of {action_intent_id}"
    page, after = slice_of(listing, by, revisions, lambda intent: str(intent.revision), limit, next_token)
    return answer(IntentPage(items=tuple(intent_view(revision, by) for revision in page), next_token=after))


@router.put(
    "/v1/intents/{action_intent_id}/parameters",
    summary="Replace an intent's parameters",
    **described(
        {200: Answer(description="The new revision.", kind=IntentView, headers=ETAG)},
        (*WRITING, 404, 409, 412, 422),
        body=ParametersBody,
        parameters=(_DIGEST_TAG,),
    ),
)
async def edit(action_intent_id: str, request: Request, deps: Deps, by: By) -> Response:
    """Makes a new revision with a new digest, which needs new approvals. Refused once an execution exists."""
    by.require(Permission.EDIT)
    body = await read_body(request, _PARAMETERS)
    intent = await deps.service.proposals.edit(by, action_intent_id, body.parameters, _if_match(request))
    return intent_answer(intent, by, await approvals_of(deps, intent))


@router.post(
    "/v1/intents/{action_intent_id}/approve",
    summary="Approve an intent",
    **described(
        {202: Answer(description="Recorded; the execution starts when no approval is missing.", kind=Decision)},
        (*WRITING, 404, 409),
        body=ApproveBody,
    ),
)
async def approve(action_intent_id: str, request: Request, deps: Deps, by: By) -> Response:
    """Approves exactly what the digest stands for. A stale digest is refused with the current one."""
    by.require(Permission.DECIDE)
    body = await read_body(request, _APPROVE)
    decided = await deps.service.decisions.approve(by, action_intent_id, body.approval_digest, body.comment)
    return answer(
        Decision(
            action_intent_id=action_intent_id,
            status=decided.intent.status.value,
            approvals_missing=decided.approvals_missing,
            execution_status=await _execution_status(deps, decided.intent),
        ),
        202,
    )


@router.post(
    "/v1/intents/{action_intent_id}/reject",
    summary="Reject an intent",
    **described(
        {200: Answer(description="The rejected intent.", kind=IntentView, headers=ETAG)},
        (*WRITING, 404, 409),
        body=RejectBody,
    ),
)
async def reject(action_intent_id: str, request: Request, deps: Deps, by: By) -> Response:
    """Rejects an intent for good."""
    by.require(Permission.DECIDE)
    body = await read_body(request, _REJECT)
    intent = await deps.service.decisions.reject(by, action_intent_id, body.reason)
    return intent_answer(intent, by, await approvals_of(deps, intent))


@router.post(
    "/v1/intents/{action_intent_id}/cancel",
    summary="Cancel an intent",
    **described(
        {200: Answer(description="Cancelled, or asked to stop before its next call.", kind=Cancellation)},
        (*WRITING, 404, 409),
        body=CancelBody,
        body_required=False,
    ),
)
async def cancel(action_intent_id: str, request: Request, deps: Deps, by: By) -> Response:
    """Cancels what has not started; asks what is running to stop before its next call."""
    by.require(Permission.CANCEL, Permission.CANCEL_OWN)
    body = await read_body(request, _CANCEL, empty=b"{}")
    cancelled = await deps.service.decisions.cancel(by, action_intent_id, body.reason)
    return answer(
        Cancellation(
            action_intent_id=action_intent_id,
            status=cancelled.intent.status.value,
            requested_only=cancelled.requested_only,
            execution_status=await _execution_status(deps, cancelled.intent),
        )
    )


def intent_answer(intent: ActionIntent, by: Principal, approvals: tuple[Approval, ...], status: int = 200) -> Response:
    """An intent with its digest as the entity tag."""
    return answer(intent_view(intent, by, approvals), status, {"etag": f'"{intent.approval_digest}"'})


async def approvals_of(deps: HttpDeps, intent: ActionIntent) -> tuple[Approval, ...]:
    """Every decision about an intent, in order."""
    return await deps.store.approvals(intent.tenant_id, intent.action_intent_id)


async def _execution_status(deps: HttpDeps, intent: ActionIntent) -> str:
    records = await deps.store.execution(intent.tenant_id, intent.action_intent_id)
    return execution_status(intent, records.attempt if records else None)


def _if_match(request: Request) -> str:
    """The digest in `If-Match` (RFC 9110, section 13.1.1): one strong entity tag, since a digest names one thing."""
    values = request.headers.getlist("if-match")
    if not values:
        raise PreconditionFailed('Say what you edit: If-Match: "<approval_digest>".')
    tag = values[0].strip()
    if len(values) > 1 or len(tag) < 2 or tag[0] != '"' or tag[-1] != '"':
        raise PreconditionFailed('If-Match takes one digest, quoted: "<approval_digest>".')
    return tag[1:-1]
