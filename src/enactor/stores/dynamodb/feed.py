"""The store's order over all chains, and everything that is read from the ledger.

A commit gives an entry its place in its chain only; its position comes afterwards, from whoever reads first. A step
of placing is one transaction: it gives the next positions to up to 90 entries that have none, and appends pages that
name them to the log of all tenants and to each one's own. The log's tail is conditional, so of two placers one
repeats its step; commits are never in its way. Pages are read strongly and in order, so whoever has read up to a
position has missed none before it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

from enactor.domain.errors import StoreFailed
from enactor.domain.ledger import LedgerEntry
from enactor.ports.clock import Clock, Randomness
from enactor.stores.dynamodb import codec, keys, tables
from enactor.stores.dynamodb.book import Shape
from enactor.stores.dynamodb.client import ATTEMPTS, Dynamo
from enactor.stores.dynamodb.errors import Cancelled
from enactor.stores.dynamodb.keys import Key
from enactor.stores.dynamodb.transaction import TOKEN
from enactor.stores.dynamodb.wire import Item, spelled, spelled_item

_STEP: Final = 90
"""Entries that one step places at most; a transaction has 100 items, and each tenant's page is one."""

_STEP_ITEMS: Final = 98
_LOOK_BACK: Final = 100
_CHAINS_REMEMBERED: Final = 10_000


class Ref(NamedTuple):
    """An entry in a log."""

    position: int
    tenant_id: str
    account_id: str
    seq: int

    @property
    def key(self) -> Key:
        """Where the entry is."""
        return keys.entry(self.tenant_id, self.account_id, self.seq)


class _Unplaced(NamedTuple):
    entry_id: str
    key: Key


