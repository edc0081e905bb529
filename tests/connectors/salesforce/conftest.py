"""A Salesforce organization on a free port, and what runs actions against it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.salesforce import SalesforceServer
from tests.connectors.salesforce.rig import Rig


@pytest.fixture
def clock() -> ManualClock:
    """Time that only the test moves: the organization's and Enactor's."""
    return ManualClock()


@pytest.fixture
async def server(clock: ManualClock) -> AsyncIterator[SalesforceServer]:
    """The organization."""
    async with SalesforceServer(clock) as running:
        yield running


@pytest.fixture
async def rig(server: SalesforceServer, clock: ManualClock) -> AsyncIterator[Rig]:
    """The connector behind the real tool plane and pipeline, with two accounts of a tenant."""
    made = Rig(server, clock)
    yield made
    await made.close()
