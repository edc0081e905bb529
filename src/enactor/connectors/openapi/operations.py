"""An operation's arguments as one schema, and the request that arguments make.

Arguments are the parameters by their names. The members of a JSON body are arguments beside them, where they can be
told apart; else the whole body is the argument `body`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from enactor.connectors.openapi.document import Document
from enactor.connectors.openapi.schemas import Schemas
from enactor.domain.errors import ConfigurationError

BODY: Final = "body"
_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_STYLES: Final = {
    "path": frozenset({"simple"}),
    "query": frozenset({"form", "spaceDelimited", "pipeDelimited", "deepObject"}),
    "header": frozenset({"simple"}),
}
_DEFAULT_STYLE: Final = {"path": "simple", "query": "form", "header": "simple"}
IGNORED_HEADERS: Final = frozenset({"accept", "content-type", "authorization"})
"""OpenAPI 3.1, section 4.8.12.1: a parameter of such a name says nothing."""
RESERVED_HEADERS: Final = frozenset(
    {
        *("connection", "content-length", "cookie", "expect", "host", "keep-alive", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade"),
    }
)
"""Headers that say how a request is carried. They are not for arguments to set."""


class Parameter(Struct, frozen=True):
    """One parameter: the argument that it takes, and how it is written (OpenAPI 3.1, section 4.8.12)."""

    argument: str
    name: str
    place: str
    style: str
    explode: bool


class Body(Struct, frozen=True):
    """A request body. `members` are the arguments that it is made of; None where the argument `body` is all of it."""

    media_type: str
    form: bool
    members: tuple[str, ...] | None


class Operation(Struct, frozen=True):
    """An operation that can be called."""

    method: str
    path: str
    parameters: tuple[Parameter, ...]
    body: Body | None
    schema: dict[str, Any]
    description: str


def operation_of(document: Document, name: str, provided: frozenset[str] = frozenset()) -> Operation:
    """The operation of a name, with the schema of its arguments.

    Args:
        document: where it is described.
        name: its operationId, or its method and path.
        provided: headers that are set by something else, in lower case, and so are no arguments.

    Raises:
        ConfigurationError: there is no such operation, or it is described in a way that is not understood.
    """
    found = document.operation(name)
    what = f"{document.what}: {found.method} {found.path}"
    schemas = Schemas(document)
    properties: dict[str, Any] = {}
    required: list[str] = []
    parameters = []
    counting = [one for one in found.parameters if _counts(one, IGNORED_HEADERS | provided)]
    taken = Counter(str(one.get("name")) for one in counting)
    for one in counting:
        parameter = _parameter(one, what, twice=taken[str(one.get("name"))] > 1)
        parameters.append(parameter)
        properties[parameter.argument] = _described(schemas.converted(one.get("schema", {})), one.get("description"))
        if one.get("required") is True or parameter.place == "path":
            required.append(parameter.argument)
    body = None
    if "requestBody" in found.operation:
        body = _body(document, document.followed(found.operation["requestBody"]), what, schemas, properties, required)
    _check_path(found.path, parameters, what)
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    if schemas.definitions:
        schema["$defs"] = schemas.definitions
    texts = (found.operation.get("summary"), found.operation.get("description"))
    description = "\n\n".join(text for text in texts if isinstance(text, str))
    return Operation(found.method, found.path, tuple(parameters), body, schema, description)


def _counts(parameter: Mapping[str, Any], ignored: frozenset[str]) -> bool:
    """Whether a parameter is an argument. Cookies are not, and neither are the headers that something else sets."""
    place, name = parameter.get("in"), str(parameter.get("name"))
    return place in ("path", "query") or (place == "header" and name.lower() not in ignored)


def _parameter(parameter: Mapping[str, Any], what: str, *, twice: bool) -> Parameter:
    name, place = str(parameter.get("name")), str(parameter.get("in"))
    style = str(parameter.get("style", _DEFAULT_STYLE[place]))
    if style not in _STYLES[place] or "schema" not in parameter:
        raise ConfigurationError(f"{what}: the {place} parameter '{name[:100]}' is written in a way not understood.")
    if place == "header" and name.lower() in RESERVED_HEADERS:
        raise ConfigurationError(f"{what}: the header {name} says how a request is carried; it cannot be an argument.")
    explode = parameter.get("explode", style == "form")
    return Parameter(f"{place}_{name}" if twice else name, name, place, style, explode is True)


def _body(
    document: Document,
    request_body: Mapping[str, Any],
    what: str,
    schemas: Schemas,
    properties: dict[str, Any],
    required: list[str],
) -> Body:
    content = request_body.get("content")
    offered = {str(kind).partition(";")[0].strip().lower(): kind for kind in content} if content else {}
    media_type = next(
        (kind for kind in offered if kind == _JSON or (kind.startswith("application/") and kind.endswith("+json"))),
        _FORM if _FORM in offered else None,
    )
    if media_type is None or not isinstance(content, Mapping):
        raise ConfigurationError(f"{what}: its body is neither JSON nor a form.")
    schema = document.followed(content[offered[media_type]]).get("schema", {})
    form = media_type == _FORM
    must = request_body.get("required") is True
    members = _members(document, schema, properties) if must else None
    if members is not None:
        converted = schemas.converted(document.followed(schema))
        properties.update(converted["properties"])
        required.extend(converted.get("required", []))
        return Body(media_type, form, tuple(converted["properties"]))
    if BODY in properties:
        raise ConfigurationError(f"{what}: it has a parameter named '{BODY}' and a body.")
    properties[BODY] = schemas.converted(schema)
    if must:
        required.append(BODY)
    return Body(media_type, form, None)


def _members(document: Document, schema: Any, properties: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The members of a body that is a plain object and shares no name with a parameter; else None."""
    followed = document.followed(schema) if isinstance(schema, Mapping) else {}
    members = followed.get("properties")
    more = {"allOf", "anyOf", "oneOf", "not", "if", "patternProperties", "nullable", "minProperties", "maxProperties"}
    if not isinstance(members, Mapping) or more & set(followed) or BODY in members:
        return None
    if followed.get("type", "object") != "object" or followed.get("additionalProperties", False) is not False:
        return None
    return None if set(members) & set(properties) else members


def _check_path(path: str, parameters: list[Parameter], what: str) -> None:
    named = {piece.partition("}")[0] for piece in path.split("{")[1:]}
    given = {parameter.name for parameter in parameters if parameter.place == "path"}
    if not path.startswith("/") or named != given or "?" in path or "#" in path:
        raise ConfigurationError(f"{what}: its path and its path parameters do not fit together.")


def _described(schema: Any, description: Any) -> Any:
    if not isinstance(schema, dict) or not isinstance(description, str) or "description" in schema:
        return schema
    return {**schema, "description": description}
