"""Ledgers of database files that are only read: copies, read-only ones, and those that a server has open."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import approved
from enactor.domain.errors import StoreFailed
from enactor.ports.store import LedgerFilter
from enactor.service.evidence import verify_store
from enactor.service.sequencer import Sequencer
from enactor.stores.sqlite import SqliteLedger, SqliteStore


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock, build: Builder) -> SqliteStore:
    """An open store with three entries in its log, and one that is not merged yet."""
    store = await SqliteStore.open(tmp_path / "server" / "enactor.db", clock=clock)
    for _ in range(3):
        await approved(store, build)
    await Sequencer(store, clock).merge()
    await approved(store, build)
    return store


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    """Where the server has its files."""
    folder = tmp_path / "server"
    folder.mkdir()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def test_a_closed_database_is_read_and_nothing_is_written(store: SqliteStore, folder: Path) -> None:
    """A read-only copy verifies; its folder holds afterwards what it held before, byte for byte."""
    await store.close()
    (folder / "enactor.db.lock").unlink()
    path = folder / "enactor.db"
    path.chmod(0o400)
    before = contents(folder)
    ledger = await SqliteLedger.open(path)
    report = await verify_store(ledger)
    await ledger.close()
    assert (report.ok, report.entries) == (True, 4)
    assert contents(folder) == before


async def test_a_server_goes_on_while_its_file_is_read(store: SqliteStore, folder: Path, build: Builder) -> None:
    """The ledger is as it was when it was opened, and what is committed meanwhile is there when it is opened anew."""
    path = folder / "enactor.db"
    ledger = await SqliteLedger.open(path)
    await approved(store, build)
    assert (await verify_store(ledger)).entries == 4
    assert len((await ledger.ledger(TENANT, LedgerFilter(), 100, None)).items) == 4
    await ledger.close()
    again = await SqliteLedger.open(path)
    report = await verify_store(again)
    assert (report.ok, report.entries) == (True, 5)
    await again.close()
    await store.close()


async def test_a_copy_with_its_log_is_read_whole(store: SqliteStore, folder: Path) -> None:
    """What a crash left in the log counts; where SQLite cannot read the log the copy is refused, not read in part."""
    with tempfile.TemporaryDirectory() as name:
        for file in ("enactor.db", "enactor.db-wal"):
            shutil.copy(folder / file, name)
            Path(name, file).chmod(0o444)
        await store.close()
        Path(name).chmod(0o555)
        command = [sys.executable, Path(__file__).with_name("process.py"), "read", f"{name}/enactor.db"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        assert "is in enactor.db-wal" in said
        assert "Copy both files" in said
        assert len(said.splitlines()) == 1
        Path(name).chmod(0o755)
        ledger = await SqliteLedger.open(Path(name, "enactor.db"))
        assert (await verify_store(ledger)).entries == 4
        await ledger.close()


async def test_what_is_written_to_a_file_that_nobody_had_open_is_noticed(
    store: SqliteStore, folder: Path, clock: ManualClock, build: Builder
) -> None:
    """A server that starts meanwhile makes what was read worthless, and that is said."""
    await store.close()
    path = folder / "enactor.db"
    ledger = await SqliteLedger.open(path)
    server = await SqliteStore.open(path, clock=clock)
    await approved(server, build)
    with pytest.raises(StoreFailed, match="Check it again"):
        await ledger.close()
    await server.close()


async def test_what_is_no_ledger_of_this_version_is_refused(store: SqliteStore, folder: Path) -> None:
    """Missing, empty, another program's, older and damaged: one line each, and nothing is made or changed."""
    await store.close()
    path = folder / "enactor.db"
    other = folder / "other.db"
    with pytest.raises(StoreFailed, match="No such file"):
        await SqliteLedger.open(other)
    other.touch()
    with pytest.raises(StoreFailed, match="is empty"):
        await SqliteLedger.open(other)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(StoreFailed, match="another program"):
        await SqliteLedger.open(other)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(StoreFailed, match="enactor migrate"):
        await SqliteLedger.open(path)
    other.write_bytes(b"no database at all, but long enough to be one" * 100)
    before = contents(folder)
    with pytest.raises(StoreFailed, match="is damaged"):
        await SqliteLedger.open(other)
    assert contents(folder) == before
