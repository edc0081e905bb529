"""A calendar of its own for every test, and what drafts events in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.radicale import Radicale
from tests.connectors.caldav.rig import Rig
from tests.connectors.proxy import Proxy


@pytest.fixture
def clock() -> ManualClock:
    """Time that only the test moves."""
    return ManualClock()


@pytest.fixture
async def rig(radicale: Radicale, clock: ManualClock, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """The connector behind the real tool plane and pipeline, with an empty calendar."""
    url = await radicale.make_calendar(f"cal-{abs(hash(request.node.nodeid))}")
    async with Proxy(url) as proxy:
        made = Rig(radicale, proxy, url, clock)
        yield made
        await made.close()
