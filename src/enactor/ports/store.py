"""The store: one writing verb, and readers.

Every reader names its tenant, and answers for another tenant's object as for none. Where a decision hangs on a read
(`execution`, `switches`, `runs_in_scope`, `intent`) it is strongly consistent: it sees every acknowledged commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from enactor.domain.action_type import ActionType
from enactor.domain.approval import Approval
from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.budget import Budget
from enactor.domain.containment import ContainedRun
from enactor.domain.intent import ActionIntent
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.ledger import LedgerEntry, LedgerEvent
from enactor.domain.log import LogCheckpoint, LogHead, LogKey, LogLeaf, LogRow
from enactor.domain.merkle import Place
from enactor.domain.outcome import ActionOutcome
from enactor.domain.permit import WritePermit
from enactor.domain.policy import PolicySet
from enactor.domain.time import normal
from enactor.ports.commands import Command, InternalObject, RequestKey

Item = TypeVar("Item")


class Page(Struct, Generic[Item], frozen=True):
    """Part of a listing. `next_token` is opaque, bound to listing, filter and tenant; None at the end."""

    items: tuple[Item, ...]
    next_token: str | None


class ExecutionRecords(Struct, frozen=True, kw_only=True):
    """Everything recorded about one intent's execution, read at one moment.

    `outcome` is the latest revision of the current run's.
    """

    intent: ActionIntent
    attempt: ExecutionAttempt | None
    permits: tuple[WritePermit, ...]
    outcome: ActionOutcome | None
    cancel_requested: bool


class ExecutionRow(Struct, frozen=True, kw_only=True):
    """One line of a listing of executions; `attempt` and `outcome` are None until there is one."""

    intent: ActionIntent
    attempt: ExecutionAttempt | None
    outcome: ActionOutcome | None


class ExecutionFilter(Struct, frozen=True, kw_only=True):
    """Which executions a listing wants. `account_ids` None means every account of the tenant.

    `status` is a wire status: a run's; or PENDING for an approved intent that has not started, or an unstarted intent's
    own; prefixed `INTENT:` it is the intent's own whatever became of the run. `proposed_by` is `str(PrincipalRef)`.
    """

    account_ids: tuple[str, ...] | None = None
    status: str | None = None
    action_type: str | None = None
    proposed_by: str | None = None


class LedgerFilter(Struct, frozen=True, kw_only=True):
    """Which entries a ledger query wants; instants are RFC 3339, `from_time` included and `to_time` excluded.

    `trace_id` matches the execution trace or the decision trace.
    """

    account_ids: tuple[str, ...] | None = None
    trace_id: str | None = None
    action_intent_id: str | None = None
    event_type: LedgerEvent | None = None
    from_time: str | None = None
    to_time: str | None = None

    def normal(self) -> LedgerFilter:
        """The same filter with instants that compare as text. Raises `ValueError` when one is not RFC 3339."""
        return msgspec.structs.replace(
            self,
            from_time=normal(self.from_time) if self.from_time else None,
            to_time=normal(self.to_time) if self.to_time else None,
        )


class RunDue(Struct, frozen=True, kw_only=True):
    """A run that somebody should look after: approved and not started, waiting, or past its deadline."""

    action_intent_id: str
    tenant_id: str
    run_number: int
    status: RunStatus | None
    resume_at: int
    deadline_at: int


class Undelivered(Struct, frozen=True, kw_only=True):
    """An event that a consumer has not taken, after at least one attempt.

    Attributes:
        consumer: the name of its cursor.
        position: the event's place in the store's order; with `consumer` it names the record.
        tenant_id: whose event it is.
        attempts: how many were made, from 1.
        retry_at: when the next one is due, epoch milliseconds.
        failed_at: when the last one failed, RFC 3339.
        error: why, safe to show.
        dead: whether it was given up; nobody tries a dead letter again by himself.
    """

    consumer: str
    position: int
    entry_id: str
    tenant_id: str
    attempts: int
    retry_at: int
    failed_at: str
    error: str
    dead: bool = False


class StoreInfo(Struct, frozen=True, kw_only=True):
    """What `doctor` shows of a store; no secret is in it."""

    kind: str
    location: str
    schema_version: int
    ledger_entries: int


class LedgerReader(Protocol):
    """What a ledger and its logs, the Merkle trees over it, are checked with."""

    async def ledger(
        self, tenant_id: str, where: LedgerFilter, limit: int, page_token: str | None
    ) -> Page[LedgerEntry]:
        """Entries in the order of their position."""
        ...

    async def log_feed(self, position: int, limit: int) -> tuple[LogRow, ...]:
        """What the logs need of the entries of all tenants after a position, in order; see `entries_after`."""
        ...

    async def log_head(self, tenant_id: str) -> LogHead | None:
        """Where a tenant's log ends; None while nothing is in it."""
        ...

    async def log_heads(self, limit: int, after: str | None = None) -> tuple[LogHead, ...]:
        """The ends of all logs, by tenant id, from after the tenant `after` on."""
        ...

    async def log_tiles(self, tenant_id: str, places: Sequence[Place]) -> dict[Place, bytes]:
        """Tiles of a tenant's log, by level and number. Those that are not there are left out."""
        ...

    async def log_leaves(self, tenant_id: str, entry_ids: Sequence[str]) -> dict[str, LogLeaf]:
        """Where entries are in a tenant's log, by entry id. Those that are not in it are left out."""
        ...

    async def log_checkpoint(self, tenant_id: str, size: int | None = None) -> LogCheckpoint | None:
        """The checkpoint of a size; the newest without one."""
        ...

    async def log_checkpoints(self, tenant_id: str, limit: int, below: int | None = None) -> tuple[LogCheckpoint, ...]:
        """Checkpoints, the largest first; only those of a size below `below`, if given."""
        ...

    async def log_keys(self, tenant_id: str) -> tuple[LogKey, ...]:
        """Every key that was published for a tenant's checkpoints, by the time it was taken into use."""
        ...


