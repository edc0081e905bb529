"""What the writer knows of intents: the facts that conditions ask for, read once and kept while they are in use.

This process alone writes to the database, so what it has read or written stays true.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, TypeVar

from msgspec import Struct

from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.intent import ActionIntent
from enactor.domain.permit import WritePermit
from enactor.domain.principal import PrincipalRef
from enactor.stores.sqlite import codec, sql
from enactor.stores.sqlite.rows import Row, Rows

Key = TypeVar("Key", int, tuple[int, int])

_KEPT: Final = 2_048

_WAITS: Final = frozenset({"PENDING_APPROVAL", "APPROVED"})
_OPEN: Final = frozenset({RunStatus.RUNNING, RunStatus.IN_DOUBT})

_EXISTS: Final = (
    "SELECT EXISTS (SELECT 1 FROM intents WHERE action_intent_id = ?1) OR "
    "EXISTS (SELECT 1 FROM executions WHERE action_intent_id = ?1)"
)
_UNFINISHED: Final = """
SELECT tenant_id, account_id, action_type, connector_id, proposed_by,
    CASE status WHEN 'PENDING' THEN 'APPROVED' ELSE status END, shadow, expires_at_epoch, revision, version,
    approval_digest, effect_key, entries
FROM unfinished WHERE action_intent_id = ?
"""
_INTENT: Final = "SELECT body FROM intents WHERE action_intent_id = ?"
_EXECUTION: Final = "SELECT number, charged_second, entries, body FROM executions WHERE action_intent_id = ?"
_APPROVALS: Final = "SELECT body FROM approvals WHERE action_intent_id = ? ORDER BY number"


class Facts(Struct, frozen=True, gc=False):
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
            str(intent.status),
            int(intent.shadow),
            intent.expires_at_epoch,
            intent.revision,
            intent.version,
            intent.approval_digest,
            intent.effect_key,
        )

    def row(self, status: str) -> Row:
        """The columns of `unfinished` that tell them, with the status as listed there."""
        return (
            self.tenant_id,
            self.account_id,
            self.action_type,
            self.connector_id,
            self.proposed_by,
            status,
            self.shadow,
            self.expires_at_epoch,
            self.revision,
            self.version,
            self.approval_digest,
            self.effect_key,
        )


class Written(Struct):
    """The bodies in an intent's row of `executions`, as JSON: what a commit changes is joined with what it does not."""

    attempt: str = "null"
    permits: dict[int, str] = {}
    outcomes: dict[tuple[int, int], str] = {}
    cancels: dict[int, str] = {}

    def body(self) -> str:
        """The row's own body. Permits stand in the order of their calls, outcomes in that of runs and revisions."""
        return (
            f'{{"attempt":{self.attempt},"permits":[{_listed(self.permits)}],'
            f'"outcomes":[{_listed(self.outcomes)}],"cancels":[{_listed(self.cancels)}]}}'
        )


def _listed(bodies: dict[Key, str]) -> str:
    return ",".join([bodies[key] for key in sorted(bodies)] if len(bodies) > 1 else bodies.values())


class IntentState:
    """One intent, its lock, its calls and what was said about it; `facts` is None where there is no such intent.

    Attributes:
        decisions: None until somebody asks for them.
        entries: the positions of its entries in the ledger.
        number: of its row in `executions`; 0 while there is none.
        charged_second: when its first run was charged to the budgets, if its row says so.
        listed: whether it has a row in `unfinished`.
        restated: that row is no longer true, if it is one of an intent that has not started.
    """

    __slots__ = (
        "attempt",
        "charged_second",
        "decisions",
        "entries",
        "facts",
        "listed",
        "number",
        "permits",
        "restated",
        "written",
    )

    def __init__(self) -> None:
        self.facts: Facts | None = None
        self.attempt: ExecutionAttempt | None = None
        self.permits: dict[int, WritePermit] = {}
        self.written: Written | None = None
        self.decisions: dict[tuple[int, int, PrincipalRef], int] | None = None
        self.entries: list[int] = []
        self.number = 0
        self.charged_second = 0
        self.listed = False
        self.restated = False

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

    @property
    def bodies(self) -> Written:
        """What its row in `executions` holds, which it has from now on."""
        if self.written is None:
            self.written = Written()
        return self.written

    def write(self, action_intent_id: str, rows: Rows, next_number: int) -> bool:
        """Hands over its rows in `unfinished` and `executions`.

        Args:
            next_number: the number of its row in `executions`, if that is a new one.

        Returns:
            Whether it was.
        """
        facts = self.facts
        if not (self.unfinished and facts is not None):
            if self.listed:
                rows.add(sql.DROP_UNFINISHED, (action_intent_id,))
            self.listed = False
            # What tells its entries is one of the two rows.
            self.written = self.written or Written()
        elif (self.restated and self.attempt is None) or not self.listed:
            status = "PENDING" if facts.status == "APPROVED" else facts.status
            rows.add(sql.PUT_UNFINISHED, (action_intent_id, *facts.row(status), codec.text_of(self.entries)))
            self.listed = True
        self.restated = False
        if self.written is None:
            return False
        changing = (*_progress(self.attempt), self.charged_second, codec.text_of(self.entries), self.written.body())
        if self.number:
            rows.add(sql.CHANGE_EXECUTION, (self.number, *changing))
            return False
        self.number = next_number
        owner = (facts.tenant_id, facts.action_type) if facts is not None else ("", "")
        rows.add(sql.ADD_EXECUTION, (next_number, action_intent_id, *owner, *changing))
        return True


def _progress(attempt: ExecutionAttempt | None) -> Row:
    if attempt is None:
        return "", 0, "", 0, 0
    return str(attempt.status), attempt.run_number, attempt.updated_at, attempt.resume_at, attempt.deadline_at


class States:
    """The states in use. Trimmed between batches only: within one they know more than the file."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._states: OrderedDict[str, IntentState] = OrderedDict()

    def get(self, action_intent_id: str) -> IntentState:
        """The state of an intent, read if need be."""
        state = self._states.get(action_intent_id)
        if state is None:
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

    def trim(self, over: Iterable[str]) -> None:
        """Forgets what is over, and what was read longest ago. To be called when nothing is pending."""
        for action_intent_id in over:
            self._states.pop(action_intent_id, None)
        while len(self._states) > _KEPT:
            self._states.popitem(last=False)

    def _read(self, action_intent_id: str) -> IntentState:
        execute, key = self._rows.connection.execute, (action_intent_id,)
        state = IntentState()
        listed = execute(_UNFINISHED, key).fetchone()
        if listed is not None:
            state.listed = True
            *facts, entries = listed
            state.facts, state.entries = Facts(*facts), codec.positions(entries)
        else:
            found = execute(_INTENT, key).fetchone()
            state.facts = Facts.of(codec.intent(found[0])) if found else None
        ran = execute(_EXECUTION, key).fetchone()
        if ran is not None:
            state.number, state.charged_second, entries, body = ran
            state.entries = codec.positions(entries)
            self._take(state, codec.execution(body))
        return state

    @staticmethod
    def _take(state: IntentState, stored: codec.Execution) -> None:
        """Takes what a row of `executions` says."""
        state.attempt = stored.attempt
        state.permits = {permit.call_no: permit for permit in stored.permits}
        state.written = Written(
            attempt=codec.text_of(stored.attempt),
            permits={permit.call_no: codec.text_of(permit) for permit in stored.permits},
            outcomes={(kept.run_number, kept.outcome_revision): codec.text_of(kept) for kept in stored.outcomes},
            cancels={asked.run_number: codec.text_of(asked) for asked in stored.cancels},
        )
