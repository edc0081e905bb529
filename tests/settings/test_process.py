"""What a serving process is set to."""

import gc
import sys

import uvloop

from enactor.wiring import process


def test_threads_are_let_in_soon() -> None:
    """The interpreter changes hands ten times as soon as Python would have it."""
    before = sys.getswitchinterval()
    try:
        process.let_threads_in()
        assert sys.getswitchinterval() <= 0.001
    finally:
        sys.setswitchinterval(before)


def test_what_start_up_made_is_left_alone() -> None:
    """The collector does not look at it again."""
    before = gc.get_threshold()
    try:
        process.settle_down()
        assert gc.get_freeze_count() > 1_000
        assert gc.get_threshold()[0] > 10_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_the_loop_is_uvloops() -> None:
    """Where it is installed."""
    assert process.loop_factory() is uvloop.new_event_loop
