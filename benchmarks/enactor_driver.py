"""Enactor: one approved action whose tool does nothing, from approved to outcome durable, by the local engine.

Proposals and approvals are made before the clock starts, as every peer's action is allowed before its clock starts.
What is timed is everything an execution does: lock, preflight, digest check, permit, call, outcome, ledger with hashes.
"""

import asyncio
import sqlite3
import time
from contextlib import closing

import msgspec

from benchmarks.measure import SYNCHRONOUS, Measured, must_equal, parser, report, warm_up_count
from enactor import Limits, WriteSemantics, __version__, tool
from enactor.connectors.sdk import FunctionConnector
from enactor.domain.approval import approval_digest
from enactor.domain.attempt import RunStatus
from enactor.domain.ids import intent_id
from enactor.domain.ledger import LedgerEvent
from enactor.domain.policy import PolicyMode
from enactor.domain.principal import Principal, agent, person
from enactor.gateway.secrets import EnvFileSecrets
from enactor.pipeline.model import Context
from enactor.pipeline.model import Settings as PipelineSettings
from enactor.ports.commands import CreateIntent
from enactor.ports.engine import EngineInfo, RunRequest
from enactor.service import Core, Proposal, Service
from enactor.system import SystemClock, SystemRandomness
from enactor.wiring import Assembly, assemble, open_store, process

_SLICE = 1_500
_POLICY = '@id("bench") permit(principal, action == Enactor::Action::"auto_approve", resource);'
_ENOUGH = Limits(max_pending_of_proposer=10_000_000, max_pending_of_tenant=10_000_000)


@tool(write=WriteSemantics.IDEMPOTENT)
async def nothing(number: int) -> None:
    """Does nothing."""


class Collector:
    """An engine that only notes what it was given, so that executions wait until they are timed."""

    def __init__(self) -> None:
        self.requests: list[RunRequest] = []

    async def start(self) -> None:
        """Nothing to start."""

    async def submit(self, request: RunRequest) -> None:
        """Notes the request."""
        self.requests.append(request)

    async def drain(self, timeout_seconds: float) -> None:
        """Nothing to drain."""

    def info(self) -> EngineInfo:
        """Idle."""
        return EngineInfo(kind="collector", queued=0, running=0, waiting=0, accepting=True)


class Bench:
    """An assembled Enactor, with a way to prepare approved intents and a way to run them."""

    def __init__(self, assembly: Assembly, proposer: Principal) -> None:
        self.assembly = assembly
        self.proposer = proposer
        self.collector = Collector()
        core = assembly.service.core
        self.preparing = Service(
            Core(
                store=core.store,
                tools=core.tools,
                engine=self.collector,
                policy=core.policy,
                clock=core.clock,
                ids=core.ids,
                randomness=core.randomness,
                limits=_ENOUGH,
                transforms={},
            ),
            Context(core.clock, core.ids, core.randomness, PipelineSettings()),
        )
        self.left = 0
        self.done = asyncio.Event()

    def ended(self, _: str, status: RunStatus) -> None:
        """Counts ended runs."""
        if status is not RunStatus.SUCCEEDED:
            raise SystemExit(f"enactor: an execution ended {status}")
        self.left -= 1
        if self.left == 0:
            self.done.set()

    async def prepare(self, count: int) -> None:
        """Proposes `count` actions, which the policy approves."""
        for start in range(0, count, 500):
            proposals = [
                Proposal(action_type="FUNCTION_NOTHING", account_id="acme", parameters={"number": number})
                for number in range(start, min(count, start + 500))
            ]
            await self.preparing.proposals.propose_batch(self.proposer, proposals)

    async def prepare_quickly(self, count: int) -> None:
        """Stores `count` approved intents like one that was proposed, without asking policies anew for each."""
        await self.prepare(1)
        like = self.collector.requests.pop().intent
        if like is None:
            raise SystemExit("enactor: the engine was given no intent")
        core = self.assembly.service.core

        async def store() -> None:
            intent = msgspec.structs.replace(like, action_intent_id=intent_id(core.ids.new()), trace_id=core.ids.new())
            intent = msgspec.structs.replace(intent, approval_digest=approval_digest(intent))
            entry = core.intent_entry(intent, LedgerEvent.INTENT_PROPOSED, "benchmark", {})
            create = CreateIntent(intent=intent, max_pending_of_proposer=1, max_pending_of_tenant=1)
            await core.store.commit([create, entry])
            self.collector.requests.append(
                RunRequest(action_intent_id=intent.action_intent_id, tenant_id=intent.tenant_id, intent=intent)
            )

        for start in range(0, count, 1_000):
            await asyncio.gather(*(store() for _ in range(min(1_000, count - start))))

    async def run(self, count: int) -> None:
        """Executes `count` prepared actions."""
        requests, self.collector.requests = self.collector.requests[:count], self.collector.requests[count:]
        self.left = len(requests)
        self.done.clear()
        for request in requests:
            await self.assembly.engine.submit(request)
        await self.done.wait()


async def open_bench(url: str, in_flight: int) -> Bench:
    """A started Enactor over `url` whose policy approves everything it is allowed to."""
    clock, randomness = SystemClock(), SystemRandomness()
    benches: list[Bench] = []

    def ended(identity: str, status: RunStatus) -> None:
        benches[0].ended(identity, status)

    assembly = assemble(
        await open_store(url, clock),
        connectors=[FunctionConnector(nothing)],
        clock=clock,
        randomness=randomness,
        secrets=EnvFileSecrets({}),
        limits=_ENOUGH,
        pipeline=PipelineSettings(),
        transforms={},
        concurrency=in_flight,
        sweep_seconds=86_400,
        listener=ended,
    )
    await assembly.start()
    await assembly.service.operations.set_policies(person("admin"), _POLICY, PolicyMode.ENFORCE)
    benches.append(Bench(assembly, agent("planner")))
    return benches[0]


def measured(runner: asyncio.Runner, bench: Bench, count: int) -> Measured:
    """Times `count` executions in slices; each slice is approved just before, as executions follow their approvals."""
    wall = cpu = 0.0
    for start in range(0, count, _SLICE):
        size = min(_SLICE, count - start)
        runner.run(bench.prepare_quickly(size))
        process.settle_down()
        began, used = time.perf_counter(), time.process_time()
        runner.run(bench.run(size))
        wall, cpu = wall + time.perf_counter() - began, cpu + time.process_time() - used
    return Measured(wall, cpu)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__).parse_args()
    path = options.dir / "enactor.db"
    # As `enactor serve` runs it.
    process.let_threads_in()
    with asyncio.Runner(loop_factory=process.loop_factory()) as runner:
        bench = runner.run(open_bench(f"sqlite:///{path}", options.in_flight))
        measured(runner, bench, warm_up_count(options.count, options.in_flight))
        took = measured(runner, bench, options.count)
        runner.run(bench.assembly.stop(10))
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT count(*) FROM executions WHERE status = 'SUCCEEDED'").fetchone()[0]
        (journal_mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    must_equal("enactor", found, options)
    durability = {"journal_mode": journal_mode, "synchronous": SYNCHRONOUS[2]}
    report("enactor", __version__, options, took, durability)


if __name__ == "__main__":
    main()
