import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import measure, render
from benchmarks.embedded import DRIVERS, TARGETS, VARIANTS
from benchmarks.harness import (
    ROOT,
    Driver,
    DriverFailed,
    Ratio,
    Sample,
    Target,
    compare,
    parse,
    run,
    schedule,
    summarise,
)

OURS = Path(sys.executable)
FLOOR = "benchmarks.peers.floor_driver"


def sample(name: str, per_second: float, in_flight: int = 1, cpu: float = 0.001) -> Sample:
    """Return what one run of a made-up system measured."""
    return Sample(name, "1.0", in_flight, per_second, cpu, {"journal_mode": "wal", "synchronous": "FULL"})


def driver(name: str, *in_flight: int) -> Driver:
    """Declare a driver that is scheduled and never run."""
    return Driver(name, OURS, FLOOR, (), dict.fromkeys(in_flight, 10))


def test_each_round_runs_every_case_once_and_starts_one_later() -> None:
    """Rounds interleave all cases, and no case keeps the same place in every round."""
    planned = [(number, each.name, k) for number, each, k in schedule([driver("a", 1, 64), driver("b", 1)], 3)]
    cases = [("a", 1), ("a", 64), ("b", 1)]
    assert planned == [(0, *case) for case in cases] + [(1, *case) for case in [cases[1], cases[2], cases[0]]] + [
        (2, *case) for case in [cases[2], cases[0], cases[1]]
    ]


def test_a_row_is_the_median_with_the_extremes() -> None:
    """One outlier moves the range a row shows, not its rate."""
    rates = [sample("a", 100, cpu=0.002), sample("a", 5), sample("a", 110, cpu=0.004)]
    (row,) = summarise(rates)
    assert (row.per_second, row.lowest, row.highest, row.cpu_per_execution) == (100, 5, 110, 0.002)


def test_numbers_in_flight_are_kept_apart() -> None:
    """The same system at 1 and at 64 in flight makes two rows, in the order they were run."""
    rows = summarise([sample("a", 10, 1), sample("a", 90, 64), sample("a", 30, 1)])
    assert [(row.in_flight, row.per_second) for row in rows] == [(1, 20), (64, 90)]


def test_a_ratio_is_the_quotient_of_the_medians_with_the_extremes_of_the_rounds() -> None:
    """The ratio can be checked against the table; its range pairs the runs of one round."""
    samples = [
        *(sample("ours", 300), sample("theirs", 100)),
        *(sample("ours", 200), sample("theirs", 50)),
        *(sample("ours", 100), sample("theirs", 100)),
    ]
    (ratio,) = compare(samples, [Target("ours", "theirs", 1, at_least=2)])
    assert (ratio.value, ratio.lowest, ratio.highest, ratio.holds) == (2, 1, 4, True)


def test_a_target_just_missed_does_not_hold() -> None:
    """A ratio is not rounded up to its target."""
    (ratio,) = compare([sample("ours", 199.9), sample("theirs", 100)], [Target("ours", "theirs", 1, at_least=2)])
    assert not ratio.holds


def test_a_target_of_a_system_that_was_not_run_is_left_out() -> None:
    """Running some systems alone is no error, and no ratio is made up for the others."""
    assert compare([sample("ours", 1), sample("theirs", 1, 64)], [Target("ours", "theirs", 1, at_least=1)]) == []


@pytest.mark.parametrize(
    "output",
    ["", "Traceback", "[]", '{"version": "1"}', '{"version":"1","in_flight":1,"count":1,"seconds":0,"cpu_seconds":0}'],
)
def test_output_that_is_not_a_result_is_refused(output: str) -> None:
    """A driver that prints something else is named, not read as a figure."""
    with pytest.raises(DriverFailed, match=r"^peer: its last line"):
        parse("peer", output)


