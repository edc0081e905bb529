"""The sequencer, signed checkpoints, proofs and the alarm, over a store with a ledger in it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from enactor.conformance.builders import TENANT
from enactor.conformance.clocks import ManualClock
from enactor.domain.errors import ConfigurationError, Forbidden, InvalidInput, NotFound, Unavailable
from enactor.domain.ledger import LedgerEvent
from enactor.domain.log import LogCheckpoint, leaf_of
from enactor.domain.merkle import EMPTY_ROOT, Place, includes, is_consistent
from enactor.domain.note import Algorithm, Signer, parse_checkpoint, parse_note
from enactor.domain.principal import Principal, Role
from enactor.ports.commands import Conflict, ConflictKind
from enactor.ports.store import Store
from enactor.service.keeper import LedgerKeeper
from enactor.service.sequencer import CURSOR, Sequencer
from enactor.stores.memory import MemoryStore
from enactor.stores.sqlite import SqliteStore
from tests.bundles import OTHER, SIGNER
from tests.service.log_rig import Rig

AUDITOR = Principal(iss="i", sub="audrey", tenant_id=TENANT, account_ids=("*",), roles=frozenset({Role.AUDITOR}))
LIMITED = Principal(iss="i", sub="li", tenant_id=TENANT, account_ids=("south",), roles=frozenset({Role.AUDITOR}))
WITNESS = OTHER.verifier("witness.example/w", Algorithm.WITNESS)


@pytest.fixture
def rig() -> Rig:
    """Over the memory store."""
    clock = ManualClock()
    return Rig(MemoryStore(clock), clock)


def root_of(checkpoint: LogCheckpoint) -> bytes:
    """What its note says."""
    return parse_checkpoint(parse_note(checkpoint.note).text).root


# -- the sequencer ---------------------------------------------------------------------------------------------------


async def test_chains_become_one_log(rig: Rig) -> None:
    """A tenant's log has its entries in the order of their positions, and so of `seq`, as an independent tree does."""
    for number in range(30):
        await rig.write(3, f"account-{number % 4}")
        await rig.write(2, "north", "globex")
        if number % 7 == 0:
            await rig.log.sequencer.merge()
    await rig.log.sequencer.merge()
    for tenant_id, size in ((TENANT, 90), ("globex", 60)):
        head = await rig.store.log_head(tenant_id)
        assert head is not None
        tree = await rig.theirs(tenant_id)
        assert (head.size, head.root) == (size, tree.get_root().hex())
    entries = [it for it in await rig.store.entries_after(0, 1_000) if it.tenant_id == TENANT]
    leaves = await rig.store.log_leaves(TENANT, [entry.entry_id for entry in entries])
    assert [leaves[entry.entry_id].leaf_index for entry in entries] == list(range(90))
    assert await rig.store.delivery_cursor(CURSOR) == await rig.store.last_position()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_many_sequencers_make_one_log(kind: str, tmp_path: Path) -> None:
    """However they interleave while entries are being written, no entry is lost, doubled or out of its place."""
    clock = ManualClock()
    store: Store = MemoryStore(clock)
    if kind == "sqlite":
        store = await SqliteStore.open(tmp_path / "enactor.db", clock=clock)
    rig = Rig(store, clock)
    others = [Sequencer(store, clock) for _ in range(3)]

    async def keep(sequencer: Sequencer) -> None:
        for _ in range(15):
            await sequencer.merge()
            await asyncio.sleep(0)

    async def write() -> None:
        for number in range(40):
            await rig.write(5, f"account-{number % 3}")

    await asyncio.gather(write(), keep(rig.log.sequencer), *(keep(it) for it in others))
    await asyncio.gather(*(it.merge() for it in others))
    head = await store.log_head(TENANT)
    assert head is not None
    assert (head.size, head.root) == (200, (await rig.theirs()).get_root().hex())
    await store.close()


