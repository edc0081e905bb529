"""The memory store's side of the port: commits one at a time, and readers that walk over dictionaries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from enactor.domain.action_type import ActionType
from enactor.domain.approval import Approval
from enactor.domain.attempt import TERMINAL, ExecutionAttempt, RunStatus
from enactor.domain.budget import Budget
from enactor.domain.containment import ContainedRun, contained_runs
from enactor.domain.errors import StoreFailed
from enactor.domain.intent import ActionIntent, IntentStatus, is_expired
from enactor.domain.kill_switch import KillSwitch, scopes_of
from enactor.domain.ledger import LedgerEntry
from enactor.domain.outcome import ActionOutcome
from enactor.domain.paging import Position, page_of, page_position, page_token, require_limit
from enactor.domain.permit import WritePermit
from enactor.domain.policy import PolicySet
from enactor.domain.time import normal
from enactor.ports.clock import Clock
from enactor.ports.commands import MAX_COMMANDS, Command, InternalObject, RequestKey
from enactor.ports.store import (
    ExecutionFilter,
    ExecutionRecords,
    ExecutionRow,
    LedgerFilter,
    Page,
    RunDue,
    StoreInfo,
    Undelivered,
)
from enactor.stores.memory.logs import LogReaders
from enactor.stores.memory.records import Records

Item = TypeVar("Item")

_UNSTARTED: Final = frozenset({IntentStatus.PENDING_APPROVAL, IntentStatus.APPROVED})


class MemoryStore(LogReaders):
    """A `Store` in this process's memory. Everything is gone with the process.

    Args:
        clock: tells which window a budget is in, and times out waits.
    """

    exclusive: Final = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records = Records()
        self._cursors: dict[str, int] = {}
        self._undelivered: dict[tuple[str, int], Undelivered] = {}
        self._news: asyncio.Future[None] | None = None
        self._closed = False

    async def commit(self, commands: Sequence[Command]) -> None:
        if self._closed:
            raise StoreFailed("The store is closed.")
        if len(commands) > MAX_COMMANDS:
            raise ValueError(f"a commit has at most {MAX_COMMANDS} commands, one for each record")
        self._records.commit(commands)
        self._wake()

    async def close(self) -> None:
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set_result(None)
            self._news = None

    # -- intents and executions ----------------------------------------------------------------------------------

    async def intent(self, tenant_id: str, action_intent_id: str) -> ActionIntent | None:
        found = self._records.intents.get(action_intent_id)
        return found if found is not None and found.tenant_id == tenant_id else None

    async def revisions(self, tenant_id: str, action_intent_id: str) -> tuple[ActionIntent, ...]:
        if await self.intent(tenant_id, action_intent_id) is None:
            return ()
        return tuple(record for _, record in sorted(self._records.revisions[action_intent_id].items()))

    async def approvals(self, tenant_id: str, action_intent_id: str) -> tuple[Approval, ...]:
        intent = self._records.intents.get(action_intent_id)
        if (intent.tenant_id if intent else "") != tenant_id:
            return ()
        return tuple(self._records.approvals[action_intent_id])

    async def request(self, tenant_id: str, principal: str, key: str) -> RequestKey | None:
        return self._records.requests.get((tenant_id, principal, key))

    async def effect_holder(self, tenant_id: str, effect_key: str) -> str | None:
        return self._records.effect_keys.get((tenant_id, effect_key))

    async def execution(self, tenant_id: str, action_intent_id: str) -> ExecutionRecords | None:
        intent = await self.intent(tenant_id, action_intent_id)
        if intent is None:
            return None
        attempt = self._records.attempts.get(action_intent_id)
        return ExecutionRecords(
            intent=intent,
            attempt=attempt,
            permits=self._permits(action_intent_id),
            outcome=self._latest_outcome(attempt),
            cancel_requested=(action_intent_id, attempt.run_number if attempt else 1) in self._records.cancels,
        )

    def _permits(self, action_intent_id: str) -> tuple[WritePermit, ...]:
        return tuple(permit for _, permit in sorted(self._records.permits[action_intent_id].items()))

    def _latest_outcome(self, attempt: ExecutionAttempt | None) -> ActionOutcome | None:
        if attempt is None:
            return None
        recorded = self._records.outcomes[attempt.action_intent_id]
        revisions = [key for key in recorded if key[0] == attempt.run_number]
        return recorded[max(revisions)] if revisions else None

    async def outcomes(self, tenant_id: str, action_intent_id: str) -> tuple[ActionOutcome, ...]:
        if await self.intent(tenant_id, action_intent_id) is None:
            return ()
        return tuple(outcome for _, outcome in sorted(self._records.outcomes[action_intent_id].items()))

    async def list_executions(
        self, tenant_id: str, where: ExecutionFilter, limit: int, page_token: str | None
    ) -> Page[ExecutionRow]:
        found = [
            intent
            for intent in self._records.intents.values()
            if intent.tenant_id == tenant_id
            and _reaches(where.account_ids, intent.account_id)
            and where.action_type in (None, intent.action_type)
            and where.proposed_by in (None, str(intent.proposed_by))
            and where.status in (None, self._wire_status(intent), f"INTENT:{intent.status}")
        ]
        page = _page("executions", tenant_id, where, found, _by_id, limit, page_token, newest_first=True)
        rows = []
        for intent in page.items:
            attempt = self._records.attempts.get(intent.action_intent_id)
            rows.append(ExecutionRow(intent=intent, attempt=attempt, outcome=self._latest_outcome(attempt)))
        return Page(tuple(rows), page.next_token)

    def _wire_status(self, intent: ActionIntent) -> str:
        attempt = self._records.attempts.get(intent.action_intent_id)
        if attempt is not None:
            return attempt.status.value
        return "PENDING" if intent.status is IntentStatus.APPROVED else intent.status.value

    async def due(self, now_ms: int, limit: int, after: str = "") -> tuple[RunDue, ...]:
        found = [
            RunDue(
                action_intent_id=intent.action_intent_id,
                tenant_id=intent.tenant_id,
                run_number=attempt.run_number if attempt else 1,
                status=attempt.status if attempt else None,
                resume_at=attempt.resume_at if attempt else 0,
                deadline_at=attempt.deadline_at if attempt else 0,
            )
            for intent in self._records.intents.values()
            for attempt in (self._records.attempts.get(intent.action_intent_id),)
            if intent.action_intent_id > after and _is_due(intent, attempt, now_ms)
        ]
        return tuple(sorted(found, key=lambda run: run.action_intent_id)[:limit])

    async def expired(self, now_ms: int, limit: int, after: str = "") -> tuple[ActionIntent, ...]:
        found = [
            intent
            for intent in self._records.intents.values()
            if intent.status in _UNSTARTED
            and intent.action_intent_id > after
            and intent.action_intent_id not in self._records.attempts
            and is_expired(intent, now_ms)
        ]
        return tuple(sorted(found, key=lambda intent: intent.action_intent_id)[:limit])

    # -- registry, switches, budgets, policies -------------------------------------------------------------------

    async def action_type(self, tenant_id: str, action_type: str, version: int | None = None) -> ActionType | None:
        versions = self._records.registry.get((tenant_id, action_type), [])
        wanted = len(versions) if version is None else version
        return versions[wanted - 1] if 1 <= wanted <= len(versions) else None

    async def list_action_types(self, tenant_id: str, limit: int, page_token: str | None) -> Page[ActionType]:
        found = [
            versions[-1]
            for (owner, _), versions in self._records.registry.items()
            if owner in ("", tenant_id) and versions
        ]
        return _page("action-types", tenant_id, None, found, _by_name, limit, page_token, kinds=(str, str))

    async def switches(self, scopes: Sequence[str]) -> dict[str, KillSwitch]:
        return {scope: self._records.switches[scope] for scope in scopes if scope in self._records.switches}

    async def list_switches(self, tenant_id: str) -> tuple[KillSwitch, ...]:
        return tuple(
            switch for _, switch in sorted(self._records.switches.items()) if switch.tenant_id in ("", tenant_id)
        )

    async def runs_in_scope(
        self, tenant_id: str, scope: str, since: str, limit: int, page_token: str | None
    ) -> Page[ContainedRun]:
        since = normal(since)
        found = [
            run
            for intent in self._records.intents.values()
            if intent.tenant_id == tenant_id and scope in scopes_of(tenant_id, intent.action_type, intent.connector_id)
            for run in self._contained(intent, since)
        ]
        return _page(
            "runs", tenant_id, [scope, since], found, lambda run: run.position, limit, page_token, kinds=(str, int)
        )

    def _contained(self, intent: ActionIntent, since: str) -> list[ContainedRun]:
        action_intent_id = intent.action_intent_id
        attempt = self._records.attempts.get(action_intent_id)
        if attempt is None:
            if intent.status is not IntentStatus.APPROVED or intent.shadow:
                return []
        elif attempt.status in TERMINAL and attempt.updated_at < since:
            return []
        outcomes = [outcome for _, outcome in sorted(self._records.outcomes[action_intent_id].items())]
        permits = self._permits(action_intent_id)
        return contained_runs(
            action_intent_id, intent.account_id, intent.action_type, attempt, permits, outcomes, since
        )

    async def budgets(self, tenant_id: str) -> tuple[tuple[Budget, int], ...]:
        now_ms = self._clock.now_ms()
        return tuple(
            (budget, self._records.used(budget, now_ms))
            for (owner, _), budget in sorted(self._records.budgets.items())
            if owner == tenant_id
        )

    async def policies(self, tenant_id: str) -> PolicySet | None:
        return self._records.policies.get(tenant_id)

    # -- internal objects ----------------------------------------------------------------------------------------

    async def object_by_key(self, tenant_id: str, creation_key: str) -> InternalObject | None:
        made = self._records.creations.get((tenant_id, creation_key))
        return await self.object(tenant_id, made.object_id) if made else None

    async def object(self, tenant_id: str, object_id: str) -> InternalObject | None:
        return self._records.objects.get((tenant_id, object_id))

    async def list_objects(
        self, tenant_id: str, object_type: str, account_ids: tuple[str, ...] | None, limit: int, page_token: str | None
    ) -> Page[InternalObject]:
        found = [
            made
            for made in self._records.objects.values()
            if made.tenant_id == tenant_id
            and made.object_type == object_type
            and _reaches(account_ids, made.account_id)
        ]
        where = [object_type, account_ids]
        return _page(
            "objects", tenant_id, where, found, _by_age, limit, page_token, kinds=(str, str), newest_first=True
        )

    # -- ledger and events ---------------------------------------------------------------------------------------

    async def ledger(
        self, tenant_id: str, where: LedgerFilter, limit: int, page_token: str | None
    ) -> Page[LedgerEntry]:
        where = where.normal()
        found = [it for it in self._records.ledger if it.tenant_id == tenant_id and _selected(it, where)]
        return _page(
            "ledger", tenant_id, where, found, lambda entry: (entry.position,), limit, page_token, kinds=(int,)
        )

    async def entries_after(
        self, position: int, limit: int, tenant_id: str | None = None, action_intent_id: str | None = None
    ) -> tuple[LedgerEntry, ...]:
        return tuple(
            entry
            for entry in self._records.ledger[max(position, 0) :]
            if tenant_id in (None, entry.tenant_id) and action_intent_id in (None, entry.action_intent_id)
        )[:limit]

    async def last_position(self) -> int:
        return len(self._records.ledger)

    async def wait_beyond(self, position: int, timeout_seconds: float) -> bool:
        timer = asyncio.ensure_future(self._clock.sleep(timeout_seconds))
        try:
            while len(self._records.ledger) <= position and not timer.done() and not self._closed:
                if self._news is None:
                    self._news = asyncio.get_running_loop().create_future()
                await asyncio.wait({self._news, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        return len(self._records.ledger) > position

    async def delivery_cursor(self, name: str) -> int:
        return self._cursors.get(name, 0)

    async def move_delivery_cursor(self, name: str, position: int) -> None:
        self._cursors[name] = max(position, self._cursors.get(name, 0))

    async def undelivered(
        self, consumer: str, limit: int, after: int = 0, dead: bool = False
    ) -> tuple[Undelivered, ...]:
        return tuple(
            record
            for (name, position), record in sorted(self._undelivered.items())
            if name == consumer and position > after and record.dead is dead
        )[:limit]

    async def keep_undelivered(self, record: Undelivered) -> None:
        self._undelivered[record.consumer, record.position] = record

    async def forget_undelivered(self, consumer: str, position: int) -> None:
        self._undelivered.pop((consumer, position), None)

    async def info(self) -> StoreInfo:
        return StoreInfo(kind="memory", location="memory", schema_version=1, ledger_entries=len(self._records.ledger))


def _reaches(account_ids: tuple[str, ...] | None, account_id: str) -> bool:
    return account_ids is None or account_id in account_ids


def _is_due(intent: ActionIntent, attempt: ExecutionAttempt | None, now_ms: int) -> bool:
    if attempt is None:
        return intent.status is IntentStatus.APPROVED and not intent.shadow
    if attempt.status in (RunStatus.IN_DOUBT, RunStatus.FAILED):
        return 0 < attempt.deadline_at <= now_ms
    return attempt.status is RunStatus.RUNNING


def _selected(entry: LedgerEntry, where: LedgerFilter) -> bool:
    return (
        _reaches(where.account_ids, entry.account_id)
        and where.trace_id in (None, entry.trace_id, entry.decision_trace_id)
        and where.action_intent_id in (None, entry.action_intent_id)
        and where.event_type in (None, entry.event_type)
        and (where.from_time is None or entry.timestamp >= where.from_time)
        and (where.to_time is None or entry.timestamp < where.to_time)
    )


def _by_id(record: ActionIntent) -> Position:
    return (record.action_intent_id,)


def _by_name(entry: ActionType) -> Position:
    return (entry.action_type, entry.tenant_id)


def _by_age(made: InternalObject) -> Position:
    return (made.created_at, made.object_id)


def _page(
    listing: str,
    tenant_id: str,
    where: object,
    found: Iterable[Item],
    position: Callable[[Item], Position],
    limit: int,
    token: str | None,
    *,
    kinds: tuple[type, ...] = (str,),
    newest_first: bool = False,
) -> Page[Item]:
    """A page of a listing that is ordered by position."""
    require_limit(limit)
    ordered = sorted(found, key=position, reverse=newest_first)
    if token is not None:
        after = page_position(token, listing, tenant_id, where, kinds)
        ordered = [it for it in ordered if (position(it) < after if newest_first else position(it) > after)]
    return Page(*page_of(ordered, limit, lambda at: page_token(listing, tenant_id, where, at), position))
