"""The checkpointer: logs that grow by schedule, signed with a key of Secrets Manager, and stay one log in a race."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.aws.generator.template import template
from enactor.conformance.aws.stores import opened
from enactor.conformance.clocks import ManualClock
from enactor.conformance.target import Killed
from enactor.conformance.world import TENANT, World, open_world
from enactor.domain.errors import Unavailable
from enactor.domain.ledger import LedgerEvent
from enactor.domain.log import leaf_of
from enactor.domain.merkle import Growth
from enactor.domain.note import Signer, parse_key, parse_note
from enactor.functions.checkpointer import checkpoint_all, keeper_of
from enactor.functions.composition import Parts
from enactor.functions.environment import environment
from enactor.functions.publisher import publish_from
from enactor.functions.services import KeptSigners
from enactor.service.keeper import LedgerKeeper
from enactor.stores.dynamodb import DynamoStore
from tests.aws.deployed import Deployed, Left
from tests.aws.test_grants import NoBus

VARIABLES = {"ENACTOR_STORE": "dynamodb://eu-central-1", "ENACTOR_LEDGER__SIGNING_KEYS": "env:LOG_KEY"}


def parts_of(store: Any, world: World, **variables: str) -> Parts:
    """A function's parts over a store of the test's."""
    given = environment({**VARIABLES, **variables})
    return Parts(environment=given, store=store, clock=world.clock, context=world.ctx)


@pytest.fixture
def signing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment."""
    monkeypatch.setenv("LOG_KEY", Signer(Ed25519PrivateKey.generate()).pem())


class Dying:
    """A store under which a process dies, once: before or after its write of that number."""

    def __init__(self, store: Any, number: int, *, after: bool) -> None:
        self._store, self._number, self._after = store, number, after
        self.writes = 0

    async def commit(self, commands: Any) -> None:
        """Commits, unless this is where it dies."""
        await self._write(self._store.commit, commands)

    async def move_delivery_cursor(self, name: str, position: int) -> None:
        """As `commit`."""
        await self._write(self._store.move_delivery_cursor, name, position)

    async def _write(self, write: Callable[..., Any], *given: Any) -> None:
        self.writes += 1
        if self.writes == self._number and not self._after:
            raise Killed
        await write(*given)
        if self.writes == self._number:
            raise Killed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Logs:
    """A ledger in which something has happened, and checkpointers with a store each."""

    def __init__(self, client: Any, clock: ManualClock, world: World) -> None:
        self._client, self.clock, self.world = client, clock, world
        self.stores: list[Any] = [world.store]

    async def store(self) -> DynamoStore:
        """Another process's store."""
        store = await opened(self._client, self.clock)
        self.stores.append(store)
        return store

    async def keeper(self, **variables: str) -> LedgerKeeper:
        """Another process's checkpointer."""
        return keeper_of(parts_of(await self.store(), self.world, **variables))

    async def write(self, times: int = 3) -> None:
        """Some entries."""
        for _ in range(times):
            await self.world.proposed("unsafe")

    async def whole(self) -> int:
        """The log's size, after the tree was made anew from the ledger and found to be the log's."""
        store = await self.store()
        head = await store.log_head(TENANT)
        assert head is not None
        rows = [row for row in await store.log_feed(0, 10_000) if row.tenant_id == TENANT][: head.size]
        tree = Growth(0, {})
        tree.add([leaf_of(row.hash) for row in rows])
        assert tree.root().hex() == head.root
        leaves = await store.log_leaves(TENANT, [row.entry_id for row in rows])
        assert sorted(leaf.leaf_index for leaf in leaves.values()) == list(range(head.size))
        return head.size


@pytest.fixture
async def logs(dynamo: Any, signing: None) -> Any:
    """The ledger, with entries."""
    clock = ManualClock()
    made = Logs(dynamo, clock, await open_world(await opened(dynamo, clock), clock))
    await made.write()
    yield made
    for store in made.stores:
        await store.close()


