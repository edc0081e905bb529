"""Evidence: a tenant's ledger, or part of it, as a bundle that anybody can check, and the check of a whole store.

The bundle's form and its check are `enactor.domain.evidence` and `enactor.domain.verification`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
import orjson
from msgspec import Raw, Struct
from msgspec.structs import replace

from enactor.domain.errors import InvalidInput
from enactor.domain.evidence import (
    ERASED,
    FORMAT,
    CheckpointLine,
    ConsistencyLine,
    End,
    EntryLine,
    Hashed,
    Header,
    PublishedKey,
    Scope,
    TileLine,
    VerificationReport,
)
from enactor.domain.ledger import ChainFault, LedgerEntry, hashed_bytes
from enactor.domain.log import LogCheckpoint, LogHead
from enactor.domain.merkle import TILE_WIDTH, Place, consistency_places, hashes_from, inclusion_places, tiles_for
from enactor.domain.trust import NOTHING, Trusted, seen
from enactor.domain.verification import BundleVerifier, Progress
from enactor.ports.store import LedgerFilter, LedgerReader

_PAGE: Final = 1_000
_ROWS: Final = 8_192
_EVERYTHING: Final = 2**62
_CHECKPOINTS: Final = 64
_TILES_KEPT: Final = 1_024
_encode: Final = msgspec.json.Encoder().encode


class Tip(Struct, frozen=True, kw_only=True):
    """What of a log is exported: its name, size, head, and the position of its last entry."""

    log: str
    size: int
    root: str
    position: int

    @classmethod
    def of_checkpoint(cls, checkpoint: LogCheckpoint, log: str) -> Tip:
        """Everything that a checkpoint covers."""
        return cls(log=log, size=checkpoint.size, root=checkpoint.root, position=checkpoint.position)


async def export_lines(
    store: LedgerReader, tenant_id: str, scope: Scope, tip: Tip, now: str, since: Sequence[int] = ()
) -> AsyncIterator[bytes]:
    """The bundle of a tenant's entries, in pieces of whole lines.

    Args:
        scope: which entries.
        tip: up to where.
        now: the time of export, RFC 3339.
        since: sizes of checkpoints that somebody holds, so that a selection has the proofs that it continues them.

    Raises:
        LookupError: the store's tiles do not fit its heads: somebody has changed them.
    """
    export = _Export(store, tenant_id, scope, tip)
    yield await export.header(now)
    async for line in export.checkpoints(since):
        yield line
    count = 0
    async for page in export.pages():
        count += len(page)
        yield b"".join([line async for line in export.entries(page, count - len(page))])
    yield _line(End(entries=count))


class _Export:
    def __init__(self, store: LedgerReader, tenant_id: str, scope: Scope, tip: Tip) -> None:
        self._store = store
        self._tenant_id = tenant_id
        self._scope = scope
        self._tip = tip
        self._tiles: OrderedDict[Place, bytes] = OrderedDict()

    async def header(self, now: str) -> bytes:
        """The first line."""
        keys = tuple(
            PublishedKey(key=key.key, valid_from=key.valid_from, valid_until=key.valid_until)
            for key in await self._store.log_keys(self._tenant_id)
        )
        tip = self._tip
        return _line(
            Header(
                format=FORMAT,
                tenant_id=self._tenant_id,
                log=tip.log,
                exported_at=now,
                scope=self._scope,
                size=tip.size,
                root=tip.root,
                keys=keys,
            )
        )

    async def checkpoints(self, since: Sequence[int]) -> AsyncIterator[bytes]:
        """The newest checkpoints, and in a selection the proofs that the log continues them and what somebody holds."""
        found = await self._store.log_checkpoints(self._tenant_id, _CHECKPOINTS, below=self._tip.size + 1)
        for checkpoint in found:
            yield _line(CheckpointLine(note=checkpoint.note, made_at=checkpoint.made_at))
        if self._scope.everything:
            return
        sizes = {*since, *(checkpoint.size for checkpoint in found)}
        for size in sorted(size for size in sizes if 0 < size < self._tip.size):
            path = await self._hashes(consistency_places(size, self._tip.size))
            yield _line(ConsistencyLine(size=size, path=path))

    async def pages(self) -> AsyncIterator[Sequence[LedgerEntry]]:
        """The entries, in the order of the log."""
        where = LedgerFilter(
            account_ids=self._scope.account_ids,
            action_intent_id=self._scope.action_intent_id,
            from_time=self._scope.from_time,
            to_time=self._scope.to_time,
        )
        token: str | None = None
        while True:
            page = await self._store.ledger(self._tenant_id, where, _PAGE, token)
            items = [entry for entry in page.items if entry.position <= self._tip.position]
            if items:
                yield items
            token = page.next_token
            if token is None or len(items) < len(page.items):
                return

    async def entries(self, page: Sequence[LedgerEntry], before: int) -> AsyncIterator[bytes]:
        """The lines of a page; of a whole ledger with the log's leaves before each 256 of them."""
        if not self._scope.everything:
            async for line in self._proven(page):
                yield line
            return
        for at, entry in enumerate(page, before):
            if at % TILE_WIDTH == 0 and at < self._tip.size:
                index = at // TILE_WIDTH
                tiles = await self._store.log_tiles(self._tenant_id, [(0, index)])
                # What the tile has beyond the end of the tree came later.
                hashes = tiles.get((0, index), b"")[: (self._tip.size - at) * 32]
                yield _line(TileLine(index=index, hashes=hashes))
            yield _line(line_of(entry))

    async def _proven(self, page: Sequence[LedgerEntry]) -> AsyncIterator[bytes]:
        leaves = await self._store.log_leaves(self._tenant_id, [entry.entry_id for entry in page])
        for entry in page:
            leaf = leaves.get(entry.entry_id)
            if leaf is None or leaf.leaf_index >= self._tip.size:
                # The log does not know it, and so it was put there: without a proof the check will say so.
                yield _line(line_of(entry))
                continue
            path = await self._hashes(inclusion_places(leaf.leaf_index, self._tip.size))
            yield _line(line_of(entry, leaf.leaf_index, path))

    async def _hashes(self, parts: Sequence[Sequence[Place]]) -> tuple[str, ...]:
        """The hashes of a proof. Neighbours share their tiles."""
        needed = tiles_for(parts)
        missing = [place for place in needed if place not in self._tiles]
        if missing:
            self._tiles.update(await self._store.log_tiles(self._tenant_id, missing))
        found = tuple(hashed.hex() for hashed in hashes_from(parts, self._tiles))
        while len(self._tiles) > _TILES_KEPT:
            self._tiles.popitem(last=False)
        return found


