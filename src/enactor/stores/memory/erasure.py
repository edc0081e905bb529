"""What `EraseIntent` does to the memory store's records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from enactor.domain import erasure
from enactor.domain.permit import CallResult
from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind

if TYPE_CHECKING:
    from enactor.stores.memory.records import Records


def erase_intent(records: Records, command: c.EraseIntent, unit: object) -> Iterator[None]:
    """Does `EraseIntent`."""
    name = command.action_intent_id
    intent = records.intents.get(name)
    if intent is None or intent.tenant_id != command.tenant_id:
        raise Conflict(ConflictKind.NOT_FOUND)
    attempt, permits = records.attempts.get(name), records.permits[name]
    if not erasure.is_over(intent, attempt) or any(it.result is CallResult.OPEN for it in permits.values()):
        raise Conflict(ConflictKind.STATUS_CHANGED, attempt)
    yield
    keys = {attempt.idempotency_key} if attempt is not None else set()
    keys |= {permit.idempotency_key for permit in permits.values()}
    holder = (intent.tenant_id, intent.effect_key or "")
    if records.effect_keys.get(holder) == name:
        del records.effect_keys[holder]
    records.intents[name] = erasure.erased_intent(intent, command.erased_at)
    for number, revision in records.revisions[name].items():
        records.revisions[name][number] = erasure.erased_intent(revision, command.erased_at)
    records.revisions[name][intent.revision] = records.intents[name]
    records.approvals[name] = [erasure.erased_approval(it) for it in records.approvals[name]]
    records.outcomes[name] = {at: erasure.erased_outcome(it) for at, it in records.outcomes[name].items()}
    records.permits[name] = {at: erasure.erased_permit(it) for at, it in permits.items()}
    if attempt is not None:
        records.attempts[name] = erasure.erased_attempt(attempt)
    records.requests = {at: it for at, it in records.requests.items() if it.action_intent_id != name}
    for made in [it for it in records.creations.values() if it.creation_key in keys]:
        if made.tenant_id == intent.tenant_id:
            left = replace(made, body={}, creation_key=f"{erasure.ERASED_KEY}:{made.object_id}")
            del records.creations[made.tenant_id, made.creation_key]
            records.creations[left.tenant_id, left.creation_key] = left
            records.objects.pop((made.tenant_id, made.object_id), None)
    for at, entry in enumerate(records.ledger):
        if entry.action_intent_id == name and entry.tenant_id == intent.tenant_id:
            records.ledger[at] = erasure.erased_entry(entry)
