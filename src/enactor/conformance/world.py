"""An Enactor over any store and a scripted target, in time that only the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from enactor.conformance.clocks import ManualClock, SeededRandomness
from enactor.conformance.shelf import Shelf
from enactor.conformance.target import Order, Target
from enactor.conformance.watched import Watched
from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.intent import ActionIntent
from enactor.domain.ledger import ChainVerifier, LedgerEntry, LedgerEvent
from enactor.domain.outcome import ActionOutcome
from enactor.domain.permit import CallResult, WritePermit
from enactor.domain.policy import PolicyAnswer, PolicyQuestion, PolicySet
from enactor.domain.principal import Principal, Role, agent, person
from enactor.gateway.composite import GovernedPlane
from enactor.gateway.guards import GuardedPlane, Guards
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.secrets import EnvFileSecrets
from enactor.pipeline.driver import Driven, Driver, Progress
from enactor.pipeline.model import Context, Earlier, Settings
from enactor.ports.clock import Ids
from enactor.ports.engine import Engine, EngineInfo, RunRequest
from enactor.ports.policy import PolicyEngine
from enactor.ports.store import ExecutionRecords, Store
from enactor.ports.tools import CallRequest, LookUpResult, Reading, Reply, ToolDefinition, ToolPlane
from enactor.service import Core, Limits, Proposal, Service

TENANT = "acme"
ACCOUNT = "north"
AGENT = agent("robot", tenant_id=TENANT)
ANA = person("ana", tenant_id=TENANT)
BEA = person("bea", tenant_id=TENANT)
PLATFORM = person("pia", roles=frozenset({Role.PLATFORM_ADMIN}), tenant_id="")


class Inbox:
    """An engine that only notes what it is told; the test decides who drives what, and when."""

    def __init__(self) -> None:
        self.requests: list[RunRequest] = []

    async def start(self) -> None:
        """Nothing to recover."""

    async def submit(self, request: RunRequest) -> None:
        """Notes the request."""
        self.requests.append(request)

    async def drain(self, timeout_seconds: float) -> None:
        """Nothing runs."""

    def info(self) -> EngineInfo:
        """Never busy."""
        return EngineInfo(kind="inbox", queued=len(self.requests), running=0, waiting=0, accepting=True)


class Permissive:
    """Policies that allow what roles allow. `automatic` names the action types that need no person."""

    def __init__(self) -> None:
        self.automatic: set[str] = set()
        self.questions: list[PolicyQuestion] = []

    def version(self, policies: PolicySet | None) -> str:
        """One version for each set."""
        return f"permissive-{policies.version if policies else 0}"

    def check(self, text: str) -> None:
        """Takes any text."""

    def ask(self, question: PolicyQuestion, policies: PolicySet | None) -> PolicyAnswer:
        """Yes, but auto-approval only of what is listed."""
        self.questions.append(question)
        allowed = question.action.value != "auto_approve" or question.action_type in self.automatic
        return PolicyAnswer(allowed=allowed, reasons=("permissive",), errors=(), policy_version=self.version(policies))


class Doors:
    """A tool plane with doors: a closed one puts calls off. `redefined` changes what a tool is declared as."""

    def __init__(self, plane: ToolPlane) -> None:
        self._plane = plane
        self.closed = ""
        self.redefined: dict[str, ToolDefinition | None] = {}

    def definition(self, tool_name: str) -> ToolDefinition | None:
        """The tool as it is declared now."""
        return self.redefined[tool_name] if tool_name in self.redefined else self._plane.definition(tool_name)

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Makes the call, unless the door is closed."""
        if self.closed:
            return Reply(result=CallResult.NOT_SENT, retryable=True, deferred_reason=self.closed)
        return await self._plane.call(request, check)

    def connector_version(self, tool_name: str, tenant_id: str, account_id: str) -> str:
        """The configuration in force now."""
        known = self.redefined.get(tool_name)
        return known.connector_version if known else self._plane.connector_version(tool_name, tenant_id, account_id)

    async def preview(self, request: CallRequest) -> Reading:
        """Reads the target, unless the door is closed."""
        if self.closed:
            return Reading(retryable=True, deferred_reason=self.closed)
        return await self._plane.preview(request)

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Looks up; look-ups stay allowed."""
        return await self._plane.look_up(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plane, name)


class World:
    """Everything a test of runs needs.

    Args:
        store: an open, empty store; `open_world` registers the target's tools in it.
        clock: the clock that the store was opened with.
        guards: what is held against calls to the target; nothing, unless given.
        plane: whose tools they are; the target's, unless given.
    """

    def __init__(
        self,
        store: Store,
        clock: ManualClock,
        *,
        settings: Settings | None = None,
        limits: Limits | None = None,
        seed: int = 0,
        guards: Guards | None = None,
        plane: GovernedPlane | None = None,
    ) -> None:
        self.clock = clock
        self.randomness = SeededRandomness(seed)
        self.store = store
        self.target = Target(clock)
        self.shelf = Shelf()
        self.plane: GovernedPlane = plane or InProcessToolPlane([self.target, self.shelf], EnvFileSecrets({}))
        self.doors = Doors(self.plane if guards is None else GuardedPlane(self.plane, guards, clock))
        self.settings = settings or Settings()
        self.ids = Ids(clock, self.randomness)
        self.ctx = Context(clock, self.ids, self.randomness, self.settings)
        self.inbox = Inbox()
        self.policy = Permissive()
        self.limits = limits or Limits(max_pending_of_proposer=1_000, max_pending_of_tenant=1_000)
        self.service = self.service_with(self.inbox)

    def service_with(self, engine: Engine, policy: PolicyEngine | None = None) -> Service:
        """The use cases over this world's store, with an engine."""
        core = Core(
            store=self.store,
            tools=cast(ToolPlane, self.doors),
            engine=engine,
            policy=policy or self.policy,
            clock=self.clock,
            ids=self.ids,
            randomness=self.randomness,
            limits=self.limits,
            transforms={},
        )
        return Service(core, self.ctx)

    def driver(self, store: Store | Watched | None = None) -> Driver:
        """A driver of its own, as another process or worker would have."""
        over = cast(Store, store) if store is not None else self.store
        return Driver(over, cast(ToolPlane, self.doors), self.ctx)

    # -- proposing -----------------------------------------------------------------------------------------------

    async def proposed(self, kind: str = "keyed", by: Principal = AGENT, **more: Any) -> ActionIntent:
        """An intent that waits for approval. `kind` is a tool of the target, or `namespace.tool` of another plane."""
        fields = {"account_id": ACCOUNT, "parameters": Order(item=f"item-{self.ids.new()}").model_dump(), **more}
        action_type = kind.replace(".", "_") if "." in kind else f"target_{kind}"
        proposal = Proposal(action_type=action_type.upper(), **fields)
        return (await self.service.proposals.propose(by, proposal)).intent

    async def proposed_on_shelf(self, kind: str, by: Principal = AGENT, **parameters: str) -> ActionIntent:
        """An intent that waits for approval. `kind` is a tool of the shelf."""
        proposal = Proposal(action_type=f"SHELF_{kind.upper()}", account_id=ACCOUNT, parameters=parameters)
        return (await self.service.proposals.propose(by, proposal)).intent

    async def decided(self, intent: ActionIntent) -> ActionIntent:
        """An intent approved by as many people as it needs, none of whom proposed it."""
        people = [person(name, tenant_id=intent.tenant_id) for name in ("ana", "bea", "cora")]
        for approver in people:
            if approver.ref in intent.contributors:
                continue
            decided = await self.service.decisions.approve(approver, intent.action_intent_id, intent.approval_digest)
            if not decided.approvals_missing:
                return decided.intent
        raise AssertionError("three people are enough for anything")

    async def approved(self, kind: str = "keyed", by: Principal = AGENT, **more: Any) -> ActionIntent:
        """An approved intent that nobody has begun to execute."""
        intent = await self.proposed(kind, by, **more)
        approver, second = (person(name, tenant_id=by.tenant_id) for name in ("ana", "bea"))
        decided = await self.service.decisions.approve(approver, intent.action_intent_id, intent.approval_digest)
        if decided.approvals_missing:
            decided = await self.service.decisions.approve(second, intent.action_intent_id, intent.approval_digest)
        return decided.intent

    # -- driving -------------------------------------------------------------------------------------------------

    def request(self, intent: ActionIntent, run_number: int = 1, *, handed: bool = False) -> RunRequest:
        """Word that the intent's run may go on."""
        return RunRequest(
            action_intent_id=intent.action_intent_id,
            tenant_id=intent.tenant_id,
            run_number=run_number,
            intent=intent if handed else None,
        )

    async def run(
        self,
        intent: ActionIntent,
        run_number: int = 1,
        *,
        driver: Driver | None = None,
        earlier: Earlier = Earlier.UNKNOWN,
        handed: bool = False,
    ) -> Driven:
        """Drives a run to its end, or until it is in doubt, moving the clock on over every wait."""
        driver = driver or self.driver()
        driven = await driver.drive(self.request(intent, run_number, handed=handed), earlier)
        while driven.progress is Progress.WAITING and driven.status in (None, RunStatus.RUNNING):
            self.clock.advance(max(0, driven.until - self.clock.now_ms()) / 1000)
            held = Earlier.SELF if driven.fence else Earlier.UNKNOWN
            driven = await driver.drive(self.request(intent, run_number), held, driven.fence)
        return driven

    # -- reading -------------------------------------------------------------------------------------------------

    async def records(self, intent: ActionIntent) -> ExecutionRecords:
        """Everything recorded about the intent's execution."""
        records = await self.store.execution(intent.tenant_id, intent.action_intent_id)
        assert records is not None
        return records

    async def attempt(self, intent: ActionIntent) -> ExecutionAttempt:
        """The lock."""
        attempt = (await self.records(intent)).attempt
        assert attempt is not None
        return attempt

    async def status(self, intent: ActionIntent) -> RunStatus:
        """The run's status."""
        return (await self.attempt(intent)).status

    async def permits(self, intent: ActionIntent) -> tuple[WritePermit, ...]:
        """Every permit."""
        return (await self.records(intent)).permits

    async def outcome(self, intent: ActionIntent) -> ActionOutcome:
        """The latest outcome revision of the current run."""
        outcome = (await self.records(intent)).outcome
        assert outcome is not None
        return outcome

    async def entries(self, intent: ActionIntent) -> tuple[LedgerEntry, ...]:
        """The intent's ledger entries."""
        return await self.store.entries_after(0, 10_000, intent.tenant_id, intent.action_intent_id)

    async def events(self, intent: ActionIntent) -> list[LedgerEvent]:
        """What the ledger says happened, from the start of execution on."""
        before = (LedgerEvent.INTENT_PROPOSED, LedgerEvent.POLICY_EVALUATED, LedgerEvent.ACTION_APPROVED)
        return [entry.event_type for entry in await self.entries(intent) if entry.event_type not in before]

    async def verify(self) -> None:
        """Every chain of the ledger is whole."""
        verifier = ChainVerifier()
        verifier.feed_all(await self.store.entries_after(0, 1_000_000))
        assert verifier.entries > 0
        assert verifier.faults == []


async def open_world(store: Store, clock: ManualClock, **options: Any) -> World:
    """A world with the target's tools in the registry."""
    world = World(store, clock, **options)
    # All at once, so that a durable store writes them in one go.
    register = world.service.registry.ensure_defaults
    await asyncio.gather(*(register({tool: name}) for tool, name in world.plane.action_types().items()))
    return world


async def turns(count: int = 30) -> None:
    """Lets everything that is ready go on for a while."""
    for _ in range(count):
        await asyncio.sleep(0)
