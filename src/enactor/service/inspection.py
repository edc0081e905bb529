"""Reading: executions as people and programs see them, their timelines, the ledger."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from enactor.domain.attempt import ExecutionAttempt, Phase, RunStatus
from enactor.domain.errors import IntentNotFound, InvalidInput
from enactor.domain.ids import is_intent_id
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.ledger import LedgerEntry
from enactor.domain.outcome import ActionOutcome, CompensationStatus, ObjectRef
from enactor.domain.paging import named_token, unnamed_token
from enactor.domain.principal import ALL_ACCOUNTS, Permission, Principal
from enactor.domain.time import rfc3339
from enactor.ports.commands import InternalObject
from enactor.ports.store import ExecutionFilter, ExecutionRow, LedgerFilter, Page
from enactor.service.core import Core
from enactor.service.timeline import TimelineLine, timeline

EXECUTION_STATUSES: Final = (
    "PENDING_APPROVAL",
    "REJECTED",
    "PENDING",
    "RUNNING",
    "SUCCEEDED",
    "FAILED",
    "CANCELLED",
    "EXPIRED",
    "IN_DOUBT",
)


class ExecutionView(Struct, frozen=True, kw_only=True):
    """An execution as `GET /v1/executions/{id}` shows it. `explanation` is one sentence for people.

    Attributes:
        compensation_status: how taking the effect back stands.
        compensation_strategy: how it is taken back: AUTOMATIC, by a person (MANUAL), or not at all (NONE).
        compensation_note: what a person has to do, or why there is no way.
        compensation_error: why it was not taken back, or is not known to be.
        compensated_by: the undo that takes it back, or has.
        undoes: the intent that this one takes back; None unless it is an undo.
        shadow: it is evaluated and recorded only, and will never be executed.
    """

    action_intent_id: str
    account_id: str
    action_type: str
    run_number: int
    status: str
    explanation: str
    started_at: str | None
    completed_at: str | None
    external_object_refs: tuple[ObjectRef, ...]
    error_class: str | None
    error_code: str | None
    error_message: str | None
    attempt_count: int
    compensation_status: str
    trace_id: str
    decision_trace_id: str
    created_at: str
    summary: str
    compensation_strategy: str = "NONE"
    compensation_note: str = ""
    compensation_error: str | None = None
    compensated_by: str | None = None
    undoes: str | None = None
    shadow: bool = False


def execution_status(intent: ActionIntent, attempt: ExecutionAttempt | None) -> str:
    """The wire status: the run's when there is one, PENDING for what is approved and unstarted, else the intent's."""
    if attempt is not None:
        return attempt.status.value
    return "PENDING" if intent.status is IntentStatus.APPROVED else intent.status.value


def explain(intent: ActionIntent, attempt: ExecutionAttempt | None, outcome: ActionOutcome | None) -> str:
    """One sentence: where it stands and what, if anything, somebody has to do."""
    if attempt is None:
        match intent.status:
            case IntentStatus.PENDING_APPROVAL:
                needed = max(1, intent.required_approvals)
                return f"Waits for {needed} approval{'s' if needed > 1 else ''} by somebody other than its proposer."
            case IntentStatus.APPROVED if intent.shadow:
                return "Approved in shadow mode: evaluated and recorded, and never executed."
            case IntentStatus.APPROVED:
                return "Approved; waits for its turn."
            case IntentStatus.REJECTED:
                return f"Rejected: {intent.decided_reason}"
            case IntentStatus.CANCELLED:
                return "Cancelled before it started."
            case IntentStatus.EXPIRED:
                return "Expired before it started; propose it again."
    match attempt.status:
        case RunStatus.RUNNING if attempt.phase is Phase.COMPENSATION:
            return "Done in part; the partial effect is being taken back."
        case RunStatus.RUNNING if attempt.waiting_for:
            return f"Waits until {rfc3339(attempt.resume_at)}: {attempt.waiting_for}."
        case RunStatus.RUNNING:
            return "Is being executed."
        case RunStatus.SUCCEEDED:
            return f"Executed exactly as approved.{_taken_back(outcome)}"
        case RunStatus.IN_DOUBT:
            detail = f" {outcome.error_message}" if outcome and outcome.error_message else ""
            return f"It is not known whether it happened: look at the target system, then resolve it.{detail}"
        case _:
            return (outcome.error_message if outcome else None) or attempt.last_error_message or attempt.status.value


def _taken_back(outcome: ActionOutcome | None) -> str:
    undo = outcome.compensated_by if outcome else None
    if outcome is None or undo is None:
        return ""
    match outcome.compensation_status:
        case CompensationStatus.PENDING:
            return f" It is being taken back by {undo}."
        case CompensationStatus.COMPLETED:
            return f" It was taken back by {undo}."
        case CompensationStatus.FAILED:
            return f" Taking it back failed ({undo}): it stands. {outcome.compensation_error or ''}".rstrip()
        case CompensationStatus.IN_DOUBT:
            return f" It is not known whether {undo} took it back: look at the target system, then resolve that one."
        case _:
            return ""


def execution_view(
    intent: ActionIntent, attempt: ExecutionAttempt | None, outcome: ActionOutcome | None
) -> ExecutionView:
    """The view of one execution from its records."""
    compensation = outcome.compensation_status if outcome else CompensationStatus.NONE
    if attempt is not None and attempt.status is RunStatus.RUNNING and attempt.phase is Phase.COMPENSATION:
        compensation = CompensationStatus.PENDING
    ended = outcome is not None and attempt is not None and outcome.run_number == attempt.run_number
    return ExecutionView(
        action_intent_id=intent.action_intent_id,
        account_id=intent.account_id,
        action_type=intent.action_type,
        run_number=attempt.run_number if attempt else 1,
        status=execution_status(intent, attempt),
        explanation=explain(intent, attempt, outcome if ended else None),
        started_at=attempt.started_at if attempt else None,
        completed_at=outcome.completed_at if ended and outcome else None,
        external_object_refs=outcome.external_object_refs if ended and outcome else (),
        error_class=attempt.last_error_class if attempt else None,
        error_code=attempt.last_error_code if attempt else None,
        error_message=(attempt.last_error_message or None) if attempt else None,
        attempt_count=attempt.attempt_count if attempt else 0,
        compensation_status=compensation.value,
        trace_id=attempt.trace_id if attempt else intent.trace_id,
        decision_trace_id=intent.trace_id,
        created_at=intent.created_at,
        summary=intent.summary,
        compensation_strategy=intent.compensation.strategy.value,
        compensation_note=intent.compensation.note,
        compensation_error=outcome.compensation_error if ended and outcome else None,
        compensated_by=outcome.compensated_by if ended and outcome else None,
        undoes=intent.undoes.action_intent_id if intent.undoes else None,
        shadow=intent.shadow,
    )


class Inspection:
    """The readers' use cases; each shows the caller's tenant and accounts, and to a proposer only its own."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def intent(self, by: Principal, action_intent_id: str) -> ActionIntent:
        """The intent. Raises `IntentNotFound`."""
        return await self._core.visible_intent(by, action_intent_id)

    async def revisions(self, by: Principal, action_intent_id: str) -> tuple[ActionIntent, ...]:
        """Every revision, oldest first. Raises `IntentNotFound`."""
        await self._core.visible_intent(by, action_intent_id)
        return await self._core.store.revisions(by.tenant_id, action_intent_id)

    async def executions(
        self,
        by: Principal,
        *,
        account_id: str | None = None,
        status: str | None = None,
        action_type: str | None = None,
        limit: int = 50,
        page_token: str | None = None,
    ) -> Page[ExecutionView]:
        """Executions, newest first, those not started included. Raises `InvalidInput`, `InvalidPageToken`."""
        if status is not None and status not in EXECUTION_STATUSES:
            raise InvalidInput(f"A status is one of {', '.join(EXECUTION_STATUSES)}.")
        rows = await self._rows(by, account_id, status, action_type, limit, page_token)
        return Page(tuple(execution_view(row.intent, row.attempt, row.outcome) for row in rows.items), rows.next_token)

    async def intents(
        self,
        by: Principal,
        *,
        account_id: str | None = None,
        status: str | None = None,
        action_type: str | None = None,
        limit: int = 50,
        page_token: str | None = None,
    ) -> Page[ActionIntent]:
        """Intents, newest first; `status` is an intent's. Raises `InvalidInput`, `InvalidPageToken`."""
        if status is not None and status not in IntentStatus.__members__:
            raise InvalidInput(f"An intent's status is one of {', '.join(IntentStatus)}.")
        wanted = f"INTENT:{status}" if status else None
        after = unnamed_token("intents", page_token)
        rows = await self._rows(by, account_id, wanted, action_type, limit, after)
        return Page(tuple(row.intent for row in rows.items), named_token("intents", rows.next_token))

    async def _rows(
        self,
        by: Principal,
        account_id: str | None,
        status: str | None,
        action_type: str | None,
        limit: int,
        page_token: str | None,
    ) -> Page[ExecutionRow]:
        by.require(Permission.READ, Permission.READ_OWN)
        where = ExecutionFilter(
            account_ids=self.accounts(by, account_id),
            status=status,
            action_type=action_type,
            proposed_by=None if by.may(Permission.READ) else by.name,
        )
        return await self._core.store.list_executions(by.tenant_id, where, limit, page_token)

    async def execution(self, by: Principal, action_intent_id: str) -> ExecutionView:
        """One execution. Raises `IntentNotFound`."""
        intent = await self._core.visible_intent(by, action_intent_id)
        records = await self._core.store.execution(by.tenant_id, action_intent_id)
        if records is None:
            raise IntentNotFound("There is no such intent.")
        return execution_view(intent, records.attempt, records.outcome)

    async def timeline(self, by: Principal, action_intent_id: str) -> tuple[TimelineLine, ...]:
        """What happened, one readable line each, retries folded. Raises `IntentNotFound`."""
        await self._core.visible_intent(by, action_intent_id)
        entries: list[LedgerEntry] = []
        position = 0
        while page := await self._core.store.entries_after(
            position, 500, tenant_id=by.tenant_id, action_intent_id=action_intent_id
        ):
            entries += page
            position = page[-1].position
        return timeline(entries)

    async def ledger(
        self, by: Principal, where: LedgerFilter, limit: int = 50, page_token: str | None = None
    ) -> Page[LedgerEntry]:
        """Ledger entries of the caller's accounts, in order."""
        by.require(Permission.LEDGER)
        if where.action_intent_id is not None and not is_intent_id(where.action_intent_id):
            raise InvalidInput("An action_intent_id looks like ai_ and a UUIDv7.")
        account_ids = where.account_ids if where.account_ids is not None else self.accounts(by, None)
        scoped = LedgerFilter(
            account_ids=account_ids,
            trace_id=where.trace_id,
            action_intent_id=where.action_intent_id,
            event_type=where.event_type,
            from_time=where.from_time,
            to_time=where.to_time,
        )
        return await self._core.store.ledger(by.tenant_id, scoped, limit, page_token)

    async def objects(
        self, by: Principal, object_type: str, account_id: str | None, limit: int, page_token: str | None
    ) -> Page[InternalObject]:
        """Notes or tasks of the internal connector, newest first."""
        by.require(Permission.READ)
        return await self._core.store.list_objects(
            by.tenant_id, object_type, self.accounts(by, account_id), limit, page_token
        )

    @staticmethod
    def accounts(by: Principal, account_id: str | None) -> tuple[str, ...] | None:
        """Which accounts a listing covers: the one asked for if the token reaches it, else those of the token."""
        if account_id is not None:
            return (account_id,) if by.reaches(account_id) else ()
        return None if ALL_ACCOUNTS in by.account_ids else by.account_ids
