"""Queries of the SQLite store: none reads everything that ever ran, and what was altered can still be read."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import approved
from enactor.domain.ledger import ChainVerifier
from enactor.ports.store import LedgerFilter
from enactor.stores.sqlite import SqliteStore, ledger_reads, listings, log_reads
from enactor.stores.sqlite.migrate import migrate, migrations

LARGE = (
    "log_tiles",
    "log_leaves",
    "log_checkpoints",
    "intents",
    "executions",
    "ledger",
    "ledger_of_chains",
    "traces",
    *"iepcotl",
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """An empty database of ours."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, "test", migrations())
        yield connection


def plan(connection: sqlite3.Connection, query: str) -> list[str]:
    """How SQLite means to answer a query, line by line."""
    parameters = {f"{number}": None for number in range(1, 12)}
    count = max((int(name) for name in parameters if f"?{name}" in query), default=query.count("?"))
    return [line for *_, line in connection.execute(f"EXPLAIN QUERY PLAN {query}", [None] * count)]


@pytest.mark.parametrize(
    "query",
    [
        *(pytest.param(query, id=f"executions {status}") for status, (query, _) in listings._LISTINGS.items()),
        pytest.param(listings._DUE, id="due"),
        pytest.param(listings._EXPIRED, id="expired"),
        pytest.param(listings._IN_SCOPE, id="runs in scope"),
        pytest.param(listings._OBJECTS, id="objects"),
        pytest.param(ledger_reads._EVERYWHERE, id="ledger"),
        pytest.param(ledger_reads._OF_INTENT, id="ledger of an intent"),
        pytest.param(ledger_reads._NEWEST, id="newest of a ledger"),
        pytest.param(ledger_reads._OF_CHAIN, id="ledger of a chain"),
        pytest.param(ledger_reads._ACCOUNTS, id="accounts of a ledger"),
        pytest.param(ledger_reads._AT, id="ledger by position"),
        pytest.param(log_reads._FEED, id="feed of the logs"),
        pytest.param(log_reads._TILES, id="tiles of a log"),
        pytest.param(log_reads._LEAVES, id="leaves of a log"),
        pytest.param(log_reads._CHECKPOINTS, id="checkpoints of a log"),
    ],
)
def test_no_query_reads_a_large_table_from_end_to_end(connection: sqlite3.Connection, query: str) -> None:
    """Every large table is searched by a key; what is sorted is a page at most, or what ended lately."""
    lines = plan(connection, query)
    assert lines
    assert not [line for line in lines if line.startswith("SCAN") and line.split()[1] in LARGE]


def test_a_listing_stops_when_its_page_is_full(connection: sqlite3.Connection) -> None:
    """The rows of a page are picked in the order of an index, not sorted out of all that fit."""
    for status, (query, _) in listings._LISTINGS.items():
        lines = plan(connection, query)
        picked = lines[: lines.index("SCAN s")]
        assert not [line for line in picked if "TEMP B-TREE" in line], status


async def test_what_was_altered_can_be_read_and_is_found(tmp_path: Path) -> None:
    """An entry whose event type somebody replaced with nonsense does not stop the verifier, which names it."""
    clock = ManualClock()
    build = Builder(clock)
    path = tmp_path / "enactor.db"
    store = await SqliteStore.open(path, clock=clock)
    for _ in range(4):
        await approved(store, build)
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as vandal:
        vandal.execute("UPDATE ledger SET event_type = 'NOTHING_HAPPENED' WHERE position = 3")
    store = await SqliteStore.open(path, clock=clock)
    verifier = ChainVerifier()
    verifier.feed_all(await store.entries_after(0, 10))
    (fault,) = verifier.faults
    assert fault.seq == 3
    assert (await store.ledger(TENANT, LedgerFilter(), 10, None)).items[2].event_type == "NOTHING_HAPPENED"
    await store.close()