async def test_a_crash_between_log_and_cursor_changes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor is only a shortcut: a sequencer that begins at an earlier one skips what is merged."""
    await rig.write(10)

    async def lost(name: str, position: int) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(rig.store, "move_delivery_cursor", lost)
        with pytest.raises(ConnectionResetError):
            await rig.log.sequencer.merge()
    await rig.write(3)
    await Sequencer(rig.store, rig.clock).merge()
    head = await rig.store.log_head(TENANT)
    assert head is not None
    assert (head.size, head.root) == (13, (await rig.theirs()).get_root().hex())


# -- checkpoints -----------------------------------------------------------------------------------------------------


async def test_a_checkpoint_is_signed_stored_and_published(rig: Rig) -> None:
    """It covers everything committed before it, its entry carries the note, and its key is published."""
    with pytest.raises(NotFound):
        await rig.log.newest(AUDITOR)
    await rig.write(5)
    made = await rig.log.newest(AUDITOR)
    assert (made.size, root_of(made).hex()) == (5, (await rig.theirs()).get_root(5).hex())
    note = parse_note(made.note)
    assert SIGNER.verifier("log.example/acme").has_signed(note) == 0
    assert await rig.store.log_checkpoint(TENANT) == made == await rig.log.newest(AUDITOR)
    assert await rig.events() == [LedgerEvent.LEDGER_KEYS_CHANGED, LedgerEvent.CHECKPOINT_PUBLISHED]
    published = (await rig.store.entries_after(6, 1))[0]
    assert made.note.split("\n")[2] in published.data
    (key,) = await rig.log.keys(AUDITOR)
    assert (key.key, key.valid_until) == (str(SIGNER.verifier("log.example/acme")), "")


async def test_checkpoints_do_not_call_for_each_other(rig: Rig) -> None:
    """Of a ledger that has grown by nothing but checkpoints no further one is made, however often somebody asks."""
    await rig.write(1)
    first = await rig.log.make(AUDITOR)
    # The keys' entry of the first one is news once.
    second = await rig.log.make(AUDITOR)
    assert second.size == 3
    for _ in range(5):
        assert await rig.log.make(AUDITOR) == second
    assert (await rig.events()).count(LedgerEvent.CHECKPOINT_PUBLISHED) == 2
    await rig.write(1)
    third = await rig.log.make(AUDITOR)
    assert (first.size, third.size) == (1, 5)


async def test_keys_are_rotated(rig: Rig) -> None:
    """Two keys sign together for a while; the old one stays published, with its end, and what it signed stays good."""
    await rig.write(1)
    old = await rig.log.make(AUDITOR)
    for signers in ([OTHER, SIGNER], [OTHER]):
        rig.clock.advance(60)
        rig.signers = signers
        await rig.write(1)
        note = parse_note((await rig.log.make(AUDITOR)).note)
        signed = [it.verifier("log.example/acme").has_signed(note) is not None for it in (SIGNER, OTHER)]
        assert signed == [SIGNER in signers, True]
    first, second = await rig.log.keys(AUDITOR)
    assert first.key == str(SIGNER.verifier("log.example/acme"))
    assert first.valid_from < second.valid_from < first.valid_until
    assert second.valid_until == ""
    assert SIGNER.verifier("log.example/acme").has_signed(parse_note(old.note)) == 0
    assert (await rig.events()).count(LedgerEvent.LEDGER_KEYS_CHANGED) == 3


async def test_without_a_key_nothing_is_signed() -> None:
    """The error says which setting is missing, or what is wrong with the key, and nothing is stored."""
    clock = ManualClock()

    def broken() -> Sequence[Signer]:
        raise ConfigurationError("ledger.signing_keys: the variable K is not set.")

    for signers, said in ((None, "set ledger.signing_keys"), (broken, "the variable K")):
        rig = Rig(MemoryStore(clock), clock, signers=signers)
        await rig.write(1)
        with pytest.raises(Unavailable, match=said):
            await rig.log.make(AUDITOR)
        assert await rig.store.log_checkpoint(TENANT) is None


async def test_two_processes_publish_one_checkpoint(rig: Rig) -> None:
    """Whoever comes second gets what the first one made."""
    await rig.write(4)
    made = await asyncio.gather(*(rig.log.make(AUDITOR) for _ in range(8)))
    assert len(await rig.store.log_checkpoints(TENANT, 100)) == len({it.size for it in made}) <= 2


# -- proofs ----------------------------------------------------------------------------------------------------------


class Counted:
    """Counts the tiles that are read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tiles = 0

    async def log_tiles(self, tenant_id: str, places: Sequence[Place]) -> dict[Place, bytes]:
        """As the store's."""
        self.tiles += len(places)
        return await self.store.log_tiles(tenant_id, places)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


