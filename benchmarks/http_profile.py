"""Where the time of a proposal over HTTP goes: `python -m benchmarks.http_profile`, on a real server on SQLite.

Commits, statements and pages of the log for each proposal, and the function calls that the event loop makes for it, are
the same on a busy machine as on a quiet one. The CPU time is that of the server without a profiler; the parts are what
`cProfile` sees of its event loop's thread, where small functions look dearer than they are.
"""

import argparse
import asyncio
import json
import os
import pstats
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from benchmarks import profile, render
from benchmarks.enactor_driver import Bench, open_bench
from benchmarks.harness import RESULTS
from benchmarks.http_api import LoadedServer, cpu_seconds, load, proposal
from benchmarks.measure import positive
from enactor.domain.policy import PolicyMode
from enactor.domain.principal import person
from enactor.service import Proposal

_COUNTED = 2_000
_BATCH = 1_000
_CONNECTIONS = 32

_PARTS = (
    ("uvicorn", "HTTP protocol (uvicorn)"),
    ("starlette", "framework (FastAPI, Starlette)"),
    ("fastapi", "framework (FastAPI, Starlette)"),
    ("prometheus_client", "metrics"),
    ("enactor/http", "routes, tokens, bodies, answers (`http/`)"),
    ("enactor/service", "use cases (`service/`)"),
    ("enactor/policies", "policies (`policies/`)"),
    *profile.PARTS,
)


class Route(NamedTuple):
    """A route under load: its name, its bodies, the status it answers and how many proposals are in a body."""

    name: str
    path: str
    bodies: list[bytes]
    expected: int
    each: int


async def counts(folder: Path) -> list[list[str]]:
    """Commits, statements and pages for each proposal, one at a time, 32 at a time and in batches."""
    lines = []
    for name, at_once in (("one", 1), (f"{_CONNECTIONS} requests", _CONNECTIONS), (f"a batch of {_BATCH:,}", _BATCH)):
        path = folder / f"counts-{at_once}.db"
        bench = await open_bench(f"sqlite:///{path}", _CONNECTIONS)
        # Nobody approves them: what is counted is a proposal that waits for a person.
        await bench.assembly.service.operations.set_policies(person("admin"), "", PolicyMode.ENFORCE)
        found = await profile.counted(bench.assembly, path, _propose(bench, at_once))
        await bench.assembly.stop(10)
        lines.append([name, *(f"{number / _COUNTED:.2f}" for number in found)])
    return lines


async def _propose(bench: Bench, at_once: int) -> None:
    for start in range(0, _COUNTED, at_once):
        numbers = range(start, min(_COUNTED, start + at_once))
        await bench.preparing.proposals.propose_batch(
            bench.proposer,
            [Proposal(action_type="FUNCTION_NOTHING", account_id="acme", parameters={"number": it}) for it in numbers],
        )


def measured(route: Route, folder: Path) -> tuple[list[str], Counter[str]]:
    """CPU and function calls for each proposal, and the loop's seconds by part."""
    found = folder / "found.prof"
    server = LoadedServer(folder)
    server.program = ("-m", "benchmarks.profiled_server", str(found))
    server.start()
    try:
        token = server.token("planner", "proposer", agent=True)
        count = len(route.bodies) * route.each
        asyncio.run(load(server.port, token, route.path, route.bodies[: len(route.bodies) // 10 or 1], route.expected))
        before = cpu_seconds(server.pid)
        asyncio.run(load(server.port, token, route.path, route.bodies, route.expected))
        used = (cpu_seconds(server.pid) - before) / count
        os.kill(server.pid, signal.SIGUSR1)
        asyncio.run(load(server.port, token, route.path, route.bodies, route.expected))
        os.kill(server.pid, signal.SIGUSR2)
        while not found.exists() or not found.stat().st_size:
            time.sleep(0.05)
    finally:
        server.stop()
    stats = pstats.Stats(str(found))
    line = [route.name, f"{used * 1e6:,.0f} µs", f"{stats.total_calls / count:,.0f}"]  # type: ignore[attr-defined]
    return line, profile.by_part(stats, _PARTS)


def main() -> int:
    """Run, print, save."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=positive, default=6_000, metavar="N", help="single proposals")
    options.add_argument("--batches", type=positive, default=10, metavar="N", help="batches of 1,000")
    given = options.parse_args()
    singles = [json.dumps(proposal(number)).encode() for number in range(given.requests)]
    batch = json.dumps({"items": [proposal(number) for number in range(_BATCH)]}).encode()
    routes = (
        Route("`POST /v1/intents`", "/v1/intents", singles, 201, 1),
        Route("`POST /v1/intents/batch`", "/v1/intents/batch", [batch] * given.batches, 200, _BATCH),
    )
    tables = []
    with tempfile.TemporaryDirectory() as name:
        counted = asyncio.run(counts(Path(name)))
        tables.append([["proposals at a time", "commits", "statements", "pages to the log"], *counted])
        costs, parts = [["a proposal over HTTP", "CPU of the server", "function calls on the loop"]], []
        for number, route in enumerate(routes):
            folder = Path(name) / str(number)
            folder.mkdir()
            line, found = measured(route, folder)
            costs.append(line)
            parts.append([[f"{route.name}, the loop by part", "share"], *profile.shares_of(found)])
        tables += [costs, *parts]
    print(*map(render.plain, tables), sep="\n\n")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "http_profile.md").write_text("\n\n".join(map(render.markdown, tables)) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
