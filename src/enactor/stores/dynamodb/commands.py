"""Which function does a command, and how a commit does them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from enactor.ports import commands as c
from enactor.ports.commands import Command
from enactor.stores.dynamodb import chains, configuration, erasing, intents, logs, runs
from enactor.stores.dynamodb.book import Shape, Unit
from enactor.stores.dynamodb.layers import Layer
from enactor.stores.dynamodb.shown import show

_METHODS: Final[dict[type, Callable[[Layer, Any, Unit], Iterator[None]]]] = {
    c.CreateIntent: intents.create_intent,
    c.ReserveRequest: intents.reserve_request,
    c.UpdateIntent: intents.update_intent,
    c.AppendApproval: intents.append_approval,
    c.StartAttempt: runs.start_attempt,
    c.UpdateAttempt: runs.update_attempt,
    c.TakePermit: runs.take_permit,
    c.SettlePermit: runs.settle_permit,
    c.DoubtAfterRestore: runs.doubt_after_restore,
    c.RequestCancel: runs.request_cancel,
    c.RecordOutcome: runs.record_outcome,
    c.ReleaseEffectKey: intents.release_effect_key,
    c.AppendLedger: chains.append_ledger,
    c.RegisterActionType: configuration.register_action_type,
    c.DeprecateActionType: configuration.deprecate_action_type,
    c.SetKillSwitch: configuration.set_kill_switch,
    c.SetBudget: configuration.set_budget,
    c.SetPolicies: configuration.set_policies,
    c.CreateObject: configuration.create_object,
    c.DeleteObject: configuration.delete_object,
    c.AppendToLog: logs.append_to_log,
    c.KeepCheckpoint: logs.keep_checkpoint,
    c.CosignCheckpoint: logs.cosign_checkpoint,
    c.PutLogKey: logs.put_log_key,
    c.EraseIntent: erasing.erase_intent,
}


def do(layer: Layer, commands: Sequence[Command], shape: Shape) -> None:
    """Does all of `commands` in the layer.

    Raises:
        Conflict: a condition does not hold; the layer is of no use any more.
        NeedItems, NeedStarts, NeedOfIntent, NeedErased: something has to be done first, and then all of it anew.
    """
    unit = Unit(commands, shape)
    steps = [_METHODS[type(command)](layer, command, unit) for command in commands]
    for step in steps:
        next(step)
    for step in steps:
        next(step, None)
    for action_intent_id, new in list(layer.changed.items()):
        show(layer, unit, action_intent_id, new=new)
