"""What a process of our own is set to, that has nothing else to do than to serve."""

from __future__ import annotations

import gc
import sys
from typing import Any, Final

_SWITCH_SECONDS: Final = 0.0005
"""How long a thread that wants the interpreter waits before it is let in; Python's own choice is ten times as long."""


_YOUNG: Final = 50_000
"""So many more objects made than freed, before the collector looks for cycles."""


def loop_factory() -> Any:
    """What makes event loops, for `asyncio.Runner`: uvloop's where it is installed, None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def let_threads_in() -> None:
    """Has the event loop's thread make way for others sooner.

    The store's threads hold the interpreter for microseconds at a time, before and after what SQLite does without it:
    a commit that has to wait 5 ms to begin, and 5 more to be told of, holds up every execution that waits for it. It
    is a setting of the whole process, so programs that embed Enactor make it themselves.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


def settle_down() -> None:
    """To be called once everything is set up: what was made so far lives as long as the process.

    The garbage collector need not look at it again. What requests and runs make is freed without it; by its usual
    measure it would look at everything that is in flight several times.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
