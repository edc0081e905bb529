"""The subjects that are measured side by side. Another one is another `Subject` in `SUBJECTS`.

A subject is anything that can start a program from a plan (see `killpoints.subjects`) which may be killed at any time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from killpoints.harness import ROOT, KitFailed, Programs, Spawner, Zygote

ENACTOR_PROGRAM = "killpoints.subjects.enactor_program"
PEERS_PYTHON = ROOT / ".killpoints-venv" / "bin" / "python"


@dataclass(frozen=True)
class Subject:
    """What is put to the proof.

    Attributes:
        name: in tables and receipts.
        set_up: one sentence on how it is set up.
        programs: what starts its programs, for as long as it is measured; it is given a folder for logs.
        version: of what it is made of; empty for Enactor itself.
        own: it is Enactor: it has to keep every promise, and a doubt is held against what could have been known.
    """

    name: str
    set_up: str
    programs: Callable[[Path], AbstractAsyncContextManager[Programs]]
    version: Callable[[], str] = str
    own: bool = False


@asynccontextmanager
async def _enactor(folder: Path) -> AsyncIterator[Programs]:
    async with Zygote(ENACTOR_PROGRAM, folder / "log") as programs:
        yield programs


def _program(module: str, python: Path) -> Callable[[Path], AbstractAsyncContextManager[Programs]]:
    @asynccontextmanager
    async def programs(folder: Path) -> AsyncIterator[Programs]:
        if not python.exists():
            raise KitFailed("the peers are not installed; run: sh scripts/peers.sh killpoints .killpoints-venv")
        try:
            yield Spawner(python, f"killpoints.subjects.{module}", folder / "log")
        finally:
            _stop_servers(folder)

    return programs


def _stop_servers(folder: Path) -> None:
    """Ends what a program left running that did not come to its own end."""
    for file in folder.glob("*/server.pid"):
        try:
            os.kill(int(file.read_text()), signal.SIGTERM)
        except ProcessLookupError:
            continue


def _versions(*packages: str) -> Callable[[], str]:
    def versions() -> str:
        return ", ".join(map(_version, packages))

    return versions


def _version(package: str) -> str:
    if package == "restate-server":
        pinned = json.loads((ROOT / "killpoints" / "npm" / "package.json").read_text())["dependencies"]
        return f"server {pinned['@restatedev/restate-server']}"
    asked = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([PEERS_PYTHON, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


SUBJECTS = (
    Subject(
        "enactor",
        "Embedded, over SQLite with the local engine, as its quickstart has it.",
        _enactor,
        own=True,
    ),
    Subject(
        "naive retry",
        "A plain program: the order as idempotency key, four tries, a progress file renamed into place.",
        _program("naive_program", Path(sys.executable)),
    ),
    Subject(
        "ctrlrun",
        "@protect with the order as effect key, idempotency_token() as key, NotExecuted on refusals, an eager "
        "reconcile hook where the world can be searched, its SQLite store as shipped.",
        _program("ctrlrun_program", PEERS_PYTHON),
        _versions("ctrlrun"),
    ),
    Subject(
        "dbos",
        "A workflow per order with the order as workflow id and as idempotency key, one step with four attempts, its "
        "SQLite system database as shipped.",
        _program("dbos_program", PEERS_PYTHON),
        _versions("dbos"),
    ),
    Subject(
        "restate",
        "A workflow per order keyed by the order, the key as idempotency key, one durable step with four attempts, "
        "the server with its defaults; the worker is what is killed.",
        _program("restate_program", PEERS_PYTHON),
        _versions("restate-sdk", "restate-server"),
    ),
)
