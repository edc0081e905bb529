"""The embedded default against its peers and against bare SQLite commits: `make bench-embedded`.

Completed executions per second, from approved to outcome durable, all systems interleaved in one run. Prints a table,
and saves it with every sample in `benchmarks/results/embedded.json` and as Markdown in `embedded.md`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import render
from benchmarks.harness import (
    RESULTS,
    ROOT,
    Driver,
    DriverFailed,
    Ratio,
    Row,
    Sample,
    Target,
    compare,
    machine,
    run,
    schedule,
    summarise,
)
from benchmarks.measure import positive

OURS = Path(sys.executable)
PEERS = ROOT / ".bench-venv" / "bin" / "python"

DRIVERS = [
    Driver("enactor", OURS, "benchmarks.enactor_driver", (), {1: 6000, 64: 30000}),
    Driver("floor", OURS, "benchmarks.peers.floor_driver", (), {1: 6000}),
    Driver("dbos", PEERS, "benchmarks.peers.dbos_driver", (), {1: 300, 64: 300}),
    Driver("ctrlrun", PEERS, "benchmarks.peers.ctrlrun_driver", (), {1: 4000, 64: 4000}),
]

# Not compared, but part of an honest picture: DBOS with the journal it does not choose itself, and CTRLRun with each
# commit on disk when it returns, as it is for all the others. CTRLRun as shipped loses its last commits with power.
VARIANTS = [
    Driver("dbos (WAL)", PEERS, "benchmarks.peers.dbos_driver", ("--journal-mode", "wal"), {1: 300, 64: 300}),
    Driver("ctrlrun (FULL)", PEERS, "benchmarks.peers.ctrlrun_driver", ("--synchronous", "full"), {1: 1000, 64: 1000}),
]

TARGETS = [
    Target("enactor", "dbos", 64, at_least=45),
    Target("enactor", "ctrlrun", 64, at_least=4.5),
    Target("enactor", "dbos", 1, at_least=10),
    Target("enactor", "ctrlrun", 1, at_least=1),
    Target("enactor", "floor", 1, at_least=0.7),
]


def main() -> int:
    """Run the benchmark; 1 when a driver failed, or with `--strict` when a target is missed."""
    options = _options()
    drivers = [driver for driver in DRIVERS + (VARIANTS if options.variants else []) if _wanted(driver, options.only)]
    if not drivers:
        print(f"bench: no system is called {' or '.join(options.only)}", file=sys.stderr)
        return 1
    samples = []
    try:
        for number, driver, in_flight in schedule(drivers, options.rounds):
            sample = run(driver, in_flight)
            samples.append(sample)
            progress = (
                f"round {number + 1}/{options.rounds}: {driver.name}, {in_flight} in flight: {sample.per_second:,.0f}/s"
            )
            print(progress, file=sys.stderr)
    except DriverFailed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    rows, ratios = summarise(samples), compare(samples, TARGETS)
    tables = [table for table in (render.rates(rows), render.ratios(ratios)) if len(table) > 1]
    print("\n\n".join(render.plain(table) for table in tables))
    _save(options.rounds, samples, rows, ratios)
    (RESULTS / "embedded.md").write_text("\n\n".join(map(render.markdown, tables)) + "\n", encoding="utf-8")
    return 1 if options.strict and not all(ratio.holds for ratio in ratios) else 0


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m benchmarks.embedded", description=__doc__)
    options.add_argument("--rounds", type=positive, default=3, help="times each system is run (default: 3)")
    options.add_argument("--only", action="append", default=[], metavar="NAME", help="only this system; repeatable")
    options.add_argument("--variants", action="store_true", help="also the peers with other durability settings")
    options.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    return options.parse_args()


def _wanted(driver: Driver, names: Sequence[str]) -> bool:
    return not names or driver.name in names


def _save(rounds: int, samples: Sequence[Sample], rows: Sequence[Row], ratios: Sequence[Ratio]) -> None:
    result = {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "rounds": rounds,
        "systems": [asdict(row) for row in rows],
        "ratios": [asdict(ratio) | {"holds": ratio.holds} for ratio in ratios],
        "samples": [asdict(sample) for sample in samples],
    }
    (RESULTS / "embedded.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
