from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.rig import Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """Planes over MCP servers, closed at the end."""
    made = Rig(tmp_path)
    yield made
    for plane in made.planes:
        await plane.close()
