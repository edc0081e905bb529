from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.world import world_of
from tests.mcp.agent import Face, facing


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A development key, made once."""
    return tmp_path_factory.mktemp("dev") / "dev-issuer.json"


@pytest.fixture
async def face(key_file: Path) -> AsyncIterator[Face]:
    """An Enactor that serves `/mcp` on a free port."""
    async with world_of(key_file) as world, facing(world) as made:
        yield made
