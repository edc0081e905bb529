"""The clocks: the machine's own, and the one that only tests move."""

import asyncio

import pytest

from enactor.conformance.clocks import ManualClock, SeededRandomness
from enactor.domain.ids import intent_id, is_intent_id
from enactor.ports.clock import Ids
from enactor.system import SystemClock, SystemRandomness


async def test_nobody_wakes_before_the_clock_says_so() -> None:
    """Sleepers wake in the order of their times, each when the clock has passed it."""
    clock = ManualClock()
    woken: list[int] = []

    async def sleeper(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.ensure_future(sleeper(seconds)) for seconds in (30, 10, 20)]
    await clock.until_asleep(3)
    assert clock.next_wake_seconds == 10
    clock.advance(9.999)
    await asyncio.sleep(0)
    assert (woken, clock.asleep) == ([], 3)
    clock.advance(10.001)
    await asyncio.gather(*tasks[1:])
    assert woken == [10, 20]
    tasks[0].cancel()
    await asyncio.sleep(0)
    assert clock.asleep == 0
    assert clock.next_wake_seconds is None
    clock.advance(100)
    assert woken == [10, 20]


async def test_the_two_clocks_differ_where_the_worlds_jumps() -> None:
    """Advancing moves both, as suspended time does; an administrator's correction moves the world's alone."""
    clock = ManualClock(start_ms=5_000, elapsed_ms=70)
    clock.advance(1.5)
    assert (clock.now_ms(), clock.elapsed_ms()) == (6_500, 1_570)
    clock.jump(-3)
    assert (clock.now_ms(), clock.elapsed_ms()) == (3_500, 1_570)
    await clock.sleep(0)


def test_seeded_randomness_repeats_itself() -> None:
    """The same seed gives the same bytes and numbers, another seed others."""
    first, again, other = SeededRandomness(1), SeededRandomness(1), SeededRandomness(2)
    assert first.bytes(16) == again.bytes(16) != other.bytes(16)
    assert 2 <= first.uniform(2, 3) == again.uniform(2, 3) <= 3


async def test_the_machines_clocks_run() -> None:
    """Neither of them goes backwards between two readings, and sleeping returns."""
    clock = SystemClock()
    before = clock.now_ms(), clock.elapsed_ms()
    await clock.sleep(0)
    after = clock.now_ms(), clock.elapsed_ms()
    assert before[1] <= after[1]
    assert abs(after[0] - before[0]) < 60_000


def test_a_machine_without_a_boot_clock_has_a_monotonic_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no clock that counts suspended time, the one that never jumps stands in."""
    monkeypatch.setattr(SystemClock, "_boot_clock", None)
    clock = SystemClock()
    assert 0 <= clock.elapsed_ms() <= clock.elapsed_ms()


def test_the_machines_randomness_differs_each_time() -> None:
    """As many bytes as asked for, also more than are drawn at once, and never the same ones."""
    randomness = SystemRandomness()
    drawn = [randomness.bytes(16) for _ in range(1_000)]
    assert {len(piece) for piece in drawn} == {16}
    assert len(set(drawn)) == 1_000
    assert len(randomness.bytes(10_000)) == 10_000
    assert 2 <= randomness.uniform(2, 3) <= 3


def test_ids_of_a_process_grow() -> None:
    """Also within one millisecond each id is later than the one before."""
    ids = Ids(ManualClock(), SeededRandomness())
    made = [ids.new() for _ in range(1_000)]
    assert made == sorted(set(made))


def test_counting_on_keeps_the_form_of_an_id() -> None:
    """However high the first id of a millisecond is drawn, those that are counted on from it are UUIDv7s too."""

    class Highest(SeededRandomness):
        def bytes(self, count: int) -> bytes:
            return b"\xff" * count

    ids = Ids(ManualClock(), Highest())
    assert all(is_intent_id(intent_id(ids.new())) for _ in range(1_000))
