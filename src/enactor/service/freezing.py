"""Freezing: a proposal's parameters are validated and mapped once, and become the bytes the tool will receive."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import msgspec

from enactor.domain.action_type import ActionType
from enactor.domain.canonical import canonical, fragment
from enactor.domain.errors import InvalidParameters
from enactor.domain.idempotency import effect_key
from enactor.domain.intent import ActionIntent, FrozenCall, Target, TargetSource
from enactor.domain.mapping import map_parameters, render
from enactor.service.core import Core


class Freezer:
    """Validates parameters against the registry entry and the tool, and freezes the call."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._validators: dict[tuple[str, str, int], jsonschema_rs.Draft202012Validator] = {}

    def freeze(self, intent: ActionIntent, entry: ActionType, parameters: dict[str, Any]) -> ActionIntent:
        """The intent with these parameters and the call they make. Raises `InvalidParameters`."""
        self._validate(entry, parameters)
        arguments = map_parameters(entry, parameters, self._core.transforms)
        self._core.tools.validate(entry.tool_name, arguments)
        target = intent.target
        if entry.target is not None and entry.target.argument in arguments:
            identity = str(arguments[entry.target.argument])
            target = Target(entry.target.entity_type, identity, TargetSource.ARGUMENTS)
        return msgspec.structs.replace(
            intent,
            parameters=parameters,
            tool_call=FrozenCall(entry.tool_name, entry.tool_schema_version, canonical(arguments).decode()),
            target=target,
            effect_key=effect_key(entry, parameters),
            summary=render(entry.summary, parameters),
        )

    def _validate(self, entry: ActionType, parameters: dict[str, Any]) -> None:
        key = (entry.tenant_id, entry.action_type, entry.registry_version)
        validator = self._validators.get(key)
        if validator is None:
            # Masked: what was sent may be a secret put where a reference to it belongs.
            validator = jsonschema_rs.Draft202012Validator(
                with_secret_references(entry.parameter_schema), offline=True, mask="what was sent"
            )
            self._validators[key] = validator
        canonical(parameters)
        error = next(iter(validator.iter_errors(parameters)), None)
        if error is not None:
            path = "/".join(str(part) for part in error.instance_path)
            secret = path.partition("/")[0] in _secret_names(entry.parameter_schema)
            reason = 'it takes only a reference, {"$secret": name}' if secret else error.message[:300]
            where = f"Parameter '{path}'" if path else "The parameters"
            raise InvalidParameters(f"{where} of {entry.action_type}: {reason}", parameter=path or None)


def _secret_names(schema: dict[str, Any]) -> frozenset[str]:
    rules = schema.get("properties", {}).items()
    return frozenset(name for name, rule in rules if isinstance(rule, dict) and rule.get("writeOnly") is True)


def with_secret_references(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema in which every `writeOnly` parameter takes `{"$secret": name}` and nothing else."""
    secret = _secret_names(schema)
    properties = {
        name: {
            "type": "object",
            "properties": {"$secret": {"type": "string", "minLength": 1, "maxLength": 200}},
            "required": ["$secret"],
            "additionalProperties": False,
        }
        if name in secret
        else rule
        for name, rule in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties, "additionalProperties": schema.get("additionalProperties", False)}


def frozen_facts(intent: ActionIntent) -> dict[str, Any]:
    """What the ledger keeps of a proposal: all that an auditor needs to see what was asked, and bound.

    The parameters are in it in their canonical form, so the whole is ours to write: `from_outside` is False for it.
    """
    return {
        "revision": intent.revision,
        "action_type": intent.action_type,
        "registry_version": intent.registry_version,
        "tool_name": intent.tool_call.tool_name,
        "tool_schema_version": intent.tool_call.tool_schema_version,
        "argument_bytes": intent.tool_call.argument_bytes,
        "parameters": fragment(intent.parameters),
        "approval_digest": intent.approval_digest,
        "digest_salt": intent.digest_salt,
        "risk_class": intent.risk_class.value,
        "summary": intent.summary,
        "rationale": intent.rationale,
        "expires_at_epoch": intent.expires_at_epoch,
        "effect_key": intent.effect_key,
    }