async def test_an_entry_is_proven_in_few_reads() -> None:
    """The proof of any entry of 5,000 holds, and reads at most four tiles of 256: two for each level of the tree."""
    clock = ManualClock()
    store = Counted(MemoryStore(clock))
    rig = Rig(store, clock)  # type: ignore[arg-type]
    written = await rig.write(5_000)
    checkpoint = await rig.log.make(AUDITOR)
    for index in (0, 1, 255, 256, 2_500, 4_095, 4_999):
        store.tiles = 0
        proof = await rig.log.proof(AUDITOR, written[index].record.entry_id)
        assert store.tiles <= 4
        assert (proof.leaf.leaf_index, proof.checkpoint) == (index, checkpoint)
        assert includes(root_of(checkpoint), 5_000, index, leaf_of(proof.entry.hash), proof.path)
    store.tiles = 0
    between = await rig.log.consistency(AUDITOR, 3_333)
    assert store.tiles <= 4
    old = (await rig.theirs()).get_root(3_333)
    assert is_consistent(3_333, old, 5_000, root_of(checkpoint), between.path)


async def test_what_no_checkpoint_covers_yet_is_proven_too(rig: Rig) -> None:
    """One is made for it, even for the entry of a checkpoint itself, which alone is worth none."""
    await rig.write(1)
    await rig.log.make(AUDITOR)
    (late,) = await rig.write(1, "south")
    proof = await rig.log.proof(AUDITOR, late.record.entry_id)
    assert proof.checkpoint.size == proof.leaf.leaf_index + 1 == 4
    own = (await rig.store.entries_after(0, 100))[-1]
    assert own.event_type is LedgerEvent.CHECKPOINT_PUBLISHED
    again = await rig.log.proof(AUDITOR, own.entry_id)
    assert includes(root_of(again.checkpoint), again.checkpoint.size, 4, leaf_of(own.hash), again.path)


async def test_proofs_are_for_those_who_may_read_the_entry(rig: Rig) -> None:
    """Another tenant's, another account's and no entry at all look the same; other roles are refused."""
    (north,) = await rig.write(1)
    (theirs,) = await rig.write(1, "south", "globex")
    (south,) = await rig.write(1, "south")
    assert (await rig.log.proof(LIMITED, south.record.entry_id)).entry.account_id == "south"
    for entry_id in (north.record.entry_id, theirs.record.entry_id, "unknown"):
        with pytest.raises(NotFound, match="no such entry"):
            await rig.log.proof(LIMITED, entry_id)
    operator = Principal(iss="i", sub="o", tenant_id=TENANT, account_ids=("*",), roles=frozenset({Role.OPERATOR}))
    with pytest.raises(Forbidden):
        await rig.log.proof(operator, north.record.entry_id)


async def test_consistency_is_between_sizes_that_there_are(rig: Rig) -> None:
    """From nothing on; not backwards, and not beyond the log."""
    await rig.write(6)
    await rig.log.make(AUDITOR)
    assert (await rig.log.consistency(AUDITOR, 0)).path == ()
    assert (await rig.log.consistency(AUDITOR, 6)).second == 6
    for first, second in ((7, None), (4, 3), (1, 100)):
        with pytest.raises(InvalidInput):
            await rig.log.consistency(AUDITOR, first, second)
    assert EMPTY_ROOT.hex() == (await Rig(MemoryStore(rig.clock), rig.clock).log.tip(AUDITOR)).root


# -- cosignatures ----------------------------------------------------------------------------------------------------


async def test_a_cosignature_is_added_once() -> None:
    """Those of known witnesses are stored and published; others, other logs and other roots are refused."""
    clock = ManualClock()
    rig = Rig(MemoryStore(clock), clock, witnesses=(WITNESS,))
    await rig.write(3)
    made = await rig.log.make(AUDITOR)
    note = parse_note(made.note)
    signed = str(note.signed_also([OTHER.cosign(WITNESS.name, note.text, 1)]))
    for _ in range(2):
        kept = await rig.log.cosign(AUDITOR, signed)
        assert WITNESS.has_signed(parse_note(kept.note)) == 1
        assert await rig.store.log_checkpoint(TENANT, 3) == kept
    assert (await rig.events()).count(LedgerEvent.CHECKPOINT_COSIGNED) == 1
    text = note.text.replace("\n3\n", "\n2\n")
    stranger = SIGNER.cosign("witness.example/x", note.text, 1)
    other = note.text.replace("log.example/acme", "log.example/globex")
    for wrong, said in (
        (str(note.signed_also([stranger])), "No witness"),
        (made.note, "No witness"),
        (str(type(note)(other, (OTHER.cosign(WITNESS.name, other, 1),))), "another log"),
        ("nonsense", "not a signed note"),
    ):
        with pytest.raises(InvalidInput, match=said):
            await rig.log.cosign(AUDITOR, wrong)
    with pytest.raises(NotFound):
        await rig.log.cosign(AUDITOR, str(type(note)(text, (OTHER.cosign(WITNESS.name, text, 1),))))


