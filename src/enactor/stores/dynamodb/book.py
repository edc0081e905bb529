"""What the conditions and effects of all commands share: where things are, and what the commit itself writes."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from enactor.domain.attempt import ExecutionAttempt
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.permit import WritePermit
from enactor.ports import commands as c
from enactor.ports.commands import Command, Conflict, ConflictKind
from enactor.stores.dynamodb import codec, keys
from enactor.stores.dynamodb.keys import Key, shard_of
from enactor.stores.dynamodb.layers import Layer
from enactor.stores.dynamodb.wire import Item


class Shape(Struct, frozen=True):
    """Into how many parts a store spreads what would be one hot item. Fixed when the store is created.

    Attributes:
        shards: partitions of a tenant's live and ended runs, of its listings, of its starts, and of new entries.
        gates: copies of what stops starts and permits; setting a switch or a budget writes them all in one commit.
    """

    shards: int = 16
    gates: int = 32


class Unit:
    """What one commit itself writes, where a condition is held against that instead of what is stored."""

    def __init__(self, commands: Sequence[Command], shape: Shape) -> None:
        self.shape = shape
        self._attempts: dict[str, ExecutionAttempt] = {}
        self.settled: dict[int, WritePermit] = {}
        for command in commands:
            if isinstance(command, c.StartAttempt | c.UpdateAttempt):
                self._attempts[command.attempt.action_intent_id] = command.attempt
            elif isinstance(command, c.SettlePermit):
                self.settled[command.permit.call_no] = command.permit

    def attempt_of(self, action_intent_id: str, stored: Item | None) -> ExecutionAttempt:
        """The attempt as it is after this commit. Raises `Conflict` when there is none."""
        attempt = self._attempts.get(action_intent_id) or attempt_in(stored)
        if attempt is None:
            raise Conflict(ConflictKind.NOT_FOUND)
        return attempt

    def gate(self, owner: str, tenant_id: str, account_id: str) -> Key:
        """The copy of an owner's gate that an account's runs pass.

        An account's commits follow one another anyway, for the sake of its chain; so its runs share one copy, and
        different accounts seldom do.
        """
        return keys.gate(owner, shard_of(keys.chain(tenant_id, account_id), self.shape.gates))

    def shard(self, name: str) -> int:
        """The shard of an intent or account."""
        return shard_of(name, self.shape.shards)


def attempt_in(stored: Item | None) -> ExecutionAttempt | None:
    """The attempt in an execution's item; None before the first start."""
    return codec.record(ExecutionAttempt, stored) if stored is not None and "status" in stored else None


def permits_in(stored: Item | None) -> dict[int, WritePermit]:
    """The permits in an execution's item, by call number."""
    if stored is None:
        return {}
    found = [codec.parsed(WritePermit, text) for text in stored.get("permits", [])]
    return {permit.call_no: permit for permit in found}


def account_of(layer: Layer, action_intent_id: str) -> tuple[str, str]:
    """Tenant and account of an intent; they never change. Raises `Conflict` when there is no such intent."""
    stored = layer.peek(keys.place(action_intent_id))
    if stored is None or "account_id" not in stored:
        raise Conflict(ConflictKind.NOT_FOUND)
    return str(stored["tenant_id"]), str(stored["account_id"])


def switch_named(layer: Layer, scope: str) -> KillSwitch | None:
    """A switch, to word a conflict with."""
    stored = layer.peek(keys.switch(scope))
    return codec.record(KillSwitch, stored) if stored is not None else None


def marks_in(gate: Item | None) -> dict[str, list[int]]:
    """Of each switch of a gate: its generation, whether it is on, and whether compensation is allowed."""
    return {} if gate is None else gate.get("marks", {})
