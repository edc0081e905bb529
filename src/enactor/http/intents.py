"""Routes of intents: propose, read, edit, decide."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from enactor.domain.approval import Approval
from enactor.domain.errors import EnactorError, InvalidInput, PreconditionFailed
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.principal import Permission, Principal
from enactor.http.answers import answer
from enactor.http.bodies import decode, read_body
from enactor.http.context import (
    DEFAULT_LIMIT,
    AccountId,
    ActionTypeName,
    By,
    Deps,
    HttpDeps,
    Limit,
    NextToken,
    session_of,
    trace_id_of,
)
from enactor.http.intent_views import (
    BatchAnswer,
    BatchItem,
    Cancellation,
    Decision,
    IntentPage,
    IntentView,
    intent_view,
)
from enactor.http.openapi import ETAG, READING, WRITING, Answer, described, header
from enactor.http.problems import PreconditionRequired, problem_members, status_of
from enactor.http.requests import (
    ApproveBody,
    BatchBody,
    CancelBody,
    ParametersBody,
    ProposalBody,
    RawBatch,
    RawItems,
    RejectBody,
)
from enactor.service import Proposed
from enactor.service.inspection import execution_status

router = APIRouter(tags=["Intents"])

_PROPOSAL: Final = msgspec.json.Decoder(ProposalBody)
_BATCH: Final[msgspec.json.Decoder[RawBatch | RawItems]] = msgspec.json.Decoder(RawBatch | RawItems)
_PARAMETERS: Final = msgspec.json.Decoder(ParametersBody)
_APPROVE: Final = msgspec.json.Decoder(ApproveBody)
_REJECT: Final = msgspec.json.Decoder(RejectBody)
_CANCEL: Final = msgspec.json.Decoder(CancelBody)

_IDEMPOTENCY_KEY: Final = header(
    "Idempotency-Key",
    "The same key and body give the same intent; another body is refused.",
    schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
)
_TRACEPARENT: Final = header("traceparent", "W3C Trace Context; its trace becomes the decision trace.")
_DIGEST_TAG: Final = header(
    "If-Match", 'The approval digest that is edited, quoted: `"<approval_digest>"`; 428 without it.'
)


@router.post(
    "/v1/intents",
    summary="Propose an action",
    **described(
        {
            201: Answer(description="The intent, its call frozen.", kind=IntentView, headers=ETAG),
            200: Answer(description="The intent that this Idempotency-Key made before.", kind=IntentView, headers=ETAG),
        },
        (*WRITING, 409, 422, 429),
        body=ProposalBody,
        parameters=(_IDEMPOTENCY_KEY, _TRACEPARENT),
    ),
)
async def propose(request: Request) -> Response:
    """Freezes the tool call of a proposal. Nothing happens until somebody else approves its digest."""
    deps: HttpDeps = request.app.state.deps
    by = (await session_of(request)).principal
    by.require(Permission.PROPOSE)
    key = _idempotency_key(request)
    body = await read_body(request, _PROPOSAL)
    made = await deps.service.proposals.propose(by, body.proposal(), idempotency_key=key, trace_id=trace_id_of(request))
    approvals = await _approvals(deps, made.intent) if made.intent.status is not IntentStatus.PENDING_APPROVAL else ()
    return _intent(made.intent, by, approvals, 201 if made.created else 200)


@router.post(
    "/v1/intents/batch",
    summary="Propose up to 1,000 actions",
    **described(
        {200: Answer(description="A result for each proposal, in their order.", kind=BatchAnswer)},
        WRITING,
        body=BatchBody,
        body_alternatives=(ProposalBody,),
    ),
)
async def propose_batch(request: Request) -> Response:
    """Proposes each item by itself: one that is refused says why, and hinders no other. Takes no Idempotency-Key."""
    deps: HttpDeps = request.app.state.deps
    by = (await session_of(request)).principal
    by.require(Permission.PROPOSE)
    if "idempotency-key" in request.headers:
        raise InvalidInput("A batch takes no Idempotency-Key; propose one by one where that matters.")
    batch = await read_body(request, _BATCH)
    trace_id = trace_id_of(request)
    results: list[BatchItem | None] = []
    proposals = []
    for item in batch.items if isinstance(batch, RawBatch) else batch:
        try:
            proposals.append(decode(item, _PROPOSAL).proposal())
            results.append(None)
        except InvalidInput as error:
            results.append(_refused(error, trace_id))
    made = iter(await deps.service.proposals.propose_batch(by, proposals) if proposals else ())
    return answer(BatchAnswer(items=tuple(item or _result(next(made), by, trace_id) for item in results)))


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
async def read_intent(action_intent_id: str, deps: Deps, by: By) -> Response:
    """The intent with its decisions; for approvers with its preview."""
    intent = await deps.service.inspection.intent(by, action_intent_id)
    return _intent(intent, by, await _approvals(deps, intent))


@router.get(
    "/v1/intents/{action_intent_id}/revisions",
    summary="Read an intent's revisions",
    **described({200: Answer(description="Every revision, oldest first.", kind=IntentPage)}, (*READING, 404)),
)
async def read_revisions(action_intent_id: str, deps: Deps, by: By) -> Response:
    """Every revision as it was last, oldest first; all of them on one page."""
    revisions = await deps.service.inspection.revisions(by, action_intent_id)
    return answer(IntentPage(items=tuple(intent_view(revision, by) for revision in revisions)))


@router.put(
    "/v1/intents/{action_intent_id}/parameters",
    summary="Replace an intent's parameters",
    **described(
        {200: Answer(description="The new revision.", kind=IntentView, headers=ETAG)},
        (*WRITING, 404, 409, 412, 422, 428),
        body=ParametersBody,
        parameters=(_DIGEST_TAG,),
    ),
)
async def edit(action_intent_id: str, request: Request, deps: Deps, by: By) -> Response:
    """Makes a new revision with a new digest, which needs new approvals. Refused once an execution exists."""
    by.require(Permission.EDIT)
    body = await read_body(request, _PARAMETERS)
    intent = await deps.service.proposals.edit(by, action_intent_id, body.parameters, _if_match(request))
    return _intent(intent, by, await _approvals(deps, intent))


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
    return _intent(intent, by, await _approvals(deps, intent))


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


def _intent(intent: ActionIntent, by: Principal, approvals: tuple[Approval, ...], status: int = 200) -> Response:
    return answer(intent_view(intent, by, approvals), status, {"etag": f'"{intent.approval_digest}"'})


async def _approvals(deps: HttpDeps, intent: ActionIntent) -> tuple[Approval, ...]:
    return await deps.store.approvals(intent.tenant_id, intent.action_intent_id)


async def _execution_status(deps: HttpDeps, intent: ActionIntent) -> str:
    records = await deps.store.execution(intent.tenant_id, intent.action_intent_id)
    return execution_status(intent, records.attempt if records else None)


def _idempotency_key(request: Request) -> str | None:
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    if len(values) > 1 or not (values[0].isascii() and values[0].isprintable()) or not values[0].strip():
        raise InvalidInput("An Idempotency-Key is given once, in 1 to 255 printable ASCII characters.")
    return values[0]


def _if_match(request: Request) -> str:
    """The digest in `If-Match` (RFC 9110, section 13.1.1): one strong entity tag, since a digest names one thing."""
    values = request.headers.getlist("if-match")
    if not values:
        raise PreconditionRequired('Say what you edit: If-Match: "<approval_digest>".')
    tag = values[0].strip()
    if len(values) > 1 or len(tag) < 2 or tag[0] != '"' or tag[-1] != '"':
        raise PreconditionFailed('If-Match takes one digest, quoted: "<approval_digest>".')
    return tag[1:-1]


def _refused(error: EnactorError, trace_id: str) -> BatchItem:
    return BatchItem(status=status_of(error), problem=problem_members(error, trace_id))


def _result(made: Proposed | EnactorError, by: Principal, trace_id: str) -> BatchItem:
    if isinstance(made, EnactorError):
        return _refused(made, trace_id)
    return BatchItem(status=201, intent=intent_view(made.intent, by))
