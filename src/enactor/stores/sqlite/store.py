"""The SQLite store's side of the port."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from enactor.domain.action_type import ActionType
from enactor.domain.approval import Approval
from enactor.domain.budget import Budget
from enactor.domain.containment import ContainedRun
from enactor.domain.errors import StoreFailed
from enactor.domain.intent import ActionIntent
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.ledger import LedgerEntry
from enactor.domain.outcome import ActionOutcome
from enactor.domain.paging import page_of
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
from enactor.stores.sqlite import configuration, ledger_reads, listings, point_reads
from enactor.stores.sqlite.commands import prepare
from enactor.stores.sqlite.errors import failure
from enactor.stores.sqlite.files import connect_writer, require_sqlite
from enactor.stores.sqlite.lock import FileLock
from enactor.stores.sqlite.log_store import LedgerReaders, Listing
from enactor.stores.sqlite.memory import Memory
from enactor.stores.sqlite.migrate import migrate, migrations
from enactor.stores.sqlite.news import News
from enactor.stores.sqlite.pool import Pool
from enactor.stores.sqlite.writer import Writer

_AFTER_EVERYTHING: Final = "\U0010ffff"


class SqliteStore(LedgerReaders):
    """A `Store` in one file, which this process has for itself. Opened with `open`."""

    exclusive: Final = True

    def __init__(
        self,
        path: Path,
        clock: Clock,
        lock: FileLock,
        connection: sqlite3.Connection,
        on_failure: Callable[[], None] | None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._lock = lock
        self._on_failure = on_failure
        self._news: asyncio.Future[None] | None = None
        self._writer = Writer(connection, str(path), self._publish, self._failed)
        self._position, switches = self._writer.found()
        self._memory = Memory(switches)
        self._pool = Pool(path)

    @classmethod
    async def open(cls, path: str | Path, *, clock: Clock, on_failure: Callable[[], None] | None = None) -> SqliteStore:
        """Opens a database, which is made if there is none and brought up to date if it is of an older version.

        Args:
            path: the file; beside it SQLite keeps its log, and we the lock.
            clock: tells which window a budget is in, and times out waits.
            on_failure: called once if the database cannot be trusted any more; the process has to stop and recover.

        Raises:
            StoreFailed: another process has it, it is damaged, read-only, of a newer version or no database of ours;
                the message says what to do.
        """
        file = Path(path)
        lock, connection = await asyncio.to_thread(_open, file)
        try:
            return cls(file, clock, lock, connection, on_failure)
        except BaseException as error:
            connection.close()
            lock.release()
            if isinstance(error, Exception):
                raise failure(str(path), error) from None
            raise

    async def commit(self, commands: Sequence[Command]) -> None:
        if len(commands) > MAX_COMMANDS:
            raise ValueError(f"a commit has at most {MAX_COMMANDS} commands, one for each record")
        await self._writer.commit(prepare(commands))

    async def close(self) -> None:
        await self._writer.close()
        self._wake()
        await asyncio.to_thread(self._pool.close)
        self._lock.release()

    def _publish(self, news: News) -> None:
        self._memory.learn(news)
        if news.position > self._position:
            self._position = news.position
            self._wake()

    def _failed(self) -> None:
        # What readers would find may not be on the disk, and so nobody may be told of it.
        self._pool.refusal = self._writer.failure
        self._wake()
        if self._on_failure is not None:
            self._on_failure()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
        self._news = None

    # -- intents and executions ----------------------------------------------------------------------------------

    async def intent(self, tenant_id: str, action_intent_id: str) -> ActionIntent | None:
        known = self._memory.intent(action_intent_id)
        if known is not None:
            return known if known.tenant_id == tenant_id else None
        return await self._pool.read(point_reads.intent, tenant_id, action_intent_id)

    async def revisions(self, tenant_id: str, action_intent_id: str) -> tuple[ActionIntent, ...]:
        return await self._pool.read(point_reads.revisions, tenant_id, action_intent_id)

    async def approvals(self, tenant_id: str, action_intent_id: str) -> tuple[Approval, ...]:
        return await self._pool.read(point_reads.approvals, tenant_id, action_intent_id)

    async def request(self, tenant_id: str, principal: str, key: str) -> RequestKey | None:
        return await self._pool.read(point_reads.request, tenant_id, principal, key)

    async def effect_holder(self, tenant_id: str, effect_key: str) -> str | None:
        return await self._pool.read(point_reads.effect_holder, tenant_id, effect_key)

    async def execution(self, tenant_id: str, action_intent_id: str) -> ExecutionRecords | None:
        return await self._pool.read(point_reads.execution, tenant_id, action_intent_id)

    async def outcomes(self, tenant_id: str, action_intent_id: str) -> tuple[ActionOutcome, ...]:
        return await self._pool.read(point_reads.outcomes, tenant_id, action_intent_id)

    async def list_executions(
        self, tenant_id: str, where: ExecutionFilter, limit: int, page_token: str | None
    ) -> Page[ExecutionRow]:
        listing = Listing("executions", tenant_id, where, (str,), limit, page_token)
        before = str(listing.after[0]) if listing.after else _AFTER_EVERYTHING
        rows = await self._pool.read(listings.executions, tenant_id, where, limit + 1, before)
        return Page(*page_of(rows, limit, listing.token, lambda row: (row.intent.action_intent_id,)))

    async def due(self, now_ms: int, limit: int, after: str = "") -> tuple[RunDue, ...]:
        return await self._pool.read(listings.due, now_ms, limit, after)

    async def expired(self, now_ms: int, limit: int, after: str = "") -> tuple[ActionIntent, ...]:
        return await self._pool.read(listings.expired, now_ms, limit, after)

    # -- registry, switches, budgets, policies -------------------------------------------------------------------

    async def action_type(self, tenant_id: str, action_type: str, version: int | None = None) -> ActionType | None:
        key = (tenant_id, action_type, version)
        found: ActionType | None = await self._memory.action_types.get(
            key, lambda: self._pool.read(point_reads.action_type, *key)
        )
        return found

    async def list_action_types(self, tenant_id: str, limit: int, page_token: str | None) -> Page[ActionType]:
        listing = Listing("action-types", tenant_id, None, (str, str), limit, page_token)
        found = await self._pool.read(listings.action_types, tenant_id, limit + 1, listing.after or ("", ""))
        return Page(*page_of(found, limit, listing.token, lambda entry: (entry.action_type, entry.tenant_id)))

    async def switches(self, scopes: Sequence[str]) -> dict[str, KillSwitch]:
        known = self._memory.switches
        return {scope: known[scope] for scope in scopes if scope in known}

    async def list_switches(self, tenant_id: str) -> tuple[KillSwitch, ...]:
        return tuple(it for _, it in sorted(self._memory.switches.items()) if it.tenant_id in ("", tenant_id))

    async def runs_in_scope(
        self, tenant_id: str, scope: str, since: str, limit: int, page_token: str | None
    ) -> Page[ContainedRun]:
        since = normal(since)
        listing = Listing("runs", tenant_id, [scope, since], (str, int), limit, page_token)
        found = await self._pool.read(
            listings.runs_in_scope, tenant_id, scope, since, limit + 1, listing.after or ("", 0)
        )
        return Page(*page_of(found, limit, listing.token, lambda run: run.position))

    async def budgets(self, tenant_id: str) -> tuple[tuple[Budget, int], ...]:
        return await self._pool.read(point_reads.budgets, tenant_id, self._clock.now_ms())

    async def policies(self, tenant_id: str) -> PolicySet | None:
        found: PolicySet | None = await self._memory.policies.get(
            tenant_id, lambda: self._pool.read(point_reads.policies, tenant_id)
        )
        return found

    # -- internal objects ----------------------------------------------------------------------------------------

    async def object_by_key(self, tenant_id: str, creation_key: str) -> InternalObject | None:
        return await self._pool.read(point_reads.object_by_key, tenant_id, creation_key)

    async def object(self, tenant_id: str, object_id: str) -> InternalObject | None:
        return await self._pool.read(point_reads.internal_object, tenant_id, object_id)

    async def list_objects(
        self, tenant_id: str, object_type: str, account_ids: tuple[str, ...] | None, limit: int, page_token: str | None
    ) -> Page[InternalObject]:
        listing = Listing("objects", tenant_id, [object_type, account_ids], (str, str), limit, page_token)
        before = listing.after or (_AFTER_EVERYTHING, _AFTER_EVERYTHING)
        found = await self._pool.read(listings.objects, tenant_id, object_type, account_ids, limit + 1, before)
        return Page(*page_of(found, limit, listing.token, lambda made: (made.created_at, made.object_id)))

    # -- ledger and events ---------------------------------------------------------------------------------------

    async def entries_after(
        self, position: int, limit: int, tenant_id: str | None = None, action_intent_id: str | None = None
    ) -> tuple[LedgerEntry, ...]:
        if position >= self._position:
            return ()
        where = LedgerFilter(action_intent_id=action_intent_id)
        return await self._pool.read(ledger_reads.entries, tenant_id, where, limit, position)

    async def last_position(self) -> int:
        return self._position

    async def wait_beyond(self, position: int, timeout_seconds: float) -> bool:
        timer = asyncio.ensure_future(self._clock.sleep(timeout_seconds))
        try:
            while self._position <= position and not timer.done() and self._writer.failure is None:
                if self._news is None:
                    self._news = asyncio.get_running_loop().create_future()
                await asyncio.wait({self._news, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        return self._position > position

    async def delivery_cursor(self, name: str) -> int:
        return await self._pool.read(point_reads.delivery_cursor, name)

    async def move_delivery_cursor(self, name: str, position: int) -> None:
        await self._writer.commit(prepare([configuration.MoveCursor(name, position)]))

    async def undelivered(
        self, consumer: str, limit: int, after: int = 0, dead: bool = False
    ) -> tuple[Undelivered, ...]:
        return await self._pool.read(point_reads.undelivered, consumer, limit, after, dead=dead)

    async def keep_undelivered(self, record: Undelivered) -> None:
        await self._writer.commit(prepare([configuration.KeepUndelivered(record)]))

    async def forget_undelivered(self, consumer: str, position: int) -> None:
        await self._writer.commit(prepare([configuration.ForgetUndelivered(consumer, position)]))

    async def scrub(self) -> None:
        """See `Store.scrub`. Writes the whole database anew, and empties the write-ahead log."""
        await self._writer.scrub()

    async def info(self) -> StoreInfo:
        version, entries = await self._pool.read(point_reads.counts)
        return StoreInfo(kind="sqlite", location=str(self._path), schema_version=version, ledger_entries=entries)


def _open(path: Path) -> tuple[FileLock, sqlite3.Connection]:
    require_sqlite()
    try:
        lock = FileLock(path)
    except OSError as error:
        raise failure(str(path), error) from None
    try:
        connection = connect_writer(path)
        try:
            migrate(connection, str(path), migrations())
        except BaseException:
            connection.close()
            raise
    except BaseException as error:
        lock.release()
        if isinstance(error, sqlite3.Error | OSError | StoreFailed):
            raise failure(str(path), error) from None
        raise
    return lock, connection
