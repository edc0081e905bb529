"""What every driver shares: its command line, the measurement, and the line of JSON the harness reads."""

import argparse
import gc
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from threading import Semaphore

SYNCHRONOUS = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
"""What `PRAGMA synchronous` answers, by the names it is set with."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the timed part took: wall-clock seconds, and CPU seconds of this process over all its threads."""

    seconds: float
    cpu_seconds: float


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options every driver takes; a driver adds its own before parsing."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--count", type=positive, required=True, metavar="N", help="executions in the timed part")
    options.add_argument("--in-flight", type=positive, default=1, metavar="K", help="unfinished executions at any time")
    options.add_argument("--dir", type=Path, required=True, metavar="D", help="directory for the database; kept")
    return options


def positive(text: str) -> int:
    """A whole number of at least 1; `ValueError` otherwise, which argparse words for the user."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def warm_up_count(count: int, in_flight: int) -> int:
    """How many executions run untimed first: each of the `in_flight` places twice, and at least a tenth of `count`."""
    return max(2 * in_flight, count // 10)


def measure(run: Callable[[int], None], options: argparse.Namespace) -> Measured:
    """Time `run(count)` after an untimed `run(warm_up_count(...))`.

    `run(n)` makes `n` new executions, at most `options.in_flight` of them unfinished at a time, and returns when the
    last one's outcome is durable.
    """
    run(warm_up_count(options.count, options.in_flight))
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    run(options.count)
    return Measured(time.perf_counter() - wall, time.process_time() - cpu)


def keep_in_flight(executor: Executor, one: Callable[[], object], count: int, in_flight: int) -> None:
    """Run `one()` `count` times on `executor`, keeping `in_flight` submitted and unfinished; raises what it raised."""
    places = Semaphore(in_flight)
    submitted = []
    for _ in range(count):
        places.acquire()
        future = executor.submit(one)
        future.add_done_callback(lambda _: places.release())
        submitted.append(future)
    for future in submitted:
        future.result()


def must_equal(what: str, found: float, options: argparse.Namespace) -> None:
    """Refuse to report a figure unless the store holds every execution, the untimed ones included."""
    expected = options.count + warm_up_count(options.count, options.in_flight)
    if found != expected:
        raise SystemExit(f"{what}: the store holds {found:g}, expected {expected}; the figure would be wrong")


def report(name: str, version: str, options: argparse.Namespace, took: Measured, durability: Mapping[str, str]) -> None:
    """Print the driver's one line. `durability` says which settings were in force, as read back from the store."""
    line = {
        "name": name,
        "version": version,
        "in_flight": options.in_flight,
        "count": options.count,
        "seconds": round(took.seconds, 6),
        "per_second": round(options.count / took.seconds, 2),
        "cpu_seconds": round(took.cpu_seconds, 6),
        "durability": dict(durability),
    }
    print(json.dumps(line), flush=True)
