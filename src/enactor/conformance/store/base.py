"""What the parts of the store suite share: fixtures, and the few commits that most tests begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from msgspec.structs import replace

from enactor.conformance.builders import Builder, settled
from enactor.conformance.clocks import ManualClock
from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.permit import WritePermit
from enactor.ports.commands import (
    Command,
    Conflict,
    ConflictKind,
    CreateIntent,
    RecordOutcome,
    SettlePermit,
    StartAttempt,
    TakePermit,
    UpdateAttempt,
)
from enactor.ports.store import Store

OpenStore = Callable[[], Awaitable[Store]]
"""Opens the backend's store: the same one each time within a test, after the last one was closed."""


class StoreSuite:
    """The base of every part. A backend's subclass provides the fixture `open_store`."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The time, which stands still unless the test moves it."""
        return ManualClock()

    @pytest.fixture
    def build(self, clock: ManualClock) -> Builder:
        """What makes the test's records."""
        return Builder(clock)

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> AsyncIterator[Store]:
        """An open, empty store."""
        store = await open_store()
        yield store
        await store.close()


def creation(intent: ActionIntent, of_proposer: int = 1_000_000, of_tenant: int = 1_000_000) -> CreateIntent:
    """The command that stores an intent, with limits that nobody reaches unless told otherwise."""
    return CreateIntent(intent=intent, max_pending_of_proposer=of_proposer, max_pending_of_tenant=of_tenant)


def start(intent: ActionIntent, attempt: ExecutionAttempt, *, now_ms: int, charge_budget: bool = True) -> StartAttempt:
    """The command that takes the lock, naming the intent as it is at hand."""
    return StartAttempt(
        attempt=attempt,
        intent_version=intent.version,
        revision=intent.revision,
        approval_digest=intent.approval_digest,
        now_ms=now_ms,
        charge_budget=charge_budget,
    )


def take(permit: WritePermit, intent: ActionIntent) -> TakePermit:
    """The command that takes a permit, under the marks of the intent's authorisation."""
    return TakePermit(permit=permit, marks=intent.switch_marks)


async def approved(store: Store, build: Builder, **changes: object) -> ActionIntent:
    """An approved intent in the store."""
    intent = build.approved(**changes)
    await store.commit([creation(intent), build.entry(intent)])
    return intent


async def running(store: Store, build: Builder, **changes: object) -> tuple[ActionIntent, ExecutionAttempt]:
    """An intent in the store whose first run has the lock and no permit."""
    intent = await approved(store, build, **changes)
    attempt = build.attempt(intent)
    await store.commit([start(intent, attempt, now_ms=build.clock.now_ms()), build.entry(intent)])
    return intent, attempt


async def calling(
    store: Store, build: Builder, **changes: object
) -> tuple[ActionIntent, ExecutionAttempt, WritePermit]:
    """An intent in the store whose first run holds an open permit."""
    intent, attempt = await running(store, build, **changes)
    permit = build.permit(attempt)
    await store.commit([take(permit, intent), build.entry(intent)])
    return intent, attempt, permit


async def ended(
    store: Store, build: Builder, status: RunStatus = RunStatus.SUCCEEDED, **changes: object
) -> tuple[ActionIntent, ExecutionAttempt]:
    """An intent in the store whose first run made no call, or one that did it, and ended."""
    intent, attempt = await running(store, build, **changes)
    if status is RunStatus.SUCCEEDED:
        permit = build.permit(attempt)
        await store.commit([take(permit, intent)])
        await store.commit([SettlePermit(permit=settled(permit))])
    over = replace(attempt, status=status, updated_at=build.now())
    outcome = build.outcome(intent, over, status=status)
    await store.commit(
        [UpdateAttempt(attempt=over, expected_fence=1), RecordOutcome(outcome=outcome), build.entry(intent)]
    )
    return intent, over


def closed(intent: ActionIntent, status: IntentStatus) -> ActionIntent:
    """The next version of an intent, in another status."""
    return replace(intent, status=status, version=intent.version + 1)


async def refused(
    store: Store, build: Builder, kind: ConflictKind, commands: Sequence[Command], *, after: bool = True
) -> Conflict:
    """Commits `commands` with a ledger entry; they must conflict as `kind`, and the entry must not be there.

    Args:
        after: the entry stands after the commands; before them otherwise, so that an effect would show.
    """
    entry = build.entry()
    before = await store.last_position()
    with pytest.raises(Conflict) as caught:
        await store.commit([*commands, entry] if after else [entry, *commands])
    assert caught.value.kind is kind
    assert await store.last_position() == before, "a refused commit left its ledger entry behind"
    return caught.value
