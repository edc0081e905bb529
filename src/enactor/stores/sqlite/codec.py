"""Records as JSON text and back."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from enactor.domain.action_type import ActionType
from enactor.domain.approval import Approval
from enactor.domain.attempt import ExecutionAttempt
from enactor.domain.budget import Budget
from enactor.domain.canonical import struct_json
from enactor.domain.intent import ActionIntent
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.log import LogCheckpoint, LogKey
from enactor.domain.outcome import ActionOutcome
from enactor.domain.permit import WritePermit
from enactor.domain.policy import PolicySet
from enactor.ports.commands import InternalObject, RequestCancel, RequestKey
from enactor.ports.store import Undelivered


class Execution(Struct, frozen=True):
    """The body of a row of `executions`: all that an intent's runs have left."""

    attempt: ExecutionAttempt | None
    permits: tuple[WritePermit, ...]
    outcomes: tuple[ActionOutcome, ...]
    cancels: tuple[RequestCancel, ...]

    @property
    def outcome(self) -> ActionOutcome | None:
        """The last outcome of the current run, or of the first one while none was started."""
        last = self.outcomes[-1] if self.outcomes else None
        current = self.attempt.run_number if self.attempt else 1
        return last if last is not None and last.run_number == current else None


NEVER_RAN: Final = Execution(None, (), (), ())

action_type: Final = msgspec.json.Decoder(ActionType).decode
approval: Final = msgspec.json.Decoder(Approval).decode
budget: Final = msgspec.json.Decoder(Budget).decode
execution: Final = msgspec.json.Decoder(Execution).decode
intent: Final = msgspec.json.Decoder(ActionIntent).decode
internal_object: Final = msgspec.json.Decoder(InternalObject).decode
kill_switch: Final = msgspec.json.Decoder(KillSwitch).decode
log_checkpoint: Final = msgspec.json.Decoder(LogCheckpoint).decode
log_key: Final = msgspec.json.Decoder(LogKey).decode
outcome: Final = msgspec.json.Decoder(ActionOutcome).decode
positions: Final = msgspec.json.Decoder(list[int]).decode
policies: Final = msgspec.json.Decoder(PolicySet).decode
request: Final = msgspec.json.Decoder(RequestKey).decode
undelivered: Final = msgspec.json.Decoder(Undelivered).decode


def text_of(record: object) -> str:
    """The record as JSON. Raises `InvalidInput` when a text in it is not Unicode, as with half a surrogate pair."""
    return struct_json(record).decode()
