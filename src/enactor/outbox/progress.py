"""How far one receiver has come in the ledger, and what it gets next."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from typing import Final

from enactor.domain.ledger import LedgerEntry
from enactor.outbox.webhooks import WebhookTarget
from enactor.ports.store import Store

_ROOM: Final = 256
_PAGE: Final = 256
_SAVED_EVERY: Final = 500
_SAVED_UNWANTED_EVERY: Final = 10_000


class Progress:
    """The receiver's place in the ledger.

    Everything up to `settled` was delivered, not wanted, or set aside, and that is what the durable cursor is moved to:
    now and then, because delivering again what was delivered shortly before a crash is within the promise.

    Args:
        consumer: the cursor's name.
        target: the receiver.
        store: the ledger, and where cursors are kept.
        known: positions that are dealt with elsewhere.
    """

    def __init__(self, consumer: str, target: WebhookTarget, store: Store, known: Container[int]) -> None:
        self._consumer = consumer
        self._target = target
        self._store = store
        self._known = known
        # The ledger reaches at least to `_heard`; it was read up to `_read_to`; of that `_unsettled` is not done with.
        self._heard = 0
        self._read_to = 0
        self._saved = 0
        self._delivered_since = False
        self._queue: deque[LedgerEntry] = deque()
        self._unsettled: set[int] = set()

    async def open(self) -> int:
        """Reads the cursor. A new receiver begins at the end of the ledger, unless it wants history. Returns it."""
        cursor = await self._store.delivery_cursor(self._consumer)
        end = await self._store.last_position()
        if not self._target.replay_history:
            # The beginning is kept one higher than its position, because 0 is what the store says of a cursor that was
            # never moved; without it a crash before the first save would skip what happened up to the restart.
            mark = f"{self._consumer}:began"
            began = await self._store.delivery_cursor(mark)
            if not began:
                began = (cursor or end) + 1
                await self._store.move_delivery_cursor(mark, began)
            cursor = max(cursor, began - 1)
        self._read_to = self._saved = cursor
        self._heard = max(cursor, end)
        return cursor

    @property
    def settled(self) -> int:
        """The last position up to which nothing is left to do."""
        return min(self._unsettled) - 1 if self._unsettled else self._read_to

    @property
    def lag(self) -> int:
        """Positions between the end of the ledger and `settled`."""
        return self._heard - self.settled

    @property
    def waiting(self) -> int:
        """How many events are ready to be delivered."""
        return len(self._queue)

    @property
    def readable(self) -> bool:
        """Whether the ledger has more, and there is room for it."""
        return self._read_to < self._heard and self._has_room

    @property
    def _has_room(self) -> bool:
        return len(self._queue) < _ROOM

    def offer(self, after: int, entries: Sequence[LedgerEntry], *, take: bool) -> None:
        """Hears of new entries: all beyond `after`, up to the last of `entries`.

        They are taken as they are when everything before them was; otherwise `read` comes to them later.

        Args:
            take: whether they may be taken at all.
        """
        last = entries[-1].position
        self._heard = max(self._heard, last)
        if take and self._read_to >= after and self._has_room:
            self._take(entries, last)

    async def read(self) -> None:
        """Reads on in the ledger."""
        heard = self._heard
        entries = await self._store.entries_after(self._read_to, _PAGE, self._target.tenant_id or None)
        last = entries[-1].position if entries else 0
        # A short page means that nothing else was wanted up to where the ledger was known to reach.
        self._take(entries, last if len(entries) == _PAGE else max(last, heard))

    def _take(self, entries: Sequence[LedgerEntry], read_to: int) -> None:
        for entry in entries:
            if entry.position > self._read_to and entry.position not in self._known and self._target.wants(entry):
                self._queue.append(entry)
                self._unsettled.add(entry.position)
        self._read_to = max(self._read_to, read_to)

    def pop(self) -> LedgerEntry:
        """The next event; it is under way until it is settled."""
        return self._queue.popleft()

    async def settle(self, position: int) -> None:
        """Nothing is left to do about an event: it was delivered, or is durably set aside."""
        self._unsettled.discard(position)
        self._delivered_since = True
        if self.settled - self._saved >= _SAVED_EVERY:
            await self.save()

    async def save(self, *, in_any_case: bool = False) -> None:
        """Moves the durable cursor, if events were settled or very many passed by since it was moved last."""
        settled = self.settled
        ahead = settled - self._saved
        worth_it = in_any_case or self._delivered_since or ahead >= _SAVED_UNWANTED_EVERY
        if ahead > 0 and worth_it:
            self._delivered_since = False
            self._saved = settled
            await self._store.move_delivery_cursor(self._consumer, settled)
