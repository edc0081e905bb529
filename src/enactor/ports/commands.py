"""The commands of a commit. Each touches one record and carries its own condition.

A commit is atomic: either every command's condition holds and all of them happen, or none does and `Conflict` says
which condition failed. One commit carries one execution's commands, at most `MAX_COMMANDS`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from enactor.domain.action_type import ActionType
from enactor.domain.approval import Approval
from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.budget import Budget
from enactor.domain.intent import ActionIntent, SwitchMark
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.ledger import LedgerRecord
from enactor.domain.log import LogCheckpoint, LogHead, LogKey, LogLeaf, LogTile
from enactor.domain.outcome import ActionOutcome
from enactor.domain.permit import CallResult, WritePermit
from enactor.domain.policy import PolicySet

MAX_COMMANDS: Final = 50


class RequestKey(Struct, frozen=True, kw_only=True):
    """An `Idempotency-Key` as a tenant's principal used it, with the hash of the body that came with it."""

    tenant_id: str
    principal: str
    key: str
    body_hash: str
    action_intent_id: str
    created_at: str


class InternalObject(Struct, frozen=True, kw_only=True):
    """A note or task of the internal connector: Enactor's own little system of record.

    `creation_key` is the idempotency key that made it and is unique per tenant; `version` grows with every change.
    """

    object_id: str
    tenant_id: str
    account_id: str
    object_type: str
    creation_key: str
    version: int
    created_at: str
    body: dict[str, Any]


class CreateIntent(Struct, frozen=True, kw_only=True, gc=False):
    """Stores a new intent and claims its effect key.

    Conflicts: `EFFECT_KEY_TAKEN` (with the holder's id), `TOO_MANY_PENDING` when it would wait for approval and the
    proposer or the tenant already has that many waiting.
    """

    intent: ActionIntent
    max_pending_of_proposer: int
    max_pending_of_tenant: int


class ReserveRequest(Struct, frozen=True, kw_only=True):
    """Remembers an `Idempotency-Key`. Conflict: `REQUEST_KEY_USED`, with the stored `RequestKey`."""

    request: RequestKey


class UpdateIntent(Struct, frozen=True, kw_only=True):
    """Replaces an intent. The store keeps every revision.

    Conditions: the stored version is `expected_version` (`VERSION_CHANGED`); no execution exists if `unstarted`
    (`ALREADY_STARTED`); the effect key, if it changed, is free (`EFFECT_KEY_TAKEN`). A status of REJECTED, EXPIRED or
    CANCELLED gives the effect key back. `switch_marks`: as they are, the switches' generations must still be these
    (`SWITCH_CHANGED`).
    """

    intent: ActionIntent
    expected_version: int
    unstarted: bool = True
    check_marks: bool = False


class AppendApproval(Struct, frozen=True, kw_only=True):
    """Appends a decision. Conflict: `ALREADY_DECIDED` when the same person decided the same revision and run."""

    approval: Approval


class StartAttempt(Struct, frozen=True, kw_only=True, gc=False):
    """Takes the lock.

    Conditions: no lock exists, or (for run n > 1) the lock is of run n-1 and ended FAILED or CANCELLED; the intent is
    `APPROVED` at exactly this version, revision and digest (`APPROVAL_STALE`, or `NOT_FOUND`); every budget that
    applies has room, and is charged (`BUDGET_EXCEEDED`), if `charge_budget`. A lock of the same owner conflicts as
    `STARTED_BY_SAME_OWNER`, another owner's as `STARTED_BY_OTHER_OWNER`, both with the stored attempt. A new run after
    the first claims the intent's effect key again (`EFFECT_KEY_TAKEN`).
    """

    attempt: ExecutionAttempt
    intent_version: int
    revision: int
    approval_digest: str
    now_ms: int
    charge_budget: bool = True


class UpdateAttempt(Struct, frozen=True, kw_only=True, gc=False):
    """Replaces the attempt.

    Conditions: the stored fence is `expected_fence` (`STALE_FENCE`), the run number is the attempt's, and the stored
    status is `expected_status` (`STATUS_CHANGED`). A status of FAILED, CANCELLED or EXPIRED gives the intent's effect
    key back.
    """

    attempt: ExecutionAttempt
    expected_fence: int
    expected_status: RunStatus = RunStatus.RUNNING


