"""What can be said of commands before they are judged: what they compete for, and what they will surely look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from enactor.domain.intent import IntentStatus
from enactor.ports import commands as c
from enactor.ports.commands import Command
from enactor.stores.dynamodb import keys
from enactor.stores.dynamodb.book import Shape, Unit
from enactor.stores.dynamodb.keys import Key

# -- what they compete for -------------------------------------------------------------------------------------------


def _chain(tenant_id: str, account_id: str) -> str:
    return f"chain {tenant_id} {account_id}"


def _of_intent(command: c.CreateIntent | c.UpdateIntent) -> Iterator[str]:
    intent = command.intent
    yield intent.action_intent_id
    yield f"pending {intent.tenant_id}"
    if intent.effect_key:
        yield f"effect {intent.tenant_id} {intent.effect_key}"


def _of_entry(command: c.AppendLedger) -> Iterator[str]:
    record = command.record
    yield _chain(record.tenant_id, record.account_id)
    if record.action_intent_id:
        yield record.action_intent_id


def _of_permit(command: c.TakePermit | c.SettlePermit | c.DoubtAfterRestore) -> Iterator[str]:
    yield command.permit.action_intent_id


def _of_entry_type(command: c.RegisterActionType | c.DeprecateActionType) -> Iterator[str]:
    yield f"registry {command.action_type.tenant_id} {command.action_type.action_type}"


_LANES: Final[dict[type, Callable[[Any], Iterable[str]]]] = {
    c.CreateIntent: _of_intent,
    c.UpdateIntent: _of_intent,
    c.ReserveRequest: lambda it: [
        it.request.action_intent_id,
        f"request {it.request.tenant_id} {it.request.principal} {it.request.key}",
    ],
    c.AppendApproval: lambda it: [it.approval.action_intent_id],
    c.StartAttempt: lambda it: [it.attempt.action_intent_id, _chain(it.attempt.tenant_id, it.attempt.account_id)],
    c.UpdateAttempt: lambda it: [it.attempt.action_intent_id],
    c.TakePermit: _of_permit,
    c.SettlePermit: _of_permit,
    c.DoubtAfterRestore: _of_permit,
    c.RequestCancel: lambda it: [it.action_intent_id],
    c.RecordOutcome: lambda it: [it.outcome.action_intent_id],
    c.ReleaseEffectKey: lambda it: [it.action_intent_id],
    c.AppendLedger: _of_entry,
    c.RegisterActionType: _of_entry_type,
    c.DeprecateActionType: _of_entry_type,
    c.SetKillSwitch: lambda it: [f"gates {keys.owner_of(it.switch.scope)}"],
    c.SetBudget: lambda it: [f"gates {it.budget.tenant_id}"],
    c.SetPolicies: lambda it: [f"policies {it.policies.tenant_id}"],
    c.CreateObject: lambda it: [f"objects {it.object.tenant_id}"],
    c.DeleteObject: lambda it: [f"objects {it.tenant_id}"],
    c.AppendToLog: lambda it: [f"log {it.head.tenant_id}"],
    c.KeepCheckpoint: lambda it: [f"log {it.checkpoint.tenant_id}"],
    c.CosignCheckpoint: lambda it: [f"log {it.checkpoint.tenant_id}"],
    c.PutLogKey: lambda it: [f"log {it.key.tenant_id}"],
    c.EraseIntent: lambda it: [it.action_intent_id],
}


def lanes(commands: Sequence[Command]) -> frozenset[str]:
    """Names of what the commands compete for. Commits of one process that share a name happen in order."""
    return frozenset(name for command in commands for name in _LANES[type(command)](command))


# -- what they look at -----------------------------------------------------------------------------------------------


class _Hints:
    """What commands say of each other's intents."""

    def __init__(self, commands: Sequence[Command], shape: Shape) -> None:
        self.shape = shape
        self.unit = Unit(commands, shape)
        self.accounts: dict[str, str] = {}
        for command in commands:
            if isinstance(command, c.StartAttempt | c.UpdateAttempt):
                self.accounts[command.attempt.action_intent_id] = command.attempt.account_id
            elif isinstance(command, c.AppendLedger):
                self.accounts.setdefault(command.record.action_intent_id, command.record.account_id)


