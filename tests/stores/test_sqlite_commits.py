"""Commits of the SQLite store: shared, never lost, never half done, and final when the disk fails."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import approved, creation, refused, running
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import InvalidInput, StoreFailed
from enactor.domain.ledger import ChainVerifier
from enactor.ports.commands import ConflictKind, UpdateAttempt
from enactor.stores.sqlite import SqliteStore, writer
from enactor.stores.sqlite.writer import Writer

PROCESS = Path(__file__).with_name("process.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's database is."""
    return tmp_path / "enactor.db"


@pytest.fixture
def clock() -> ManualClock:
    """The time."""
    return ManualClock()


@pytest.fixture
def build(clock: ManualClock) -> Builder:
    """What makes the test's records."""
    return Builder(clock)


@pytest.fixture
def physical(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of the thread of each physical commit."""
    made: list[str] = []
    commit = Writer._commit

    def counted(self: Writer) -> None:
        made.append(threading.current_thread().name)
        commit(self)

    monkeypatch.setattr(Writer, "_commit", counted)
    return made


def always(monkeypatch: pytest.MonkeyPatch, *, on_thread: bool) -> None:
    """Has every lone commit made on the writer's thread, or none, however quick the disk is."""
    monkeypatch.setattr(writer, "_QUICK_SECONDS", 0.0 if on_thread else 1e9)


async def verified(path: Path, clock: ManualClock) -> set[str]:
    """The intents in a database whose chains hold and in which every execution is whole or not there."""
    store = await SqliteStore.open(path, clock=clock)
    try:
        verifier, position = ChainVerifier(), 0
        entries: dict[str, int] = {}
        while page := await store.entries_after(position, 1_000):
            verifier.feed_all(page)
            position = page[-1].position
            for entry in page:
                entries[entry.action_intent_id] = entries.get(entry.action_intent_id, 0) + 1
        assert verifier.faults == []
        for action_intent_id, count in entries.items():
            records = await store.execution(TENANT, action_intent_id)
            assert records is not None
            started, ended = records.attempt is not None, records.outcome is not None
            assert count == 1 + 2 * started + 2 * ended, "state and ledger have parted"
            assert len(records.permits) == started
        return {name for name, count in entries.items() if count == 5}
    finally:
        await store.close()


# -- sharing ---------------------------------------------------------------------------------------------------------


async def test_concurrent_commits_share_a_physical_one(
    path: Path, clock: ManualClock, build: Builder, physical: list[str]
) -> None:
    """Twenty commits of one turn of the loop become durable together, and the loop is woken once."""
    store = await SqliteStore.open(path, clock=clock)
    woken: list[object] = []
    back = store._writer._back
    store._writer._back = lambda *args: (woken.append(args), back(*args))[1]  # type: ignore[method-assign]
    await asyncio.gather(*(store.commit([creation(build.approved())]) for _ in range(20)))
    assert len(physical) == 1
    assert len(woken) == 1
    await store.close()


async def test_a_neighbours_conflict_costs_no_commit_of_its_own(
    path: Path, clock: ManualClock, build: Builder, physical: list[str]
) -> None:
    """A batch in which some conflict is still one physical commit, and one in which all do is none."""
    store = await SqliteStore.open(path, clock=clock)
    _, attempt = await running(store, build)
    stale = UpdateAttempt(attempt=attempt, expected_fence=9)
    physical.clear()
    results = await asyncio.gather(
        *(store.commit([build.entry()] if number % 2 else [build.entry(), stale]) for number in range(20)),
        return_exceptions=True,
    )
    assert sum(result is None for result in results) == 10
    assert len(physical) == 1
    await refused(store, build, ConflictKind.STALE_FENCE, [stale])
    assert len(physical) == 1
    await store.close()


@pytest.mark.parametrize("on_thread", [True, False])
async def test_a_lone_commit_goes_either_way(
    path: Path,
    clock: ManualClock,
    build: Builder,
    physical: list[str],
    monkeypatch: pytest.MonkeyPatch,
    on_thread: bool,
) -> None:
    """On a quick disk a lone commit is made on the loop, on a slow one on the thread, with the same result."""
    always(monkeypatch, on_thread=on_thread)
    store = await SqliteStore.open(path, clock=clock)
    intent, attempt = await running(store, build)
    await refused(store, build, ConflictKind.STALE_FENCE, [UpdateAttempt(attempt=attempt, expected_fence=9)])
    await store.commit([UpdateAttempt(attempt=replace(attempt, status=RunStatus.FAILED), expected_fence=1)])
    assert await store.intent(TENANT, intent.action_intent_id) == intent
    assert len(physical) == 3
    assert {name.startswith("enactor-sqlite-writer") for name in physical} == {on_thread}
    await store.close()


async def test_what_waits_for_the_thread_shares_the_next_commit(
    path: Path, clock: ManualClock, build: Builder, physical: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits of several turns that arrive while one is being made share the one after it."""
    always(monkeypatch, on_thread=True)
    store = await SqliteStore.open(path, clock=clock)
    held, entered = threading.Event(), threading.Event()
    commit = Writer._commit

    def slow(self: Writer) -> None:
        entered.set()
        held.wait()
        commit(self)

    monkeypatch.setattr(Writer, "_commit", slow)
    tasks = [asyncio.ensure_future(store.commit([build.entry()]))]
    await asyncio.to_thread(entered.wait)
    for _ in range(10):
        tasks.append(asyncio.ensure_future(store.commit([build.entry()])))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    held.set()
    await asyncio.gather(*tasks)
    assert len(physical) == 2
    await store.close()


async def test_text_that_is_not_unicode_is_refused_alone(path: Path, clock: ManualClock, build: Builder) -> None:
    """Half a surrogate pair is the caller's mistake; neighbours and the store do not notice."""
    store = await SqliteStore.open(path, clock=clock)
    bad = build.approved(rationale="\ud800", approval_digest="0" * 64)
    good = build.approved()
    results = await asyncio.gather(
        store.commit([creation(bad)]), store.commit([creation(good)]), return_exceptions=True
    )
    assert isinstance(results[0], InvalidInput)
    assert results[1] is None
    assert await store.intent(TENANT, bad.action_intent_id) is None
    await approved(store, build)
    await store.close()


# -- other connections -----------------------------------------------------------------------------------------------


async def test_a_busy_database_loses_no_commit(
    path: Path, clock: ManualClock, build: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another program holds the write lock commits wait; once it lets go they are made."""
    always(monkeypatch, on_thread=True)
    store = await SqliteStore.open(path, clock=clock)
    backup = sqlite3.connect(path, isolation_level=None)
    backup.execute("BEGIN IMMEDIATE")
    tasks = [asyncio.ensure_future(approved(store, build)) for _ in range(3)]
    await asyncio.sleep(0)
    assert await store.last_position() == 0
    backup.execute("COMMIT")
    backup.close()
    intents = await asyncio.gather(*tasks)
    for intent in intents:
        assert await store.intent(TENANT, intent.action_intent_id) == intent
    await store.close()


async def test_a_database_that_stays_busy_fails_aloud(
    path: Path, clock: ManualClock, build: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the lock is held for longer than anybody should, nobody is told that a commit happened."""
    monkeypatch.setattr(writer, "BUSY_SECONDS", 0.001)
    store = await SqliteStore.open(path, clock=clock)
    backup = sqlite3.connect(path, isolation_level=None)
    backup.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFailed, match="locked by another program"):
        await approved(store, build)
    backup.execute("ROLLBACK")
    backup.close()
    await store.close()


async def test_readers_do_not_hold_up_the_writer(path: Path, clock: ManualClock, build: Builder) -> None:
    """While readers sit in the middle of their queries, on every thread there is, commits go through."""
    store = await SqliteStore.open(path, clock=clock)
    first = await approved(store, build)
    go_on = threading.Event()
    began = [threading.Event() for _ in range(3)]

    def slow(connection: sqlite3.Connection, mine: threading.Event) -> int:
        connection.execute("BEGIN")
        seen = connection.execute("SELECT count(*) FROM intents").fetchone()[0]
        mine.set()
        go_on.wait()
        again = connection.execute("SELECT count(*) FROM intents").fetchone()[0]
        connection.execute("ROLLBACK")
        assert seen == again, "a snapshot moved"
        return int(seen)

    reads = [asyncio.ensure_future(store._pool.read(slow, mine)) for mine in began]
    for mine in began:
        await asyncio.to_thread(mine.wait)
    for _ in range(5):
        await approved(store, build)
    assert await store.last_position() == 6
    go_on.set()
    assert await asyncio.gather(*reads) == [1, 1, 1]
    assert await store.intent(TENANT, first.action_intent_id) == first
    await store.close()


# -- failure ---------------------------------------------------------------------------------------------------------


class Broken:
    """A connection whose commits fail: before anything was written, or after everything was."""

    def __init__(self, connection: sqlite3.Connection, *, after: bool) -> None:
        self._connection = connection
        self._after = after

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, statement: str, *args: object) -> sqlite3.Cursor:
        """Fails at a commit as a broken disk does."""
        if statement == "COMMIT":
            if self._after:
                self._connection.execute(statement)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR | 4 << 8
            raise error
        return self._connection.execute(statement, *args)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("on_thread", [True, False], ids=["thread", "loop"])
async def test_an_io_error_ends_the_store(
    path: Path, clock: ManualClock, build: Builder, monkeypatch: pytest.MonkeyPatch, on_thread: bool, after: bool
) -> None:
    """Whoever waits is told that nobody knows, the process once; nothing later is taken; reopening tells the truth."""
    always(monkeypatch, on_thread=on_thread)
    told: list[str] = []
    store = await SqliteStore.open(path, clock=clock, on_failure=lambda: told.append("stop"))
    kept = await approved(store, build)
    news = asyncio.ensure_future(store.wait_beyond(1, 3_600))
    await clock.until_asleep()
    store._writer._connection = Broken(store._writer._connection, after=after)  # type: ignore[assignment]
    count = 5 if on_thread else 1
    results = await asyncio.gather(*(approved(store, build) for _ in range(count)), return_exceptions=True)
    said = (
        f"The database {path} could not be read or written (I/O error). "
        "Check the disk and start again; what was acknowledged is kept."
    )
    assert [str(result) for result in results] == [said] * count
    assert told == ["stop"]
    assert not await news
    with pytest.raises(StoreFailed, match="I/O error"):
        await approved(store, build)
    with pytest.raises(StoreFailed, match="I/O error"):
        await store.entries_after(0, 10)
    with pytest.raises(StoreFailed, match="I/O error"):
        await store.move_delivery_cursor("webhooks", 1)
    assert told == ["stop"]
    await store.close()
    again = await SqliteStore.open(path, clock=clock)
    assert await again.intent(TENANT, kept.action_intent_id) == kept
    assert await again.last_position() == (1 + count if after else 1)
    await again.close()


async def test_an_error_of_our_own_ends_the_store(
    path: Path, clock: ManualClock, build: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an unforeseen error in the middle of a batch memory cannot be trusted, and its message shows nothing."""
    store = await SqliteStore.open(path, clock=clock)
    kept = await approved(store, build)

    def stumble(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(store._writer._book.rows, "flush", stumble)
    with pytest.raises(StoreFailed) as caught:
        await approved(store, build)
    assert "ZeroDivisionError" in caught.value.message
    assert "secret" not in caught.value.message
    await store.close()
    again = await SqliteStore.open(path, clock=clock)
    assert await again.intent(TENANT, kept.action_intent_id) == kept
    assert await again.last_position() == 1
    await again.close()


async def test_a_full_disk_leaves_nothing_half_written(path: Path, clock: ManualClock, build: Builder) -> None:
    """When there is no room for another page the store says so and ends; what was acknowledged is all there."""
    store = await SqliteStore.open(path, clock=clock)
    pages = store._writer._connection.execute("PRAGMA page_count").fetchone()[0]
    store._writer._connection.execute(f"PRAGMA max_page_count = {pages + 40}")
    acknowledged: list[str] = []
    message = ""
    for _ in range(500):
        results = await asyncio.gather(*(approved(store, build) for _ in range(5)), return_exceptions=True)
        acknowledged += [intent.action_intent_id for intent in results if not isinstance(intent, BaseException)]
        failed = [result for result in results if isinstance(result, StoreFailed)]
        if failed:
            message = failed[0].message
            break
    assert "no room left on its disk. Free some" in message
    await store.close()
    again = await SqliteStore.open(path, clock=clock)
    entries = await again.entries_after(0, 10_000)
    assert [entry.action_intent_id for entry in entries] == acknowledged
    assert len(await again.due(0, 10_000)) == len(acknowledged)
    await approved(again, build)
    await again.close()


def _processed(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, PROCESS, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


async def test_a_killed_process_loses_nothing_acknowledged(path: Path, clock: ManualClock) -> None:
    """SIGKILL in the middle of concurrent executions: each that was acknowledged is whole, and every chain holds."""
    acknowledged = set()
    with _processed("load", path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.add(line.split()[-1])
            if len(acknowledged) > 150:
                process.kill()
    acknowledged.discard("open")
    assert len(acknowledged) >= 150
    assert acknowledged <= await verified(path, clock)


async def test_a_write_that_the_system_refuses_loses_nothing_acknowledged(path: Path, clock: ManualClock) -> None:
    """A real error of the file system in mid-load: everybody is told, the process once, and the database is whole."""
    with _processed("limit", 1_500_000, path) as process:
        out, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    opened, *lines, last = out.splitlines()
    assert opened == "open"
    assert last.startswith("failed 24 ['told'] The database")
    assert "start again" in last
    acknowledged = {line.split()[-1] for line in lines}
    assert len(acknowledged) > 10
    assert acknowledged <= await verified(path, clock)


def test_a_forgotten_store_does_not_keep_its_process_alive(tmp_path: Path) -> None:
    """A program that ends without closing the store ends."""
    program = (
        "import asyncio\nfrom pathlib import Path\nfrom enactor.stores.sqlite import SqliteStore\n"
        "from enactor.system import SystemClock\n"
        f"asyncio.run(SqliteStore.open(Path({str(tmp_path / 'enactor.db')!r}), clock=SystemClock()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
