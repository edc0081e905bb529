"""Enactor as a subject: an embedded Enactor over SQLite with the local engine, as its quickstart sets it up.

Its waits are short so that the kit is quick; nothing else differs from the defaults. The connector uses the product's
own HTTP door, and declares for each kind of tool what the world promises for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import ssl
import tempfile
from pathlib import Path
from typing import Any

import httpx
import msgspec
from pydantic import BaseModel

from enactor import (
    Absent,
    CannotTell,
    Connector,
    Enactor,
    Found,
    Limits,
    ObjectRef,
    Refused,
    RiskClass,
    ToolCall,
    ToolResult,
    UndoArguments,
    agent,
    person,
    tool,
)
from enactor.connectors.http_call import Answer, Unclear, send_once
from enactor.domain.action_type import WriteMode, WriteSemantics
from enactor.domain.attempt import TERMINAL, RunStatus
from enactor.domain.errors import ErrorClass, FailureCode, StoreFailed
from enactor.domain.intent import ExecutionPolicy, IntentStatus
from enactor.domain.outcome import CompensationStatus
from enactor.gateway.doors import GuardRules
from enactor.gateway.guards import Guards
from enactor.pipeline.model import Settings
from enactor.service import Proposal
from enactor.service.inspection import ExecutionView
from killpoints.kinds import (
    ABSENCE_FINAL_AFTER_SECONDS,
    CALL_WINDOW_MS,
    KEY_RETENTION_SECONDS,
    KINDS,
    MAX_PAUSE_MS,
    TIMEOUT_SECONDS,
)
from killpoints.oracle import BLIND, BROKEN
from killpoints.reports import write_report

IN_USE = 3
"""The exit status of a program that found the database in another process's hands."""

STORE_FAILED = 4
"""The exit status of a program whose store gave up: the disk is full, or cannot be written."""

SETTINGS = Settings(
    call_window_ms=CALL_WINDOW_MS,
    grace_ms=500,
    backoff_ms=40,
    backoff_cap_ms=200,
    doubt_look_up_ms=400,
)

GUARDS = Guards(default=GuardRules(failures=8, open_seconds=0.1, longest_open_seconds=0.2))
"""The circuit breaker stays in: of many failures in a row it makes short pauses, and never says anything false."""

_ROBOT, _ANA = agent("robot"), person("ana")
_log = logging.getLogger("killpoints")
_KEYED = WriteSemantics(mode=WriteMode.IDEMPOTENT)
_BRIEFLY = WriteSemantics(mode=WriteMode.IDEMPOTENT, key_retention_seconds=KEY_RETENTION_SECONDS)
_UNSAFE = WriteSemantics(mode=WriteMode.UNSAFE)


class Order(BaseModel):
    """What is ordered."""

    order: str