async def test_a_round_merges_signs_and_says_how_late_it_is(logs: Logs, capsys: pytest.CaptureFixture[str]) -> None:
    """Once per change; the checkpoint is an entry, which the publisher takes to the bus with its note."""
    keeper = await logs.keeper()
    made = await checkpoint_all(keeper, "cc-native")
    assert made["checkpoints"] >= 1
    # What is left is the word of the checkpoint itself, just written.
    assert made["unmerged_seconds"] == 0
    # That a key signs for the first time is in the ledger, and news too; after that there is nothing more.
    assert (await checkpoint_all(keeper, "cc-native"))["checkpoints"] == made["checkpoints"]
    assert await checkpoint_all(keeper, "cc-native") == {"checkpoints": 0, "unmerged_seconds": 0}
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["CheckpointsPublished"] for line in metrics] == [made["checkpoints"], made["checkpoints"], 0]
    assert {line["UnmergedSeconds"] for line in metrics} == {0}
    store = logs.world.store
    checkpoint = await store.log_checkpoint(TENANT)
    assert checkpoint is not None
    (key,) = await store.log_keys(TENANT)
    assert parse_key(key.key).has_signed(parse_note(checkpoint.note)) is not None
    seen: list[dict[str, Any]] = []

    class Bus(NoBus):
        async def put(self, events: Any) -> list[int]:
            seen.extend(detail for kind, detail in events if kind == LedgerEvent.CHECKPOINT_PUBLISHED.value)
            return []

    await publish_from(parts_of(store, logs.world), Bus("bus"), Left())
    notes = [event["data"]["checkpoint"] for event in seen if event["data"]["tenant_id"] == TENANT]
    assert (len(notes), notes[-1]) == (2, checkpoint.note)
    await logs.whole()


async def test_two_checkpointers_make_one_log(logs: Logs) -> None:
    """Begun from the same head, each conditional on it: no entry is in the log twice, and none is left out."""
    first, second = await logs.keeper(), await logs.keeper()
    for _ in range(3):
        await logs.write(2)
        await asyncio.gather(first.round(), second.round())
        assert (first.status().failures, second.status().failures) == (0, 0)
    entries = [row for row in await logs.world.store.log_feed(0, 10_000) if row.tenant_id == TENANT]
    await first.round()
    assert await logs.whole() == len(entries)
    sizes = [it.size for it in await logs.world.store.log_checkpoints(TENANT, 100)]
    assert len(sizes) == len(set(sizes))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_one_that_dies_leaves_nothing_to_mend(logs: Logs, after: bool) -> None:
    """It dies before or after each of its writes in turn; the next one, elsewhere, goes on from what is there."""
    number = 0
    while True:
        number += 1
        await logs.write(1)
        store = Dying(await logs.store(), number, after=after)
        with contextlib.suppress(Killed):
            await checkpoint_all(keeper_of(parts_of(store, logs.world)), "cc-native")
        if store.writes < number:
            break
        await checkpoint_all(await logs.keeper(), "cc-native")
    # It merges, moves the cursor, and publishes.
    assert number == 4
    assert await logs.whole() >= 3 + number


