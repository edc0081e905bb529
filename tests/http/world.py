"""A whole Enactor behind its HTTP face, in time that only the test moves."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from enactor.conformance.clocks import ManualClock, SeededRandomness
from enactor.conformance.shelf import Shelf
from enactor.connectors.internal import InternalConnector
from enactor.connectors.sdk import Connector, Refused, ToolCall, ToolResult, tool
from enactor.domain.action_type import RiskClass, WriteMode, WriteSemantics
from enactor.domain.attempt import RunStatus
from enactor.domain.outcome import ObjectRef
from enactor.gateway.secrets import EnvFileSecrets
from enactor.http.app import create_app
from enactor.http.auth import Authenticator
from enactor.http.context import HttpDeps, HttpSettings
from enactor.http.dev_issuer import DevIssuer
from enactor.http.metrics import Metrics
from enactor.http.streams import Streams
from enactor.pipeline.model import Settings as PipelineSettings
from enactor.ports.store import Store
from enactor.service import Limits
from enactor.wiring.assembly import Assembly, assemble, open_store

TENANT = "acme"
ACCOUNT = "acc-1"
NOTE = "CREATE_INTERNAL_NOTE"
TASK = "CREATE_INTERNAL_TASK"


class Transfer(BaseModel):
    """A payment."""

    payment_id: str
    outcome: str = "done"


class Bank(Connector):
    """A target whose answers a test chooses: `done`, `refused`, or `lost`, after which nobody knows."""

    name = "bank"

    @tool(
        write=WriteSemantics(mode=WriteMode.UNSAFE),
        risk=RiskClass.MEDIUM,
        action_type="BANK_TRANSFER",
        summary="Transfer {payment_id}",
        effect_key="transfer:{payment_id}",
        manual_undo="Ask the bank to send it back.",
    )
    async def transfer(self, args: Transfer, call: ToolCall) -> ToolResult:
        """Pays."""
        if args.outcome == "refused":
            raise Refused("NO_FUNDS", "The account has no funds.")
        if args.outcome == "lost":
            raise ConnectionResetError("the bank's secret is hunter2")
        return ToolResult(refs=(ObjectRef(system="bank", object_type="payment", object_id=args.payment_id),))

    @tool(
        write=WriteSemantics(mode=WriteMode.UNSAFE),
        risk=RiskClass.HIGH,
        action_type="BANK_CLOSE",
        summary="Close {payment_id}",
        manual_undo="Open it again.",
    )
    async def close_account(self, args: Transfer, call: ToolCall) -> ToolResult:
        """Closes."""
        return await self.transfer(args, call)


class World:
    """Everything a test needs to be somebody, ask something and wait for what follows."""

    def __init__(
        self,
        clock: ManualClock,
        store: Store,
        key_file: Path,
        *,
        limits: Limits,
        settings: HttpSettings,
        streams: Streams | None,
        connectors: Callable[[ManualClock], Iterable[Connector]] = lambda _: (),
        **assembly: Any,
    ) -> None:
        self.clock = clock
        self.store = store
        self.metrics = Metrics()
        self.shelf = Shelf()
        self._ended: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.assembly: Assembly = assemble(
            self.store,
            connectors=[InternalConnector(self.store, self.clock), Bank(), self.shelf, *connectors(clock)],
            clock=self.clock,
            randomness=SeededRandomness(),
            secrets=EnvFileSecrets({}),
            limits=limits,
            pipeline=PipelineSettings(),
            transforms={},
            concurrency=16,
            listener=self._listen,
            **assembly,
        )
        self.issuer = DevIssuer.load(key_file)
        self.deps = HttpDeps(
            service=self.assembly.service,
            store=self.store,
            engine=self.assembly.engine,
            tools=self.assembly.tools,
            authenticator=Authenticator([], self.clock, dev_issuer=self.issuer),
            clock=self.clock,
            ids=self.assembly.ids,
            randomness=self.assembly.randomness,
            version="0.0.0",
            settings=settings,
            connectors=(*(connector.name for connector in self.assembly.connectors), "away"),
            health=self.assembly.tools.health,
            metrics=self.metrics,
            streams=streams or Streams(),
        )
        self.app: FastAPI = create_app(self.deps)
        self._transport = httpx.ASGITransport(self.app)

    def _listen(self, action_intent_id: str, status: RunStatus) -> None:
        self.metrics.ended(action_intent_id, status)
        self._ended[action_intent_id].set()

    async def over(self, action_intent_id: str) -> None:
        """Returns when the intent's run has ended or fallen in doubt."""
        await self._ended[action_intent_id].wait()
        self._ended[action_intent_id].clear()

    def token(
        self,
        subject: str,
        *roles: str,
        tenant: str = TENANT,
        accounts: tuple[str, ...] = ("*",),
        agent: bool = False,
        lifetime_seconds: int = 3_600,
    ) -> str:
        """A token of the development issuer."""
        return self.issuer.mint(
            tenant=tenant,
            roles=roles,
            subject=subject,
            clock=self.clock,
            accounts=accounts,
            agent=agent,
            lifetime_seconds=lifetime_seconds,
        )

    def caller(self, subject: str, *roles: str, **options: Any) -> "Caller":
        """Somebody with a token."""
        return Caller(self._transport, self.token(subject, *roles, **options))

    def anybody(self, token: str | None = None) -> "Caller":
        """Somebody with the given token, or none."""
        return Caller(self._transport, token)

    @property
    def agent(self) -> "Caller":
        """A proposing program."""
        return self.caller("planner", "proposer", agent=True)

    @property
    def ana(self) -> "Caller":
        """A person who approves."""
        return self.caller("ana", "approver")

    async def proposed(self, action_type: str = NOTE, **parameters: Any) -> Any:
        """An intent of the agent's."""
        response = await self.agent.post("/v1/intents", proposal(action_type, **parameters))
        assert response.status_code == 201, response.text
        return response.json()

    async def approved(self, action_type: str = NOTE, **parameters: Any) -> Any:
        """An intent that everybody needed has approved."""
        intent = await self.proposed(action_type, **parameters)
        for who in ("ana", "ben")[: max(1, intent["required_approvals"])]:
            response = await self.caller(who, "approver").post(
                f"/v1/intents/{intent['action_intent_id']}/approve", {"approval_digest": intent["approval_digest"]}
            )
            assert response.status_code == 202, response.text
        return intent

    async def executed(self, action_type: str = NOTE, **parameters: Any) -> Any:
        """An intent whose run has ended, or fallen in doubt."""
        intent = await self.approved(action_type, **parameters)
        await self.over(intent["action_intent_id"])
        return intent


