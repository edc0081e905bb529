"""Somebody changes the database itself: every change of any entry of a ledger of 500 is caught, and named.

Each entry is changed in each way in a real database, inside a transaction that is taken back afterwards. What the store
then reads is checked from two entries before the change on, by a verifier that has seen what lies before it: so the
whole takes seconds and not minutes. One change of each kind is checked by `verify_store` from end to end.
"""

import asyncio
import copy
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.domain.evidence import FORMAT, End, Header, Scope, TileLine
from enactor.domain.ledger import LedgerEntry, chained
from enactor.domain.log import LogHead
from enactor.domain.verification import BundleVerifier
from enactor.ports.store import LedgerFilter
from enactor.service.evidence import StoreReport, line_of, verify_store
from enactor.service.sequencer import Sequencer
from enactor.stores.sqlite import SqliteStore, ledger_reads, log_reads

COUNT = 500
PAGE = 12
GAP = 10
"""Positions grow by that, so that something can be put in between."""

Change = Callable[[sqlite3.Connection, LedgerEntry], None]


async def make(path: Path) -> None:
    """A ledger of three accounts and the tenant itself, merged into its log."""
    clock = ManualClock()
    build, draw = Builder(clock), random.Random(3)
    store = await SqliteStore.open(path, clock=clock)
    intents = [build.intent(account_id=f"account-{draw.randrange(3)}") for _ in range(40)]
    entries = [build.entry(None if number % 23 == 0 else draw.choice(intents)) for number in range(COUNT)]
    for begin in range(0, COUNT, 50):
        await store.commit(entries[begin : begin + 50])
    await store.commit([build.entry(None, tenant_id="globex")])
    await Sequencer(store, clock).merge()
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE ledger SET position = -position * ?", (GAP,))
        connection.execute("UPDATE ledger SET position = -position")
        for table in ("log_leaves", "log_heads", "delivery_cursors"):
            connection.execute(f"UPDATE {table} SET position = position * ?", (GAP,))  # noqa: S608 - names above
        connection.commit()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledger."""
    path = tmp_path_factory.mktemp("ledger") / "enactor.db"
    asyncio.run(make(path))
    return path


class Ledger:
    """The ledger under a connection that changes it, and verifiers that have seen its beginning."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        head = log_reads.head(connection, TENANT)
        assert head is not None
        self.head: LogHead = head
        self.tiles = log_reads.tiles(connection, TENANT, [(0, 0), (0, 1)])
        self.entries = tuple(self.read(0, COUNT))
        self.lines = [msgspec.json.encode(line_of(entry)) for entry in self.entries]
        verifier = BundleVerifier()
        verifier.feed(
            msgspec.json.encode(
                Header(
                    format=FORMAT,
                    tenant_id=TENANT,
                    log="log/acme",
                    exported_at="",
                    scope=Scope(),
                    size=head.size,
                    root=head.root,
                )
            )
        )
        self.verifiers: list[BundleVerifier] = []
        for entry in self.entries:
            self.verifiers.append(fork(verifier))
            self.feed(verifier, msgspec.json.encode(line_of(entry)))
        assert verifier.faults == []

    def read(self, after: int, limit: int = PAGE) -> Iterator[LedgerEntry]:
        """What the store reads of the tenant's after a position."""
        page = ledger_reads.entries(self.connection, None, LedgerFilter(), limit, after)
        return (entry for entry in page if entry.tenant_id == TENANT)

    def lines_from(self, after: int) -> Iterator[bytes]:
        """The lines of what follows the `after`-th entry, as the store reads it; what has not changed, as it was."""
        position = after * GAP
        while read := list(self.read(position)):
            for entry in read:
                yield msgspec.json.encode(line_of(entry))
            position = read[-1].position
            there = position // GAP
            if len(read) == PAGE and read[-1] == self.entries[there - 1]:
                yield from self.lines[there:]
                return

    def feed(self, verifier: BundleVerifier, line: bytes) -> None:
        """An entry, with its tile's leaves before it."""
        index, within = divmod(verifier.entries, 256)
        if not within and (0, index) in self.tiles:
            verifier.feed(msgspec.json.encode(TileLine(index=index, hashes=self.tiles[0, index])))
        verifier.feed(line)

    def faults(self, change: Change, entry: LedgerEntry) -> list[tuple[str, int, str, str]]:
        """The faults that are found after a change, which is taken back: chain, number, id and words."""
        at = max(0, entry.position // GAP - 2)
        verifier = fork(self.verifiers[at])
        self.connection.execute("BEGIN")
        try:
            change(self.connection, entry)
            for line in self.lines_from(at):
                self.feed(verifier, line)
                if verifier.faults:
                    break
            else:
                verifier.feed(msgspec.json.encode(End(entries=verifier.entries)))
                verifier.finish()
        finally:
            self.connection.execute("ROLLBACK")
        return [(it.account_id, it.seq, it.entry_id, it.fault) for it in verifier.faults]


def fork(verifier: BundleVerifier) -> BundleVerifier:
    """A verifier that goes on from where another one is."""

    def copied(value: object) -> object:
        return copy.copy(value) if isinstance(value, dict | list | set) else value

    made, tree = copy.copy(verifier), copy.copy(verifier._tree)
    made.__dict__.update({name: copied(value) for name, value in vars(verifier).items()})
    tree.__dict__.update({name: copied(value) for name, value in vars(verifier._tree).items()})
    tree._growth = copy.deepcopy(tree._growth)
    tree._report = made.report
    made._tree = tree
    return made


def setting(column: str, value: Callable[[LedgerEntry], object]) -> Change:
    """Another value in one column of the entry's row."""

    def change(connection: sqlite3.Connection, entry: LedgerEntry) -> None:
        made = value(entry)
        assert made != getattr(entry, column)
        query = f"UPDATE ledger SET {column} = ? WHERE position = ?"  # noqa: S608 - a name of this module
        found = connection.execute(query, (made, entry.position))
        assert found.rowcount == 1

    return change


def flipped(text: str) -> str:
    """Another hexadecimal digit at the beginning."""
    return f"{int(text[0], 16) ^ 1:x}{text[1:]}"


def removed(connection: sqlite3.Connection, entry: LedgerEntry) -> None:
    """The row is gone."""
    connection.execute("DELETE FROM ledger WHERE position = ?", (entry.position,))


def truncated(connection: sqlite3.Connection, entry: LedgerEntry) -> None:
    """The row is gone, and everything after it."""
    connection.execute("DELETE FROM ledger WHERE position >= ?", (entry.position,))


def wiped(connection: sqlite3.Connection, entry: LedgerEntry) -> None:
    """Data and salt are gone, as if they had been erased."""
    connection.execute("UPDATE ledger SET data = '', salt = '' WHERE position = ?", (entry.position,))


def swapped(connection: sqlite3.Connection, entry: LedgerEntry) -> None:
    """The row has changed places with its neighbour."""
    here = entry.position
    there = here + GAP if here < COUNT * GAP else here - GAP
    for before, after in ((here, -1), (there, here), (-1, there)):
        connection.execute("UPDATE ledger SET position = ? WHERE position = ?", (after, before))


def inserted(connection: sqlite3.Connection, entry: LedgerEntry) -> None:
    """A further entry after this one, chained to it as it should be."""
    made = chained(
        replace(entry, entry_id="0" * 32, actor="somebody else"),
        seq=entry.seq + 1,
        sequence=entry.sequence + 1,
        prev_hash=entry.hash,
        position=entry.position + 1,
    )
    columns = [row[1] for row in connection.execute("PRAGMA table_info(ledger)")]
    values = [getattr(made, column) for column in columns]
    connection.execute(f"INSERT INTO ledger VALUES ({', '.join('?' * len(columns))})", values)  # noqa: S608 - question marks


TEXTS = (
    *("tenant_id", "account_id", "action_intent_id", "event_type", "timestamp", "actor"),
    *("trace_id", "decision_trace_id", "entry_id"),
)
CHANGES: dict[str, Change] = {
    **{name: setting(name, lambda entry, name=name: getattr(entry, name) + "x") for name in TEXTS},
    **{
        name: setting(name, lambda entry, name=name: getattr(entry, name) + 1)
        for name in ("seq", "sequence", "run_number")
    },
    **{
        name: setting(name, lambda entry, name=name: flipped(getattr(entry, name)))
        for name in ("salt", "data_commitment", "prev_hash", "hash")
    },
    "data": setting("data", lambda entry: entry.data.replace("RUNNING", "PAUSED")),
    "data that is no JSON": setting("data", lambda _: "gone\n"),
    "removed": removed,
    "truncated": truncated,
    "wiped": wiped,
    "swapped": swapped,
    "inserted": inserted,
}
MOVED = setting("position", lambda entry: entry.position + 100 * COUNT)


@pytest.fixture(scope="module")
def ledger(database: Path) -> Iterator[Ledger]:
    """The ledger, to be changed within transactions."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        yield Ledger(connection)


def test_every_column_is_changed(ledger: Ledger) -> None:
    """A column that is added to the ledger has to be put on the list."""
    columns = {row[1] for row in ledger.connection.execute("PRAGMA table_info(ledger)")}
    assert columns <= CHANGES.keys() | {"position"}
    assert len(ledger.entries) == COUNT


@pytest.mark.parametrize("kind", CHANGES)
def test_every_single_change_is_caught_and_named(ledger: Ledger, kind: str) -> None:
    """Of each of the 500 entries: the fault names the entry's chain and number, its id, or its place in the log."""
    for entry in ledger.entries:
        if kind == "inserted" and entry is ledger.entries[-1]:
            continue  # what comes after the last entry is a new one
        faults = ledger.faults(CHANGES[kind], entry)
        place = entry.position // GAP - 1
        near = {f"place {place}:", f"place {place + 1}:", f"after place {place - 1},", f"after place {place},"}
        if kind == "swapped" and place == COUNT - 1:
            near.add(f"place {place - 1}:")
        numbers = {entry.seq - 1, entry.seq, entry.seq + 1} if kind == "swapped" else {entry.seq, entry.seq + 1}
        if kind == "inserted":
            numbers.add(entry.seq + 2)
        named = [
            fault
            for account_id, seq, entry_id, fault in faults
            if (account_id == entry.account_id and seq in numbers)
            or entry_id.removesuffix("x") == entry.entry_id
            or any(place in fault for place in near)
        ]
        assert named, (kind, place, faults)


async def checked(path: Path) -> StoreReport:
    """What `verify_store` finds."""
    store = await SqliteStore.open(path, clock=ManualClock())
    try:
        return await verify_store(store)
    finally:
        await store.close()


async def test_an_untouched_database_is_in_order(database: Path) -> None:
    """Every chain and both tenants' logs."""
    report = await checked(database)
    assert (report.ok, report.entries, report.chains) == (True, COUNT + 1, 5)
    assert {name: it.size for name, it in report.tenants.items()} == {TENANT: COUNT, "globex": 1}


@pytest.mark.parametrize("kind", [*CHANGES, "moved", "moved at the end", "log head", "tile", "leaf"])
async def test_a_changed_file_is_caught_from_end_to_end(database: Path, tmp_path: Path, kind: str) -> None:
    """By opening the file and checking it, as `enactor ledger verify --store` does; the log's own tables count too."""
    path = tmp_path / "enactor.db"
    shutil.copy(database, path)
    with closing(sqlite3.connect(path)) as connection:
        entries = ledger_reads.entries(connection, TENANT, LedgerFilter(), COUNT, 0)
        match kind:
            case "log head":
                connection.execute("UPDATE log_heads SET size = 100 WHERE tenant_id = ?", (TENANT,))
            case "tile":
                connection.execute("UPDATE log_tiles SET hashes = zeroblob(8192) WHERE tile = 0 AND level = 0")
            case "leaf":
                connection.execute("UPDATE log_leaves SET leaf_index = 7 WHERE leaf_index = 300")
            case "moved":
                MOVED(connection, entries[256])
            case "moved at the end":
                MOVED(connection, entries[-1])
            case _:
                CHANGES[kind](connection, entries[256])
        connection.commit()
    report = await checked(path)
    assert not report.ok
    assert report.faults[0].fault
