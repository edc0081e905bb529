"""CTRLRun: one allowed action per execution, on its durable SQLite store.

Set up as its documentation has it: a policy that allows the action and names its effect key, a function under
`@protect`, a `context` naming the agent. Every choice below that its documentation leaves open is the faster one.
"""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import count as numbers

from ctrlrun import Control, Policy, SQLiteStateStore, context, protect

from benchmarks.measure import SYNCHRONOUS, keep_in_flight, measure, must_equal, parser, positive, report

POLICY = """
schema: ctrlrun.policy/v2
actions:
  note.create:
    effect: "note:{note_id}"
    decision: allow
"""


class FullySynchronous(SQLiteStateStore):
    """The same store with every commit synced to disk, which it does not offer as a setting."""

    def _connection(self) -> sqlite3.Connection:
        connection = super()._connection()
        connection.execute("PRAGMA synchronous=FULL")
        return connection


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    # It is synchronous, and its threads, a connection each, take turns at the write lock: 1, 2 and 3 threads came out
    # level, 4 to 8 a tenth slower, 64 half as fast. The rest of what is in flight waits in the executor's queue.
    options.add_argument("--threads", type=positive, default=2, help="threads that run what is in flight")
    options.add_argument("--synchronous", choices=["as-shipped", "full"], default="as-shipped")
    options = options.parse_args()

    store_class = FullySynchronous if options.synchronous == "full" else SQLiteStateStore
    store = store_class(options.dir / "state.db")
    # No sinks: `Control.from_file` would also write each receipt and event to a JSONL file, which cost about a fifth.
    control = Control(Policy.from_yaml(POLICY), store)

    @protect("note.create", control=control)
    def create(note_id: str, text: str) -> dict[str, str]:
        return {"id": note_id}

    identifiers = numbers()

    def one() -> None:
        with context(agent="benchmark"):
            create(note_id=f"note-{next(identifiers)}", text="A note")

    with ThreadPoolExecutor(min(options.threads, options.in_flight)) as executor:

        def run(count: int) -> None:
            if options.in_flight > 1:
                keep_in_flight(executor, one, count, options.in_flight)
                return
            for _ in range(count):
                one()

        took = measure(run, options)
    must_equal("ctrlrun receipts", sum(receipt.result == "committed" for receipt in store.receipts()), options)
    # Its own connection, because `synchronous` belongs to a connection and not to the file.
    pragma = store._connection().execute
    report(
        "ctrlrun",
        version("ctrlrun"),
        options,
        took,
        {
            "journal_mode": pragma("PRAGMA journal_mode").fetchone()[0],
            "synchronous": SYNCHRONOUS[pragma("PRAGMA synchronous").fetchone()[0]],
        },
    )
    store.close()


if __name__ == "__main__":
    main()
