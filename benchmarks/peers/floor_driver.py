"""The floor: two bare durable SQLite commits per execution, one execution at a time, and nothing else.

An execution that must be durable before its call and after it cannot cost less than this on one connection.
"""

import sqlite3
from contextlib import closing

from benchmarks.measure import SYNCHRONOUS, measure, must_equal, parser, report


def main() -> None:
    """Measure and report."""
    options = parser(__doc__).parse_args()
    if options.in_flight != 1:
        raise SystemExit("floor: one at a time only; with more in flight, commits can be shared and are no floor")
    with closing(sqlite3.connect(options.dir / "floor.db", isolation_level=None)) as connection:
        execute = connection.execute
        (journal_mode,) = execute("PRAGMA journal_mode=WAL").fetchone()
        execute("PRAGMA synchronous=FULL")
        execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, state TEXT NOT NULL)")

        def run(count: int) -> None:
            # In autocommit mode each statement is a transaction, committed and synced when it returns.
            for _ in range(count):
                execute("INSERT INTO entry (state) VALUES ('started')")
                execute("INSERT INTO entry (state) VALUES ('finished')")

        took = measure(run, options)
        must_equal("floor", execute("SELECT count(*) FROM entry").fetchone()[0] // 2, options)
        (synchronous,) = execute("PRAGMA synchronous").fetchone()
        report(
            "floor",
            f"SQLite {sqlite3.sqlite_version}",
            options,
            took,
            {"journal_mode": journal_mode, "synchronous": SYNCHRONOUS[synchronous], "commits_per_execution": "2"},
        )


if __name__ == "__main__":
    main()
