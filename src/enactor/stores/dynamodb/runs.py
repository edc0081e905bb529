"""Conditions and effects: the lock, permits, cancel requests and outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from enactor.domain.attempt import TERMINAL, ExecutionAttempt, RunStatus
from enactor.domain.budget import ANY_ACTION_TYPE, Budget, window_start
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.outcome import ActionOutcome
from enactor.domain.permit import CallResult, Purpose, WritePermit
from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind
from enactor.stores.dynamodb import codec, keys
from enactor.stores.dynamodb.book import (
    Unit,
    account_of,
    attempt_in,
    marks_in,
    permits_in,
    switch_named,
)
from enactor.stores.dynamodb.intents import claim, release, require_effect_key
from enactor.stores.dynamodb.keys import Key
from enactor.stores.dynamodb.layers import Layer, NeedStarts

_GIVES_KEY_BACK: Final = frozenset({RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.EXPIRED})
_MAY_RUN_AGAIN: Final = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})
_STARTS_KEPT_SECONDS: Final = 367 * 86_400
"""Longer than the longest window of a budget."""


def start_attempt(layer: Layer, command: c.StartAttempt, unit: Unit) -> Iterator[None]:
    """Does `StartAttempt`."""
    attempt = command.attempt
    tenant_id, account_id = account_of(layer, attempt.action_intent_id)
    key = keys.execution(tenant_id, account_id, attempt.action_intent_id)
    stored = attempt_in(layer.get(key))
    if stored is not None and not (attempt.run_number == stored.run_number + 1 and stored.status in _MAY_RUN_AGAIN):
        same = stored.owner == attempt.owner
        raise Conflict(ConflictKind.STARTED_BY_SAME_OWNER if same else ConflictKind.STARTED_BY_OTHER_OWNER, stored)
    item = layer.get(keys.intent(tenant_id, account_id, attempt.action_intent_id))
    if item is None or tenant_id != attempt.tenant_id:
        raise Conflict(ConflictKind.NOT_FOUND)
    intent = codec.record(ActionIntent, item)
    if (intent.status, intent.version, intent.revision, intent.approval_digest) != (
        IntentStatus.APPROVED,
        command.intent_version,
        command.revision,
        command.approval_digest,
    ):
        raise Conflict(ConflictKind.APPROVAL_STALE, intent)
    if stored is None and attempt.run_number != 1:
        raise Conflict(ConflictKind.STATUS_CHANGED)
    charged = dict(_charged(layer, command, unit, account_id)) if command.charge_budget else {}
    require_effect_key(layer, tenant_id, intent.effect_key, attempt.action_intent_id)
    yield
    for window, used in charged.items():
        layer.put(window, used)
    if command.charge_budget:
        _count_start(layer, command, unit, account_id)
    claim(layer, tenant_id, intent.effect_key, attempt.action_intent_id)
    put_attempt(layer, unit, key, attempt, {"effect_key": intent.effect_key or ""})


def _charged(
    layer: Layer, command: c.StartAttempt, unit: Unit, account_id: str
) -> Iterator[tuple[Key, dict[str, Any]]]:
    """The windows of the budgets that apply, as they are after this start. Raises `Conflict` where one is full."""
    attempt = command.attempt
    gate = layer.get(unit.gate(attempt.tenant_id, attempt.tenant_id, account_id))
    known: dict[str, Any] = gate.get("budgets", {}) if gate is not None else {}
    for name in (attempt.action_type, ANY_ACTION_TYPE):
        if name in known:
            budget = codec.parsed(Budget, known[name]["budget"])
            first = window_start(budget, command.now_ms)
            window = keys.budget_window(attempt.tenant_id, name, known[name]["version"], first)
            stored = layer.get(window)
            used = stored["used"] if stored is not None else layer.images.counted.get(window)
            if used is None:
                raise NeedStarts(window, attempt.tenant_id, name, first, first + budget.window_seconds)
            if used >= budget.max_executions:
                raise Conflict(ConflictKind.BUDGET_EXCEEDED, budget)
            forgotten = first + budget.window_seconds + _STARTS_KEPT_SECONDS
            yield window, {"used": used + 1, "expires_at": forgotten}


def _count_start(layer: Layer, command: c.StartAttempt, unit: Unit, account_id: str) -> None:
    attempt = command.attempt
    second = command.now_ms // 1000
    shard = unit.shard(keys.chain(attempt.tenant_id, account_id))
    key = keys.starts(attempt.tenant_id, shard, second, attempt.action_type)
    stored = layer.get(key)
    started = stored["started"] if stored is not None else 0
    layer.put(key, {"started": started + 1, "expires_at": second + _STARTS_KEPT_SECONDS})


def update_attempt(layer: Layer, command: c.UpdateAttempt, unit: Unit) -> Iterator[None]:
    """Does `UpdateAttempt`."""
    attempt = command.attempt
    tenant_id, account_id = account_of(layer, attempt.action_intent_id)
    key = keys.execution(tenant_id, account_id, attempt.action_intent_id)
    stored = attempt_in(layer.get(key))
    if stored is None or stored.tenant_id != attempt.tenant_id:
        raise Conflict(ConflictKind.NOT_FOUND)
    if stored.fence != command.expected_fence or stored.run_number != attempt.run_number:
        raise Conflict(ConflictKind.STALE_FENCE, stored)
    if stored.status is not command.expected_status:
        raise Conflict(ConflictKind.STATUS_CHANGED, stored)
    yield
    put_attempt(layer, unit, key, attempt, {})


def put_attempt(layer: Layer, unit: Unit, key: Key, attempt: ExecutionAttempt, changes: Mapping[str, Any]) -> None:
    """Writes the attempt into its execution's item, and gives the effect key back where it ended without effect."""
    known = {name: value for name, value in (layer.get(key) or {}).items() if name not in _OF_THE_ATTEMPT}
    ended: dict[str, Any] = {}
    if attempt.status in TERMINAL:
        shard = unit.shard(attempt.action_intent_id)
        ended = {
            "gsi2pk": f"TENANT#{attempt.tenant_id}#STATUS#{attempt.status}#{shard}",
            "gsi2sk": attempt.action_intent_id,
        }
    item = {
        **known,
        "action_intent_id": attempt.action_intent_id,
        "tenant_id": attempt.tenant_id,
        "account_id": attempt.account_id,
        "status": attempt.status.value,
        "run_number": attempt.run_number,
        "fence": attempt.fence,
        "owner": attempt.owner,
        "trace_id": attempt.trace_id,
        **ended,
        **changes,
        **codec.body(attempt),
    }
    layer.put(key, item)
    layer.mark(attempt.action_intent_id)
    if attempt.status in _GIVES_KEY_BACK:
        release(layer, attempt.tenant_id, str(item.get("effect_key", "")), attempt.action_intent_id)


