"""A home directory of its own for every test, and a server that answers as told."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import TOKEN, Canned


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and working directory, and no variable of Enactor's."""
    for name in list(os.environ):
        if name.startswith(("ENACTOR_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    """A server that answers as told, as the one that the client commands talk to."""
    server = Canned()
    monkeypatch.setenv("ENACTOR_URL", server.url)
    monkeypatch.setenv("ENACTOR_TOKEN", TOKEN)
    yield server
    server.close()
