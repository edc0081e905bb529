"""What the SQLite store alone can do: the two commits of an execution whose first call answers, and nothing else.

The first commit takes lock and permit with two ledger entries; the second one settles the permit, ends the run and
writes its outcome with two more. Intents are stored beforehand, half of them so long ago that the store has to read
them again. Each case runs once a round, interleaved with two bare `synchronous=FULL` commits.

    python -m benchmarks.store [--rounds 3] [--count 20000] [--finished 1000000] [--profile]
"""

import argparse
import asyncio
import cProfile
import gc
import itertools
import pstats
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from benchmarks.harness import RESULTS
from benchmarks.measure import positive
from benchmarks.render import plain
from enactor.conformance.builders import Builder, settled
from enactor.domain.attempt import RunStatus
from enactor.domain.ids import intent_id, run_name
from enactor.domain.ledger import LedgerEvent
from enactor.ports.commands import (
    Command,
    CreateIntent,
    RecordOutcome,
    SettlePermit,
    StartAttempt,
    TakePermit,
    UpdateAttempt,
)
from enactor.stores.sqlite import SqliteStore
from enactor.system import SystemClock, SystemRandomness

Work = tuple[list[Command], list[Command], list[Command]]
"""The commits of one execution: what stores its intent, and the two that are measured."""


class Workload:
    """Makes executions, each with ids of its own and otherwise alike.

    Args:
        owner: whose, as changes of the intent that all are like.
    """

    def __init__(self, **owner: str) -> None:
        self.clock = SystemClock()
        self._build = Builder(self.clock, SystemRandomness())
        self._intent = self._build.approved(**owner)
        self._attempt = self._build.attempt(self._intent)
        self._permit = self._build.permit(self._attempt)
        self._outcome = self._build.outcome(self._intent, self._attempt)

    def make(self, count: int) -> list[Work]:
        """The commits of `count` executions."""
        return [self._one() for _ in range(count)]

    def _one(self) -> Work:
        build, now_ms = self._build, self.clock.now_ms()
        name, trace = intent_id(build.ids.new()), build.ids.new()
        intent = replace(self._intent, action_intent_id=name, trace_id=build.ids.new())
        attempt = replace(self._attempt, action_intent_id=name, owner=run_name(name, 1), trace_id=trace)
        permit = replace(self._permit, action_intent_id=name)
        over = replace(attempt, status=RunStatus.SUCCEEDED, attempt_count=1, updated_at=build.now())
        outcome = replace(self._outcome, action_intent_id=name, trace_id=trace)

        def entry(event: LedgerEvent) -> Command:
            return build.entry(intent, event, trace_id=trace, run_number=1)

        create = CreateIntent(intent=intent, max_pending_of_proposer=10**9, max_pending_of_tenant=10**9)
        begin = StartAttempt(
            attempt=attempt,
            intent_version=intent.version,
            revision=intent.revision,
            approval_digest=intent.approval_digest,
            now_ms=now_ms,
        )
        return (
            [create, build.entry(intent, LedgerEvent.INTENT_PROPOSED)],
            [
                begin,
                TakePermit(permit=permit, marks=intent.switch_marks),
                entry(LedgerEvent.EXECUTION_STARTED),
                entry(LedgerEvent.WRITE_PERMITTED),
            ],
            [
                SettlePermit(permit=settled(permit), expected_fence=1),
                UpdateAttempt(attempt=over, expected_fence=1),
                RecordOutcome(outcome=outcome),
                entry(LedgerEvent.TOOL_INVOKED),
                entry(LedgerEvent.ACTION_EXECUTED),
            ],
        )


async def propose(store: SqliteStore, work: list[Work]) -> None:
    """Stores the intents."""
    for start in range(0, len(work), 500):
        await asyncio.gather(*(store.commit(one[0]) for one in work[start : start + 500]))


async def execute(store: SqliteStore, work: list[Work], in_flight: int) -> None:
    """Runs every execution, at most `in_flight` of them unfinished at any time."""
    rest = iter(work)

    async def worker() -> None:
        for _, begin, end in rest:
            await store.commit(begin)
            await store.commit(end)

    await asyncio.gather(*(worker() for _ in range(in_flight)))


