"""Documents as people write them: what becomes of references, schemas and parameters, and what is wrong with some."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enactor.conformance.clocks import ManualClock
from enactor.conformance.http_server import Asked, Given, HttpServer
from enactor.connectors.openapi.document import Document
from enactor.connectors.openapi.operations import Operation, operation_of
from enactor.connectors.openapi.requests import WrongArgument, prepared
from enactor.domain.errors import ConfigurationError, InvalidParameters
from enactor.domain.permit import CallResult
from tests.connectors.openapi.orders import Orders
from tests.connectors.openapi.rig import TOOL, api, connector_of
from tests.connectors.rig import ConnectorRig

TICKETS = """\
openapi: 3.0.3
info: {title: Tickets, version: 2026-06-01}
paths:
  /boards/{board}/tickets/{ticket_id}:
    parameters:
      - $ref: '#/components/parameters/Board'
      - {name: ticket_id, in: path, required: true, schema: {type: integer}}
    put:
      operationId: putTicket
      summary: Writes a ticket.
      parameters:
        - {name: notify, in: query, schema: {type: array, items: {type: string}}}
        - {name: tags, in: query, explode: false, schema: {type: array, items: {type: string}}}
        - {name: filter, in: query, style: deepObject, schema: {type: object, additionalProperties: true}}
        - {name: X-Trace, in: header, schema: {type: string}}
        - {name: Accept, in: header, required: true, schema: {type: string}}
        - {name: session, in: cookie, schema: {type: string}}
      requestBody: {$ref: '#/components/requestBodies/Ticket'}
      responses: {200: {description: Done.}}
  /notes/{title}:
    post:
      parameters:
        - {name: title, in: path, required: true, schema: {type: string}}
      requestBody:
        required: true
        content:
          application/x-www-form-urlencoded:
            schema:
              type: object
              properties: {text: {type: string}, stars: {type: integer}, to: {type: array, items: {type: string}}}
              required: [text]
      responses: {200: {description: Done.}}
components:
  parameters:
    Board: {name: board, in: path, required: true, description: Which board., schema: {type: string, maxLength: 30}}
  requestBodies:
    Ticket:
      required: true
      content:
        application/json; charset=utf-8:
          schema: {$ref: '#/components/schemas/Ticket'}
  schemas:
    Ticket:
      type: object
      required: [id, title]
      properties:
        id: {type: string, readOnly: true}
        title: {type: string, example: Tea}
        weight: {type: number, minimum: 0, exclusiveMinimum: true}
        due: {type: string, format: date, nullable: true}
        colour: {type: string, enum: [red, green], nullable: true}
        author: {$ref: '#/components/schemas/Author', description: is ignored}
        stamp: {$ref: '#/components/schemas/Stamp'}
        parts: {type: array, items: {$ref: '#/components/schemas/Ticket'}}
        owner: {nullable: true, allOf: [{$ref: '#/components/schemas/Author'}]}
    Author: {type: object, required: [name], properties: {name: {type: string}}}
    Stamp: {type: string, readOnly: true}
"""

TRICKY = st.text(st.sampled_from('ab/\\.%25?#&=+;:@ ü\u2028\x00\n\r\t"{}'), max_size=8)


@pytest.fixture(scope="module")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document, in a file."""
    path = tmp_path_factory.mktemp("documents") / "tickets.yaml"
    path.write_text(TICKETS)
    return path


@pytest.fixture(scope="module")
def put(tickets: Path) -> Operation:
    """One operation of it."""
    return operation_of(Document.read(tickets, "tickets"), "putTicket")


