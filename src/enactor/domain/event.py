"""Outgoing events: CloudEvents 1.0 whose bodies carry ids, never parameters (specification, sections 1 and 11)."""

from __future__ import annotations

from typing import Any, Final

import orjson

from enactor.domain.ledger import LedgerEntry, LedgerEvent

SOURCE: Final = "enactor"
_SIGNALS: Final = frozenset({LedgerEvent.ACTION_EXECUTED, LedgerEvent.ACTION_FAILED})
_CHECKPOINTS: Final = frozenset({LedgerEvent.CHECKPOINT_PUBLISHED, LedgerEvent.CHECKPOINT_COSIGNED})


def cloud_event(entry: LedgerEntry) -> dict[str, Any]:
    """The CloudEvent of a ledger entry. Its `id` is the entry's, so every delivery of it can be deduplicated.

    `sequence` follows the CloudEvents sequence extension: it grows within one execution and sorts as text.
    A checkpoint's event carries the signed note itself, so that a copy of it lies outside the store.
    """
    body: dict[str, Any] = {
        "specversion": "1.0",
        "id": entry.entry_id,
        "source": f"{SOURCE}/{entry.tenant_id}" if entry.tenant_id else SOURCE,
        "type": f"enactor.{entry.event_type.value.lower()}",
        "time": entry.timestamp,
        "subject": entry.action_intent_id or entry.account_id,
        "datacontenttype": "application/json",
        "sequence": f"{entry.sequence:010d}",
        "traceid": entry.trace_id,
        "data": {
            "event_type": entry.event_type.value,
            "tenant_id": entry.tenant_id,
            "account_id": entry.account_id,
            "action_intent_id": entry.action_intent_id or None,
            "run_number": entry.run_number or None,
            "trace_id": entry.trace_id,
            "sequence": entry.sequence,
        },
    }
    if entry.event_type in _SIGNALS:
        found = orjson.loads(entry.data).get("outcome_revision") if entry.data else None
        revision = found if isinstance(found, int) else None
        body["data"]["outcome_revision"] = revision
        body["data"]["signal_id"] = f"signal/{entry.action_intent_id}/{entry.run_number}/{revision or entry.sequence}"
        body["data"]["dedupe_key"] = body["data"]["signal_id"]
    elif entry.event_type in _CHECKPOINTS and entry.data:
        note = orjson.loads(entry.data).get("checkpoint")
        if isinstance(note, str):
            body["data"]["checkpoint"] = note
    return body