class Shop(Connector):
    """The world as a connector: one tool for each kind of promise."""

    name = "shop"

    def __init__(self, world: str, folder: Path) -> None:
        self._blind, self._broken = folder / BLIND, folder / BROKEN
        # The world speaks plain HTTP: there is nothing to verify, and loading certificates takes a tenth of a second.
        nothing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(base_url=world, timeout=30, limits=limits, verify=nothing, trust_env=False)

    @tool(write=_KEYED, risk=RiskClass.LOW)
    async def keyed(self, args: Order, call: ToolCall) -> ToolResult:
        """The world honours our key for a day."""
        return await self._make(args, call)

    @tool(write=_BRIEFLY, risk=RiskClass.LOW)
    async def briefly(self, args: Order, call: ToolCall) -> ToolResult:
        """The world honours our key for some seconds."""
        return await self._make(args, call)

    @tool(
        write=msgspec.structs.replace(_BRIEFLY, absence_final_after_seconds=ABSENCE_FINAL_AFTER_SECONDS),
        risk=RiskClass.LOW,
        lookup="find",
    )
    async def briefly_searched(self, args: Order, call: ToolCall) -> ToolResult:
        """The world honours our key for some seconds, and can be searched by it."""
        return await self._make(args, call)

    @tool(
        write=WriteSemantics(mode=WriteMode.LOOKUP, absence_final_after_seconds=ABSENCE_FINAL_AFTER_SECONDS),
        risk=RiskClass.LOW,
        lookup="find",
    )
    async def searched(self, args: Order, call: ToolCall) -> ToolResult:
        """The world can be searched by our key, and an absence is final after a while."""
        return await self._make(args, call)

    @tool(write=WriteMode.LOOKUP, risk=RiskClass.LOW, lookup="find")
    async def never_final(self, args: Order, call: ToolCall) -> ToolResult:
        """The world can be searched by our key, and an absence is never final."""
        return await self._make(args, call)

    @tool(write=_UNSAFE, risk=RiskClass.LOW)
    async def unsafe(self, args: Order, call: ToolCall) -> ToolResult:
        """The world promises nothing."""
        return await self._make(args, call)

    @tool(write=msgspec.structs.replace(_KEYED, failure_burns_key=True), risk=RiskClass.LOW)
    async def burning(self, args: Order, call: ToolCall) -> ToolResult:
        """The world honours our key, and burns it with a refusal."""
        return await self._make(args, call)

    @tool(write=_KEYED, risk=RiskClass.LOW, undo="take_back")
    async def partial(self, args: Order, call: ToolCall) -> ToolResult:
        """The world may do half of it; it can be taken back by a call that honours our key."""
        return await self._make(args, call)

    @tool(write=_KEYED, risk=RiskClass.LOW, undo="take_back_unsafely")
    async def partial_unsafe(self, args: Order, call: ToolCall) -> ToolResult:
        """The world may do half of it; it can be taken back by a call of which nothing is promised."""
        return await self._make(args, call)

    @tool(write=_KEYED, proposable=False)
    async def take_back(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Takes an effect back; the world honours our key."""
        return await self._undo(args, call)

    @tool(write=_UNSAFE, proposable=False)
    async def take_back_unsafely(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Takes an effect back; the world promises nothing."""
        return await self._undo(args, call)

    async def find(self, args: Order, call: ToolCall) -> Found | Absent | CannotTell:
        """What our key has made."""
        try:
            response = await self._client.get("/effects", params={"order": args.order, "key": call.idempotency_key})
        except BaseException:
            # A look-up that broke off leaves a doubt that the promise alone does not explain: the oracle is told.
            with self._blind.open("a") as blind:
                blind.write(f"{args.order}\n")
            raise
        if response.status_code != httpx.codes.OK:
            return CannotTell(message="The world cannot be searched.")
        found = response.json()
        return Found(refs=tuple(_ref(each["id"]) for each in found)) if found else Absent()

    async def close(self) -> None:
        """Lets go of connections."""
        await self._client.aclose()

    async def _make(self, args: Order, call: ToolCall) -> ToolResult:
        answer = await self._send("/effects", {"order": args.order}, call, args.order)
        made = _ref(json.loads(answer.body)["id"])
        if answer.status == httpx.codes.MULTI_STATUS:
            return ToolResult(refs=(made,), partial=True, message="Half of it.")
        return ToolResult(refs=(made,))

    async def _undo(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        for ref in args.refs:
            await self._send(f"/effects/{ref['object_id']}/undo", {}, call, args.original_arguments["order"])
        return ToolResult()

    async def _send(self, path: str, body: dict[str, Any], call: ToolCall, order: str) -> Answer:
        name = os.urandom(8).hex()
        headers = {"Idempotency-Key": call.idempotency_key, "Call-Name": name}
        request = self._client.build_request("POST", path, json=body, headers=headers)
        untimely = False

        def before_send() -> None:
            nonlocal untimely
            untimely = True
            call.ensure_timely()
            untimely = False

        try:
            answer = await send_once(self._client, request, before_send)
        except BaseException:
            # Unless the world broke it off, the oracle takes it as a fact of the machine. What our
            # own check has kept back is none.
            if not untimely:
                with self._broken.open("a") as broken:
                    broken.write(f"{order} {name}\n")
            raise
        if answer.status in (httpx.codes.OK, httpx.codes.CREATED, httpx.codes.MULTI_STATUS):
            return answer
        # What the world documents as effect-free; everything else it may have done.
        if answer.status == httpx.codes.TOO_MANY_REQUESTS:
            raise Refused("BUSY", "The world is busy.", retryable=True, error_class=ErrorClass.RATE_LIMIT)
        if answer.status == httpx.codes.UNPROCESSABLE_ENTITY:
            raise Refused("NO_STOCK", "There is none left.", error_class=ErrorClass.VALIDATION)
        if answer.status == httpx.codes.UNAUTHORIZED:
            raise Refused("REVOKED", "The credential was revoked.", error_class=ErrorClass.AUTH)
        raise Unclear(f"the world answered {answer.status}")


def _ref(object_id: str) -> ObjectRef:
    return ObjectRef(system="world", object_type="effect", object_id=object_id)


class Program:
    """One life of the process."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._ids: dict[str, str] = {}

    async def run(self) -> int:
        """Submits what is not submitted, waits until everything is settled, and reports."""
        plan = self._plan
        enactor = Enactor.open(
            f"sqlite:///{Path(plan['folder']) / 'enactor.db'}",
            connectors=[Shop(plan["world"], Path(plan["folder"]))],
            limits=Limits(max_pending_of_proposer=10_000, max_pending_of_tenant=10_000),
            pipeline=msgspec.structs.replace(SETTINGS, max_pause_ms=plan["max_pause_ms"]),
            guards=GUARDS,
            sweep_seconds=0.2,
            drain_seconds=0,
        )
        async with enactor:
            gate = asyncio.Semaphore(32)
            await asyncio.gather(*(self._one(enactor, order, gate) for order in plan["orders"]))
            report = {order: await self._says(enactor, order) for order in self._ids}
            if not (await enactor.verify_ledger()).ok:
                report["the ledger"] = {"says": "broken", "refs": [], "detail": "its chain does not verify"}
        write_report(Path(plan["report"]), report)
        return 0

    async def _one(self, enactor: Enactor, order: dict[str, str], gate: asyncio.Semaphore) -> None:
        async with gate:
            await self._submit(enactor, order)
        await self._settle(enactor, order)

    async def _submit(self, enactor: Enactor, order: dict[str, str]) -> None:
        """Proposes and approves, as often as the process dies over it: the same key is the same intent."""
        proposal = Proposal(
            action_type=f"SHOP_{order['kind'].upper()}",
            account_id="north",
            parameters={"order": order["order"]},
            execution_policy=ExecutionPolicy(retry_count=self._plan["retries"], timeout_seconds=TIMEOUT_SECONDS),
        )
        proposals = enactor.service.proposals
        intent = (await proposals.propose(_ROBOT, proposal, idempotency_key=order["order"])).intent
        self._ids[order["order"]] = intent.action_intent_id
        if intent.status is IntentStatus.PENDING_APPROVAL:
            await enactor.approve(intent.action_intent_id, digest=intent.approval_digest, by=_ANA)

    async def _settle(self, enactor: Enactor, order: dict[str, str]) -> None:
        """Waits for an end, or for a doubt that no look-up has ended while the plan's patience lasts."""
        loop = asyncio.get_running_loop()
        patience: float | None = None
        while True:
            status = (await self._view(enactor, order["order"])).status
            if status == RunStatus.IN_DOUBT:
                patience = patience or loop.time() + self._plan["patience"]
                if not KINDS[order["kind"]].get("look_up") or loop.time() > patience:
                    return
            elif status in TERMINAL:
                return
            await asyncio.sleep(0.02)

    async def _view(self, enactor: Enactor, order: str) -> ExecutionView:
        return await enactor.service.inspection.execution(_ANA, self._ids[order])

    async def _says(self, enactor: Enactor, order: str) -> dict[str, Any]:
        view = await self._view(enactor, order)
        refs = [ref.object_id for ref in view.external_object_refs]
        detail = f"{view.status} {view.error_code or ''} {view.compensation_status}"
        return {"says": said(view), "refs": refs, "detail": detail}


def said(view: ExecutionView) -> str:
    """What an execution says about the world, in the kit's words."""
    if view.status == RunStatus.SUCCEEDED:
        return "done"
    if view.status == RunStatus.IN_DOUBT or view.compensation_status == CompensationStatus.IN_DOUBT:
        return "unknown"
    if view.compensation_status == CompensationStatus.COMPLETED:
        return "taken back"
    if view.error_code in (FailureCode.PARTIAL_EFFECT, FailureCode.COMPENSATION_FAILED):
        return "partly"
    return "not done"


def main(plan: dict[str, Any]) -> int:
    """Carries out a plan. Returns the exit status."""
    logging.basicConfig(level=logging.ERROR)
    if most := plan.get("file_bytes"):
        # A disk that is nearly full: what makes a file larger than this fails as it does without room.
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        return asyncio.run(Program(plan).run())
    except StoreFailed as error:
        _log.error("%s", error)
        return IN_USE if "in use" in error.message else STORE_FAILED


def warm() -> None:
    """Does everything once that loads something when it is first done. Leaves no thread and no connection behind."""

    async def once() -> None:
        world = await asyncio.start_server(_not_there, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{world.sockets[0].getsockname()[1]}"
        with tempfile.TemporaryDirectory() as folder:
            plan = {
                "orders": [{"order": "o", "kind": "unsafe"}],
                "folder": folder,
                "world": url,
                "patience": 0,
                "retries": 0,
                "max_pause_ms": MAX_PAUSE_MS,
            }
            await Program({**plan, "report": f"{folder}/report"}).run()
        world.close()

    async def _not_there(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 422 X\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    asyncio.run(once())
