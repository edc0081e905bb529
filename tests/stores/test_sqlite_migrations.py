"""Schema versions: whatever a database began as, it ends as a new one does, with its data."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock, SeededRandomness
from enactor.conformance.store.base import approved, creation, refused
from enactor.domain.errors import StoreFailed
from enactor.domain.ledger import ChainVerifier
from enactor.ports.commands import ConflictKind
from enactor.ports.store import ExecutionFilter
from enactor.stores.sqlite import SqliteStore, migrate
from enactor.stores.sqlite.migrate import APPLICATION_ID, Migration, migrations, schema_version

SCHEMAS = sorted(Path(__file__).with_name("schemas").glob("*.sql"))
NEXT = len(migrations()) + 1
SECOND = Migration(
    NEXT,
    "priority",
    "-- A column, a table with a trigger in it, and data that is computed.\n"
    "ALTER TABLE intents ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;\n"
    "CREATE TABLE audit (said TEXT NOT NULL) STRICT;\n"
    "CREATE TRIGGER noted AFTER UPDATE ON intents BEGIN\n    INSERT INTO audit VALUES ('a; b');\nEND;\n"
    "UPDATE intents SET priority = length(account_id);\n",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's database is."""
    return tmp_path / "enactor.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as the store opens it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def schema(connection: sqlite3.Connection) -> dict[str, str]:
    """What a database is made of, by name, without regard to white space and comments."""
    found = connection.execute("SELECT type || ' ' || name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {name: " ".join(" ".join(line.split("--")[0] for line in text.splitlines()).split()) for name, text in found}


def fresh_schema(steps: tuple[Migration, ...]) -> dict[str, str]:
    """What a new database is made of."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate.migrate(connection, "new", steps)
        return schema(connection)


def test_every_version_was_written_down() -> None:
    """There is a frozen database for each schema version, so that each can be upgraded in these tests."""
    assert [file.stem for file in SCHEMAS] == [f"{step.version:04d}_{step.name}" for step in migrations()]


@pytest.mark.parametrize("frozen", SCHEMAS, ids=lambda file: file.stem)
async def test_a_database_of_any_version_becomes_a_new_one(path: Path, frozen: Path) -> None:
    """Upgraded from how it looked when that version was released, its schema equals a fresh one; its data is there."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(frozen.read_text("utf-8"))
    clock = ManualClock()
    build = Builder(clock, SeededRandomness(1))
    store = await SqliteStore.open(path, clock=clock)
    verifier = ChainVerifier()
    verifier.feed_all(await store.entries_after(0, 1_000))
    assert (verifier.entries, len(verifier.heads), verifier.faults) == (15, 3, [])
    rows = (await store.list_executions(TENANT, ExecutionFilter(), 100, None)).items
    assert [row.attempt.status.value if row.attempt else row.intent.status.value for row in rows] == [
        "IN_DOUBT",
        "FAILED",
        "SUCCEEDED",
        "RUNNING",
        "APPROVED",
        "PENDING_APPROVAL",
    ]
    assert await store.effect_holder(TENANT, "refund:1") == rows[-1].intent.action_intent_id
    assert len(await store.due(0, 100)) == 2
    await refused(store, build, ConflictKind.EFFECT_KEY_TAKEN, [creation(build.intent(effect_key="refund:1"))])
    await refused(store, build, ConflictKind.TOO_MANY_PENDING, [creation(build.intent(), of_tenant=1)])
    await approved(store, build)
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert schema(connection) == fresh_schema(migrations())
        assert schema_version(connection) == len(migrations())


def test_a_further_migration_is_one_file(connection: sqlite3.Connection) -> None:
    """A database of today takes a further step, keeps its data, and equals one that took both steps when new."""
    steps = (*migrations(), SECOND)
    migrate.migrate(connection, "test", migrations())
    connection.execute(
        "INSERT INTO intents VALUES ('ai_1', 'acme', 'north', 'NOTE', 'internal', 'agent', 'APPROVED', 1, '{}')"
    )
    migrate.migrate(connection, "test", steps)
    assert schema_version(connection) == NEXT
    assert schema(connection) == fresh_schema(steps)
    assert connection.execute("SELECT action_intent_id, priority FROM intents").fetchall() == [("ai_1", 5)]
    migrate.migrate(connection, "test", steps)
    assert connection.execute("SELECT count(*) FROM audit").fetchone() == (1,)


def test_a_migration_that_fails_leaves_nothing(connection: sqlite3.Connection) -> None:
    """Half a migration is no migration: version, schema and data are as they were, and it can be tried again."""
    migrate.migrate(connection, "test", migrations())
    before = schema(connection)
    broken = Migration(NEXT, "broken", "CREATE TABLE half (a TEXT) STRICT;\nINSERT INTO missing VALUES (1);\n")
    with pytest.raises(sqlite3.OperationalError):
        migrate.migrate(connection, "test", (*migrations(), broken))
    assert schema(connection) == before
    assert schema_version(connection) == len(migrations())
    migrate.migrate(connection, "test", (*migrations(), SECOND))
    assert schema_version(connection) == NEXT


def test_migrations_are_numbered_without_gaps(connection: sqlite3.Connection) -> None:
    """A missing number is the developer's mistake and is found at once."""
    assert [step.version for step in migrations()] == list(range(1, NEXT))
    with pytest.raises(ValueError, match="without gaps"):
        migrate.migrate(connection, "test", (*migrations(), Migration(NEXT + 1, "late", "")))
    unended = Migration(NEXT, "unended", "CREATE TABLE half (a TEXT)")
    with pytest.raises(ValueError, match="middle of a statement"):
        migrate.migrate(connection, "test", (*migrations(), unended))


async def test_a_store_that_fails_to_migrate_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, connection: sqlite3.Connection
) -> None:
    """The error comes as every other one does, and the file can be opened by the version that made it."""
    store = await SqliteStore.open(path, clock=ManualClock())
    await store.close()
    broken = Migration(NEXT, "broken", "INSERT INTO missing VALUES (1);\n")
    with monkeypatch.context() as patched:
        patched.setattr("enactor.stores.sqlite.store.migrations", lambda: (*migrations(), broken))
        with pytest.raises(StoreFailed, match="failed"):
            await SqliteStore.open(path, clock=ManualClock())
    store = await SqliteStore.open(path, clock=ManualClock())
    assert (await store.info()).schema_version == len(migrations())
    await store.close()
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