def test_a_document_of_3_0(put: Operation) -> None:
    """References, also to itself; nullable; exclusive bounds; what only answers have; parameters of the path."""
    properties = put.schema["properties"]
    assert list(properties) == [
        *("board", "ticket_id", "notify", "tags", "filter", "X-Trace"),
        *("title", "weight", "due", "colour", "author", "parts", "owner"),
    ]
    assert put.schema["required"] == ["board", "ticket_id", "title"]
    assert properties["board"] == {"type": "string", "maxLength": 30, "description": "Which board."}
    assert properties["title"] == {"type": "string"}
    assert properties["weight"] == {"type": "number", "exclusiveMinimum": 0}
    assert properties["due"]["type"] == ["string", "null"]
    assert properties["colour"]["enum"] == ["red", "green", None]
    assert properties["author"] == {"$ref": "#/$defs/Author"}
    assert properties["owner"] == {"anyOf": [{"allOf": [{"$ref": "#/$defs/Author"}]}, {"type": "null"}]}
    assert properties["parts"]["items"] == {"$ref": "#/$defs/Ticket"}
    assert "id" not in put.schema["$defs"]["Ticket"]["properties"]
    assert put.schema["$defs"]["Ticket"]["required"] == ["title"]
    assert (put.method, put.description) == ("PUT", "Writes a ticket.")


def test_a_request(put: Operation) -> None:
    """Every argument goes where the document says, encoded as it is to be there."""
    request = prepared(
        put,
        {
            "board": "a/b c?d#e%2F;ü",
            "ticket_id": 7,
            "notify": ["ana&x=1", "ben"],
            "tags": ["a,b", "c"],
            "filter": {"a b": "1&2"},
            "X-Trace": "t",
            "title": "Tea",
            "owner": None,
        },
    )
    assert request.target == (
        "/boards/a%2Fb%20c%3Fd%23e%252F%3B%C3%BC/tickets/7"
        "?notify=ana%26x%3D1&notify=ben&tags=a%2Cb,c&filter%5Ba%20b%5D=1%262"
    )
    assert request.headers == {"X-Trace": "t", "Content-Type": "application/json"}
    assert request.content == b'{"owner":null,"title":"Tea"}'


@pytest.mark.parametrize("board", ["", ".", "..", "../admin", "a/../b", "..\\x", "a\x00b", "a\nb"])
def test_a_path_that_would_be_another(put: Operation, board: str) -> None:
    """Neither as it is nor decoded by a careless server can a parameter lead out of its place."""
    with pytest.raises(WrongArgument) as wrong:
        prepared(put, {"board": board, "ticket_id": 1, "title": "x"})
    assert wrong.value.argument == "board"


@given(TRICKY, TRICKY, TRICKY)
def test_any_text(put: Operation, board: str, notify: str, trace: str) -> None:
    """Whatever is put in comes out at its place alone, or is refused."""
    try:
        request = prepared(put, {"board": board, "ticket_id": 1, "notify": [notify], "X-Trace": trace, "title": "x"})
    except WrongArgument:
        return
    path, _, query = request.target.partition("?")
    assert request.target.isascii()
    assert [unquote(part) for part in path.split("/")] == ["", "boards", board, "tickets", "1"]
    assert (unquote(query.removeprefix("notify=")), query.count("&")) == (notify, 0)
    assert request.headers["X-Trace"].isprintable()


def test_a_form(tickets: Path) -> None:
    """Plain values only; lists repeat their name."""
    note = operation_of(Document.read(tickets, "tickets"), "POST /notes/{title}")
    request = prepared(note, {"title": "x", "text": "a&b=c +", "stars": 3, "to": ["ana", "ben"]})
    assert request.content == b"text=a%26b%3Dc%20%2B&stars=3&to=ana&to=ben"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    with pytest.raises(WrongArgument):
        prepared(note, {"title": "x", "text": {"a": 1}})