class Caller:
    """A client with one token. Bodies are JSON unless they are bytes."""

    def __init__(self, transport: httpx.ASGITransport, token: str | None) -> None:
        self._transport = transport
        self.token = token

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **params: Any
    ) -> httpx.Response:
        """One request."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {self.token}"} if self.token is not None else {}
        async with httpx.AsyncClient(transport=self._transport, base_url="http://127.0.0.1") as client:
            return await client.request(
                method, path, content=content, headers={**sent, **(headers or {})}, params=params or None
            )

    async def get(self, path: str, **params: Any) -> httpx.Response:
        """A GET."""
        return await self.ask("GET", path, **params)

    async def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> httpx.Response:
        """A POST."""
        return await self.ask("POST", path, body, headers)

    async def put(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> httpx.Response:
        """A PUT."""
        return await self.ask("PUT", path, body, headers)


def proposal(action_type: str = NOTE, **parameters: Any) -> dict[str, Any]:
    """The body of a proposal."""
    given = parameters or {"title": "Test note"}
    return {"action_type": action_type, "account_id": ACCOUNT, "parameters": given}


PROBLEM_MEMBERS = {"type", "title", "status", "detail", "error_code", "error_class", "retryable", "trace_id"}


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a response, whose form is what RFC 9457 and the interfaces say."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document: dict[str, Any] = response.json()
    assert response.status_code == status, document
    assert document.keys() >= PROBLEM_MEMBERS
    assert document["status"] == status
    assert document["error_code"] == code, document
    assert document["type"] == f"urn:enactor:error:{code.lower().replace('_', '-')}"
    assert document["detail"].strip()
    assert document["trace_id"] == response.headers["x-trace-id"]
    return document


WorldMaker = Callable[..., Any]


@asynccontextmanager
async def world_of(
    key_file: Path,
    *,
    limits: Limits | None = None,
    settings: HttpSettings | None = None,
    streams: Streams | None = None,
    database: Path | None = None,
    clock: ManualClock | None = None,
    store: Store | None = None,
    **more: Any,
) -> AsyncIterator[World]:
    """A started world, over a SQLite file where one is named, else over the memory store.

    `connectors` makes further connectors from the clock; what else is given goes to `assemble`.
    """
    clock = clock or ManualClock()
    world = World(
        clock,
        store or await open_store(f"sqlite:///{database}" if database else "memory://", clock),
        key_file,
        limits=limits or Limits(max_pending_of_proposer=5_000, max_pending_of_tenant=10_000),
        settings=settings or HttpSettings(dev=True),
        streams=streams,
        **more,
    )
    await world.assembly.start()
    # The engine keeps time and sweeps; with both asleep a test can tell who else falls asleep.
    await world.clock.until_asleep(2)
    try:
        yield world
    finally:
        world.deps.streams.drain()
        await world.deps.authenticator.close()
        await world.assembly.stop(1)
