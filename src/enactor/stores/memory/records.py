"""Everything a memory store holds, and what each command asks of it and does to it.

A command's method is a generator: what stands before its `yield` checks the condition, what stands after it is the
effect. A commit runs all the checks, and only if none raised `Conflict` all the effects.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from enactor.domain.action_type import ActionType
from enactor.domain.approval import Approval
from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.budget import ANY_ACTION_TYPE, Budget, window_start
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.kill_switch import KillSwitch, stopped_by
from enactor.domain.ledger import GENESIS, LedgerEntry, chained
from enactor.domain.outcome import ActionOutcome
from enactor.domain.permit import CallResult, Purpose, WritePermit
from enactor.domain.policy import PolicySet
from enactor.ports import commands as c
from enactor.ports.commands import Command, Conflict, ConflictKind, InternalObject, RequestKey
from enactor.stores.memory.erasure import erase_intent
from enactor.stores.memory.logs import Logs

_HOLDS_KEY: Final = frozenset({IntentStatus.PENDING_APPROVAL, IntentStatus.APPROVED})
_GIVES_KEY_BACK: Final = frozenset({RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.EXPIRED})
_MAY_RUN_AGAIN: Final = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})


class Records:
    """The tables, as dictionaries."""

    def __init__(self) -> None:
        self.intents: dict[str, ActionIntent] = {}
        self.revisions: defaultdict[str, dict[int, ActionIntent]] = defaultdict(dict)
        self.pending: Counter[tuple[str, ...]] = Counter()
        self.effect_keys: dict[tuple[str, str], str] = {}
        self.approvals: defaultdict[str, list[Approval]] = defaultdict(list)
        self.requests: dict[tuple[str, str, str], RequestKey] = {}
        self.attempts: dict[str, ExecutionAttempt] = {}
        self.permits: defaultdict[str, dict[int, WritePermit]] = defaultdict(dict)
        self.cancels: dict[tuple[str, int], c.RequestCancel] = {}
        self.outcomes: defaultdict[str, dict[tuple[int, int], ActionOutcome]] = defaultdict(dict)
        self.registry: defaultdict[tuple[str, str], list[ActionType]] = defaultdict(list)
        self.switches: dict[str, KillSwitch] = {}
        self.budgets: dict[tuple[str, str], Budget] = {}
        self.starts: Counter[tuple[str, str, int]] = Counter()
        self.policies: dict[str, PolicySet] = {}
        self.objects: dict[tuple[str, str], InternalObject] = {}
        self.creations: dict[tuple[str, str], InternalObject] = {}
        self.ledger: list[LedgerEntry] = []
        self.heads: dict[tuple[str, str], LedgerEntry] = {}
        self.sequences: Counter[str] = Counter()
        self.logs = Logs()

    def commit(self, commands: Sequence[Command]) -> None:
        """Does all of `commands` or none. Raises `Conflict`."""
        unit = _Unit(commands)
        steps = [
            Logs.METHODS[type(command)](self.logs, command)
            if type(command) in Logs.METHODS
            else _METHODS[type(command)](self, command, unit)
            for command in commands
        ]
        for step in steps:
            next(step)
        for step in steps:
            next(step, None)

    def used(self, budget: Budget, now_ms: int) -> int:
        """How many runs a budget's current window has seen start."""
        first = window_start(budget, now_ms)
        return sum(
            count
            for (tenant_id, action_type, second), count in self.starts.items()
            if tenant_id == budget.tenant_id
            and budget.action_type in (ANY_ACTION_TYPE, action_type)
            and first <= second < first + budget.window_seconds
        )

    # -- intents -------------------------------------------------------------------------------------------------

    def create_intent(self, command: c.CreateIntent, unit: _Unit) -> Iterator[None]:
        intent = command.intent
        if intent.action_intent_id in self.intents:
            raise Conflict(ConflictKind.VERSION_CHANGED, self.intents[intent.action_intent_id])
        if intent.status in _HOLDS_KEY:
            self._require_effect_key(intent)
        if intent.status is IntentStatus.PENDING_APPROVAL and (
            self.pending[intent.tenant_id, str(intent.proposed_by)] >= command.max_pending_of_proposer
            or self.pending[intent.tenant_id,] >= command.max_pending_of_tenant
        ):
            raise Conflict(ConflictKind.TOO_MANY_PENDING)
        yield
        self._put_intent(intent)
        if intent.status in _HOLDS_KEY:
            self._claim(intent)

    def update_intent(self, command: c.UpdateIntent, unit: _Unit) -> Iterator[None]:
        intent = command.intent
        stored = self.intents.get(intent.action_intent_id)
        if stored is None or stored.tenant_id != intent.tenant_id:
            raise Conflict(ConflictKind.NOT_FOUND)
        if stored.version != command.expected_version:
            raise Conflict(ConflictKind.VERSION_CHANGED, stored)
        if command.unstarted and intent.action_intent_id in self.attempts:
            raise Conflict(ConflictKind.ALREADY_STARTED, self.attempts[intent.action_intent_id])
        claims = intent.status in _HOLDS_KEY and intent.effect_key != stored.effect_key
        if claims:
            self._require_effect_key(intent)
        for mark in intent.switch_marks if command.check_marks else ():
            switch = self.switches.get(mark.scope)
            if (switch.generation if switch else 0) != mark.generation:
                raise Conflict(ConflictKind.SWITCH_CHANGED, switch)
        yield
        if claims or intent.status not in _HOLDS_KEY:
            self._release(stored)
        if claims:
            self._claim(intent)
        self._put_intent(intent)

    def _put_intent(self, intent: ActionIntent) -> None:
        for record, change in ((self.intents.get(intent.action_intent_id), -1), (intent, 1)):
            if record is not None and record.status is IntentStatus.PENDING_APPROVAL:
                self.pending[record.tenant_id, str(record.proposed_by)] += change
                self.pending[record.tenant_id,] += change
        self.intents[intent.action_intent_id] = intent
        self.revisions[intent.action_intent_id][intent.revision] = intent

    def _require_effect_key(self, intent: ActionIntent) -> None:
        holder = self.effect_keys.get((intent.tenant_id, intent.effect_key)) if intent.effect_key else None
        if holder not in (None, intent.action_intent_id):
            raise Conflict(ConflictKind.EFFECT_KEY_TAKEN, holder)

    def _claim(self, intent: ActionIntent) -> None:
        if intent.effect_key:
            self.effect_keys[intent.tenant_id, intent.effect_key] = intent.action_intent_id

    def _release(self, intent: ActionIntent) -> None:
        key = (intent.tenant_id, intent.effect_key or "")
        if self.effect_keys.get(key) == intent.action_intent_id:
            del self.effect_keys[key]

    def append_approval(self, command: c.AppendApproval, unit: _Unit) -> Iterator[None]:
        approval = command.approval
        said = self.approvals[approval.action_intent_id]
        for known in said:
            if (known.revision, known.run_number, known.decided_by) == (
                approval.revision,
                approval.run_number,
                approval.decided_by,
            ):
                raise Conflict(ConflictKind.ALREADY_DECIDED, known)
        yield
        said.append(approval)

    def reserve_request(self, command: c.ReserveRequest, unit: _Unit) -> Iterator[None]:
        request = command.request
        key = (request.tenant_id, request.principal, request.key)
        if key in self.requests:
            raise Conflict(ConflictKind.REQUEST_KEY_USED, self.requests[key])
        yield
        self.requests[key] = request

    # -- runs ----------------------------------------------------------------------------------------------------

    def start_attempt(self, command: c.StartAttempt, unit: _Unit) -> Iterator[None]:
        attempt = command.attempt
        stored = self.attempts.get(attempt.action_intent_id)
        if stored is not None and not (attempt.run_number == stored.run_number + 1 and stored.status in _MAY_RUN_AGAIN):
            same = stored.owner == attempt.owner
            raise Conflict(ConflictKind.STARTED_BY_SAME_OWNER if same else ConflictKind.STARTED_BY_OTHER_OWNER, stored)
        intent = self.intents.get(attempt.action_intent_id)
        if intent is None or intent.tenant_id != attempt.tenant_id:
            raise Conflict(ConflictKind.NOT_FOUND)
        if (intent.status, intent.version, intent.revision, intent.approval_digest) != (
            IntentStatus.APPROVED,
            command.intent_version,
            command.revision,
            command.approval_digest,
        ):
            raise Conflict(ConflictKind.APPROVAL_STALE, intent)
        if stored is None and attempt.run_number != 1:
            raise Conflict(ConflictKind.STATUS_CHANGED)
        for name in (attempt.action_type, ANY_ACTION_TYPE) if command.charge_budget else ():
            budget = self.budgets.get((attempt.tenant_id, name))
            if budget is not None and self.used(budget, command.now_ms) >= budget.max_executions:
                raise Conflict(ConflictKind.BUDGET_EXCEEDED, budget)
        self._require_effect_key(intent)
        yield
        if command.charge_budget:
            self.starts[attempt.tenant_id, attempt.action_type, command.now_ms // 1000] += 1
        self._claim(intent)
        self._put_attempt(attempt)

    def update_attempt(self, command: c.UpdateAttempt, unit: _Unit) -> Iterator[None]:
        attempt = command.attempt
        stored = self.attempts.get(attempt.action_intent_id)
        if stored is None or stored.tenant_id != attempt.tenant_id:
            raise Conflict(ConflictKind.NOT_FOUND)
        if stored.fence != command.expected_fence or stored.run_number != attempt.run_number:
            raise Conflict(ConflictKind.STALE_FENCE, stored)
        if stored.status is not command.expected_status:
            raise Conflict(ConflictKind.STATUS_CHANGED, stored)
        yield
        self._put_attempt(attempt)

    def _put_attempt(self, attempt: ExecutionAttempt) -> None:
        self.attempts[attempt.action_intent_id] = attempt
        if attempt.status in _GIVES_KEY_BACK:
            self._release(self.intents[attempt.action_intent_id])

    def take_permit(self, command: c.TakePermit, unit: _Unit) -> Iterator[None]:
        permit = command.permit
        attempt = unit.attempt_of(permit.action_intent_id, self.attempts)
        if attempt.fence != permit.fence or attempt.run_number != permit.run_number:
            raise Conflict(ConflictKind.STALE_FENCE, attempt)
        if attempt.status is not RunStatus.RUNNING:
            raise Conflict(ConflictKind.STATUS_CHANGED, attempt)
        for known in {**self.permits[permit.action_intent_id], **unit.settled}.values():
            if known.call_no == permit.call_no or known.result is CallResult.OPEN:
                raise Conflict(ConflictKind.PERMIT_TAKEN, known)
        compensates = permit.purpose is Purpose.COMPENSATION
        scope = stopped_by(command.marks, self.switches, for_compensation=compensates)
        if scope is not None:
            raise Conflict(ConflictKind.SWITCH_CHANGED, self.switches[scope])
        if not compensates and (permit.action_intent_id, permit.run_number) in self.cancels:
            raise Conflict(ConflictKind.CANCEL_REQUESTED)
        yield
        self.permits[permit.action_intent_id][permit.call_no] = permit

    def doubt_after_restore(self, command: c.DoubtAfterRestore, unit: _Unit) -> Iterator[None]:
        permit = command.permit
        yield
        self.permits[permit.action_intent_id][permit.call_no] = permit

    def settle_permit(self, command: c.SettlePermit, unit: _Unit) -> Iterator[None]:
        permit = command.permit
        stored = self.permits[permit.action_intent_id].get(permit.call_no)
        if stored is None:
            raise Conflict(ConflictKind.NOT_FOUND)
        if command.expected_fence is not None:
            attempt = unit.attempt_of(permit.action_intent_id, self.attempts)
            if attempt.fence != command.expected_fence:
                raise Conflict(ConflictKind.STALE_FENCE, attempt)
        if stored.result is not command.expected:
            raise Conflict(ConflictKind.PERMIT_SETTLED, stored)
        yield
        self.permits[permit.action_intent_id][permit.call_no] = permit

    def request_cancel(self, command: c.RequestCancel, unit: _Unit) -> Iterator[None]:
        yield
        self.cancels.setdefault((command.action_intent_id, command.run_number), command)

    def record_outcome(self, command: c.RecordOutcome, unit: _Unit) -> Iterator[None]:
        outcome = command.outcome
        key = (outcome.run_number, outcome.outcome_revision)
        recorded = self.outcomes[outcome.action_intent_id]
        if key in recorded:
            raise Conflict(ConflictKind.OUTCOME_EXISTS, recorded[key])
        yield
        recorded[key] = outcome

    def release_effect_key(self, command: c.ReleaseEffectKey, unit: _Unit) -> Iterator[None]:
        yield
        intent = self.intents.get(command.action_intent_id)
        if intent is not None and intent.tenant_id == command.tenant_id:
            self._release(intent)

    def append_ledger(self, command: c.AppendLedger, unit: _Unit) -> Iterator[None]:
        yield
        record = command.record
        chain = (record.tenant_id, record.account_id)
        head = self.heads.get(chain)
        if record.action_intent_id:
            self.sequences[record.action_intent_id] += 1
        entry = chained(
            record,
            seq=head.seq + 1 if head else 1,
            sequence=self.sequences[record.action_intent_id] if record.action_intent_id else 0,
            prev_hash=head.hash if head else GENESIS,
            position=len(self.ledger) + 1,
        )
        self.ledger.append(entry)
        self.heads[chain] = entry

    # -- registry, switches, budgets, policies -------------------------------------------------------------------

    def register_action_type(self, command: c.RegisterActionType, unit: _Unit) -> Iterator[None]:
        entry = command.action_type
        versions = self.registry[entry.tenant_id, entry.action_type]
        if entry.registry_version != len(versions) + 1:
            raise Conflict(ConflictKind.VERSION_CHANGED, versions[-1] if versions else None)
        yield
        versions.append(entry)

    def deprecate_action_type(self, command: c.DeprecateActionType, unit: _Unit) -> Iterator[None]:
        entry = command.action_type
        versions = self.registry[entry.tenant_id, entry.action_type]
        if not versions or entry.registry_version != len(versions):
            raise Conflict(ConflictKind.VERSION_CHANGED, versions[-1] if versions else None)
        yield
        versions[-1] = entry

    def set_kill_switch(self, command: c.SetKillSwitch, unit: _Unit) -> Iterator[None]:
        switch = command.switch
        stored = self.switches.get(switch.scope)
        generation = stored.generation if stored else 0
        turned = switch.enabled != (stored.enabled if stored else False)
        allowed = (generation + 1,) if turned else (generation, generation + 1)
        if command.expected_generation != generation or switch.generation not in allowed:
            raise Conflict(ConflictKind.VERSION_CHANGED, stored)
        yield
        self.switches[switch.scope] = switch

    def set_budget(self, command: c.SetBudget, unit: _Unit) -> Iterator[None]:
        yield
        self.budgets[command.budget.tenant_id, command.budget.action_type] = command.budget

    def set_policies(self, command: c.SetPolicies, unit: _Unit) -> Iterator[None]:
        stored = self.policies.get(command.policies.tenant_id)
        if command.policies.version != (stored.version if stored else 0) + 1:
            raise Conflict(ConflictKind.VERSION_CHANGED, stored)
        yield
        self.policies[command.policies.tenant_id] = command.policies

    # -- internal objects ----------------------------------------------------------------------------------------

    def create_object(self, command: c.CreateObject, unit: _Unit) -> Iterator[None]:
        made = command.object
        known = self.creations.get((made.tenant_id, made.creation_key)) or self.objects.get(
            (made.tenant_id, made.object_id)
        )
        if known is not None:
            raise Conflict(ConflictKind.OBJECT_EXISTS, known)
        yield
        # A key stays used when its object is deleted: a call that comes late must not make it a second time.
        self.creations[made.tenant_id, made.creation_key] = made
        self.objects[made.tenant_id, made.object_id] = made

    def delete_object(self, command: c.DeleteObject, unit: _Unit) -> Iterator[None]:
        stored = self.objects.get((command.tenant_id, command.object_id))
        if stored is None:
            raise Conflict(ConflictKind.NOT_FOUND)
        if stored.version != command.expected_version:
            raise Conflict(ConflictKind.VERSION_CHANGED, stored)
        yield
        del self.objects[command.tenant_id, command.object_id]


class _Unit:
    """What one commit itself writes, where a condition is held against that instead of what is stored."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._attempts: dict[str, ExecutionAttempt] = {}
        self.settled: dict[int, WritePermit] = {}
        for command in commands:
            if isinstance(command, c.StartAttempt | c.UpdateAttempt):
                self._attempts[command.attempt.action_intent_id] = command.attempt
            elif isinstance(command, c.SettlePermit):
                self.settled[command.permit.call_no] = command.permit

    def attempt_of(self, action_intent_id: str, stored: dict[str, ExecutionAttempt]) -> ExecutionAttempt:
        """The attempt as it is after this commit. Raises `Conflict` when there is none."""
        attempt = self._attempts.get(action_intent_id) or stored.get(action_intent_id)
        if attempt is None:
            raise Conflict(ConflictKind.NOT_FOUND)
        return attempt


_METHODS: Final[dict[type, Callable[..., Iterator[None]]]] = {
    c.CreateIntent: Records.create_intent,
    c.ReserveRequest: Records.reserve_request,
    c.UpdateIntent: Records.update_intent,
    c.AppendApproval: Records.append_approval,
    c.StartAttempt: Records.start_attempt,
    c.UpdateAttempt: Records.update_attempt,
    c.TakePermit: Records.take_permit,
    c.SettlePermit: Records.settle_permit,
    c.DoubtAfterRestore: Records.doubt_after_restore,
    c.RequestCancel: Records.request_cancel,
    c.RecordOutcome: Records.record_outcome,
    c.AppendLedger: Records.append_ledger,
    c.RegisterActionType: Records.register_action_type,
    c.DeprecateActionType: Records.deprecate_action_type,
    c.SetKillSwitch: Records.set_kill_switch,
    c.SetBudget: Records.set_budget,
    c.ReleaseEffectKey: Records.release_effect_key,
    c.SetPolicies: Records.set_policies,
    c.CreateObject: Records.create_object,
    c.DeleteObject: Records.delete_object,
    c.EraseIntent: erase_intent,
}
