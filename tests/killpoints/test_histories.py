"""Many clients at once, at random: proposing, approving, cancelling, stopping, replaying the same intents."""

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from enactor.conformance.clocks import ManualClock
from enactor.conformance.target import Act
from enactor.conformance.world import AGENT, ANA, BEA, World, open_world
from enactor.domain.attempt import TERMINAL, RunStatus
from enactor.domain.errors import EnactorError
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.outcome import ObjectRef
from enactor.pipeline.driver import Progress
from enactor.pipeline.model import Earlier
from enactor.stores.sqlite import SqliteStore

EXAMPLES = 30 if settings().max_examples <= 100 else 300
KINDS = ("keyed", "searched", "unsafe")
OPERATIONS = ("drive", "approve", "replay", "cancel", "resolve", "reject", "approve wrongly", "approve own")
MOSTLY = st.sampled_from(("drive", "approve")) | st.sampled_from(OPERATIONS)
BURST = st.lists(st.tuples(MOSTLY, st.integers(0, 3)), min_size=3, max_size=8)
ACTS = st.sampled_from((Act.DO, Act.DO, Act.DO_AND_LOSE_REPLY, Act.LOSE_REQUEST, Act.REFUSE, Act.REFUSE_FOR_GOOD))


class Clients(RuleBasedStateMachine):
    """The real service over a real SQLite file, and what its clients have been told."""

    @initialize(seed=st.integers(0, 3), ready=st.sets(st.sampled_from(KINDS), min_size=1))
    def open(self, seed: int, ready: set[str]) -> None:
        """A new database with an intent of each kind, some of them approved."""
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.intents: list[ActionIntent] = []
        self.approved: set[str] = set()
        self.over: dict[tuple[str, int], RunStatus] = {}
        self.closed: dict[str, IntentStatus] = {}
        self.stopped_at: int | None = None
        self.renewed: set[str] = set()

        async def opened() -> World:
            store = await SqliteStore.open(Path(self.folder.name) / "enactor.db", clock=self.clock)
            return await open_world(store, self.clock, seed=seed)

        self.world = self.do(opened())
        for kind in KINDS:
            self.propose(kind)
            if kind in ready:
                self.do(self.attempt("approve", self.intents[-1]))

    def do(self, work: Any) -> Any:
        """Carries out something asynchronous."""
        return self.loop.run_until_complete(work)

    effects = 0
    """How many effects there were in all histories together."""

    # -- what clients do -----------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(KINDS))
    def propose(self, kind: str) -> None:
        """A new intent; there are six at most."""
        if len(self.intents) < 6:
            self.intents.append(self.do(self.world.proposed(kind)))

    @rule(burst=BURST, acts=st.lists(ACTS, max_size=3))
    def several_at_once(self, burst: list[tuple[str, int]], acts: list[Act]) -> None:
        """The same once more: most of what happens is that clients are at it."""
        self.at_once(burst, acts)

    @rule(burst=BURST, acts=st.lists(ACTS, max_size=3))
    def at_once(self, burst: list[tuple[str, int]], acts: list[Act]) -> None:
        """Several clients at the same time, on the same few intents."""
        if not self.intents:
            return
        self.world.target.script(*acts)

        async def all_of_it() -> None:
            await asyncio.gather(
                *(self.attempt(name, self.intents[which % len(self.intents)]) for name, which in burst)
            )

        self.do(all_of_it())

    async def attempt(self, name: str, intent: ActionIntent) -> None:
        """One client's request; a refusal is an answer like any other."""
        operation: Callable[[ActionIntent], Awaitable[None]] = getattr(self, f"_{name.replace(' ', '_')}")
        with contextlib.suppress(EnactorError):
            await operation(intent)

    async def _approve(self, intent: ActionIntent) -> None:
        decided = await self.world.service.decisions.approve(ANA, intent.action_intent_id, intent.approval_digest)
        if decided.intent.status is IntentStatus.APPROVED:
            self.approved.add(intent.action_intent_id)
            self.renewed.add(intent.action_intent_id)

    async def _approve_wrongly(self, intent: ActionIntent) -> None:
        await self.world.service.decisions.approve(BEA, intent.action_intent_id, "0" * 64)
        raise AssertionError("a stale digest was approved")

    async def _approve_own(self, intent: ActionIntent) -> None:
        await self.world.service.decisions.approve(AGENT, intent.action_intent_id, intent.approval_digest)
        raise AssertionError("a proposer approved its own intent")

    async def _reject(self, intent: ActionIntent) -> None:
        await self.world.service.decisions.reject(BEA, intent.action_intent_id, "no")

    async def _cancel(self, intent: ActionIntent) -> None:
        await self.world.service.decisions.cancel(ANA, intent.action_intent_id)

    async def _drive(self, intent: ActionIntent) -> None:
        attempt = (await self.world.records(intent)).attempt
        number = attempt.run_number if attempt else 1
        driver = self.world.driver()
        driven = await driver.drive(self.world.request(intent, number))
        if driven.progress is Progress.WAITING and driven.fence and driven.until <= self.clock.now_ms():
            await driver.drive(self.world.request(intent, number), Earlier.SELF, driven.fence)

    async def _replay(self, intent: ActionIntent) -> None:
        await self.world.service.operations.replay(ANA, intent.action_intent_id, "again")
        self.renewed.add(intent.action_intent_id)

    async def _resolve(self, intent: ActionIntent) -> None:
        """Somebody looks, and says how it is."""
        records = await self.world.records(intent)
        made = tuple(ref for ref in self.made(intent, {permit.idempotency_key for permit in records.permits}))
        resolve = self.world.service.operations.resolve
        await resolve(BEA, intent.action_intent_id, executed=bool(made), refs=made, comment="I looked.")

    @rule(on=st.booleans())
    def switch(self, on: bool) -> None:
        """The tenant's switch; once it is acknowledged nothing that was authorised before may leave."""
        self.do(self.world.service.operations.set_switch(ANA, "tenant", enabled=on, reason="history"))
        if on:
            self.stopped_at, self.renewed = len(self.world.target.sent), set()

    @rule(seconds=st.sampled_from((1, 8, 40, 200)))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from((-3_600, -5, 5, 3_600)))
    def jump(self, seconds: int) -> None:
        """Somebody sets the clock."""
        self.clock.jump(seconds)

    # -- what must hold ------------------------------------------------------------------------------------------

    def made(self, intent: ActionIntent, keys: set[str]) -> list[ObjectRef]:
        """What the intent's keys have made."""
        objects = [made for made, key in self.world.target.made if key in keys]
        return [ObjectRef(system="target", object_type="order", object_id=each) for each in objects]

    @invariant()
    def holds(self) -> None:
        """At most one effect an intent, none unapproved, none after a switch, and what is over stays as it is."""
        for intent in getattr(self, "intents", []):
            self.do(self.look_at(intent))

    async def look_at(self, intent: ActionIntent) -> None:
        """One intent."""
        identity = intent.action_intent_id
        records = await self.world.records(intent)
        keys = {permit.idempotency_key for permit in records.permits}
        made = self.made(intent, keys)
        assert len(made) <= 1, "an effect happened twice"
        calls = [at for at, sent in enumerate(self.world.target.sent) if sent.key in keys]
        if calls:
            assert identity in self.approved, "it was called without an approval"
        if self.stopped_at is not None and identity not in self.renewed:
            assert all(at < self.stopped_at for at in calls), "it was called after a switch was acknowledged"
        status = records.intent.status
        assert self.closed.get(identity, status) is status, "a closed intent has changed"
        if status in (IntentStatus.REJECTED, IntentStatus.CANCELLED, IntentStatus.EXPIRED):
            self.closed[identity] = status
            assert calls == []
        attempt = records.attempt
        if attempt is None:
            return
        run = (identity, attempt.run_number)
        assert self.over.get(run, attempt.status) is attempt.status, "a terminal state has changed"
        if attempt.status in TERMINAL:
            self.over[run] = attempt.status
            assert (attempt.status is RunStatus.SUCCEEDED) == bool(made), "the record says something false"

    def teardown(self) -> None:
        """The ledger is whole, and everything is closed."""
        if hasattr(self, "world"):
            Clients.effects += len(self.world.target.made)
            self.do(self.world.verify())
            self.do(self.world.store.close())
            self.loop.close()
            self.folder.cleanup()


def test_any_history_of_many_clients() -> None:
    """Whatever they do, and in whatever order it comes out."""
    run_state_machine_as_test(Clients, settings=settings(max_examples=EXAMPLES, stateful_step_count=25))
    assert Clients.effects > 10, "hardly anything happened"
