"""The ledger: chains, positions, what can be asked of it, waiting for news, and delivery cursors."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from enactor.conformance.builders import ACCOUNT, TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import StoreSuite, approved, refused, running
from enactor.domain.errors import InvalidPageToken
from enactor.domain.ledger import GENESIS, ChainVerifier, LedgerEntry, LedgerEvent, LedgerRecord
from enactor.ports.commands import ConflictKind, UpdateAttempt
from enactor.ports.store import LedgerFilter, Store

EVERYTHING = LedgerFilter()


async def all_pages(store: Store, tenant_id: str, where: LedgerFilter, limit: int) -> list[LedgerEntry]:
    """Every entry a query selects, page by page; each page but the last one is full."""
    found: list[LedgerEntry] = []
    token: str | None = None
    while True:
        page = await store.ledger(tenant_id, where, limit, token)
        found += page.items
        token = page.next_token
        if token is None:
            return found
        assert len(page.items) == limit


class LedgerSuite(StoreSuite):
    """What holds for the ledger."""

    async def test_each_account_has_a_chain(self, store: Store, build: Builder) -> None:
        """Numbers and hashes follow within a chain and begin anew in another, an equal name's included."""
        north = build.intent()
        south = build.intent(account_id="south")
        theirs = build.intent(tenant_id="globex")
        for intent in (north, south, north, theirs, north):
            await store.commit([build.entry(intent)])
        entries = await store.entries_after(0, 10)
        assert [(it.tenant_id, it.account_id, it.seq) for it in entries] == [
            (TENANT, "north", 1),
            (TENANT, "south", 1),
            (TENANT, "north", 2),
            ("globex", "north", 1),
            (TENANT, "north", 3),
        ]
        assert [it.position for it in entries] == [1, 2, 3, 4, 5]
        assert [it.prev_hash for it in entries] == [GENESIS, GENESIS, entries[0].hash, GENESIS, entries[2].hash]
        verifier = ChainVerifier()
        verifier.feed_all(entries)
        assert verifier.faults == []

    async def test_an_entry_comes_back_as_it_was_written(self, store: Store, build: Builder) -> None:
        """Every attribute that the writer gave survives."""
        command = build.entry(build.intent(), data={"title": "Ünïcode 🎉", "nested": [1, {"a": None}]}, run_number=2)
        await store.commit([command])
        (entry,) = await store.entries_after(0, 10)
        names = LedgerRecord.__struct_fields__
        assert {name: getattr(entry, name) for name in names} == {name: getattr(command.record, name) for name in names}

    async def test_entries_of_an_intent_are_numbered(self, store: Store, build: Builder) -> None:
        """Each intent's entries count from 1, across commits and chains; entries of no intent have 0."""
        first, second = build.intent(), build.intent()
        await store.commit([build.entry(first), build.entry(second), build.entry(first), build.entry()])
        await store.commit([build.entry(first), build.entry(second)])
        entries = await store.entries_after(0, 10)
        assert [entry.sequence for entry in entries] == [1, 1, 2, 0, 3, 2]

    async def test_chains_hold_when_hundreds_write_at_once(self, store: Store, build: Builder) -> None:
        """Among commits that succeed and commits that conflict no number is lost, doubled or out of order."""
        _, attempt = await running(store, build)
        stale = UpdateAttempt(attempt=attempt, expected_fence=9)
        commits = []
        for number in range(300):
            entries = [build.entry(build.intent(account_id=f"account-{number % 5}")) for _ in range(3)]
            commits.append(store.commit([*entries, stale] if number % 3 == 0 else entries))
        results = await asyncio.gather(*commits, return_exceptions=True)
        assert sum(result is None for result in results) == 200
        entries_found = await store.entries_after(2, 1_000)
        assert [entry.position for entry in entries_found] == list(range(3, 603))
        verifier = ChainVerifier()
        verifier.feed_all(await store.entries_after(0, 1_000))
        assert (verifier.entries, verifier.faults) == (602, [])
        assert await store.last_position() == 602

    async def test_the_feed_goes_on_after_a_position(self, store: Store, build: Builder) -> None:
        """Read in parts, of all tenants, one, or one intent, the feed gives every entry once and in order."""
        mine, other = build.intent(), build.intent()
        theirs = build.intent(tenant_id="globex")
        for intent in (mine, theirs, other, mine, theirs, mine):
            await store.commit([build.entry(intent)])
        position, seen = 0, []
        while page := await store.entries_after(position, 2):
            seen += [entry.position for entry in page]
            position = page[-1].position
        assert seen == [1, 2, 3, 4, 5, 6]
        assert [it.position for it in await store.entries_after(1, 10, TENANT)] == [3, 4, 6]
        of_mine = await store.entries_after(0, 2, TENANT, mine.action_intent_id)
        assert [it.position for it in of_mine] == [1, 4]
        rest = await store.entries_after(4, 2, TENANT, mine.action_intent_id)
        assert [it.position for it in rest] == [6]
        assert await store.entries_after(0, 10, "globex", mine.action_intent_id) == ()
        assert await store.entries_after(6, 10) == ()

    # -- queries -------------------------------------------------------------------------------------------------

    async def test_a_query_selects_what_it_names(self, store: Store, build: Builder, clock: ManualClock) -> None:
        """By account, trace, intent, event type and time, alone and together."""
        first, second = build.intent(), build.intent(account_id="south")
        trace = build.ids.new()
        began = build.now()
        await store.commit([build.entry(first, LedgerEvent.INTENT_PROPOSED)])
        clock.advance(10)
        middle = build.now()
        await store.commit([build.entry(second, LedgerEvent.INTENT_PROPOSED)])
        await store.commit([build.entry(first, LedgerEvent.EXECUTION_STARTED, trace_id=trace)])
        clock.advance(10)
        end = build.now()
        await store.commit([build.entry(None, LedgerEvent.KILL_SWITCH_CHANGED, trace_id=trace)])

        async def positions(**where: object) -> list[int]:
            found = await store.ledger(TENANT, LedgerFilter(**where), 10, None)  # type: ignore[arg-type]
            return [entry.position for entry in found.items]

        assert await positions() == [1, 2, 3, 4]
        assert await positions(account_ids=(ACCOUNT,)) == [1, 3]
        assert await positions(account_ids=("south", "_tenant")) == [2, 4]
        assert await positions(account_ids=()) == []
        assert await positions(action_intent_id=first.action_intent_id) == [1, 3]
        assert await positions(trace_id=trace) == [3, 4]
        assert await positions(trace_id=first.trace_id) == [1, 3]
        assert await positions(trace_id="unknown") == []
        assert await positions(event_type=LedgerEvent.INTENT_PROPOSED) == [1, 2]
        assert await positions(from_time=middle) == [2, 3, 4]
        assert await positions(to_time=middle) == [1]
        assert await positions(from_time=middle, to_time=end) == [2, 3]
        assert await positions(from_time=began.replace("Z", "+00:00"), to_time=middle[:19] + "Z") == [1]
        assert await positions(trace_id=trace, event_type=LedgerEvent.EXECUTION_STARTED, account_ids=(ACCOUNT,)) == [3]

    async def test_a_query_is_read_page_by_page(self, store: Store, build: Builder) -> None:
        """Pages of any size give every entry once and in order; entries written meanwhile come last."""
        first, second = build.intent(), build.intent(account_id="south")
        for number in range(25):
            await store.commit([build.entry(first if number % 2 else second)])
        for limit in (1, 7, 25, 100):
            found = await all_pages(store, TENANT, EVERYTHING, limit)
            assert [entry.position for entry in found] == list(range(1, 26))
        of_first = LedgerFilter(action_intent_id=first.action_intent_id)
        assert len(await all_pages(store, TENANT, of_first, 5)) == 12
        page = await store.ledger(TENANT, EVERYTHING, 20, None)
        await store.commit([build.entry(first)])
        rest = await store.ledger(TENANT, EVERYTHING, 20, page.next_token)
        assert [entry.position for entry in rest.items] == [21, 22, 23, 24, 25, 26]

    async def test_a_query_sees_one_tenant(self, store: Store, build: Builder) -> None:
        """Another tenant's entries are not there, whatever is asked; nor are the platform's."""
        theirs = build.intent(tenant_id="globex", account_id=ACCOUNT)
        await store.commit([build.entry(theirs), build.entry(None, tenant_id="", account_id="_system")])
        for where in (
            EVERYTHING,
            LedgerFilter(account_ids=(ACCOUNT, "_system")),
            LedgerFilter(action_intent_id=theirs.action_intent_id),
            LedgerFilter(trace_id=theirs.trace_id),
            LedgerFilter(event_type=LedgerEvent.TOOL_INVOKED),
        ):
            assert (await store.ledger(TENANT, where, 10, None)).items == ()
        assert len((await store.ledger("globex", EVERYTHING, 10, None)).items) == 1
        assert len((await store.ledger("", EVERYTHING, 10, None)).items) == 1

    async def test_a_ledger_token_is_good_for_its_own_query(self, store: Store, build: Builder) -> None:
        """A token of another tenant or filter, or one that was made up or changed, is refused."""
        for _ in range(3):
            await store.commit([build.entry(), build.entry(None, tenant_id="globex")])
        token = (await store.ledger(TENANT, EVERYTHING, 1, None)).next_token
        theirs = (await store.ledger("globex", EVERYTHING, 1, None)).next_token
        assert token is not None
        assert theirs is not None
        filtered = LedgerFilter(event_type=LedgerEvent.TOOL_INVOKED)
        for where, foreign in ((EVERYTHING, theirs), (filtered, token), (EVERYTHING, "1"), (EVERYTHING, token[:-2])):
            with pytest.raises(InvalidPageToken):
                await store.ledger(TENANT, where, 1, foreign)
        assert len((await store.ledger(TENANT, EVERYTHING, 5, token)).items) == 2

    # -- news and cursors ----------------------------------------------------------------------------------------

    async def test_waiting_ends_with_news(self, store: Store, build: Builder) -> None:
        """Whoever waits beyond the newest position hears of the next entry, however many wait."""
        assert await store.last_position() == 0
        waits = [asyncio.ensure_future(store.wait_beyond(0, 3_600)) for _ in range(20)]
        further = asyncio.ensure_future(store.wait_beyond(1, 3_600))
        await asyncio.sleep(0)
        await store.commit([build.entry()])
        assert await asyncio.gather(*waits) == [True] * 20
        assert await store.wait_beyond(0, 0)
        assert not further.done()
        await store.commit([build.entry()])
        assert await further

    async def test_waiting_ends_with_its_time(self, store: Store, build: Builder, clock: ManualClock) -> None:
        """Without news the wait ends False when its time has passed; a refused commit is no news."""
        _, attempt = await running(store, build)
        position = await store.last_position()
        assert not await store.wait_beyond(position, 0)
        wait = asyncio.ensure_future(store.wait_beyond(position, 30))
        await clock.until_asleep()
        await refused(store, build, ConflictKind.STALE_FENCE, [UpdateAttempt(attempt=attempt, expected_fence=9)])
        clock.advance(29)
        await asyncio.sleep(0)
        assert not wait.done()
        clock.advance(1)
        assert not await wait

    async def test_closing_ends_every_wait(self, store: Store, clock: ManualClock) -> None:
        """Nobody waits for news from a closed store."""
        wait = asyncio.ensure_future(store.wait_beyond(0, 3_600))
        await clock.until_asleep()
        await store.close()
        assert not await wait

    async def test_a_cursor_moves_forwards_only(self, store: Store) -> None:
        """A consumer's place begins at 0, is its own, and never goes back."""
        assert await store.delivery_cursor("webhooks") == 0
        await store.move_delivery_cursor("webhooks", 7)
        await store.move_delivery_cursor("metrics", 2)
        await store.move_delivery_cursor("webhooks", 3)
        assert await store.delivery_cursor("webhooks") == 7
        assert await store.delivery_cursor("metrics") == 2

    async def test_what_was_not_taken_is_kept(self, store: Store, build: Builder) -> None:
        """A consumer's waiting events and dead letters are listed apart and in order, until they are forgotten."""
        first, second, third = (build.undelivered(position) for position in (7, 8, 9))
        for record in (third, first, second, build.undelivered(7, "other")):
            await store.keep_undelivered(record)
        assert await store.undelivered("webhooks", 10) == (first, second, third)
        assert await store.undelivered("webhooks", 1, after=7) == (second,)
        again = replace(first, attempts=2, error="The receiver answered 500.")
        dead = replace(second, attempts=9, dead=True)
        await store.keep_undelivered(again)
        await store.keep_undelivered(dead)
        await store.forget_undelivered("webhooks", 9)
        await store.forget_undelivered("webhooks", 9)
        assert await store.undelivered("webhooks", 10) == (again,)
        assert await store.undelivered("webhooks", 10, dead=True) == (dead,)
        assert await store.undelivered("webhooks", 10, after=8, dead=True) == ()
        assert len(await store.undelivered("other", 10)) == 1

    async def test_the_store_tells_what_it_is(self, store: Store, build: Builder) -> None:
        """Kind, schema version and the number of entries are there, in an empty store too."""
        empty = await store.info()
        assert (empty.ledger_entries, empty.schema_version >= 1, bool(empty.kind)) == (0, True, True)
        await approved(store, build)
        assert await store.info() == replace(empty, ledger_entries=1)
