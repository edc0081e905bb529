"""Conditions and effects: intents, decisions and request keys.

A command's function is a generator: what stands before its `yield` checks the condition, what stands after it is the
effect. A commit runs all the checks, and only if none raised `Conflict` all the effects.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from enactor.domain.approval import Approval
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind, RequestKey
from enactor.stores.dynamodb import codec, keys
from enactor.stores.dynamodb.book import Unit, account_of, attempt_in, marks_in, switch_named
from enactor.stores.dynamodb.layers import Layer

HOLDS_KEY: Final = frozenset({IntentStatus.PENDING_APPROVAL, IntentStatus.APPROVED})


def create_intent(layer: Layer, command: c.CreateIntent, unit: Unit) -> Iterator[None]:
    """Does `CreateIntent`."""
    intent = command.intent
    place = layer.get(keys.place(intent.action_intent_id))
    if place is not None and "account_id" in place:
        tenant_id, account_id = account_of(layer, intent.action_intent_id)
        stored = layer.peek(keys.intent(tenant_id, account_id, intent.action_intent_id))
        raise Conflict(ConflictKind.VERSION_CHANGED, codec.record(ActionIntent, stored) if stored else None)
    if intent.status in HOLDS_KEY:
        require_effect_key(layer, intent.tenant_id, intent.effect_key, intent.action_intent_id)
    if intent.status is IntentStatus.PENDING_APPROVAL and (
        _pending(layer, intent.tenant_id, str(intent.proposed_by)) >= command.max_pending_of_proposer
        or _pending(layer, intent.tenant_id) >= command.max_pending_of_tenant
    ):
        raise Conflict(ConflictKind.TOO_MANY_PENDING)
    yield
    known = layer.peek(keys.place(intent.action_intent_id)) or {}
    layer.put(
        keys.place(intent.action_intent_id),
        {**known, "tenant_id": intent.tenant_id, "account_id": intent.account_id},
    )
    layer.absent.add(_key(intent))
    put_intent(layer, unit, intent)
    _count_pending(layer, intent, 1)
    if intent.status in HOLDS_KEY:
        claim(layer, intent.tenant_id, intent.effect_key, intent.action_intent_id)
    layer.mark(intent.action_intent_id, new=True)


def release_effect_key(layer: Layer, command: c.ReleaseEffectKey, unit: Unit) -> Iterator[None]:
    """Does `ReleaseEffectKey`."""
    yield
    place = layer.peek(keys.place(command.action_intent_id))
    if place is not None and place.get("tenant_id") == command.tenant_id:
        tenant_id, account_id = account_of(layer, command.action_intent_id)
        item = layer.get(keys.intent(tenant_id, account_id, command.action_intent_id))
        if item is not None:
            release(layer, tenant_id, codec.record(ActionIntent, item).effect_key, command.action_intent_id)


def update_intent(layer: Layer, command: c.UpdateIntent, unit: Unit) -> Iterator[None]:
    """Does `UpdateIntent`."""
    intent = command.intent
    tenant_id, account_id = account_of(layer, intent.action_intent_id)
    if tenant_id != intent.tenant_id:
        raise Conflict(ConflictKind.NOT_FOUND)
    key = keys.intent(tenant_id, account_id, intent.action_intent_id)
    item = layer.get(key)
    if item is None:
        raise Conflict(ConflictKind.NOT_FOUND)
    stored = codec.record(ActionIntent, item)
    if stored.version != command.expected_version:
        raise Conflict(ConflictKind.VERSION_CHANGED, stored)
    if command.unstarted:
        attempt = attempt_in(layer.get(keys.execution(tenant_id, account_id, intent.action_intent_id)))
        if attempt is not None:
            raise Conflict(ConflictKind.ALREADY_STARTED, attempt)
    claims = intent.status in HOLDS_KEY and intent.effect_key != stored.effect_key
    if claims:
        require_effect_key(layer, tenant_id, intent.effect_key, intent.action_intent_id)
    if command.check_marks:
        _require_marks(layer, intent, unit)
    yield
    if claims or intent.status not in HOLDS_KEY:
        release(layer, tenant_id, stored.effect_key, intent.action_intent_id)
    if claims:
        claim(layer, tenant_id, intent.effect_key, intent.action_intent_id)
    if stored.revision != intent.revision:
        earlier = keys.revision(tenant_id, account_id, intent.action_intent_id, stored.revision)
        mine = {"action_intent_id": intent.action_intent_id, "tenant_id": tenant_id}
        layer.put(earlier, {**mine, **codec.body(stored)})
    put_intent(layer, unit, intent)
    _count_pending(layer, stored, -1)
    _count_pending(layer, intent, 1)
    layer.mark(intent.action_intent_id)


def _require_marks(layer: Layer, intent: ActionIntent, unit: Unit) -> None:
    for mark in intent.switch_marks:
        gate = layer.get(unit.gate(keys.owner_of(mark.scope), intent.tenant_id, intent.account_id))
        known = marks_in(gate).get(mark.scope)
        if (known[0] if known else 0) != mark.generation:
            raise Conflict(ConflictKind.SWITCH_CHANGED, switch_named(layer, mark.scope))


def _key(intent: ActionIntent) -> keys.Key:
    return keys.intent(intent.tenant_id, intent.account_id, intent.action_intent_id)


def put_intent(layer: Layer, unit: Unit, intent: ActionIntent) -> None:
    """Writes the intent's item. Another condition, or `get`, has to guard it."""
    shard = unit.shard(intent.action_intent_id)
    layer.put(
        _key(intent),
        {
            "action_intent_id": intent.action_intent_id,
            "tenant_id": intent.tenant_id,
            "account_id": intent.account_id,
            "action_type": intent.action_type,
            "status": intent.status.value,
            "version": intent.version,
            "revision": intent.revision,
            "gsi1pk": f"TENANT#{intent.tenant_id}#{shard}",
            "gsi1sk": intent.action_intent_id,
            "gsi2pk": f"TENANT#{intent.tenant_id}#STATUS#{intent.status}#{shard}",
            "gsi2sk": intent.action_intent_id,
            **codec.body(intent),
        },
    )


