"""Fills a database with very many finished executions, by copying a few inside SQLite.

The store itself writes the first ones with the commits that executions make. The others are copies of their rows, each
under an id, a time and positions of its own: the tables and indexes are as large and as deep as if every one had been
run, and the store reads and writes them as any other. Only the chains do not hold over them, which no execution asks.
"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks.store import Workload, fill
from enactor.stores.sqlite import SqliteStore

_MADE: Final = 2_000
"""So many are written by the store, and then copied again and again."""

_COPIES: Final = (
    """
    CREATE TEMP TABLE made AS
    SELECT i.rowid AS intent, e.number AS number, i.action_intent_id AS id,
        'ai_' || printf('%08x', :minute) || substr(i.action_intent_id, 12) AS new_id
    FROM intents i JOIN executions e ON e.action_intent_id = i.action_intent_id ORDER BY i.rowid LIMIT :made
    """,
    """
    INSERT INTO intents
    SELECT new_id, tenant_id, account_id, action_type, connector_id, proposed_by, status, revision,
        replace(body, id, new_id)
    FROM made CROSS JOIN intents ON intents.rowid = made.intent
    """,
    """
    INSERT INTO executions
    SELECT made.number + :executions, new_id, tenant_id, action_type, status, run_number, updated_at, resume_at,
        deadline_at, charged_second,
        (SELECT json_group_array(value + :entries) FROM json_each(entries)), replace(body, id, new_id)
    FROM made CROSS JOIN executions ON executions.number = made.number
    """,
    """
    INSERT INTO ledger
    SELECT position + :entries, tenant_id, account_id, seq + :entries, new_id, sequence, run_number, event_type,
        timestamp, actor, trace_id, decision_trace_id, entry_id, replace(data, id, new_id), salt, data_commitment,
        prev_hash, hash
    FROM ledger CROSS JOIN made ON made.id = ledger.action_intent_id WHERE position <= :last
    """,
    # From the first entries and not from the indexes themselves, which would be read to their end for each copy.
    """
    INSERT INTO ledger_of_chains SELECT tenant_id, account_id, position + :entries FROM ledger WHERE position <= :last
    """,
    """
    INSERT INTO traces
    SELECT trace_id, new_id FROM ledger CROSS JOIN made ON made.id = action_intent_id WHERE position <= :last
    UNION
    SELECT decision_trace_id, new_id FROM ledger CROSS JOIN made ON made.id = action_intent_id WHERE position <= :last
    """,
    "UPDATE strides SET position = position + :last, number = number + :made",
    "DROP TABLE made",
)


async def fill_by_copying(path: Path, workload: Workload, count: int) -> None:
    """Makes a database at `path` with `count` finished executions, rounded up to a whole number of copies."""
    store = await SqliteStore.open(path, clock=workload.clock)
    await fill(store, workload, _MADE)
    await store.close()
    # Opening it once more has the last stride taken, so that all of them are in the indexes.
    await (await SqliteStore.open(path, clock=workload.clock)).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Nothing of this has to outlive a crash.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -262144")
        connection.execute("PRAGMA temp_store = MEMORY")
        (last,) = connection.execute("SELECT max(position) FROM ledger").fetchone()
        (began,) = connection.execute("SELECT min(action_intent_id) FROM intents").fetchone()
        copies = -(-count // _MADE) - 1
        for copy in range(1, copies + 1):
            values = {
                # Ids begin with their time: each copy lies after the one before it, and all before what is run later.
                "minute": int(began[3:11], 16) - copies - 1 + copy,
                "made": _MADE,
                "executions": _MADE * copy,
                "entries": last * copy,
                "last": last,
            }
            connection.execute("BEGIN")
            for statement in _COPIES:
                connection.execute(statement, values)
            connection.execute("COMMIT")
            if copy % 50 == 0:
                print(f"filled {copy * _MADE:,} of {count:,}", file=sys.stderr)
        connection.execute("PRAGMA journal_mode = WAL")
