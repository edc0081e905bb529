from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.world import World, world_of


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A development key, made once."""
    return tmp_path_factory.mktemp("dev") / "dev-issuer.json"


@pytest.fixture
async def world(key_file: Path) -> AsyncIterator[World]:
    """A started Enactor behind its HTTP face."""
    async with world_of(key_file) as made:
        yield made
