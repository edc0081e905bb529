"""What erasure leaves in the database's files: after the documented procedure nothing."""

from pathlib import Path

import pytest

from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.erasure import SECRET, erase, personal
from enactor.stores.sqlite import SqliteStore


def found_in(directory: Path) -> set[str]:
    """The files of a directory that hold the secret."""
    return {path.name for path in directory.iterdir() if SECRET.encode() in path.read_bytes()}


@pytest.mark.parametrize("closed_before", [False, True], ids=["while it is open", "after it was closed"])
async def test_the_plaintext_is_gone_after_a_scrub(tmp_path: Path, closed_before: bool) -> None:
    """Earlier versions of rows, free pages and the log included; and everything else is still there."""
    clock = ManualClock()
    build = Builder(clock)
    path = tmp_path / "enactor.db"
    store = await SqliteStore.open(path, clock=clock)
    intents = [await personal(store, build) for _ in range(1)]
    other = build.approved(rationale="keeps")
    for _ in range(3):
        entries = [build.entry(other, data={"text": "x" * 2_000}) for _ in range(40)]
        await store.commit(entries)
    assert "enactor.db-wal" in found_in(tmp_path)
    for intent in intents:
        await store.commit([erase(intent, build)])
    assert found_in(tmp_path) != set(), "the log still has what was written before"
    if closed_before:
        await store.close()
        store = await SqliteStore.open(path, clock=clock)
    await store.scrub()
    assert found_in(tmp_path) == set()
    assert len(await store.entries_after(0, 1_000)) == 122
    assert (await store.intent(TENANT, intents[0].action_intent_id)) is not None
    await store.commit([build.entry(other)])
    await store.close()
    assert found_in(tmp_path) == set()


async def test_a_scrub_waits_for_its_turn(tmp_path: Path) -> None:
    """Commits before and after it are done; an open store goes on."""
    clock = ManualClock()
    build = Builder(clock)
    store = await SqliteStore.open(tmp_path / "enactor.db", clock=clock)
    for _ in range(3):
        await store.commit([build.entry()])
        await store.scrub()
    assert await store.last_position() == 3
    await store.close()
