"""The world and the programs under test as processes: starting, killing, pausing and waking them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[1]


class KitFailed(Exception):
    """The kit itself could not do its work; nothing is said about the subject."""


class WorldProcess:
    """The world, started and asked."""

    def __init__(self) -> None:
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None
        # Questions wait for each other in the world, never for a thread here.
        self._threads = ThreadPoolExecutor(64)

    async def _ask(self, method: str, url: str, body: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask, method, url, body)

    async def __aenter__(self) -> WorldProcess:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "killpoints.world",
            cwd=ROOT,
            env=unmeasured(os.environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.url = (await self._process.stdout.readline()).decode().strip()
        if not self.url:
            raise KitFailed("the world did not start")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()
        self._threads.shutdown(wait=False)

    async def plan(self, orders: Mapping[str, Mapping[str, Any]]) -> None:
        """Says how the world treats each order."""
        await self._ask("PUT", f"{self.url}/orders", orders)

    async def passed(self, seconds: Mapping[str, float]) -> None:
        """Lets time pass for what the keys of an order have made."""
        await self._ask("PUT", f"{self.url}/passed", seconds)

    async def arrived(self, prefix: str, count: int) -> int:
        """How many requests the world has had for orders of a prefix, once they are so many."""
        found: int = await self._ask("GET", f"{self.url}/arrived?prefix={prefix}&count={count}", None)
        return found

    async def seen(self, prefix: str) -> dict[str, Any]:
        """What the world has seen of every order of a prefix, once what lands late has landed."""
        found: dict[str, Any] = await self._ask("GET", f"{self.url}/orders?prefix={prefix}", None)
        return found


def ask(method: str, url: str, body: Any, timeout: float = 120) -> Any:
    """Asks the world something that is not under test."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=content, method=method)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
        return json.load(response)


def unmeasured(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the measuring of coverage: what is killed has nothing to write it with."""
    return {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}


class Process(Protocol):
    """A running program."""

    pid: int

    async def event(self) -> str | int:
        """The next thing that happens to it: "stopped", or its exit status (a negative signal if it was killed)."""
        ...

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        ...


class Programs(Protocol):
    """Something that starts programs from plans."""

    async def start(self, plan: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Process:
        """Starts a program that carries out `plan`."""
        ...


class _Forked:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.events: asyncio.Queue[str | int] = asyncio.Queue()

    async def event(self) -> str | int:
        return await self.events.get()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


class Zygote:
    """Starts forks of a process that has imported `module`."""

    def __init__(self, module: str, log: Path) -> None:
        self._module = module
        self._log = log
        self._started: dict[int, asyncio.Future[_Forked]] = {}
        self._children: dict[int, _Forked] = {}
        self._numbers = 0
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Zygote:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "killpoints.zygote",
            self._module,
            cwd=ROOT,
            env=unmeasured(os.environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def start(self, plan: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Process:
        """Forks a child that carries out `plan`."""
        self._numbers += 1
        number = self._numbers
        begun: asyncio.Future[_Forked] = asyncio.get_running_loop().create_future()
        self._started[number] = begun
        command = {"id": number, "environment": dict(environment or {}), "plan": dict(plan), "log": str(self._log)}
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return await begun

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = json.loads(line)
            number = message["id"]
            if "pid" in message:
                child = self._children[number] = _Forked(message["pid"])
                self._started.pop(number).set_result(child)
            elif message["event"] == "stopped":
                self._children[number].events.put_nowait("stopped")
            else:
                self._children.pop(number).events.put_nowait(message["status"])
        for begun in self._started.values():
            begun.set_exception(KitFailed("the zygote ended; the log says why"))


class _Spawned:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def event(self) -> str | int:
        return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)


class Spawner:
    """Starts `python PROGRAM` with the plan as its one argument."""

    def __init__(self, python: str | Path, module: str, log: Path) -> None:
        self._command = (str(python), "-m", module)
        self._log = log

    async def start(self, plan: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Process:
        """Starts a process that carries out `plan`."""
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                json.dumps(plan),
                cwd=ROOT,
                env={**unmeasured(os.environ), **(environment or {})},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return _Spawned(process)


async def end(process: Process, seconds: float) -> int:
    """Waits for a program's end. Raises `KitFailed` when it has not ended after `seconds`, and kills it."""
    try:
        async with asyncio.timeout(seconds):
            while isinstance(event := await process.event(), str):
                pass
            return event
    except TimeoutError:
        process.send(signal.SIGKILL)
        raise KitFailed(f"a program did not converge within {seconds:g} s") from None
