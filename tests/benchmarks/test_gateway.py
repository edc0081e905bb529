"""The gateway's benchmark, run small: it calls what it says, and saves what it found."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.gateway import Times, alternate
from benchmarks.harness import ROOT


async def test_both_are_called_in_alternation() -> None:
    """Each as often as the other, the untimed calls included, and the first of a pair changes."""
    order = ""

    async def call(name: str) -> None:
        nonlocal order
        order += name

    first, second = await alternate(lambda: call("a"), lambda: call("b"), 3, 2)
    assert order == "ab" * 20 + "abbaab" * 2
    assert [len(one) for one in (*first.rounds, *second.rounds)] == [3] * 4


def test_percentiles_are_over_all_rounds() -> None:
    """A median of medians would hide a slow round."""
    times = Times([[1, 2, 3], [10, 20, 30]])
    assert (times.at(0.5), times.at(0.99), times.medians()) == (10, 30, [2, 20])


def test_a_small_run(tmp_path: Path) -> None:
    """A real server, a few calls each way, and the results where they belong."""
    command = [sys.executable, "-m", "benchmarks.gateway", "--count", "3", "--rounds", "1", "--out", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "gateway.json").read_text())
    assert found["pairs"] == {"http": 3, "in_process": 30}
    assert found["microseconds"]["http"].keys() == {"bare_p50", "gateway_p50", "bare_p99", "gateway_p99"}
    assert (tmp_path / "gateway.md").read_text() in ended.stdout
