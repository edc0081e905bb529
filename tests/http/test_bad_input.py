"""Bad input is a 4xx problem document with its code, and nothing is half-written."""

import json
from typing import Any

import httpx
import pytest

from tests.http.world import ACCOUNT, NOTE, World, problem, proposal

UNKNOWN_ID = "ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2"


async def unchanged(world: World) -> None:
    """Nothing was written: no intent, and no entry but those of the start."""
    assert (await world.ana.get("/v1/intents")).json()["items"] == []
    entries = await world.store.entries_after(0, 1_000)
    assert {entry.event_type.value for entry in entries} == {"REGISTRY_CHANGED"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (proposal("NO_SUCH_TYPE"), 422, "UNKNOWN_ACTION_TYPE"),
        (proposal(body="no title"), 422, "INVALID_PARAMETERS"),
        (proposal(title="x", surprise=1), 422, "INVALID_PARAMETERS"),
        (proposal(title=7), 422, "INVALID_PARAMETERS"),
        (proposal(title=None), 422, "INVALID_PARAMETERS"),
        (proposal(title=""), 422, "INVALID_PARAMETERS"),
        (proposal(title={"$secret": "name"}, body=["x"]), 422, "INVALID_PARAMETERS"),
        (proposal("CREATE_INTERNAL_TASK", title="x", due_date="tomorrow"), 422, "INVALID_PARAMETERS"),
        ({**proposal(), "parameters": None}, 400, "INVALID_INPUT"),
        ({**proposal(), "parameters": []}, 400, "INVALID_INPUT"),
        ({**proposal(), "account_id": 7}, 400, "INVALID_INPUT"),
        ({**proposal(), "account_id": ""}, 400, "INVALID_INPUT"),
        ({**proposal(), "expires_in_seconds": 0}, 400, "INVALID_INPUT"),
        ({**proposal(), "expires_in_seconds": -5}, 400, "INVALID_INPUT"),
        ({**proposal(), "expires_in_seconds": 1.5}, 400, "INVALID_INPUT"),
        ({**proposal(), "expires_in_seconds": True}, 400, "INVALID_INPUT"),
        ({**proposal(), "execution_policy": {"retry_count": -1}}, 400, "INVALID_INPUT"),
        ({**proposal(), "execution_policy": {"retries": 1}}, 400, "INVALID_INPUT"),
        ({**proposal(), "rationale": "x" * 4_001}, 400, "INVALID_INPUT"),
        ({**proposal(), "expires_in_second": 60}, 400, "INVALID_INPUT"),
        ({"action_type": NOTE, "parameters": {}}, 400, "INVALID_INPUT"),
        ([], 400, "INVALID_INPUT"),
        ("text", 400, "INVALID_INPUT"),
        (None, 400, "INVALID_INPUT"),
    ],
)
async def test_a_proposal_that_does_not_fit(world: World, body: Any, status: int, code: str) -> None:
    """An unknown action type, a missing, extra or ill-typed parameter or member is refused when it is proposed."""
    problem(await world.agent.post("/v1/intents", json.dumps(body).encode()), status, code)
    await unchanged(world)