class TakePermit(Struct, frozen=True, kw_only=True, gc=False):
    """Takes leave to make one call.

    Conditions: the attempt in the store, or the one this very commit writes, is RUNNING with the permit's fence and run
    (`STALE_FENCE`, `STATUS_CHANGED`); no permit has this `call_no` and none is open (`PERMIT_TAKEN`); the switches'
    generations are still `marks`, and none is on unless it allows this purpose (`SWITCH_CHANGED`); nobody asked to
    cancel this run (`CANCEL_REQUESTED`), unless it compensates.
    """

    permit: WritePermit
    marks: tuple[SwitchMark, ...]


class SettlePermit(Struct, frozen=True, kw_only=True, gc=False):
    """Replaces a permit's result.

    Conditions: the stored result is `expected` (`PERMIT_SETTLED`), and the attempt in the store, or the one this
    commit writes, has the fence `expected_fence`, if given (`STALE_FENCE`). A late result gives no fence.
    """

    permit: WritePermit
    expected: CallResult = CallResult.OPEN
    expected_fence: int | None = None


class DoubtAfterRestore(Struct, frozen=True, kw_only=True):
    """Records that an intent may have been executed after the backup that the store was restored from.

    `permit` is a call 0 of unknown result. It needs no lock and has no condition; recording it again replaces it.
    """

    permit: WritePermit


class RequestCancel(Struct, frozen=True, kw_only=True):
    """Asks a running run to stop before its next permit. Asking twice is the same as once."""

    action_intent_id: str
    run_number: int
    requested_by: str
    requested_at: str


class RecordOutcome(Struct, frozen=True, kw_only=True, gc=False):
    """Writes one revision of a run's outcome, once. Conflict: `OUTCOME_EXISTS`."""

    outcome: ActionOutcome


class ReleaseEffectKey(Struct, frozen=True, kw_only=True):
    """Gives an intent's effect key back because its effect was taken back. It has no condition; without one held it
    changes nothing.
    """

    tenant_id: str
    action_intent_id: str


class AppendLedger(Struct, frozen=True, kw_only=True, gc=False):
    """Appends an entry to the chain of its tenant and account; the store gives it its place and hash.

    It is also the outgoing event of the transition: the outbox and the event streams read the ledger.
    """

    record: LedgerRecord


class RegisterActionType(Struct, frozen=True, kw_only=True):
    """Adds a version. Condition: it is the latest version + 1, from 1 (`VERSION_CHANGED`)."""

    action_type: ActionType


class DeprecateActionType(Struct, frozen=True, kw_only=True):
    """Marks the latest version as not to be proposed any more. Condition: it is the latest (`VERSION_CHANGED`)."""

    action_type: ActionType


class SetKillSwitch(Struct, frozen=True, kw_only=True):
    """Sets a switch. Condition: its generation is the stored one + 1, or the stored one if it is not turned
    (`VERSION_CHANGED`).
    """

    switch: KillSwitch
    expected_generation: int


class SetBudget(Struct, frozen=True, kw_only=True):
    """Sets a tenant's budget; a new window or limit counts what already started in the window."""

    budget: Budget


class SetPolicies(Struct, frozen=True, kw_only=True):
    """Sets a tenant's policies. Condition: the version is the stored one + 1 (`VERSION_CHANGED`)."""

    policies: PolicySet


class CreateObject(Struct, frozen=True, kw_only=True):
    """Creates an internal object. Conflict: `OBJECT_EXISTS` with the stored one, when its creation key was used."""

    object: InternalObject


class DeleteObject(Struct, frozen=True, kw_only=True):
    """Deletes an internal object. Condition: it exists at this version (`VERSION_CHANGED`, `NOT_FOUND`)."""

    tenant_id: str
    object_id: str
    expected_version: int


class AppendToLog(Struct, frozen=True, kw_only=True):
    """Makes a tenant's log grow by the entries of `leaves`, in their order.

    Condition: the log is `expected` (`LOG_CHANGED`, with the stored head). The expected root says what is in the log,
    and so two sequencers cannot make two logs of it: whoever comes second has to begin again from what is there.
    The leaves are at most `Store.log_batch` and follow the expected head without a gap. Tiles replace what is stored
    at their place.
    """

    expected: LogHead
    head: LogHead
    leaves: tuple[LogLeaf, ...]
    tiles: tuple[LogTile, ...]


