"""`enactor connector new`: what it writes works, and what it cannot write it says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import run


def test_a_new_connector_passes_its_own_tests(home: Path) -> None:
    """Written, linted, and run by pytest in a process of its own: the suite of connectors among its tests."""
    written = json.loads(run("connector", "new", "ticket_desk", "--json").stdout)
    folder = home / "enactor-ticket-desk"
    assert written["directory"] == "enactor-ticket-desk"
    assert sorted(str(path.relative_to(home)) for path in folder.rglob("*") if path.is_file()) == sorted(
        written["files"]
    )
    texts = [path.read_text() for path in folder.rglob("*") if path.is_file()]
    assert not [text for text in texts if re.search(r"@\w+@", text)]
    for check in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *check, "--no-cache", str(folder)], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout[-3_000:]
    assert "18 passed" in tested.stdout


@pytest.mark.parametrize("name", ["Tickets", "9lives", "a-b", "", "../x", "class", "x" * 41, "crm"])
def test_names_that_cannot_be_one(home: Path, name: str) -> None:
    """Refused with what a name can be, and nothing is written."""
    result = run("connector", "new", name)
    assert result.exit_code == 1
    assert "name" in result.stderr
    assert list(home.iterdir()) == []


def test_a_folder_that_is_there(home: Path) -> None:
    """It is not written into, whatever is in it."""
    (home / "mine").mkdir()
    result = run("connector", "new", "tickets", "--directory", "mine")
    assert result.exit_code == 1
    assert "mine is there already" in result.stderr
    assert list((home / "mine").iterdir()) == []
