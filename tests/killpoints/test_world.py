"""The world does each thing that it can be told to, and counts it."""

import asyncio
import http.client
import time
from typing import Any

import pytest

from killpoints.harness import WorldProcess
from killpoints.subjects.client import Refused, Unclear, find, make, request
from killpoints.world import LATE_SECONDS


async def said(world: WorldProcess, order: str, key: str = "k") -> str:
    """What a caller hears of one request."""
    try:
        return "done" if await asyncio.to_thread(make, world.url, order, key) else "nothing"
    except Refused as error:
        return f"refused {error}"
    except Unclear:
        return "unclear"


async def told(world: WorldProcess, order: str, **plan: Any) -> None:
    """Tells the world how to treat an order."""
    await world.plan({order: plan})


async def made(world: WorldProcess, order: str) -> int:
    """How many effects there are in the end."""
    return len((await world.seen(order)).get(order, {}).get("effects", []))


@pytest.mark.parametrize(
    ("act", "heard", "effects"),
    [
        ("do", "done", 1),
        ("drop", "unclear", 1),
        ("late", "unclear", 1),
        ("delay", "done", 1),
        ("500-after", "unclear", 1),
        ("500-before", "unclear", 0),
        ("lose", "unclear", 0),
        ("hang", "unclear", 1),
        ("busy", "refused BUSY", 0),
        ("refused", "refused NO_STOCK", 0),
        ("revoked", "refused REVOKED", 0),
    ],
)
async def test_what_a_caller_hears_and_what_happened(world: WorldProcess, act: str, heard: str, effects: int) -> None:
    """For each behaviour: what comes back, and what there is afterwards."""
    await told(world, "o", effect=[act])
    assert await said(world, "o") == heard
    assert await made(world, "o") == effects


async def test_a_late_effect_is_not_there_yet_when_it_is_looked_for(world: WorldProcess) -> None:
    """The caller has given up and looks: nothing is there; a moment later it is."""
    await told(world, "o", effect=["late"], look_up=True)
    assert await said(world, "o") == "unclear"
    assert await asyncio.to_thread(find, world.url, "o", "k") == []
    assert await made(world, "o") == 1
    assert len(await asyncio.to_thread(find, world.url, "o", "k")) == 1


async def test_keys_are_honoured_for_a_while_or_not_at_all(world: WorldProcess) -> None:
    """One effect a key where they are honoured, one a request where they are not or are forgotten."""
    for order, keys, effects in (("kept", 60, 1), ("none", 0, 2), ("brief", 1e-9, 2)):
        await told(world, order, keys=keys)
        assert [await said(world, order) for _ in range(2)] == ["done", "done"]
        assert await made(world, order) == effects


async def test_a_refusal_for_good_stays_and_may_burn_the_key(world: WorldProcess) -> None:
    """Refused once is refused for ever; busy is over at the next request, unless it burnt the key."""
    await told(world, "stays", effect=["refused", "do"])
    assert [await said(world, "stays") for _ in range(3)] == ["refused NO_STOCK"] * 3
    await told(world, "burns", effect=["busy"], burns=True)
    assert [await said(world, "burns", key) for key in ("a", "a", "b")] == ["refused BUSY", "refused KEY_BURNT", "done"]


async def test_what_is_late_is_late_by_when_it_was_sent(world: WorldProcess) -> None:
    """A slow machine moves no promise: it has landed when it is looked for, and what comes too late is never done."""

    async def send(order: str, ago: float) -> str:
        body = {"order": order, "sent_at": time.monotonic() - ago}
        with_key = {"Idempotency-Key": "k"}
        try:
            await asyncio.to_thread(request, world.url, "POST", "/effects", body, with_key, 0.05)
        except (OSError, http.client.HTTPException):
            return "unclear"
        return "done"

    await told(world, "late", effect=["late"], look_up=True)
    assert await send("late", LATE_SECONDS - 0.01) == "unclear"
    assert len(await asyncio.to_thread(find, world.url, "late", "k")) == 1
    assert [await send("stale", LATE_SECONDS + 1), await made(world, "stale")] == ["unclear", 0]


async def test_time_passes_for_keys_when_it_is_told_so(world: WorldProcess) -> None:
    """Nobody has to wait until a key is forgotten."""
    await told(world, "o", keys=60)
    assert await said(world, "o") == "done"
    await world.passed({"o": 61})
    assert await said(world, "o") == "done"
    assert await made(world, "o") == 2


async def test_a_target_is_changed_after_its_first_reading(world: WorldProcess) -> None:
    """A preview shows one version, and the reading before the call another one."""
    await told(world, "o", changes=True)
    read = [(await asyncio.to_thread(request, world.url, "GET", "/targets/o", None, {}))[1] for _ in range(3)]
    assert read[0] != read[1] == read[2]


async def test_without_look_up_it_does_not_say(world: WorldProcess) -> None:
    """A search that is not offered is not answered with an absence."""
    await told(world, "o")
    with pytest.raises(Unclear):
        await asyncio.to_thread(find, world.url, "o", "k")


async def test_an_effect_taken_back_twice_is_counted_twice(world: WorldProcess) -> None:
    """Where undo keys are honoured, the second request under the same key takes nothing back any more."""
    for order, undo_keys, undone in (("kept", True, 1), ("none", False, 2)):
        await told(world, order, undo=["drop"], undo_keys=undo_keys)
        effect = await asyncio.to_thread(make, world.url, order, "k")
        for _ in range(2):
            with_key = {"Idempotency-Key": "u"}
            try:
                await asyncio.to_thread(request, world.url, "POST", f"/effects/{effect}/undo", {}, with_key)
            except OSError:
                continue
        (found,) = (await world.seen(order))[order]["effects"]
        assert found["undone"] == undone
