"""Conditions and effects: registry, switches, budgets, policies and internal objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from enactor.domain.action_type import ActionType
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.policy import PolicySet
from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind, InternalObject
from enactor.stores.dynamodb import codec, keys
from enactor.stores.dynamodb.book import Unit
from enactor.stores.dynamodb.layers import Layer


def register_action_type(layer: Layer, command: c.RegisterActionType, unit: Unit) -> Iterator[None]:
    """Does `RegisterActionType`."""
    entry = command.action_type
    latest = _latest(layer, entry)
    if entry.registry_version != (latest.registry_version if latest else 0) + 1:
        raise Conflict(ConflictKind.VERSION_CHANGED, latest)
    yield
    _put_action_type(layer, entry)


def deprecate_action_type(layer: Layer, command: c.DeprecateActionType, unit: Unit) -> Iterator[None]:
    """Does `DeprecateActionType`."""
    entry = command.action_type
    latest = _latest(layer, entry)
    if latest is None or entry.registry_version != latest.registry_version:
        raise Conflict(ConflictKind.VERSION_CHANGED, latest)
    yield
    _put_action_type(layer, entry)


def _latest(layer: Layer, entry: ActionType) -> ActionType | None:
    stored = layer.get(keys.latest_version(entry.tenant_id, entry.action_type))
    return codec.record(ActionType, stored) if stored is not None else None


def _put_action_type(layer: Layer, entry: ActionType) -> None:
    item = {"action_type": entry.action_type, "registry_version": entry.registry_version, **codec.body(entry)}
    layer.put(keys.latest_version(entry.tenant_id, entry.action_type), item)
    # The latest version's item guards this one.
    layer.put(keys.registry_version(entry.tenant_id, entry.action_type, entry.registry_version), item)


def set_kill_switch(layer: Layer, command: c.SetKillSwitch, unit: Unit) -> Iterator[None]:
    """Does `SetKillSwitch`."""
    switch = command.switch
    key = keys.switch(switch.scope)
    item = layer.get(key)
    stored = codec.record(KillSwitch, item) if item is not None else None
    generation = stored.generation if stored else 0
    turned = switch.enabled != (stored.enabled if stored else False)
    allowed = (generation + 1,) if turned else (generation, generation + 1)
    if command.expected_generation != generation or switch.generation not in allowed:
        raise Conflict(ConflictKind.VERSION_CHANGED, stored)
    yield
    layer.put(key, {"scope": switch.scope, **codec.body(switch)})
    mark = [switch.generation, int(switch.enabled), int(switch.compensation)]
    _change_gates(layer, unit, keys.owner_of(switch.scope), "marks", switch.scope, mark)


def set_budget(layer: Layer, command: c.SetBudget, unit: Unit) -> Iterator[None]:
    """Does `SetBudget`. Each setting is a new version with counts of its own: what it counts may have changed."""
    yield
    budget = command.budget
    key = keys.budgets(budget.tenant_id)
    known = layer.get(key) or {}
    version = int(known.get("version", 0)) + 1
    value = {"version": version, "budget": codec.text_of(budget)}
    budgets: Any = known.get("budgets", {})
    layer.put(key, {"version": version, "budgets": {**budgets, budget.action_type: value}})
    _change_gates(layer, unit, budget.tenant_id, "budgets", budget.action_type, value)


def _change_gates(layer: Layer, unit: Unit, owner: str, attribute: str, name: str, value: Any) -> None:
    for shard in range(unit.shape.gates):
        key = keys.gate(owner, shard)
        gate = layer.get(key) or {}
        known: Any = gate.get(attribute, {})
        layer.put(key, {**gate, attribute: {**known, name: value}})


def set_policies(layer: Layer, command: c.SetPolicies, unit: Unit) -> Iterator[None]:
    """Does `SetPolicies`."""
    policies = command.policies
    key = keys.policies(policies.tenant_id)
    item = layer.get(key)
    stored = codec.record(PolicySet, item) if item is not None else None
    if policies.version != (stored.version if stored else 0) + 1:
        raise Conflict(ConflictKind.VERSION_CHANGED, stored)
    yield
    layer.put(key, codec.body(policies))


# -- internal objects ------------------------------------------------------------------------------------------------


def create_object(layer: Layer, command: c.CreateObject, unit: Unit) -> Iterator[None]:
    """Does `CreateObject`."""
    made = command.object
    creation = keys.created(made.tenant_id, made.creation_key)
    key = keys.internal_object(made.tenant_id, made.object_id)
    known = layer.get(creation) or layer.get(key)
    if known is not None:
        raise Conflict(ConflictKind.OBJECT_EXISTS, codec.record(InternalObject, known))
    yield
    item = codec.body(made)
    # A key stays used when its object is deleted: a call that comes late must not make it a second time.
    layer.put(creation, {"object_id": made.object_id, **item})
    layer.put(key, item)
    layer.put(keys.object_row(made.tenant_id, made.object_type, made.created_at, made.object_id), item)


def delete_object(layer: Layer, command: c.DeleteObject, unit: Unit) -> Iterator[None]:
    """Does `DeleteObject`."""
    key = keys.internal_object(command.tenant_id, command.object_id)
    item = layer.get(key)
    if item is None:
        raise Conflict(ConflictKind.NOT_FOUND)
    stored = codec.record(InternalObject, item)
    if stored.version != command.expected_version:
        raise Conflict(ConflictKind.VERSION_CHANGED, stored)
    creation = keys.created(command.tenant_id, stored.creation_key)
    known = layer.get(creation)
    yield
    layer.put(creation, {**(known or {}), "deleted": True})
    layer.delete(key)
    layer.delete(keys.object_row(stored.tenant_id, stored.object_type, stored.created_at, stored.object_id))
