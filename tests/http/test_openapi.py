"""The OpenAPI document and the page that shows it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.world import PROBLEM_MEMBERS, World, problem, proposal

INTERFACES = {
    "/v1/intents": {"post", "get"},
    "/v1/intents/batch": {"post"},
    "/v1/intents/{action_intent_id}": {"get"},
    "/v1/intents/{action_intent_id}/revisions": {"get"},
    "/v1/intents/{action_intent_id}/parameters": {"put"},
    "/v1/intents/{action_intent_id}/approve": {"post"},
    "/v1/intents/{action_intent_id}/reject": {"post"},
    "/v1/intents/{action_intent_id}/cancel": {"post"},
    "/v1/executions": {"get", "post"},
    "/v1/executions/{action_intent_id}": {"get"},
    "/v1/executions/{action_intent_id}/status": {"get"},
    "/v1/accounts/{account_id}/executions": {"get"},
    "/v1/executions/{action_intent_id}/timeline": {"get"},
    "/v1/executions/{action_intent_id}/events": {"get"},
    "/v1/events": {"get"},
    "/v1/executions/{action_intent_id}/resolve": {"post"},
    "/v1/executions/{action_intent_id}/replay": {"post"},
    "/v1/executions/{action_intent_id}/undo": {"post"},
    "/v1/action-types": {"get", "post"},
    "/v1/action-types/{action_type}/versions/{version}": {"get"},
    "/v1/kill-switches": {"get"},
    "/v1/kill-switches/{scope}": {"put"},
    "/v1/kill-switches/{scope}/report": {"get"},
    "/v1/budgets": {"get"},
    "/v1/budgets/{action_type}": {"put"},
    "/v1/policies": {"get", "put"},
    "/v1/ledger": {"get"},
    "/v1/ledger/export": {"get"},
    "/v1/objects": {"get"},
    "/v1/me": {"get"},
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
}


@pytest.fixture
async def document(world: World) -> Any:
    """The document as it is served."""
    return (await world.anybody().get("/openapi.json")).json()


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Every operation with its method and path."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in a value."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "$ref" and isinstance(member, str):
                yield member
            else:
                yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


async def test_every_call_of_the_interfaces_is_there(document: Any) -> None:
    """The document has each path and method of the interfaces; names are fixed, adding is free."""
    for path, methods in INTERFACES.items():
        assert methods <= document["paths"].get(path, {}).keys(), path


async def test_every_reference_leads_somewhere(document: Any) -> None:
    """No `$ref` points at nothing."""
    for reference in references(document):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


async def test_every_operation_says_what_it_answers(document: Any) -> None:
    """Each has a summary and a description; success has a schema; every refusal is a problem document."""
    for method, path, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["tags"], path
        secured = path.startswith("/v1/")
        assert bool(operation["security"]) is secured, path
        statuses = set(operation["responses"])
        assert "500" in statuses
        if secured:
            assert {"401", "503"} <= statuses, path
        if "requestBody" in operation:
            assert {"400", "413"} <= statuses, path
            (media,) = operation["requestBody"]["content"].values()
            assert media["schema"]
        else:
            assert method == "get" or path == "/v1/ledger/checkpoint"
        if "{action_intent_id}" in path:
            assert "404" in statuses
        for status, response in operation["responses"].items():
            if int(status) < 400 or path == "/readyz":
                (media,) = [*response.get("content", {"x": {"schema": True}}).values()]
                assert media["schema"]
            else:
                assert response == {"$ref": f"#/components/responses/{status}"}, (path, status)
    for response in document["components"]["responses"].values():
        assert response["content"].keys() == {"application/problem+json"}
    assert set(document["components"]["schemas"]["Problem"]["required"]) == PROBLEM_MEMBERS


async def test_bodies_are_closed(document: Any) -> None:
    """Every body that is read refuses members it does not know, and the document says so."""
    schemas = document["components"]["schemas"]
    bodies = [name for name in schemas if name.endswith("Body")]
    assert len(bodies) > 15
    for name in bodies:
        assert schemas[name]["additionalProperties"] is False, name


async def test_lists_are_alike(document: Any) -> None:
    """Each paged listing takes limit (1 to 100) and next_token, and answers items and next_token."""
    paged = 0
    for _, path, operation in operations(document):
        named = {parameter["name"]: parameter for parameter in operation.get("parameters", [])}
        if "limit" not in named:
            continue
        paged += 1
        schema = named["limit"]["schema"]
        assert (schema["minimum"], schema["maximum"]) == (1, 100), path
        assert "next_token" in named, path
        reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        properties = document["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
        assert "next_token" in properties, path
    assert paged == 11


async def test_no_secret_and_no_machine_is_in_it(document: Any) -> None:
    """The document names no path of a machine, no host and no token."""
    text = json.dumps(document)
    for place in (Path.home(), Path(__file__).parents[2], "eyJ"):
        assert str(place) not in text


async def test_the_page_needs_no_other_server(world: World) -> None:
    """/docs and everything it loads come from this server, and its policy lets the browser load nothing else."""
    nobody = world.anybody()
    page = await nobody.get("/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 4
    for path in loaded:
        asset = await nobody.get(f"/{path}")
        assert asset.status_code == 200, path
        assert len(asset.content) > 50
    assert "//" not in "".join(loaded)
    problem(await nobody.get("/docs/assets/nothing.js"), 404, "NOT_FOUND")
    problem(await nobody.get("/docs/assets/..%2f__init__.py"), 404, "NOT_FOUND")


async def test_examples_of_use_fit_the_document(world: World, document: Any) -> None:
    """What the document calls required is what is answered: an intent, an execution and a problem."""
    schemas = document["components"]["schemas"]
    intent = await world.executed()
    read = (await world.ana.get(f"/v1/intents/{intent['action_intent_id']}")).json()
    assert set(schemas["IntentView"]["required"]) <= read.keys() <= schemas["IntentView"]["properties"].keys()
    view = (await world.ana.get(f"/v1/executions/{intent['action_intent_id']}")).json()
    assert set(schemas["ExecutionView"]["required"]) <= view.keys() == schemas["ExecutionView"]["properties"].keys()
    refused = await world.agent.post("/v1/intents", proposal("NO_SUCH"))
    assert set(schemas["Problem"]["required"]) <= refused.json().keys()


async def test_it_is_served_to_anybody(world: World) -> None:
    """The document and the page need no token, because they hold nothing of anybody."""
    assert (await world.anybody().get("/openapi.json")).headers["content-type"] == "application/json"
