"""Pointing into documents: where an answer names objects, and templates that take values from a call.

Whoever configures a target without code says with JSON Pointers (RFC 6901) where its answers hold what.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from enactor.domain.outcome import ObjectRef

_LONGEST_ID: Final = 255
_LONGEST_URL: Final = 2_000
_TOKEN: Final = re.compile(r"\$(key|original_key|arguments|account|ref)((?:/.*)?)", re.DOTALL)
_MISSING: Final = object()


class AnswerIncomplete(Exception):
    """A tool's answer lacks what its configuration says is in it."""


class RefRule(Struct, frozen=True, kw_only=True):
    """Where a tool's answer names an object. Every pointer is a JSON Pointer (RFC 6901).

    Attributes:
        each: points at a list of objects; the other pointers are then relative to each of them.
        required: without the id in it, an answer does not say what was done, and the call's effect is unknown.
    """

    system: str
    object_type: str
    id: str
    url: str | None = None
    version: str | None = None
    each: str | None = None
    required: bool = True


def pointed_at(document: Any, pointer: str) -> Any:
    """What a JSON Pointer (RFC 6901) points at. Raises `KeyError` when there is nothing."""
    found = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and re.fullmatch(r"0|[1-9][0-9]{0,9}", name) and int(name) < len(found):
            found = found[int(name)]
        else:
            raise KeyError(pointer)
    return found


def extract_refs(rules: Sequence[RefRule], answer: Any) -> tuple[ObjectRef, ...]:
    """The objects an answer names. Raises `AnswerIncomplete` when one that is required is not there."""
    refs: list[ObjectRef] = []
    for rule in rules:
        items = [answer] if rule.each is None else _value(answer, rule.each)
        if not isinstance(items, list):
            if rule.required:
                raise AnswerIncomplete(f"The answer has no list at {rule.each}.")
            continue
        for item in items:
            object_id = _text(_value(item, rule.id), _LONGEST_ID)
            if object_id is None:
                if rule.required:
                    raise AnswerIncomplete(f"The answer has no id at {rule.id}.")
                continue
            refs.append(
                ObjectRef(
                    system=rule.system,
                    object_type=rule.object_type,
                    object_id=object_id,
                    object_url=_text(_value(item, rule.url), _LONGEST_URL) if rule.url else None,
                    version=_text(_value(item, rule.version), _LONGEST_ID) if rule.version else None,
                )
            )
    return tuple(refs)


def fill(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a template.

    Args:
        values: what `$key`, `$original_key`, `$arguments`, `$account` and `$ref` stand for. `$$` at the beginning is a
            dollar sign.

    Raises:
        KeyError: it points at something that is not there.
    """
    return {name: _filled(value, values) for name, value in template.items()}


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith("$$"):
        return value[1:]
    if isinstance(value, str) and (token := _TOKEN.fullmatch(value)):
        return pointed_at(values[token[1]], token[2])
    if isinstance(value, Mapping):
        return fill(value, values)
    if isinstance(value, list | tuple):
        return [_filled(item, values) for item in value]
    return value


def _value(document: Any, pointer: str) -> Any:
    try:
        return pointed_at(document, pointer)
    except KeyError:
        return _MISSING


def _text(value: Any, longest: int) -> str | None:
    """An id as text, if it can be one. A server's text is kept as it is, or not at all: cut, it would be another's."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text if 1 <= len(text) <= longest and text.isprintable() else None
