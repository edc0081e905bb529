"""The containment report's runs: each in a switch's scope, with what is true of it."""

from __future__ import annotations

from msgspec.structs import replace

from enactor.conformance.builders import TENANT, Builder, settled
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import StoreSuite, approved, calling, closed, creation, ended, running, start, take
from enactor.domain.attempt import RunStatus
from enactor.domain.containment import ContainedRun, Containment
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.kill_switch import scopes_of
from enactor.domain.permit import CallResult, SettledBy
from enactor.domain.time import rfc3339
from enactor.ports.commands import RecordOutcome, SettlePermit, UpdateAttempt, UpdateIntent
from enactor.ports.store import Store

NOTE, TASK = "CREATE_INTERNAL_NOTE", "CREATE_INTERNAL_TASK"
LONG_AGO = rfc3339(0)


async def all_runs(store: Store, scope: str, since: str, limit: int = 100) -> dict[str, ContainedRun]:
    """Every run in a scope by intent id, page by page; each intent has one."""
    found = await whole_report(store, scope, since, limit)
    by_id = {run.action_intent_id: run for run in found}
    assert len(by_id) == len(found)
    return by_id


async def whole_report(store: Store, scope: str, since: str, limit: int) -> list[ContainedRun]:
    """Every run in a scope, page by page, in order and each once; each page but the last one is full."""
    found: list[ContainedRun] = []
    token: str | None = None
    while True:
        page = await store.runs_in_scope(TENANT, scope, since, limit, token)
        found += page.items
        token = page.next_token
        if token is None:
            assert [run.position for run in found] == sorted({run.position for run in found})
            return found
        assert len(page.items) == limit


