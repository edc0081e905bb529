"""Where the time of an execution goes: `python -m benchmarks.profile`, 64 in flight on SQLite.

Two runs: one without a profiler for the CPU time of each thread, and one with `cProfile` on the event loop's thread for
how its time divides between the parts of the program. The profiler makes small functions look dearer than they are.
Before them the statements and the pages of an execution are counted, alone and with others: counts are the same on a
busy machine as on a quiet one.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path

from benchmarks import render
from benchmarks.enactor_driver import open_bench
from benchmarks.harness import RESULTS
from benchmarks.measure import positive
from enactor.wiring import Assembly, process

_FRAME_BYTES = 4096 + 24
"""A page in the write-ahead log, with its header."""

PARTS = (
    ("enactor/pipeline", "steps and driver (`pipeline/`)"),
    ("enactor/domain/canonical", "canonical form and digests (`domain/`)"),
    ("enactor/domain/ledger", "ledger records and hashes (`domain/`)"),
    ("enactor/domain", "other records and rules (`domain/`)"),
    ("enactor/ports", "ids and commands (`ports/`)"),
    ("enactor/stores", "the store: conditions, rows, hashes of the chain (`stores/`)"),
    ("enactor/engines", "engine (`engines/`)"),
    ("enactor/gateway", "gateway (`gateway/`)"),
    ("enactor/connectors", "the tool (`connectors/`)"),
    ("asyncio", "event loop"),
    ("uvloop", "event loop"),
    ("pydantic", "argument model (pydantic)"),
)


def thread_seconds() -> dict[int, float]:
    """CPU seconds of each thread of this process so far (Linux)."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for stat in Path("/proc/self/task").glob("*/stat"):
        fields = stat.read_text().rpartition(")")[2].split()
        found[int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / ticks
    return found


async def one(count: int, folder: Path, profiler: cProfile.Profile | None) -> tuple[float, dict[int, float]]:
    """Runs `count` executions; wall-clock seconds, and CPU seconds per thread."""
    bench = await open_bench(f"sqlite:///{folder / 'profile.db'}", 64)
    await bench.prepare(count)
    process.settle_down()
    before, begun = thread_seconds(), time.perf_counter()
    if profiler:
        profiler.enable()
    await bench.run(count)
    if profiler:
        profiler.disable()
    took, after = time.perf_counter() - begun, thread_seconds()
    await bench.assembly.stop(10)
    return took, {thread: after[thread] - before.get(thread, 0.0) for thread in after}


async def counts(in_flight: int, count: int, folder: Path) -> list[str]:
    """Commits, statements and pages put into the write-ahead log, for each of `count` executions."""
    path = folder / f"counts-{in_flight}.db"
    bench = await open_bench(f"sqlite:///{path}", in_flight)
    await bench.prepare_quickly(2 * count)
    await bench.run(count)
    found = await counted(bench.assembly, path, bench.run(count))
    await bench.assembly.stop(10)
    return [str(in_flight), *(f"{number / count:.1f}" for number in found)]


async def counted(assembly: Assembly, path: Path, work: Awaitable[object]) -> tuple[int, int, float]:
    """Commits, statements and pages put into the write-ahead log while `work` is done on the database at `path`."""
    # The writer's own connection is the only one that sees what it executes.
    connection = assembly.service.core.store._writer._connection  # type: ignore[attr-defined]
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    await work
    connection.set_trace_callback(None)
    pages = path.with_name(f"{path.name}-wal").stat().st_size / _FRAME_BYTES
    return statements.count("COMMIT"), len(statements), pages


def by_part(found: pstats.Stats, named: Sequence[tuple[str, str]]) -> Counter[str]:
    """Seconds of the loop's thread by part of the program: the first of `named` whose path is in a function's."""
    parts: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, _) in found.stats.items():  # type: ignore[attr-defined]
        place = file.replace(os.sep, "/")
        name = next((part for prefix, part in named if prefix in place), None)
        if name is None:
            built_in = file == "~"
            hashing = built_in and ("sha256" in function or "hexdigest" in function)
            name = (
                "SHA-256"
                if hashing
                else "built-in functions (JSON, struct copies, dictionaries)"
                if built_in
                else "other"
            )
        parts[name] += own
    return parts


def shares_of(parts: Counter[str]) -> list[list[str]]:
    """The share of each part that has half a percent or more, the largest first."""
    total = sum(parts.values())
    return [[part, f"{seconds / total:.0%}"] for part, seconds in parts.most_common() if seconds / total >= 0.005]


def main() -> int:
    """Run, print, save."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=positive, default=20_000, metavar="N", help="executions")
    given = options.parse_args()
    main_thread = threading.get_native_id()
    process.let_threads_in()
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name) / "plain", Path(name) / "profiled"
        counted = [["executions in flight", "commits", "statements", "pages to the log"]]
        counted += [asyncio.run(counts(in_flight, 640, Path(name))) for in_flight in (1, 64)]
        first.mkdir()
        second.mkdir()
        took, threads = asyncio.run(one(given.count, first, None))
        profiler = cProfile.Profile()
        asyncio.run(one(given.count, second, profiler))
    loop = threads.pop(main_thread)
    others = sum(threads.values())
    lines = [
        ["thread", "CPU each"],
        ["event loop: everything but physical commits", f"{loop / given.count * 1e6:.0f} µs"],
        ["writer: physical commits", f"{others / given.count * 1e6:.0f} µs"],
    ]
    shares = [["the event loop's thread, by part", "share"]]
    shares += shares_of(by_part(pstats.Stats(profiler), PARTS))
    print(f"{given.count:,} executions, 64 in flight: {given.count / took:,.0f}/s\n")
    print(render.plain(counted), render.plain(lines), render.plain(shares), sep="\n\n")
    RESULTS.mkdir(exist_ok=True)
    text = "\n\n".join(map(render.markdown, (counted, lines, shares)))
    (RESULTS / "profile.md").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