def test_a_result_may_follow_other_output_and_takes_the_declared_name() -> None:
    """What a peer logs before its result does no harm, and two variants of one driver stay two systems."""
    line = {"name": "x", "version": "2", "in_flight": 8, "count": 10, "seconds": 2, "cpu_seconds": 1, "durability": {}}
    found = parse("x (WAL)", "starting\n" + json.dumps(line) + "\n")
    assert found == Sample("x (WAL)", "2", 8, 5.0, 0.1, {})


def test_tables_are_aligned_and_the_same_in_both_forms() -> None:
    """Every line of the plain table has its columns in the same place, and Markdown has the same cells."""
    table = render.rates(summarise([sample("floor", 1234.4), sample("a", 7, 64)]))
    assert render.plain(table).splitlines() == [
        "system  version  in flight  executions/s  lowest – highest  CPU each  journal, synchronous",
        "floor       1.0          1         1,234     1,234 – 1,234  1,000 µs  wal, FULL",
        "a           1.0         64             7             7 – 7  1,000 µs  wal, FULL",
    ]
    header, rule, *lines = [line.strip("|").split("|") for line in render.markdown(table).splitlines()]
    assert [[cell.strip() for cell in line] for line in [header, *lines]] == [list(line) for line in table]
    assert [cell.strip().strip("-") for cell in rule] == ["", ":", ":", ":", ":", ":", ""]


def test_a_missed_target_stands_out() -> None:
    """The table of ratios says NO where a target is missed."""
    target = Target("enactor", "dbos", 64, at_least=45)
    lines = render.plain(
        render.ratios([Ratio(target, 45.0, 40.0, 50.0), Ratio(target, 44.99, 40.0, 50.0)])
    ).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["yes", "NO"]


def test_the_floor_driver_runs_for_real_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A declared driver is run as a process on a real database file, which is gone afterwards."""
    found = run(Driver("floor", OURS, FLOOR, (), {1: 20}), 1, beside=tmp_path)
    assert found.per_second > 0
    assert found.durability == {"journal_mode": "wal", "synchronous": "FULL", "commits_per_execution": "2"}
    assert list(tmp_path.iterdir()) == []


def test_a_driver_that_fails_is_reported_with_its_own_last_words(tmp_path: Path) -> None:
    """The reason a driver gave reaches the person running the benchmark, in one line."""
    with pytest.raises(DriverFailed, match=r"^floor at 64 in flight: exit 1: floor: one at a time only"):
        run(Driver("floor", OURS, FLOOR, (), {64: 10}), 64, beside=tmp_path)


def test_a_driver_whose_python_is_missing_is_reported(tmp_path: Path) -> None:
    """Without the peers' environment the benchmark says so instead of failing with a trace."""
    with pytest.raises(DriverFailed, match=r"^peer: the Python it runs on is not there"):
        run(Driver("peer", ROOT / "no-such-venv" / "python", FLOOR, (), {1: 10}), 1, beside=tmp_path)


def test_a_figure_is_refused_when_the_store_holds_too_little(tmp_path: Path) -> None:
    """A driver that lost executions exits with an error rather than report a rate."""
    options = measure.parser("").parse_args(["--count", "10", "--dir", str(tmp_path)])
    measure.must_equal("store", 12, options)
    with pytest.raises(SystemExit, match="store: the store holds 11, expected 12"):
        measure.must_equal("store", 11, options)


def test_a_count_of_zero_is_refused() -> None:
    """`--count 0` is a usage error, not a division by zero."""
    done = subprocess.run(
        [OURS, "-m", FLOOR, "--count", "0", "--dir", "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "invalid positive value: '0'" in done.stderr


def test_what_is_declared_fits_together() -> None:
    """Every driver is a module that exists, names are unique, and every baseline is run where its target needs it."""
    declared = DRIVERS + VARIANTS
    assert len({each.name for each in declared}) == len(declared)
    assert [each.name for each in declared if not (ROOT / (each.module.replace(".", "/") + ".py")).is_file()] == []
    cases = {(each.name, in_flight) for each in DRIVERS for in_flight in each.counts}
    assert {(target.baseline, target.in_flight) for target in TARGETS} <= cases
