"""A real CalDAV server on this machine: Radicale, in a process of its own, over a folder.

`python -m enactor.conformance.radicale FOLDER` runs one until its input ends. The one line it prints is a JSON object:
the address of a calendar, the home it is in, and the user and password for it.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec
from msgspec import Struct

USER: Final = "ana"
PASSWORD: Final = "tentative"  # noqa: S105 - of a server that lives for one test
_CONFIGURATION: Final = """\
[server]
hosts = 127.0.0.1:{port}
[auth]
type = htpasswd
htpasswd_filename = {folder}/users
htpasswd_encryption = plain
delay = 0
[rights]
type = from_file
file = {folder}/rights
[storage]
filesystem_folder = {folder}/collections
[web]
type = none
[logging]
level = info
"""
_RIGHTS: Final = """\
[root]
user: .+
collection:
permissions: R
[read-only]
user: .+
collection: {user}/read-only
permissions: r
[principal]
user: .+
collection: {user}
permissions: RW
[calendars]
user: .+
collection: {user}/[^/]+
permissions: rw
"""
_READY: Final = b"Radicale server ready"
_TRIES: Final = 5
_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""It trusts nobody, which is right for plain http, and is made at once: reading the trusted certificates is slow."""


class Radicale(Struct, frozen=True):
    """A running server, its one user, and that user's home, in which calendars are made."""

    home: str
    user: str = USER
    password: str = PASSWORD

    async def make_calendar(self, name: str) -> str:
        """Makes a calendar (RFC 4791, section 5.3.1) and returns its address. Raises `RuntimeError` if it cannot."""
        url = f"{self.home}{name}/"
        answer = await self.request("MKCALENDAR", url)
        if answer.status_code != 201:
            raise RuntimeError(f"MKCALENDAR {url} answered {answer.status_code}")
        return url

    async def request(self, method: str, url: str, content: bytes = b"", **headers: str) -> httpx.Response:
        """Any request of the user's, past Enactor: as somebody else's program would make it."""
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(verify=_NO_TLS, trust_env=False, timeout=30) as client:
            return await client.request(
                method, url, content=content, headers={"Authorization": f"Basic {pair}", **named}
            )


@asynccontextmanager
async def radicale_server(folder: Path) -> AsyncIterator[Radicale]:
    """Runs Radicale on a free port of 127.0.0.1 over an empty folder, and ends it.

    Raises:
        RuntimeError: it is not installed, or did not start; the message says what to do.
    """
    if importlib.util.find_spec("radicale") is None:
        raise RuntimeError("The calendar server needs radicale: make setup installs it, or pip install radicale.")
    process, port = await _started(_prepared(folder))
    # Its log goes on; a pipe that nobody empties would stop it one day.
    reading = asyncio.create_task(_emptied(process))
    try:
        server = Radicale(f"http://127.0.0.1:{port}/{USER}/")
        await server.request("PROPFIND", server.home, Depth="0")  # makes the user's home
        yield server
    finally:
        process.terminate()
        await process.wait()
        await reading


def _prepared(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "users").write_text(f"{USER}:{PASSWORD}\n")
    (folder / "rights").write_text(_RIGHTS)
    return folder.resolve()


async def _started(folder: Path) -> tuple[asyncio.subprocess.Process, int]:
    """The server, and its port. Somebody else may take a free port before the server does; then it gets another."""
    said = b""
    for _ in range(_TRIES):
        port = _free_port()
        (folder / "config").write_text(_CONFIGURATION.format(folder=folder, port=port))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "radicale", "--config", str(folder / "config")),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        async for line in process.stderr:
            if _READY in line:
                return process, port
            said = line
        await process.wait()
    raise RuntimeError(f"Radicale did not start: {said.decode(errors='replace').strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _emptied(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.read(65_536):
        pass


async def main(folder: str) -> None:
    """Serves until the input ends."""
    async with radicale_server(Path(folder)) as server:
        url = await server.make_calendar("work")
        line = msgspec.json.encode({"url": url, **msgspec.to_builtins(server)})
        sys.stdout.write(f"{line.decode()}\n")
        sys.stdout.flush()
        while await asyncio.to_thread(sys.stdin.readline):
            pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
