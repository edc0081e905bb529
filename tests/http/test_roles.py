"""Which role may do what, on every route; roles do not nest."""

from typing import Any

import pytest

from tests.http.world import ACCOUNT, World, problem, proposal

PROPOSER, APPROVER, OPERATOR, AUDITOR, ADMIN, PLATFORM = (
    "proposer",
    "approver",
    "operator",
    "auditor",
    "admin",
    "platform_admin",
)
ALL = {PROPOSER, APPROVER, OPERATOR, AUDITOR, ADMIN, PLATFORM}
READERS = {APPROVER, OPERATOR, AUDITOR, ADMIN}
SEES = READERS | {PROPOSER}
ID = "ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2"

TABLE: list[tuple[str, str, str, Any, set[str]]] = [
    ("POST", "/v1/intents", "", proposal(), {PROPOSER}),
    ("POST", "/v1/intents/batch", "", {"items": [proposal()]}, {PROPOSER}),
    ("GET", "/v1/intents", "", None, SEES),
    ("GET", "/v1/intents/{action_intent_id}", "", None, SEES),
    ("GET", "/v1/intents/{action_intent_id}/revisions", "", None, SEES),
    ("PUT", "/v1/intents/{action_intent_id}/parameters", "", {"parameters": {"title": "x"}}, {APPROVER}),
    ("POST", "/v1/intents/{action_intent_id}/approve", "", {"approval_digest": "x"}, {APPROVER}),
    ("POST", "/v1/intents/{action_intent_id}/reject", "", {"reason": "x"}, {APPROVER}),
    ("POST", "/v1/intents/{action_intent_id}/cancel", "", {}, {PROPOSER, OPERATOR}),
    ("POST", "/v1/executions", "", {"action_intent_id": ID}, SEES),
    ("GET", "/v1/executions", "", None, SEES),
    ("GET", "/v1/accounts/{account_id}/executions", "", None, SEES),
    ("GET", "/v1/executions/{action_intent_id}", "", None, SEES),
    ("GET", "/v1/executions/{action_intent_id}/status", "", None, SEES),
    ("GET", "/v1/executions/{action_intent_id}/timeline", "", None, SEES),
    ("GET", "/v1/executions/{action_intent_id}/events", "", None, SEES),
    ("GET", "/v1/events", "?last_event_id=999999", None, SEES),
    (
        "POST",
        "/v1/executions/{action_intent_id}/resolve",
        "",
        {"resolution": "NOT_EXECUTED", "comment": "x"},
        {OPERATOR},
    ),
    ("POST", "/v1/executions/{action_intent_id}/undo", "", {"reason": "x"}, {OPERATOR}),
    ("POST", "/v1/executions/{action_intent_id}/replay", "", {"replay_reason": "x"}, {ADMIN}),
    ("GET", "/v1/objects", "?type=note", None, READERS),
    ("GET", "/v1/objects/{object_id}", "", None, READERS),
    ("GET", "/v1/action-types", "", None, ALL),
    ("POST", "/v1/action-types", "", {"action_type": "X", "tool_name": "no.such"}, {ADMIN, PLATFORM}),
    ("GET", "/v1/action-types/{action_type}", "", None, ALL),
    ("GET", "/v1/action-types/{action_type}/versions/{version}", "", None, ALL),
    ("GET", "/v1/kill-switches", "", None, READERS | {PLATFORM}),
    ("PUT", "/v1/kill-switches/{scope}", "", {"enabled": True, "reason": "x"}, {OPERATOR}),
    ("GET", "/v1/kill-switches/{scope}/report", "", None, READERS | {PLATFORM}),
    ("GET", "/v1/connectors", "", None, READERS | {PLATFORM}),
    ("GET", "/v1/budgets", "", None, READERS),
    ("PUT", "/v1/budgets/{action_type}", "", {"window_seconds": 60, "max_executions": 1}, {ADMIN}),
    ("GET", "/v1/policies", "", None, READERS),
    ("PUT", "/v1/policies", "", {"text": ""}, {ADMIN}),
    ("GET", "/v1/ledger", "", None, {AUDITOR}),
    ("GET", "/v1/ledger/export", "", None, {AUDITOR}),
    ("GET", "/v1/ledger/checkpoint", "", None, {AUDITOR}),
    ("POST", "/v1/ledger/checkpoint", "", None, {AUDITOR}),
    ("POST", "/v1/ledger/checkpoint/cosignatures", "", {"checkpoint": "x"}, {AUDITOR}),
    ("GET", "/v1/ledger/keys", "", None, {AUDITOR}),
    ("GET", "/v1/ledger/proof/{entry_id}", "", None, {AUDITOR}),
    ("GET", "/v1/ledger/consistency", "?from=0&to=0", None, {AUDITOR}),
    ("POST", "/v1/ledger/erasures", "", {"reference": "T-1", "action_intent_ids": [ID]}, {ADMIN}),
    ("GET", "/v1/me", "", None, ALL),
]
VALUES = {
    "action_intent_id": ID,
    "account_id": ACCOUNT,
    "object_id": "note_1",
    "action_type": "CREATE_INTERNAL_NOTE",
    "version": "1",
    "scope": "tenant",
    "entry_id": "0" * 32,
}