class Store(LedgerReader, Protocol):
    """A place for everything Enactor knows. `commit` is the one way to write."""

    @property
    def exclusive(self) -> bool:
        """Whether it admits one process at a time, so that whoever had it open before is proven dead."""
        ...

    @property
    def log_batch(self) -> int:
        """How many leaves one `AppendToLog` may carry."""
        ...

    async def commit(self, commands: Sequence[Command]) -> None:
        """Does all of `commands`, durably, or none of them.

        Returns only when the commit would survive a crash of process and machine. Concurrent commits may share a
        physical one; a conflict of one never disturbs another.

        Raises:
            Conflict: a condition did not hold; nothing happened.
            StoreFailed: the store cannot tell whether it happened; the process must stop and recover.
        """
        ...

    async def close(self) -> None:
        """Finishes what was accepted and lets go of the store. Closing twice is closing once."""
        ...

    # -- intents and executions ----------------------------------------------------------------------------------

    async def intent(self, tenant_id: str, action_intent_id: str) -> ActionIntent | None:
        """The intent as it is now."""
        ...

    async def revisions(self, tenant_id: str, action_intent_id: str) -> tuple[ActionIntent, ...]:
        """The last record of each revision, oldest first; empty when there is no such intent."""
        ...

    async def approvals(self, tenant_id: str, action_intent_id: str) -> tuple[Approval, ...]:
        """Every decision, in order."""
        ...

    async def request(self, tenant_id: str, principal: str, key: str) -> RequestKey | None:
        """What was stored under an `Idempotency-Key`."""
        ...

    async def effect_holder(self, tenant_id: str, effect_key: str) -> str | None:
        """The id of the intent that holds an effect key."""
        ...

    async def execution(self, tenant_id: str, action_intent_id: str) -> ExecutionRecords | None:
        """Everything recorded about one execution, at one moment."""
        ...

    async def outcomes(self, tenant_id: str, action_intent_id: str) -> tuple[ActionOutcome, ...]:
        """Every outcome revision of every run, in order."""
        ...

    async def list_executions(
        self, tenant_id: str, where: ExecutionFilter, limit: int, page_token: str | None
    ) -> Page[ExecutionRow]:
        """Intents with their executions, newest first. Raises `InvalidPageToken`."""
        ...

    async def due(self, now_ms: int, limit: int, after: str = "") -> tuple[RunDue, ...]:
        """Runs of every tenant that somebody should look after, in order of intent id, from after `after` on.

        Approved intents that never started (status None), RUNNING runs, and those whose `deadline_at` is not 0 and has
        passed of the IN_DOUBT ones and of the FAILED ones, whose compensation is in doubt; shadow intents never.
        """
        ...

    async def expired(self, now_ms: int, limit: int, after: str = "") -> tuple[ActionIntent, ...]:
        """Intents that are past their expiry while pending or approved, and never started, in order of their id.

        `after`: from after that id on. A `now_ms` far in the future asks for all that never started.
        """
        ...

    # -- registry, switches, budgets, policies -------------------------------------------------------------------

    async def action_type(self, tenant_id: str, action_type: str, version: int | None = None) -> ActionType | None:
        """One version of an entry, the latest without `version`. `tenant_id` "" asks for the platform's own."""
        ...

    async def list_action_types(self, tenant_id: str, limit: int, page_token: str | None) -> Page[ActionType]:
        """The latest version of each entry of the platform and of the tenant, by name."""
        ...

    async def switches(self, scopes: Sequence[str]) -> dict[str, KillSwitch]:
        """The switches that were ever set, of those scopes."""
        ...

    async def list_switches(self, tenant_id: str) -> tuple[KillSwitch, ...]:
        """The switches of the platform and of the tenant that were ever set, by scope."""
        ...

    async def runs_in_scope(
        self, tenant_id: str, scope: str, since: str, limit: int, page_token: str | None
    ) -> Page[ContainedRun]:
        """The tenant's runs in a switch's scope, for the containment report; strongly consistent.

        Every run that is approved and unstarted, RUNNING or IN_DOUBT, and those that ended at or after `since`, whether
        or not a later run of the same intent followed; in the order of intent id and run number.
        """
        ...

    async def budgets(self, tenant_id: str) -> tuple[tuple[Budget, int], ...]:
        """The tenant's budgets by action type, each with what its current window has used (see `now_ms` of starts)."""
        ...

    async def policies(self, tenant_id: str) -> PolicySet | None:
        """The tenant's own policies."""
        ...

    # -- internal objects ----------------------------------------------------------------------------------------

    async def object_by_key(self, tenant_id: str, creation_key: str) -> InternalObject | None:
        """The internal object that a key made."""
        ...

    async def object(self, tenant_id: str, object_id: str) -> InternalObject | None:
        """The internal object."""
        ...

    async def list_objects(
        self, tenant_id: str, object_type: str, account_ids: tuple[str, ...] | None, limit: int, page_token: str | None
    ) -> Page[InternalObject]:
        """Internal objects, newest first."""
        ...

    # -- ledger and events ---------------------------------------------------------------------------------------

    async def entries_after(
        self, position: int, limit: int, tenant_id: str | None = None, action_intent_id: str | None = None
    ) -> tuple[LedgerEntry, ...]:
        """Entries of one tenant or (None) of all, after a position, in order: streams, outbox and verifier read it.

        Entries become visible in the order of their positions: whoever has read up to one has missed none before it.
        """
        ...

    async def last_position(self) -> int:
        """The position of the newest entry; 0 in an empty store."""
        ...

    async def wait_beyond(self, position: int, timeout_seconds: float) -> bool:
        """Returns True soon after an entry beyond `position` is durable, False after the timeout."""
        ...

    async def delivery_cursor(self, name: str) -> int:
        """How far a consumer of the events has come; 0 at first."""
        ...

    async def move_delivery_cursor(self, name: str, position: int) -> None:
        """Remembers how far a consumer has come. Never moves backwards."""
        ...

    async def undelivered(
        self, consumer: str, limit: int, after: int = 0, dead: bool = False
    ) -> tuple[Undelivered, ...]:
        """What a consumer has not taken, from after the position `after` on, in order: waiting, or dead letters."""
        ...

    async def keep_undelivered(self, record: Undelivered) -> None:
        """Remembers an event that was not taken; under the same consumer and position it replaces the record."""
        ...

    async def forget_undelivered(self, consumer: str, position: int) -> None:
        """Forgets the record, if there is one: the event was taken after all, or is not wanted any more."""
        ...

    # -- operations ----------------------------------------------------------------------------------------------

    async def scrub(self) -> None:
        """Removes from the store's own files what is left in them of data that was erased or replaced.

        It may take long and holds up every commit. What a store cannot reach (backups, a file system's or a provider's
        copies) its documentation names. Raises `StoreFailed`.
        """
        ...

    async def info(self) -> StoreInfo:
        """What `doctor` shows. Raises `StoreFailed` when the store cannot be read."""
        ...
