"""What holds when several processes have one store open: each sees the others' commits, and no two win one race."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.store.base import (
    OpenStore,
    StoreSuite,
    approved,
    calling,
    creation,
    refused,
    running,
    start,
    take,
)
from enactor.domain.attempt import RunStatus
from enactor.domain.ledger import ChainVerifier
from enactor.ports.commands import Conflict, ConflictKind, SetKillSwitch, UpdateAttempt
from enactor.ports.store import Store


class SharedSuite(StoreSuite):
    """Two stores on the same tables, as two processes open them."""

    async def test_each_sees_what_the_other_has_done(self, store: Store, open_store: OpenStore, build: Builder) -> None:
        """What one has committed the other reads, although it knew the records as they were before."""
        other = await open_store()
        try:
            intent, attempt = await running(store, build)
            await other.commit([take(build.permit(attempt), intent), build.entry(intent)])
            records = await store.execution(TENANT, intent.action_intent_id)
            assert records is not None
            assert len(records.permits) == 1
            again = take(build.permit(attempt, call_no=2), intent)
            await refused(store, build, ConflictKind.PERMIT_TAKEN, [again])
            taken = replace(attempt, fence=2)
            await store.commit([UpdateAttempt(attempt=taken, expected_fence=1)])
            late = UpdateAttempt(attempt=replace(attempt, status=RunStatus.SUCCEEDED), expected_fence=1)
            conflict = await refused(other, build, ConflictKind.STALE_FENCE, [late])
            assert conflict.current == taken
            assert await other.last_position() == await store.last_position()
        finally:
            await other.close()

    async def test_one_chain_is_written_by_all(self, store: Store, open_store: OpenStore, build: Builder) -> None:
        """Four stores append to the same two chains at once: no number is lost, doubled or out of order."""
        stores = [store, *[await open_store() for _ in range(3)]]
        try:
            commits = [
                each.commit([build.entry(build.intent(account_id=f"account-{number % 2}")) for _ in range(2)])
                for number in range(10)
                for each in stores
            ]
            await asyncio.gather(*commits)
            entries = await stores[1].entries_after(0, 1_000)
            assert [entry.position for entry in entries] == list(range(1, 81))
            verifier = ChainVerifier()
            verifier.feed_all(entries)
            assert (verifier.entries, len(verifier.heads), verifier.faults) == (80, 2, [])
            assert await stores[2].entries_after(0, 1_000) == entries
        finally:
            for each in stores[1:]:
                await each.close()

    async def test_of_starters_in_two_processes_one_wins(
        self, store: Store, open_store: OpenStore, build: Builder
    ) -> None:
        """Forty starts of one intent from two processes: one has the lock, all others are told who."""
        other = await open_store()
        try:
            intent = await approved(store, build)
            attempts = [build.attempt(intent, owner=f"worker-{number}") for number in range(40)]
            results = await asyncio.gather(
                *(
                    (store, other)[number % 2].commit([start(intent, attempt, now_ms=build.clock.now_ms())])
                    for number, attempt in enumerate(attempts)
                ),
                return_exceptions=True,
            )
            won = [attempt for attempt, result in zip(attempts, results, strict=True) if result is None]
            assert len(won) == 1
            assert all(result.current == won[0] for result in results if isinstance(result, Conflict))
            assert sum(isinstance(result, Conflict) for result in results) == 39
        finally:
            await other.close()

    async def test_a_switch_stops_every_process(self, store: Store, open_store: OpenStore, build: Builder) -> None:
        """After a switch that another process set no permit is taken, and the report names every call before it."""
        other = await open_store()
        try:
            out, _, _ = await calling(store, build)
            intent, attempt = await running(store, build)
            await other.commit([SetKillSwitch(switch=build.switch("global"), expected_generation=0)])
            await refused(store, build, ConflictKind.SWITCH_CHANGED, [take(build.permit(attempt), intent)])
            page = await other.runs_in_scope(TENANT, "global", build.now(), 10, None)
            doubtful = [run.action_intent_id for run in page.items if run.containment == "unknown"]
            assert doubtful == [out.action_intent_id]
        finally:
            await other.close()

    async def test_a_limit_holds_for_all_processes(self, store: Store, open_store: OpenStore, build: Builder) -> None:
        """Of twenty proposals from two processes, exactly as many are stored as may be pending."""
        other = await open_store()
        try:
            results = await asyncio.gather(
                *((store, other)[number % 2].commit([creation(build.intent(), of_proposer=7)]) for number in range(20)),
                return_exceptions=True,
            )
            assert sum(result is None for result in results) == 7
        finally:
            await other.close()
