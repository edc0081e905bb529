"""The writer's book: what it knows, the batch under way, and how a commit is done in it or refused.

A command's method is a generator: what stands before its `yield` checks the condition and changes nothing, what stands
after it is the effect. A commit runs all the checks, and only if none raised `Conflict` all the effects; so a commit
that conflicts leaves nothing to undo, and no savepoint is needed to keep its neighbours in the batch out of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final

from enactor.domain.attempt import ExecutionAttempt
from enactor.domain.intent import ActionIntent
from enactor.domain.ledger import LedgerRecord, entry_hash
from enactor.domain.permit import WritePermit
from enactor.ports.commands import Conflict, ConflictKind
from enactor.stores.sqlite import codec, sql
from enactor.stores.sqlite.news import News
from enactor.stores.sqlite.rows import Row, Rows
from enactor.stores.sqlite.shared import Shared
from enactor.stores.sqlite.state import Facts, States

Method = Callable[["Book", Any, str, "Unit"], Iterator[None]]
"""Does one command: takes the book, the command, its record as JSON (or "") and the commit it is part of."""


class Unit:
    """One commit, with what it writes itself where a condition is held against that instead of what is stored.

    Its entries in the ledger stand apart: they have no condition, and are most of what is written.
    """

    __slots__ = ("attempts", "commands", "entries", "settled")

    def __init__(self) -> None:
        self.commands: list[tuple[Method, Any, str]] = []
        self.entries: list[LedgerRecord] = []
        self.attempts: dict[str, ExecutionAttempt] = {}
        self.settled: dict[int, WritePermit] = {}


class Book:
    """Everything that conditions are held against, and the rows of the batch under way.

    Args:
        connection: the writer's.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.shared: Final = Shared()
        self.rows: Final = Rows(connection, self.shared.write)
        self.states: Final = States(self.rows)
        self.news = News()
        self.shared.open(self.rows)

    def apply(self, unit: Unit) -> None:
        """Does all of a commit's commands, in memory and in `rows`, or none. Raises `Conflict`."""
        steps = [method(self, command, body, unit) for method, command, body in unit.commands]
        for step in steps:
            next(step)
        for step in steps:
            next(step, None)
        if unit.entries:
            self._append(unit.entries)

    def _append(self, records: list[LedgerRecord]) -> None:
        """Gives entries their places in their chains."""
        shared, rows = self.shared, self.rows.of(sql.ADD_LEDGER)
        for record in records:
            shared.position = position = shared.position + 1
            sequence = self._sequence(record.action_intent_id, position) if record.action_intent_id else 0
            tenant_id, account_id = chain = (record.tenant_id, record.account_id)
            seq, prev_hash = shared.head(chain)
            seq += 1
            own_hash = entry_hash(record, seq, sequence, prev_hash)
            shared.move_head(chain, seq, own_hash)
            rows.append(
                (
                    position,
                    tenant_id,
                    account_id,
                    seq,
                    record.action_intent_id,
                    sequence,
                    record.run_number,
                    str(record.event_type),
                    record.timestamp,
                    record.actor,
                    record.trace_id,
                    record.decision_trace_id,
                    record.entry_id,
                    record.data,
                    record.salt,
                    record.data_commitment,
                    prev_hash,
                    own_hash,
                )
            )

    def _sequence(self, action_intent_id: str, position: int) -> int:
        """The number of an intent's new entry among all of its own."""
        state = self.states.get(action_intent_id)
        state.entries.append(position)
        state.restated = True
        self.shared.changed(action_intent_id, state)
        return len(state.entries)

    def take_news(self) -> News:
        """What the batch that has just been committed changed. To be called when nothing is pending."""
        news, self.news = self.news, News()
        news.position = self.shared.position
        self.states.trim(self.shared.over)
        self.shared.over.clear()
        return news

    def stored(self, query: str, key: Row) -> str:
        """The body of a record that is known to be there, as the batch has it by now."""
        self.rows.flush()
        return str(self.rows.connection.execute(query, key).fetchone()[0])

    def intent(self, action_intent_id: str) -> ActionIntent:
        """An intent that is known to be there, as the batch has it by now."""
        return codec.intent(self.stored("SELECT body FROM intents WHERE action_intent_id = ?", (action_intent_id,)))

    # -- effect keys ---------------------------------------------------------------------------------------------

    def require_effect_key(self, action_intent_id: str, facts: Facts) -> None:
        """Raises `Conflict` when another intent holds the effect key."""
        holder = self.shared.effect_holder(facts.tenant_id, facts.effect_key) if facts.effect_key else None
        if holder not in (None, action_intent_id):
            raise Conflict(ConflictKind.EFFECT_KEY_TAKEN, holder)

    def claim(self, action_intent_id: str, facts: Facts) -> None:
        """Gives an intent its effect key, if it has one."""
        if facts.effect_key:
            self.shared.hold(facts.tenant_id, facts.effect_key, action_intent_id)

    def release(self, action_intent_id: str, facts: Facts) -> None:
        """Takes an intent's effect key back, if it holds it."""
        if facts.effect_key and self.shared.effect_holder(facts.tenant_id, facts.effect_key) == action_intent_id:
            self.shared.hold(facts.tenant_id, facts.effect_key, None)
