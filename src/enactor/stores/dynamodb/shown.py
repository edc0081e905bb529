"""What reports, listings by status and sweepers know of an intent: one small item, kept with each commit.

While the intent is pending, approved, running or in doubt the item is in one of its tenant's live partitions, and in
an index over all tenants for the sweeper; when its run has ended, in a partition that is ordered by the instant.
Both are read from the table itself, strongly consistent: no index stands between a switch and its report.
"""

from __future__ import annotations

from typing import Any

from enactor.domain.attempt import TERMINAL, ExecutionAttempt, RunStatus
from enactor.domain.containment import containment_of, current_permits, open_until
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.permit import WritePermit
from enactor.stores.dynamodb import codec, keys
from enactor.stores.dynamodb.book import Unit, account_of, attempt_in, permits_in
from enactor.stores.dynamodb.layers import Layer

PENDING = "PENDING"
"""The wire status of an approved intent that has not started."""


def show(layer: Layer, unit: Unit, action_intent_id: str, *, new: bool) -> None:
    """Writes the item of an intent that the layer's commit has changed.

    Args:
        new: the intent itself is new, so that nothing can have been known of it.
    """
    tenant_id, account_id = account_of(layer, action_intent_id)
    execution = keys.execution(tenant_id, account_id, action_intent_id)
    shard = unit.shard(action_intent_id)
    live = keys.live(tenant_id, shard, action_intent_id)
    item = None if new and execution not in layer.writes else layer.get(execution)
    attempt = attempt_in(item)
    before = None if new else attempt_in(layer.before(execution))
    if before is not None and before.status in TERMINAL:
        layer.delete(keys.ended(tenant_id, shard, before.updated_at, action_intent_id))
    permits = permits_in(item)
    if attempt is None:
        stored = layer.get(keys.intent(tenant_id, account_id, action_intent_id))
        intent = codec.record(ActionIntent, stored) if stored is not None else None
        if intent is None or intent.status not in (IntentStatus.PENDING_APPROVAL, IntentStatus.APPROVED):
            layer.delete(live)
            return
        layer.put(live, {**_of_intent(intent), **_containment(None, permits), **_swept(action_intent_id, shard)})
    elif attempt.status in TERMINAL:
        layer.delete(live)
        ended = keys.ended(tenant_id, shard, attempt.updated_at, action_intent_id)
        # What failed, and whose compensation is in doubt, is looked up again when it is due.
        swept = _swept(action_intent_id, shard) if attempt.status is RunStatus.FAILED and attempt.deadline_at else {}
        layer.put(ended, {**_of_attempt(attempt), **_containment(attempt, permits), **swept})
    else:
        layer.put(live, {**_of_attempt(attempt), **_containment(attempt, permits), **_swept(action_intent_id, shard)})


def _swept(action_intent_id: str, shard: int) -> dict[str, Any]:
    return {"gsi1pk": f"LIVE#{shard}", "gsi1sk": action_intent_id}


def _of_intent(intent: ActionIntent) -> dict[str, Any]:
    return {
        "action_intent_id": intent.action_intent_id,
        "tenant_id": intent.tenant_id,
        "account_id": intent.account_id,
        "action_type": intent.action_type,
        "connector_id": intent.connector_id,
        "state": PENDING if intent.status is IntentStatus.APPROVED else intent.status.value,
        "shadow": intent.shadow,
        "expires": intent.expires_at_epoch,
        "run_number": 1,
        "resume_at": 0,
        "deadline_at": 0,
    }


def _of_attempt(attempt: ExecutionAttempt) -> dict[str, Any]:
    return {
        "action_intent_id": attempt.action_intent_id,
        "tenant_id": attempt.tenant_id,
        "account_id": attempt.account_id,
        "action_type": attempt.action_type,
        "connector_id": attempt.connector_id,
        "state": attempt.status.value,
        "shadow": False,
        "run_number": attempt.run_number,
        "resume_at": attempt.resume_at,
        "deadline_at": attempt.deadline_at,
    }


def _containment(attempt: ExecutionAttempt | None, permits: dict[int, WritePermit]) -> dict[str, Any]:
    own = current_permits(attempt, permits.values())
    containment = containment_of(attempt.status if attempt else None, own)
    return {"containment": containment.value, "open_until": open_until(own)}
