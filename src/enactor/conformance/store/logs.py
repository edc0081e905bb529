"""The Merkle logs: heads that only one sequencer can move, tiles, leaves, checkpoints and keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.store.base import StoreSuite, refused
from enactor.domain.log import LogCheckpoint, LogHead, LogKey, LogLeaf, LogRow, LogTile, leaf_of
from enactor.domain.merkle import Growth, edge_of
from enactor.ports.commands import AppendToLog, Conflict, ConflictKind, CosignCheckpoint, KeepCheckpoint, PutLogKey
from enactor.ports.store import Store


async def grown(store: Store, head: LogHead, rows: Sequence[LogRow]) -> AppendToLog:
    """The command that makes a log grow from `head` by `rows`."""
    growth = Growth(head.size, await store.log_tiles(head.tenant_id, edge_of(head.size)))
    growth.add([leaf_of(row.hash) for row in rows])
    return AppendToLog(
        expected=head,
        head=LogHead(tenant_id=head.tenant_id, size=growth.size, root=growth.root().hex(), position=rows[-1].position),
        leaves=tuple(
            LogLeaf(entry_id=row.entry_id, leaf_index=head.size + at, position=row.position)
            for at, row in enumerate(rows)
        ),
        tiles=tuple(
            LogTile(level=level, index=index, hashes=hashes) for (level, index), hashes in growth.changed.items()
        ),
    )


async def written(store: Store, build: Builder, count: int, tenant_id: str = TENANT) -> tuple[LogRow, ...]:
    """So many entries of a tenant, in the ledger and in no log."""
    after = await store.last_position()
    for begin in range(0, count, 50):
        intent = build.intent(tenant_id=tenant_id)
        await store.commit([build.entry(intent) for _ in range(min(50, count - begin))])
    return tuple(row for row in await store.log_feed(after, 10_000) if row.tenant_id == tenant_id)


def checkpoint(head: LogHead, build: Builder, note: str = "note") -> LogCheckpoint:
    """A checkpoint of a head."""
    return LogCheckpoint(
        tenant_id=head.tenant_id,
        size=head.size,
        root=head.root,
        position=head.position,
        note=f"{note} of {head.size}",
        made_at=build.now(),
    )


class LogSuite(StoreSuite):
    """What holds for logs."""

    async def test_the_feed_has_what_a_log_needs(self, store: Store, build: Builder) -> None:
        """Position, tenant, id, hash and time of every entry of every tenant, in order, and in parts."""
        await written(store, build, 2)
        await written(store, build, 1, "globex")
        await store.commit([build.entry(None, tenant_id="", account_id="_system")])
        entries = await store.entries_after(0, 10)
        expected = [LogRow(it.position, it.tenant_id, it.entry_id, it.hash, it.timestamp) for it in entries]
        assert list(await store.log_feed(0, 10)) == expected
        assert [row.tenant_id for row in expected] == [TENANT, TENANT, "globex", ""]
        assert list(await store.log_feed(1, 2)) == expected[1:3]
        assert await store.log_feed(expected[-1].position, 10) == ()

    async def test_a_log_grows_by_what_follows(self, store: Store, build: Builder) -> None:
        """In steps of any size its head, tiles and leaves are those of all entries at once; logs are apart."""
        rows = await written(store, build, 300)
        theirs = await written(store, build, 3, "globex")
        assert await store.log_head(TENANT) is None
        head = LogHead(tenant_id=TENANT)
        for begin, end in ((0, 1), (1, 3), (3, 60), (60, 256), (256, 257), (257, 300)):
            for first in range(begin, end, store.log_batch):
                command = await grown(store, head, rows[first : min(end, first + store.log_batch)])
                await store.commit([command])
                head = command.head
                assert await store.log_head(TENANT) == head
        other = await grown(store, LogHead(tenant_id="globex"), theirs)
        await store.commit([other])
        whole = Growth()
        whole.add([leaf_of(row.hash) for row in rows])
        assert (head.size, head.root, head.position) == (300, whole.root().hex(), rows[-1].position)
        places = [(0, 0), (0, 1), (1, 0)]
        assert await store.log_tiles(TENANT, [*places, (0, 2), (2, 0)]) == whole.changed
        assert list(whole.changed) == [(0, 0), (0, 1), (1, 0)]
        assert await store.log_tiles("globex", places) == {(0, 0): other.tiles[0].hashes}
        asked = [rows[0].entry_id, rows[299].entry_id, theirs[0].entry_id, "unknown"]
        found = await store.log_leaves(TENANT, asked)
        assert {name: (leaf.leaf_index, leaf.position) for name, leaf in found.items()} == {
            rows[0].entry_id: (0, rows[0].position),
            rows[299].entry_id: (299, rows[299].position),
        }
        assert await store.log_heads(10) == (head, other.head)
        assert await store.log_heads(1) == (head,)
        assert await store.log_heads(10, TENANT) == (other.head,)

    async def test_two_sequencers_cannot_fork_a_log(self, store: Store, build: Builder) -> None:
        """Of many that append to the same head one succeeds; the others learn what is there, and nothing is mixed."""
        rows = await written(store, build, 6)
        start = LogHead(tenant_id=TENANT)
        attempts = [await grown(store, start, rows[:count]) for count in (3, 2, 3, 1)]
        results = await asyncio.gather(*(store.commit([it]) for it in attempts), return_exceptions=True)
        (won,) = [command for command, result in zip(attempts, results, strict=True) if result is None]
        lost = [result for result in results if isinstance(result, Conflict)]
        assert [(it.kind, it.current) for it in lost] == [(ConflictKind.LOG_CHANGED, won.head)] * 3
        assert await store.log_head(TENANT) == won.head
        assert await store.log_tiles(TENANT, [(0, 0)]) == {(0, 0): won.tiles[0].hashes}
        assert len(await store.log_leaves(TENANT, [row.entry_id for row in rows])) == won.head.size
        # The size alone is not enough: a log of other entries is another log.
        forged = replace(won.head, root="0" * 64)
        other = await grown(store, won.head, rows[won.head.size :])
        await refused(store, build, ConflictKind.LOG_CHANGED, [replace(other, expected=forged)])
        await store.commit([other])
        assert await store.log_head(TENANT) == other.head

    async def test_checkpoints_only_grow(self, store: Store, build: Builder) -> None:
        """One is stored once, for no more than the log has, and found as the newest or by its size."""
        rows = await written(store, build, 5)
        assert await store.log_checkpoint(TENANT) is None
        sizes = {}
        head = LogHead(tenant_id=TENANT)
        for count in (2, 3, 5):
            command = await grown(store, head, rows[head.size : count])
            await refused(
                store, build, ConflictKind.LOG_CHANGED, [KeepCheckpoint(checkpoint=checkpoint(command.head, build))]
            )
            await store.commit([command])
            head = command.head
            sizes[count] = checkpoint(head, build)
            await store.commit([KeepCheckpoint(checkpoint=sizes[count])])
            again = await refused(
                store, build, ConflictKind.LOG_CHANGED, [KeepCheckpoint(checkpoint=checkpoint(head, build, "other"))]
            )
            assert again.current == sizes[count]
        assert await store.log_checkpoint(TENANT) == sizes[5]
        assert await store.log_checkpoint(TENANT, 3) == sizes[3]
        assert await store.log_checkpoint(TENANT, 4) is None
        assert await store.log_checkpoint("globex") is None
        assert await store.log_checkpoints(TENANT, 2) == (sizes[5], sizes[3])
        assert await store.log_checkpoints(TENANT, 9, below=5) == (sizes[3], sizes[2])

    async def test_a_cosignature_replaces_the_note_it_was_made_for(self, store: Store, build: Builder) -> None:
        """Of two that add to the same note the second is told of the first; an unknown checkpoint takes none."""
        rows = await written(store, build, 2)
        command = await grown(store, LogHead(tenant_id=TENANT), rows)
        known = checkpoint(command.head, build)
        await store.commit([command])
        await store.commit([KeepCheckpoint(checkpoint=known)])
        signed = replace(known, note=known.note + " and one")
        await store.commit([CosignCheckpoint(checkpoint=signed, expected_note=known.note)])
        late = CosignCheckpoint(checkpoint=replace(known, note=known.note + " and two"), expected_note=known.note)
        assert (await refused(store, build, ConflictKind.VERSION_CHANGED, [late])).current == signed
        nowhere = CosignCheckpoint(checkpoint=replace(known, size=1), expected_note=known.note)
        await refused(store, build, ConflictKind.NOT_FOUND, [nowhere])
        assert await store.log_checkpoints(TENANT, 9) == (signed,)

    async def test_keys_stay_published(self, store: Store, build: Builder) -> None:
        """In the order in which they were taken into use, each with its own validity; tenants are apart."""
        first = LogKey(tenant_id=TENANT, key="log+b", valid_from="2026-01-01T00:00:00.000Z")
        second = LogKey(tenant_id=TENANT, key="log+a", valid_from="2026-02-01T00:00:00.000Z")
        theirs = replace(first, tenant_id="globex")
        ended = replace(first, valid_until=second.valid_from)
        await store.commit([PutLogKey(key=second), PutLogKey(key=theirs)])
        await store.commit([PutLogKey(key=first)])
        await store.commit([PutLogKey(key=ended)])
        assert await store.log_keys(TENANT) == (ended, second)
        assert await store.log_keys("globex") == (theirs,)
        assert await store.log_keys("") == ()
