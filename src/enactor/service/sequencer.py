"""The sequencer: merges the accounts' chains into their tenants' logs, after the fact and in commits of its own.

The log's order is that of positions, which is `seq` order within each chain. Each step is conditional on the head it
began from, root and all, so any number of sequencers may run: one gets ahead, the others notice and begin again from
what is there. Nobody can make a second log of the same entries.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Final

from enactor.domain.log import LogHead, LogLeaf, LogRow, LogTile, leaf_of
from enactor.domain.merkle import Growth, Place, edge_of
from enactor.domain.time import epoch_ms
from enactor.ports.clock import Clock
from enactor.ports.commands import AppendToLog, Conflict, ConflictKind
from enactor.ports.store import Store

CURSOR: Final = "ledger-log"
"""The name of the cursor up to which every tenant's entries are in their logs."""

_PAGE: Final = 2_048
_SAVED_EVERY: Final = 16 * _PAGE
_EDGES_KEPT: Final = 512
_RACES: Final = 20
_log = logging.getLogger("enactor.ledger")


class Sequencer:
    """Merges entries into logs.

    Args:
        store: whose ledger it reads and whose logs it writes.
        clock: tells how late an entry is.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._edges: OrderedDict[str, tuple[LogHead, dict[Place, bytes]]] = OrderedDict()
        self._position = -1
        self._saved = 0
        self._turn = asyncio.Lock()

    @property
    def position(self) -> int:
        """Everything up to here is merged, as far as this sequencer knows."""
        return max(self._position, 0)

    async def merge(self) -> None:
        """Merges every entry that was committed before the call.

        Raises:
            StoreFailed: the store failed.
            LookupError: the store's tiles do not fit its heads: somebody has changed them.
        """
        end = await self._store.last_position()
        async with self._turn:
            if self._position < 0:
                self._position = self._saved = await self._store.delivery_cursor(CURSOR)
            while self._position < end:
                rows = await self._store.log_feed(self._position, _PAGE)
                if not rows:
                    return
                of_tenant: defaultdict[str, list[LogRow]] = defaultdict(list)
                for row in rows:
                    of_tenant[row.tenant_id].append(row)
                await asyncio.gather(*(self._append(*item) for item in of_tenant.items()))
                self._position = rows[-1].position
                if self._position - self._saved >= _SAVED_EVERY:
                    await self._save()
            if self._position > self._saved:
                await self._save()

    async def unmerged_seconds(self) -> float:
        """How long ago the oldest entry was written that is in no log yet, whoever should have merged it; 0 for none.

        It asks the store, and not what `merge` remembers, so that it tells of a sequencer that is stuck.
        """
        position = self.position or await self._store.delivery_cursor(CURSOR)
        heads: dict[str, int] = {}
        while rows := await self._store.log_feed(position, 256):
            for row in rows:
                if row.tenant_id not in heads:
                    head = await self._store.log_head(row.tenant_id)
                    heads[row.tenant_id] = head.position if head is not None else 0
                if row.position > heads[row.tenant_id]:
                    return max(0.0, (self._clock.now_ms() - epoch_ms(row.timestamp)) / 1000)
            position = rows[-1].position
        return 0.0

    async def _save(self) -> None:
        """Moves the cursor: merely so that a later start need not look at everything again."""
        self._saved = self._position
        await self._store.move_delivery_cursor(CURSOR, self._position)

    async def _append(self, tenant_id: str, rows: Sequence[LogRow]) -> None:
        """Brings a tenant's log up to the last of `rows`, whoever does it."""
        races = 0
        while True:
            known = self._edges.pop(tenant_id) if tenant_id in self._edges else None
            head, edge = known or await self._edge(tenant_id)
            rows = [row for row in rows if row.position > head.position]
            if not rows:
                self._keep(head, edge)
                return
            batch = rows[: self._store.log_batch]
            command, edge = grown(head, edge, batch)
            try:
                await self._store.commit([command])
            except Conflict as conflict:
                # Somebody else got there first. What is there now is asked for, and whatever it lacks is added to it.
                races += 1
                if conflict.kind is not ConflictKind.LOG_CHANGED or races > _RACES:
                    raise
                continue
            self._keep(command.head, edge)

    async def _edge(self, tenant_id: str) -> tuple[LogHead, dict[Place, bytes]]:
        head = await self._store.log_head(tenant_id) or LogHead(tenant_id=tenant_id)
        return head, await self._store.log_tiles(tenant_id, edge_of(head.size))

    def _keep(self, head: LogHead, edge: dict[Place, bytes]) -> None:
        self._edges[head.tenant_id] = (head, edge)
        while len(self._edges) > _EDGES_KEPT:
            self._edges.popitem(last=False)


def grown(head: LogHead, edge: dict[Place, bytes], rows: Sequence[LogRow]) -> tuple[AppendToLog, dict[Place, bytes]]:
    """The command that adds `rows` to a log, and the log's right edge afterwards.

    Args:
        edge: the unfinished tiles of the log at `head`, as `merkle.edge_of` names them.
        rows: at least one, in the order of their positions, all after the head's.
    """
    growth = Growth(head.size, edge)
    growth.add([leaf_of(row.hash) for row in rows])
    after = LogHead(tenant_id=head.tenant_id, size=growth.size, root=growth.root().hex(), position=rows[-1].position)
    leaves = tuple(
        LogLeaf(entry_id=row.entry_id, leaf_index=head.size + at, position=row.position) for at, row in enumerate(rows)
    )
    tiles = tuple(LogTile(level=level, index=index, hashes=it) for (level, index), it in growth.changed.items())
    return AppendToLog(expected=head, head=after, leaves=leaves, tiles=tiles), growth.edge()
