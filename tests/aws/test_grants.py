"""What each function asks of DynamoDB, counted and held against its role, in both directions.

The functions' code runs over the store and its emulator, each function with a client of its own that is watched.
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.aws.generator.functions import FUNCTIONS, WRITERS
from deploy.aws.generator.template import template
from enactor.conformance.aws.stores import opened
from enactor.conformance.clocks import ManualClock
from enactor.conformance.engine import SCENARIOS, EngineConformance, quiet
from enactor.conformance.target import Act
from enactor.conformance.world import ACCOUNT, ANA, TENANT, World, open_world
from enactor.domain.attempt import RunStatus
from enactor.domain.note import Signer
from enactor.functions.checkpointer import checkpoint_all, keeper_of
from enactor.functions.clients import Bus
from enactor.functions.composition import Parts
from enactor.functions.environment import environment
from enactor.functions.publisher import publish_from
from enactor.ports.commands import CreateObject, DeleteObject, InternalObject
from enactor.stores.dynamodb import DynamoStore
from tests.aws.iam import Grant, granted, needed
from tests.engines.interpreter import SimulatedAws

Call = tuple[str, str, dict[str, Any]]


class Watching:
    """A client of DynamoDB whose calls are noted under a function's name."""

    def __init__(self, client: Any, function: str, calls: list[Call]) -> None:
        self._client, self._function, self._calls = client, function, calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        operation = "".join(part.capitalize() for part in name.split("_"))

        def noted(**parameters: Any) -> Any:
            self._calls.append((self._function, operation, parameters))
            return method(**parameters)

        return noted if callable(method) and name not in ("close", "get_paginator", "get_waiter") else method


class Functions:
    """The functions' stores, and what they asked."""

    def __init__(self, client: Any, clock: ManualClock) -> None:
        self._client, self._clock = client, clock
        self.calls: list[Call] = []
        self.stores: dict[str, DynamoStore] = {}

    async def open(self) -> None:
        """Opens a store for each function. The sweeper's is the first, as after a deployment."""
        for name in ["sweeper", *(function.name for function in FUNCTIONS if function.name != "sweeper")]:
            self.stores[name] = await opened(Watching(self._client, name, self.calls), self._clock)

    def grants(self) -> set[Grant]:
        """What the calls need."""
        return {grant for call in self.calls for grant in needed(call[0], "dynamodb", call[1], _named(call[2]))}


