"""Time and records for tests of a store."""

import pytest

from enactor.conformance.builders import Builder
from enactor.conformance.clocks import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """The time, which stands still unless the test moves it."""
    return ManualClock()


@pytest.fixture
def build(clock: ManualClock) -> Builder:
    """What makes the test's records."""
    return Builder(clock)
