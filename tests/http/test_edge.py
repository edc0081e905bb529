"""Around every request: an answer whatever happens, headers, counts, health."""

import asyncio
import logging
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from enactor.domain.errors import EnactorError, InvalidInput, StoreFailed, Unavailable
from enactor.http.app import create_app
from enactor.http.context import HttpSettings
from enactor.http.metrics import Metrics
from enactor.http.problems import of_conflict, problem_members, status_of
from enactor.ports.commands import Conflict, ConflictKind
from tests.http.world import Caller, World, problem


def _errors(of: type[EnactorError] = EnactorError) -> list[type[EnactorError]]:
    return [of, *(kind for sub in of.__subclasses__() for kind in _errors(sub))]


def test_every_error_has_its_status() -> None:
    """Each class of error maps to one status, and a code never has two."""
    statuses: dict[str, set[int]] = {}
    for kind in _errors():
        statuses.setdefault(kind.error_code, set()).add(status_of(kind("x")))
    assert all(len(found) == 1 for found in statuses.values()), statuses
    expected = {
        "INVALID_INPUT": 400,
        "UNAUTHENTICATED": 401,
        "FORBIDDEN": 403,
        "SELF_DECISION_FORBIDDEN": 403,
        "POLICY_DENIED": 403,
        "NOT_FOUND": 404,
        "INTENT_NOT_FOUND": 404,
        "APPROVAL_STALE": 409,
        "EFFECT_KEY_TAKEN": 409,
        "PRECONDITION_FAILED": 412,
        "PAYLOAD_TOO_LARGE": 413,
        "INVALID_PARAMETERS": 422,
        "IDEMPOTENCY_KEY_REUSED": 422,
        "TOO_MANY_PENDING": 429,
        "STORE_FAILED": 503,
        "UNAVAILABLE": 503,
        "INTERNAL_ERROR": 500,
        "CONFIGURATION_ERROR": 500,
    }
    assert {code: statuses[code] for code in expected} == {code: {status} for code, status in expected.items()}


def test_details_never_replace_members() -> None:
    """An error's own details stand beside the members of the document, and cannot pass for them."""
    error = InvalidInput("no", parameter="x", nothing=None)
    error.details.update(status=200, type="urn:x")
    members = problem_members(error, "t")
    assert (members["status"], members["type"]) == (400, "urn:enactor:error:invalid-input")
    assert (members["parameter"], "nothing" in members) == ("x", False)


@pytest.mark.parametrize("kind", list(ConflictKind))
def test_every_conflict_can_be_shown(kind: ConflictKind) -> None:
    """A condition that did not hold is a 4xx that repeats no record."""
    shown = problem_members(
        of_conflict(Conflict(kind, {"secret": "hunter2"} if kind != "EFFECT_KEY_TAKEN" else "ai_1")), "t"
    )
    assert 400 <= shown["status"] < 500
    assert "hunter2" not in str(shown)


class _Broken:
    """A use case that fails as told."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: object, **__: object) -> None:
            raise self._error

        return fail


def broken(world: World, error: BaseException) -> Caller:
    """A caller of an application whose store fails as told."""
    deps = msgspec.structs.replace(world.deps, store=_Broken(error), metrics=Metrics())
    return Caller(httpx.ASGITransport(create_app(deps)), world.ana.token)


async def test_what_nobody_foresaw_says_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is a 500 problem without its words; the log has its type and the trace, no more."""
    caller = broken(world, ZeroDivisionError("the password is hunter2"))
    with caplog.at_level(logging.DEBUG):
        response = await caller.get("/v1/objects/note_1")
    document = problem(response, 500, "INTERNAL_ERROR")
    assert "hunter2" not in response.text
    assert "hunter2" not in caplog.text
    assert "Traceback" not in caplog.text
    (record,) = [record for record in caplog.records if record.name == "enactor.http"]
    assert record.getMessage() == f"request of trace {document['trace_id']} ended by ZeroDivisionError"


