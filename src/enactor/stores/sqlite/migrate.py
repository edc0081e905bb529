"""Schema versions: numbered SQL files, applied forward only, each in a transaction of its own."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Final

from msgspec import Struct

from enactor.domain.errors import StoreFailed

APPLICATION_ID: Final = 0x456E6163
"""`Enac`: says in the file's header whose database it is."""

_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class Migration(Struct, frozen=True):
    """One step from the schema version before it to its own."""

    version: int
    name: str
    sql: str


def migrations() -> tuple[Migration, ...]:
    """Every migration, in order. A new version is a new file `migrations/NNNN_name.sql`; old files never change."""
    found = []
    for file in resources.files("enactor.stores.sqlite").joinpath("migrations").iterdir():
        matched = _NAME.fullmatch(file.name)
        if matched is not None:
            found.append(Migration(int(matched[1]), matched[2], file.read_text("utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.version))


def schema_version(connection: sqlite3.Connection) -> int:
    """The schema version a database has; 0 when it is empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: str, steps: Sequence[Migration]) -> None:
    """Brings a database to the newest version of `steps`. After a crash it goes on where it was.

    Args:
        connection: in autocommit mode, and alone with the database.
        path: the database's path, for messages.
        steps: every migration from version 1 on.

    Raises:
        StoreFailed: the database is another program's, or of a newer version.
    """
    if [step.version for step in steps] != list(range(1, len(steps) + 1)):
        raise ValueError("migrations are numbered 1, 2, … without gaps")
    for step in steps[require_ours(connection, path, steps) :]:
        _apply(connection, step)


def require_ours(connection: sqlite3.Connection, path: str, steps: Sequence[Migration]) -> int:
    """The schema version of a database of ours; 0 when it is empty.

    Raises:
        StoreFailed: the database is another program's, or of a newer version.
    """
    present = schema_version(connection)
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if (tables or present) and owner != APPLICATION_ID:
        raise StoreFailed(f"The database {path} belongs to another program. Name another file.")
    if present > len(steps):
        raise StoreFailed(
            f"The database {path} was written by a newer Enactor (schema {present}; this one knows {len(steps)}). "
            "Upgrade Enactor."
        )
    return present


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(step.sql):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {step.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(sql: str) -> Iterator[str]:
    """The statements one by one: `executescript` would commit the transaction that they have to share."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise ValueError("a migration ends in the middle of a statement")