# -- the keeper ------------------------------------------------------------------------------------------------------


@pytest.fixture
def keeper(rig: Rig) -> LedgerKeeper:
    """Merges every 2 seconds, signs every 60, looks every 5."""
    return LedgerKeeper(rig.log, rig.store, rig.clock)


async def step(rig: Rig, seconds: float, asleep: int) -> None:
    """Lets time pass, and everybody fall asleep again."""
    rig.clock.advance(seconds)
    await rig.clock.until_asleep(asleep)


async def test_the_keeper_merges_and_signs(rig: Rig, keeper: LedgerKeeper) -> None:
    """Entries are merged soon after they were written and signed at the interval, and not again without news."""
    await rig.write(3)
    await keeper.start()
    await rig.clock.until_asleep(3)
    assert await rig.store.log_head(TENANT) is None
    for _ in range(40):
        await step(rig, 2, 3)
    head = await rig.store.log_head(TENANT)
    assert head is not None
    checkpoints = await rig.store.log_checkpoints(TENANT, 100)
    assert [it.size for it in checkpoints] == [3]
    for _ in range(150):
        await step(rig, 2, 3)
    sizes = [it.size for it in await rig.store.log_checkpoints(TENANT, 100)]
    assert sizes == [5, 3]
    assert keeper.status().checkpoints == 2
    assert not keeper.status().alarm
    await keeper.stop()
    await keeper.stop()
    assert keeper.failed is not None
    assert not keeper.failed.done()


async def test_an_entry_that_stays_out_raises_an_alarm(
    rig: Rig, keeper: LedgerKeeper, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 60 seconds, whatever keeps it out; it is said once, and taken back once the entry is merged."""
    await rig.write(2)

    async def stuck(commands: object) -> None:
        raise Conflict(ConflictKind.LOG_CHANGED)

    commit = rig.store.commit
    monkeypatch.setattr(rig.store, "commit", stuck)
    with pytest.raises(Conflict):
        await rig.log.sequencer.merge()
    rig.clock.advance(59)
    await keeper.look()
    assert (keeper.status().unmerged_seconds, keeper.status().alarm) == (59, False)
    rig.clock.advance(1)
    await keeper.look()
    await keeper.look()
    assert keeper.status().alarm
    assert [record.message for record in caplog.records].count(
        "a ledger entry has been in no log for 60 seconds; see docs/ledger.md"
    ) == 1
    monkeypatch.setattr(rig.store, "commit", commit)
    await rig.log.sequencer.merge()
    await keeper.look()
    assert (keeper.status().unmerged_seconds, keeper.status().alarm) == (0, False)


async def test_tiles_that_were_changed_stop_the_log(rig: Rig, keeper: LedgerKeeper) -> None:
    """A log is not continued out of tiles that do not fit it; the keeper goes on, and says why."""
    await rig.write(3)
    await rig.log.sequencer.merge()
    store: Any = rig.store
    store._records.logs.tiles[TENANT, (0, 0)] = bytes(32)
    await rig.write(1)
    assert not await keeper._try(Sequencer(rig.store, rig.clock).merge)
    assert keeper.status().failures == 1
    assert "does not fit" in keeper.status().error


async def test_one_tenants_trouble_holds_up_no_other(
    rig: Rig, keeper: LedgerKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others' checkpoints are signed all the same, and the trouble is told."""
    for tenant in (TENANT, "globex"):
        await rig.write(1, tenant_id=tenant)
    await rig.log.sequencer.merge()
    checkpoint = rig.log.checkpoint

    async def troubled(tenant_id: str) -> LogCheckpoint:
        if tenant_id == TENANT:
            raise Unavailable("Not now.")
        return await checkpoint(tenant_id)

    monkeypatch.setattr(rig.log, "checkpoint", troubled)
    assert not await keeper._try(keeper.sign_all)
    assert (keeper.status().error, keeper.status().checkpoints) == ("Not now.", 1)
    assert await rig.store.log_checkpoint("globex") is not None
    monkeypatch.undo()
    assert await keeper._try(keeper.sign_all)
    assert await rig.store.log_checkpoint(TENANT) is not None
