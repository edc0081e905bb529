"""Routes of proposers, the busiest of all: they read and write bytes, and nothing is done before or after them."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from enactor.domain.errors import EnactorError, InvalidInput
from enactor.domain.intent import IntentStatus
from enactor.domain.principal import Permission, Principal
from enactor.http.answers import answer
from enactor.http.bodies import decode, read_body
from enactor.http.context import deps_of, session_of, trace_id_of, values_of
from enactor.http.direct import DirectRoute
from enactor.http.intent_views import BatchAnswer, BatchItem, IntentView, intent_view
from enactor.http.intents import approvals_of, intent_answer
from enactor.http.openapi import ETAG, WRITING, Answer, described, header
from enactor.http.problems import problem_members, status_of
from enactor.http.requests import BatchBody, ProposalBody, RawBatch, RawItems
from enactor.service import Proposed

router = APIRouter(tags=["Intents"], route_class=DirectRoute)

_PROPOSAL: Final = msgspec.json.Decoder(ProposalBody)
_BATCH: Final[msgspec.json.Decoder[RawBatch | RawItems]] = msgspec.json.Decoder(RawBatch | RawItems)

_IDEMPOTENCY_KEY: Final = header(
    "Idempotency-Key",
    "The same key and body give the same intent; another body is refused.",
    schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
)
_TRACEPARENT: Final = header("traceparent", "W3C Trace Context; its trace becomes the decision trace.")


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
    deps = deps_of(request)
    by = (await session_of(request)).principal
    by.require(Permission.PROPOSE)
    key = _idempotency_key(request)
    body = await read_body(request, _PROPOSAL)
    made = await deps.service.proposals.propose(by, body.proposal(), idempotency_key=key, trace_id=trace_id_of(request))
    approvals = await approvals_of(deps, made.intent) if made.intent.status is not IntentStatus.PENDING_APPROVAL else ()
    return intent_answer(made.intent, by, approvals, 201 if made.created else 200)


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
    deps = deps_of(request)
    by = (await session_of(request)).principal
    by.require(Permission.PROPOSE)
    if values_of(request, b"idempotency-key"):
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


def _idempotency_key(request: Request) -> str | None:
    values = values_of(request, b"idempotency-key")
    if not values:
        return None
    if len(values) > 1 or not (values[0].isascii() and values[0].isprintable()) or not values[0].strip():
        raise InvalidInput("An Idempotency-Key is given once, in 1 to 255 printable ASCII characters.")
    return values[0]


def _refused(error: EnactorError, trace_id: str) -> BatchItem:
    return BatchItem(status=status_of(error), problem=problem_members(error, trace_id))


def _result(made: Proposed | EnactorError, by: Principal, trace_id: str) -> BatchItem:
    if isinstance(made, EnactorError):
        return _refused(made, trace_id)
    return BatchItem(status=201, intent=intent_view(made.intent, by))
