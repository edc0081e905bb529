"""The fault-point port: absent unless it is asked for, and then honest about where it is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from enactor.conformance.clocks import ManualClock
from enactor.domain.errors import ConfigurationError
from enactor.settings.loading import load
from enactor.stores.memory import MemoryStore
from enactor.wiring import faults

PASSES = """
import os
from enactor.wiring import faults
told = faults.ProcessFaults(faults.fault_plan(os.environ))
for point in ("here", "there", "here", "never"):
    told.passed(point)
"""


def environment(plan: dict[str, object]) -> dict[str, str]:
    """An environment that asks for fault points."""
    return {faults.VARIABLE: msgspec.json.encode(plan).decode()}


def test_nothing_is_wrapped_unless_it_is_asked_for() -> None:
    """Without the variable the store and the tool plane are the very objects: there is nothing to pay for."""
    store = MemoryStore(ManualClock())
    assert faults.watched_store(store, {}) is store


async def test_it_tells_of_both_sides_of_a_commit(tmp_path: Path) -> None:
    """Each point is in the journal when it is passed, with what the commit does."""
    journal = tmp_path / "journal"
    store = faults.watched_store(MemoryStore(ManualClock()), environment({"journal": str(journal)}))
    await store.move_delivery_cursor("webhooks", 7)
    assert await store.delivery_cursor("webhooks") == 7
    await store.commit([])
    sides = [
        f"{name} {side}" for name in ("move_delivery_cursor", "commit(AppendLedger)") for side in ("before", "after")
    ]
    assert journal.read_text().splitlines() == sides


@pytest.mark.parametrize(
    "plan", ["{", {"journal": "j", "surprise": 1}, {"journal": "j", "point": "p", "signal": "HUP"}, {"point": "p"}]
)
def test_a_plan_that_cannot_be_read_stops_the_start(plan: object) -> None:
    """Nobody runs without knowing whether fault points are on."""
    text = plan if isinstance(plan, str) else msgspec.json.encode(plan).decode()
    with pytest.raises(ConfigurationError, match=faults.VARIABLE):
        faults.fault_plan({faults.VARIABLE: text})


def test_it_acts_at_its_own_point_alone(tmp_path: Path) -> None:
    """The second time that the point is reached, and at no other point; the process sends the signal to itself."""
    plan = {"journal": str(tmp_path / "journal"), "point": "here", "occurrence": 2, "signal": "STOP"}
    process = subprocess.Popen([sys.executable, "-c", PASSES], env={**os.environ, **environment(plan)})
    child = process.pid
    _, status = os.waitpid(child, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert (tmp_path / "journal").read_text().splitlines() == ["here", "there", "here", "! STOP"]
    os.kill(child, signal.SIGCONT)
    assert process.wait() == 0
    assert (tmp_path / "journal").read_text().splitlines()[-1] == "never"


def test_the_variable_is_no_setting(tmp_path: Path) -> None:
    """A server started by the kit does not take it for a misspelt setting."""
    load({}, environment({"journal": "j"}), tmp_path)
