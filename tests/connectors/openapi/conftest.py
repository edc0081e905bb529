"""The orders API on a free port, and what orders there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from enactor.conformance.clocks import ManualClock
from tests.connectors.openapi.orders import Orders, serving
from tests.connectors.openapi.rig import Rig
from tests.connectors.proxy import Proxy


@pytest.fixture
def clock() -> ManualClock:
    """Time that only the test moves."""
    return ManualClock()


@pytest.fixture
async def orders() -> Orders:
    """An API that has taken no orders yet."""
    return Orders()


@pytest.fixture
async def proxy(orders: Orders) -> AsyncIterator[Proxy]:
    """What stands between."""
    async with serving(orders.app) as url, Proxy(url) as proxy:
        yield proxy


@pytest.fixture
async def rig(orders: Orders, proxy: Proxy, clock: ManualClock) -> AsyncIterator[Rig]:
    """The connector behind the real tool plane and pipeline."""
    made = Rig(orders, proxy, clock)
    yield made
    await made.close()
