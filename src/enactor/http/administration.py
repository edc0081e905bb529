"""Routes of budgets and policies."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from enactor.domain.principal import Permission
from enactor.http.answers import answer
from enactor.http.bodies import read_body
from enactor.http.context import DEFAULT_LIMIT, By, Deps, Limit, NextToken
from enactor.http.openapi import ALWAYS, READING, WRITING, Answer, described
from enactor.http.requests import BudgetBody, PoliciesBody
from enactor.http.slices import slice_of
from enactor.http.views import BudgetPage, BudgetView, PoliciesView, budget_view, policies_view

router = APIRouter(tags=["Administration"])

_BUDGET: Final = msgspec.json.Decoder(BudgetBody)
_POLICIES: Final = msgspec.json.Decoder(PoliciesBody)


@router.get(
    "/v1/budgets",
    summary="List budgets",
    **described({200: Answer(description="The tenant's budgets.", kind=BudgetPage)}, READING),
)
async def list_budgets(deps: Deps, by: By, limit: Limit = DEFAULT_LIMIT, next_token: NextToken = None) -> Response:
    """The tenant's budgets, each with what its current window has used."""
    budgets = await deps.service.operations.budgets(by)
    page, after = slice_of("budgets", by, budgets, lambda item: item[0].action_type, limit, next_token)
    return answer(BudgetPage(items=tuple(budget_view(budget, used) for budget, used in page), next_token=after))


@router.put(
    "/v1/budgets/{action_type}",
    summary="Set a budget",
    **described({200: Answer(description="The budget.", kind=BudgetView)}, WRITING, body=BudgetBody),
)
async def set_budget(
    action_type: Annotated[str, Path(max_length=128, description="An action type, or `*` for all together.")],
    request: Request,
    deps: Deps,
    by: By,
) -> Response:
    """At most `max_executions` runs start in each window. What started in the current one counts."""
    by.require(Permission.BUDGET)
    body = await read_body(request, _BUDGET)
    budget = await deps.service.operations.set_budget(by, action_type, body.window_seconds, body.max_executions)
    return answer(budget_view(budget, None))


@router.get(
    "/v1/policies",
    summary="Read the tenant's policies",
    **described({200: Answer(description="The policies; version 0 for none.", kind=PoliciesView)}, ALWAYS),
)
async def read_policies(deps: Deps, by: By) -> Response:
    """The tenant's own policies, in Cedar. The built-in ones hold as well."""
    return answer(policies_view(await deps.service.operations.policies(by), by.tenant_id))


@router.put(
    "/v1/policies",
    summary="Replace the tenant's policies",
    **described(
        {200: Answer(description="The policies in force now.", kind=PoliciesView)}, (*WRITING, 422), body=PoliciesBody
    ),
)
async def set_policies(request: Request, deps: Deps, by: By) -> Response:
    """Replaces the policies. A text that does not validate changes nothing."""
    by.require(Permission.POLICY)
    body = await read_body(request, _POLICIES)
    return answer(policies_view(await deps.service.operations.set_policies(by, body.text, body.mode), by.tenant_id))
