"""A commit happens whole or not at all, and no commit disturbs another."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from enactor.conformance.builders import TENANT, Builder, settled
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
from enactor.domain.errors import StoreFailed
from enactor.domain.ledger import ChainVerifier
from enactor.ports.commands import (
    MAX_COMMANDS,
    AppendApproval,
    Command,
    Conflict,
    ConflictKind,
    CreateObject,
    DeprecateActionType,
    RecordOutcome,
    RegisterActionType,
    RequestCancel,
    ReserveRequest,
    SetBudget,
    SetKillSwitch,
    SetPolicies,
    SettlePermit,
    UpdateAttempt,
    UpdateIntent,
)
from enactor.ports.store import Store


class AtomicitySuite(StoreSuite):
    """All or nothing, for each and among many."""

    async def test_nothing_is_left_of_a_refused_commit(self, store: Store, build: Builder) -> None:
        """Every kind of command is undone, or never done, when the last one's condition fails."""
        mine = build.approved(effect_key="mine")
        started = await approved(store, build)
        intent, attempt, permit = await calling(store, build)
        await store.commit([RegisterActionType(action_type=build.action_type())])
        made = build.object("kept")
        await store.commit([CreateObject(object=made)])
        stale = UpdateAttempt(attempt=build.attempt(build.approved()), expected_fence=1)
        over = replace(attempt, status=RunStatus.SUCCEEDED)
        commands: list[Command] = [
            ReserveRequest(request=build.request(mine)),
            creation(mine),
            AppendApproval(approval=build.approval(mine)),
            start(started, build.attempt(started), now_ms=build.clock.now_ms()),
            UpdateIntent(intent=replace(intent, version=2), expected_version=1, unstarted=False),
            SettlePermit(permit=settled(permit), expected_fence=1),
            UpdateAttempt(attempt=over, expected_fence=1),
            RecordOutcome(outcome=build.outcome(intent, over)),
            RequestCancel(
                action_intent_id=intent.action_intent_id, run_number=1, requested_by="ana", requested_at=build.now()
            ),
            RegisterActionType(action_type=build.action_type(version=2)),
            SetKillSwitch(switch=build.switch("tenant:acme"), expected_generation=0),
            SetBudget(budget=build.budget(7)),
            SetPolicies(policies=build.policies()),
            CreateObject(object=build.object("new")),
        ]
        before = await _everything(store, [mine, started, intent])
        for after in (True, False):
            await refused(store, build, ConflictKind.NOT_FOUND, [*commands, stale], after=after)
            assert await _everything(store, [mine, started, intent]) == before
        await store.commit([*commands, build.entry()])
        assert await _everything(store, [mine, started, intent]) != before

    async def test_deprecation_is_undone_with_its_commit(self, store: Store, build: Builder) -> None:
        """A refused commit leaves an entry open for proposals."""
        entry = build.action_type()
        await store.commit([RegisterActionType(action_type=entry)])
        deprecate = DeprecateActionType(action_type=replace(entry, deprecated_at=build.now()))
        stale = UpdateAttempt(attempt=build.attempt(build.approved()), expected_fence=1)
        await refused(store, build, ConflictKind.NOT_FOUND, [deprecate, stale])
        assert await store.action_type("", entry.action_type) == entry

    async def test_the_first_failing_command_names_the_conflict(self, store: Store, build: Builder) -> None:
        """Where several conditions fail, the conflict is that of the command that stands first."""
        intent, attempt = await running(store, build)
        again = start(intent, attempt, now_ms=build.clock.now_ms())
        stale = UpdateAttempt(attempt=attempt, expected_fence=9)
        await refused(store, build, ConflictKind.STARTED_BY_SAME_OWNER, [again, stale])
        await refused(store, build, ConflictKind.STALE_FENCE, [stale, again])

    async def test_a_conflict_disturbs_no_neighbour(self, store: Store, build: Builder) -> None:
        """Among two hundred commits at once every good one happens and every bad one alone is refused."""
        runs = [await running(store, build) for _ in range(100)]
        good: list[list[Command]] = []
        bad: list[list[Command]] = []
        for intent, attempt in runs:
            permit = build.permit(attempt)
            good.append([take(permit, intent), build.entry(intent)])
            bad.append([build.entry(intent), UpdateAttempt(attempt=attempt, expected_fence=2)])
        commits = [store.commit(commands) for pair in zip(good, bad, strict=True) for commands in pair]
        results = await asyncio.gather(*commits, return_exceptions=True)
        assert all(result is None for result in results[::2])
        assert all(isinstance(result, Conflict) for result in results[1::2])
        for intent, _ in runs:
            entries = await store.entries_after(0, 10, TENANT, intent.action_intent_id)
            assert [entry.sequence for entry in entries] == [1, 2, 3]

    async def test_a_commit_sees_the_ones_before_it(self, store: Store, build: Builder) -> None:
        """Commits asked for one after the other, before any is durable, happen in that order."""
        intent = build.approved()
        attempt = build.attempt(intent)
        permit = build.permit(attempt)
        over = replace(attempt, status=RunStatus.SUCCEEDED)
        await asyncio.gather(
            store.commit([creation(intent), build.entry(intent)]),
            store.commit([start(intent, attempt, now_ms=build.clock.now_ms())]),
            store.commit([take(permit, intent)]),
            store.commit([SettlePermit(permit=settled(permit), expected_fence=1)]),
            store.commit([UpdateAttempt(attempt=over, expected_fence=1), build.entry(intent)]),
        )
        records = await store.execution(TENANT, intent.action_intent_id)
        assert records is not None
        assert records.attempt == over
        assert records.permits == (settled(permit),)

    async def test_many_executions_at_once_keep_their_records_apart(self, store: Store, build: Builder) -> None:
        """A hundred and fifty executions at once: each has its permit, outcome and four entries, and chains hold."""

        async def execute(number: int) -> str:
            intent = build.approved(account_id=f"account-{number % 7}")
            attempt = build.attempt(intent)
            permit = build.permit(attempt)
            over = replace(attempt, status=RunStatus.SUCCEEDED)
            await store.commit([creation(intent)])
            await store.commit(
                [
                    start(intent, attempt, now_ms=build.clock.now_ms()),
                    take(permit, intent),
                    build.entry(intent),
                    build.entry(intent),
                ]
            )
            await store.commit(
                [
                    SettlePermit(permit=settled(permit), expected_fence=1),
                    UpdateAttempt(attempt=over, expected_fence=1),
                    RecordOutcome(outcome=build.outcome(intent, over)),
                    build.entry(intent),
                    build.entry(intent),
                ]
            )
            return intent.action_intent_id

        ids = await asyncio.gather(*(execute(number) for number in range(150)))
        for action_intent_id in ids:
            records = await store.execution(TENANT, action_intent_id)
            assert records is not None
            assert records.attempt is not None
            assert records.attempt.status is RunStatus.SUCCEEDED
            assert records.outcome is not None
            assert len(records.permits) == 1
        verifier = ChainVerifier()
        verifier.feed_all(await store.entries_after(0, 1_000))
        assert (verifier.entries, len(verifier.heads), verifier.faults) == (600, 7, [])

    async def test_an_abandoned_wait_abandons_no_commit(self, store: Store, build: Builder) -> None:
        """A caller that is cancelled while it waits changes nothing for its neighbours, and the store goes on."""
        intents = [build.approved() for _ in range(20)]
        tasks = [asyncio.ensure_future(store.commit([creation(intent)])) for intent in intents]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is None for result in results[1::2])
        for intent in intents[1::2]:
            assert await store.intent(TENANT, intent.action_intent_id) == intent
        await approved(store, build)

    async def test_a_commit_of_nothing_is_nothing(self, store: Store) -> None:
        """An empty commit succeeds and leaves nothing."""
        await store.commit([])
        assert await store.last_position() == 0

    async def test_a_commit_has_a_limit(self, store: Store, build: Builder) -> None:
        """As many commands as allowed are done; one more is the caller's mistake, and nothing is done."""
        await store.commit([build.entry() for _ in range(MAX_COMMANDS)])
        with pytest.raises(ValueError, match="at most 50"):
            await store.commit([build.entry() for _ in range(MAX_COMMANDS + 1)])
        assert await store.last_position() == MAX_COMMANDS

    async def test_a_closed_store_takes_nothing(self, open_store: OpenStore, build: Builder) -> None:
        """After closing, which may be done twice, a commit fails and does not hang."""
        store = await open_store()
        pending = [asyncio.ensure_future(store.commit([build.entry()])) for _ in range(5)]
        await asyncio.sleep(0)
        await store.close()
        await store.close()
        assert await asyncio.gather(*pending) == [None] * 5, "closing forgot what was accepted"
        with pytest.raises(StoreFailed):
            await store.commit([build.entry()])


async def _everything(store: Store, intents: list[object]) -> list[object]:
    ids = [getattr(intent, "action_intent_id", "") for intent in intents]
    seen: list[object] = [
        await store.effect_holder(TENANT, "mine"),
        await store.request(TENANT, "https://issuer.example#agent-7", "order-1"),
        await store.action_type("", "CREATE_INTERNAL_NOTE"),
        await store.switches(["tenant:acme"]),
        await store.budgets(TENANT),
        await store.policies(TENANT),
        await store.object_by_key(TENANT, "new"),
        await store.last_position(),
        await store.due(0, 100),
    ]
    for action_intent_id in ids:
        seen += [
            await store.execution(TENANT, action_intent_id),
            await store.approvals(TENANT, action_intent_id),
            await store.outcomes(TENANT, action_intent_id),
        ]
    return seen
