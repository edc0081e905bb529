"""Action types as MCP tools that propose: their names, their schemas and what an agent is told about them."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from mcp_types import Tool, ToolAnnotations

from enactor.domain.action_type import ActionType
from enactor.domain.principal import ALL_ACCOUNTS, Principal
from enactor.domain.text import visible
from enactor.mcp.sameness import LONGEST_KEY
from enactor.service.freezing import with_secret_references

PREFIX: Final = "propose_"
STATUS_TOOL: Final = "get_execution_status"
LONGEST_NAME: Final = 64
"""Beyond it models' own tool interfaces refuse a name."""

_DATA: Final = frozenset({"const", "enum", "default", "examples"})
_DEFINITIONS: Final[tuple[str, ...]] = ("$defs", "definitions")
_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "executed_by_this_call": {"const": False},
        "action_intent_id": {"type": "string"},
        "approval_digest": {"type": "string"},
        "status": {"type": "string"},
        "newly_proposed": {"type": "boolean"},
    },
    "required": ["executed_by_this_call", "action_intent_id", "approval_digest", "status", "newly_proposed"],
}
_STATUS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "action_intent_id": {"type": "string"},
        "status": {"type": "string"},
        "run_number": {"type": "integer"},
        "attempt_count": {"type": "integer"},
        "external_object_refs": {"type": "array", "items": {"type": "object"}},
        "error_class": {"type": ["string", "null"]},
        "error_code": {"type": ["string", "null"]},
        "compensation_status": {"type": "string"},
    },
    "required": ["action_intent_id", "status"],
}


def tool_name(action_type: str) -> str:
    """The name of the tool that proposes an action type; one that would be too long ends in a hash of it."""
    name = f"{PREFIX}{action_type.lower()}"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 13]}_{hashlib.sha256(action_type.encode()).hexdigest()[:12]}"


def proposing_tool(entry: ActionType, by: Principal) -> Tool:
    """The tool that proposes an action type, as this principal may use it."""
    parameters, definitions = _embedded(with_secret_references(entry.parameter_schema), "#/properties/parameters")
    account: dict[str, Any] = {"type": "string", "description": "The account that the action is for."}
    required = ["account_id", "parameters"]
    if ALL_ACCOUNTS not in by.account_ids and by.account_ids:
        account["enum"] = list(by.account_ids)
        if len(by.account_ids) == 1:
            account["default"] = by.account_ids[0]
            required = ["parameters"]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "account_id": account,
            "parameters": parameters,
            "rationale": {
                "type": "string",
                "maxLength": 4_000,
                "description": "Why; whoever decides reads it.",
            },
            "expires_in_seconds": {"type": "integer", "minimum": 1, "description": "How long the proposal lives."},
            "idempotency_key": {
                "type": "string",
                "minLength": 1,
                "maxLength": LONGEST_KEY,
                "description": "The same key with the same arguments is the same proposal, at any time. Without one, "
                "an identical call within ten minutes is.",
            },
        },
        "required": required,
        "additionalProperties": False,
        **definitions,
    }
    return Tool(
        name=tool_name(entry.action_type),
        title=f"Propose {entry.action_type}",
        description=(
            f"Proposes {entry.action_type}: {visible(entry.summary, 500)}. It is NOT executed by this call: a person "
            f"or a policy decides, elsewhere, and then Enactor executes exactly what was proposed. Risk: "
            f"{entry.risk_class.value}. Ask for what became of it with {STATUS_TOOL}."
        ),
        input_schema=schema,
        output_schema=_ANSWER,
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


def status_tool() -> Tool:
    """The tool that says what became of a proposal."""
    return Tool(
        name=STATUS_TOOL,
        title="Get the status of a proposal",
        description="Says what became of a proposal: whether it waits for a decision, was rejected, is being executed "
        "or has been, and what it made.",
        input_schema={
            "type": "object",
            "properties": {"action_intent_id": {"type": "string", "description": "As the proposal's answer gave it."}},
            "required": ["action_intent_id"],
            "additionalProperties": False,
        },
        output_schema=_STATUS,
        annotations=ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


def _embedded(schema: dict[str, Any], place: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema as part of another one at `place`, and the definitions that go to that one's root.

    References within it keep pointing at what they pointed at. A schema with an `$id` is a document of its own
    (JSON Schema 2020-12, section 8.2.1), and stays as it is.
    """
    if "$id" in schema:
        return schema, {}
    definitions: dict[str, Any] = {name: _moved(schema[name], place) for name in _DEFINITIONS if name in schema}
    rest = {name: value for name, value in schema.items() if name not in (*_DEFINITIONS, "$schema")}
    moved: dict[str, Any] = _moved(rest, place)
    return moved, definitions


def _moved(value: Any, place: str) -> Any:
    if isinstance(value, dict):
        return {
            name: _pointed(inner, place)
            if name == "$ref" and isinstance(inner, str)
            else inner
            if name in _DATA
            else _moved(inner, place)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_moved(item, place) for item in value]
    return value


def _pointed(reference: str, place: str) -> str:
    if not reference.startswith("#") or reference.startswith(tuple(f"#/{name}/" for name in _DEFINITIONS)):
        return reference
    return f"{place}{reference[1:]}" if reference == "#" or reference.startswith("#/") else reference
