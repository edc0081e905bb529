"""What the gateway costs: one tool call through it against the same call made with the bare `mcp` client.

`python -m benchmarks.gateway` starts an MCP server in a process of its own and calls its one tool over streamable HTTP,
one call at a time and in alternation: once with the SDK's client, once through the whole gateway (guards, composite,
pinned definition, egress rules, one send, classified reply). Then the same for a connector in this process, against a
plain call of its method. Prints p50 and p99, and saves `benchmarks/results/gateway.json` and `gateway.md`.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from pydantic import BaseModel

from benchmarks import render
from benchmarks.harness import RESULTS, ROOT, machine
from benchmarks.measure import positive
from enactor.connectors.sdk import Connector, ToolCall, ToolResult, tool
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import CallResult, Purpose
from enactor.gateway.artifacts import FileArtifacts
from enactor.gateway.composite import CompositeToolPlane
from enactor.gateway.doors import GuardRules
from enactor.gateway.egress import EgressRules, GuardedTransport
from enactor.gateway.guards import GuardedPlane, Guards
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.mcp_plane import McpToolPlane
from enactor.gateway.mcp_rules import McpServer, RefRule, ToolRule
from enactor.gateway.mcp_target import McpTarget, Surroundings
from enactor.gateway.secrets import EnvFileSecrets
from enactor.ports.tools import CallRequest
from enactor.system import SystemClock

HTTP_TARGET = 1.3
"""At most so many times the bare client's p50."""
IN_PROCESS_TARGET_US = 150.0
"""At most so many microseconds more than a plain call of the method, at p50."""

ARGUMENTS = {"title": "Printer on the second floor", "body": "It prints nothing since this morning."}
Once = Callable[[], Awaitable[object]]


class Ticket(BaseModel):
    """A ticket."""

    title: str
    body: str = ""


class Tickets(Connector):
    """The same tool in this process."""

    name = "local"

    @tool
    async def create(self, args: Ticket, call: ToolCall) -> ToolResult:
        """Makes a ticket."""
        call.ensure_timely()
        return ToolResult(refs=(ObjectRef(system="tickets", object_type="ticket", object_id="T-1"),))


@dataclass(frozen=True, slots=True)
class Times:
    """The durations of calls of one kind, in microseconds, one list for each round."""

    rounds: list[list[float]]

    def at(self, share: float) -> float:
        """A percentile over all rounds."""
        ordered = sorted(taken for one in self.rounds for taken in one)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    def medians(self) -> list[float]:
        """The median of each round."""
        return [median(one) for one in self.rounds]


