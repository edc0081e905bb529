import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.measure import keep_in_flight


def test_as_many_as_asked_are_in_flight_and_no_more() -> None:
    """All places fill, one more is never submitted, and every execution runs once."""
    full = threading.Barrier(4)
    submitted: list[int] = []
    finished: list[int] = []
    most = 0

    class Counting(ThreadPoolExecutor):
        def submit(self, *arguments, **options):  # type: ignore[no-untyped-def]
            nonlocal most
            submitted.append(1)
            most = max(most, len(submitted) - len(finished))
            return super().submit(*arguments, **options)

    def one() -> None:
        full.wait(timeout=30)
        finished.append(1)

    with Counting(4) as executor:
        keep_in_flight(executor, one, 12, 4)
    assert (len(finished), most) == (12, 4)


def test_a_failed_execution_is_raised() -> None:
    """A benchmark whose executions fail does not report how fast they failed."""
    with ThreadPoolExecutor(2) as executor, pytest.raises(RuntimeError, match="refused"):
        keep_in_flight(executor, lambda: (_ for _ in ()).throw(RuntimeError("refused")), 4, 2)
