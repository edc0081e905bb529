"""One timer for all that is under way: who is broken off, when, and who is not."""

import asyncio
import sys

import pytest

from enactor.gateway.deadlines import Deadlines, ToolBroke

SOON = 0.01
LATE = 3_600.0


async def answer(value: str) -> str:
    """Answers in the next turn of the loop."""
    await asyncio.sleep(0)
    return value


async def never() -> str:
    """Waits for what does not come."""
    await asyncio.Event().wait()
    return "never"


async def test_what_comes_in_time_is_given_back() -> None:
    """With its arguments, and any number of times."""
    deadlines = Deadlines()
    assert await deadlines.within(LATE, answer, "a") == "a"
    assert [await deadlines.within(LATE, answer, name) for name in "bc"] == ["b", "c"]


async def test_the_later_of_two_may_be_overdue_first() -> None:
    """The timer that waits for a long one is set anew for a short one, and the long one goes on."""
    deadlines = Deadlines()
    long = asyncio.create_task(deadlines.within(LATE, never))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await deadlines.within(SOON, never)
    assert not long.done()
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long


async def test_everything_overdue_is_broken_off_and_the_rest_is_looked_after() -> None:
    """A timer that has gone off is set for the next: a call that is overdue later is broken off later."""
    deadlines = Deadlines()
    calls = [deadlines.within(seconds, never) for seconds in (SOON, SOON, 3 * SOON, 5 * SOON)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in found] == [TimeoutError] * 4


async def test_a_task_that_was_broken_off_goes_on() -> None:
    """Nobody asks it to end any more, so it can wait for other things."""
    deadlines = Deadlines()
    with pytest.raises(TimeoutError):
        await deadlines.within(SOON, never)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await deadlines.within(LATE, answer, "next") == "next"


async def test_a_tool_may_come_back_after_all() -> None:
    """What finishes although it is broken off is believed, and the task is not left cancelled."""

    async def stubborn() -> str:
        try:
            return await never()
        except asyncio.CancelledError:
            return "done all the same"

    assert await Deadlines().within(SOON, stubborn) == "done all the same"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_who_cancels_the_task_ends_it() -> None:
    """That is no timeout, and no failure of the tool."""
    task = asyncio.create_task(Deadlines().within(LATE, never))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_tool_that_ends_the_process_or_itself_has_broken() -> None:
    """Whoever waits for it goes on."""

    async def leaves() -> str:
        sys.exit(3)

    async def gives_up() -> str:
        raise asyncio.CancelledError

    for tool in (leaves, gives_up):
        with pytest.raises(ToolBroke):
            await Deadlines().within(LATE, tool)


def test_another_loop_has_a_timer_of_its_own() -> None:
    """One object may outlive its event loop."""
    deadlines = Deadlines()
    assert asyncio.run(deadlines.within(LATE, answer, "first")) == "first"
    with pytest.raises(TimeoutError):
        asyncio.run(deadlines.within(SOON, never))