_OF_THE_ATTEMPT: Final = frozenset({"body", "packed", "gsi2pk", "gsi2sk"})


# -- permits ---------------------------------------------------------------------------------------------------------


def take_permit(layer: Layer, command: c.TakePermit, unit: Unit) -> Iterator[None]:
    """Does `TakePermit`."""
    permit = command.permit
    tenant_id, account_id = account_of(layer, permit.action_intent_id)
    key = keys.execution(tenant_id, account_id, permit.action_intent_id)
    item = layer.get(key)
    attempt = unit.attempt_of(permit.action_intent_id, item)
    if attempt.fence != permit.fence or attempt.run_number != permit.run_number:
        raise Conflict(ConflictKind.STALE_FENCE, attempt)
    if attempt.status is not RunStatus.RUNNING:
        raise Conflict(ConflictKind.STATUS_CHANGED, attempt)
    for known in {**permits_in(item), **unit.settled}.values():
        if known.call_no == permit.call_no or known.result is CallResult.OPEN:
            raise Conflict(ConflictKind.PERMIT_TAKEN, known)
    compensates = permit.purpose is Purpose.COMPENSATION
    _require_open_gates(layer, command, unit, account_id)
    cancels: Any = item.get("cancels", {}) if item is not None else {}
    if not compensates and str(permit.run_number) in cancels:
        raise Conflict(ConflictKind.CANCEL_REQUESTED)
    yield
    _put_permit(layer, key, permit)


def _require_open_gates(layer: Layer, command: c.TakePermit, unit: Unit, account_id: str) -> None:
    """Raises `Conflict` where a switch is on, or was since the run was authorised: see `kill_switch.stopped_by`."""
    permit = command.permit
    compensates = permit.purpose is Purpose.COMPENSATION
    for mark in command.marks:
        gate = layer.get(unit.gate(keys.owner_of(mark.scope), permit.tenant_id, account_id))
        known = marks_in(gate).get(mark.scope)
        if known is None:
            continue
        generation, enabled, compensation_allowed = known
        if compensates and compensation_allowed:
            continue
        if enabled or generation != mark.generation:
            raise Conflict(ConflictKind.SWITCH_CHANGED, switch_named(layer, mark.scope))


