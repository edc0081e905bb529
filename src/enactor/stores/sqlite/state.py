"""What the writer knows of intents: the facts that conditions ask for, read once and kept while they are in use.

This process alone writes to the database, so what it has read or written stays true.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.intent import ActionIntent
from enactor.domain.permit import WritePermit
from enactor.domain.principal import PrincipalRef
from enactor.stores.sqlite import codec
from enactor.stores.sqlite.rows import Row, Rows

_KEPT: Final = 2_048

_WAITS: Final = frozenset({"PENDING_APPROVAL", "APPROVED"})
_OPEN: Final = frozenset({RunStatus.RUNNING, RunStatus.IN_DOUBT})

_EXISTS: Final = (
    "SELECT EXISTS (SELECT 1 FROM intents WHERE action_intent_id = ?1) OR "
    "EXISTS (SELECT 1 FROM ledger WHERE action_intent_id = ?1 AND action_intent_id <> '')"
)
_UNSTARTED: Final = """
SELECT tenant_id, account_id, action_type, connector_id, proposed_by,
    CASE status WHEN 'PENDING' THEN 'APPROVED' ELSE status END, shadow, expires_at_epoch, revision, version,
    approval_digest, effect_key, sequence, noted
FROM unfinished WHERE action_intent_id = ? AND status IN ('PENDING', 'PENDING_APPROVAL')
"""
_INTENT: Final = "SELECT body FROM intents WHERE action_intent_id = ?"
_SEQUENCE: Final = (
    "SELECT sequence FROM ledger WHERE action_intent_id = ? AND action_intent_id <> '' ORDER BY position DESC LIMIT 1"
)
_ATTEMPT: Final = "SELECT body FROM attempts WHERE action_intent_id = ?"
_PERMITS: Final = "SELECT body FROM permits WHERE action_intent_id = ?"
_CANCELS: Final = "SELECT run_number FROM cancel_requests WHERE action_intent_id = ?"
_OUTCOMES: Final = "SELECT run_number, outcome_revision FROM outcomes WHERE action_intent_id = ?"
_APPROVALS: Final = "SELECT body FROM approvals WHERE action_intent_id = ? ORDER BY number"


class Facts(Struct, frozen=True):
    """What conditions and the listing of what is not over ask of an intent."""

    tenant_id: str
    account_id: str
    action_type: str
    connector_id: str
    proposed_by: str
    status: str
    shadow: int
    expires_at_epoch: int
    revision: int
    version: int
    approval_digest: str
    effect_key: str | None

    @classmethod
    def of(cls, intent: ActionIntent) -> Facts:
        """The facts of an intent."""
        return cls(
            intent.tenant_id,
            intent.account_id,
            intent.action_type,
            intent.connector_id,
            str(intent.proposed_by),
            intent.status.value,
            int(intent.shadow),
            intent.expires_at_epoch,
            intent.revision,
            intent.version,
            intent.approval_digest,
            intent.effect_key,
        )


class IntentState:
    """One intent, its lock, its calls and what was said about it; `facts` is None where there is no such intent.

    `decisions` is None until somebody asks for them.
    """

    __slots__ = ("attempt", "cancelled_runs", "decisions", "facts", "outcomes", "permits", "sequence", "traces")

    def __init__(self) -> None:
        self.facts: Facts | None = None
        self.attempt: ExecutionAttempt | None = None
        self.permits: dict[int, WritePermit] = {}
        self.cancelled_runs: set[int] = set()
        self.outcomes: set[tuple[int, int]] = set()
        self.decisions: dict[tuple[int, int, PrincipalRef], int] | None = None
        self.sequence = 0
        self.traces: set[str] = set()

    @property
    def unstarted(self) -> bool:
        """Whether it is pending or approved and has no run."""
        return self.attempt is None and self.facts is not None and self.facts.status in _WAITS

    @property
    def unfinished(self) -> bool:
        """Whether it is listed among what is not over: what failed too, while its compensation is looked up."""
        attempt = self.attempt
        if attempt is None:
            return self.unstarted
        return attempt.status in _OPEN or (attempt.status is RunStatus.FAILED and attempt.deadline_at > 0)

    def row(self, action_intent_id: str, facts: Facts) -> Row:
        """Its row in `unfinished`."""
        attempt = self.attempt
        if attempt is not None:
            status, run = attempt.status.value, (attempt.run_number, attempt.resume_at, attempt.deadline_at)
        else:
            status, run = "PENDING" if facts.status == "APPROVED" else facts.status, (1, 0, 0)
        return (
            action_intent_id,
            facts.tenant_id,
            facts.account_id,
            facts.action_type,
            facts.connector_id,
            facts.proposed_by,
            status,
            facts.shadow,
            facts.expires_at_epoch,
            facts.revision,
            facts.version,
            facts.approval_digest,
            facts.effect_key,
            self.sequence,
            int(bool(self.permits or self.cancelled_runs)),
            *run,
        )


class States:
    """The states in use, the latest last. Trimmed between batches only: within one they know more than the file."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._states: OrderedDict[str, IntentState] = OrderedDict()

    def get(self, action_intent_id: str) -> IntentState:
        """The state of an intent, read if need be."""
        state = self._states.get(action_intent_id)
        if state is not None:
            self._states.move_to_end(action_intent_id)
            return state
        state = self._states[action_intent_id] = self._read(action_intent_id)
        return state

    def get_new(self, action_intent_id: str) -> IntentState:
        """The state of an intent that is probably new."""
        if (
            action_intent_id in self._states
            or self._rows.connection.execute(_EXISTS, (action_intent_id,)).fetchone()[0]
        ):
            return self.get(action_intent_id)
        state = self._states[action_intent_id] = IntentState()
        state.decisions = {}
        return state

    def decisions(self, action_intent_id: str) -> dict[tuple[int, int, PrincipalRef], int]:
        """Who decided which revision and run of an intent, with the number of the decision."""
        state = self.get(action_intent_id)
        if state.decisions is None:
            said = [codec.approval(body) for (body,) in self._rows.connection.execute(_APPROVALS, (action_intent_id,))]
            state.decisions = {
                (approval.revision, approval.run_number, approval.decided_by): number
                for number, approval in enumerate(said, 1)
            }
        return state.decisions

    def trim(self) -> None:
        """Forgets what was not in use for longest. To be called when nothing is pending."""
        while len(self._states) > _KEPT:
            self._states.popitem(last=False)

    def _read(self, action_intent_id: str) -> IntentState:
        execute, key = self._rows.connection.execute, (action_intent_id,)
        state = IntentState()
        waiting = execute(_UNSTARTED, key).fetchone()
        if waiting is not None:
            *facts, state.sequence, noted = waiting
            state.facts = Facts(*facts)
            if not noted:
                return state
        else:
            found = execute(_INTENT, key).fetchone()
            state.facts = Facts.of(codec.intent(found[0])) if found else None
            found = execute(_SEQUENCE, key).fetchone()
            state.sequence = found[0] if found else 0
        for (body,) in execute(_ATTEMPT, key):
            state.attempt = codec.attempt(body)
        for (body,) in execute(_PERMITS, key):
            permit = codec.permit(body)
            state.permits[permit.call_no] = permit
        state.cancelled_runs.update(run_number for (run_number,) in execute(_CANCELS, key))
        state.outcomes.update(execute(_OUTCOMES, key))
        return state
