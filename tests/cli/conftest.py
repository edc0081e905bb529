"""A home directory of its own for every test, and a server that answers as told."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import TOKEN, Canned
from tests.gateway.servers import Tickets, over_http


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


@pytest.fixture
def tickets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a real MCP server, served by a thread of its own; the settings are in an empty directory."""
    monkeypatch.chdir(tmp_path)
    ready, done = threading.Event(), asyncio.Event()
    found: dict[str, object] = {}

    async def serve() -> None:
        async with over_http(Tickets()) as url:
            found["url"], found["loop"] = url, asyncio.get_running_loop()
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    yield str(found["url"])
    found["loop"].call_soon_threadsafe(done.set)  # type: ignore[attr-defined]
    thread.join()
