"""The OpenAPI document: routes say by hand what they take and answer, because they read and write bytes themselves."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, TypedDict

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from enactor.http.problems import MEDIA_TYPE, Problem

JSON: Final = "application/json"
_SCHEMAS: Final = "#/components/schemas/"
_PROBLEMS: Final = "#/components/responses/"
_BEARER: Final = "bearer"
_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})

ALWAYS: Final = (401, 403, 500, 503)
"""What every route with a token may answer."""
READING: Final = (400, *ALWAYS)
WRITING: Final = (400, 413, *ALWAYS)

_REQUEST_ID: Final = {
    "X-Trace-Id": {"description": "The request's trace id.", "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}},
    "X-Request-Id": {"description": "The caller's request id, else the trace id.", "schema": {"type": "string"}},
}

_documented: Final[dict[str, type]] = {"Problem": Problem}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One successful answer of a route.

    `kind` is the type of a JSON body; without one, `media_type` is that of a text.
    """

    description: str
    kind: type | None = None
    media_type: str = JSON
    headers: dict[str, Any] = {}


class Described(TypedDict):
    """Arguments of FastAPI's route decorators."""

    response_class: type[Response]
    status_code: int
    openapi_extra: dict[str, Any]


ETAG: Final = {"ETag": {"description": "The approval digest, quoted.", "schema": {"type": "string"}}}


def described(
    answers: Mapping[int, Answer],
    problems: tuple[int, ...],
    *,
    body: type | None = None,
    body_required: bool = True,
    body_alternatives: tuple[type, ...] = (),
    parameters: tuple[dict[str, Any], ...] = (),
    secured: bool = True,
) -> Described:
    """What a route takes and answers, for FastAPI's decorators.

    Args:
        answers: successful answers by status, the usual one first.
        problems: statuses of its problem documents.
        body: the type of the JSON body.
        body_alternatives: lists of these types are taken in place of `body`.
        parameters: headers that the route reads by itself.
        secured: whether it needs a token.
    """
    responses: dict[str, Any] = {}
    for status, answer in answers.items():
        schema = reference(answer.kind) if answer.kind else {"type": "string"}
        content = {answer.media_type: {"schema": schema}}
        responses[str(status)] = {
            "description": answer.description,
            "content": content,
            "headers": {**_REQUEST_ID, **answer.headers},
        }
    for status in sorted(set(problems)):
        responses[str(status)] = {"$ref": f"{_PROBLEMS}{status}"}
    extra: dict[str, Any] = {"responses": responses, "security": [{_BEARER: []}] if secured else []}
    if body is not None:
        taken: dict[str, Any] = reference(body)
        if body_alternatives:
            lists = [{"type": "array", "items": reference(kind)} for kind in body_alternatives]
            taken = {"anyOf": [taken, *lists]}
        extra["requestBody"] = {"required": body_required, "content": {JSON: {"schema": taken}}}
    if parameters:
        extra["parameters"] = list(parameters)
    return {"response_class": Response, "status_code": next(iter(answers)), "openapi_extra": extra}


def header(name: str, description: str, *, required: bool = False, schema: dict[str, Any] | None = None) -> Any:
    """A header that a route reads by itself."""
    return {
        "in": "header",
        "name": name,
        "required": required,
        "description": description,
        "schema": schema or {"type": "string"},
    }


def reference(kind: type) -> dict[str, Any]:
    """A reference to a type's schema, which the document then has."""
    _documented[kind.__name__] = kind
    return {"$ref": f"{_SCHEMAS}{kind.__name__}"}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the whole API."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    for path in made["paths"].values():
        for method, operation in path.items():
            if method in _METHODS:
                operation["responses"] = _responses(operation["responses"])
    _, schemas = msgspec.json.schema_components(list(_documented.values()), ref_template=f"{_SCHEMAS}{{name}}")
    schemas["Problem"]["additionalProperties"] = True
    # FastAPI's own, of query parameters; its validation errors never leave this server.
    of_queries = made.get("components", {}).get("schemas", {})
    schemas |= {name: schema for name, schema in of_queries.items() if "ValidationError" not in name}
    made["components"] = {
        "schemas": dict(sorted(schemas.items())),
        "responses": {str(status): _problem(status) for status in _problem_statuses(made)},
        "securitySchemes": {
            _BEARER: {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A token of a configured OpenID Connect issuer. `enactor dev token` makes one for "
                "`enactor serve --dev`.",
            }
        },
    }
    return made


def _responses(found: dict[str, Any]) -> dict[str, Any]:
    """An operation's responses without what FastAPI adds of its own: its validation errors are not ours."""
    kept = {}
    for status, response in sorted(found.items()):
        if "$ref" in response:
            kept[status] = {"$ref": response["$ref"]}
        elif "headers" in response:
            kept[status] = response
    return kept


def _problem_statuses(made: dict[str, Any]) -> list[int]:
    used = {
        int(status)
        for path in made["paths"].values()
        for operation in path.values()
        for status, response in operation["responses"].items()
        if "$ref" in response
    }
    return sorted(used)


def _problem(status: int) -> dict[str, Any]:
    headers: dict[str, Any] = dict(_REQUEST_ID)
    if status == HTTPStatus.UNAUTHORIZED:
        challenge = '`Bearer`, with `error="invalid_token"` when a token came that is not good (RFC 6750).'
        headers["WWW-Authenticate"] = {"description": challenge, "schema": {"type": "string"}}
    if status in (HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = {"description": "Seconds, where waiting helps.", "schema": {"type": "integer"}}
    return {
        "description": f"{HTTPStatus(status).phrase}: a problem document (RFC 9457).",
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
        "headers": headers,
    }