def bare(path: Path, count: int) -> tuple[float, float]:
    """Executions per second of two bare commits each, with nothing in them worth mentioning, and CPU microseconds."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, state TEXT NOT NULL)")
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(2 * count):
            connection.execute("INSERT INTO entry (state) VALUES ('started')")
        took = time.perf_counter() - wall
        return count / took, (time.process_time() - cpu) / count * 1e6


async def timed(run: Callable[[], Awaitable[None]], count: int) -> tuple[float, float]:
    """Executions per second, and CPU microseconds of each."""
    gc.collect()
    gc.freeze()
    wall, cpu = time.perf_counter(), time.process_time()
    await run()
    took = time.perf_counter() - wall
    return count / took, (time.process_time() - cpu) / count * 1e6


async def fill(store: SqliteStore, workload: Workload, count: int) -> None:
    """Puts `count` finished executions into the file: the very commits of an execution, without pipeline and call."""
    for done in range(0, count, 5_000):
        work = workload.make(min(5_000, count - done))
        await propose(store, work)
        await execute(store, work, 512)
        if done % 100_000 == 0:
            print(f"filled {done:,} of {count:,}; {resident():,.0f} MiB", file=sys.stderr)


def resident() -> float:
    """The most memory this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


async def measure(options: argparse.Namespace, directory: Path) -> None:
    """Measures every case in every round, and prints the medians."""
    workload = Workload()
    stores = {"": await SqliteStore.open(directory / "store.db", clock=workload.clock)}
    await fill(stores[""], workload, 2_000)
    if options.finished:
        full = f", {options.finished:,} finished"
        stores[full] = await SqliteStore.open(directory / "full.db", clock=workload.clock)
        await fill(stores[full], workload, options.finished)
    found: dict[str, list[tuple[float, float]]] = {}
    for number in range(options.rounds):
        for in_flight, (which, store) in itertools.product(options.in_flight, stores.items()):
            name = f"store, {in_flight} in flight{which}"
            count = options.count if in_flight > 1 else max(300, options.count // 20)
            work = workload.make(count)
            await propose(store, work)
            found.setdefault(name, []).append(await timed(partial(execute, store, work, in_flight), count))
            if in_flight == 1 and not which:
                found.setdefault("two bare commits", []).append(bare(directory / "bare.db", count))
        told = ", ".join(f"{name} {samples[-1][0]:,.0f}/s" for name, samples in found.items())
        print(f"round {number + 1}: {told}; {resident():,.0f} MiB", file=sys.stderr)
    for store in stores.values():
        await store.close()
    print(plain(list(table(found))))
    if "two bare commits" in found:
        pairs = zip(found["store, 1 in flight"], found["two bare commits"], strict=True)
        print(f"one at a time / two bare commits: {statistics.median(a[0] / b[0] for a, b in pairs):.2f}")
    print(f"highest memory: {resident():,.0f} MiB")


def table(found: dict[str, list[tuple[float, float]]]) -> Iterator[list[str]]:
    """Lines of the table."""
    yield ["case", "executions/s", "lowest – highest", "CPU each"]
    for name, samples in found.items():
        rates, cpu = zip(*samples, strict=True)
        each = f"{statistics.median(cpu):,.0f} µs"
        yield [name, f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f} – {max(rates):,.0f}", each]


async def profile(options: argparse.Namespace, directory: Path) -> None:
    """Prints where both threads spend their time at 64 in flight."""
    workload = Workload()
    store = await SqliteStore.open(directory / "store.db", clock=workload.clock)
    await fill(store, workload, 2_000)
    work = workload.make(options.count)
    await propose(store, work)
    profiler = cProfile.Profile()
    profiler.enable()
    await execute(store, work, 64)
    profiler.disable()
    await store.close()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--count", type=positive, default=20_000, help="executions a case; a twentieth one at a time")
    parser.add_argument("--finished", type=positive, default=None, help="and over a file with so many")
    parser.add_argument("--in-flight", type=positive, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=".store-", dir=RESULTS) as directory:
        asyncio.run((profile if options.profile else measure)(options, Path(directory)))


if __name__ == "__main__":
    main()