def _named(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the deployment's prefix in place of the emulator's."""
    found: dict[str, Any] = json.loads(json.dumps(parameters, default=str))
    return found


@pytest.fixture
async def functions(dynamo: Any) -> Any:
    """A world whose functions each have a store of their own, over one set of tables."""
    clock = ManualClock()
    made = Functions(dynamo, clock)
    await made.open()
    world = await open_world(made.stores["api"], clock)
    yield made, world
    for store in made.stores.values():
        await store.close()


class NoBus(Bus):
    """Takes every event."""

    async def put(self, events: Any) -> list[int]:
        """All of them."""
        return []


async def everything(made: Functions, world: World, aws: SimulatedAws) -> None:
    """Every way that a run can take, what the schedules do, and somebody who looks and decides."""
    world.service = world.service_with(aws)
    await aws.start()
    for kind, script, _ in SCENARIOS.values():
        world.target.script(*script)
        await EngineConformance.ended(world, aws, await world.approved(kind))
    world.target.script(Act.REFUSE)
    stopped = await world.approved("keyed")
    await quiet(aws)
    await world.service.decisions.cancel(ANA, stopped.action_intent_id)
    world.target.script(Act.DO_AND_DIE)
    await EngineConformance.ended(world, aws, await world.approved("keyed"))
    await world.service.operations.set_switch(ANA, "tenant", enabled=True, reason="stop")
    await EngineConformance.ended(world, aws, await world.approved("keyed"))
    await world.proposed("keyed", expires_in_seconds=1)
    world.clock.advance(3_600)
    note = InternalObject(
        object_id="note_1",
        tenant_id=TENANT,
        account_id=ACCOUNT,
        object_type="note",
        creation_key="key",
        version=1,
        created_at="2026-01-01T00:00:00.000Z",
        body={},
    )
    await made.stores["invoker"].commit([CreateObject(object=note)])
    assert await made.stores["recoverer"].object_by_key(TENANT, "key") == note
    await made.stores["compensator"].commit([DeleteObject(tenant_id=TENANT, object_id="note_1", expected_version=1)])
    # The sweeper's own work, with its own store.
    world.store = made.stores["sweeper"]
    await world.service_with(aws).decisions.expire_due()


def counted(calls: list[Call], since: int = 0) -> Counter[tuple[str, str]]:
    """How often each function asked for what."""
    return Counter((function, operation) for function, operation, _ in calls[since:])


async def test_what_a_run_costs(functions: tuple[Functions, World]) -> None:
    """Three write transactions; reads, items and invocations of a run that is done at once, as docs/aws.md says."""
    made, world = functions
    aws = SimulatedAws(world, store_of=cast(Callable[[str], Any], made.stores.__getitem__))
    intent = await world.approved("unsafe")
    since = len(made.calls)
    await aws.submit(world.request(intent))
    assert await EngineConformance.ended(world, aws, intent) is RunStatus.SUCCEEDED
    await quiet(aws)
    writes = [call for call in made.calls[since:] if call[1] == "TransactWriteItems" and call[0] != "api"]
    assert [function for function, _, _ in writes] == ["validator", "invoker", "invoker"]
    assert aws.invoked == ["StartExecution", "ValidatePreflight", "MapActionToTool", "InvokeTool", "RecordOutcome"]
    assert [len(call[2]["TransactItems"]) for call in writes] == [8, 8, 9]
    reads = counted(made.calls, since)
    assert sum(times for (function, operation), times in reads.items() if operation == "GetItem") <= 14
    assert sum(times for (function, operation), times in reads.items() if operation == "BatchGetItem") <= 8
    snapshots = {function: times for (function, operation), times in reads.items() if operation == "TransactGetItems"}
    assert sum(times for function, times in snapshots.items() if function != "api") <= 5


async def test_every_call_is_granted_and_every_grant_is_used(
    functions: tuple[Functions, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over every way that a run can take. The API, which reads everything for people, is held to its grants alone."""
    made, world = functions
    aws = SimulatedAws(world, store_of=cast(Callable[[str], Any], made.stores.__getitem__))
    await everything(made, world, aws)
    read = environment({"ENACTOR_STORE": "dynamodb://us-east-1"})
    parts = Parts(environment=read, store=made.stores["publisher"], clock=cast(Any, world.clock), context=world.ctx)
    assert await publish_from(parts, NoBus("bus"), Enough()) > 20
    signer = Signer(Ed25519PrivateKey.generate())
    monkeypatch.setenv("LOG_KEY", signer.pem())
    signing = environment({"ENACTOR_STORE": "dynamodb://us-east-1", "ENACTOR_LEDGER__SIGNING_KEYS": "env:LOG_KEY"})
    keeper = keeper_of(msgspec.structs.replace(parts, environment=signing, store=made.stores["checkpointer"]))
    for _ in range(2):
        assert (await checkpoint_all(keeper, "cc-native"))["checkpoints"] > 0
    await aws.drain(5)
    tables = {grant for grant in granted(template()) if grant[1].startswith("dynamodb:")}
    asked = made.grants()
    assert asked - tables == set()
    by_writers = {grant[1:] for grant in asked if grant[0] in WRITERS}
    unused = {
        g for g in tables - asked if g[0] not in ("api", *WRITERS) or (g[0] in WRITERS and g[1:] not in by_writers)
    }
    assert unused == RARE


RARE = {
    # An expired intent's marks and an approval without a run are read by the same code as others'.
    ("sweeper", "dynamodb:GetItem", "table/action-intents"),
    ("sweeper", "dynamodb:GetItem", "table/execution-attempts"),
    ("sweeper", "dynamodb:PutItem", "table/execution-attempts"),
}
"""Grants for ways that no scenario takes."""


class Enough:
    """A function's context with time left."""

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Enough."""
        return 50_000
