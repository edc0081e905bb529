"""Indexes that are kept up in strides: of the ledger by chain and trace, and of starts by second.

An index that every commit kept up would cost it a page for each entry's place in it; kept up for many entries at once,
in one statement, it costs next to nothing. What is newer than the last stride is searched as it lies in its table: it
is at most a stride. The stride is taken in the transaction of the batch that fills it.
"""

from __future__ import annotations

import sqlite3
from typing import Final

STRIDE: Final = 1_024
"""So many entries of the ledger are indexed at once."""

_STATEMENTS: Final = (
    """
    INSERT INTO ledger_of_chains SELECT tenant_id, account_id, position FROM ledger
    WHERE position > :covered AND position <= :position
    """,
    """
    INSERT OR IGNORE INTO traces
    SELECT trace_id, action_intent_id FROM ledger
        WHERE position > :covered AND position <= :position AND action_intent_id <> '' AND trace_id <> ''
    UNION SELECT decision_trace_id, action_intent_id FROM ledger
        WHERE position > :covered AND position <= :position AND action_intent_id <> '' AND decision_trace_id <> ''
    """,
    """
    INSERT INTO budget_starts SELECT tenant_id, charged_second, action_type, count(*) FROM executions
    WHERE number > :counted AND number <= :number AND charged_second > 0 GROUP BY 1, 2, 3
    ON CONFLICT (tenant_id, second, action_type) DO UPDATE SET starts = starts + excluded.starts
    """,
    "UPDATE strides SET position = :position, number = :number",
)


def covered(connection: sqlite3.Connection) -> tuple[int, int]:
    """The last entry of the ledger and the last execution that the indexes cover."""
    position, number = connection.execute("SELECT position, number FROM strides").fetchone()
    return position, number


def cover(connection: sqlite3.Connection, before: tuple[int, int], upto: tuple[int, int]) -> None:
    """Has the indexes cover everything up to `upto`, in the transaction under way."""
    key = {"covered": before[0], "position": upto[0], "counted": before[1], "number": upto[1]}
    for statement in _STATEMENTS:
        connection.execute(statement, key)