async def test_a_document_in_yaml_is_called(tickets: Path) -> None:
    """From file to wire: what was proposed is what arrives, and what the schema refuses does not."""
    asked: list[Asked] = []

    async def answer(one: Asked) -> Given:
        asked.append(one)
        return Given(body=b'{"ticket":{"id":7}}')

    tool = {
        "operation": "putTicket",
        "fixed": {"board": "$account", "/author/name": "Enactor"},
        "headers": {"X-Trace": "$key"},
        "refs": [{"system": "tickets", "object_type": "ticket", "id": "/ticket/id"}],
        "summary": "Write “{title}”",
    }
    async with HttpServer(answer) as server:
        rig = ConnectorRig(connector_of(ManualClock(), api(server.url, str(tickets), tool)), ManualClock())
        definition = rig.plane.definition("orders.create_order")
        assert definition is not None
        assert definition.input_schema["properties"]["author"]["properties"] == {}
        good = {"ticket_id": 7, "title": "Tea", "due": None, "parts": [{"title": "Pot", "parts": []}], "author": {}}
        rig.plane.validate("orders.create_order", good)
        for wrong in ({"due": "soon"}, {"weight": 0}, {"parts": [{}]}, {"X-Trace": "mine"}, {"board": "x"}):
            with pytest.raises(InvalidParameters):
                rig.plane.validate("orders.create_order", {**good, **wrong})
        reply = await rig.call("orders.create_order", good)
        await rig.close()
    assert (reply.result, reply.refs[0].object_id) == (CallResult.DONE, "7")
    (one,) = asked
    assert (one.method, one.path, one.headers["x-trace"]) == ("PUT", "/boards/C-17/tickets/7", "ab" * 32)
    assert one.body == (b'{"author":{"name":"Enactor"},"due":null,"parts":[{"parts":[],"title":"Pot"}],"title":"Tea"}')


def _changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    *outer, last = path.split("|")
    holder: Any = changed
    for part in outer:
        holder = holder[part]
    holder[last] = value
    return changed


DOCUMENTS: list[tuple[str, Any, str]] = [
    ("openapi", "2.0", "is not understood"),
    ("openapi", 3, "no OpenAPI document"),
    ("paths", [], "has no paths"),
    ("paths", {}, "has no operation 'createOrder'"),
    ("paths|/orders|post|requestBody", {"$ref": "other.json#/x"}, "refers to another document"),
    ("paths|/orders|post|requestBody", {"$ref": "https://example.com/x.json"}, "refers to another document"),
    ("paths|/orders|post|requestBody", {"$ref": "#/components/nothing"}, "there is nothing at"),
    ("paths|/orders|post|requestBody", {"$ref": "#/paths/~1orders/post/requestBody"}, "refers to itself"),
    ("paths|/orders|post|requestBody|content", {"multipart/form-data": {}}, "neither JSON nor a form"),
    ("paths|/orders|post|parameters", "none", "parameters are a list"),
    ("paths|/orders|post|parameters", [{"name": "a", "in": "path", "schema": {}}], "do not fit together"),
    ("paths|/orders|post|parameters", [{"name": "a", "in": "query", "content": {}}], "in a way not understood"),
    ("paths|/orders|post|parameters", [{"name": "Host", "in": "header", "schema": {}}], "how a request is carried"),
    ("paths|/orders|get|operationId", "createOrder", "more than one operation"),
    ("components|schemas|NewOrder|properties|item", {"$id": "x"}, "are not understood"),
    ("components|schemas|NewOrder|properties|item", 7, "in place of a schema"),
    ("components|schemas|NewOrder|properties|item", {"type": "nonsense"}, "the schema of its arguments is none"),
    ("components|schemas|NewOrder|properties|item", {"type": "string", "pattern": "("}, "is none"),
    ("components|schemas|NewOrder|properties|reference|maxLength", 40, "'reference' does not fit its schema"),
]

