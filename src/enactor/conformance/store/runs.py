"""The lock: starting, taking over, running again; cancel requests, outcomes and budgets."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from enactor.conformance.builders import ACCOUNT, TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import (
    StoreSuite,
    approved,
    closed,
    creation,
    ended,
    refused,
    running,
    start,
)
from enactor.domain.attempt import RunStatus
from enactor.domain.intent import IntentStatus
from enactor.ports.commands import (
    Conflict,
    ConflictKind,
    RecordOutcome,
    RequestCancel,
    SetBudget,
    StartAttempt,
    UpdateAttempt,
    UpdateIntent,
)
from enactor.ports.store import Store

HOUR = 3_600


class RunSuite(StoreSuite):
    """What holds for a run from its start to its outcome."""

    async def test_of_a_thousand_starters_one_wins(self, store: Store, build: Builder) -> None:
        """A thousand racing starts of one intent: one has the lock, all others are told who has it."""
        intent = await approved(store, build)
        attempts = [build.attempt(intent, owner=f"worker-{number % 500}") for number in range(1_000)]
        results = await asyncio.gather(
            *(
                store.commit([start(intent, attempt, now_ms=build.clock.now_ms()), build.entry(intent)])
                for attempt in attempts
            ),
            return_exceptions=True,
        )
        won = [attempt for attempt, result in zip(attempts, results, strict=True) if result is None]
        assert len(won) == 1
        same = 0
        for attempt, result in zip(attempts, results, strict=True):
            if isinstance(result, Conflict):
                assert result.current == won[0]
                same += result.kind is ConflictKind.STARTED_BY_SAME_OWNER
                owned = attempt.owner == won[0].owner
                expected = ConflictKind.STARTED_BY_SAME_OWNER if owned else ConflictKind.STARTED_BY_OTHER_OWNER
                assert result.kind is expected
        assert same == 1
        records = await store.execution(TENANT, intent.action_intent_id)
        assert records is not None
        assert records.attempt == won[0]
        assert len(await store.entries_after(0, 5_000)) == 2, "a duplicate changed something"

    async def test_the_same_owner_gets_what_is_stored_now(self, store: Store, build: Builder) -> None:
        """A start asked again after the run has ended answers with the ended attempt, not with the first one."""
        intent, over = await ended(store, build)
        again = start(intent, build.attempt(intent), now_ms=build.clock.now_ms())
        conflict = await refused(store, build, ConflictKind.STARTED_BY_SAME_OWNER, [again])
        assert conflict.current == over

    @pytest.mark.parametrize(
        "change",
        [{"intent_version": 2}, {"revision": 2}, {"approval_digest": "0" * 64}],
        ids=["version", "revision", "digest"],
    )
    async def test_a_start_is_of_exactly_what_was_approved(
        self, store: Store, build: Builder, change: dict[str, object]
    ) -> None:
        """Any other version, revision or digest than the stored one is stale."""
        intent = await approved(store, build)
        command = replace(start(intent, build.attempt(intent), now_ms=build.clock.now_ms()), **change)
        conflict = await refused(store, build, ConflictKind.APPROVAL_STALE, [command])
        assert conflict.current == intent

    @pytest.mark.parametrize("status", [status for status in IntentStatus if status is not IntentStatus.APPROVED])
    async def test_only_an_approved_intent_starts(self, store: Store, build: Builder, status: IntentStatus) -> None:
        """Pending, rejected, expired or cancelled, it does not, whatever the start names."""
        intent = build.approved(status=status)
        await store.commit([creation(intent)])
        command = start(intent, build.attempt(intent), now_ms=build.clock.now_ms())
        await refused(store, build, ConflictKind.APPROVAL_STALE, [command])

    async def test_start_and_cancel_never_both_win(self, store: Store, build: Builder) -> None:
        """Of a start and a cancellation at once exactly one happens, for each of fifty intents, in either order."""
        intents = [await approved(store, build) for _ in range(50)]
        commits = []
        for number, intent in enumerate(intents):
            begin = store.commit([start(intent, build.attempt(intent), now_ms=build.clock.now_ms())])
            cancel = store.commit(
                [UpdateIntent(intent=closed(intent, IntentStatus.CANCELLED), expected_version=intent.version)]
            )
            commits += [begin, cancel] if number % 2 else [cancel, begin]
        results = await asyncio.gather(*commits, return_exceptions=True)
        for first, second in zip(results[::2], results[1::2], strict=True):
            assert (first is None) != (second is None)

    async def test_an_unknown_intent_does_not_start(self, store: Store, build: Builder) -> None:
        """A start of an intent that does not exist, or is another tenant's, finds nothing."""
        stranger = build.approved()
        command = start(stranger, build.attempt(stranger), now_ms=build.clock.now_ms())
        await refused(store, build, ConflictKind.NOT_FOUND, [command])
        intent = await approved(store, build)
        theirs = build.attempt(intent, tenant_id="globex")
        await refused(store, build, ConflictKind.NOT_FOUND, [start(intent, theirs, now_ms=build.clock.now_ms())])

    # -- running again -------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
    async def test_a_run_follows_one_that_failed_or_was_cancelled(
        self, store: Store, build: Builder, status: RunStatus
    ) -> None:
        """Run 2 takes the lock of run 1, and run 3 of run 2; the earlier runs' outcomes stay."""
        intent, _ = await ended(store, build, status)
        for run_number in (2, 3):
            attempt = build.attempt(intent, run_number=run_number)
            await store.commit([start(intent, attempt, now_ms=build.clock.now_ms())])
            records = await store.execution(TENANT, intent.action_intent_id)
            assert records is not None
            assert records.attempt == attempt
            assert records.outcome is None, "an earlier run's outcome was shown as the current run's"
            over = replace(attempt, status=status)
            outcome = build.outcome(intent, over, status=status)
            await store.commit([UpdateAttempt(attempt=over, expected_fence=1), RecordOutcome(outcome=outcome)])
        recorded = await store.outcomes(TENANT, intent.action_intent_id)
        assert [outcome.run_number for outcome in recorded] == [1, 2, 3]

    @pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.SUCCEEDED, RunStatus.EXPIRED, RunStatus.IN_DOUBT])
    async def test_no_run_follows_one_that_may_have_had_an_effect(
        self, store: Store, build: Builder, status: RunStatus
    ) -> None:
        """A run that is running, succeeded, expired or in doubt keeps its lock."""
        if status is RunStatus.RUNNING:
            intent, attempt = await running(store, build)
        else:
            intent, attempt = await ended(store, build, status)
        again = start(intent, build.attempt(intent, run_number=2), now_ms=build.clock.now_ms())
        conflict = await refused(store, build, ConflictKind.STARTED_BY_OTHER_OWNER, [again])
        assert conflict.current == attempt

    async def test_runs_are_numbered_without_gaps(self, store: Store, build: Builder) -> None:
        """Run 3 does not follow run 1, run 2 does not come first, and run 1 does not come again."""
        fresh = await approved(store, build)
        second = start(fresh, build.attempt(fresh, run_number=2), now_ms=build.clock.now_ms())
        await refused(store, build, ConflictKind.STATUS_CHANGED, [second])
        intent, _ = await ended(store, build, RunStatus.FAILED)
        third = start(intent, build.attempt(intent, run_number=3), now_ms=build.clock.now_ms())
        await refused(store, build, ConflictKind.STARTED_BY_OTHER_OWNER, [third])
        first = start(intent, build.attempt(intent), now_ms=build.clock.now_ms())
        await refused(store, build, ConflictKind.STARTED_BY_SAME_OWNER, [first])

    async def test_of_racing_replays_one_wins(self, store: Store, build: Builder) -> None:
        """Fifty starts of run 2 at once: one has the lock."""
        intent, _ = await ended(store, build, RunStatus.FAILED)
        attempts = [build.attempt(intent, run_number=2) for _ in range(50)]
        results = await asyncio.gather(
            *(store.commit([start(intent, attempt, now_ms=build.clock.now_ms())]) for attempt in attempts),
            return_exceptions=True,
        )
        assert sum(result is None for result in results) == 1

    # -- fences --------------------------------------------------------------------------------------------------

    async def test_a_fenced_off_holder_changes_nothing(self, store: Store, build: Builder) -> None:
        """After a takeover every update under the old fence is refused with the attempt as it is."""
        intent, attempt = await running(store, build)
        taken = replace(attempt, fence=2)
        await store.commit([UpdateAttempt(attempt=taken, expected_fence=1)])
        late = UpdateAttempt(attempt=replace(attempt, status=RunStatus.SUCCEEDED), expected_fence=1)
        conflict = await refused(store, build, ConflictKind.STALE_FENCE, [late])
        assert conflict.current == taken
        records = await store.execution(TENANT, intent.action_intent_id)
        assert records is not None
        assert records.attempt == taken

    async def test_of_racing_takeovers_one_wins(self, store: Store, build: Builder) -> None:
        """Fifty workers that take the same run over at once: one gets it."""
        _, attempt = await running(store, build)
        takeover = UpdateAttempt(attempt=replace(attempt, fence=2), expected_fence=1)
        results = await asyncio.gather(*(store.commit([takeover]) for _ in range(50)), return_exceptions=True)
        assert sum(result is None for result in results) == 1
        assert [r.kind for r in results if isinstance(r, Conflict)] == [ConflictKind.STALE_FENCE] * 49

    async def test_an_update_names_the_status_it_saw(self, store: Store, build: Builder) -> None:
        """An update from another status than the stored one is refused; from the stored one it happens."""
        _, attempt = await running(store, build)
        doubt = replace(attempt, status=RunStatus.IN_DOUBT)
        await store.commit([UpdateAttempt(attempt=doubt, expected_fence=1)])
        over = replace(attempt, status=RunStatus.SUCCEEDED)
        conflict = await refused(
            store, build, ConflictKind.STATUS_CHANGED, [UpdateAttempt(attempt=over, expected_fence=1)]
        )
        assert conflict.current == doubt
        await store.commit([UpdateAttempt(attempt=over, expected_fence=1, expected_status=RunStatus.IN_DOUBT)])

    async def test_an_update_is_of_the_run_that_has_the_lock(self, store: Store, build: Builder) -> None:
        """An earlier run's holder cannot touch the lock of the run after it, though their fences are equal."""
        intent, over = await ended(store, build, RunStatus.FAILED)
        second = build.attempt(intent, run_number=2)
        await store.commit([start(intent, second, now_ms=build.clock.now_ms())])
        late = replace(over, status=RunStatus.SUCCEEDED)
        await refused(store, build, ConflictKind.STALE_FENCE, [UpdateAttempt(attempt=late, expected_fence=1)])
        stranger = build.attempt(build.approved())
        await refused(store, build, ConflictKind.NOT_FOUND, [UpdateAttempt(attempt=stranger, expected_fence=1)])

    # -- cancel requests and outcomes ----------------------------------------------------------------------------

    async def test_asking_to_cancel_twice_is_asking_once(self, store: Store, build: Builder) -> None:
        """A request shows on the run it names, and only there."""
        intent, attempt = await running(store, build)
        records = await store.execution(TENANT, intent.action_intent_id)
        assert records is not None
        assert not records.cancel_requested
        for number in range(2):
            await store.commit(
                [
                    RequestCancel(
                        action_intent_id=intent.action_intent_id,
                        run_number=1,
                        requested_by=f"person-{number}",
                        requested_at=build.now(),
                    )
                ]
            )
        records = await store.execution(TENANT, intent.action_intent_id)
        assert records is not None
        assert records.cancel_requested
        over = replace(attempt, status=RunStatus.CANCELLED)
        await store.commit([UpdateAttempt(attempt=over, expected_fence=1)])
        await store.commit([start(intent, build.attempt(intent, run_number=2), now_ms=build.clock.now_ms())])
        records = await store.execution(TENANT, intent.action_intent_id)
        assert records is not None
        assert not records.cancel_requested

    async def test_an_outcome_is_written_once(self, store: Store, build: Builder) -> None:
        """The same revision of a run's outcome is refused with the stored one; the next revision is appended."""
        intent, over = await ended(store, build, RunStatus.IN_DOUBT)
        (stored,) = await store.outcomes(TENANT, intent.action_intent_id)
        rewritten = replace(stored, status=RunStatus.FAILED)
        conflict = await refused(store, build, ConflictKind.OUTCOME_EXISTS, [RecordOutcome(outcome=rewritten)])
        assert conflict.current == stored
        revised = replace(stored, outcome_revision=2, status=RunStatus.SUCCEEDED)
        await store.commit([RecordOutcome(outcome=revised)])
        assert await store.outcomes(TENANT, intent.action_intent_id) == (stored, revised)
        records = await store.execution(TENANT, intent.action_intent_id)
        assert records is not None
        assert records.outcome == revised
        assert records.attempt == over

    async def test_of_racing_outcomes_one_is_written(self, store: Store, build: Builder) -> None:
        """Fifty writers of one revision at once: one writes it."""
        intent, attempt = await running(store, build)
        outcomes = [build.outcome(intent, attempt, error_message=str(number)) for number in range(50)]
        results = await asyncio.gather(
            *(store.commit([RecordOutcome(outcome=outcome)]) for outcome in outcomes), return_exceptions=True
        )
        won = [outcome for outcome, result in zip(outcomes, results, strict=True) if result is None]
        assert await store.outcomes(TENANT, intent.action_intent_id) == tuple(won)
        assert len(won) == 1

    # -- budgets -------------------------------------------------------------------------------------------------

    async def _start(self, store: Store, build: Builder, **changes: object) -> StartAttempt:
        intent = await approved(store, build, **changes)
        return start(intent, build.attempt(intent), now_ms=build.clock.now_ms())

    async def test_a_budget_lets_so_many_start_in_a_window(
        self, store: Store, build: Builder, clock: ManualClock
    ) -> None:
        """The start after the last one allowed is refused, until the next window begins."""
        await store.commit([SetBudget(budget=build.budget(2))])
        for _ in range(2):
            await store.commit([await self._start(store, build)])
        over = await self._start(store, build)
        conflict = await refused(store, build, ConflictKind.BUDGET_EXCEEDED, [over])
        assert conflict.current == build.budget(2)
        assert await store.budgets(TENANT) == ((build.budget(2), 2),)
        clock.advance(HOUR)
        ((_, used),) = await store.budgets(TENANT)
        assert used == 0
        await store.commit([replace(over, now_ms=clock.now_ms())])
        ((_, used),) = await store.budgets(TENANT)
        assert used == 1

    async def test_racing_starts_do_not_slip_past_a_budget(self, store: Store, build: Builder) -> None:
        """Of a hundred starts at once, exactly as many happen as the budget has room for."""
        await store.commit([SetBudget(budget=build.budget(30))])
        starts = [await self._start(store, build) for _ in range(100)]
        results = await asyncio.gather(*(store.commit([begin]) for begin in starts), return_exceptions=True)
        assert sum(result is None for result in results) == 30
        assert [r.kind for r in results if isinstance(r, Conflict)] == [ConflictKind.BUDGET_EXCEEDED] * 70
        ((_, used),) = await store.budgets(TENANT)
        assert used == 30

    async def test_every_budget_that_applies_is_charged(self, store: Store, build: Builder) -> None:
        """A start counts against its action type's budget and the tenant's, and against no other."""
        budgets = [build.budget(5), build.budget(1, "CREATE_INTERNAL_NOTE"), build.budget(5, "CREATE_INTERNAL_TASK")]
        await store.commit([SetBudget(budget=budget) for budget in budgets])
        await store.commit([await self._start(store, build)])
        await store.commit([await self._start(store, build, tenant_id="globex")])
        await refused(store, build, ConflictKind.BUDGET_EXCEEDED, [await self._start(store, build)])
        await store.commit([await self._start(store, build, action_type="CREATE_INTERNAL_TASK")])
        assert await store.budgets(TENANT) == tuple(zip(budgets, (2, 1, 1), strict=True))
        assert await store.budgets("globex") == ()

    async def test_a_start_that_charges_nothing_needs_no_room(self, store: Store, build: Builder) -> None:
        """A run that is refused for its budget still gets its lock, and uses nothing."""
        await store.commit([SetBudget(budget=build.budget(0))])
        begin = await self._start(store, build)
        await refused(store, build, ConflictKind.BUDGET_EXCEEDED, [begin])
        await store.commit([replace(begin, charge_budget=False)])
        assert await store.budgets(TENANT) == ((build.budget(0), 0),)

    async def test_a_refused_start_charges_nothing(self, store: Store, build: Builder) -> None:
        """A start that is refused, by its own condition or another command's, leaves the budget as it was."""
        await store.commit([SetBudget(budget=build.budget(5))])
        intent, attempt = await running(store, build)
        again = start(intent, attempt, now_ms=build.clock.now_ms())
        await refused(store, build, ConflictKind.STARTED_BY_SAME_OWNER, [again])
        other = await approved(store, build)
        stale = UpdateAttempt(attempt=attempt, expected_fence=7)
        begin = start(other, build.attempt(other), now_ms=build.clock.now_ms())
        await refused(store, build, ConflictKind.STALE_FENCE, [begin, stale])
        assert await store.budgets(TENANT) == ((build.budget(5), 1),)

    async def test_a_new_budget_counts_what_already_started(
        self, store: Store, build: Builder, clock: ManualClock
    ) -> None:
        """Set late, or with another window, a budget knows what has started in its window."""
        clock.advance(HOUR - clock.now_ms() / 1000 % HOUR + 10)
        for _ in range(2):
            await store.commit([await self._start(store, build)])
        clock.advance(HOUR / 2)
        await store.commit([await self._start(store, build)])
        hourly = build.budget(3)
        await store.commit([SetBudget(budget=hourly)])
        assert await store.budgets(TENANT) == ((hourly, 3),)
        await refused(store, build, ConflictKind.BUDGET_EXCEEDED, [await self._start(store, build)])
        shorter = build.budget(3, window_seconds=HOUR // 2)
        await store.commit([SetBudget(budget=shorter)])
        assert await store.budgets(TENANT) == ((shorter, 1),)
        await store.commit([await self._start(store, build)])
        assert await store.budgets(TENANT) == ((shorter, 2),)

    async def test_a_run_again_is_charged_again(self, store: Store, build: Builder) -> None:
        """A replay counts as a start of its own."""
        await store.commit([SetBudget(budget=build.budget(2))])
        intent, _ = await ended(store, build, RunStatus.FAILED)
        attempt = build.attempt(intent, run_number=2)
        await store.commit([start(intent, attempt, now_ms=build.clock.now_ms())])
        ((_, used),) = await store.budgets(TENANT)
        assert used == 2
        assert intent.account_id == ACCOUNT
