"""What the writer knows beside single intents: keys, limits, switches, budgets and the ends of chains."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Final

from enactor.domain.budget import ANY_ACTION_TYPE, Budget, window_start
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.ledger import GENESIS
from enactor.ports.commands import InternalObject, RequestKey
from enactor.stores.sqlite import codec, sql, strides
from enactor.stores.sqlite.rows import Rows
from enactor.stores.sqlite.state import IntentState

_CHAINS_KEPT: Final = 20_000
_HEAD: Final = """
SELECT seq, hash FROM ledger WHERE position = (
    SELECT max(position) FROM ledger_of_chains WHERE tenant_id = ? AND account_id = ?)
"""
_STARTS: Final = """
SELECT (SELECT coalesce(sum(starts), 0) FROM budget_starts
        WHERE tenant_id = ?1 AND second >= ?2 AND second < ?3 AND ?4 IN ('*', action_type))
    + (SELECT count(*) FROM executions WHERE number > (SELECT number FROM strides)
        AND tenant_id = ?1 AND charged_second >= ?2 AND charged_second < ?3 AND ?4 IN ('*', action_type))
"""


class Shared:
    """Conditions that hold over many intents.

    Whatever is changed here reaches the database with the batch's next flush; until then it is answered from memory.
    """

    def __init__(self) -> None:
        self.switches: dict[str, KillSwitch] = {}
        self.position = 0
        self.over: list[str] = []
        """The intents that were over when they were written last."""
        self._covered = (0, 0)
        self._rows: Rows
        self._pending: Counter[tuple[str, ...]] = Counter()
        self._effect_keys: dict[tuple[str, str], str | None] = {}
        self._changed: dict[str, IntentState] = {}
        self._number = 0
        self._requests: dict[tuple[str, str, str], RequestKey] = {}
        self._objects: dict[tuple[str, str, str], InternalObject] = {}
        self._budgets: dict[str, dict[str, Budget]] = {}
        self._used: dict[tuple[str, str], tuple[int, int]] = {}
        self._starts: Counter[tuple[str, int, str]] = Counter()
        self._chains: dict[tuple[str, str], tuple[int, str]] = {}

    def open(self, rows: Rows) -> None:
        """Reads what is small and asked for all the time."""
        self._rows = rows
        execute = rows.connection.execute
        for (body,) in execute("SELECT body FROM kill_switches"):
            switch = codec.kill_switch(body)
            self.switches[switch.scope] = switch
        for (body,) in execute("SELECT body FROM budgets"):
            budget = codec.budget(body)
            self._budgets.setdefault(budget.tenant_id, {})[budget.action_type] = budget
        waiting = (
            "SELECT tenant_id, proposed_by, count(*) FROM unfinished WHERE status = 'PENDING_APPROVAL' GROUP BY 1, 2"
        )
        for tenant_id, proposer, count in execute(waiting):
            self.count_pending(tenant_id, proposer, count)
        self.position = execute("SELECT coalesce(max(position), 0) FROM ledger").fetchone()[0]
        self._number = execute("SELECT coalesce(max(number), 0) FROM executions").fetchone()[0]
        self._covered = strides.covered(rows.connection)
        if self._covered != (self.position, self._number):
            execute("BEGIN IMMEDIATE")
            self._cover()
            execute("COMMIT")

    def write(self, rows: Rows) -> None:
        """Hands over the rows of what changed since the last flush."""
        if self._changed:
            for action_intent_id, state in self._changed.items():
                self._number += state.write(action_intent_id, rows, self._number + 1)
                if not state.listed:
                    self.over.append(action_intent_id)
            self._changed.clear()
        if self._effect_keys:
            held = self._effect_keys.items()
            rows.add_all(sql.PUT_EFFECT_KEY, ((*key, holder) for key, holder in held if holder is not None))
            rows.add_all(sql.DROP_EFFECT_KEY, (key for key, holder in held if holder is None))
            self._effect_keys.clear()
        if self._starts:
            rows.add_all(sql.ADD_STARTS, ((*key, count) for key, count in self._starts.items()))
            self._starts.clear()
        self._requests.clear()
        self._objects.clear()

    def keep_up(self) -> None:
        """Takes a stride, if one is full, in the transaction under way. To be called when nothing is pending."""
        if self.position - self._covered[0] >= strides.STRIDE:
            self._cover()

    def _cover(self) -> None:
        upto = (self.position, self._number)
        strides.cover(self._rows.connection, self._covered, upto)
        self._covered = upto
        # Up to here the index tells what memory had to.
        if len(self._chains) > _CHAINS_KEPT:
            self._chains.clear()

    # -- intents -------------------------------------------------------------------------------------------------

    def changed(self, action_intent_id: str, state: IntentState) -> None:
        """Has an intent's rows written, as it will be at the next flush."""
        self._changed[action_intent_id] = state

    def count_pending(self, tenant_id: str, proposer: str, change: int) -> None:
        """Counts an intent that begins or ceases to wait for approval."""
        for key in ((tenant_id, proposer), (tenant_id,)):
            self._pending[key] += change
            if not self._pending[key]:
                del self._pending[key]

    def pending(self, *key: str) -> int:
        """How many intents of a tenant, or of a tenant's proposer, wait for approval."""
        return self._pending.get(key, 0)

    def effect_holder(self, tenant_id: str, effect_key: str) -> str | None:
        """The intent that holds an effect key."""
        key = (tenant_id, effect_key)
        if key in self._effect_keys:
            return self._effect_keys[key]
        found = self._rows.connection.execute(
            "SELECT action_intent_id FROM effect_keys WHERE tenant_id = ? AND effect_key = ?", key
        ).fetchone()
        return found[0] if found else None

    def hold(self, tenant_id: str, effect_key: str, holder: str | None) -> None:
        """Gives an effect key to an intent, or back."""
        self._effect_keys[tenant_id, effect_key] = holder

    def request(self, tenant_id: str, principal: str, key: str) -> RequestKey | None:
        """What an `Idempotency-Key` stands for."""
        known = self._requests.get((tenant_id, principal, key))
        if known is not None:
            return known
        found = self._rows.connection.execute(
            "SELECT body FROM requests WHERE tenant_id = ? AND principal = ? AND key = ?", (tenant_id, principal, key)
        ).fetchone()
        return codec.request(found[0]) if found else None

    def add_request(self, request: RequestKey, body: str) -> None:
        """Remembers an `Idempotency-Key`."""
        self._requests[request.tenant_id, request.principal, request.key] = request
        self._rows.add(sql.ADD_REQUEST, (request.tenant_id, request.principal, request.key, body))

    # -- internal objects ----------------------------------------------------------------------------------------

    def object_made(self, made: InternalObject) -> InternalObject | None:
        """What the creation key made, deleted or not, or what has the object's id."""
        for name in _names(made):
            if name in self._objects:
                return self._objects[name]
        found = self._rows.connection.execute(
            "SELECT body FROM objects WHERE tenant_id = ?1 AND creation_key = ?2 "
            "UNION ALL SELECT body FROM objects WHERE tenant_id = ?1 AND object_id = ?3 LIMIT 1",
            (made.tenant_id, made.creation_key, made.object_id),
        ).fetchone()
        return codec.internal_object(found[0]) if found else None

    def add_object(self, made: InternalObject, body: str) -> None:
        """Remembers an internal object."""
        self._objects.update(dict.fromkeys(_names(made), made))
        key = (made.tenant_id, made.object_id, made.account_id, made.object_type, made.creation_key, made.created_at)
        self._rows.add(sql.ADD_OBJECT, (*key, body))

    # -- budgets -------------------------------------------------------------------------------------------------

    def set_budget(self, budget: Budget) -> None:
        """Puts a budget in force; what its window has used is counted anew."""
        self._budgets.setdefault(budget.tenant_id, {})[budget.action_type] = budget
        self._used.pop((budget.tenant_id, budget.action_type), None)

    def budgets_of(self, tenant_id: str, action_type: str) -> list[Budget]:
        """The budgets that a start of the action type has to fit into."""
        own = self._budgets.get(tenant_id)
        if not own:
            return []
        return [own[name] for name in (action_type, ANY_ACTION_TYPE) if name in own]

    def used(self, budget: Budget, now_ms: int) -> int:
        """How many charged runs a budget's window has seen start."""
        key = (budget.tenant_id, budget.action_type)
        began = window_start(budget, now_ms)
        known = self._used.get(key)
        if known is None or known[0] != began:
            self._rows.flush()
            self._used[key] = known = (began, count_starts(self._rows.connection, budget, began))
        return known[1]

    def charge(self, tenant_id: str, action_type: str, now_ms: int) -> int:
        """Charges a start to the budgets. Returns the second that it belongs to."""
        for budget in self.budgets_of(tenant_id, action_type):
            known = self._used.get((tenant_id, budget.action_type))
            if known is not None and known[0] == window_start(budget, now_ms):
                self._used[tenant_id, budget.action_type] = (known[0], known[1] + 1)
        return now_ms // 1000

    def count_start(self, tenant_id: str, second: int, action_type: str) -> None:
        """Counts a start whose execution has its row already."""
        self._starts[tenant_id, second, action_type] += 1

    # -- chains --------------------------------------------------------------------------------------------------

    def head(self, chain: tuple[str, str]) -> tuple[int, str]:
        """Number and hash of a chain's last entry."""
        known = self._chains.get(chain)
        if known is None:
            found = self._rows.connection.execute(_HEAD, chain).fetchone()
            known = self._chains[chain] = (found[0], found[1]) if found else (0, GENESIS)
        return known

    def move_head(self, chain: tuple[str, str], seq: int, entry_hash: str) -> None:
        """Remembers a chain's new last entry."""
        self._chains[chain] = (seq, entry_hash)


def count_starts(connection: sqlite3.Connection, budget: Budget, began: int) -> int:
    """The starts in the database that a budget's window holds."""
    key = (budget.tenant_id, began, began + budget.window_seconds, budget.action_type)
    return int(connection.execute(_STARTS, key).fetchone()[0])


def _names(made: InternalObject) -> tuple[tuple[str, str, str], ...]:
    return ((made.tenant_id, "key", made.creation_key), (made.tenant_id, "id", made.object_id))
