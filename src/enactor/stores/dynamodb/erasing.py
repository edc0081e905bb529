"""`EraseIntent`: everything that is stored about an intent, in one transaction as far as one can hold it.

Which items those are is found before the command is judged, because conditions look at items and not at listings. The
ledger's entries are found through an index, which may lag: their number has to be the one that the intent's place
counts, which the transaction requires.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from enactor.domain import erasure
from enactor.domain.approval import Approval
from enactor.domain.intent import ActionIntent
from enactor.domain.outcome import ActionOutcome
from enactor.domain.permit import CallResult
from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind, InternalObject
from enactor.stores.dynamodb import codec, keys
from enactor.stores.dynamodb.book import Unit, account_of, attempt_in, permits_in
from enactor.stores.dynamodb.intents import put_intent, release
from enactor.stores.dynamodb.keys import Key
from enactor.stores.dynamodb.layers import Layer, NeedErased, NeedOfIntent, OfIntent
from enactor.stores.dynamodb.runs import outcome_item, put_attempt
from enactor.stores.dynamodb.wire import Item

_ENTRIES_AT_ONCE: Final = 40
"""Entries that one transaction erases. Of an intent with more, the older ones are erased first, one by one; that much
has happened even if the commit then conflicts, and erasing is all that has.
"""


def erase_intent(layer: Layer, command: c.EraseIntent, unit: Unit) -> Iterator[None]:
    """Does `EraseIntent`."""
    name = command.action_intent_id
    tenant_id, account_id = account_of(layer, name)
    place = layer.get(keys.place(name)) or {}
    key = keys.intent(tenant_id, account_id, name)
    item = layer.get(key)
    if tenant_id != command.tenant_id or item is None:
        raise Conflict(ConflictKind.NOT_FOUND)
    intent = codec.record(ActionIntent, item)
    execution = keys.execution(tenant_id, account_id, name)
    run = layer.get(execution)
    attempt, permits = attempt_in(run), permits_in(run)
    if not erasure.is_over(intent, attempt) or any(it.result is CallResult.OPEN for it in permits.values()):
        raise Conflict(ConflictKind.STATUS_CHANGED, attempt)
    known = _all_of_it(layer, name, tenant_id, account_id, int(place.get("sequence", 0)))
    keys_used = {permit.idempotency_key for permit in permits.values()} - {erasure.ERASED_KEY}
    keys_used |= {attempt.idempotency_key} - {erasure.ERASED_KEY} if attempt is not None else set()
    made = {used: layer.get(keys.created(tenant_id, used)) for used in sorted(keys_used)}
    yield
    release(layer, tenant_id, intent.effect_key, name)
    put_intent(layer, unit, erasure.erased_intent(intent, command.erased_at))
    _erase_listed(layer, known, name, command.erased_at)
    if run is not None:
        _erase_run(layer, unit, execution, run)
    for request in place.get("requests", []):
        layer.delete(keys.Key(*request))
    layer.put(keys.place(name), {**(layer.get(keys.place(name)) or {}), "requests": []})
    for used, stored in made.items():
        if stored is not None:
            _erase_object(layer, tenant_id, used, codec.record(InternalObject, stored))
    for at in {*known.entries, *_appended(layer, name)}:
        layer.change(at, {"data": "", "salt": ""})


def _erase_listed(layer: Layer, known: OfIntent, name: str, erased_at: str) -> None:
    for at in known.revisions:
        if (stored := layer.get(at)) is not None:
            earlier = erasure.erased_intent(codec.record(ActionIntent, stored), erased_at)
            layer.put(at, {"action_intent_id": name, "tenant_id": earlier.tenant_id, **codec.body(earlier)})
    for at in known.approvals:
        if (stored := layer.get(at)) is not None:
            left = erasure.erased_approval(codec.record(Approval, stored))
            layer.put(at, {"number": stored["number"], "decision": stored["decision"], **codec.body(left)})
    for at in known.outcomes:
        if (stored := layer.get(at)) is not None:
            layer.put(at, outcome_item(erasure.erased_outcome(codec.record(ActionOutcome, stored))))


def _erase_run(layer: Layer, unit: Unit, key: Key, run: Item) -> None:
    permits = permits_in(run)
    for permit in permits.values():
        if permit.idempotency_key != erasure.ERASED_KEY:
            layer.delete(keys.permit(permit.idempotency_key, permit.action_intent_id, permit.call_no))
    left = [codec.text_of(erasure.erased_permit(permit)) for _, permit in sorted(permits.items())]
    layer.put(key, {**run, "permits": left})
    attempt = attempt_in(run)
    if attempt is not None:
        put_attempt(layer, unit, key, erasure.erased_attempt(attempt), {"effect_key": ""})


def _all_of_it(layer: Layer, name: str, tenant_id: str, account_id: str, sequence: int) -> OfIntent:
    """Where everything is, with what commits before it have appended and nobody can find yet."""
    known = layer.images.of_intents.get(name)
    if known is None or len({*known.entries, *_appended(layer, name)}) + known.erased < sequence:
        raise NeedOfIntent(name, tenant_id, account_id)
    if len(known.entries) > _ENTRIES_AT_ONCE:
        raise NeedErased(name, known.entries[:-_ENTRIES_AT_ONCE])
    return known


def _appended(layer: Layer, name: str) -> list[Key]:
    """The intent's entries that are not written yet."""
    return layer.written(lambda item: item.get("action_intent_id") == name and "data_commitment" in item)


def _erase_object(layer: Layer, tenant_id: str, used: str, made: InternalObject) -> None:
    left = replace(made, body={}, creation_key=f"{erasure.ERASED_KEY}:{made.object_id}")
    layer.delete(keys.created(tenant_id, used))
    created: Key = keys.created(tenant_id, left.creation_key)
    layer.put(created, {"object_id": made.object_id, "deleted": True, **codec.body(left)})
    layer.delete(keys.internal_object(tenant_id, made.object_id))
    layer.delete(keys.object_row(tenant_id, made.object_type, made.created_at, made.object_id))
