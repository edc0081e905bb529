"""Which method does which command, and what can be made ready before the writer's turn comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from enactor.ports import commands as c
from enactor.stores.sqlite import codec, erasure, intents, logs, runs
from enactor.stores.sqlite import configuration as conf
from enactor.stores.sqlite.book import Method, Unit

_METHODS: Final[dict[type, tuple[Method, Callable[[Any], object] | None]]] = {
    c.CreateIntent: (intents.create_intent, attrgetter("intent")),
    c.ReserveRequest: (intents.reserve_request, attrgetter("request")),
    c.UpdateIntent: (intents.update_intent, attrgetter("intent")),
    c.AppendApproval: (intents.append_approval, attrgetter("approval")),
    c.StartAttempt: (runs.start_attempt, attrgetter("attempt")),
    c.UpdateAttempt: (runs.update_attempt, attrgetter("attempt")),
    c.TakePermit: (runs.take_permit, attrgetter("permit")),
    c.SettlePermit: (runs.settle_permit, attrgetter("permit")),
    c.DoubtAfterRestore: (runs.doubt_after_restore, attrgetter("permit")),
    c.RequestCancel: (runs.request_cancel, lambda command: command),
    c.RecordOutcome: (runs.record_outcome, attrgetter("outcome")),
    c.ReleaseEffectKey: (runs.release_effect_key, None),
    c.RegisterActionType: (conf.register_action_type, attrgetter("action_type")),
    c.DeprecateActionType: (conf.deprecate_action_type, attrgetter("action_type")),
    c.SetKillSwitch: (conf.set_kill_switch, attrgetter("switch")),
    c.SetBudget: (conf.set_budget, attrgetter("budget")),
    c.SetPolicies: (conf.set_policies, attrgetter("policies")),
    c.CreateObject: (conf.create_object, attrgetter("object")),
    c.DeleteObject: (conf.delete_object, None),
    c.AppendToLog: (logs.append_to_log, None),
    c.KeepCheckpoint: (logs.keep_checkpoint, attrgetter("checkpoint")),
    c.CosignCheckpoint: (logs.cosign_checkpoint, attrgetter("checkpoint")),
    c.PutLogKey: (logs.put_log_key, attrgetter("key")),
    c.EraseIntent: (erasure.erase_intent, None),
    conf.MoveCursor: (conf.move_cursor, None),
    conf.KeepUndelivered: (conf.keep_undelivered, attrgetter("record")),
    conf.ForgetUndelivered: (conf.forget_undelivered, None),
}


def prepare(commands: Sequence[Any]) -> Unit:
    """A commit with its records as JSON, so that nothing can go wrong with them while others wait.

    Raises:
        InvalidInput: a text in a record is not Unicode.
    """
    unit = Unit()
    add = unit.commands.append
    for command in commands:
        kind = type(command)
        if kind is c.AppendLedger:
            unit.entries.append(command.record)
            continue
        method, record_of = _METHODS[kind]
        add((method, command, codec.text_of(record_of(command)) if record_of is not None else ""))
        if kind is c.UpdateAttempt or kind is c.StartAttempt:
            unit.attempts[command.attempt.action_intent_id] = command.attempt
        elif kind is c.SettlePermit:
            unit.settled[command.permit.call_no] = command.permit
    return unit
