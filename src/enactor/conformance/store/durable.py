"""What a store still knows, and still refuses, after it was closed and opened again."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from enactor.conformance.builders import TENANT, Builder, settled
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import (
    OpenStore,
    StoreSuite,
    approved,
    calling,
    creation,
    ended,
    refused,
    running,
    start,
    take,
)
from enactor.conformance.store.logs import checkpoint, grown
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import StoreFailed
from enactor.domain.ledger import ChainVerifier
from enactor.domain.log import LogHead, LogKey
from enactor.domain.permit import CallResult
from enactor.ports.commands import (
    AppendApproval,
    Command,
    ConflictKind,
    CreateObject,
    DeleteObject,
    KeepCheckpoint,
    PutLogKey,
    RecordOutcome,
    RegisterActionType,
    RequestCancel,
    ReserveRequest,
    SetBudget,
    SetKillSwitch,
    SetPolicies,
    SettlePermit,
    UpdateAttempt,
)
from enactor.ports.store import Store


class DurableSuite(StoreSuite):
    """Nothing is lost, and no condition is forgotten, between two lives of a store."""

    async def test_everything_is_there_again(self, store: Store, open_store: OpenStore, build: Builder) -> None:
        """Every kind of record reads the same after reopening."""
        done, _ = await ended(store, build, effect_key="done")
        out, _, _ = await calling(store, build)
        pending = build.intent()
        await store.commit([creation(pending), ReserveRequest(request=build.request(pending))])
        await store.commit([AppendApproval(approval=build.approval(pending))])
        await store.commit([RegisterActionType(action_type=build.action_type())])
        await store.commit([SetKillSwitch(switch=build.switch("global"), expected_generation=0)])
        await store.commit([SetBudget(budget=build.budget(9)), SetPolicies(policies=build.policies())])
        await store.commit([CreateObject(object=build.object("key-1"))])
        await store.move_delivery_cursor("webhooks", 3)
        await store.keep_undelivered(build.undelivered(3))
        log = await grown(store, LogHead(tenant_id=TENANT), await store.log_feed(0, 3))
        await store.commit([log])
        await store.commit([KeepCheckpoint(checkpoint=checkpoint(log.head, build))])
        await store.commit([PutLogKey(key=LogKey(tenant_id=TENANT, key="log+a", valid_from=build.now()))])
        before = await _everything(store, (done.action_intent_id, out.action_intent_id, pending.action_intent_id))
        await store.close()
        again = await open_store()
        try:
            ids = (done.action_intent_id, out.action_intent_id, pending.action_intent_id)
            assert await _everything(again, ids) == before
        finally:
            await again.close()

    async def test_conditions_hold_against_an_earlier_life(
        self, store: Store, open_store: OpenStore, build: Builder
    ) -> None:
        """Locks, fences, permits, outcomes, keys, budgets, switches and limits of before refuse as they did."""
        intent, attempt, permit = await calling(store, build, effect_key="held")
        stopped, stopped_attempt = await running(store, build)
        over_intent, over = await ended(store, build)
        made = build.object("key-1")
        gone = build.object("key-2")
        pending = build.intent()
        await store.commit([creation(pending), ReserveRequest(request=build.request(pending))])
        await store.commit([AppendApproval(approval=build.approval(pending))])
        await store.commit([CreateObject(object=made), CreateObject(object=gone)])
        await store.commit([DeleteObject(tenant_id=TENANT, object_id=gone.object_id, expected_version=1)])
        await store.commit([SetBudget(budget=build.budget(3))])
        log = await grown(store, LogHead(tenant_id=TENANT), await store.log_feed(0, 1))
        await store.commit([log])
        await store.commit([KeepCheckpoint(checkpoint=checkpoint(log.head, build))])
        await store.commit(
            [
                RequestCancel(
                    action_intent_id=stopped.action_intent_id,
                    run_number=1,
                    requested_by="ana",
                    requested_at=build.now(),
                )
            ]
        )
        await store.close()
        store = await open_store()
        try:
            fresh = await approved(store, build)
            again = build.attempt(intent)
            outcome = build.outcome(over_intent, over)
            expectations: list[tuple[ConflictKind, Command]] = [
                (ConflictKind.STARTED_BY_SAME_OWNER, start(intent, again, now_ms=build.clock.now_ms())),
                (ConflictKind.STALE_FENCE, UpdateAttempt(attempt=attempt, expected_fence=2)),
                (ConflictKind.PERMIT_TAKEN, take(replace(permit, call_no=2), intent)),
                (ConflictKind.CANCEL_REQUESTED, take(build.permit(stopped_attempt), stopped)),
                (ConflictKind.OUTCOME_EXISTS, RecordOutcome(outcome=outcome)),
                (ConflictKind.EFFECT_KEY_TAKEN, creation(build.intent(effect_key="held"))),
                (ConflictKind.TOO_MANY_PENDING, creation(build.intent(), of_proposer=1)),
                (ConflictKind.TOO_MANY_PENDING, creation(build.intent(), of_tenant=1)),
                (ConflictKind.REQUEST_KEY_USED, ReserveRequest(request=build.request(pending))),
                (ConflictKind.ALREADY_DECIDED, AppendApproval(approval=build.approval(pending))),
                (ConflictKind.OBJECT_EXISTS, CreateObject(object=made)),
                (ConflictKind.OBJECT_EXISTS, CreateObject(object=gone)),
                (ConflictKind.BUDGET_EXCEEDED, start(fresh, build.attempt(fresh), now_ms=build.clock.now_ms())),
                (ConflictKind.LOG_CHANGED, log),
                (ConflictKind.LOG_CHANGED, KeepCheckpoint(checkpoint=checkpoint(log.head, build))),
            ]
            for kind, command in expectations:
                await refused(store, build, kind, [command])
            await store.commit([SetKillSwitch(switch=build.switch("global"), expected_generation=0)])
            await store.close()
            store = await open_store()
            await store.commit([SettlePermit(permit=settled(permit, CallResult.REFUSED), expected_fence=1)])
            late = take(replace(permit, call_no=2), intent)
            await refused(store, build, ConflictKind.SWITCH_CHANGED, [late])
            await store.commit([UpdateAttempt(attempt=replace(attempt, status=RunStatus.FAILED), expected_fence=1)])
            assert await store.effect_holder(TENANT, "held") is None
        finally:
            await store.close()

    async def test_chains_go_on_where_they_were(self, store: Store, open_store: OpenStore, build: Builder) -> None:
        """Numbers, hashes, positions and an intent's sequence continue over several lives."""
        intent = await approved(store, build)
        for _ in range(3):
            await store.commit([build.entry(intent), build.entry()])
            await store.close()
            store = await open_store()
        entries = await store.entries_after(0, 100)
        await store.close()
        assert [entry.position for entry in entries] == list(range(1, 8))
        assert [entry.sequence for entry in entries if entry.action_intent_id] == [1, 2, 3, 4]
        verifier = ChainVerifier()
        verifier.feed_all(entries)
        assert verifier.faults == []

    async def test_a_budget_remembers_its_window(
        self, store: Store, open_store: OpenStore, build: Builder, clock: ManualClock
    ) -> None:
        """What started before reopening still counts, and no longer than its window lasts."""
        await store.commit([SetBudget(budget=build.budget(2))])
        await running(store, build)
        await store.close()
        store = await open_store()
        ((_, used),) = await store.budgets(TENANT)
        assert used == 1
        await running(store, build)
        intent = await approved(store, build)
        await refused(
            store,
            build,
            ConflictKind.BUDGET_EXCEEDED,
            [start(intent, build.attempt(intent), now_ms=clock.now_ms())],
        )
        clock.advance(3_600)
        ((_, used),) = await store.budgets(TENANT)
        assert used == 0
        await store.close()