class KeepCheckpoint(Struct, frozen=True, kw_only=True):
    """Stores a signed checkpoint.

    Conditions: the tenant's log has at least its size, and no checkpoint of that size or a larger one is stored
    (`LOG_CHANGED`, with the newest checkpoint, if any).
    """

    checkpoint: LogCheckpoint


class CosignCheckpoint(Struct, frozen=True, kw_only=True):
    """Replaces a stored checkpoint's note by one with more signatures.

    Conditions: a checkpoint of the size is stored (`NOT_FOUND`), and its note is still `expected_note`
    (`VERSION_CHANGED`, with the stored checkpoint).
    """

    checkpoint: LogCheckpoint
    expected_note: str


class PutLogKey(Struct, frozen=True, kw_only=True):
    """Publishes a key of a tenant's checkpoints, or changes its validity. Keys are never taken back."""

    key: LogKey


class EraseIntent(Struct, frozen=True, kw_only=True):
    """Erases the personal data of everything that is stored about an intent; see `enactor.domain.erasure`.

    Of its ledger entries so far the data and the salt; of the intent, its revisions, decisions, lock, permits and
    outcomes what the functions there take away, the intent's version growing by one; `Idempotency-Key`s and the effect
    key altogether; of internal objects that its keys made, the body and the key, and they are deleted. Entries that
    this commit appends keep their data if they stand after it. Doing it again erases what has come since.

    Conditions: the intent exists in the tenant (`NOT_FOUND`), it is over, and no permit of it is open
    (`STATUS_CHANGED`).
    """

    tenant_id: str
    action_intent_id: str
    erased_at: str


Command = (
    CreateIntent
    | ReserveRequest
    | UpdateIntent
    | AppendApproval
    | StartAttempt
    | UpdateAttempt
    | TakePermit
    | SettlePermit
    | DoubtAfterRestore
    | RequestCancel
    | RecordOutcome
    | ReleaseEffectKey
    | AppendLedger
    | RegisterActionType
    | DeprecateActionType
    | SetKillSwitch
    | SetBudget
    | SetPolicies
    | CreateObject
    | DeleteObject
    | AppendToLog
    | KeepCheckpoint
    | CosignCheckpoint
    | PutLogKey
    | EraseIntent
)


class ConflictKind(StrEnum):
    """Which condition failed."""

    NOT_FOUND = "NOT_FOUND"
    VERSION_CHANGED = "VERSION_CHANGED"
    EFFECT_KEY_TAKEN = "EFFECT_KEY_TAKEN"
    TOO_MANY_PENDING = "TOO_MANY_PENDING"
    REQUEST_KEY_USED = "REQUEST_KEY_USED"
    ALREADY_STARTED = "ALREADY_STARTED"
    ALREADY_DECIDED = "ALREADY_DECIDED"
    STARTED_BY_SAME_OWNER = "STARTED_BY_SAME_OWNER"
    STARTED_BY_OTHER_OWNER = "STARTED_BY_OTHER_OWNER"
    APPROVAL_STALE = "APPROVAL_STALE"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    STALE_FENCE = "STALE_FENCE"
    STATUS_CHANGED = "STATUS_CHANGED"
    PERMIT_TAKEN = "PERMIT_TAKEN"
    PERMIT_SETTLED = "PERMIT_SETTLED"
    SWITCH_CHANGED = "SWITCH_CHANGED"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    OUTCOME_EXISTS = "OUTCOME_EXISTS"
    OBJECT_EXISTS = "OBJECT_EXISTS"
    LOG_CHANGED = "LOG_CHANGED"


class Conflict(Exception):
    """A command's condition did not hold; nothing of the commit happened.

    Attributes:
        kind: the condition.
        current: the stored record it was held against, where one helps: the attempt, the `RequestKey`, the object,
            or the id of the intent that holds an effect key.
    """

    def __init__(self, kind: ConflictKind, current: object = None) -> None:
        super().__init__(kind.value)
        self.kind = kind
        self.current = current
