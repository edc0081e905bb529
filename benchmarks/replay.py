"""What the file alone costs, one execution at a time: `python -m benchmarks.replay`.

Three things in alternation: two bare commits (the floor), the statements of recorded executions replayed on a bare
connection with the store's settings and none of its code, and executions. What the replay reaches of the floor is what
any program could reach that writes what an execution writes, however fast it is itself.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import render
from benchmarks.enactor_driver import Bench, open_bench
from benchmarks.harness import RESULTS, machine
from benchmarks.measure import Measured, positive
from enactor.stores.sqlite.files import connect_writer
from enactor.wiring import process

Statements = list[tuple[str, list[Any]]]
"""What one commit writes: each statement with its rows."""

_CHUNK = 100
_LOG_PAGES = 10_000
"""A log that has been as long as it gets is written over in place: that takes the disk half as long as growth does."""
_FLOOR, _REPLAY, _EXECUTION = "two bare commits", "statements replayed", "execution"


class Recorder:
    """Stands in for the writer's cursor, and keeps what is executed by commits."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.commits: list[Statements] = [[]]

    def execute(self, statement: str, row: Any) -> None:
        """Executes and keeps."""
        self.commits[-1].append((statement, [row]))
        self._cursor.execute(statement, row)

    def executemany(self, statement: str, rows: Sequence[Any]) -> None:
        """Executes and keeps."""
        self.commits[-1].append((statement, list(rows)))
        self._cursor.executemany(statement, rows)


async def record(bench: Bench, count: int) -> list[Statements]:
    """Runs `count` prepared executions; what their commits wrote, commit by commit."""
    writer = bench.assembly.service.core.store._writer  # type: ignore[attr-defined]
    rows, commit = writer._book.rows, writer._commit
    cursor = rows._cursor
    recorder = rows._cursor = Recorder(cursor)

    def committed() -> None:
        commit()
        recorder.commits.append([])

    writer._commit = committed
    await bench.run(count)
    rows._cursor, writer._commit = cursor, commit
    return [commit for commit in recorder.commits if commit]


def replay(connection: sqlite3.Connection, commits: Sequence[Statements]) -> None:
    """Executes the statements of commits, each in a transaction of its own."""
    for commit in commits:
        connection.execute("BEGIN IMMEDIATE")
        for statement, rows in commit:
            if len(rows) == 1:
                connection.execute(statement, rows[0])
            else:
                connection.executemany(statement, rows)
        connection.execute("COMMIT")


def floor(connection: sqlite3.Connection, count: int) -> None:
    """Two bare commits for each of `count` executions that there are not."""
    for _ in range(count):
        connection.execute("INSERT INTO entry (state) VALUES ('started')")
        connection.execute("INSERT INTO entry (state) VALUES ('finished')")


def timed(work: Callable[[], object]) -> Measured:
    """What `work` takes."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Measured(time.perf_counter() - wall, time.process_time() - cpu)


def grown(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, with its log as long as it gets."""
    connection.execute("CREATE TABLE filling (page BLOB)")
    for _ in range(_LOG_PAGES // 100):
        connection.execute("INSERT INTO filling VALUES (zeroblob(?))", (100 * 4_096,))
    connection.execute("DROP TABLE filling")
    connection.execute("PRAGMA wal_checkpoint(RESTART)")
    return connection


def measured(count: int, folder: Path) -> dict[str, list[Measured]]:
    """Chunks of each of the three, in alternation."""
    count -= count % _CHUNK
    path, copy = folder / "enactor.db", folder / "replay.db"
    found: dict[str, list[Measured]] = {_FLOOR: [], _REPLAY: [], _EXECUTION: []}
    process.let_threads_in()
    with (
        asyncio.Runner(loop_factory=process.loop_factory()) as runner,
        closing(grown(connect_writer(folder / "floor.db"))) as bare,
    ):
        bare.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, state TEXT NOT NULL)")
        bench = runner.run(open_bench(f"sqlite:///{path}", 1))
        runner.run(bench.prepare_quickly(2 * count))
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        commits = runner.run(record(bench, count))
        if len(commits) != 2 * count:
            raise SystemExit(f"replay: {count} executions made {len(commits)} commits, expected two for each")
        process.settle_down()
        with closing(grown(connect_writer(copy))) as connection:
            for start in range(0, count, _CHUNK):
                piece = commits[2 * start : 2 * (start + _CHUNK)]
                found[_FLOOR].append(timed(lambda: floor(bare, _CHUNK)))
                found[_REPLAY].append(timed(lambda piece=piece: replay(connection, piece)))  # type: ignore[misc]
                found[_EXECUTION].append(timed(lambda: runner.run(bench.run(_CHUNK))))
        runner.run(bench.assembly.stop(10))
    _require_same(path, copy, count)
    return found


def _require_same(path: Path, copy: Path, count: int) -> None:
    """The replay has to have written what the recorded executions wrote."""
    ended = "SELECT body FROM executions WHERE status = 'SUCCEEDED' ORDER BY number LIMIT ?"
    with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(copy)) as other:
        wanted, got = one.execute(ended, (count,)).fetchall(), other.execute(ended, (count,)).fetchall()
    if len(got) != count or wanted != got:
        raise SystemExit(f"replay: the replay holds {len(got)} executions, and not the {count} that were recorded")


def main() -> int:
    """Run, print, save."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=positive, default=3_000, metavar="N", help="executions (hundreds)")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(max(given.count, _CHUNK), Path(folder))
    each = {
        name: (median(m.seconds for m in chunks) / _CHUNK * 1e6, median(m.cpu_seconds for m in chunks) / _CHUNK * 1e6)
        for name, chunks in found.items()
    }
    least = each[_FLOOR][0]
    table = [["one at a time", "takes", "CPU", "of the floor's rate"]]
    table += [[name, f"{wall:,.0f} µs", f"{cpu:,.0f} µs", f"{least / wall:.2f}"] for name, (wall, cpu) in each.items()]
    print(render.plain(table))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "replay.md").write_text(render.markdown(table) + "\n", encoding="utf-8")
    result = {"machine": machine(), "microseconds": {name: {"wall": w, "cpu": c} for name, (w, c) in each.items()}}
    (RESULTS / "replay.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
