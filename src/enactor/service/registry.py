"""The registry's use cases: default entries from tools, versions, and two people for whatever weakens an entry."""

from __future__ import annotations

import re
from typing import Any, Final

import jsonschema_rs
import msgspec
from msgspec import Struct

from enactor.domain.action_type import (
    ActionType,
    Caps,
    Compensation,
    CompensationStrategy,
    ParameterMapping,
    RiskClass,
    TargetRule,
    Transform,
    WriteSemantics,
    default_action_type,
)
from enactor.domain.approval import Approval, Decision
from enactor.domain.canonical import digest
from enactor.domain.errors import Forbidden, IllegalTransition, InvalidInput, NotFound
from enactor.domain.ledger import LedgerEvent
from enactor.domain.mapping import template_fields
from enactor.domain.principal import Permission, Principal
from enactor.ports.commands import AppendApproval, ConflictKind, DeprecateActionType, RegisterActionType
from enactor.ports.store import Page
from enactor.ports.tools import ToolDefinition
from enactor.service.core import Core, racing
from enactor.service.decisions import source_of

MAX_RETRIES: Final = 30
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,127}")


class Registration(Struct, frozen=True, kw_only=True):
    """What `POST /v1/action-types` takes: a registry entry without what the tool and the store decide."""

    action_type: str
    tool_name: str
    tool_schema_version: str | None = None
    parameter_schema: dict[str, Any] | None = None
    parameter_mapping: tuple[ParameterMapping, ...] | None = None
    risk_class: RiskClass | None = None
    compensation_strategy: CompensationStrategy | None = None
    compensation: Compensation | None = None
    write_semantics: WriteSemantics | None = None
    effect_key: str | None = None
    summary: str | None = None
    target: TargetRule | None = None
    required_scopes: tuple[str, ...] | None = None
    caps: Caps = Caps()
    deprecated: bool = False


class Registered(Struct, frozen=True):
    """The entry, whether it is in force, and how many administrators are still missing."""

    entry: ActionType
    in_force: bool
    approvals_missing: int


