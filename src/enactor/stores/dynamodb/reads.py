"""Reading one thing: intents, executions, decisions, and what is configured. All of it strongly consistent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, TypeVar

from enactor.domain.action_type import ActionType
from enactor.domain.approval import Approval
from enactor.domain.attempt import ExecutionAttempt
from enactor.domain.budget import Budget, window_start
from enactor.domain.intent import ActionIntent
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.outcome import ActionOutcome
from enactor.domain.policy import PolicySet
from enactor.ports.commands import InternalObject, RequestKey
from enactor.ports.store import ExecutionRecords, ExecutionRow
from enactor.stores.dynamodb import codec, keys, tables
from enactor.stores.dynamodb.book import attempt_in, permits_in
from enactor.stores.dynamodb.client import Dynamo
from enactor.stores.dynamodb.keys import Key
from enactor.stores.dynamodb.layers import NeedStarts
from enactor.stores.dynamodb.searches import Searches
from enactor.stores.dynamodb.wire import Item

Record = TypeVar("Record")

_PLACES_REMEMBERED = 20_000


class Reader:
    """Point reads.

    Args:
        dynamo: the tables.
        searches: counts what has started.
    """

    def __init__(self, dynamo: Dynamo, searches: Searches) -> None:
        self._dynamo = dynamo
        self._searches = searches
        self._accounts: dict[str, tuple[str, str]] = {}

    async def _record(self, kind: type[Record], key: Key) -> Record | None:
        item = await self._dynamo.get(key)
        return codec.record(kind, item) if item is not None else None

    async def account_of(self, tenant_id: str, action_intent_id: str) -> str | None:
        """The account of the tenant's intent; it never changes, and so is remembered."""
        known = self._accounts.get(action_intent_id)
        if known is None:
            if not keys.fits(action_intent_id):
                return None
            place = await self._dynamo.get(keys.place(action_intent_id))
            if place is None or "account_id" not in place:
                return None
            known = (str(place["tenant_id"]), str(place["account_id"]))
            self._accounts[action_intent_id] = known
            if len(self._accounts) > _PLACES_REMEMBERED:
                del self._accounts[next(iter(self._accounts))]
        return known[1] if known[0] == tenant_id else None

    async def intent(self, tenant_id: str, action_intent_id: str) -> ActionIntent | None:
        account_id = await self.account_of(tenant_id, action_intent_id)
        if account_id is None:
            return None
        return await self._record(ActionIntent, keys.intent(tenant_id, account_id, action_intent_id))

    async def revisions(self, tenant_id: str, action_intent_id: str) -> tuple[ActionIntent, ...]:
        account_id = await self.account_of(tenant_id, action_intent_id)
        newest = await self.intent(tenant_id, action_intent_id)
        if account_id is None or newest is None:
            return ()
        earlier = self._dynamo.query(
            tables.INTENTS,
            keys.chain(tenant_id, account_id),
            condition="begins_with(#sk, :sk)",
            values={":sk": f"REVISION#{action_intent_id}#"},
        )
        whole = [await self._dynamo.whole(item) async for item in earlier]
        found = {record.revision: record for record in (codec.record(ActionIntent, item) for item in whole)}
        found[newest.revision] = newest
        return tuple(record for _, record in sorted(found.items()))

    async def put_aside(self, tenant_id: str, action_intent_id: str) -> list[str]:
        """References to what of an intent and its revisions was put aside."""
        account_id = await self.account_of(tenant_id, action_intent_id)
        if account_id is None:
            return []
        chain = keys.chain(tenant_id, account_id)
        found: list[str] = []
        for begin in (f"ACTION_INTENT#{action_intent_id}", f"REVISION#{action_intent_id}#"):
            items = self._dynamo.query(tables.INTENTS, chain, condition="begins_with(#sk, :sk)", values={":sk": begin})
            found += [item[codec.ARTIFACT] async for item in items if codec.ARTIFACT in item]
        return found

    async def approvals(self, tenant_id: str, action_intent_id: str) -> tuple[Approval, ...]:
        if not keys.fits(action_intent_id):
            return ()
        items = [
            item
            async for item in self._dynamo.query(tables.INTENTS, keys.place(action_intent_id).pk)
            if item["sk"] == "PLACE" or "number" in item
        ]
        place = next((item for item in items if item["sk"] == "PLACE"), {})
        if place.get("tenant_id", "") != tenant_id:
            return ()
        said = sorted((item for item in items if "number" in item), key=lambda item: item["number"])
        return tuple(codec.record(Approval, item) for item in said)

    async def request(self, tenant_id: str, principal: str, key: str) -> RequestKey | None:
        return await self._record(RequestKey, keys.request(tenant_id, principal, key))

    async def effect_holder(self, tenant_id: str, effect_key: str) -> str | None:
        item = await self._dynamo.get(keys.effect(tenant_id, effect_key))
        return str(item["action_intent_id"]) if item is not None else None

    async def execution(self, tenant_id: str, action_intent_id: str) -> ExecutionRecords | None:
        account_id = await self.account_of(tenant_id, action_intent_id)
        if account_id is None:
            return None
        place = (tenant_id, account_id, action_intent_id)
        intent, execution, outcome = await self._dynamo.snapshot(
            [keys.intent(*place), keys.execution(*place), keys.outcome(*place)]
        )
        if intent is None:
            return None
        row = row_of(intent, execution, outcome)
        run_number = row.attempt.run_number if row.attempt else 1
        cancels: Any = execution.get("cancels", {}) if execution is not None else {}
        return ExecutionRecords(
            intent=row.intent,
            attempt=row.attempt,
            permits=tuple(permit for _, permit in sorted(permits_in(execution).items())),
            outcome=row.outcome,
            cancel_requested=str(run_number) in cancels,
        )

    async def rows(self, tenant_id: str, ids: Sequence[tuple[str, str]]) -> list[ExecutionRow]:
        """The rows of intents, given with their accounts, in the same order; those that are not there are left out."""
        wanted = [
            (keys.intent(tenant_id, *it), keys.execution(tenant_id, *it), keys.outcome(tenant_id, *it)) for it in ids
        ]
        found = await self._dynamo.get_all(key for three in wanted for key in three)
        return [
            row_of(item, found[execution], found[outcome])
            for intent, execution, outcome in wanted
            if (item := found[intent]) is not None
        ]

    async def outcomes(self, tenant_id: str, action_intent_id: str) -> tuple[ActionOutcome, ...]:
        account_id = await self.account_of(tenant_id, action_intent_id)
        if account_id is None:
            return ()
        key = keys.outcome(tenant_id, account_id, action_intent_id)
        items = self._dynamo.query(tables.OUTCOMES, key.pk, condition="begins_with(#sk, :sk)", values={":sk": key.sk})
        found = [record async for record in _records(ActionOutcome, items)]
        return tuple(sorted(found, key=lambda outcome: (outcome.run_number, outcome.outcome_revision)))

    # -- what is configured --------------------------------------------------------------------------------------

    async def action_type(self, tenant_id: str, action_type: str, version: int | None) -> ActionType | None:
        if not keys.fits(action_type):
            return None
        if version is None:
            return await self._record(ActionType, keys.latest_version(tenant_id, action_type))
        return await self._record(ActionType, keys.registry_version(tenant_id, action_type, version))

    async def latest_action_types(self, tenant_id: str) -> list[ActionType]:
        """The latest versions of an owner's entries."""
        items = self._dynamo.query(tables.REGISTRY, keys.latest_version(tenant_id, "").pk)
        return [record async for record in _records(ActionType, items)]

    async def switches(self, scopes: Iterable[str]) -> dict[str, KillSwitch]:
        wanted = {scope: keys.switch(scope) for scope in scopes if keys.fits(scope)}
        found = await self._dynamo.get_all(wanted.values())
        return {
            scope: codec.record(KillSwitch, item) for scope, key in wanted.items() if (item := found[key]) is not None
        }

    async def list_switches(self, tenant_id: str) -> tuple[KillSwitch, ...]:
        found: list[KillSwitch] = []
        for owner in sorted({"", tenant_id}):
            items = self._dynamo.query(tables.TENANTS, f"SWITCHES#{owner}")
            found += [record async for record in _records(KillSwitch, items)]
        return tuple(sorted(found, key=lambda switch: switch.scope))

    async def policies(self, tenant_id: str) -> PolicySet | None:
        return await self._record(PolicySet, keys.policies(tenant_id)) if keys.fits(tenant_id) else None

    async def budgets(self, tenant_id: str, now_ms: int) -> tuple[tuple[Budget, int], ...]:
        stored = await self._dynamo.get(keys.budgets(tenant_id))
        known: dict[str, Any] = stored["budgets"] if stored is not None else {}
        found: list[tuple[Budget, int]] = []
        for action_type, value in sorted(known.items()):
            budget = codec.parsed(Budget, value["budget"])
            first = window_start(budget, now_ms)
            window = keys.budget_window(tenant_id, action_type, value["version"], first)
            counted = await self._dynamo.get(window)
            used = (
                int(counted["used"])
                if counted is not None
                else await self._searches.count_starts(
                    NeedStarts(window, tenant_id, action_type, first, first + budget.window_seconds)
                )
            )
            found.append((budget, used))
        return tuple(found)

    # -- internal objects ----------------------------------------------------------------------------------------

    async def object_by_key(self, tenant_id: str, creation_key: str) -> InternalObject | None:
        created = await self._dynamo.get(keys.created(tenant_id, creation_key))
        return await self.object(tenant_id, str(created["object_id"])) if created is not None else None

    async def object(self, tenant_id: str, object_id: str) -> InternalObject | None:
        if not object_id or not keys.fits(tenant_id, object_id):
            return None
        return await self._record(InternalObject, keys.internal_object(tenant_id, object_id))


async def _records(kind: type[Record], items: AsyncIterator[Item]) -> AsyncIterator[Record]:
    async for item in items:
        yield codec.record(kind, item)


def row_of(intent: Item, execution: Item | None, outcome: Item | None) -> ExecutionRow:
    """A line of a listing; an earlier run's outcome is not the present run's."""
    attempt: ExecutionAttempt | None = attempt_in(execution)
    newest = codec.record(ActionOutcome, outcome) if outcome is not None else None
    return ExecutionRow(
        intent=codec.record(ActionIntent, intent),
        attempt=attempt,
        outcome=newest if newest and attempt and newest.run_number == attempt.run_number else None,
    )
