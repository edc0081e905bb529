"""From what an MCP server lists to tools as Enactor knows them. Nothing a server says of itself makes a tool safer."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any, Final

import jsonschema_rs
import msgspec
from mcp_types import Tool
from msgspec import Struct

from enactor.domain.action_type import Compensation, CompensationStrategy, WriteSemantics
from enactor.domain.canonical import canonical, digest
from enactor.domain.errors import EnactorError
from enactor.domain.mapping import template_fields
from enactor.domain.text import visible
from enactor.gateway.mcp_rules import McpServer, ToolRule, plain_names
from enactor.ports.tools import ToolDefinition

_log = logging.getLogger("enactor.gateway")
_NAME: Final = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_LARGEST_TOOL: Final = 256 * 1024
_DESCRIPTION: Final = 4_000


class Known(Struct, frozen=True, kw_only=True):
    """A tool that a server lists: as Enactor knows it, by the name the server knows, under its rule."""

    definition: ToolDefinition
    listed_name: str
    rule: ToolRule
    validator: jsonschema_rs.Draft202012Validator


def definitions_of(server: McpServer, listed: Sequence[Tool]) -> dict[str, Known]:
    """The tools of a listing by Enactor's name. One that cannot be used is left out, and the log says so."""
    tools = {tool.name: tool for tool in listed}
    usable: dict[str, Tool] = {}
    for name in tools:
        if _NAME.fullmatch(name) is None:
            _log.warning("a tool of %s is left out: its name cannot be used", server.name)
    plain = plain_names([name for name in tools if _NAME.fullmatch(name)], server.target)
    for short, name in plain.items():
        if server.only is None or short in server.only:
            usable[short] = tools[name]
    found: dict[str, Known] = {}
    for short, tool in usable.items():
        try:
            known = _known(server, short, tool, usable)
        except (EnactorError, ValueError, jsonschema_rs.ValidationError) as error:
            reason = str(error) if type(error) is ValueError else type(error).__name__
            _log.warning("the tool %s.%s is left out: %s", server.name, short, reason)
            continue
        found[known.definition.tool_name] = known
    return found


def _known(server: McpServer, short: str, tool: Tool, usable: dict[str, Tool]) -> Known:
    rule = server.rule(short)
    name = f"{server.name}.{short}"
    said: dict[str, Any] = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "outputSchema": tool.output_schema,
        "annotations": tool.annotations.model_dump(mode="json", exclude_none=True) if tool.annotations else None,
    }
    if len(canonical(said)) > _LARGEST_TOOL:
        raise ValueError("its definition is too long")
    schema = _without(tool.input_schema, rule.key_argument)
    if (
        unknown := {*template_fields(rule.summary), *template_fields(rule.effect_key or "")}
        - schema.get("properties", {}).keys()
    ):
        raise ValueError(f"its summary or effect_key names {min(unknown)}, which it does not have")
    validator = jsonschema_rs.Draft202012Validator(schema, offline=True)
    version = digest(tool.input_schema)[:12]
    semantics = msgspec.structs.replace(rule.semantics, has_lookup=rule.lookup is not None)
    compensation = _compensation(server, rule, usable)
    definition = ToolDefinition(
        tool_name=name,
        tool_schema_version=version,
        connector_id=server.name,
        connector_version=server.version,
        description=visible(tool.description or tool.title or "", _DESCRIPTION),
        input_schema=schema,
        write_semantics=semantics,
        compensation=compensation,
        risk_class=rule.risk,
        definition_hash=digest(
            [
                "enactor/mcp-tool/v1",
                name,
                said,
                msgspec.to_builtins(rule),
                msgspec.to_builtins(semantics),
                msgspec.to_builtins(compensation),
            ]
        ),
        required_scopes=rule.required_scopes,
        target=rule.target,
        summary=rule.summary,
        effect_key=rule.effect_key,
        # A server of somebody else's knows nothing of our accounts.
        verifies_account=False,
        governed=rule.proposable,
    )
    return Known(definition=definition, listed_name=tool.name, rule=rule, validator=validator)


def _without(schema: dict[str, Any], argument: str | None) -> dict[str, Any]:
    """The schema of what can be proposed: without the argument that our key goes into."""
    if argument is None:
        return schema
    if argument not in schema.get("properties", {}):
        raise ValueError("it has no such argument for the key")
    properties = {name: rule for name, rule in schema["properties"].items() if name != argument}
    required = [name for name in schema.get("required", []) if name != argument]
    return {**schema, "properties": properties, "required": required}


def _compensation(server: McpServer, rule: ToolRule, usable: dict[str, Tool]) -> Compensation:
    if rule.undo is None:
        if rule.manual_undo:
            return Compensation(strategy=CompensationStrategy.MANUAL, note=rule.manual_undo)
        return Compensation(strategy=CompensationStrategy.NONE, note="No way to take it back is configured.")
    undoing = usable.get(rule.undo)
    undo_rule = server.rule(rule.undo)
    if undoing is None or undo_rule.undo_arguments is None:
        raise ValueError("the tool that undoes it is not listed, or has no undo_arguments")
    semantics: WriteSemantics = msgspec.structs.replace(undo_rule.semantics, has_lookup=undo_rule.lookup is not None)
    return Compensation(
        strategy=CompensationStrategy.AUTOMATIC,
        tool_name=f"{server.name}.{rule.undo}",
        tool_schema_version=digest(undoing.input_schema)[:12],
        write_semantics=semantics,
    )