def line_of(entry: LedgerEntry, leaf_index: int | None = None, path: tuple[str, ...] = ()) -> EntryLine:
    """A ledger entry as a bundle has it. The position is the store's own, and proves nothing."""
    return EntryLine(
        entry=Raw(hashed_bytes(entry, entry.seq, entry.sequence, entry.prev_hash)),
        hash=entry.hash,
        data=_data_of(entry),
        salt=entry.salt,
        leaf_index=leaf_index,
        path=path,
    )


def _data_of(entry: LedgerEntry) -> Raw:
    """The data as it was committed to. What is no JSON was put there by somebody else, and shows as a text."""
    if not entry.data:
        return ERASED
    try:
        orjson.loads(entry.data)
    except ValueError:
        return Raw(_encode(entry.data))
    return Raw(entry.data.encode()) if "\n" not in entry.data else Raw(_encode(entry.data))


def _line(line: Struct) -> bytes:
    return _encode(line) + b"\n"


# -- a whole store ---------------------------------------------------------------------------------------------------


class StoreReport(Struct, frozen=True, kw_only=True):
    """What a check of a store found, by tenant; the platform's own ledger is that of the tenant ""."""

    tenants: dict[str, VerificationReport]

    @property
    def entries(self) -> int:
        """How many entries were checked."""
        return sum(report.entries for report in self.tenants.values())

    @property
    def chains(self) -> int:
        """How many chains they are in."""
        return sum(report.chains for report in self.tenants.values())

    @property
    def erased(self) -> int:
        """How many entries have lost their data."""
        return sum(report.erased for report in self.tenants.values())

    @property
    def faults(self) -> tuple[ChainFault, ...]:
        """Every fault of every tenant."""
        return tuple(fault for report in self.tenants.values() for fault in report.faults)

    @property
    def ok(self) -> bool:
        """Whether nothing was found to be altered, removed, inserted or reordered."""
        return not self.faults

    @property
    def cannot_know(self) -> tuple[str, ...]:
        """What the check says nothing about."""
        return tuple(dict.fromkeys(text for report in self.tenants.values() for text in report.cannot_know))


