"""Calling other people's code: what it raises is its own failure, also where it looks like the end of our own work, and
what it says is of the types that it is to be of.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager

from enactor.connectors.sdk import Refused
from enactor.domain.errors import ErrorClass


class ToolBroke(Exception):
    """A tool tried to end the process, or was cancelled by itself."""


@contextmanager
def contained() -> Iterator[None]:
    """Within it, `SystemExit`, and a cancellation that nobody asked of this task, become `ToolBroke`.

    A tool that calls `sys.exit` would otherwise end everything that runs beside it, and again after each start; and one
    that waits for something cancelled would leave its run without anybody who looks after it.

    Raises:
        ToolBroke: the tool raised one of the two.
    """
    try:
        yield
    except SystemExit as error:
        raise ToolBroke from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ToolBroke from error


def class_of(error: Refused) -> ErrorClass:
    """The class that a refusal names, or DOWNSTREAM where it names none."""
    try:
        return ErrorClass(error.error_class)
    except ValueError:
        return ErrorClass.DOWNSTREAM


def seconds_of(error: Refused) -> float | None:
    """How long a refusal asks to wait, in seconds; None where that is no such number."""
    wished: object = error.retry_after_seconds
    return wished if isinstance(wished, int | float) and 0 <= wished < math.inf else None
