from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.world import World, world_of


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A development key, made once."""
    return tmp_path_factory.mktemp("dev") / "dev-issuer.json"


@pytest.fixture
def store_kind() -> str:
    """Which store is beneath; modules where it matters ask for each."""
    return "memory"


@pytest.fixture
async def world(key_file: Path, tmp_path: Path, store_kind: str) -> AsyncIterator[World]:
    """A started Enactor behind its HTTP face."""
    database = tmp_path / "enactor.db" if store_kind == "sqlite" else None
    async with world_of(key_file, database=database) as made:
        yield made
