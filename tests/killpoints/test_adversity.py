"""A full disk, a clock that jumps, a thousand deliveries, and races with expiry and with a switch."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.target import Act
from enactor.conformance.watched import Watched
from enactor.conformance.world import ANA, World, open_world
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import IllegalTransition
from enactor.domain.intent import IntentStatus
from enactor.domain.permit import CallResult
from enactor.pipeline.model import Earlier
from enactor.stores.memory import MemoryStore
from enactor.stores.sqlite import SqliteStore
from killpoints.harness import WorldProcess, Zygote, end
from killpoints.judge import judge
from killpoints.kinds import KINDS, MAX_PAUSE_MS
from killpoints.reports import read_report
from killpoints.subjects.enactor_program import STORE_FAILED

S, D, C = RunStatus.SUCCEEDED, RunStatus.IN_DOUBT, RunStatus.CANCELLED


async def opened() -> World:
    """A world over the memory store, whose time the test moves."""
    clock = ManualClock()
    return await open_world(MemoryStore(clock), clock)


async def test_a_full_disk(world: WorldProcess, tmp_path: Path) -> None:
    """Its quota runs out in mid-load: the process says so and ends; with room again everything is carried out, once."""
    orders = [{"order": f"disk-{number}.", "kind": "keyed"} for number in range(40)]
    await world.plan({order["order"]: KINDS["keyed"] for order in orders})
    plan: dict[str, Any] = {
        "orders": orders,
        "folder": str(tmp_path),
        "world": world.url,
        "report": str(tmp_path / "report.json"),
        "patience": 0,
        "retries": 3,
        "max_pause_ms": MAX_PAUSE_MS,
    }
    async with Zygote("killpoints.subjects.enactor_program", tmp_path / "log") as programs:
        small = await programs.start({**plan, "file_bytes": 400_000})
        assert await end(small, 60) == STORE_FAILED
        assert not (tmp_path / "report.json").exists()
        assert await end(await programs.start(plan), 60) == 0
    seen, report = await world.seen("disk-"), read_report(tmp_path / "report.json")
    for order in orders:
        tally = judge(order["order"], report[order["order"]], seen[order["order"]])
        assert tally.clean, tally.faults
        assert report[order["order"]]["says"] == "done"
    assert "the ledger" not in report, json.dumps(report)


@pytest.mark.parametrize("jump", [-86_400, -5, 5, 86_400])
@pytest.mark.parametrize("kind", ["keyed", "searched", "unsafe"])
async def test_the_clock_jumps_at_every_commit(kind: str, jump: int) -> None:
    """Backwards or forwards, before each commit in turn: at most one effect, and nothing false."""
    for number in range(1, 6):
        world = await opened()
        world.target.script(Act.DO_AND_LOSE_REPLY)
        watched = Watched(world.store)

        async def jumps(at: int, number: int = number, world: World = world) -> None:
            if at == number:
                world.clock.jump(jump)

        watched.between = jumps
        intent = await world.approved(kind, expires_in_seconds=7 * 86_400)
        await world.run(intent, driver=world.driver(watched))
        # Turned back before the outcome, a retained key is retained for longer, and a wait lasts longer: never shorter.
        status = await world.status(intent)
        assert len(world.target.made) == 1
        assert status is S or (status is D and kind != "searched")
        await world.verify()


async def test_an_event_that_is_delivered_a_thousand_times(tmp_path: Path) -> None:
    """Before, while and after the run: one start, one call, one outcome, over a real file."""
    clock = ManualClock()
    store = await SqliteStore.open(tmp_path / "enactor.db", clock=clock)
    world = await open_world(store, clock)
    intent = await world.approved("unsafe")
    for _ in range(4):
        await asyncio.gather(*(world.driver().drive(world.request(intent)) for _ in range(250)))
    assert len(world.target.sent) == len(world.target.made) == 1
    assert await world.status(intent) is S
    assert len(await store.outcomes(intent.tenant_id, intent.action_intent_id)) == 1
    await store.close()


@pytest.mark.parametrize("early_ms", [-1, 0, 1])
async def test_an_approval_races_expiry(early_ms: int) -> None:
    """At the last millisecond, and at the first one too late: what is executed was approved in time, and in force."""
    for first in (True, False):
        world = await opened()
        intent = await world.proposed("keyed", expires_in_seconds=10)
        left = intent.expires_at_epoch * 1000 - world.clock.now_ms()
        world.clock.advance((left - early_ms) / 1000)
        decisions = world.service.decisions

        async def approve(world: World = world, intent: Any = intent) -> None:
            with contextlib.suppress(IllegalTransition):
                await world.service.decisions.approve(ANA, intent.action_intent_id, intent.approval_digest)

        both = [approve(), decisions.expire_due()]
        await asyncio.gather(*(both if first else reversed(both)))
        status = (await world.records(intent)).intent.status
        assert status is (IntentStatus.APPROVED if early_ms > 0 else IntentStatus.EXPIRED)
        if status is IntentStatus.APPROVED:
            world.clock.advance(early_ms / 1000)
            await world.run(intent)
            assert await world.status(intent) is RunStatus.EXPIRED
        assert world.target.sent == []


@pytest.mark.parametrize("at", [1, 2])
async def test_a_switch_races_an_invocation(at: int) -> None:
    """Turned in front of either commit: before the permit nothing leaves, after it the call is listed and recorded."""
    world = await opened()
    watched = Watched(world.store)

    async def stop(number: int) -> None:
        if number == at:
            await world.service.operations.set_switch(ANA, "tenant", enabled=True, reason="stop")

    watched.between = stop
    intent = await world.approved("unsafe")
    await world.run(intent, driver=world.driver(watched), earlier=Earlier.DEAD)
    left = len(world.target.sent)
    assert left == (0 if at == 1 else 1)
    assert await world.status(intent) is (C if at == 1 else S)
    results = [permit.result for permit in await world.permits(intent)]
    assert results == ([] if at == 1 else [CallResult.DONE])
    report = await world.service.operations.report(ANA, "tenant")
    listed = {"blocked": len(report.blocked), "executed": len(report.executed), "unknown": len(report.unknown)}
    assert listed == {"blocked": 0, "executed": 0, "unknown": 0, "blocked" if at == 1 else "executed": 1}
