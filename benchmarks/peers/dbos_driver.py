"""DBOS: a workflow of five steps that do nothing, on its SQLite store with its own settings.

Its SQLite store runs with SQLite's defaults (rollback journal, `synchronous=FULL`), so every step is on disk before
the next one starts. `--journal-mode wal` shows it with the journal it does not choose itself.
"""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.metadata import version

from dbos import DBOS, DBOSConfig
from dbos._dbos import _get_dbos_instance

from benchmarks.measure import SYNCHRONOUS, keep_in_flight, measure, must_equal, parser, report


@DBOS.step()
def step(number: int) -> None:
    """Do nothing, durably."""


@DBOS.workflow()
def five_steps() -> None:
    """Run the five steps in order."""
    for number in range(5):
        step(number)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--journal-mode", choices=["as-shipped", "wal"], default="as-shipped")
    options = options.parse_args()

    file = options.dir / "dbos.sqlite"
    if options.journal_mode == "wal":
        # The journal mode is a property of the file, so setting it before DBOS opens the file is enough.
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    config: DBOSConfig = {"name": "benchmark", "system_database_url": f"sqlite:///{file}", "log_level": "WARNING"}
    DBOS(config=config)
    DBOS.launch()

    # A workflow called from a thread of its own: 1 to 64 threads came out level, and so did `start_workflow` with
    # `max_executor_threads` from 2 to 64; workflows and steps as coroutines were slower.
    with ThreadPoolExecutor(options.in_flight) as executor:

        def run(count: int) -> None:
            if options.in_flight > 1:
                keep_in_flight(executor, five_steps, count, options.in_flight)
                return
            for _ in range(count):
                five_steps()

        took = measure(run, options)

    # The engine DBOS made for itself, because `synchronous` belongs to a connection and not to the file.
    with _get_dbos_instance()._sys_db.engine.connect() as connection:

        def value(query: str) -> str | int:
            return connection.exec_driver_sql(query).scalar_one()

        must_equal("dbos workflows", value("SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS'"), options)
        must_equal("dbos steps", value("SELECT count(*) FROM operation_outputs") / 5, options)
        durability = {
            "journal_mode": value("PRAGMA journal_mode"),
            "synchronous": SYNCHRONOUS[value("PRAGMA synchronous")],
        }
    report("dbos", version("dbos"), options, took, durability)
    DBOS.destroy()


if __name__ == "__main__":
    main()
