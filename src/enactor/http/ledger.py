"""Routes of the ledger, and who one is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from enactor.domain.errors import InvalidInput
from enactor.domain.evidence import Scope
from enactor.domain.ids import is_intent_id
from enactor.domain.ledger import LedgerEvent
from enactor.domain.principal import Permission, Principal
from enactor.domain.time import rfc3339
from enactor.http.answers import answer
from enactor.http.context import DEFAULT_LIMIT, AccountId, By, Deps, Limit, NextToken
from enactor.http.instants import instant, instant_query
from enactor.http.openapi import READING, Answer, described
from enactor.http.views import LedgerPage, Me, ledger_entry_view, me
from enactor.ports.store import LedgerFilter
from enactor.service.evidence import export_lines

router = APIRouter(tags=["Ledger"])

LINES = "application/x-ndjson"

IntentId = Annotated[str | None, Query(max_length=64, description="Only about this intent.")]
From = Annotated[str | None, instant_query("Entries of this instant or later", alias="from")]
To = Annotated[str | None, instant_query("Entries of before this instant", alias="to")]

Since = Annotated[
    tuple[Annotated[int, Field(ge=0, le=2**53 - 1)], ...],
    Query(
        max_length=100,
        description="Sizes of checkpoints that you hold: the bundle then has the proofs that the log continues them.",
    ),
]


@router.get(
    "/v1/ledger",
    summary="Query the ledger",
    **described({200: Answer(description="Entries, oldest first.", kind=LedgerPage)}, READING),
)
async def query(
    deps: Deps,
    by: By,
    trace_id: Annotated[str | None, Query(max_length=64, description="A decision's or an execution's trace.")] = None,
    action_intent_id: IntentId = None,
    event_type: LedgerEvent | None = None,
    account_id: AccountId = None,
    from_time: From = None,
    to_time: To = None,
    limit: Limit = DEFAULT_LIMIT,
    next_token: NextToken = None,
) -> Response:
    """Entries of the accounts that the token reaches; `from` is included, `to` is not."""
    where = _where(by, account_id, action_intent_id, from_time, to_time, trace_id, event_type)
    page = await deps.service.inspection.ledger(by, where, limit, next_token)
    return answer(LedgerPage(items=tuple(map(ledger_entry_view, page.items)), next_token=page.next_token))


@router.get(
    "/v1/ledger/export",
    summary="Export the ledger",
    **described(
        {200: Answer(description="A bundle for `enactor ledger verify`, JSON Lines.", media_type=LINES)}, READING
    ),
)
async def export(
    deps: Deps,
    by: By,
    account_id: AccountId = None,
    action_intent_id: IntentId = None,
    from_time: From = None,
    to_time: To = None,
    since: Since = (),
) -> Response:
    """Streams entries with everything that proves them: checkpoints, the tree or proofs, and keys.

    A checkpoint is made first, of everything that was committed before the request.
    """
    by.require(Permission.LEDGER)
    where = _where(by, account_id, action_intent_id, from_time, to_time)
    scope = Scope(
        account_ids=deps.service.inspection.accounts(by, account_id),
        action_intent_id=where.action_intent_id,
        from_time=where.from_time,
        to_time=where.to_time,
    )
    tip = await deps.service.log.tip(by)
    lines = export_lines(deps.store, by.tenant_id, scope, tip, rfc3339(deps.clock.now_ms()), since)
    return StreamingResponse(
        lines, media_type=LINES, headers={"content-disposition": 'attachment; filename="ledger.jsonl"'}
    )


@router.get(
    "/v1/me",
    summary="Who am I",
    **described({200: Answer(description="What the token says.", kind=Me)}, (401, 500, 503)),
)
async def who_am_i(by: By) -> Response:
    """The principal that the token stands for."""
    return answer(me(by))


def _where(
    by: Principal,
    account_id: str | None,
    action_intent_id: str | None,
    from_time: str | None,
    to_time: str | None,
    trace_id: str | None = None,
    event_type: LedgerEvent | None = None,
) -> LedgerFilter:
    if action_intent_id is not None and not is_intent_id(action_intent_id):
        raise InvalidInput("An action_intent_id looks like ai_ and a UUIDv7.")
    return LedgerFilter(
        account_ids=None if account_id is None else (account_id,) if by.reaches(account_id) else (),
        trace_id=trace_id,
        action_intent_id=action_intent_id,
        event_type=event_type,
        from_time=instant(from_time, "from"),
        to_time=instant(to_time, "to"),
    )