async def test_a_store_that_failed_is_503(world: World) -> None:
    """A store that cannot be used is 503; one that can be again soon says when to try again."""
    problem(await broken(world, StoreFailed("The disk is full.")).get("/v1/objects/x"), 503, "STORE_FAILED")
    response = await broken(world, Unavailable("Not now.")).get("/v1/objects/x")
    assert problem(response, 503, "UNAVAILABLE")["retryable"] is True
    assert response.headers["retry-after"] == "1"


async def test_an_export_that_breaks_is_cut_off(world: World) -> None:
    """An answer that fails midway is not finished as if it were whole."""
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    deps = msgspec.structs.replace(world.deps, store=_Broken(ZeroDivisionError("x")), metrics=Metrics())
    token = world.caller("audrey", "auditor").token
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/v1/ledger/export",
        "raw_path": b"/v1/ledger/export",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await create_app(deps)(scope, receive, send)
    assert messages[0]["status"] == 200
    assert all(message.get("more_body") for message in messages[1:])


async def test_every_answer_has_its_headers(world: World) -> None:
    """Successes, refusals and unknown paths alike carry the trace, forbid caching and sniffing."""
    for path in ("/v1/me", "/v1/intents?limit=0", "/v1/nothing", "/healthz", "/openapi.json"):
        response = await world.ana.get(path)
        assert len(response.headers["x-trace-id"]) == 32
        assert response.headers["x-request-id"] == response.headers["x-trace-id"]
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
    allowed = (await world.ana.ask("DELETE", "/v1/policies")).headers["allow"]
    assert allowed


async def test_health_needs_no_token(world: World) -> None:
    """Liveness, readiness and metrics answer without a token."""
    nobody = world.anybody()
    assert (await nobody.get("/healthz")).json() == {"status": "ok", "version": "0.0.0", "checks": {}}
    ready = await nobody.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]) == (
        200,
        {"store": "ok", "engine": "ok", "tools": "ok", "ledger": "ok"},
    )


async def test_readiness_says_what_is_missing(world: World) -> None:
    """A store that fails or hangs, and an engine that takes nothing, are 503 with the part's name and nothing else."""
    response = await broken(world, StoreFailed("secret path")).get("/readyz")
    assert (response.status_code, response.json()["checks"]["store"]) == (503, "failing")
    assert "secret" not in response.text

    class Hanging:
        async def info(self) -> None:
            await asyncio.Event().wait()

    settings = HttpSettings(dev=True, ready_seconds=0.01)
    deps = msgspec.structs.replace(world.deps, store=Hanging(), settings=settings, metrics=Metrics())
    response = await Caller(httpx.ASGITransport(create_app(deps)), None).get("/readyz")
    assert (response.status_code, response.json()["checks"]["store"]) == (503, "failing")
    await world.assembly.engine.drain(1)
    response = await world.anybody().get("/readyz")
    assert (response.status_code, response.json()["checks"]["engine"]) == (503, "failing")
    assert (await world.anybody().get("/healthz")).status_code == 200


async def test_metrics_count_and_tell_nobody_apart(world: World) -> None:
    """Requests by route and status, executions by status, the engine's load; no tenant, intent or path in a label."""
    intent = await world.executed()
    await world.executed("BANK_TRANSFER", payment_id="p1", outcome="refused")
    await world.ana.get(f"/v1/intents/{intent['action_intent_id']}")
    await world.ana.get("/v1/nothing/at/all")
    await world.ana.ask("BREW", "/v1/me")
    response = await world.anybody().get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert samples["enactor_http_requests_total", "/v1/intents", "201", "POST"] == 2
    assert samples["enactor_http_requests_total", "/v1/intents/{action_intent_id}", "200", "GET"] == 1
    assert samples["enactor_http_requests_total", "404", "GET", "unmatched"] == 1
    assert samples["enactor_http_request_seconds_count", "/v1/intents", "POST"] == 2
    assert samples["enactor_executions_total", "SUCCEEDED"] == 1
    assert samples["enactor_executions_total", "FAILED"] == 1
    assert samples["enactor_executions_total", "IN_DOUBT"] == 0
    assert samples["enactor_engine_runs", "queued"] == 0
    assert samples["enactor_engine_accepting",] == 1
    for name in ("acme", intent["action_intent_id"], "planner", "BREW", "nothing"):
        assert name not in response.text
