"""A process of its own over a database, for tests that need one: `python process.py WHAT PATH`."""

import asyncio
import os
import resource
import sys
from pathlib import Path

from msgspec.structs import replace

from enactor.conformance.builders import Builder, settled
from enactor.conformance.store.base import creation, start, take
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import StoreFailed
from enactor.ports.commands import RecordOutcome, SettlePermit, UpdateAttempt
from enactor.stores.sqlite import SqliteLedger, SqliteStore
from enactor.system import SystemClock, SystemRandomness

_WORKERS = 24


def say(*words: object) -> None:
    """One line to whoever started this process, at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def hold(path: Path) -> None:
    """Opens the database and keeps it until the standard input ends."""
    store = await SqliteStore.open(path, clock=SystemClock())
    say("open")
    await asyncio.to_thread(sys.stdin.read)
    await store.close()


async def load(path: Path, limit_bytes: int | None = None) -> None:
    """Executes for ever, and says each intent's id when its last commit is acknowledged.

    Args:
        limit_bytes: how large this process's files may become once the store is open.
    """
    failures: list[str] = []
    clock = SystemClock()
    store = await SqliteStore.open(path, clock=clock, on_failure=lambda: failures.append("told"))
    build = Builder(clock, SystemRandomness())
    say("open")
    if limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    async def work() -> None:
        while True:
            intent = build.approved()
            attempt = build.attempt(intent)
            permit = build.permit(attempt)
            over = replace(attempt, status=RunStatus.SUCCEEDED)
            await store.commit([creation(intent), build.entry(intent)])
            begin = start(intent, attempt, now_ms=clock.now_ms())
            await store.commit([begin, take(permit, intent), build.entry(intent), build.entry(intent)])
            await store.commit(
                [
                    SettlePermit(permit=settled(permit), expected_fence=1),
                    UpdateAttempt(attempt=over, expected_fence=1),
                    RecordOutcome(outcome=build.outcome(intent, over)),
                    build.entry(intent),
                    build.entry(intent),
                ]
            )
            say("done", intent.action_intent_id)

    results = await asyncio.gather(*(work() for _ in range(_WORKERS)), return_exceptions=True)
    messages = {str(result) for result in results if isinstance(result, StoreFailed)}
    say("failed", len([result for result in results if isinstance(result, StoreFailed)]), failures, *messages)
    await store.close()


def become_nobody() -> None:
    """Gives up root's rights, to which every file is writable."""
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


async def read(path: Path) -> None:
    """Reads the database's ledger as a user who may only read it, and says how many entries it has."""
    become_nobody()
    try:
        ledger = await SqliteLedger.open(path)
        say((await ledger.info()).ledger_entries)
        await ledger.close()
    except StoreFailed as error:
        say(error.message)


async def refuse(path: Path) -> None:
    """Tries to open the database as a user who may only read it, and says why that fails."""
    become_nobody()
    try:
        store = await SqliteStore.open(path, clock=SystemClock())
    except StoreFailed as error:
        say(error.message)
    else:
        say("opened")
        await store.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["hold", database]:
            asyncio.run(hold(Path(database)))
        case ["load", database]:
            asyncio.run(load(Path(database)))
        case ["limit", size, database]:
            asyncio.run(load(Path(database), int(size)))
        case ["read", database]:
            asyncio.run(read(Path(database)))
        case ["refuse", database]:
            asyncio.run(refuse(Path(database)))