class EmbeddedSuite(StoreSuite):
    """What only a store that belongs to one process promises."""

    async def test_a_store_is_open_once(self, store: Store, open_store: OpenStore, build: Builder) -> None:
        """While it is open a second opening of the same store is refused, and the first one goes on."""
        with pytest.raises(StoreFailed):
            await open_store()
        await approved(store, build)


async def _everything(store: Store, ids: tuple[str, ...]) -> list[object]:
    seen: list[object] = [
        await store.entries_after(0, 100),
        await store.last_position(),
        await store.delivery_cursor("webhooks"),
        await store.due(0, 100),
        await store.effect_holder(TENANT, "done"),
        await store.request(TENANT, "https://issuer.example#agent-7", "order-1"),
        await store.action_type("", "CREATE_INTERNAL_NOTE"),
        await store.list_switches(TENANT),
        await store.budgets(TENANT),
        await store.policies(TENANT),
        await store.object_by_key(TENANT, "key-1"),
        await store.info(),
        await store.undelivered("webhooks", 10),
        await store.log_heads(10),
        await store.log_tiles(TENANT, [(0, 0)]),
        await store.log_leaves(TENANT, [row.entry_id for row in await store.log_feed(0, 3)]),
        await store.log_checkpoints(TENANT, 10),
        await store.log_keys(TENANT),
    ]
    for action_intent_id in ids:
        seen += [
            await store.execution(TENANT, action_intent_id),
            await store.approvals(TENANT, action_intent_id),
            await store.outcomes(TENANT, action_intent_id),
        ]
    return seen
