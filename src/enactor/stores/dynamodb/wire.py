"""Items as Python dictionaries, and as DynamoDB spells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Item = Mapping[str, Any]
"""An item's attributes: texts, integers, bytes, booleans, lists and dictionaries of them. Never changed once made."""


def spelled(value: Any) -> dict[str, Any]:
    """A value as DynamoDB's JSON has it."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, bytes):
        return {"B": value}
    if value is None:
        return {"NULL": True}
    if isinstance(value, list):
        return {"L": [spelled(part) for part in value]}
    return {"M": {name: spelled(part) for name, part in value.items()}}


def spelled_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as DynamoDB's JSON has it."""
    return {name: spelled(value) for name, value in item.items()}


def read(value: Mapping[str, Any]) -> Any:
    """A value from DynamoDB's JSON."""
    ((kind, content),) = value.items()
    if kind == "N":
        return int(content)
    if kind == "L":
        return [read(part) for part in content]
    if kind == "M":
        return {name: read(part) for name, part in content.items()}
    return None if kind == "NULL" else content


def read_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item from DynamoDB's JSON."""
    return {name: read(value) for name, value in item.items()}
