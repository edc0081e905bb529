"""The make targets that others rely on are there, and an unbuilt one fails with one clear line."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

UNBUILT = ["test-scale-out"]
TARGETS = [
    "demo",
    "test",
    "check",
    "serve",
    "bench",
    "bench-embedded",
    "bench-gateway",
    "killpoints",
    "killpoints-quick",
    "package-aws",
    "test-aws",
]
UPKEEP = ["clean", "setup", "constraints", "format"]


@pytest.mark.parametrize("target", [*TARGETS, *UPKEEP, *UNBUILT])
def test_a_published_target_exists(target: str) -> None:
    """The names of the design's interfaces are targets that make can plan."""
    planned = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.strip()


@pytest.mark.parametrize("target", UNBUILT)
def test_an_unbuilt_part_says_so(target: str) -> None:
    """A target whose part is not built yet prints one line that says so, and fails."""
    run = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert run.stdout == ""
    told = [line for line in run.stderr.splitlines() if not line.startswith("make")]
    assert len(told) == 1
    assert re.fullmatch(rf"{target}: .* not built yet\.", told[0])