async def alternate(first: Once, second: Once, count: int, rounds: int) -> tuple[Times, Times]:
    """Times both in alternation, after a tenth of a round untimed; who goes first changes with every pair."""
    for _ in range(max(20, count // 10)):
        await first()
        await second()
    taken: tuple[list[list[float]], list[list[float]]] = ([], [])
    for _ in range(rounds):
        gc.collect()
        within: tuple[list[float], list[float]] = ([], [])
        for number in range(count):
            for which in ((0, 1), (1, 0))[number % 2]:
                once = (first, second)[which]
                begun = time.perf_counter_ns()
                await once()
                within[which].append((time.perf_counter_ns() - begun) / 1_000)
        taken[0].append(within[0])
        taken[1].append(within[1])
    return Times(taken[0]), Times(taken[1])


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The server's URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gateway_server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None  # noqa: S101 - it was asked for
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/mcp/"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@contextlib.asynccontextmanager
async def gateway(url: str, folder: Path) -> AsyncIterator[GuardedPlane]:
    """The tool plane of a server with one MCP server and one connector, as `enactor serve` puts it together."""
    clock = SystemClock()
    secrets = EnvFileSecrets({})
    around = Surroundings(
        clock=clock,
        secrets=secrets,
        artifacts=FileArtifacts(folder),
        transport=lambda _: GuardedTransport(EgressRules(development=True), clock),
        read_reference=lambda reference: reference,
        version="0",
    )
    refs = (RefRule(system="tickets", object_type="ticket", id="/ticket/id", url="/ticket/url"),)
    mcp = McpToolPlane(
        [McpTarget(McpServer(name="tickets", url=url, rules={"create": ToolRule(refs=refs)}), around)], clock
    )
    await mcp.start()
    inner = CompositeToolPlane([InProcessToolPlane([Tickets()], secrets), mcp])
    plane = GuardedPlane(inner, Guards(default=GuardRules(concurrency=32, calls_per_minute=1_000_000)), clock)
    try:
        yield plane
    finally:
        await plane.close()


def request(plane: GuardedPlane, tool_name: str) -> CallRequest:
    """A permitted call of an approved tool."""
    definition = plane.definition(tool_name)
    if definition is None:
        raise SystemExit(f"gateway: {tool_name} was not listed")
    return CallRequest(
        tenant_id="acme",
        account_id="north",
        action_intent_id="ai_1",
        run_number=1,
        call_no=1,
        purpose=Purpose.EFFECT,
        tool_name=tool_name,
        tool_schema_version=definition.tool_schema_version,
        argument_bytes=json.dumps(ARGUMENTS, separators=(",", ":"), sort_keys=True),
        idempotency_key="k" * 64,
        trace_id="0" * 32,
        send_not_after=0,
        timeout_seconds=60,
        definition_hash=definition.definition_hash,
    )


def through(plane: GuardedPlane, tool_name: str) -> Once:
    """A call through the gateway."""
    asked = request(plane, tool_name)

    async def once() -> None:
        reply = await plane.call(asked, lambda: True)
        if reply.result is not CallResult.DONE:
            raise SystemExit(f"gateway: a call ended {reply.result}: {reply.message}")

    return once


async def over_http(url: str, folder: Path, count: int, rounds: int) -> tuple[Times, Times]:
    """The bare client's times and the gateway's."""
    async with Client(streamable_http_client(url)) as client, gateway(url, folder) as plane:

        async def bare() -> None:
            result = await client.call_tool("create", ARGUMENTS)
            if result.is_error:
                raise SystemExit("gateway: the bare client's call failed")

        return await alternate(bare, through(plane, "tickets.create"), count, rounds)


async def in_process(url: str, folder: Path, count: int, rounds: int) -> tuple[Times, Times]:
    """The times of the method called plainly, and through the gateway."""
    connector = Tickets()
    method = connector.method("create")
    call = ToolCall(
        tenant_id="acme",
        account_id="north",
        action_intent_id="ai_1",
        run_number=1,
        call_no=1,
        idempotency_key="k" * 64,
        trace_id="0" * 32,
        timeout_seconds=60,
        ensure_timely=lambda: None,
        expected_version=None,
    )
    arguments = Ticket(**ARGUMENTS)
    async with gateway(url, folder) as plane:
        return await alternate(lambda: method(arguments, call), through(plane, "local.create"), count, rounds)


def table(found: dict[str, dict[str, float]], holds: dict[str, tuple[str, str, bool]]) -> str:
    """Both comparisons and both targets."""
    shown = {"http": "MCP over HTTP", "in_process": "in process"}
    rows = [["call", "p50 bare", "p50 gateway", "p99 bare", "p99 gateway"]]
    rows += [
        [shown[kind], *(f"{one[name]:,.0f} µs" for name in ("bare_p50", "gateway_p50", "bare_p99", "gateway_p99"))]
        for kind, one in found.items()
    ]
    targets = [["target", "measured", "lowest – highest", "holds"]]
    targets += [[name, measured, span, "yes" if held else "NO"] for name, (measured, span, held) in holds.items()]
    return f"{render.markdown(rows)}\n\n{render.markdown(targets)}\n"


def main() -> int:
    """Measures, prints and saves."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=positive, default=400, help="pairs of calls in a round, over HTTP")
    options.add_argument("--rounds", type=positive, default=5)
    options.add_argument("--out", type=Path, default=RESULTS, help="the directory for the results")
    options.add_argument("--strict", action="store_true", help="exit status 1 when a target is missed")
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        server() as url,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as r,
    ):
        bare, ours = r.run(over_http(url, Path(folder), given.count, given.rounds))
        plain, local = r.run(in_process(url, Path(folder), given.count * 10, given.rounds))
    ratios = [our / their for our, their in zip(ours.medians(), bare.medians(), strict=True)]
    overheads = [our - their for our, their in zip(local.medians(), plain.medians(), strict=True)]
    ratio, overhead = ours.at(0.5) / bare.at(0.5), local.at(0.5) - plain.at(0.5)
    found = {
        kind: {
            "bare_p50": theirs.at(0.5),
            "gateway_p50": our.at(0.5),
            "bare_p99": theirs.at(0.99),
            "gateway_p99": our.at(0.99),
        }
        for kind, theirs, our in (("http", bare, ours), ("in_process", plain, local))
    }
    holds = {
        f"HTTP: at most {HTTP_TARGET} × the bare client at p50": (
            f"{ratio:.2f} ×",
            f"{min(ratios):.2f} – {max(ratios):.2f}",
            ratio <= HTTP_TARGET,
        ),
        f"in process: under {IN_PROCESS_TARGET_US:.0f} µs more at p50": (
            f"{overhead:.0f} µs",
            f"{min(overheads):.0f} – {max(overheads):.0f}",
            overhead < IN_PROCESS_TARGET_US,
        ),
    }
    text = table(found, holds)
    print(text, end="")
    saved = {
        "machine": machine(),
        "pairs": {"http": given.count * given.rounds, "in_process": given.count * given.rounds * 10},
        "microseconds": found,
        "http_ratio_p50": ratio,
        "http_ratio_p50_rounds": ratios,
        "in_process_overhead_us": overhead,
        "in_process_overhead_us_rounds": overheads,
    }
    given.out.mkdir(exist_ok=True)
    (given.out / "gateway.json").write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")
    (given.out / "gateway.md").write_text(text, encoding="utf-8")
    return int(given.strict and not all(held for _, _, held in holds.values()))


if __name__ == "__main__":
    sys.exit(main())