async def test_a_log_that_cannot_be_signed_is_merged_all_the_same(
    logs: Logs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function fails, says why without the key, and counts it; with the key it goes on. Entries left out show."""
    monkeypatch.setenv("LOG_KEY", "-----BEGIN PRIVATE KEY-----\nnonsense")
    keeper = await logs.keeper()
    with pytest.raises(Unavailable) as failed:
        await checkpoint_all(keeper, "cc-native")
    assert "nonsense" not in failed.value.message
    line = json.loads(capsys.readouterr().out)
    assert (line["CheckpointFailures"], line["CheckpointsPublished"], line["UnmergedSeconds"]) == (1, 0, 0)
    assert await logs.whole() > 0
    without = await logs.keeper(ENACTOR_LEDGER__SIGNING_KEYS="")
    with pytest.raises(Unavailable, match="signing_keys"):
        await checkpoint_all(without, "cc-native")
    monkeypatch.setenv("LOG_KEY", Signer(Ed25519PrivateKey.generate()).pem())
    assert (await checkpoint_all(keeper, "cc-native"))["checkpoints"] > 0


async def test_an_entry_that_stays_out_raises_the_alarm(
    logs: Logs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that is stuck is told by the metric that the alarm watches, with the threshold that the alarm has."""
    keeper = await logs.keeper()
    await checkpoint_all(keeper, "cc-native")
    await logs.write(1)
    logs.clock.advance(61)

    async def stuck() -> None:
        raise LookupError("tile")

    monkeypatch.setattr(keeper._tenant_log.sequencer, "merge", stuck)
    with pytest.raises(Unavailable):
        await checkpoint_all(keeper, "cc-native")
    seconds = json.loads(capsys.readouterr().out.splitlines()[-1])["UnmergedSeconds"]
    alarm = template()["Resources"]["LedgerLateAlarm"]["Properties"]
    assert (alarm["MetricName"], alarm["ComparisonOperator"]) == ("UnmergedSeconds", "GreaterThanOrEqualToThreshold")
    assert alarm["Threshold"] <= seconds <= 62


def test_keys_are_read_once_a_minute(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many logs they sign; a new key is taken up after that."""
    first, second = (Signer(Ed25519PrivateKey.generate()) for _ in range(2))
    monkeypatch.setenv("LOG_KEY", first.pem())
    kept = KeptSigners(["env:LOG_KEY"], clock)
    assert [it.public for it in kept()] == [first.public]
    monkeypatch.setenv("LOG_KEY", second.pem())
    assert [it.public for it in kept()] == [first.public]
    clock.advance(60)
    assert [it.public for it in kept()] == [second.public]


def test_the_deployed_functions_keep_the_ledger(deploy: Callable[..., Deployed]) -> None:
    """The handlers, with the template's environment and the key in Secrets Manager: the schedule's checkpoint and its
    proofs are what the API shows, checked here by the log's key alone.
    """
    deployed = deploy(LedgerOrigin="enactor.example.com")
    deployed.proposed(title="First")
    assert deployed.invoke("checkpointer", {})["checkpoints"] >= 1
    auditor = deployed.token("auditor", subject="audrey")
    status, checkpoint = deployed.ask("GET", "/v1/ledger/checkpoint", auditor)
    assert status == 200
    _, keys = deployed.ask("GET", "/v1/ledger/keys", auditor)
    key = parse_key(keys["items"][0]["key"])
    assert key.name == "enactor.example.com/acme"
    assert key.has_signed(parse_note(checkpoint["checkpoint"])) is not None
    # Proposed after the schedule's last round: the API merges and signs by itself, with the same key.
    deployed.proposed(title="Second")
    _, ledger = deployed.ask("GET", "/v1/ledger", auditor)
    entry = max(ledger["items"], key=lambda it: it["position"])
    status, proof = deployed.ask("GET", f"/v1/ledger/proof/{entry['entry_id']}", auditor)
    assert status == 200
    assert key.has_signed(parse_note(proof["checkpoint"])) is not None
    found = hashlib.sha256(b"\0" + bytes.fromhex(entry["hash"])).digest()
    root = root_from(proof["leaf_index"], proof["tree_size"], found, map(bytes.fromhex, proof["inclusion_path"]))
    assert root.hex() == proof["root_hash"]
    made = deployed.ask("POST", "/v1/ledger/checkpoint", auditor, {})
    assert made[0] == 200
    where = f"/v1/ledger/consistency?from={checkpoint['size']}&to={made[1]['size']}"
    assert deployed.ask("GET", where, auditor)[0] == 200


def root_from(index: int, size: int, found: bytes, path: Any) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, section 2.1.3.2)."""
    node, last = index, size - 1
    for sibling in path:
        if node % 2 or node == last:
            found = hashlib.sha256(b"\1" + sibling + found).digest()
            while not node % 2 and node:
                node, last = node // 2, last // 2
        else:
            found = hashlib.sha256(b"\1" + found + sibling).digest()
        node, last = node // 2, last // 2
    return found