WRITES = {**TOOL["undo"]["read"], "operation": "deleteOrder", "headers": {"If-Match": "x"}}
TOOLS: list[tuple[Mapping[str, Any], str]] = [
    ({"operation": "createNothing"}, "no operation 'createNothing'"),
    ({"fixed": {"customer": "$account", "reference": "$key"}}, "no argument 'customer'"),
    ({"fixed": {"/item/x": "$key"}}, "no argument '/item/x'"),
    ({"fixed": {"customer_id": "$ref/object_id", "reference": "$key"}}, "fixed arguments take"),
    ({"fixed": {"reference": "x"}}, '"$key" in fixed or headers'),
    ({"lookup": None}, "needs a lookup"),
    ({"lookup": {**TOOL["lookup"], "operation": "createOrder"}}, "needs the argument"),
    ({"lookup": {**TOOL["lookup"], "arguments": {"refrence": "$key"}}}, "has no argument 'refrence'"),
    ({"undo": {**TOOL["undo"], "read": WRITES}}, "does not read"),
    ({"undo": {**TOOL["undo"], "headers": {}}}, "needs the argument 'if-match'"),
    ({"refs": []}, "undo needs refs of one object"),
    ({"manual_undo": "Call them."}, "undo and manual_undo"),
    ({"effect_free_statuses": [409]}, "the status 409 never says"),
    ({"effect_free_statuses": [500]}, "the status 500 never says"),
    ({"success_statuses": [302]}, "the status 302 never says"),
    ({"headers": {"X-API-Key": "x"}}, "not for settings of a tool"),
    ({"headers": {"Host": "x"}}, "not for settings of a tool"),
    ({"colour": "green"}, "colour"),
]


@pytest.mark.parametrize(("path", "value", "says"), DOCUMENTS)
async def test_broken_documents(path: str, value: Any, says: str) -> None:
    """Each is refused when the server starts, by a message that names the API and what is wrong."""
    document = _changed(Orders().document, path, value)
    with pytest.raises(ConfigurationError) as wrong:
        connector_of(ManualClock(), api("http://127.0.0.1:9", document))
    assert "connector_settings.openapi: the API orders" in wrong.value.message
    assert says in wrong.value.message


@pytest.mark.parametrize(("changes", "says"), TOOLS)
async def test_settings_that_do_not_fit_the_document(changes: Mapping[str, Any], says: str) -> None:
    """The same for what is configured of a tool."""
    with pytest.raises(ConfigurationError) as wrong:
        connector_of(ManualClock(), api("http://127.0.0.1:9", Orders().document, {**TOOL, **changes}))
    assert "connector_settings.openapi" in wrong.value.message
    assert says in wrong.value.message


async def test_documents_that_cannot_be_read(tmp_path: Path) -> None:
    """No file, no JSON, no YAML; an account twice; an API twice; `$account` promised and not used."""
    (tmp_path / "x.json").write_text("openapi: 3.1.0")
    (tmp_path / "x.yaml").write_text("a: [")
    document = Orders().document
    (one,) = api("http://127.0.0.1:9", document)["apis"]
    (server,) = one["servers"]
    unscoped = {**TOOL, "fixed": {"reference": "$key"}}
    for settings, says in (
        (api("http://127.0.0.1:9", str(tmp_path / "nothing.json")), "cannot be read"),
        (api("http://127.0.0.1:9", str(tmp_path / "x.json")), "is not JSON"),
        (api("http://127.0.0.1:9", str(tmp_path / "x.yaml")), "is not YAML"),
        ({"apis": [{**one, "servers": [server, server]}]}, "twice"),
        ({"apis": [{**one, "servers": [server, {**server, "accounts": None}]}]}, "twice"),
        ({"apis": [one, one]}, "names an API twice"),
        ({}, "needs"),
        (api("http://user:pass@127.0.0.1:9", document), "credentials belong into access"),
        (api("http://127.0.0.1:9", document, unscoped, verifies_account=True), '"$account" is in its fixed'),
        ({"apis": [{**one, "tools": {"undo_create": TOOL}}]}, "does not begin with undo_"),
    ):
        with pytest.raises(ConfigurationError) as wrong:
            connector_of(ManualClock(), settings)
        assert says in wrong.value.message


async def test_the_settings_in_the_documentation() -> None:
    """What docs/connectors-openapi.md shows is taken as it stands, over this API's document."""
    page = (Path(__file__).parents[3] / "docs" / "connectors-openapi.md").read_text()
    table = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])["connector_settings"]["openapi"]
    table["apis"][0]["document"] = Orders().document
    (tool,) = (name for name, (spec, _) in connector_of(ManualClock(), table).tools().items() if spec.proposable)
    assert tool == "create_order"
