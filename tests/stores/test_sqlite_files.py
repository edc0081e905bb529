"""Database files that cannot be used: each is refused with one line that says what to do, and none is changed."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import approved
from enactor.domain.errors import RecordDamaged, StoreFailed
from enactor.stores.sqlite import SqliteStore

PROCESS = Path(__file__).with_name("process.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's database is."""
    return tmp_path / "enactor.db"


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `process.py`; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, PROCESS, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


async def refusal(path: Path) -> str:
    """Why the database at `path` cannot be opened: one line."""
    with pytest.raises(StoreFailed) as caught:
        await SqliteStore.open(path, clock=ManualClock())
    message = caught.value.message
    assert "\n" not in message
    assert str(path) in message
    assert "sqlite3" not in message
    return message


async def test_a_second_process_is_refused(path: Path, started: Callable[..., subprocess.Popen[str]]) -> None:
    """While one process has the database another one is told who has it, and leaves it alone."""
    holder = started("hold", path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    message = await refusal(path)
    assert f"in use by process {holder.pid}" in message
    out, _ = holder.communicate("")
    assert (out, holder.returncode) == ("", 0)
    store = await SqliteStore.open(path, clock=ManualClock())
    await store.close()


async def test_a_dead_process_holds_nothing(path: Path, started: Callable[..., subprocess.Popen[str]]) -> None:
    """After SIGKILL the database is free at once: the lock is the proof that its owner is dead."""
    holder = started("hold", path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    holder.kill()
    holder.wait()
    store = await SqliteStore.open(path, clock=ManualClock())
    await store.close()


async def test_another_name_of_the_file_is_the_same_database(path: Path) -> None:
    """A symbolic link does not get around the lock."""
    store = await SqliteStore.open(path, clock=ManualClock())
    link = path.with_name("link.db")
    link.symlink_to(path)
    assert "in use by process" in await refusal(link)
    await store.close()


@pytest.mark.parametrize(
    "content", [b"This is not a database.\n" * 100, b"\0" * 4096, b"SQLite format 3\0" + b"\xff" * 4096]
)
async def test_something_else_is_refused(path: Path, content: bytes) -> None:
    """A file that is no database is named, and not a byte of it is changed."""
    path.write_bytes(content)
    message = await refusal(path)
    assert "is not a SQLite database" in message or "is damaged" in message
    assert path.read_bytes() == content


async def test_another_programs_database_is_refused(path: Path) -> None:
    """A SQLite database with other tables is not ours to migrate."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    assert "belongs to another program" in await refusal(path)


async def test_a_newer_schema_is_refused(path: Path) -> None:
    """A database of a later version is left as it is, with the advice to upgrade."""
    store = await SqliteStore.open(path, clock=ManualClock())
    await store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    message = await refusal(path)
    assert "newer Enactor (schema 999" in message
    assert "Upgrade" in message


@pytest.mark.parametrize("table", [None, "kill_switches", "intents"], ids=["everything", "read at once", "read later"])
async def test_damage_is_reported_not_guessed_at(path: Path, table: str | None) -> None:
    """Pages overwritten with noise fail whoever meets them, in words, and never with a driver's exception."""
    clock = ManualClock()
    build = Builder(clock)
    store = await SqliteStore.open(path, clock=clock)
    intents = [await approved(store, build) for _ in range(40)]
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        find = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        page = connection.execute(find, (table,)).fetchone()[0] if table else 3
    whole = path.read_bytes()
    begin, end = (page - 1) * 4096, page * 4096 if table else len(whole)
    path.write_bytes(whole[:begin] + b"\xa5" * (end - begin) + whole[end:])

    async def read_everything() -> None:
        store = await SqliteStore.open(path, clock=clock)
        try:
            for intent in intents:
                await store.execution(intent.tenant_id, intent.action_intent_id)
            await store.entries_after(0, 100)
        finally:
            await store.close()

    for _ in range(2):  # The second time shows that the first one let go of the lock.
        with pytest.raises(StoreFailed) as caught:
            await read_everything()
        assert "is damaged. Restore it from a backup" in caught.value.message


async def test_a_record_that_cannot_be_read_is_no_surprise(path: Path) -> None:
    """It is said what it is and what to do; the records beside it are read as before."""
    clock = ManualClock()
    build = Builder(clock)
    store = await SqliteStore.open(path, clock=clock)
    damaged, sound = [await approved(store, build) for _ in range(2)]
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "UPDATE intents SET body = substr(body, 1, 50) WHERE action_intent_id = ?", (damaged.action_intent_id,)
        )
        connection.commit()
    store = await SqliteStore.open(path, clock=clock)
    assert await store.intent(TENANT, sound.action_intent_id) == sound
    with pytest.raises(RecordDamaged, match="Restore the database from a backup"):
        await store.intent(TENANT, damaged.action_intent_id)
    await store.close()


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The path is told, and nothing is made."""
    path = tmp_path / "nowhere" / "enactor.db"
    assert "No such file or directory. Make its directory first" in await refusal(path)
    assert not path.parent.exists()


async def test_nobody_else_may_read_the_files(path: Path) -> None:
    """Database, log and lock are made for this user alone, whatever the process's mask."""
    mask = os.umask(0)
    try:
        clock = ManualClock()
        store = await SqliteStore.open(path, clock=clock)
        await approved(store, Builder(clock))
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        await store.close()
    finally:
        os.umask(mask)
    assert modes.keys() >= {"enactor.db", "enactor.db-wal", "enactor.db.lock"}
    assert set(modes.values()) == {0o600}


def test_a_read_only_database_is_refused(started: Callable[..., subprocess.Popen[str]]) -> None:
    """A user who may only read is told to ask for write permission, for a file and for a directory."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "enactor.db"
        holder = started("hold", path)
        holder.communicate("")
        path.chmod(0o444)
        path.with_name("enactor.db.lock").chmod(0o666)
        Path(name).chmod(0o755)
        out, _ = started("refuse", path).communicate()
        assert "write permission" in out
        assert len(out.splitlines()) == 1
        path.with_name("enactor.db.lock").unlink()
        out, _ = started("refuse", path).communicate()
        assert "Permission denied. Give this user permission" in out
        assert len(out.splitlines()) == 1