@pytest.mark.parametrize(("method", "path", "query", "body", "permitted"), TABLE, ids=[f"{r[0]} {r[1]}" for r in TABLE])
async def test_roles(world: World, method: str, path: str, query: str, body: Any, permitted: set[str]) -> None:
    """The roles of the table get past the door; the others are 403, no role at all is 403, and no token is 401."""
    url = path.format(**VALUES) + query
    for role in sorted(ALL):
        caller = world.caller(role, role, tenant="" if role == PLATFORM else "acme")
        response = await caller.ask(method, url, body, {"if-match": '"x"'})
        if role in permitted:
            assert response.status_code not in (401, 403, 405, 500), (role, response.text)
        else:
            problem(response, 403, "FORBIDDEN")
    nothing = await world.caller("nobody").ask(method, url, body)
    assert nothing.status_code == (200 if path == "/v1/me" else 403)
    refused = await world.anybody().ask(method, url, body)
    problem(refused, 401, "UNAUTHENTICATED")
    assert refused.headers["www-authenticate"] == 'Bearer realm="enactor"'
    bad = await world.anybody("nonsense").ask(method, url, body)
    problem(bad, 401, "UNAUTHENTICATED")
    assert bad.headers["www-authenticate"] == 'Bearer realm="enactor", error="invalid_token"'


async def test_the_table_is_complete(world: World) -> None:
    """Every operation of /openapi.json that needs a token is in the table."""
    document = (await world.anybody().get("/openapi.json")).json()
    secured = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation["security"]
    }
    assert secured == {(method, path) for method, path, *_ in TABLE}
    assert {path for path in document["paths"] if not path.startswith("/v1/")} == {"/healthz", "/readyz", "/metrics"}


async def test_platform_switches_are_the_platforms(world: World) -> None:
    """A tenant's operator turns no platform switch, and a platform administrator no tenant's."""
    body = {"enabled": True, "reason": "x"}
    platform = world.caller("root", PLATFORM, tenant="")
    for scope in ("global", "platform:connector:internal", "platform:action-type:X"):
        problem(await world.caller("olga", OPERATOR).put(f"/v1/kill-switches/{scope}", body), 403, "FORBIDDEN")
        assert (await platform.put(f"/v1/kill-switches/{scope}", body)).status_code == 200
    problem(await platform.put("/v1/kill-switches/tenant", body), 403, "FORBIDDEN")


async def test_the_door_is_before_the_body(world: World) -> None:
    """Whoever may not do it is told so, whatever the body: nothing of what is accepted is given away."""
    for body in (b"{", b"[]", {"surprise": 1}):
        problem(await world.ana.post("/v1/intents", body), 403, "FORBIDDEN")
        problem(await world.anybody().post("/v1/intents", body), 401, "UNAUTHENTICATED")
        problem(await world.agent.put("/v1/policies", body), 403, "FORBIDDEN")


async def test_who_one_is(world: World) -> None:
    """GET /v1/me tells what the token says."""
    me = (await world.caller("bo", APPROVER, AUDITOR, accounts=("a", "b"), agent=True).get("/v1/me")).json()
    assert me == {
        "principal": "dev:bo",
        "iss": "enactor-dev",
        "sub": "bo",
        "tenant_id": "acme",
        "account_ids": ["a", "b"],
        "roles": ["approver", "auditor"],
        "interactive": False,
        "actors": [],
        "client_id": "enactor-dev-agent",
    }
