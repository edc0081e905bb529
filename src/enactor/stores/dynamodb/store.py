"""The DynamoDB store's side of the port."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from enactor.domain.action_type import ActionType
from enactor.domain.approval import Approval
from enactor.domain.budget import Budget
from enactor.domain.containment import ContainedRun
from enactor.domain.errors import StoreFailed
from enactor.domain.intent import ActionIntent
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.ledger import LedgerEntry
from enactor.domain.outcome import ActionOutcome
from enactor.domain.paging import Position, page_of, page_position, page_token, require_limit
from enactor.domain.policy import PolicySet
from enactor.domain.time import normal
from enactor.ports.artifacts import ArtifactStore
from enactor.ports.clock import Clock, Randomness
from enactor.ports.commands import MAX_COMMANDS, Command, EraseIntent, InternalObject, RequestKey
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
from enactor.stores.dynamodb.book import Shape
from enactor.stores.dynamodb.client import Dynamo, Patience, Sleep, sdk_client
from enactor.stores.dynamodb.consumers import Consumers
from enactor.stores.dynamodb.containment import Report
from enactor.stores.dynamodb.feed import Feed
from enactor.stores.dynamodb.large import LargeRecords
from enactor.stores.dynamodb.listings import Lister
from enactor.stores.dynamodb.log_reads import LogReaders
from enactor.stores.dynamodb.migrate import SCHEMA_VERSION, layout
from enactor.stores.dynamodb.reads import Reader
from enactor.stores.dynamodb.searches import Searches
from enactor.stores.dynamodb.writer import Writer

_Item = TypeVar("_Item")


class DynamoStore(LogReaders):
    """A `Store` in seven tables, for any number of processes. Opened with `open`."""

    DEFAULT_PREFIX: Final = "cc-native"
    exclusive: Final = False

    def __init__(
        self,
        dynamo: Dynamo,
        shape: Shape,
        location: str,
        clock: Clock,
        randomness: Randomness,
        poll_seconds: float,
        on_failure: Callable[[], None] | None,
        large: LargeRecords,
    ) -> None:
        self._dynamo = dynamo
        self._large = large
        self._location = location
        self._clock = clock
        searches = Searches(dynamo, shape)
        self._reader = Reader(dynamo, searches)
        self._feed = Feed(dynamo, shape, clock, randomness, poll_seconds)
        self._lister = Lister(dynamo, shape, self._reader, self._feed)
        self._report = Report(dynamo, shape, self._reader)
        self._consumers = Consumers(dynamo)
        self._writer = Writer(dynamo, shape, randomness, searches, self._feed.written, on_failure)
        self._closed = False

    @classmethod
    async def open(
        cls,
        region: str,
        *,
        clock: Clock,
        randomness: Randomness,
        prefix: str = DEFAULT_PREFIX,
        endpoint: str | None = None,
        client: Any = None,
        shape: Shape | None = None,
        sleep: Sleep | None = None,
        poll_seconds: float = 1.0,
        on_failure: Callable[[], None] | None = None,
        artifacts: ArtifactStore | None = None,
    ) -> DynamoStore:
        """Opens the store of a region.

        Args:
            clock: tells which window a budget is in, and times out waits.
            randomness: makes tokens and jitter.
            prefix: of the tables' names.
            endpoint: instead of the region's own, or what `AWS_ENDPOINT_URL` says.
            client: botocore's, shared with others; without one the store makes its own, and closes it.
            shape: how a new store is laid out; an existing one stays as it is.
            sleep: what pauses before a call is made again; the clock's, without one.
            poll_seconds: how often a wait looks for what other processes have written.
            on_failure: called when the store could not do a commit, or cannot tell whether it happened.
            artifacts: where intents go that do not fit into an item; without it they are refused.

        Raises:
            ConfigurationError: the SDK is not installed, or its settings are wrong.
            StoreFailed: there are no such tables, or they cannot be used.
        """
        patience = Patience(sleep or clock.sleep, randomness)
        shared = client is not None
        large = LargeRecords(artifacts)
        made = client if shared else sdk_client("dynamodb", region, endpoint)
        dynamo = Dynamo(made, prefix, patience, owned=not shared, whole=large.whole)
        try:
            known = await layout(dynamo, shape or Shape())
        except BaseException:
            dynamo.close()
            raise
        return cls(dynamo, known, f"{region}/{prefix}", clock, randomness, poll_seconds, on_failure, large)

    async def commit(self, commands: Sequence[Command]) -> None:
        if self._closed:
            raise StoreFailed("The store is closed.")
        if len(commands) > MAX_COMMANDS:
            raise ValueError(f"a commit has at most {MAX_COMMANDS} commands, one for each record")
        await self._large.put_aside(commands)
        erased = [it for it in commands if isinstance(it, EraseIntent)]
        aside = {it.action_intent_id: await self._reader.put_aside(it.tenant_id, it.action_intent_id) for it in erased}
        if commands:
            await self._writer.commit(tuple(commands))
        for it in erased:
            await self._large.forget(it.tenant_id, aside[it.action_intent_id])

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        self._feed.close()
        await self._feed.idle()
        self._dynamo.close()

    # -- intents and executions ----------------------------------------------------------------------------------

    async def intent(self, tenant_id: str, action_intent_id: str) -> ActionIntent | None:
        return await self._reader.intent(tenant_id, action_intent_id)

    async def revisions(self, tenant_id: str, action_intent_id: str) -> tuple[ActionIntent, ...]:
        return await self._reader.revisions(tenant_id, action_intent_id)

    async def approvals(self, tenant_id: str, action_intent_id: str) -> tuple[Approval, ...]:
        return await self._reader.approvals(tenant_id, action_intent_id)

    async def request(self, tenant_id: str, principal: str, key: str) -> RequestKey | None:
        return await self._reader.request(tenant_id, principal, key)

    async def effect_holder(self, tenant_id: str, effect_key: str) -> str | None:
        return await self._reader.effect_holder(tenant_id, effect_key)

    async def execution(self, tenant_id: str, action_intent_id: str) -> ExecutionRecords | None:
        return await self._reader.execution(tenant_id, action_intent_id)

    async def outcomes(self, tenant_id: str, action_intent_id: str) -> tuple[ActionOutcome, ...]:
        return await self._reader.outcomes(tenant_id, action_intent_id)

    async def list_executions(
        self, tenant_id: str, where: ExecutionFilter, limit: int, page_token: str | None
    ) -> Page[ExecutionRow]:
        require_limit(limit)
        before = _at(page_token, "executions", tenant_id, where, (str,))
        rows = await self._lister.executions(tenant_id, where, str(before[0]) if before else None, limit + 1)
        return _page(rows, limit, "executions", tenant_id, where, lambda row: (row.intent.action_intent_id,))

    async def due(self, now_ms: int, limit: int, after: str = "") -> tuple[RunDue, ...]:
        return await self._lister.due(now_ms, limit, after)

    async def expired(self, now_ms: int, limit: int, after: str = "") -> tuple[ActionIntent, ...]:
        return await self._lister.expired(now_ms, limit, after)

    # -- registry, switches, budgets, policies -------------------------------------------------------------------

    async def action_type(self, tenant_id: str, action_type: str, version: int | None = None) -> ActionType | None:
        return await self._reader.action_type(tenant_id, action_type, version)

    async def list_action_types(self, tenant_id: str, limit: int, page_token: str | None) -> Page[ActionType]:
        require_limit(limit)
        after = _at(page_token, "action-types", tenant_id, None, (str, str))
        found = [entry for owner in {"", tenant_id} for entry in await self._reader.latest_action_types(owner)]
        ordered = sorted(found, key=_by_name)
        rest = [entry for entry in ordered if after is None or _by_name(entry) > after]
        return _page(rest[: limit + 1], limit, "action-types", tenant_id, None, _by_name)

    async def switches(self, scopes: Sequence[str]) -> dict[str, KillSwitch]:
        return await self._reader.switches(scopes)

    async def list_switches(self, tenant_id: str) -> tuple[KillSwitch, ...]:
        return await self._reader.list_switches(tenant_id)

    async def runs_in_scope(
        self, tenant_id: str, scope: str, since: str, limit: int, page_token: str | None
    ) -> Page[ContainedRun]:
        require_limit(limit)
        since = normal(since)
        where = [scope, since]
        at = _at(page_token, "runs", tenant_id, where, (str, int))
        after = (str(at[0]), int(at[1])) if at else ("", 0)
        runs = await self._report.runs(tenant_id, scope, since, after, limit + 1)
        return _page(runs, limit, "runs", tenant_id, where, lambda run: run.position)

    async def budgets(self, tenant_id: str) -> tuple[tuple[Budget, int], ...]:
        return await self._reader.budgets(tenant_id, self._clock.now_ms())

    async def policies(self, tenant_id: str) -> PolicySet | None:
        return await self._reader.policies(tenant_id)

    # -- internal objects ----------------------------------------------------------------------------------------

    async def object_by_key(self, tenant_id: str, creation_key: str) -> InternalObject | None:
        return await self._reader.object_by_key(tenant_id, creation_key)

    async def object(self, tenant_id: str, object_id: str) -> InternalObject | None:
        return await self._reader.object(tenant_id, object_id)

    async def list_objects(
        self, tenant_id: str, object_type: str, account_ids: tuple[str, ...] | None, limit: int, page_token: str | None
    ) -> Page[InternalObject]:
        require_limit(limit)
        where = [object_type, account_ids]
        at = _at(page_token, "objects", tenant_id, where, (str, str))
        before = (str(at[0]), str(at[1])) if at else None
        made = await self._lister.objects(tenant_id, object_type, account_ids, before, limit + 1)
        return _page(made, limit, "objects", tenant_id, where, lambda it: (it.created_at, it.object_id))

    # -- ledger and events ---------------------------------------------------------------------------------------

    async def ledger(
        self, tenant_id: str, where: LedgerFilter, limit: int, page_token: str | None
    ) -> Page[LedgerEntry]:
        require_limit(limit)
        after = _at(page_token, "ledger", tenant_id, where, (int,))
        entries = await self._lister.ledger(tenant_id, where, int(after[0]) if after else 0, limit + 1)
        return _page(entries, limit, "ledger", tenant_id, where, lambda entry: (entry.position,))

    async def entries_after(
        self, position: int, limit: int, tenant_id: str | None = None, action_intent_id: str | None = None
    ) -> tuple[LedgerEntry, ...]:
        if action_intent_id is not None:
            return await self._lister.of_intent(tenant_id, action_intent_id, position, limit)
        return await self._feed.after(position, limit, tenant_id)

    async def last_position(self) -> int:
        return await self._feed.last_position()

    async def wait_beyond(self, position: int, timeout_seconds: float) -> bool:
        return await self._feed.wait_beyond(position, timeout_seconds)

    async def delivery_cursor(self, name: str) -> int:
        return await self._consumers.cursor(name)

    async def move_delivery_cursor(self, name: str, position: int) -> None:
        await self._consumers.move_cursor(name, position)

    async def undelivered(
        self, consumer: str, limit: int, after: int = 0, dead: bool = False
    ) -> tuple[Undelivered, ...]:
        return await self._consumers.undelivered(consumer, limit, after, dead=dead)

    async def keep_undelivered(self, record: Undelivered) -> None:
        await self._consumers.keep(record)

    async def forget_undelivered(self, consumer: str, position: int) -> None:
        await self._consumers.forget(consumer, position)

    async def info(self) -> StoreInfo:
        return StoreInfo(
            kind="dynamodb",
            location=self._location,
            schema_version=SCHEMA_VERSION,
            ledger_entries=await self.last_position(),
        )


def _by_name(entry: ActionType) -> tuple[str, str]:
    return (entry.action_type, entry.tenant_id)


def _at(token: str | None, listing: str, tenant_id: str, where: object, kinds: tuple[type, ...]) -> Position | None:
    return page_position(token, listing, tenant_id, where, kinds) if token is not None else None


def _page(
    found: Sequence[_Item],
    limit: int,
    listing: str,
    tenant_id: str,
    where: object,
    position: Callable[[_Item], Position],
) -> Page[_Item]:
    return Page(*page_of(found, limit, lambda at: page_token(listing, tenant_id, where, at), position))