def _creation(command: c.CreateIntent, hints: _Hints) -> Iterator[Key]:
    intent = command.intent
    yield keys.place(intent.action_intent_id)
    if intent.effect_key:
        yield keys.effect(intent.tenant_id, intent.effect_key)
    if intent.status is IntentStatus.PENDING_APPROVAL:
        yield keys.pending(intent.tenant_id)
        yield keys.pending(intent.tenant_id, str(intent.proposed_by))


def _update(command: c.UpdateIntent, hints: _Hints) -> Iterator[Key]:
    intent = command.intent
    yield keys.place(intent.action_intent_id)
    yield keys.intent(intent.tenant_id, intent.account_id, intent.action_intent_id)
    yield keys.execution(intent.tenant_id, intent.account_id, intent.action_intent_id)


def _start(command: c.StartAttempt, hints: _Hints) -> Iterator[Key]:
    attempt = command.attempt
    yield keys.place(attempt.action_intent_id)
    yield keys.execution(attempt.tenant_id, attempt.account_id, attempt.action_intent_id)
    yield keys.intent(attempt.tenant_id, attempt.account_id, attempt.action_intent_id)
    yield hints.unit.gate(attempt.tenant_id, attempt.tenant_id, attempt.account_id)
    shard = hints.unit.shard(keys.chain(attempt.tenant_id, attempt.account_id))
    yield keys.starts(attempt.tenant_id, shard, command.now_ms // 1000, attempt.action_type)


def _attempt(command: c.UpdateAttempt, hints: _Hints) -> Iterator[Key]:
    attempt = command.attempt
    yield keys.place(attempt.action_intent_id)
    yield keys.execution(attempt.tenant_id, attempt.account_id, attempt.action_intent_id)


def _permit(command: c.TakePermit | c.SettlePermit | c.DoubtAfterRestore, hints: _Hints) -> Iterator[Key]:
    permit = command.permit
    yield keys.place(permit.action_intent_id)
    account_id = hints.accounts.get(permit.action_intent_id)
    if account_id is not None:
        yield keys.execution(permit.tenant_id, account_id, permit.action_intent_id)
        if isinstance(command, c.TakePermit):
            for owner in {keys.owner_of(mark.scope) for mark in command.marks}:
                yield hints.unit.gate(owner, permit.tenant_id, account_id)


def _outcome(command: c.RecordOutcome, hints: _Hints) -> Iterator[Key]:
    outcome = command.outcome
    yield keys.outcome(outcome.tenant_id, outcome.account_id, outcome.action_intent_id)


def _entry(command: c.AppendLedger, hints: _Hints) -> Iterator[Key]:
    record = command.record
    yield keys.head(record.tenant_id, record.account_id)
    if record.action_intent_id:
        yield keys.place(record.action_intent_id)


def _switch(command: c.SetKillSwitch, hints: _Hints) -> Iterator[Key]:
    yield keys.switch(command.switch.scope)
    for shard in range(hints.shape.gates):
        yield keys.gate(keys.owner_of(command.switch.scope), shard)


def _budget(command: c.SetBudget, hints: _Hints) -> Iterator[Key]:
    yield keys.budgets(command.budget.tenant_id)
    for shard in range(hints.shape.gates):
        yield keys.gate(command.budget.tenant_id, shard)


def _growth(command: c.AppendToLog, hints: _Hints) -> Iterator[Key]:
    yield keys.log_head(command.head.tenant_id)


_LOOKED_AT: Final[dict[type, Callable[[Any, _Hints], Iterator[Key]]]] = {
    c.CreateIntent: _creation,
    c.UpdateIntent: _update,
    c.StartAttempt: _start,
    c.UpdateAttempt: _attempt,
    c.TakePermit: _permit,
    c.SettlePermit: _permit,
    c.DoubtAfterRestore: _permit,
    c.RecordOutcome: _outcome,
    c.AppendLedger: _entry,
    c.SetKillSwitch: _switch,
    c.SetBudget: _budget,
    c.AppendToLog: _growth,
}


def looked_at(commands: Sequence[Command], shape: Shape) -> set[Key]:
    """What the commands will surely look at, as far as they say it themselves; the rest is read when it is met."""
    hints = _Hints(commands, shape)
    return {
        key for command in commands if type(command) in _LOOKED_AT for key in _LOOKED_AT[type(command)](command, hints)
    }
