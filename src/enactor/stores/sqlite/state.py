"""What the writer knows of intents: the facts that conditions ask for, read once and kept while they are in use.

This process alone writes to the database, so what it has read or written stays true.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from typing import Final

from msgspec import Struct

from enactor.domain.attempt import ExecutionAttempt
from enactor.domain.intent import ActionIntent
from enactor.domain.permit import WritePermit
from enactor.domain.principal import PrincipalRef
from enactor.stores.sqlite import codec
from enactor.stores.sqlite.rows import Rows

_KEPT: Final = 2_048

_EXISTS: Final = (
    "SELECT EXISTS (SELECT 1 FROM intents WHERE action_intent_id = ?1) OR "
    "EXISTS (SELECT 1 FROM ledger WHERE action_intent_id = ?1 AND action_intent_id <> '')"
)
_LOAD: Final = """
SELECT 'intent', tenant_id, status, revision, version, approval_digest, effect_key, proposed_by
    FROM intents WHERE action_intent_id = ?1
UNION ALL SELECT 'attempt', body, 0, 0, 0, 0, 0, 0 FROM attempts WHERE action_intent_id = ?1
UNION ALL SELECT 'permit', body, 0, 0, 0, 0, 0, 0 FROM permits WHERE action_intent_id = ?1
UNION ALL SELECT 'cancel', run_number, 0, 0, 0, 0, 0, 0 FROM cancel_requests WHERE action_intent_id = ?1
UNION ALL SELECT 'outcome', run_number, outcome_revision, 0, 0, 0, 0, 0 FROM outcomes WHERE action_intent_id = ?1
UNION ALL SELECT 'approval', body, 0, 0, 0, 0, 0, 0 FROM approvals WHERE action_intent_id = ?1
UNION ALL SELECT 'sequence', sequence, 0, 0, 0, 0, 0, 0 FROM (
    SELECT sequence FROM ledger WHERE action_intent_id = ?1 AND action_intent_id <> ''
    ORDER BY position DESC LIMIT 1)
"""


class Facts(Struct, frozen=True):
    """What conditions ask of an intent."""

    tenant_id: str
    status: str
    revision: int
    version: int
    approval_digest: str
    effect_key: str | None
    proposed_by: str

    @classmethod
    def of(cls, intent: ActionIntent) -> Facts:
        """The facts of an intent."""
        return cls(
            intent.tenant_id,
            intent.status.value,
            intent.revision,
            intent.version,
            intent.approval_digest,
            intent.effect_key,
            str(intent.proposed_by),
        )


class IntentState:
    """One intent, its lock, its calls and what was said about it; `facts` is None where there is no such intent."""

    __slots__ = ("attempt", "cancelled_runs", "decisions", "facts", "outcomes", "permits", "sequence", "traces")

    def __init__(self) -> None:
        self.facts: Facts | None = None
        self.attempt: ExecutionAttempt | None = None
        self.permits: dict[int, WritePermit] = {}
        self.cancelled_runs: set[int] = set()
        self.outcomes: set[tuple[int, int]] = set()
        self.decisions: dict[tuple[int, int, PrincipalRef], int] = {}
        self.sequence = 0
        self.traces: set[str] = set()


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
        state = _load(self._rows.connection, action_intent_id)
        self._states[action_intent_id] = state
        return state

    def get_new(self, action_intent_id: str) -> IntentState:
        """The state of an intent that is probably new."""
        state = self._states.get(action_intent_id)
        if state is None and not self._rows.connection.execute(_EXISTS, (action_intent_id,)).fetchone()[0]:
            state = self._states[action_intent_id] = IntentState()
        return state if state is not None else self.get(action_intent_id)

    def trim(self) -> None:
        """Forgets what was not in use for longest. To be called when nothing is pending."""
        while len(self._states) > _KEPT:
            self._states.popitem(last=False)


def _load(connection: sqlite3.Connection, action_intent_id: str) -> IntentState:
    state = IntentState()
    for kind, first, *rest in connection.execute(_LOAD, (action_intent_id,)):
        match kind:
            case "intent":
                state.facts = Facts(first, *rest)
            case "attempt":
                state.attempt = codec.attempt(first)
            case "permit":
                permit = codec.permit(first)
                state.permits[permit.call_no] = permit
            case "cancel":
                state.cancelled_runs.add(first)
            case "outcome":
                state.outcomes.add((first, rest[0]))
            case "approval":
                said = codec.approval(first)
                state.decisions[said.revision, said.run_number, said.decided_by] = len(state.decisions) + 1
            case _:
                state.sequence = first
    return state