async def verify_store(
    store: LedgerReader, progress: Progress = lambda _: None, trusted: Trusted = NOTHING
) -> StoreReport:
    """Checks every chain and every log of every tenant in a store.

    Args:
        progress: told how many entries were checked, now and then.
        trusted: keys, and checkpoints that somebody holds; each is held against the log that it names.

    Raises:
        InvalidInput: a checkpoint that somebody holds is none, or of a log that is not in the store.
    """
    found: dict[str, VerificationReport] = {}
    held = {note: seen(note)[1].origin for note in trusted.held}
    done = 0
    strays = await _surveyed(store)
    for tenant_id in sorted(strays):
        newest = await store.log_checkpoint(tenant_id)
        log = seen(newest.note)[1].origin if newest is not None else tenant_id
        own = replace(trusted, held=tuple(note for note, origin in held.items() if origin == log))
        held = {note: origin for note, origin in held.items() if origin != log}
        found[tenant_id] = await _verify_tenant(store, tenant_id, log, own, strays[tenant_id], done, progress)
        done += found[tenant_id].entries
    if held:
        raise InvalidInput(f"No log in this store is named {min(held.values())}, as a checkpoint that you hold is.")
    return StoreReport(tenants=found)


async def _surveyed(store: LedgerReader) -> dict[str, str]:
    """Whoever has an entry, or a log, each with the first entry that is not in the log and stands among those that are.

    What streams and webhooks read has to be what the log has, also where an index does not show it. Empty where all is
    well.
    """
    ends: dict[str, int] = {}
    after: str | None = None
    while heads := await store.log_heads(_PAGE, after):
        ends.update((head.tenant_id, head.position) for head in heads)
        after = heads[-1].tenant_id
    strays = dict.fromkeys(ends, "")
    position = 0
    while rows := await store.log_feed(position, _ROWS):
        merged: dict[str, list[str]] = {}
        for row in rows:
            if not strays.setdefault(row.tenant_id, "") and row.position <= ends.get(row.tenant_id, 0):
                merged.setdefault(row.tenant_id, []).append(row.entry_id)
        for tenant_id, entry_ids in merged.items():
            leaves = await store.log_leaves(tenant_id, entry_ids)
            strays[tenant_id] = next((entry_id for entry_id in entry_ids if entry_id not in leaves), "")
        position = rows[-1].position
    return strays


async def _verify_tenant(
    store: LedgerReader, tenant_id: str, log: str, trusted: Trusted, stray: str, done: int, progress: Progress
) -> VerificationReport:
    head = await store.log_head(tenant_id) or LogHead(tenant_id=tenant_id)
    # Beyond the log's end there may be entries that are not merged yet: their chains are checked all the same.
    export = _Export(store, tenant_id, Scope(), Tip(log=log, size=head.size, root=head.root, position=_EVERYTHING))
    verifier = BundleVerifier(trusted)
    verifier.feed(await export.header(""))
    async for line in export.checkpoints(()):
        verifier.feed(line)
    async for page in export.pages():
        before = verifier.entries
        async for line in export.entries(page, before):
            verifier.feed(line)
        if not verifier.faults:
            await _check_places(store, tenant_id, verifier, page, before, head.size)
        progress(done + verifier.entries)
    if stray and not verifier.faults:
        verifier.report(f"the entry {stray} is not in the log, and stands among those that are: inserted", None)
    verifier.feed(_line(End(entries=verifier.entries)))
    return verifier.finish()


async def _check_places(
    store: LedgerReader, tenant_id: str, verifier: BundleVerifier, page: Sequence[LedgerEntry], before: int, size: int
) -> None:
    """Entries have to be where the log says that they are: by that they are found."""
    leaves = await store.log_leaves(tenant_id, [entry.entry_id for entry in page])
    for at, entry in enumerate(page[: max(0, size - before)], before):
        leaf = leaves.get(entry.entry_id)
        if leaf is None or (leaf.leaf_index, leaf.position) != (at, entry.position):
            place = Hashed(
                tenant_id=tenant_id,
                account_id=entry.account_id,
                seq=entry.seq,
                prev_hash=entry.prev_hash,
                data_commitment=entry.data_commitment,
                event_type=entry.event_type.value,
                action_intent_id=entry.action_intent_id,
                entry_id=entry.entry_id,
            )
            verifier.report("it is not where the log says that it is: moved", place)
            return