def _nested(depth: int) -> bytes:
    inner = b'{"a":' * depth + b"1" + b"}" * depth
    return b'{"action_type":"%s","account_id":"a","parameters":%s}' % (NOTE.encode(), inner)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "INVALID_INPUT"),
        (b"{", 400, "INVALID_INPUT"),
        (b"{]", 400, "INVALID_INPUT"),
        (b"nonsense", 400, "INVALID_INPUT"),
        (b"\xff\xfe", 400, "INVALID_INPUT"),
        (b'{"action_type":"\xff"}', 400, "INVALID_INPUT"),
        ('{"action_type":"x"}'.encode("utf-16"), 400, "INVALID_INPUT"),
        (b'{"action_type":"\\ud800"}', 400, "INVALID_INPUT"),
        (b'{"parameters":NaN}', 400, "INVALID_INPUT"),
        (b'{"parameters":{"n":%s}}' % (b"9" * 5_000), 400, "INVALID_INPUT"),
        (b'{"parameters":{"a":1,"a":2}}', 400, "INVALID_INPUT"),
        (_nested(80), 413, "PAYLOAD_TOO_LARGE"),
        (_nested(100_000), 413, "PAYLOAD_TOO_LARGE"),
        (b"[" * 100_000, 413, "PAYLOAD_TOO_LARGE"),
        (b'{"parameters":{"x":"%s"}}' % (b"x" * 10_000_000), 413, "PAYLOAD_TOO_LARGE"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/intents", "/v1/intents/batch"])
async def test_a_body_that_is_not_plain_json(world: World, path: str, body: bytes, status: int, code: str) -> None:
    """Broken, ambiguous, too deep and too long bodies are refused, on the routes that read bytes themselves too."""
    problem(await world.agent.post(path, body), status, code)
    await unchanged(world)


async def test_numbers_without_a_canonical_form(world: World) -> None:
    """A number that canonical JSON cannot carry is refused, wherever it stands."""
    for number in (b"1e999", b"9007199254740993", b"-1e999"):
        body = b'{"action_type":"%s","account_id":"a","parameters":{"title":"x","n":%s}}' % (NOTE.encode(), number)
        response = await world.agent.post("/v1/intents", body)
        assert response.status_code in (400, 422)
        problem(response, response.status_code, response.json()["error_code"])
    await unchanged(world)


async def test_a_body_without_a_length_is_counted_as_it_comes(world: World) -> None:
    """A chunked body is refused at the limit; what comes after it is never read."""
    sent = 0

    async def chunks() -> Any:
        nonlocal sent
        for _ in range(1_000):
            sent += 1
            yield b"x" * 65_536

    token = world.agent.token
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://127.0.0.1") as client:
        response = await client.post("/v1/intents", content=chunks(), headers={"authorization": f"Bearer {token}"})
    problem(response, 413, "PAYLOAD_TOO_LARGE")
    assert sent <= 18


async def test_a_false_content_length_is_refused(world: World) -> None:
    """A length that is no number, or a huge one before any body, is refused at once."""
    for length in ("-1", "abc", "99999999999999999999999999"):
        response = await world.agent.ask("POST", "/v1/intents", b"{}", {"content-length": length})
        problem(response, 413, "PAYLOAD_TOO_LARGE")


PATHS = [
    ("GET", "/v1/intents/{id}", None),
    ("GET", "/v1/intents/{id}/revisions", None),
    ("PUT", "/v1/intents/{id}/parameters", {"parameters": {"title": "x"}}),
    ("POST", "/v1/intents/{id}/approve", {"approval_digest": "x"}),
    ("POST", "/v1/intents/{id}/reject", {"reason": "x"}),
    ("POST", "/v1/intents/{id}/cancel", {}),
    ("GET", "/v1/executions/{id}", None),
    ("GET", "/v1/executions/{id}/status", None),
    ("GET", "/v1/executions/{id}/timeline", None),
    ("GET", "/v1/executions/{id}/events", None),
    ("POST", "/v1/executions/{id}/resolve", {"resolution": "EXECUTED", "comment": "x"}),
    ("POST", "/v1/executions/{id}/replay", {"replay_reason": "x"}),
    ("POST", "/v1/executions/{id}/undo", {"reason": "x"}),
    ("POST", "/v1/executions", {"action_intent_id": "{id}"}),
]
EVERY_ROLE = ("proposer", "approver", "operator", "auditor", "admin")


@pytest.mark.parametrize(("method", "path", "body"), PATHS)
async def test_what_is_not_the_callers_is_not_there(world: World, method: str, path: str, body: Any) -> None:
    """Another tenant's intent, another account's, and an id of nothing answer alike, whatever the roles: 404."""
    intent = await world.proposed()
    identity = intent["action_intent_id"]
    elsewhere = world.caller("eve", *EVERY_ROLE, tenant="globex")
    other_account = world.caller("eve", *EVERY_ROLE, accounts=("acc-2",))
    no_account = world.caller("eve", *EVERY_ROLE, accounts=())
    insider = world.caller("ina", *EVERY_ROLE)
    documents = []
    for caller, asked in (
        (elsewhere, identity),
        (other_account, identity),
        (no_account, identity),
        (insider, UNKNOWN_ID),
        (insider, "nonsense"),
        (insider, identity.upper()),
    ):
        sent = json.loads(json.dumps(body).replace("{id}", asked))
        response = await caller.ask(method, path.format(id=asked), sent, {"if-match": f'"{intent["approval_digest"]}"'})
        found = problem(response, 404, "INTENT_NOT_FOUND")
        documents.append({name: value for name, value in found.items() if name != "trace_id"})
    assert all(document == documents[0] for document in documents)
    assert (await insider.get(f"/v1/intents/{identity}")).json()["version"] == 1


async def test_lists_show_the_callers_own(world: World) -> None:
    """Listings of another tenant or account, asked for or not, are empty; a proposer sees only its own."""
    done = await world.executed(title="Secret of acme")
    for caller in (
        world.caller("eve", *EVERY_ROLE, tenant="globex"),
        world.caller("eve", *EVERY_ROLE, accounts=("acc-2",)),
    ):
        for path, params in (
            ("/v1/intents", {}),
            ("/v1/intents", {"account_id": ACCOUNT}),
            ("/v1/executions", {}),
            (f"/v1/accounts/{ACCOUNT}/executions", {}),
            ("/v1/objects", {"type": "note"}),
            ("/v1/ledger", {"action_intent_id": done["action_intent_id"]}),
            ("/v1/ledger", {"trace_id": done["trace_id"]}),
            ("/v1/ledger", {"account_id": ACCOUNT}),
        ):
            response = await caller.get(path, **params)
            assert (response.status_code, response.json()["items"]) == (200, []), path
        export = (await caller.get("/v1/ledger/export")).text
        assert "Secret of acme" not in export
        report = (await caller.get("/v1/kill-switches/tenant/report")).json()
        assert report["executed"] == []
    stranger = world.caller("stranger", "proposer")
    assert (await stranger.get("/v1/intents")).json()["items"] == []
    assert (await stranger.get("/v1/executions")).json()["items"] == []


async def test_proposing_for_another_account_is_forbidden(world: World) -> None:
    """A token proposes only for the accounts it covers."""
    caller = world.caller("narrow", "proposer", accounts=("acc-2",))
    problem(await caller.post("/v1/intents", proposal()), 403, "FORBIDDEN")
    await unchanged(world)


LISTS = [
    ("/v1/intents", {}),
    ("/v1/executions", {}),
    (f"/v1/accounts/{ACCOUNT}/executions", {}),
    ("/v1/action-types", {}),
    ("/v1/ledger", {}),
    ("/v1/objects", {"type": "note"}),
    ("/v1/kill-switches/tenant/report", {}),
    ("/v1/kill-switches", {}),
    ("/v1/budgets", {}),
    ("/v1/connectors", {}),
]


@pytest.mark.parametrize(("path", "params"), LISTS)
async def test_a_limit_is_one_to_a_hundred(world: World, path: str, params: dict[str, str]) -> None:
    """Limits of 0, below, above 100 and of no number are refused, in every listing."""
    caller = world.caller("all", *EVERY_ROLE)
    for limit in ("0", "-1", "101", "1.5", "x", "", "99999999999999999999"):
        problem(await caller.get(path, **params, limit=limit), 400, "INVALID_INPUT")
    assert (await caller.get(path, **params, limit="100")).status_code == 200


@pytest.mark.parametrize(("path", "params"), LISTS)
async def test_a_page_token_of_elsewhere_is_refused(world: World, path: str, params: dict[str, str]) -> None:
    """A made-up token, and one of another listing, filter or tenant, is 400 with its own code."""
    for _ in range(3):
        await world.executed()
    caller = world.caller("all", *EVERY_ROLE)
    foreign = [
        (await caller.get("/v1/executions", limit="1", status="SUCCEEDED")).json()["next_token"],
        (await caller.get("/v1/ledger", limit="1", event_type="INTENT_PROPOSED")).json()["next_token"],
    ]
    assert all(foreign)
    for token in (*foreign, "nonsense", "e30", "x" * 4_000, "\u2028", "'"):
        problem(await caller.get(path, **params, next_token=token), 400, "INVALID_PAGE_TOKEN")
    problem(await caller.get(path, **params, next_token="x" * 5_000), 400, "INVALID_INPUT")


@pytest.mark.parametrize("path", ["/v1/intents", "/v1/executions", "/v1/ledger"])
async def test_pages_hold_everything_once(world: World, path: str) -> None:
    """Following next_token gives every item once, in one order; a token is good for its own tenant and listing."""
    for _ in range(3):
        await world.executed()
    caller = world.caller("all", *EVERY_ROLE)
    whole = (await caller.get(path, limit="100")).json()["items"]
    paged: list[Any] = []
    token = None
    others = {"/v1/intents", "/v1/executions", "/v1/ledger"} - {path}
    while True:
        page = (await caller.get(path, limit="2", **({"next_token": token} if token else {}))).json()
        paged += page["items"]
        if token := page["next_token"]:
            elsewhere = world.caller("all", *EVERY_ROLE, tenant="globex")
            problem(await elsewhere.get(path, limit="2", next_token=token), 400, "INVALID_PAGE_TOKEN")
            for other in others:
                problem(await caller.get(other, limit="2", next_token=token), 400, "INVALID_PAGE_TOKEN")
        else:
            break
    assert paged == whole
    assert len(whole) >= 3


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/intents", {"status": "RUNNING"}),
        ("/v1/executions", {"status": "INTENT:APPROVED"}),
        ("/v1/executions", {"status": "succeeded"}),
        ("/v1/objects", {"type": "secret"}),
        ("/v1/objects", {}),
        ("/v1/ledger", {"event_type": "NO_SUCH"}),
        ("/v1/ledger", {"action_intent_id": "nonsense"}),
        ("/v1/ledger/export", {"action_intent_id": "nonsense"}),
        ("/v1/ledger", {"from": "yesterday"}),
        ("/v1/ledger", {"to": "2026-01-01T00:00:00"}),
        ("/v1/ledger", {"to": "0001-01-01T00:00:00+14:00"}),
        ("/v1/ledger", {"to": "1969-12-31T23:59:59Z"}),
        ("/v1/kill-switches/tenant/report", {"since": "x"}),
        ("/v1/action-types/CREATE_INTERNAL_NOTE/versions/0", {}),
        ("/v1/action-types/CREATE_INTERNAL_NOTE/versions/x", {}),
        ("/v1/action-types/CREATE_INTERNAL_NOTE/versions/99999999999999999999", {}),
        ("/v1/events", {"last_event_id": "-1"}),
        ("/v1/events", {"last_event_id": "x"}),
        ("/v1/events", {"last_event_id": "999999"}),
    ],
)
async def test_a_query_that_does_not_fit(world: World, path: str, params: dict[str, str]) -> None:
    """A status, kind, instant, version or position that is none is refused."""
    problem(await world.caller("all", *EVERY_ROLE).get(path, **params), 400, "INVALID_INPUT")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", "/v1/kill-switches/nonsense", {"enabled": True, "reason": "x"}, 400, "INVALID_INPUT"),
        ("PUT", "/v1/kill-switches/tenant", {"enabled": "yes", "reason": "x"}, 400, "INVALID_INPUT"),
        ("PUT", "/v1/kill-switches/tenant", {"enabled": True}, 400, "INVALID_INPUT"),
        ("PUT", "/v1/kill-switches/tenant", {"enabled": True, "reason": " "}, 400, "INVALID_INPUT"),
        ("GET", "/v1/kill-switches/nonsense/report", None, 404, "NOT_FOUND"),
        ("PUT", "/v1/budgets/lower", {"window_seconds": 1, "max_executions": 1}, 400, "INVALID_INPUT"),
        ("PUT", "/v1/budgets/*", {"window_seconds": 0, "max_executions": 1}, 400, "INVALID_INPUT"),
        ("PUT", "/v1/policies", {"text": "permit everything please"}, 422, "INVALID_POLICY"),
        ("PUT", "/v1/policies", {"text": "", "mode": "MAYBE"}, 400, "INVALID_INPUT"),
        ("GET", "/v1/action-types/NO_SUCH", None, 404, "NOT_FOUND"),
        ("GET", "/v1/action-types/CREATE_INTERNAL_NOTE/versions/9", None, 404, "NOT_FOUND"),
        ("GET", "/v1/objects/note_none", None, 404, "NOT_FOUND"),
        ("POST", "/v1/action-types", {"action_type": "X", "tool_name": "no.such"}, 400, "INVALID_INPUT"),
        ("GET", "/v1/nothing", None, 404, "NOT_FOUND"),
        ("GET", "/v1/intents/", None, 404, "NOT_FOUND"),
        ("DELETE", "/v1/intents", None, 405, "METHOD_NOT_ALLOWED"),
        ("TRACE", "/v1/intents", None, 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_what_is_not_there_or_does_not_fit(
    world: World, method: str, path: str, body: Any, status: int, code: str
) -> None:
    """Unknown scopes, names, tools, paths and methods each have their status and code."""
    problem(await world.caller("all", *EVERY_ROLE).ask(method, path, body), status, code)


async def test_resolving_what_is_not_in_doubt(world: World) -> None:
    """A run that has ended is not resolved, and refs do not go with NOT_EXECUTED."""
    intent = await world.executed()
    path = f"/v1/executions/{intent['action_intent_id']}/resolve"
    olga = world.caller("olga", "operator")
    problem(await olga.post(path, {"resolution": "EXECUTED", "comment": "x"}), 409, "ILLEGAL_TRANSITION")
    ref = {"system": "bank", "object_type": "payment", "object_id": "1"}
    body = {"resolution": "NOT_EXECUTED", "comment": "x", "external_object_refs": [ref]}
    problem(await olga.post(path, body), 400, "INVALID_INPUT")
    problem(await olga.post(path, {"resolution": "PERHAPS", "comment": "x"}), 400, "INVALID_INPUT")


async def test_short_lists_have_pages_too(world: World) -> None:
    """Switches, budgets and revisions come page by page, each item once; a token is good for its own list only."""
    caller = world.caller("all", *EVERY_ROLE)
    for name in ("A", "B", "C"):
        await caller.put(f"/v1/kill-switches/action-type:{name}", {"enabled": True, "reason": "Stop."})
        await caller.put(f"/v1/budgets/{name}", {"max_executions": 1, "window_seconds": 60})
    intent = await world.proposed()
    edited = intent["approval_digest"]
    for title in ("second", "third"):
        body = {"parameters": {"title": title}}
        path = f"/v1/intents/{intent['action_intent_id']}/parameters"
        edited = (await caller.put(path, body, {"If-Match": f'"{edited}"'})).json()["approval_digest"]
    paths = ("/v1/kill-switches", "/v1/budgets", f"/v1/intents/{intent['action_intent_id']}/revisions")
    for path in paths:
        whole = (await caller.get(path)).json()
        assert (len(whole["items"]), whole["next_token"]) == (3, None)
        first = (await caller.get(path, limit="2")).json()
        rest = (await caller.get(path, limit="2", next_token=first["next_token"])).json()
        assert (first["items"] + rest["items"], rest["next_token"]) == (whole["items"], None)
        for other in set(paths) - {path}:
            problem(await caller.get(other, next_token=first["next_token"]), 400, "INVALID_PAGE_TOKEN")
