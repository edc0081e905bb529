"""What a batch changed that readers answer from memory. They hear of it once it is durable, before its writers do."""

from __future__ import annotations

from msgspec import Struct, field

from enactor.domain.action_type import ActionType
from enactor.domain.intent import ActionIntent
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.policy import PolicySet


class News(Struct):
    """The new records, in the order in which they were written, and the end of the ledger."""

    intents: list[ActionIntent] = field(default_factory=list)
    switches: list[KillSwitch] = field(default_factory=list)
    action_types: list[ActionType] = field(default_factory=list)
    policies: list[PolicySet] = field(default_factory=list)
    position: int = 0
