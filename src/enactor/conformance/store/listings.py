"""Listings of executions, what is due and what has expired; and nobody else's."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from enactor.conformance.builders import AGENT, ANA, TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import (
    StoreSuite,
    approved,
    closed,
    creation,
    ended,
    running,
)
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import InvalidInput, InvalidPageToken
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.time import rfc3339
from enactor.ports.commands import (
    AppendApproval,
    CreateObject,
    ReserveRequest,
    UpdateAttempt,
    UpdateIntent,
)
from enactor.ports.store import ExecutionFilter, ExecutionRow, RunDue, Store

NOTE, TASK = "CREATE_INTERNAL_NOTE", "CREATE_INTERNAL_TASK"
LONG_AGO = rfc3339(0)


async def all_rows(store: Store, where: ExecutionFilter, limit: int) -> list[ExecutionRow]:
    """Every row of a listing, page by page; each page but the last one is full."""
    found: list[ExecutionRow] = []
    token: str | None = None
    while True:
        page = await store.list_executions(TENANT, where, limit, token)
        found += page.items
        token = page.next_token
        if token is None:
            return found
        assert len(page.items) == limit


class ListingSuite(StoreSuite):
    """What listings show, and to whom."""

    async def _one_of_each(self, store: Store, build: Builder) -> dict[str, ActionIntent]:
        """An execution in each wire status, oldest first."""
        pending = build.intent()
        await store.commit([creation(pending)])
        made = {"PENDING_APPROVAL": pending}
        for status in (IntentStatus.REJECTED, IntentStatus.EXPIRED, IntentStatus.CANCELLED):
            intent = await approved(store, build)
            await store.commit([UpdateIntent(intent=closed(intent, status), expected_version=1)])
            made[f"unstarted {status}"] = intent
        made["PENDING"] = await approved(store, build)
        made["RUNNING"] = (await running(store, build))[0]
        for run_status in RunStatus:
            if run_status is not RunStatus.RUNNING:
                made[run_status.value] = (await ended(store, build, run_status))[0]
        return made

    async def test_executions_are_listed_newest_first(self, store: Store, build: Builder) -> None:
        """Pages of any size show each execution once, with its attempt and outcome where there is one."""
        made = await self._one_of_each(store, build)
        ids = [intent.action_intent_id for intent in made.values()]
        for limit in (1, 4, 11, 100):
            rows = await all_rows(store, ExecutionFilter(), limit)
            assert [row.intent.action_intent_id for row in rows] == ids[::-1]
        for row in await all_rows(store, ExecutionFilter(), 100):
            records = await store.execution(TENANT, row.intent.action_intent_id)
            assert records is not None
            assert (row.intent, row.attempt, row.outcome) == (records.intent, records.attempt, records.outcome)

    async def test_executions_are_listed_by_status(self, store: Store, build: Builder) -> None:
        """A wire status selects what shows it; `INTENT:` selects by the intent's own."""
        made = await self._one_of_each(store, build)
        by_id = {intent.action_intent_id: name for name, intent in made.items()}

        async def listed(status: str) -> set[str]:
            rows = await all_rows(store, ExecutionFilter(status=status), 2)
            return {by_id[row.intent.action_intent_id] for row in rows}

        started = {status.value for status in RunStatus}
        for status in ("PENDING_APPROVAL", "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "IN_DOUBT"):
            assert await listed(status) == {status}
        assert await listed("REJECTED") == {"unstarted REJECTED"}
        for status in ("EXPIRED", "CANCELLED"):
            assert await listed(status) == {status, f"unstarted {status}"}
            assert await listed(f"INTENT:{status}") == {f"unstarted {status}"}
        assert await listed("INTENT:APPROVED") == {"PENDING", *started}
        assert await listed("INTENT:PENDING_APPROVAL") == {"PENDING_APPROVAL"}
        assert await listed("INTENT:REJECTED") == {"unstarted REJECTED"}
        assert await listed("NO_SUCH_STATUS") == set()

    async def test_executions_are_listed_by_what_was_proposed(self, store: Store, build: Builder) -> None:
        """Accounts, action type and proposer select, alone and together with a status."""
        north = await approved(store, build)
        south = await approved(store, build, account_id="south", action_type=TASK)
        by_ana = await approved(store, build, proposed_by=ANA)
        done = (await ended(store, build, account_id="south"))[0]

        async def listed(**where: object) -> list[str]:
            rows = await all_rows(store, ExecutionFilter(**where), 1)  # type: ignore[arg-type]
            return [row.intent.action_intent_id for row in rows]

        def ids(*intents: ActionIntent) -> list[str]:
            return [intent.action_intent_id for intent in intents]

        assert await listed(account_ids=("south",)) == ids(done, south)
        assert await listed(account_ids=("south", "north")) == ids(done, by_ana, south, north)
        assert await listed(account_ids=()) == []
        assert await listed(account_ids=("elsewhere",)) == []
        assert await listed(action_type=TASK) == ids(south)
        assert await listed(proposed_by=str(AGENT)) == ids(done, south, north)
        assert await listed(proposed_by=str(ANA), account_ids=("north",)) == ids(by_ana)
        assert await listed(status="PENDING", account_ids=("south",)) == ids(south)
        assert await listed(status="SUCCEEDED", account_ids=("south",), action_type=NOTE) == ids(done)
        assert await listed(status="INTENT:APPROVED", account_ids=("north",), proposed_by=str(AGENT)) == ids(north)

    async def test_a_listing_goes_on_where_it_was(self, store: Store, build: Builder) -> None:
        """What is proposed between two pages neither doubles nor hides what was there."""
        intents = [await approved(store, build) for _ in range(4)]
        page = await store.list_executions(TENANT, ExecutionFilter(), 2, None)
        await approved(store, build)
        rest = await store.list_executions(TENANT, ExecutionFilter(), 10, page.next_token)
        seen = [row.intent for row in (*page.items, *rest.items)]
        assert seen == intents[::-1]

    async def test_a_token_is_good_for_its_own_listing(self, store: Store, build: Builder) -> None:
        """A token of another listing, tenant or filter, or a made-up one, is refused; so is a limit of 0."""
        for _ in range(3):
            await approved(store, build)
            await approved(store, build, tenant_id="globex")
        token = (await store.list_executions(TENANT, ExecutionFilter(), 1, None)).next_token
        other_listing = (await store.runs_in_scope(TENANT, "global", LONG_AGO, 1, None)).next_token
        theirs = (await store.list_executions("globex", ExecutionFilter(), 1, None)).next_token
        assert token is not None
        assert other_listing is not None
        assert theirs is not None
        for foreign in (other_listing, theirs, "", "x", token + "A", token[:-1], token.swapcase(), "é"):
            with pytest.raises(InvalidPageToken):
                await store.list_executions(TENANT, ExecutionFilter(), 1, foreign)
        with pytest.raises(InvalidPageToken):
            await store.list_executions(TENANT, ExecutionFilter(status="PENDING"), 1, token)
        with pytest.raises(InvalidPageToken):
            await store.runs_in_scope(TENANT, "tenant:acme", LONG_AGO, 1, other_listing)
        with pytest.raises(InvalidInput):
            await store.list_executions(TENANT, ExecutionFilter(), 0, None)

    # -- due and expired -----------------------------------------------------------------------------------------

    async def test_what_is_due_is_found_in_order(self, store: Store, build: Builder, clock: ManualClock) -> None:
        """Approved and unstarted, running, in doubt or failed past its deadline: of every tenant, and nothing else."""
        made = await self._one_of_each(store, build)
        theirs = await approved(store, build, tenant_id="globex")
        shadow = build.approved(shadow=True)
        await store.commit([creation(shadow)])
        doubtful = []
        for deadline in (clock.now_ms(), clock.now_ms() + 1, 0):
            intent, attempt = await ended(store, build, RunStatus.IN_DOUBT)
            later = replace(attempt, deadline_at=deadline)
            await store.commit([UpdateAttempt(attempt=later, expected_fence=1, expected_status=RunStatus.IN_DOUBT)])
            doubtful.append(intent)
        for deadline in (clock.now_ms(), clock.now_ms() + 1):
            intent, attempt = await ended(store, build, RunStatus.FAILED)
            later = replace(attempt, deadline_at=deadline)
            await store.commit([UpdateAttempt(attempt=later, expected_fence=1, expected_status=RunStatus.FAILED)])
            doubtful.append(intent)
        waiting_intent, waiting = await running(store, build)
        until = replace(waiting, resume_at=clock.now_ms() + 60_000)
        await store.commit([UpdateAttempt(attempt=until, expected_fence=1)])
        old_doubt = await store.execution(TENANT, made["IN_DOUBT"].action_intent_id)
        assert old_doubt is not None
        assert old_doubt.attempt is not None
        assert old_doubt.attempt.deadline_at > clock.now_ms()
        expected = [
            self._due(made["PENDING"]),
            self._due(made["RUNNING"], RunStatus.RUNNING, deadline_at=clock.now_ms() + 120_000),
            self._due(theirs),
            self._due(doubtful[0], RunStatus.IN_DOUBT, deadline_at=clock.now_ms()),
            self._due(doubtful[3], RunStatus.FAILED, deadline_at=clock.now_ms()),
            self._due(
                waiting_intent, RunStatus.RUNNING, resume_at=until.resume_at, deadline_at=clock.now_ms() + 120_000
            ),
        ]
        for limit in (1, 2, 100):
            found: list[RunDue] = []
            after = ""
            while page := await store.due(clock.now_ms(), limit, after):
                assert len(page) <= limit
                found += page
                after = page[-1].action_intent_id
            assert found == expected

    @staticmethod
    def _due(
        intent: ActionIntent, status: RunStatus | None = None, *, resume_at: int = 0, deadline_at: int = 0
    ) -> RunDue:
        return RunDue(
            action_intent_id=intent.action_intent_id,
            tenant_id=intent.tenant_id,
            run_number=1,
            status=status,
            resume_at=resume_at,
            deadline_at=deadline_at,
        )

    async def test_what_has_expired_is_found_until_it_is_closed(
        self, store: Store, build: Builder, clock: ManualClock
    ) -> None:
        """Pending or approved, never started, at or past its expiry: of every tenant, and nothing else."""
        soon = clock.now_ms() // 1000 + 60
        pending = build.intent(expires_at_epoch=soon)
        await store.commit([creation(pending)])
        waiting = await approved(store, build, expires_at_epoch=soon, tenant_id="globex")
        await approved(store, build, expires_at_epoch=soon + 1)
        await running(store, build, expires_at_epoch=soon)
        await ended(store, build, expires_at_epoch=soon)
        rejected = build.intent(expires_at_epoch=soon, status=IntentStatus.REJECTED)
        await store.commit([creation(rejected)])
        clock.advance(59.999)
        assert await store.expired(soon * 1000 - 1, 10) == ()
        assert await store.expired(soon * 1000, 10) == (pending, waiting)
        assert await store.expired(soon * 1000, 1) == (pending,)
        assert await store.expired(soon * 1000, 10, pending.action_intent_id) == (waiting,)
        assert len(await store.expired(2**52, 10)) == 3
        await store.commit([UpdateIntent(intent=closed(pending, IntentStatus.EXPIRED), expected_version=1)])
        assert await store.expired(soon * 1000, 10) == (waiting,)

    # -- tenants -------------------------------------------------------------------------------------------------

    async def test_every_reader_answers_one_tenant(self, store: Store, build: Builder) -> None:
        """For another tenant, and for none, every record is as absent as one that was never stored."""
        intent, attempt = await ended(store, build, effect_key="refund:1")
        made = build.object("key-1")
        request = build.request(intent)
        await store.commit([CreateObject(object=made), ReserveRequest(request=request)])
        await store.commit([AppendApproval(approval=build.approval(intent))])
        for tenant_id in ("globex", ""):
            action_intent_id = intent.action_intent_id
            assert await store.intent(tenant_id, action_intent_id) is None
            assert await store.execution(tenant_id, action_intent_id) is None
            assert await store.revisions(tenant_id, action_intent_id) == ()
            assert await store.approvals(tenant_id, action_intent_id) == ()
            assert await store.outcomes(tenant_id, action_intent_id) == ()
            assert await store.request(tenant_id, request.principal, request.key) is None
            assert await store.effect_holder(tenant_id, "refund:1") is None
            assert (await store.list_executions(tenant_id, ExecutionFilter(), 10, None)).items == ()
            assert (await store.runs_in_scope(tenant_id, "global", LONG_AGO, 10, None)).items == ()
            assert await store.object(tenant_id, made.object_id) is None
            assert await store.object_by_key(tenant_id, made.creation_key) is None
            assert (await store.list_objects(tenant_id, "note", None, 10, None)).items == ()
            assert await store.entries_after(0, 10, tenant_id) == ()
        assert await store.outcomes(TENANT, intent.action_intent_id) != ()
        assert attempt.tenant_id == TENANT

    async def test_unknown_things_are_absent(self, store: Store) -> None:
        """An id that nobody made is answered with nothing, not with an error."""
        for unknown in ("ai_00000000-0000-7000-8000-000000000000", "", "x' OR 1=1 --", "🎉", "%"):
            assert await store.intent(TENANT, unknown) is None
            assert await store.execution(TENANT, unknown) is None
            assert await store.revisions(TENANT, unknown) == ()
            assert await store.outcomes(TENANT, unknown) == ()
            assert await store.object(TENANT, unknown) is None
            assert await store.effect_holder(TENANT, unknown) is None
            assert await store.action_type(TENANT, unknown) is None
            assert await store.policies(unknown) is None
