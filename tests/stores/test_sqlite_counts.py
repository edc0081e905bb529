"""What an execution costs in SQLite: commits, statements and pages are counted, because time cannot be tested."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from enactor.conformance.builders import TENANT, Builder, settled
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import approved, start, take
from enactor.domain.attempt import RunStatus
from enactor.domain.intent import ActionIntent
from enactor.domain.ledger import LedgerEvent
from enactor.ports.commands import RecordOutcome, SettlePermit, UpdateAttempt
from enactor.ports.store import LedgerFilter
from enactor.stores.sqlite import SqliteStore, strides

_FRAME_BYTES = 4096 + 24


async def execute(store: SqliteStore, build: Builder, intent: ActionIntent) -> None:
    """The two commits of an execution whose first call answers."""
    attempt = build.attempt(intent)
    permit = build.permit(attempt)
    begin = start(intent, attempt, now_ms=build.clock.now_ms())
    entries = [build.entry(intent, event) for event in (LedgerEvent.EXECUTION_STARTED, LedgerEvent.WRITE_PERMITTED)]
    await store.commit([begin, take(permit, intent), *entries])
    over = build.attempt(intent, status=RunStatus.SUCCEEDED, updated_at=build.now())
    entries = [build.entry(intent, event) for event in (LedgerEvent.TOOL_INVOKED, LedgerEvent.ACTION_EXECUTED)]
    outcome = RecordOutcome(outcome=build.outcome(intent, over))
    settle = SettlePermit(permit=settled(permit), expected_fence=1)
    await store.commit([settle, UpdateAttempt(attempt=over, expected_fence=1), outcome, *entries])


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> SqliteStore:
    """An open store."""
    return await SqliteStore.open(tmp_path / "enactor.db", clock=clock)


@pytest.fixture
def clock() -> ManualClock:
    """The time."""
    return ManualClock()


@pytest.fixture
def build(clock: ManualClock) -> Builder:
    """What makes the test's records."""
    return Builder(clock)


async def counted(store: SqliteStore, path: Path, work: Callable[[], Awaitable[None]]) -> tuple[list[str], int]:
    """The statements that the writer executes for `work`, and the pages that they put into the log."""
    connection = store._writer._connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    await work()
    connection.set_trace_callback(None)
    return statements, path.with_name("enactor.db-wal").stat().st_size // _FRAME_BYTES


async def test_an_execution_alone_touches_few_pages(store: SqliteStore, build: Builder, tmp_path: Path) -> None:
    """Two commits, eleven statements with BEGIN and COMMIT, and about eleven pages in all."""
    intents = [await approved(store, build) for _ in range(30)]

    async def work() -> None:
        for intent in intents[10:]:
            await execute(store, build, intent)

    for intent in intents[:10]:
        await execute(store, build, intent)
    statements, pages = await counted(store, tmp_path / "enactor.db", work)
    assert statements.count("COMMIT") == 2 * 20
    assert len(statements) == 11 * 20
    assert pages <= 12 * 20
    await store.close()


async def test_a_stride_is_taken_once_in_so_many_entries(
    store: SqliteStore, build: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger's indexes cost a handful of statements for each stride, in no commit of their own."""
    monkeypatch.setattr(strides, "STRIDE", 20)

    async def work() -> None:
        for _ in range(50):
            await store.commit([build.entry()])

    statements, _ = await counted(store, tmp_path / "enactor.db", work)
    assert statements.count("COMMIT") == 50
    assert sum("INSERT INTO ledger_of_chains" in statement for statement in statements) == 2
    assert len((await store.ledger(TENANT, LedgerFilter(), 1_000, None)).items) == 50
    await store.close()


async def test_what_no_stride_covers_is_found_and_outlives_the_process(
    store: SqliteStore, build: Builder, clock: ManualClock, tmp_path: Path
) -> None:
    """Every query of the ledger has the newest entries, and numbers go on where they were, before and after opening."""
    first = await approved(store, build)
    await execute(store, build, first)
    for position in (5, 6):
        for where in (
            LedgerFilter(),
            LedgerFilter(action_intent_id=first.action_intent_id),
            LedgerFilter(trace_id=first.trace_id),
            LedgerFilter(account_ids=(first.account_id,)),
        ):
            found = (await store.ledger(TENANT, where, 10, None)).items
            assert [entry.position for entry in found] == list(range(1, position + 1))
            assert [entry.sequence for entry in found] == list(range(1, position + 1))
        await store.close()
        store = await SqliteStore.open(tmp_path / "enactor.db", clock=clock)
        await store.commit([build.entry(first)])
    await store.close()