def settle_permit(layer: Layer, command: c.SettlePermit, unit: Unit) -> Iterator[None]:
    """Does `SettlePermit`."""
    permit = command.permit
    tenant_id, account_id = account_of(layer, permit.action_intent_id)
    key = keys.execution(tenant_id, account_id, permit.action_intent_id)
    item = layer.get(key)
    stored = permits_in(item).get(permit.call_no)
    if stored is None:
        raise Conflict(ConflictKind.NOT_FOUND)
    if command.expected_fence is not None:
        attempt = unit.attempt_of(permit.action_intent_id, item)
        if attempt.fence != command.expected_fence:
            raise Conflict(ConflictKind.STALE_FENCE, attempt)
    if stored.result is not command.expected:
        raise Conflict(ConflictKind.PERMIT_SETTLED, stored)
    yield
    _put_permit(layer, key, permit)


def doubt_after_restore(layer: Layer, command: c.DoubtAfterRestore, unit: Unit) -> Iterator[None]:
    """Does `DoubtAfterRestore`."""
    permit = command.permit
    tenant_id, account_id = account_of(layer, permit.action_intent_id)
    yield
    _put_permit(layer, keys.execution(tenant_id, account_id, permit.action_intent_id), permit)


def _put_permit(layer: Layer, key: Key, permit: WritePermit) -> None:
    item = layer.get(key) or {"action_intent_id": permit.action_intent_id, "tenant_id": permit.tenant_id}
    permits = {**permits_in(item), permit.call_no: permit}
    layer.put(key, {**item, "permits": [codec.text_of(known) for _, known in sorted(permits.items())]})
    # The copy that is found by its key. The execution's own item guards it.
    layer.put(
        keys.permit(permit.idempotency_key, permit.action_intent_id, permit.call_no),
        {
            "action_intent_id": permit.action_intent_id,
            "tenant_id": permit.tenant_id,
            "run_number": permit.run_number,
            "fence": permit.fence,
            "result": permit.result.value,
            **codec.body(permit),
        },
    )
    layer.mark(permit.action_intent_id)


def request_cancel(layer: Layer, command: c.RequestCancel, unit: Unit) -> Iterator[None]:
    """Does `RequestCancel`."""
    tenant_id, account_id = account_of(layer, command.action_intent_id)
    yield
    key = keys.execution(tenant_id, account_id, command.action_intent_id)
    item = layer.get(key) or {"action_intent_id": command.action_intent_id, "tenant_id": tenant_id}
    cancels: Any = item.get("cancels", {})
    if str(command.run_number) not in cancels:
        cancels = {**cancels, str(command.run_number): {"by": command.requested_by, "at": command.requested_at}}
        layer.put(key, {**item, "cancels": cancels})


def record_outcome(layer: Layer, command: c.RecordOutcome, unit: Unit) -> Iterator[None]:
    """Does `RecordOutcome`."""
    outcome = command.outcome
    place = (outcome.tenant_id, outcome.account_id, outcome.action_intent_id)
    key = keys.outcome(*place)
    number = (outcome.run_number, outcome.outcome_revision)
    item = layer.get(key)
    newest = codec.record(ActionOutcome, item) if item is not None else None
    newest_number = (newest.run_number, newest.outcome_revision) if newest is not None else (0, 0)
    if newest is not None and number == newest_number:
        raise Conflict(ConflictKind.OUTCOME_EXISTS, newest)
    if number < newest_number:
        earlier = layer.get(keys.earlier_outcome(*place, *number))
        if earlier is not None:
            raise Conflict(ConflictKind.OUTCOME_EXISTS, codec.record(ActionOutcome, earlier))
    yield
    if number < newest_number:
        layer.put(keys.earlier_outcome(*place, *number), outcome_item(outcome))
        return
    if newest is not None:
        layer.put(keys.earlier_outcome(*place, *newest_number), outcome_item(newest))
    layer.put(key, outcome_item(outcome))


def outcome_item(outcome: ActionOutcome) -> dict[str, Any]:
    """An outcome's item."""
    return {
        "action_intent_id": outcome.action_intent_id,
        "tenant_id": outcome.tenant_id,
        "account_id": outcome.account_id,
        "run_number": outcome.run_number,
        "outcome_revision": outcome.outcome_revision,
        "status": outcome.status.value,
        **codec.body(outcome),
    }
