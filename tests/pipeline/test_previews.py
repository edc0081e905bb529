"""The target is read once more before the first call: what was approved must still be what is there."""

from __future__ import annotations

import msgspec
import pytest

from enactor.conformance.shelf import Item
from enactor.conformance.watched import Watched
from enactor.conformance.world import ANA, World
from enactor.connectors.sdk import Refused
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ErrorClass
from enactor.domain.intent import ActionIntent
from enactor.domain.ledger import LedgerEvent
from enactor.pipeline.driver import Progress
from enactor.pipeline.model import Earlier

pytestmark = pytest.mark.parametrize("world", ["memory"], indirect=True)

BUSY = Refused("BUSY", "The shelf is busy.", retryable=True)


async def relabelling(world: World) -> ActionIntent:
    """An approved intent to label what somebody put on the shelf, read at version 3."""
    world.shelf.items["item-1"] = Item(label="old", key="", changed_by="", version=3)
    return await world.decided(await world.proposed_on_shelf("relabel", object_id="item-1", label="new"))


async def reads(world: World, intent: ActionIntent) -> list[dict[str, object]]:
    """What the ledger says of readings."""
    entries = await world.entries(intent)
    return [msgspec.json.decode(e.data) for e in entries if e.event_type is LedgerEvent.TARGET_READ]


async def test_unchanged_it_is_called_once_with_the_version(world: World) -> None:
    """One reading at the proposal, one before the call, and the version travels with the write."""
    intent = await relabelling(world)
    await world.run(intent)
    assert await world.status(intent) is RunStatus.SUCCEEDED
    assert (world.shelf.reads, world.shelf.calls, world.shelf.seen_versions) == (2, ["relabel"], ["3"])
    assert world.shelf.items["item-1"].label == "new"
    before, again = await reads(world, intent)
    assert (before["guard"], again["unchanged"]) == ("ATOMIC", True)
    await world.verify()


@pytest.mark.parametrize("change", ["label", "version", "gone"])
async def test_what_was_changed_since_is_not_called_for(world: World, change: str) -> None:
    """Another value, the same value at another version, or nothing at all: STALE_PREVIEW, and no permit was taken."""
    intent = await relabelling(world)
    match change:
        case "label":
            world.shelf.items["item-1"].label = "somebody's"
        case "version":
            world.shelf.touch("item-1", "old")
        case _:
            del world.shelf.items["item-1"]
    await world.run(intent)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.error_code) == (RunStatus.FAILED, "STALE_PREVIEW")
    assert (world.shelf.calls, await world.permits(intent)) == ([], ())
    text = "".join(entry.data for entry in await world.entries(intent)) + str(outcome.error_message)
    assert "somebody's" not in text
    assert '"old"' not in text, "what was read is in no entry"


async def test_a_target_that_cannot_be_read_puts_the_run_off(world: World) -> None:
    """Each failed reading is in the ledger; when it can be read again the run goes on."""
    intent = await relabelling(world)
    world.shelf.unreadable.extend([BUSY, ConnectionResetError("gone")])
    await world.run(intent)
    assert await world.status(intent) is RunStatus.SUCCEEDED
    assert [read.get("error_code") for read in (await reads(world, intent))[1:]] == ["BUSY", "TARGET_UNREADABLE", None]
    events = await world.events(intent)
    assert events.count(LedgerEvent.EXECUTION_DEFERRED) == 2
    assert (await world.attempt(intent)).attempt_count == 1


async def test_a_target_that_stays_unreadable_ends_the_run(world: World) -> None:
    """After as many retries as the intent allows it FAILED with the reason, and nothing was called."""
    intent = await relabelling(world)
    world.shelf.unreadable.extend([BUSY] * 10)
    await world.run(intent)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.error_code, world.shelf.calls) == (RunStatus.FAILED, "BUSY", [])
    assert world.shelf.reads == 1 + 1 + intent.execution_policy.retry_count


async def test_a_closed_door_puts_the_reading_off_until_the_intent_expires(world: World) -> None:
    """A reading goes through the same door as calls, costs no retry, and never goes past the expiry."""
    intent = await relabelling(world)
    world.doors.closed = "the breaker is open"
    driver = world.driver()
    driven = await driver.drive(world.request(intent))
    assert driven.progress is Progress.WAITING
    assert (await world.attempt(intent)).waiting_for == "the breaker is open"
    world.clock.advance(30 * 86_400)
    await driver.drive(world.request(intent), Earlier.SELF, driven.fence)
    assert await world.status(intent) is RunStatus.EXPIRED
    assert world.shelf.calls == []


async def test_after_an_unknown_call_it_is_not_read_again(world: World) -> None:
    """What is there by then may be our own doing: the look-up settles it."""
    intent = await relabelling(world)
    world.shelf.lost = 1
    await world.run(intent)
    assert await world.status(intent) is RunStatus.SUCCEEDED
    assert (world.shelf.reads, world.shelf.calls) == (2, ["relabel"])


async def test_a_replay_reads_again(world: World) -> None:
    """A new run holds what was approved against the target anew."""
    intent = await relabelling(world)
    world.shelf.refused.append(Refused("LOCKED", "It is locked."))
    await world.run(intent)
    assert await world.status(intent) is RunStatus.FAILED
    world.shelf.touch("item-1")
    await world.service.operations.replay(ANA, intent.action_intent_id, "unlocked")
    await world.run(intent, 2)
    assert (await world.outcome(intent)).error_code == "STALE_PREVIEW"
    assert (world.shelf.reads, world.shelf.calls) == (3, ["relabel"])


async def test_a_preview_that_the_tool_no_longer_offers_is_stale(world: World) -> None:
    """What cannot be held against the target any more is not called for."""
    intent = await relabelling(world)
    definition = world.plane.definition("shelf.relabel")
    assert definition is not None
    world.doors.redefined["shelf.relabel"] = msgspec.structs.replace(definition, previews=False)
    await world.run(intent)
    assert (await world.outcome(intent)).error_code == "STALE_PREVIEW"


async def test_tools_without_a_preview_need_two_commits_still(world: World) -> None:
    """One before the call and one after it; reading the target costs one more."""
    for intent, commits in ((await world.approved("keyed"), 2), (await relabelling(world), 3)):
        store = Watched(world.store)
        await world.run(intent, driver=world.driver(store), handed=True)
        assert await world.status(intent) is RunStatus.SUCCEEDED
        assert len(store.commits) == commits


async def test_a_refused_reading_ends_the_run_with_its_reason(world: World) -> None:
    """What the target refuses for good is no reason to wait."""
    intent = await relabelling(world)
    world.shelf.unreadable.append(Refused("FORBIDDEN", "Not yours.", error_class=ErrorClass.AUTH))
    await world.run(intent)
    outcome = await world.outcome(intent)
    assert (outcome.error_code, outcome.error_class, world.shelf.calls) == ("FORBIDDEN", "AUTH", [])


async def test_one_account_s_settings_are_not_another_s(world: World) -> None:
    """A change of the settings that serve an account makes its approvals stale, and nobody else's."""
    intent = await relabelling(world)
    world.shelf.versions["acme", "south"] = "2"
    await world.run(intent)
    assert await world.status(intent) is RunStatus.SUCCEEDED
    intent = await relabelling(world)
    world.shelf.versions["acme", "north"] = "2"
    await world.run(intent)
    assert (await world.outcome(intent)).error_code == "APPROVAL_DIGEST_MISMATCH"
