"""What a demonstration stands on: a server process of its own, people with tokens, and a voice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from enactor.http.dev_issuer import DevIssuer
from enactor.system import SystemClock

_START_SECONDS: Final = 20
TENANT: Final = "acme"
ACCOUNT: Final = "acc-1001"


class DemoFailed(Exception):
    """Something did not hold. The message says what was expected and what was there."""


class Server:
    """`enactor serve --dev` in a process of its own, on a free port, over one database file.

    Attributes:
        program: what Python is given to run, before `serve` and its options.
    """

    program: tuple[str, ...] = ("-m", "enactor")

    def __init__(self, folder: Path, settings: str = "", variables: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._variables = dict(variables or {})
        self._settings = (folder / "enactor.toml").resolve()
        self._settings.write_text(settings, encoding="utf-8")
        self.database = folder / "enactor.db"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[httpx.Client] = []
        self._log = folder / "server.log"
        self._key_file = (folder / "dev-issuer.json").resolve()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the server and of whoever asks for its tokens."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("ENACTOR_")},
            **self._variables,
            "ENACTOR_CONFIG": str(self._settings),
            "ENACTOR_DEV_KEY_FILE": str(self._key_file),
            "ENACTOR_LIMITS__PENDING_PER_PROPOSER": "500",
        }

    def start(self, *options: str) -> None:
        """Starts the server, and returns when it is ready. Raises `DemoFailed` with the end of its log.

        Args:
            options: further options of `enactor serve`.
        """
        command = [sys.executable, *self.program, "serve", "--dev", "--host", "127.0.0.1", "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, with arguments of our own
                [*command, "--store", f"sqlite:///{self.database}", *options],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        transport = httpx.HTTPTransport(retries=0)
        with httpx.Client(base_url=self.url, transport=transport, timeout=2) as client:
            for _ in range(_START_SECONDS * 20):
                if self._process.poll() is not None:
                    break
                try:
                    if client.get("/readyz").status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    pass
                pause(0.05)
        raise DemoFailed(f"The server did not start: {self.last_words()}")

    @property
    def pid(self) -> int:
        """The server's process id. Raises `DemoFailed` before it was started."""
        if self._process is None:
            raise DemoFailed("The server has not been started.")
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: nothing of the server gets a chance to tidy up. Killing what is dead changes nothing."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> int:
        """SIGTERM, as an operator does, and the exit status."""
        if self._process is None or self._process.poll() is not None:
            return -1
        self._process.terminate()
        return self._process.wait(timeout=_START_SECONDS)

    def close(self) -> None:
        """Ends the server if it runs, and every connection to it."""
        self.kill()
        for client in self._clients:
            client.close()

    def client(self, token: str) -> httpx.Client:
        """A client that sends a token; closed with the server."""
        made = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        self._clients.append(made)
        return made

    def last_words(self) -> str:
        """The last lines of the server's log."""
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return " / ".join(lines[-3:]) or "it said nothing"

    def token(self, subject: str, *roles: str, agent: bool = False) -> str:
        """A token of the server's development issuer. Raises `ConfigurationError`, `InvalidInput`."""
        issuer = DevIssuer.load(self._key_file)
        return issuer.mint(tenant=TENANT, roles=roles, subject=subject, clock=SystemClock(), agent=agent)


class Caller:
    """Somebody with a token. `said` prints what they do."""

    def __init__(self, server: Server, name: str, token: str) -> None:
        self.name = name
        self.client = server.client(token)

    def ask(self, method: str, path: str, expect: int, **options: Any) -> Any:
        """Calls the API. Raises `DemoFailed` unless the status is `expect`."""
        response = self.client.request(method, path, **options)
        if response.status_code != expect:
            raise DemoFailed(f"{method} {path}: expected {expect}, got {response.status_code}: {response.text[:300]}")
        return response.json() if response.content else None

    def events(self, path: str) -> Iterator[dict[str, Any]]:
        """The events of a server-sent stream, as they come."""
        with self.client.stream("GET", path, timeout=30) as response:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))


class Voice:
    """Prints the demonstration so that a person enjoys reading it."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._act = 0

    def act(self, title: str) -> None:
        """A new act."""
        self._act += 1
        self.console.print()
        self.console.print(f"[bold cyan]{self._act}. {title}[/]")

    def say(self, text: str) -> None:
        """A line."""
        self.console.print(f"   {text}")

    def held(self, text: str) -> None:
        """Something that was promised and held."""
        self.console.print(f"   [green]✓[/] {text}")


def expect(condition: object, what: str) -> None:
    """Raises `DemoFailed` unless `condition` holds."""
    if not condition:
        raise DemoFailed(what)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pause(seconds: float) -> None:
    """Waits; a demonstration talks to processes in their own time."""
    threading.Event().wait(seconds)


@contextmanager
def stage(folder: Path, settings: str = "", variables: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A started server over a folder, stopped at the end whatever happened.

    Args:
        settings: the server's settings file, as TOML.
        variables: the secrets that it refers to.
    """
    server = Server(folder, settings, variables)
    server.start()
    try:
        yield server
    finally:
        server.close()


def emptied(folder: Path) -> Path:
    """The folder, made if need be, without what an earlier demonstration left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    return folder
