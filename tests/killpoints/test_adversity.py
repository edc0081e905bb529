"""A full disk, a busy database, clocks that jump, a thousand deliveries, and races with expiry and with a switch."""

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from killpoints import adversity
from killpoints.adversity import OF_AN_INSTANT, Endured, Place
from killpoints.harness import WorldProcess, Zygote
from killpoints.subjects import enactor_program
from killpoints.subjects.registry import ENACTOR_PROGRAM


@pytest.fixture
async def place(world: WorldProcess, tmp_path: Path) -> AsyncIterator[Place]:
    """Where Enactor's real program runs, in processes of its own."""
    async with Zygote(ENACTOR_PROGRAM, tmp_path / "log") as programs:
        yield Place(programs, world, tmp_path)


async def test_the_disk_the_database_and_the_clock(place: Place) -> None:
    """Each befalls the real program: it gives up when it has to, goes on when it can, and says nothing false."""
    disk = await adversity.full_disk(place, times=1)
    assert disk.tally.clean, disk.tally.faults
    busy = await adversity.busy_database(place)
    assert busy.tally.clean, busy.tally.faults
    assert busy.times > 2, "the lock was never held by anybody else"
    clock = await adversity.jumping_clock(place, times=1)
    assert clock.tally.clean, clock.tally.faults
    assert clock.tally.found > 0


@pytest.mark.parametrize("happens", OF_AN_INSTANT)
async def test_at_exactly_this_instant(happens: Callable[[], Awaitable[Endured]]) -> None:
    """Jumps at each commit, deliveries, races with expiry and with a switch: nothing twice, nothing lost or false."""
    endured = await happens()
    assert endured.tally.clean, endured.tally.faults
    assert endured.times > 3


def test_an_expectation_that_is_not_met_is_counted() -> None:
    """What has to be so and is not makes the section fail, and is named."""
    endured = Endured("it", 1)
    endured.expect("this is so", so=True)
    assert endured.tally.clean
    endured.expect("that is not so", so=False)
    assert not endured.tally.clean
    assert endured.tally.faults == ["it: that is not so"]


def test_a_clock_that_jumps_ends_later_than_it_ever_was() -> None:
    """Otherwise something would wait for a time that it showed once."""
    clock = enactor_program.ShiftedClock(0, {"seed": 1, "by": list(adversity.JUMPS), "times": 40})
    shown = [clock.now_ms() for _ in range(40 * 25 - 1)]
    assert max(shown) > shown[0] + 80_000
    assert any(later < before for before, later in pairwise(shown))
    assert clock.now_ms() > max(shown)