# -- effect keys and pending limits ----------------------------------------------------------------------------------


def require_effect_key(layer: Layer, tenant_id: str, effect_key: str | None, action_intent_id: str) -> None:
    """Raises `Conflict` when another intent holds the key."""
    if effect_key:
        stored = layer.get(keys.effect(tenant_id, effect_key))
        if stored is not None and stored["action_intent_id"] != action_intent_id:
            raise Conflict(ConflictKind.EFFECT_KEY_TAKEN, stored["action_intent_id"])


def claim(layer: Layer, tenant_id: str, effect_key: str | None, action_intent_id: str) -> None:
    """Makes the intent the key's holder. `require_effect_key` comes first."""
    if effect_key:
        key = keys.effect(tenant_id, effect_key)
        if layer.get(key) is None:
            layer.put(key, {"action_intent_id": action_intent_id})


def release(layer: Layer, tenant_id: str, effect_key: str | None, action_intent_id: str) -> None:
    """Gives the key back, if the intent holds it."""
    if effect_key:
        key = keys.effect(tenant_id, effect_key)
        stored = layer.get(key)
        if stored is not None and stored["action_intent_id"] == action_intent_id:
            layer.delete(key)


def _pending(layer: Layer, tenant_id: str, proposer: str | None = None) -> int:
    stored = layer.get(keys.pending(tenant_id, proposer))
    return int(stored["waiting"]) if stored else 0


def _count_pending(layer: Layer, intent: ActionIntent, change: int) -> None:
    if intent.status is IntentStatus.PENDING_APPROVAL:
        for proposer in (None, str(intent.proposed_by)):
            waiting = _pending(layer, intent.tenant_id, proposer) + change
            layer.put(keys.pending(intent.tenant_id, proposer), {"waiting": waiting})


# -- decisions and request keys --------------------------------------------------------------------------------------


def append_approval(layer: Layer, command: c.AppendApproval, unit: Unit) -> Iterator[None]:
    """Does `AppendApproval`."""
    approval = command.approval
    key = keys.approval(
        approval.action_intent_id, approval.revision, approval.run_number, codec.text_of(approval.decided_by)
    )
    stored = layer.get(key)
    if stored is not None:
        raise Conflict(ConflictKind.ALREADY_DECIDED, codec.record(Approval, stored))
    yield
    place = keys.place(approval.action_intent_id)
    known = layer.get(place) or {}
    number = int(known.get("approvals", 0)) + 1
    layer.put(place, {**known, "approvals": number})
    layer.put(key, {"number": number, "decision": approval.decision.value, **codec.body(approval)})


def reserve_request(layer: Layer, command: c.ReserveRequest, unit: Unit) -> Iterator[None]:
    """Does `ReserveRequest`."""
    request = command.request
    key = keys.request(request.tenant_id, request.principal, request.key)
    stored = layer.get(key)
    if stored is not None:
        raise Conflict(ConflictKind.REQUEST_KEY_USED, codec.record(RequestKey, stored))
    yield
    layer.put(key, codec.body(request))
    # So that whoever erases the intent finds it.
    place = keys.place(request.action_intent_id)
    known = layer.get(place) or {}
    layer.put(place, {**known, "requests": [*known.get("requests", []), list(key)]})
