"""How long what a connector does may take, and what it may not do to whoever waits for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class ToolBroke(Exception):
    """A tool tried to end the process, or was cancelled by itself."""


class _Out:
    """Something that is under way, and when it is overdue on the event loop's clock."""

    __slots__ = ("overdue", "task", "when")

    def __init__(self, task: asyncio.Task[Any], when: float) -> None:
        self.task = task
        self.when = when
        self.overdue = False


class Deadlines:
    """Breaks off what takes longer than it may, like `asyncio.timeout`, with one timer for all that is under way.

    A timer for each would cost a call more than everything else that is around it.
    """

    def __init__(self) -> None:
        self._out: set[_Out] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf

    async def within(self, seconds: float, method: Callable[..., Awaitable[Result]], *arguments: object) -> Result:
        """What `method` gives, if it does so in time.

        A tool that calls `sys.exit` would otherwise end everything that runs beside it, and again after each start; and
        one that waits for something cancelled would leave its run without anybody who looks after it.

        Args:
            seconds: how long it may take.

        Raises:
            TimeoutError: it was broken off.
            ToolBroke: it raised `SystemExit`, or a cancellation that nobody asked of this task.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be broken off")
        before = task.cancelling()
        out = _Out(task, loop.time() + seconds)
        self._out.add(out)
        if out.when < self._looks_at or loop is not self._loop:
            self._arm(loop, out.when)
        try:
            return await method(*arguments)
        except SystemExit as error:
            raise ToolBroke from error
        except asyncio.CancelledError as error:
            if out.overdue and task.cancelling() - 1 <= before:
                raise TimeoutError from error
            if not task.cancelling():
                raise ToolBroke from error
            raise
        finally:
            self._out.discard(out)
            if out.overdue:
                task.uncancel()

    def _arm(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None and loop is self._loop:
            self._timer.cancel()
        self._loop, self._looks_at = loop, when
        self._timer = loop.call_at(when, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Breaks off what is overdue, and comes back when the next may be: what is over by then does not count."""
        self._timer, self._looks_at = None, math.inf
        now = loop.time()
        for out in [out for out in self._out if out.when <= now and not out.overdue]:
            out.overdue = True
            out.task.cancel()
        if waiting := [out.when for out in self._out if not out.overdue]:
            self._arm(loop, min(waiting))
