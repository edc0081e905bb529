"""Runs drivers in turn, takes medians over the rounds, compares them, and renders what came out.

A driver is a module that takes the options of `benchmarks.measure` and prints one line of JSON. Each run is a new
process with an empty directory of its own, so no driver warms or burdens another.
"""

import json
import os
import platform
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
TIMEOUT_SECONDS = 600


class DriverFailed(Exception):
    """A driver ended with an error, took too long, or printed something other than its line of JSON."""


@dataclass(frozen=True, slots=True)
class Driver:
    """One system as it is measured.

    `name` heads its rows, `python` runs `module` with `arguments` added, and `counts` says for each number in flight
    how many executions are timed: enough for some seconds, whatever the system's speed.
    """

    name: str
    python: Path
    module: str
    arguments: tuple[str, ...]
    counts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run measured: executions per second, CPU seconds per execution, and the durability in force."""

    name: str
    version: str
    in_flight: int
    per_second: float
    cpu_per_execution: float
    durability: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """A system at one number in flight over all rounds: the median rate with the lowest and highest, and median CPU."""

    name: str
    version: str
    in_flight: int
    per_second: float
    lowest: float
    highest: float
    cpu_per_execution: float
    durability: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """`subject` is to make at least `at_least` times the executions per second of `baseline`, both at `in_flight`."""

    subject: str
    baseline: str
    in_flight: int
    at_least: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """How a target came out: the quotient of the medians, and the lowest and highest quotient within one round."""

    target: Target
    value: float
    lowest: float
    highest: float

    @property
    def holds(self) -> bool:
        """Whether the quotient of the medians reaches the target."""
        return self.value >= self.target.at_least


def schedule(drivers: Sequence[Driver], rounds: int) -> Iterator[tuple[int, Driver, int]]:
    """Yield (round, driver, in flight): every case once a round, each round starting one case later than the last.

    Interleaving spreads the machine's slow minutes over all drivers; the shift keeps any from always running first.
    """
    cases = [(driver, in_flight) for driver in drivers for in_flight in driver.counts]
    for number in range(rounds):
        shift = number % len(cases)
        for driver, in_flight in cases[shift:] + cases[:shift]:
            yield number, driver, in_flight


def run(driver: Driver, in_flight: int, beside: Path = RESULTS) -> Sample:
    """Run one driver once, in a new directory in `beside` that is removed afterwards.

    Raises:
        DriverFailed: it ended with an error, took over `TIMEOUT_SECONDS`, or its last line is not what drivers print.
    """
    # On the disk the project is on: a temporary directory in memory would make every sync free.
    with tempfile.TemporaryDirectory(prefix=".run-", dir=beside) as directory:
        command = [str(driver.python), "-m", driver.module, "--count", str(driver.counts[in_flight])]
        command += ["--in-flight", str(in_flight), "--dir", directory, *driver.arguments]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
            )
        except FileNotFoundError as error:
            raise DriverFailed(
                f"{driver.name}: the Python it runs on is not there; run: make bench-embedded"
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DriverFailed(f"{driver.name} at {in_flight} in flight: {error}") from error
    if done.returncode:
        reason = (done.stderr.strip() or "no message").splitlines()[-1]
        raise DriverFailed(f"{driver.name} at {in_flight} in flight: exit {done.returncode}: {reason}")
    return parse(driver.name, done.stdout)


def parse(name: str, output: str) -> Sample:
    """Read the line of JSON that ends a driver's output; `name` is the one it was declared with.

    Raises:
        DriverFailed: the last line is not that.
    """
    try:
        line = json.loads(output.strip().splitlines()[-1])
        return Sample(
            name=name,
            version=line["version"],
            in_flight=line["in_flight"],
            per_second=line["count"] / line["seconds"],
            cpu_per_execution=line["cpu_seconds"] / line["count"],
            durability=line["durability"],
        )
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DriverFailed(f"{name}: its last line of output is not a result: {output[-200:]!r}") from error


def summarise(samples: Iterable[Sample]) -> list[Row]:
    """Take the median of each system at each number in flight, in the order they first appear."""
    rows = []
    for group in _grouped(samples).values():
        rates = [sample.per_second for sample in group]
        rows.append(
            Row(
                name=group[0].name,
                version=group[0].version,
                in_flight=group[0].in_flight,
                per_second=median(rates),
                lowest=min(rates),
                highest=max(rates),
                cpu_per_execution=median(sample.cpu_per_execution for sample in group),
                durability=group[0].durability,
            )
        )
    return rows


def compare(samples: Iterable[Sample], targets: Iterable[Target]) -> list[Ratio]:
    """Work out each target's ratio; a target is left out when either of its systems was not measured.

    The samples of one system at one number in flight are in the order of the rounds.
    """
    groups = _grouped(samples)
    ratios = []
    for target in targets:
        subject = groups.get((target.subject, target.in_flight))
        baseline = groups.get((target.baseline, target.in_flight))
        if not subject or not baseline:
            continue
        within_rounds = [ours.per_second / theirs.per_second for ours, theirs in zip(subject, baseline, strict=True)]
        value = median(sample.per_second for sample in subject) / median(sample.per_second for sample in baseline)
        ratios.append(Ratio(target, value, min(within_rounds), max(within_rounds)))
    return ratios


def _grouped(samples: Iterable[Sample]) -> dict[tuple[str, int], list[Sample]]:
    groups: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.name, sample.in_flight), []).append(sample)
    return groups


def machine() -> dict[str, str | int | None]:
    """What the figures depend on, besides the code."""
    try:
        information = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = next(line.split(":", 1)[1].strip() for line in information.splitlines() if "model name" in line)
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