class Feed:
    """Positions, and the logs that they order.

    Args:
        dynamo: the tables.
        shape: into how many parts new entries are spread.
        clock: times out waits.
        randomness: what tokens are made of.
        poll_seconds: how often a wait looks for what other processes have written.
    """

    def __init__(self, dynamo: Dynamo, shape: Shape, clock: Clock, randomness: Randomness, poll_seconds: float) -> None:
        self._dynamo = dynamo
        self._shape = shape
        self._clock = clock
        self._randomness = randomness
        self._poll_seconds = poll_seconds
        self._own: dict[Key, str] = {}
        self._placed: dict[str, int] = {}
        self._surprised = False
        self._placing: asyncio.Task[None] | None = None
        self._asked = self._answered = 0
        self._news = asyncio.Event()
        self._last = 0
        self._closed = False

    def close(self) -> None:
        """Ends every wait."""
        self._closed = True
        self._news.set()

    async def idle(self) -> None:
        """Returns when nothing is under way any more."""
        if self._placing is not None and not self._placing.done():
            await asyncio.wait([self._placing])

    def written(self, entries: Sequence[tuple[Key, Item]]) -> None:
        """This process has committed entries: they are placed without waiting for an index to show them."""
        for key, item in entries:
            if key.sk.startswith("ENTRY#"):
                self._own[key] = str(item["entry_id"])
        self._news.set()
        self._news = asyncio.Event()

    # -- placing -------------------------------------------------------------------------------------------------

    async def last_position(self) -> int:
        """The newest position, after everything that is visible has one."""
        # Those who ask while a step is under way share the next one: the present one may have looked too early.
        self._asked += 1
        mine = self._asked
        while self._answered < mine and not self._closed:
            if self._placing is None or self._placing.done():
                self._placing = asyncio.ensure_future(self._answer(self._asked))
            await asyncio.shield(self._placing)
        return self._last

    async def _answer(self, asked: int) -> None:
        await self._place_all()
        self._answered = asked

    async def _place_all(self) -> None:
        for attempt in range(ATTEMPTS):
            try:
                waiting = await self._unplaced()
                if not waiting:
                    tail = await self._dynamo.get(keys.TAIL)
                    self._last = tail["position"] if tail else 0
                    return
                while waiting:
                    waiting = waiting[await self._place(waiting) :]
                return
            except Cancelled:
                # Another process placed meanwhile, or this one did and has lost the answer; both are seen by looking.
                self._placed.clear()
                self._surprised = True
                await self._dynamo.patience.pause(attempt)
        raise StoreFailed("New ledger entries cannot be given positions: DynamoDB has no capacity.")

    async def _unplaced(self) -> list[_Unplaced]:
        """Entries without a position, oldest first as their ids have it, each chain's in its own order."""
        found = dict(self._own)
        shards = await asyncio.gather(*(self._shard(shard) for shard in range(self._shape.shards)))
        for shard in shards:
            found.update(shard)
        chains: defaultdict[str, list[tuple[str, Key]]] = defaultdict(list)
        for key in found:
            chains[key.pk].append((key.sk, key))
        lists: list[list[_Unplaced]] = []
        for pk, members in chains.items():
            members.sort()
            ordered = await self._contiguous(pk, [key for _, key in members])
            # An id made by a clock that went back must not come before its predecessor's.
            newest, chain = "", []
            for key in ordered:
                newest = max(newest, found.get(key, ""))
                chain.append(_Unplaced(newest, key))
            lists.append(chain)
        return list(heapq.merge(*lists))

    async def _shard(self, shard: int) -> dict[Key, str]:
        entries = self._dynamo.query(tables.LEDGER, f"UNPLACED#{shard}", index=4, page=1_000)
        return {Key(tables.LEDGER, str(item["pk"]), str(item["sk"])): str(item["gsi4sk"]) async for item in entries}

    async def _contiguous(self, pk: str, members: list[Key]) -> list[Key]:
        """The chain's entries that have no position: what the index has not shown yet is filled in, and what it shows
        although it has been placed is left out.
        """
        first, newest = _seq(members[0]), _seq(members[-1])
        last = self._placed.get(pk, 0)
        if last < first - 1 or (last == 0 and self._surprised):
            last = await self._last_placed(pk, newest)
        for key in members:
            if _seq(key) <= last:
                self._own.pop(key, None)
        return [Key(tables.LEDGER, pk, f"ENTRY#{seq:012d}") for seq in range(last + 1, newest + 1)]

    async def _last_placed(self, pk: str, newest: int) -> int:
        """The newest number of a chain that has a position, up to a number."""
        for end in range(newest, 0, -_LOOK_BACK):
            numbers = range(max(1, end - _LOOK_BACK + 1), end + 1)
            looked_at = [Key(tables.LEDGER, pk, f"ENTRY#{seq:012d}") for seq in numbers]
            found = await self._dynamo.get_all(looked_at)
            for key in reversed(looked_at):
                item = found[key]
                if item is not None and "position" in item:
                    return _seq(key)
        return 0

    async def _place(self, waiting: list[_Unplaced]) -> int:
        """Places the first of them. Returns how many."""
        tail = await self._dynamo.get(keys.TAIL)
        position = int(tail["position"]) if tail else 0
        refs: list[Ref] = []
        tenants: set[str] = set()
        for unplaced in waiting[:_STEP]:
            tenant_id, account_id = _chain_of(unplaced.key.pk)
            if len(refs) + len(tenants | {tenant_id}) >= _STEP_ITEMS:
                break
            tenants.add(tenant_id)
            refs.append(Ref(position + len(refs) + 1, tenant_id, account_id, _seq(unplaced.key)))
        token = self._randomness.bytes(16).hex()
        request: list[dict[str, Any]] = [self._tail(tail, refs[-1].position, token)]
        pages = {
            keys.LOG: refs,
            **{keys.tenant_log(it): [ref for ref in refs if ref.tenant_id == it] for it in tenants},
        }
        request += [self._page(log, page, token) for log, page in pages.items()]
        request += [self._stamp(ref) for ref in refs]
        await self._dynamo.patiently_once("transact_write_items", TransactItems=request, ClientRequestToken=token)
        self._last = refs[-1].position
        self._surprised = False
        for ref in refs:
            self._own.pop(ref.key, None)
            self._placed[ref.key.pk] = ref.seq
        while len(self._placed) > _CHAINS_REMEMBERED:
            del self._placed[next(iter(self._placed))]
        return len(refs)

    def _tail(self, tail: Item | None, position: int, token: str) -> dict[str, Any]:
        item = {"pk": keys.TAIL.pk, "sk": keys.TAIL.sk, "position": position, TOKEN: token}
        put: dict[str, Any] = {"TableName": self._dynamo.table(tables.LEDGER), "Item": spelled_item(item)}
        if tail is None:
            put["ConditionExpression"] = "attribute_not_exists(pk)"
        else:
            put["ConditionExpression"] = f"{TOKEN} = :expected"
            put["ExpressionAttributeValues"] = {":expected": {"S": tail[TOKEN]}}
        return {"Put": put}

    def _page(self, log: str, refs: list[Ref], token: str) -> dict[str, Any]:
        key = keys.page(log, refs[-1].position)
        item = {"pk": key.pk, "sk": key.sk, TOKEN: token, "refs": [list(ref) for ref in refs]}
        return {"Put": {"TableName": self._dynamo.table(tables.LEDGER), "Item": spelled_item(item)}}

    def _stamp(self, ref: Ref) -> dict[str, Any]:
        return {
            "Update": {
                **self._dynamo.address(ref.key),
                "UpdateExpression": "SET #position = :position REMOVE gsi4pk, gsi4sk",
                "ConditionExpression": "attribute_exists(pk) AND attribute_not_exists(#position)",
                "ExpressionAttributeNames": {"#position": "position"},
                "ExpressionAttributeValues": {":position": spelled(ref.position)},
            }
        }

    # -- reading -------------------------------------------------------------------------------------------------

    async def refs(self, log: str, after: int) -> AsyncIterator[Ref]:
        """A log's entries from after a position on, in order."""
        pages = self._dynamo.query(
            tables.LEDGER, log, condition="#sk > :after", values={":after": f"{max(after, 0):016d}"}, page=20
        )
        async for page in pages:
            for position, tenant_id, account_id, seq in page["refs"]:
                if position > after:
                    yield Ref(position, tenant_id, account_id, seq)

    async def entries(self, refs: Sequence[Ref]) -> list[LedgerEntry]:
        """The entries that refs name, in their order."""
        found = await self._dynamo.get_all(ref.key for ref in refs)
        return [codec.entry(item) for ref in refs if (item := found[ref.key]) is not None]

    async def after(self, position: int, limit: int, tenant_id: str | None) -> tuple[LedgerEntry, ...]:
        """Entries of one tenant or of all, from after a position on."""
        if await self.last_position() <= position:
            return ()
        wanted: list[Ref] = []
        async for ref in self.refs(keys.LOG if tenant_id is None else keys.tenant_log(tenant_id), position):
            wanted.append(ref)
            if len(wanted) == limit:
                break
        return tuple(await self.entries(wanted))

    async def wait_beyond(self, position: int, timeout_seconds: float) -> bool:
        """Whether there is an entry beyond `position`, soon after there is, or when the time has passed."""
        deadline = self._clock.elapsed_ms() + round(timeout_seconds * 1000)
        while True:
            news = self._news
            if await self.last_position() > position:
                return True
            left = (deadline - self._clock.elapsed_ms()) / 1000
            if left <= 0 or self._closed:
                return False
            waits = [
                asyncio.ensure_future(news.wait()),
                asyncio.ensure_future(self._clock.sleep(min(left, self._poll_seconds))),
            ]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()


def _seq(key: Key) -> int:
    return int(key.sk.removeprefix("ENTRY#"))


def _chain_of(pk: str) -> tuple[str, str]:
    tenant_id, _, account_id = pk.removeprefix("TENANT#").partition("#ACCOUNT#")
    return tenant_id, account_id
