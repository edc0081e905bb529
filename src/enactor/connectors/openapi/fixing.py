"""Arguments that nobody proposes: taken out of the schema, and put in when a call is made."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from enactor.domain.errors import ConfigurationError
from enactor.gateway.pointing import fill

SAMPLE_KEY = "0123456789abcdef" * 4
"""As long as every key, and of the same characters."""


def without(schema: Mapping[str, Any], fixed: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The schema of what is left to propose. Raises `ConfigurationError` where there is no such argument."""
    left: dict[str, Any] = copy.deepcopy(dict(schema))
    for place in fixed:
        *outer, name = _parts(place)
        holder = left
        for part in outer:
            member = holder.get("properties", {}).get(part)
            if not isinstance(member, dict):
                raise ConfigurationError(f"{what}: there is no argument '{place[:200]}' to be fixed.")
            holder["properties"][part] = member = _own(member, left)
            holder = member
        if name not in holder.get("properties", {}):
            raise ConfigurationError(f"{what}: there is no argument '{place[:200]}' to be fixed.")
        del holder["properties"][name]
        if name in holder.get("required", []):
            holder["required"].remove(name)
        if not holder.get("required", True):
            del holder["required"]
    return left


def with_fixed(arguments: Mapping[str, Any], fixed: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with what is fixed in them.

    Raises:
        KeyError: a template points at something that is not there.
    """
    made: dict[str, Any] = copy.deepcopy(dict(arguments))
    for place, value in fill(fixed, values).items():
        *outer, name = _parts(place)
        holder = made
        for part in outer:
            holder = holder.setdefault(part, {})
        holder[name] = value
    return made


def check_fixed(schema: Mapping[str, Any], fixed: Mapping[str, Any], accounts: Iterator[str], what: str) -> None:
    """Checks that a key, and what stands for each account, fit where they are put. Raises `ConfigurationError`."""
    for account in accounts:
        try:
            filled = fill(fixed, {"key": SAMPLE_KEY, "account": account})
        except KeyError:
            raise ConfigurationError(f'{what}: fixed arguments take "$key" and "$account" from a call.') from None
        for place, value in filled.items():
            holder: Any = schema
            for part in _parts(place):
                holder = _own(holder, schema)["properties"][part]
            rule = {**holder, "$defs": schema.get("$defs", {})} if isinstance(holder, dict) else holder
            if not jsonschema_rs.Draft202012Validator(rule, offline=True, validate_formats=True).is_valid(value):
                raise ConfigurationError(f"{what}: what is fixed as '{place[:200]}' does not fit its schema.")


def _parts(place: str) -> list[str]:
    """The steps to an argument, which is named or pointed at (RFC 6901)."""
    if not place.startswith("/"):
        return [place]
    return [part.replace("~1", "/").replace("~0", "~") for part in place.split("/")[1:]]


def _own(member: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A member's own copy of the schema that it refers to, so that nothing else that refers to it changes."""
    reference = member.get("$ref")
    if not isinstance(reference, str):
        return member
    own: dict[str, Any] = copy.deepcopy(schema["$defs"][reference.removeprefix("#/$defs/")])
    return _own(own, schema)
