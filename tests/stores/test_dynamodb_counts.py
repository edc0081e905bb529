"""What an execution costs in calls and items, counted where they arrive; the tables of docs/aws.md are these."""

import subprocess
import sys
from typing import Any

from enactor.conformance.aws import Emulator
from enactor.conformance.aws.stores import opened
from enactor.conformance.clocks import ManualClock
from enactor.conformance.world import ANA, open_world
from enactor.domain.attempt import RunStatus
from enactor.stores.dynamodb.book import Shape


def counted(emulator: Emulator) -> tuple[int, int, int]:
    """Write transactions, their items, and reading calls since the last count."""
    counts = emulator.counts()
    emulator.count_anew()
    items = sum(number for name, number in counts["items"].items() if name.startswith("TransactWriteItems"))
    calls = counts["calls"]
    writes = calls.pop("TransactWriteItems", 0)
    return writes, items, sum(calls.values())


async def test_an_execution_takes_few_items(dynamo: Any, emulator: Emulator) -> None:
    """From a proposal to an outcome: four transactions, two of them for the run, with so many items each."""
    clock = ManualClock()
    store = await opened(dynamo, clock, Shape())
    world = await open_world(store, clock)
    await world.run(await world.approved())
    await store.last_position()
    emulator.count_anew()
    intent = await world.proposed()
    assert counted(emulator)[:2] == (1, 9)
    decided = await world.service.decisions.approve(ANA, intent.action_intent_id, intent.approval_digest)
    assert counted(emulator)[:2] == (1, 11)
    await world.run(decided.intent)
    writes, items, reads = counted(emulator)
    assert (writes, items) == (2, 21)
    assert reads <= 6
    assert await world.status(intent) is RunStatus.SUCCEEDED
    await store.close()


async def test_a_process_that_knows_nothing_reads_little_more(dynamo: Any, emulator: Emulator) -> None:
    """A function that has just been started runs an intent with the same transactions and at most two reads more."""
    clock = ManualClock()
    store = await opened(dynamo, clock, Shape())
    world = await open_world(store, clock)
    intent = await world.approved()
    cold = await opened(dynamo, clock)
    emulator.count_anew()
    world.store = cold
    await world.run(intent, driver=world.driver(cold))
    writes, items, reads = counted(emulator)
    assert (writes, items) == (2, 21)
    assert reads <= 8
    await cold.close()
    await store.close()


async def test_placing_is_one_transaction_for_many_entries(dynamo: Any, emulator: Emulator) -> None:
    """Ninety entries get their positions in one transaction, and a reader finds nothing left to do."""
    clock = ManualClock()
    store = await opened(dynamo, clock)
    world = await open_world(store, clock)
    while await store.last_position() < 8:
        await world.run(await world.approved())
    for _ in range(8):
        await world.run(await world.approved())
    emulator.count_anew()
    before = await store.last_position()
    assert counted(emulator)[0] == 1
    assert await store.last_position() == before
    assert counted(emulator)[0] == 0
    await store.close()


def test_the_store_is_imported_without_the_sdk() -> None:
    """A function pays for importing what it needs: no SDK before the store is opened, and never a web framework."""
    heavy = "{'botocore', 'boto3', 'pydantic', 'fastapi', 'httpx', 'cedarpy'}"
    program = f"import sys, enactor.stores.dynamodb; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
