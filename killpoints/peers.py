"""Enactor beside its peers: the same orders, the same world, kills at the same random times.

A kill counts when it hits a subject at work. Each round plans five; a subject that has come to its end before the next
one is due is done with the round, so a quick subject takes fewer kills than one that starts or works slowly.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from killpoints.harness import ROOT, KitFailed, Spawner, WorldProcess, Zygote
from killpoints.random_kills import Killed, Load, rounds

PYTHON = ROOT / ".killpoints-venv" / "bin" / "python"
ENACTOR = "killpoints.subjects.enactor_program"
ROUNDS = 6
LOAD = Load(orders=45, kills=5, span=(0.3, 4.0))


@dataclass(frozen=True)
class Peer:
    """A subject: its program, its packages, and in one sentence how it was set up."""

    name: str
    module: str
    packages: tuple[str, ...]
    set_up: str


PEERS = (
    Peer(
        "naive retry",
        "killpoints.subjects.naive_program",
        (),
        "A plain program: the order as idempotency key, four tries, a progress file renamed into place.",
    ),
    Peer(
        "ctrlrun",
        "killpoints.subjects.ctrlrun_program",
        ("ctrlrun",),
        "@protect with the order as effect key, idempotency_token() as key, NotExecuted on refusals, an eager "
        "reconcile hook where the world can be searched, its SQLite store as shipped.",
    ),
    Peer(
        "dbos",
        "killpoints.subjects.dbos_program",
        ("dbos",),
        "A workflow per order with the order as workflow id and as idempotency key, one step with four attempts, its "
        "SQLite system database as shipped.",
    ),
    Peer(
        "restate",
        "killpoints.subjects.restate_program",
        ("restate-sdk", "restate-server"),
        "A workflow per order keyed by the order, the key as idempotency key, one durable step with four attempts, "
        "the server with its defaults; the worker is what is killed.",
    ),
)


async def measure(folder: Path) -> list[tuple[str, str, str, Killed]]:
    """Each subject's name, version and set-up, with what came of it. Raises `KitFailed` when a peer is missing."""
    if not PYTHON.exists():
        raise KitFailed("the peers are not installed; run: sh killpoints/setup.sh")
    found = []
    load = Load(**{**vars(LOAD), "oracle": True})
    # A world of its own for each, in which the orders are the same.
    async with WorldProcess() as world, Zygote(ENACTOR, folder / "enactor.log") as programs:
        killed = await rounds(programs, world, folder / "enactor", load, ROUNDS, 2, seed=7)
    found.append(("enactor", "", "Embedded, over SQLite with the local engine, as its quickstart has it.", killed))
    for peer in PEERS:
        python = PYTHON if peer.packages else Path(sys.executable)
        spawner = Spawner(python, peer.module, folder / f"{peer.name}.log")
        place = folder / peer.name.replace(" ", "-")
        try:
            async with WorldProcess() as world:
                killed = await rounds(spawner, world, place, LOAD, ROUNDS, 2, seed=7)
        finally:
            _stop_servers(place)
        found.append((peer.name, ", ".join(map(_version, peer.packages)), peer.set_up, killed))
    return found


def _version(package: str) -> str:
    if package == "restate-server":
        pinned = json.loads((ROOT / "killpoints" / "npm" / "package.json").read_text())["dependencies"]
        return f"server {pinned['@restatedev/restate-server']}"
    asked = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([PYTHON, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def _stop_servers(place: Path) -> None:
    """Ends what a program left running that did not come to its own end."""
    for file in place.glob("*/server.pid"):
        try:
            os.kill(int(file.read_text()), signal.SIGTERM)
        except ProcessLookupError:
            continue