class ContainmentSuite(StoreSuite):
    """What a report lists, and what it says of it."""

    async def test_a_report_says_what_is_true_of_each_run(self, store: Store, build: Builder) -> None:
        """Open or unsettled is unknown; done is executed; what made no call, or none with an effect, is blocked."""
        waiting = await approved(store, build)
        unstarted = await running(store, build)
        out, attempt, permit = await calling(store, build)
        lost, _, lost_permit = await calling(store, build)
        await store.commit([SettlePermit(permit=settled(lost_permit, CallResult.UNKNOWN))])
        absent, _, absent_permit = await calling(store, build)
        nothing = settled(absent_permit, CallResult.UNKNOWN, settled_by=SettledBy.LOOKUP_ABSENT)
        await store.commit([SettlePermit(permit=nothing)])
        answered, _, answered_permit = await calling(store, build)
        await store.commit([SettlePermit(permit=settled(answered_permit))])
        endings = {status: (await ended(store, build, status))[0] for status in RunStatus if status != "RUNNING"}
        runs = await all_runs(store, "tenant:acme", LONG_AGO, 3)

        def contained(intent: ActionIntent) -> tuple[str, str, int]:
            run = runs.pop(intent.action_intent_id)
            assert (run.account_id, run.action_type) == (intent.account_id, intent.action_type)
            return run.containment.value, run.status, run.run_number

        assert runs[out.action_intent_id].open_until == rfc3339(permit.call_not_after)
        assert runs[lost.action_intent_id].open_until is None
        assert contained(waiting) == ("blocked", "PENDING", 1)
        assert contained(unstarted[0]) == ("blocked", "RUNNING", 1)
        assert contained(out) == ("unknown", "RUNNING", 1)
        assert contained(lost) == ("unknown", "RUNNING", 1)
        assert contained(absent) == ("blocked", "RUNNING", 1)
        assert contained(answered) == ("executed", "RUNNING", 1)
        assert contained(endings[RunStatus.SUCCEEDED]) == ("executed", "SUCCEEDED", 1)
        assert contained(endings[RunStatus.IN_DOUBT]) == ("unknown", "IN_DOUBT", 1)
        for status in (RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.EXPIRED):
            assert contained(endings[status]) == ("blocked", status.value, 1)
        assert runs == {}
        assert attempt.run_number == 1

    async def test_a_report_covers_its_scope(self, store: Store, build: Builder) -> None:
        """Each of the six scopes selects by what it names, and never a run of another tenant."""
        note = await approved(store, build)
        task = await approved(store, build, action_type=TASK)
        crm = (await running(store, build, connector_id="salesforce"))[0]
        done = (await ended(store, build, connector_id="salesforce", action_type=TASK))[0]
        await approved(store, build, tenant_id="globex")
        await ended(store, build, tenant_id="globex")

        async def covered(scope: str) -> set[str]:
            return set(await all_runs(store, scope, LONG_AGO, 1))

        def ids(*intents: ActionIntent) -> set[str]:
            return {intent.action_intent_id for intent in intents}

        for all_of_it in ("global", "tenant:acme"):
            assert await covered(all_of_it) == ids(note, task, crm, done)
        for prefix in ("", "tenant:acme/"):
            assert await covered(f"{prefix}connector:salesforce") == ids(crm, done)
            assert await covered(f"{prefix}connector:internal") == ids(note, task)
            assert await covered(f"{prefix}action-type:{TASK}") == ids(task, done)
            assert await covered(f"{prefix}action-type:NONE") == set()
        for foreign in ("tenant:globex", "tenant:globex/connector:internal", "nonsense"):
            assert await covered(foreign) == set()
        for scope in scopes_of("globex", NOTE, "internal"):
            page = await store.runs_in_scope("globex", scope, LONG_AGO, 10, None)
            assert not {run.action_intent_id for run in page.items} & ids(note, task, crm, done)
            assert len(page.items) == 2

    async def test_a_report_leaves_out_what_ended_before(
        self, store: Store, build: Builder, clock: ManualClock
    ) -> None:
        """Runs that ended before the instant are left out; those that ended at it, or never did, are not."""
        old = [(await ended(store, build, status))[0] for status in (RunStatus.SUCCEEDED, RunStatus.FAILED)]
        doubt = (await ended(store, build, RunStatus.IN_DOUBT))[0]
        waiting = await approved(store, build)
        never = await approved(store, build)
        await store.commit([UpdateIntent(intent=closed(never, IntentStatus.REJECTED), expected_version=1)])
        unapproved = build.intent()
        shadow = build.approved(shadow=True)
        await store.commit([creation(unapproved)])
        await store.commit([creation(shadow)])
        clock.advance(1)
        since = build.now()
        new = (await ended(store, build))[0]
        for since_then in (since, since.replace("Z", "+00:00")):
            for limit in (1, 10):
                found = await all_runs(store, "global", since_then, limit)
                assert set(found) == {it.action_intent_id for it in (doubt, waiting, new)}
        everything = set(await all_runs(store, "global", LONG_AGO))
        assert everything == {it.action_intent_id for it in (*old, doubt, waiting, new)}

    async def test_a_report_shows_every_run(self, store: Store, build: Builder, clock: ManualClock) -> None:
        """After replays each run is listed with what became of it, in pages of any size; unless it ended before."""
        moments, runs = [], []
        intent, attempt, permit = await calling(store, build)
        await store.commit([SettlePermit(permit=settled(permit, CallResult.REFUSED))])
        for number in (2, 3):
            moments.append(build.now())
            over = replace(attempt, status=RunStatus.FAILED, updated_at=build.now())
            outcome = build.outcome(intent, over, status=RunStatus.FAILED)
            await store.commit([UpdateAttempt(attempt=over, expected_fence=1), RecordOutcome(outcome=outcome)])
            clock.advance(60)
            runs.append((number - 1, "FAILED"))
            attempt = build.attempt(intent, run_number=number)
            await store.commit([start(intent, attempt, now_ms=clock.now_ms())])
        runs.append((3, "RUNNING"))
        other = (await running(store, build))[0]

        async def listed(since: str, limit: int) -> list[tuple[int, str]]:
            found = await whole_report(store, "tenant:acme", since, limit)
            assert {run.containment for run in found} == {Containment.BLOCKED}
            assert (found.pop().action_intent_id, len({run.action_intent_id for run in found})) == (
                other.action_intent_id,
                1,
            )
            return [(run.run_number, run.status) for run in found]

        for limit in (1, 2, 3, 10):
            assert await listed(moments[0], limit) == runs
            assert await listed(moments[1], limit) == runs[1:]
            assert await listed(build.now(), limit) == runs[2:]

    async def test_an_effect_counts_for_the_run_whose_call_made_it(self, store: Store, build: Builder) -> None:
        """A late result makes the earlier run executed and leaves its replay, which made no call, as it is."""
        intent, attempt, permit = await calling(store, build)
        denied = settled(permit, CallResult.UNKNOWN, settled_by=SettledBy.RESOLVED)
        over = replace(attempt, status=RunStatus.FAILED, updated_at=build.now())
        outcome = build.outcome(intent, over, status=RunStatus.FAILED)
        await store.commit(
            [
                SettlePermit(permit=denied),
                UpdateAttempt(attempt=over, expected_fence=1),
                RecordOutcome(outcome=outcome),
            ]
        )
        second = build.attempt(intent, run_number=2, fence=2)
        await store.commit([start(intent, second, now_ms=build.clock.now_ms())])

        async def listed() -> list[tuple[str, str]]:
            found = await whole_report(store, "global", LONG_AGO, 10)
            return [(run.containment.value, run.status) for run in found]

        assert await listed() == [("blocked", "FAILED"), ("blocked", "RUNNING")]
        late = settled(permit, settled_by=SettledBy.LATE_RESULT)
        await store.commit([SettlePermit(permit=late, expected=CallResult.UNKNOWN)])
        assert await listed() == [("executed", "FAILED"), ("blocked", "RUNNING")]
        await store.commit([take(build.permit(second, call_no=2), intent)])
        assert await listed() == [("executed", "FAILED"), ("unknown", "RUNNING")]
