"""Enactor as a subject: an embedded Enactor over SQLite with the local engine, as its quickstart sets it up.

Its waits are short so that the kit is quick; nothing else differs from the defaults. The connector uses the product's
own HTTP door, and declares for each kind of tool what the world promises for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from enactor import Enactor, Limits, agent, person
from enactor.domain.attempt import TERMINAL, RunStatus
from enactor.domain.errors import EffectKeyTaken, FailureCode, StoreFailed, TargetUnreadable, UndoConflict
from enactor.domain.intent import ActionIntent, ExecutionPolicy, IntentStatus
from enactor.domain.outcome import CompensationStatus
from enactor.gateway.doors import GuardRules
from enactor.gateway.guards import Guards
from enactor.pipeline.model import Settings
from enactor.service import Proposal
from enactor.service.inspection import ExecutionView
from enactor.system import SystemClock
from killpoints.kinds import CALL_WINDOW_MS, KINDS, MAX_PAUSE_MS, PATIENT_TIMEOUT_SECONDS
from killpoints.reports import write_report
from killpoints.subjects.enactor_shop import Shop
from killpoints.world import LATE_SECONDS

IN_USE = 3
"""The exit status of a program that found the database in another process's hands."""

STORE_FAILED = 4
"""The exit status of a program whose store gave up: the disk is full, or cannot be written."""

SETTINGS = Settings(
    call_window_ms=CALL_WINDOW_MS,
    grace_ms=500,
    backoff_ms=40,
    backoff_cap_ms=200,
    # On a busy machine a door opens often, and is soon shut again.
    max_deferrals=10_000,
    doubt_look_up_ms=400,
)

GUARDS = Guards(default=GuardRules(failures=8, open_seconds=0.1, longest_open_seconds=0.2))
"""The circuit breaker stays in: of many failures in a row it makes short pauses, and never says anything false."""

_ROBOT, _ANA, _BEN = agent("robot"), person("ana"), person("ben")
_UNDONE = frozenset({CompensationStatus.COMPLETED, CompensationStatus.FAILED, CompensationStatus.IN_DOUBT})
_FARTHEST_SECONDS = 3 * 86_400
_log = logging.getLogger("killpoints")