class Registry:
    """The use cases around action types."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def ensure_defaults(self, names: dict[str, str]) -> tuple[ActionType, ...]:
        """Registers an entry for every tool that has none, or whose definition changed. Returns the new ones.

        Args:
            names: the tools to register, each with the name of its action type. What takes their effects back is
                registered with them, for undos alone.
        """
        made = []
        for tool_name, action_type in (*names.items(), *self._undoing(names)):
            definition = self._core.tools.definition(tool_name)
            if definition is not None:
                made.append(await self._ensure(definition, action_type, undo_only=tool_name not in names))
        return tuple(entry for entry, new in made if new)

    def _undoing(self, names: dict[str, str]) -> list[tuple[str, str]]:
        """The tools that take back what those of `names` do, each with the name of its action type."""
        known = (self._core.tools.definition(tool_name) for tool_name in names)
        undoing = {tool.compensation.tool_name for tool in known if tool is not None}
        wanted = sorted(tool_name for tool_name in undoing if tool_name is not None and tool_name not in names)
        return [(tool_name, default_action_type(tool_name)) for tool_name in wanted]

    async def entry_for_undo(self, tenant_id: str, definition: ToolDefinition) -> ActionType:
        """The entry under which a tool that takes something back is proposed, as a tenant sees it; made if need be."""
        action_type = default_action_type(definition.tool_name)
        seen = await self._core.action_type_for(tenant_id, action_type)
        if seen is not None and seen.tool_name == definition.tool_name:
            return seen
        entry, _ = await self._ensure(definition, action_type, undo_only=True)
        return entry

    async def _ensure(
        self, definition: ToolDefinition, action_type: str, *, undo_only: bool
    ) -> tuple[ActionType, bool]:
        async def attempt() -> tuple[ActionType, bool]:
            latest = await self._core.store.action_type("", action_type)
            if latest is not None and latest.definition_hash == definition.definition_hash:
                return latest, False
            asked = Registration(action_type=action_type, tool_name=definition.tool_name)
            entry = self._entry(asked, definition, "", latest)
            if latest is None:
                entry = msgspec.structs.replace(entry, undo_only=undo_only)
            return await self._store(entry, latest, "enactor", []), True

        return await racing(attempt, {ConflictKind.VERSION_CHANGED})

    async def register(self, by: Principal, registration: Registration) -> Registered:
        """Adds a version of an entry: the platform's, or a tenant's own stricter one.

        Raises:
            InvalidInput: schema, mapping or template do not fit each other or the tool.
            Forbidden: a tenant's entry that is not stricter than the platform's.
        """
        by.require(Permission.REGISTRY, Permission.POLICY)
        tenant_id = "" if by.may(Permission.REGISTRY) and not by.tenant_id else by.tenant_id
        if not tenant_id:
            by.require(Permission.REGISTRY)
        return await racing(
            lambda: self._register(by, tenant_id, registration),
            {ConflictKind.VERSION_CHANGED, ConflictKind.ALREADY_DECIDED},
        )

    async def _register(self, by: Principal, tenant_id: str, registration: Registration) -> Registered:
        core = self._core
        definition = core.tools.definition(registration.tool_name)
        if definition is None:
            raise InvalidInput(
                f"There is no tool '{registration.tool_name[:100]}'; see GET /v1/connectors or `doctor`."
            )
        latest = await core.store.action_type(tenant_id, registration.action_type)
        if registration.deprecated:
            if latest is None:
                raise NotFound("There is no such action type.")
            return Registered(await self._deprecate(by, latest), True, 0)
        entry = self._entry(registration, definition, tenant_id, latest)
        weaker = _weakened(latest, entry) if latest else ()
        if tenant_id:
            base = await core.store.action_type("", registration.action_type)
            if base is None:
                raise Forbidden("A tenant overrides only what the platform has registered.")
            if loosened := _weakened(base, entry):
                raise Forbidden(f"A tenant's entry may only be stricter than the platform's: {', '.join(loosened)}.")
            entry = msgspec.structs.replace(entry, undo_only=base.undo_only)
            weaker = ()
        if not weaker:
            return Registered(await self._store(entry, latest, by.name, []), True, 0)
        return await self._second_person(by, entry, latest, weaker)

    async def _second_person(
        self, by: Principal, entry: ActionType, latest: ActionType | None, weaker: tuple[str, ...]
    ) -> Registered:
        core = self._core
        subject = digest(msgspec.to_builtins(msgspec.structs.replace(entry, created_at="")))
        name = f"registry:{entry.action_type}"
        vote = Approval(
            action_intent_id=name,
            revision=entry.registry_version,
            approval_digest=subject,
            decision=Decision.APPROVED,
            decided_by=by.ref,
            approval_source=source_of(by),
            decided_at=core.now(),
            subject_digest=subject,
        )
        said = [
            known
            for known in await core.store.approvals("", name)
            if known.revision == entry.registry_version and known.subject_digest == subject
        ]
        if any(known.decided_by == by.ref for known in said):
            raise IllegalTransition("You have asked for this; a second platform administrator has to ask for the same.")
        if not said:
            data = {
                "action_type": entry.action_type,
                "weakens": list(weaker),
                "subject_digest": subject,
                "in_force": False,
            }
            entry_record = core.chain_entry("", LedgerEvent.REGISTRY_CHANGED, by.name, data)
            await core.store.commit([AppendApproval(approval=vote), entry_record])
            return Registered(entry, False, 1)
        return Registered(await self._store(entry, latest, by.name, [AppendApproval(approval=vote)]), True, 0)

    async def _store(
        self, entry: ActionType, latest: ActionType | None, actor: str, votes: list[AppendApproval]
    ) -> ActionType:
        core = self._core
        data = {
            "action_type": entry.action_type,
            "registry_version": entry.registry_version,
            "entry": msgspec.to_builtins(entry),
            "weakens": list(_weakened(latest, entry)) if latest else [],
            "in_force": True,
        }
        record = core.chain_entry(entry.tenant_id, LedgerEvent.REGISTRY_CHANGED, actor, data)
        await core.store.commit([RegisterActionType(action_type=entry), *votes, record])
        return entry

    async def _deprecate(self, by: Principal, latest: ActionType) -> ActionType:
        core = self._core
        entry = msgspec.structs.replace(latest, deprecated_at=core.now())
        data = {"action_type": entry.action_type, "registry_version": entry.registry_version, "deprecated": True}
        record = core.chain_entry(entry.tenant_id, LedgerEvent.REGISTRY_CHANGED, by.name, data)
        await core.store.commit([DeprecateActionType(action_type=entry), record])
        return entry

    async def get(self, by: Principal, action_type: str, version: int | None) -> ActionType:
        """One version, or the latest, as the caller's tenant sees it. Raises `NotFound`."""
        self._reader(by)
        entry = await self._core.action_type_for(by.tenant_id, action_type, version)
        if entry is None:
            raise NotFound("There is no such action type.")
        return entry

    async def list(self, by: Principal, limit: int, page_token: str | None) -> Page[ActionType]:
        """The latest version of each entry that the caller's tenant sees."""
        self._reader(by)
        return await self._core.store.list_action_types(by.tenant_id, limit, page_token)

    @staticmethod
    def _reader(by: Principal) -> None:
        by.require(Permission.READ, Permission.PROPOSE, Permission.REGISTRY)

    def _entry(
        self, asked: Registration, definition: ToolDefinition, tenant_id: str, latest: ActionType | None
    ) -> ActionType:
        if _NAME.fullmatch(asked.action_type) is None:
            raise InvalidInput("An action type's name is upper case letters, digits and underscores, 128 at most.")
        if asked.tool_schema_version not in (None, definition.tool_schema_version):
            raise InvalidInput(f"The tool's schema version is {definition.tool_schema_version}.")
        schema = asked.parameter_schema if asked.parameter_schema is not None else definition.input_schema
        _require_schema(schema)
        properties: dict[str, Any] = schema.get("properties", {})
        required = set(schema.get("required", []))
        mapping = asked.parameter_mapping
        if mapping is None:
            mapping = tuple(
                ParameterMapping(param=name, tool_param=name, required=name in required) for name in properties
            )
        entry = ActionType(
            action_type=asked.action_type,
            registry_version=(latest.registry_version if latest else 0) + 1,
            tenant_id=tenant_id,
            tool_name=definition.tool_name,
            tool_schema_version=definition.tool_schema_version,
            connector_id=definition.connector_id,
            parameter_schema=schema,
            parameter_mapping=mapping,
            risk_class=asked.risk_class or definition.risk_class,
            write_semantics=asked.write_semantics or definition.write_semantics,
            compensation=_compensation(asked, definition),
            summary=asked.summary or definition.summary or f"{asked.action_type} through {definition.tool_name}",
            definition_hash=definition.definition_hash,
            created_at=self._core.now(),
            required_scopes=asked.required_scopes or definition.required_scopes,
            effect_key=asked.effect_key if asked.effect_key is not None else definition.effect_key,
            target=asked.target or definition.target,
            caps=asked.caps,
            undo_only=latest.undo_only if latest else False,
        )
        self._validate(entry, properties, definition)
        _require_bounds(entry)
        return entry

    def _validate(self, entry: ActionType, properties: dict[str, Any], definition: ToolDefinition) -> None:
        arguments = definition.input_schema.get("properties", {})
        for mapping in entry.parameter_mapping:
            if mapping.param not in properties:
                raise InvalidInput(f"The mapping names '{mapping.param}', which the schema does not have.")
            if mapping.tool_param not in arguments:
                raise InvalidInput(
                    f"The mapping names the argument '{mapping.tool_param}', which the tool does not have."
                )
            if mapping.transform is Transform.CUSTOM and mapping.function not in self._core.transforms:
                raise InvalidInput(f"The transform function '{mapping.function}' is not registered.")
        for template in (entry.summary, entry.effect_key or ""):
            for name in template_fields(template):
                if name not in properties:
                    raise InvalidInput(f"A template names '{name}', which the schema does not have.")


