"""Permits: who may make a call, and what may be said about it afterwards."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from enactor.conformance.builders import TENANT, Builder, note_ref, settled
from enactor.conformance.store.base import StoreSuite, approved, calling, refused, running, start, take
from enactor.domain.attempt import RunStatus
from enactor.domain.intent import SwitchMark
from enactor.domain.kill_switch import scopes_of
from enactor.domain.permit import CallResult, Purpose, SettledBy, WritePermit
from enactor.ports.commands import (
    Conflict,
    ConflictKind,
    DoubtAfterRestore,
    RecordOutcome,
    RequestCancel,
    SetKillSwitch,
    SettlePermit,
    TakePermit,
    UpdateAttempt,
)
from enactor.ports.store import Store


async def permits(store: Store, action_intent_id: str) -> tuple[WritePermit, ...]:
    """The permits in the store, in the order of their calls."""
    records = await store.execution(TENANT, action_intent_id)
    assert records is not None
    return records.permits


class PermitSuite(StoreSuite):
    """What holds for each call."""

    async def test_a_first_call_takes_two_commits(self, store: Store, build: Builder) -> None:
        """Start and permit share a commit, and so do result, end and outcome; each sees the other's records."""
        intent = await approved(store, build)
        attempt = build.attempt(intent)
        permit = build.permit(attempt)
        await store.commit(
            [
                start(intent, attempt, now_ms=build.clock.now_ms()),
                take(permit, intent),
                build.entry(intent),
                build.entry(intent),
            ]
        )
        assert await permits(store, intent.action_intent_id) == (permit,)
        over = replace(attempt, status=RunStatus.SUCCEEDED)
        done, outcome = settled(permit), build.outcome(intent, over)
        await store.commit(
            [
                SettlePermit(permit=done, expected_fence=1),
                UpdateAttempt(attempt=over, expected_fence=1),
                RecordOutcome(outcome=outcome),
                build.entry(intent),
            ]
        )
        records = await store.execution(TENANT, intent.action_intent_id)
        assert records is not None
        assert (records.attempt, records.permits, records.outcome) == (over, (done,), outcome)
        assert [entry.sequence for entry in await store.entries_after(0, 10)] == [1, 2, 3, 4]

    async def test_one_permit_is_open_at_a_time(self, store: Store, build: Builder) -> None:
        """While a call is out no other is permitted, under any number or purpose."""
        intent, attempt, permit = await calling(store, build)
        for call_no, purpose in ((1, Purpose.EFFECT), (2, Purpose.EFFECT), (2, Purpose.COMPENSATION)):
            another = build.permit(attempt, call_no=call_no, purpose=purpose)
            conflict = await refused(store, build, ConflictKind.PERMIT_TAKEN, [take(another, intent)])
            assert conflict.current == permit
        assert await permits(store, intent.action_intent_id) == (permit,)

    async def test_a_call_number_is_used_once(self, store: Store, build: Builder) -> None:
        """After a call has ended its number stays used, in later runs too; the next number is free."""
        intent, attempt, permit = await calling(store, build)
        refusal = settled(permit, CallResult.REFUSED)
        await store.commit([SettlePermit(permit=refusal)])
        conflict = await refused(store, build, ConflictKind.PERMIT_TAKEN, [take(permit, intent)])
        assert conflict.current == refusal
        failed = replace(attempt, status=RunStatus.FAILED)
        await store.commit([UpdateAttempt(attempt=failed, expected_fence=1)])
        second = build.attempt(intent, run_number=2)
        await store.commit([start(intent, second, now_ms=build.clock.now_ms())])
        again = build.permit(second)
        await refused(store, build, ConflictKind.PERMIT_TAKEN, [take(again, intent)])
        follower = replace(again, call_no=2)
        await store.commit([take(follower, intent)])
        assert await permits(store, intent.action_intent_id) == (refusal, follower)

    async def test_two_intents_can_call_under_one_key(self, store: Store, build: Builder) -> None:
        """Every undo of a run has the same key: a permit is known by its intent and number, not by its key."""
        made = []
        for _ in range(2):
            intent, attempt = await running(store, build)
            permit = build.permit(attempt, idempotency_key="ab" * 32)
            await store.commit([take(permit, intent)])
            made.append((intent, permit))
        for intent, permit in made:
            assert await permits(store, intent.action_intent_id) == (permit,)
            await store.commit([SettlePermit(permit=replace(permit, result=CallResult.REFUSED))])

    async def test_of_racing_permits_one_is_taken(self, store: Store, build: Builder) -> None:
        """Fifty callers of one run at once: one may call."""
        intent, attempt = await running(store, build)
        candidates = [build.permit(attempt, call_no=1 + number % 5) for number in range(50)]
        results = await asyncio.gather(
            *(store.commit([take(permit, intent)]) for permit in candidates), return_exceptions=True
        )
        assert sum(result is None for result in results) == 1
        assert [r.kind for r in results if isinstance(r, Conflict)] == [ConflictKind.PERMIT_TAKEN] * 49
        assert len(await permits(store, intent.action_intent_id)) == 1

    async def test_a_stale_fence_takes_no_permit(self, store: Store, build: Builder) -> None:
        """After a takeover only the new fence may call; another run's holder never may."""
        intent, attempt = await running(store, build)
        taken = replace(attempt, fence=2)
        await store.commit([UpdateAttempt(attempt=taken, expected_fence=1)])
        old = build.permit(attempt)
        conflict = await refused(store, build, ConflictKind.STALE_FENCE, [take(old, intent)])
        assert conflict.current == taken
        of_another_run = build.permit(taken, run_number=2)
        await refused(store, build, ConflictKind.STALE_FENCE, [take(of_another_run, intent)])
        await store.commit([take(build.permit(taken), intent)])

    async def test_a_permit_needs_a_run(self, store: Store, build: Builder) -> None:
        """Where nobody has the lock nobody may call."""
        intent = await approved(store, build)
        await refused(store, build, ConflictKind.NOT_FOUND, [take(build.permit(build.attempt(intent)), intent)])

    @pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.RUNNING])
    async def test_only_a_running_run_takes_a_permit(self, store: Store, build: Builder, status: RunStatus) -> None:
        """A run that has ended, or is in doubt, makes no more calls; nor does one that ends in the same commit."""
        intent, attempt = await running(store, build)
        over = replace(attempt, status=status)
        permit = take(build.permit(attempt), intent)
        end = UpdateAttempt(attempt=over, expected_fence=1)
        await refused(store, build, ConflictKind.STATUS_CHANGED, [end, permit])
        await store.commit([end])
        conflict = await refused(store, build, ConflictKind.STATUS_CHANGED, [permit])
        assert conflict.current == over

    async def test_a_takeover_may_call_in_the_same_commit(self, store: Store, build: Builder) -> None:
        """The fence that a commit itself writes counts in it, and so does the call it settles; in any order."""
        intent, attempt, permit = await calling(store, build)
        taken = replace(attempt, fence=2)
        unknown = settled(permit, CallResult.UNKNOWN, taken_over=True)
        following = build.permit(taken, call_no=2)
        settle = SettlePermit(permit=unknown, expected_fence=2)
        takeover = UpdateAttempt(attempt=taken, expected_fence=1)
        stale = take(replace(following, fence=1), intent)
        await refused(store, build, ConflictKind.STALE_FENCE, [stale, settle, takeover])
        await store.commit([take(following, intent), settle, takeover])
        assert await permits(store, intent.action_intent_id) == (unknown, following)

    # -- switches and cancel requests ----------------------------------------------------------------------------

    @pytest.mark.parametrize("scope", scopes_of(TENANT, "CREATE_INTERNAL_NOTE", "internal"))
    async def test_a_switch_of_any_scope_refuses(self, store: Store, build: Builder, scope: str) -> None:
        """Each of the six scopes refuses while on, and for ever what was authorised before it was turned."""
        intent, attempt = await running(store, build)
        permit = build.permit(attempt)
        on = build.switch(scope, 1)
        await store.commit([SetKillSwitch(switch=on, expected_generation=0)])
        conflict = await refused(store, build, ConflictKind.SWITCH_CHANGED, [take(permit, intent)])
        assert conflict.current == on
        off = build.switch(scope, 2, enabled=False)
        await store.commit([SetKillSwitch(switch=off, expected_generation=1)])
        await refused(store, build, ConflictKind.SWITCH_CHANGED, [take(permit, intent)])
        fresh = tuple(SwitchMark(mark.scope, 2 if mark.scope == scope else 0) for mark in intent.switch_marks)
        await store.commit([TakePermit(permit=permit, marks=fresh)])

    async def test_a_switch_that_is_on_refuses_whatever_the_marks_say(self, store: Store, build: Builder) -> None:
        """Marks taken while the switch was on do not open it."""
        intent, attempt = await running(store, build)
        await store.commit([SetKillSwitch(switch=build.switch("global", 1), expected_generation=0)])
        known = TakePermit(permit=build.permit(attempt), marks=(SwitchMark("global", 1),))
        await refused(store, build, ConflictKind.SWITCH_CHANGED, [known])
        assert await permits(store, intent.action_intent_id) == ()

    async def test_a_switch_of_elsewhere_refuses_nothing(self, store: Store, build: Builder) -> None:
        """Another tenant's, connector's or action type's switch is not this run's."""
        intent, attempt = await running(store, build)
        for scope in ("tenant:globex", "connector:salesforce", "action-type:OTHER", "tenant:acme/action-type:OTHER"):
            await store.commit([SetKillSwitch(switch=build.switch(scope, 1), expected_generation=0)])
        await store.commit([take(build.permit(attempt), intent)])

    async def test_a_switch_may_leave_compensation_allowed(self, store: Store, build: Builder) -> None:
        """If and only if the switch says so, what takes an effect back may still call."""
        intent, attempt = await running(store, build)
        undo = take(build.permit(attempt, purpose=Purpose.COMPENSATION), intent)
        strict = build.switch("global", 1)
        await store.commit([SetKillSwitch(switch=strict, expected_generation=0)])
        await refused(store, build, ConflictKind.SWITCH_CHANGED, [undo])
        lenient = replace(strict, compensation=True)
        await store.commit([SetKillSwitch(switch=lenient, expected_generation=1)])
        await refused(store, build, ConflictKind.SWITCH_CHANGED, [take(build.permit(attempt), intent)])
        await store.commit([undo])

    async def test_no_permit_is_accepted_after_a_switch(self, store: Store, build: Builder) -> None:
        """Of forty permits racing with a switch, none that was taken is missing from the report read after it."""
        runs = [await running(store, build) for _ in range(40)]
        takes = [store.commit([take(build.permit(attempt), intent)]) for intent, attempt in runs]
        reported: set[str] = set()

        async def switch_and_report() -> None:
            await store.commit([SetKillSwitch(switch=build.switch("tenant:acme", 1), expected_generation=0)])
            page = await store.runs_in_scope(TENANT, "tenant:acme", build.now(), 100, None)
            assert len(page.items) == 40
            reported.update(run.action_intent_id for run in page.items if run.containment == "unknown")

        results = await asyncio.gather(*takes[:20], switch_and_report(), *takes[20:], return_exceptions=True)
        switched = results.pop(20)
        assert switched is None
        taken = {intent.action_intent_id for (intent, _), result in zip(runs, results, strict=True) if result is None}
        assert reported == taken

    async def test_a_cancel_request_refuses_the_next_permit(self, store: Store, build: Builder) -> None:
        """Whoever was asked to stop makes no further call of that run, unless it takes an effect back."""
        intent, attempt = await running(store, build)
        request = RequestCancel(
            action_intent_id=intent.action_intent_id, run_number=1, requested_by="ana", requested_at=build.now()
        )
        await store.commit([request])
        await refused(store, build, ConflictKind.CANCEL_REQUESTED, [take(build.permit(attempt), intent)])
        await store.commit([take(build.permit(attempt, purpose=Purpose.COMPENSATION), intent)])

    async def test_a_cancel_request_waits_for_the_start(self, store: Store, build: Builder) -> None:
        """Asked before the run has its lock, it is known to the run all the same."""
        intent = await approved(store, build)
        request = RequestCancel(
            action_intent_id=intent.action_intent_id, run_number=1, requested_by="ana", requested_at=build.now()
        )
        await store.commit([request])
        attempt = build.attempt(intent)
        begin = start(intent, attempt, now_ms=build.clock.now_ms())
        await refused(
            store, build, ConflictKind.CANCEL_REQUESTED, [begin, take(build.permit(attempt), intent)], after=False
        )
        await store.commit([begin])
        await refused(store, build, ConflictKind.CANCEL_REQUESTED, [take(build.permit(attempt), intent)])

    async def test_a_cancel_request_is_of_one_run(self, store: Store, build: Builder) -> None:
        """A run that follows the one that was asked to stop may call."""
        intent, attempt = await running(store, build)
        request = RequestCancel(
            action_intent_id=intent.action_intent_id, run_number=1, requested_by="ana", requested_at=build.now()
        )
        cancelled = replace(attempt, status=RunStatus.CANCELLED)
        await store.commit([request])
        await store.commit([UpdateAttempt(attempt=cancelled, expected_fence=1)])
        second = build.attempt(intent, run_number=2)
        await store.commit([start(intent, second, now_ms=build.clock.now_ms()), take(build.permit(second), intent)])

    # -- results -------------------------------------------------------------------------------------------------

    async def test_a_result_is_written_over_the_expected_one(self, store: Store, build: Builder) -> None:
        """A settled call is not settled again as if it were open; a late result names UNKNOWN and needs no fence."""
        intent, attempt, permit = await calling(store, build)
        unknown = settled(permit, CallResult.UNKNOWN)
        await store.commit([SettlePermit(permit=unknown, expected_fence=1)])
        conflict = await refused(
            store, build, ConflictKind.PERMIT_SETTLED, [SettlePermit(permit=settled(permit), expected_fence=1)]
        )
        assert conflict.current == unknown
        await store.commit([UpdateAttempt(attempt=replace(attempt, fence=2), expected_fence=1)])
        late = settled(permit, settled_by=SettledBy.LATE_RESULT)
        await store.commit([SettlePermit(permit=late, expected=CallResult.UNKNOWN)])
        assert await permits(store, intent.action_intent_id) == (late,)
        other = settled(permit, external_object_refs=(note_ref("another"),))
        await refused(
            store, build, ConflictKind.PERMIT_SETTLED, [SettlePermit(permit=other, expected=CallResult.UNKNOWN)]
        )

    async def test_a_stale_fence_settles_nothing(self, store: Store, build: Builder) -> None:
        """After a takeover the old holder's result is refused as stale, whether or not the call is settled yet."""
        intent, attempt, permit = await calling(store, build)
        taken = replace(attempt, fence=2)
        await store.commit([UpdateAttempt(attempt=taken, expected_fence=1)])
        done = SettlePermit(permit=settled(permit), expected_fence=1)
        conflict = await refused(store, build, ConflictKind.STALE_FENCE, [done])
        assert conflict.current == taken
        await store.commit([SettlePermit(permit=settled(permit, CallResult.UNKNOWN), expected_fence=2)])
        await refused(store, build, ConflictKind.STALE_FENCE, [done])
        (stored,) = await permits(store, intent.action_intent_id)
        assert stored.result is CallResult.UNKNOWN

    async def test_of_racing_results_one_is_written(self, store: Store, build: Builder) -> None:
        """Fifty results for one call at once: one is stored."""
        intent, _, permit = await calling(store, build)
        results = [settled(permit, external_object_refs=(note_ref(str(number)),)) for number in range(50)]
        said = await asyncio.gather(
            *(store.commit([SettlePermit(permit=result, expected_fence=1)]) for result in results),
            return_exceptions=True,
        )
        won = [result for result, error in zip(results, said, strict=True) if error is None]
        assert await permits(store, intent.action_intent_id) == tuple(won)
        assert len(won) == 1

    async def test_a_permit_that_was_never_taken_is_not_settled(self, store: Store, build: Builder) -> None:
        """A result without a permit is refused."""
        _, attempt = await running(store, build)
        done = SettlePermit(permit=settled(build.permit(attempt)))
        await refused(store, build, ConflictKind.NOT_FOUND, [done])

    # -- after a restore -----------------------------------------------------------------------------------------

    async def test_a_doubt_after_restore_needs_no_lock(self, store: Store, build: Builder) -> None:
        """It is recorded for whatever intent it names, as often as asked, and counts like any call in doubt."""
        waiting = await approved(store, build)
        intent, attempt = await running(store, build)
        for restored in (waiting, intent):
            doubt = build.permit(
                build.attempt(restored), call_no=0, run_number=0, fence=0, result=CallResult.UNKNOWN, taken_over=True
            )
            await store.commit([DoubtAfterRestore(permit=replace(doubt, taken_at=1))])
            await store.commit([DoubtAfterRestore(permit=doubt), build.entry(restored)])
            assert await permits(store, restored.action_intent_id) == (doubt,)
        page = await store.runs_in_scope(TENANT, "global", build.now(), 10, None)
        assert [run.containment for run in page.items] == ["unknown", "unknown"]
        (doubt,) = await permits(store, intent.action_intent_id)
        stale = UpdateAttempt(attempt=attempt, expected_fence=9)
        other = DoubtAfterRestore(permit=replace(doubt, taken_at=2))
        await refused(store, build, ConflictKind.STALE_FENCE, [other, stale])
        first = build.permit(attempt)
        await store.commit([take(first, intent)])
        assert await permits(store, intent.action_intent_id) == (doubt, first)
        (doubt,) = await permits(store, waiting.action_intent_id)
        attempt = build.attempt(waiting)
        await store.commit([start(waiting, attempt, now_ms=build.clock.now_ms())])
        again = take(build.permit(attempt, call_no=0), waiting)
        conflict = await refused(store, build, ConflictKind.PERMIT_TAKEN, [again])
        assert conflict.current == doubt