class ShiftedClock(SystemClock):
    """The machine's clock in a time when so many seconds more have passed: nobody has to wait for them.

    It may jump as well, as a machine's clock does that is set. In the end it stands later than ever before, so that
    nothing waits for a time that it showed once.
    """

    _EVERY = 25

    def __init__(self, ahead_seconds: float, jumps: dict[str, Any] | None = None) -> None:
        self._ahead_ms = int(ahead_seconds * 1000)
        self._readings = 0
        self._jumps: list[int] = []
        if jumps:
            chance = random.Random(jumps["seed"])  # noqa: S311 - a repeatable choice, and no secret
            ahead = 0
            for _ in range(jumps["times"]):
                # Never so far that what is proposed at one end has expired at the other.
                by = chance.choice([by for by in jumps["by"] if abs(ahead + by) <= _FARTHEST_SECONDS])
                self._jumps.append(by * 1000)
                ahead += by
            self._jumps.reverse()
        self._latest_ms = self._ahead_ms

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC, and some."""
        self._readings += 1
        if self._jumps and self._readings % self._EVERY == 0:
            self._ahead_ms += self._jumps.pop()
            self._latest_ms = max(self._latest_ms, self._ahead_ms)
            if not self._jumps:
                self._ahead_ms = self._latest_ms + 10_000
        return super().now_ms() + self._ahead_ms


class Program:
    """One life of the process."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._ids: dict[str, str] = {}
        self._began = time.monotonic()
        self._shop = Shop(plan["world"], Path(plan["folder"]), {order["kind"] for order in plan["orders"]})

    async def run(self) -> int:
        """Submits what is not submitted, waits until everything is settled, and reports."""
        plan = self._plan
        pipeline = msgspec.structs.replace(
            SETTINGS, max_pause_ms=plan["max_pause_ms"], call_window_ms=plan.get("call_window_ms", CALL_WINDOW_MS)
        )
        enactor = Enactor.open(
            f"sqlite:///{Path(plan['folder']) / 'enactor.db'}",
            connectors=[self._shop],
            limits=Limits(max_pending_of_proposer=10_000, max_pending_of_tenant=10_000),
            pipeline=pipeline,
            guards=GUARDS,
            sweep_seconds=0.2,
            drain_seconds=0,
            clock=ShiftedClock(plan.get("ahead_seconds", 0), plan.get("jumps")),
        )
        async with enactor:
            gate = asyncio.Semaphore(32)
            await asyncio.gather(*(self._one(enactor, order, gate) for order in plan["orders"]))
            report = {order: await self._says(enactor, order) for order in self._ids}
            if not (await enactor.verify_ledger()).ok:
                report["the ledger"] = {"says": "broken", "refs": [], "detail": "its chain does not verify"}
        write_report(Path(plan["report"]), report)
        return 0

    async def _one(self, enactor: Enactor, order: dict[str, Any], gate: asyncio.Semaphore) -> None:
        async with gate:
            intent = await self._submit(enactor, order)
        await self._settle(enactor, intent.action_intent_id, order)
        if order["kind"].startswith("reversible"):
            await self._take_back(enactor, intent.action_intent_id, order)

    async def _submit(self, enactor: Enactor, order: dict[str, Any]) -> ActionIntent:
        """Proposes and approves, as often as the process dies over it: the same key is the same intent."""
        proposal = Proposal(
            action_type=f"SHOP_{order['kind'].upper()}",
            account_id="north",
            parameters={"order": order["order"]},
            execution_policy=ExecutionPolicy(
                retry_count=self._plan["retries"], timeout_seconds=order.get("timeout", PATIENT_TIMEOUT_SECONDS)
            ),
        )
        while True:
            try:
                key = order["order"]
                intent = (await enactor.service.proposals.propose(_ROBOT, proposal, idempotency_key=key)).intent
                break
            except TargetUnreadable:
                # What it would change could not be read in time, and nothing was stored.
                await asyncio.sleep(0.1)
        self._ids[order["order"]] = intent.action_intent_id
        return await self._approved(enactor, intent)

    async def _approved(self, enactor: Enactor, intent: ActionIntent) -> ActionIntent:
        if intent.status is IntentStatus.PENDING_APPROVAL:
            await enactor.approve(intent.action_intent_id, digest=intent.approval_digest, by=_ANA)
        return intent

    async def _take_back(self, enactor: Enactor, action_intent_id: str, order: dict[str, Any]) -> None:
        """Has what was done taken back, as a person does it: proposed by one, approved by another."""
        view = await self._view(enactor, action_intent_id)
        if view.status != RunStatus.SUCCEEDED or view.compensation_status in _UNDONE:
            return
        undo = await self._approved(enactor, await self._undo_of(enactor, action_intent_id))
        await self._settle(enactor, undo.action_intent_id, order, searched=False)

    async def _undo_of(self, enactor: Enactor, action_intent_id: str) -> ActionIntent:
        """The undo: proposed now, or by an earlier life of the process."""
        until = time.monotonic() + self._plan["patience"]
        while True:
            try:
                return await enactor.undo(action_intent_id, reason="nobody wants it any more", by=_BEN)
            except EffectKeyTaken as taken:
                return await enactor.service.inspection.intent(_ANA, str(taken.details["action_intent_id"]))
            except (TargetUnreadable, UndoConflict):
                # What is to be taken back could not be read back; on a busy machine it can be a moment later.
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)

    async def _settle(
        self, enactor: Enactor, action_intent_id: str, order: dict[str, Any], *, searched: bool | None = None
    ) -> None:
        """Waits for an end, or for a doubt that no look-up will end any more.

        Args:
            searched: whether the world is searched for what the intent does; by default, as the order's kind says.
        """
        searched = KINDS[order["kind"]].get("look_up", False) if searched is None else searched
        doubtful_until: float | None = None
        while True:
            status = (await self._view(enactor, action_intent_id)).status
            if status == RunStatus.IN_DOUBT:
                doubtful_until = doubtful_until or time.monotonic() + self._plan["patience"]
                if not searched or time.monotonic() > doubtful_until or self._nothing_more_to_find(order):
                    return
            elif status in TERMINAL:
                return
            await asyncio.sleep(0.02)

    def _nothing_more_to_find(self, order: dict[str, Any]) -> bool:
        """Of what is never finally absent: it was looked for when everything must have landed, and was not there."""
        if order["kind"] != "never_final":
            return False
        sent = self._shop.last_sent.get(order["order"], self._began)
        return self._shop.last_absent.get(order["order"], 0.0) > sent + LATE_SECONDS

    async def _view(self, enactor: Enactor, action_intent_id: str) -> ExecutionView:
        return await enactor.service.inspection.execution(_ANA, action_intent_id)

    async def _says(self, enactor: Enactor, order: str) -> dict[str, Any]:
        view = await self._view(enactor, self._ids[order])
        refs = [ref.object_id for ref in view.external_object_refs]
        detail = f"{view.status} {view.error_code or ''} {view.compensation_status}"
        return {"says": said(view), "refs": refs, "detail": detail}


def said(view: ExecutionView) -> str:
    """What an execution says about the world, in the kit's words."""
    if view.status == RunStatus.IN_DOUBT or view.compensation_status == CompensationStatus.IN_DOUBT:
        return "unknown"
    if view.compensation_status == CompensationStatus.COMPLETED:
        return "taken back"
    if view.status == RunStatus.SUCCEEDED:
        # Also where taking it back was refused: then it stands.
        return "done"
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
