"""Writing a request: every argument is encoded where it goes, and none can make the request another one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

from enactor.connectors.openapi.operations import BODY, Operation, Parameter
from enactor.domain.canonical import canonical

_STEPS: Final = re.compile(r"[/\\]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SENDABLE: Final = re.compile(r"[\x20-\x7e]*")
_PIECE: Final = re.compile(r"\{([^}]*)\}")
_SEPARATORS: Final = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}


class WrongArgument(ValueError):
    """An argument that cannot be written where it goes."""

    def __init__(self, argument: str, why: str) -> None:
        super().__init__(why)
        self.argument = argument
        self.why = why


class Prepared(Struct, frozen=True):
    """A request, without the server it goes to: path and query, encoded, headers, and body."""

    target: str
    headers: dict[str, str]
    content: bytes | None


def prepared(operation: Operation, arguments: Mapping[str, Any]) -> Prepared:
    """The request that arguments make. Raises `WrongArgument`."""
    headers: dict[str, str] = {}
    query: list[str] = []
    places: dict[str, str] = {}
    for parameter in operation.parameters:
        if parameter.argument not in arguments:
            continue
        value = arguments[parameter.argument]
        if parameter.place == "path":
            places[parameter.name] = _in_path(parameter, value)
        elif parameter.place == "query":
            query.extend(_in_query(parameter, value))
        else:
            headers[parameter.name] = _in_header(parameter, value)
    path = _PIECE.sub(lambda piece: places[piece[1]], operation.path)
    for segment, template in zip(path.split("/")[1:], operation.path.split("/")[1:], strict=True):
        if "{" in template and segment in ("", ".", ".."):
            raise WrongArgument(_PIECE.findall(template)[0], "would make another path")
    content = _content(operation, arguments, headers)
    return Prepared(path + (f"?{'&'.join(query)}" if query else ""), headers, content)


def _content(operation: Operation, arguments: Mapping[str, Any], headers: dict[str, str]) -> bytes | None:
    body = operation.body
    if body is None or (body.members is None and BODY not in arguments):
        return None
    if body.members is None:
        value = arguments[BODY]
    else:
        value = {name: arguments[name] for name in body.members if name in arguments}
    headers["Content-Type"] = body.media_type
    if not body.form:
        return canonical(value)
    if not isinstance(value, Mapping):
        raise WrongArgument(BODY, "must be an object: it is sent as a form")
    pairs = [
        f"{quote(str(name), safe='')}={quote(_text(str(name), one), safe='')}"
        for name, value in value.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    return "&".join(pairs).encode()


def _in_path(parameter: Parameter, value: Any) -> str:
    texts = [_text(parameter.argument, one) for one in (value if isinstance(value, list) else [value])]
    for text in texts:
        if not text:
            raise WrongArgument(parameter.argument, "must not be empty: it is a part of the path")
        if any(step in (".", "..") for step in _STEPS.split(text)):
            raise WrongArgument(parameter.argument, "would make another path")
        if _CONTROL.search(text):
            raise WrongArgument(parameter.argument, "has control characters")
    return ",".join(quote(text, safe="") for text in texts)


def _in_query(parameter: Parameter, value: Any) -> list[str]:
    name = quote(parameter.name, safe="")
    if isinstance(value, Mapping):
        if parameter.style != "deepObject":
            raise WrongArgument(parameter.argument, "must be plain values: an object cannot be written there")
        return [
            f"{name}%5B{quote(str(key), safe='')}%5D={quote(_text(parameter.argument, one), safe='')}"
            for key, one in value.items()
        ]
    if not isinstance(value, list):
        return [f"{name}={quote(_text(parameter.argument, value), safe='')}"]
    texts = [quote(_text(parameter.argument, one), safe="") for one in value]
    if parameter.explode or parameter.style == "deepObject":
        return [f"{name}={text}" for text in texts]
    return [f"{name}={_SEPARATORS[parameter.style].join(texts)}"] if texts else []


def _in_header(parameter: Parameter, value: Any) -> str:
    text = ",".join(_text(parameter.argument, one) for one in (value if isinstance(value, list) else [value]))
    return checked_header(parameter.argument, text)


def checked_header(argument: str, text: str) -> str:
    """A header's value. Raises `WrongArgument` when it cannot be one (RFC 9110, section 5.5)."""
    if not _SENDABLE.fullmatch(text) or text != text.strip():
        raise WrongArgument(argument, "has characters that cannot be sent in a header")
    return text


def _text(argument: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return canonical(value).decode()
    raise WrongArgument(argument, "must be text, a number or a boolean there")