def _compensation(asked: Registration, definition: ToolDefinition) -> Compensation:
    """What is asked for, or the tool's own; by its strategy alone only what nothing else has to be known of."""
    strategy, given, own = asked.compensation_strategy, asked.compensation, definition.compensation
    if given is not None and strategy not in (None, given.strategy):
        raise InvalidInput("compensation_strategy and compensation name different strategies.")
    if given is not None or strategy in (None, own.strategy):
        return given or own
    if strategy is CompensationStrategy.AUTOMATIC:
        raise InvalidInput("The tool has no compensation of its own; name the compensating tool in compensation.")
    return Compensation(strategy=strategy)


def _require_bounds(entry: ActionType) -> None:
    caps, semantics = entry.caps, entry.write_semantics
    # Whatever ends a run settles every call of it in one commit, which has a size.
    if not 0 <= caps.retry_count <= MAX_RETRIES:
        raise InvalidInput(f"A cap on retry_count is 0 to {MAX_RETRIES}.")
    if caps.timeout_seconds < 1 or caps.expires_in_seconds < 1:
        raise InvalidInput("Caps on timeout_seconds and expires_in_seconds are at least 1.")
    if semantics.key_retention_seconds < 0 or (semantics.absence_final_after_seconds or 0) < 0:
        raise InvalidInput("key_retention_seconds and absence_final_after_seconds are at least 0.")


def _require_schema(schema: dict[str, Any]) -> None:
    try:
        # Offline: a `$ref` elsewhere would have this server fetch whatever it names.
        jsonschema_rs.Draft202012Validator(schema, offline=True)
    except ValueError as error:
        raise InvalidInput("The parameter_schema is not a valid JSON Schema (2020-12) in one piece.") from error


_COMPENSATION_RANK: Final = {
    CompensationStrategy.NONE: 0,
    CompensationStrategy.MANUAL: 1,
    CompensationStrategy.AUTOMATIC: 2,
}


def _weakened(before: ActionType, after: ActionType) -> tuple[str, ...]:
    """What `after` allows that `before` did not; lowering any of it takes two platform administrators."""
    weaker = []
    if after.risk_class.rank < before.risk_class.rank:
        weaker.append("lower risk class")
    if after.tool_name != before.tool_name:
        weaker.append("another tool")
    ranks = _COMPENSATION_RANK
    if ranks[after.compensation.strategy] < ranks[before.compensation.strategy]:
        weaker.append("weaker compensation")
    if before.effect_key is not None and after.effect_key != before.effect_key:
        weaker.append("another effect key")
    if after.write_semantics != before.write_semantics:
        weaker.append("other write semantics")
    caps = ("retry_count", "timeout_seconds", "expires_in_seconds")
    weaker += [f"higher cap {name}" for name in caps if getattr(after.caps, name) > getattr(before.caps, name)]
    return tuple(weaker)
