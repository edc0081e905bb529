"""Any order of what two workers, time, people and failures can do to one run leaves the invariants standing."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enactor.conformance.clocks import ManualClock
from enactor.conformance.target import Act, Point
from enactor.conformance.world import ANA, World, open_world, turns
from enactor.domain.attempt import TERMINAL, RunStatus
from enactor.domain.errors import IllegalTransition, Unavailable
from enactor.domain.intent import ActionIntent
from enactor.domain.outcome import CompensationStatus, ObjectRef
from enactor.domain.permit import CallResult
from enactor.pipeline.driver import Driven, Progress
from enactor.pipeline.model import Earlier
from enactor.stores.memory import MemoryStore

EXAMPLES: Final = 80 if settings().max_examples <= 100 else 3_000
WORKERS: Final = (0, 1)
POINTS: Final = (Point.CHECK, Point.SEND, Point.REPLY)
MOVES = st.one_of(
    st.tuples(st.just("drive"), st.sampled_from(WORKERS)),
    st.tuples(st.just("drive"), st.sampled_from(WORKERS)),
    st.tuples(st.just("release"), st.integers(0, 3)),
    st.tuples(st.just("release"), st.integers(0, 3)),
    st.tuples(st.just("kill"), st.sampled_from(WORKERS)),
    st.tuples(st.just("advance"), st.sampled_from((1, 3, 6, 20, 40, 100))),
    st.tuples(st.just("advance"), st.sampled_from((6, 40, 100))),
    st.tuples(st.sampled_from(("switch on", "switch off", "cancel", "resolve", "replay")), st.just(0)),
)
ACTS = st.sampled_from((Act.DO, Act.DO_AND_LOSE_REPLY, Act.LOSE_REQUEST, Act.REFUSE, Act.NOT_SENT, Act.TIME_OUT))
HOLDS = st.sets(st.tuples(st.sampled_from(POINTS), st.integers(1, 8)), max_size=8)


class Game:
    """One run, two workers, and whatever is done to them."""

    def __init__(self, world: World, intent: ActionIntent, holds: set[tuple[Point, int]]) -> None:
        self.world = world
        self.intent = intent
        self.holds = [(point, world.target.hold(point, call_no)) for point, call_no in sorted(holds)]
        self.tasks: list[asyncio.Task[Driven] | None] = [None, None]
        self.last: list[Driven | None] = [None, None]
        self.reached_at: dict[int, int] = {}
        self.over: tuple[int, RunStatus] | None = None
        self.fence = 0

    # -- moves ---------------------------------------------------------------------------------------------------

    async def move(self, what: str, number: int) -> None:
        """Makes a move, if it is possible now, and looks at what must always hold."""
        await getattr(self, what.replace(" ", "_"))(number)
        await turns()
        self._note_pauses()
        for worker in WORKERS:
            self._collect(worker)
        await self.always()

    async def drive(self, worker: int) -> None:
        """Word of the run comes to a worker."""
        if self.tasks[worker] is not None:
            return
        last = self.last[worker]
        attempt = (await self.world.records(self.intent)).attempt
        run_number = attempt.run_number if attempt else 1
        holds_it = last is not None and last.progress is Progress.WAITING and last.fence
        earlier = Earlier.SELF if holds_it else Earlier.UNKNOWN
        fence = last.fence if last is not None and holds_it else 0
        request = self.world.request(self.intent, run_number)
        self.tasks[worker] = asyncio.create_task(self.world.driver().drive(request, earlier, fence))

    async def release(self, number: int) -> None:
        """A call that stands still goes on."""
        waiting = self._standing()
        if waiting:
            at = waiting[number % len(waiting)]
            self.holds[at][1].release()

    async def kill(self, worker: int) -> None:
        """A worker's process dies."""
        task, self.tasks[worker], self.last[worker] = self.tasks[worker], None, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def advance(self, seconds: int) -> None:
        """Time passes; nobody stands between check and send for longer than the one assumption allows."""
        until = self.world.clock.now_ms() + seconds * 1000
        while late := [
            (self.reached_at[at] + self.world.settings.max_pause_ms, at)
            for at in self._standing()
            if self.holds[at][0] is Point.SEND and self.reached_at[at] + self.world.settings.max_pause_ms <= until
        ]:
            when, at = min(late)
            self.world.clock.advance(max(0, when - self.world.clock.now_ms()) / 1000)
            self.holds[at][1].release()
            await turns()
            self._note_pauses()
        self.world.clock.advance((until - self.world.clock.now_ms()) / 1000)

    async def switch_on(self, _: int) -> None:
        """The tenant's switch is turned on."""
        await self.world.service.operations.set_switch(ANA, "tenant", enabled=True, reason="stop")

    async def switch_off(self, _: int) -> None:
        """The tenant's switch is turned off."""
        await self.world.service.operations.set_switch(ANA, "tenant", enabled=False, reason="go on")

    async def cancel(self, _: int) -> None:
        """Somebody asks to cancel."""
        if (await self.world.records(self.intent)).attempt is not None:
            with contextlib.suppress(IllegalTransition):
                await self.world.service.decisions.cancel(ANA, self.intent.action_intent_id)

    async def resolve(self, _: int) -> None:
        """Somebody who has looked, while nobody is calling, says how it is."""
        if self._standing() or any(self.tasks):
            return
        made = self.world.target.objects()
        refs = tuple(ObjectRef(system="target", object_type="order", object_id=each) for each in made)
        with contextlib.suppress(IllegalTransition):
            await self.world.service.operations.resolve(
                ANA, self.intent.action_intent_id, executed=bool(made), refs=refs, comment="I looked."
            )

    async def replay(self, _: int) -> None:
        """Somebody asks for a new run."""
        with contextlib.suppress(IllegalTransition):
            await self.world.service.operations.replay(ANA, self.intent.action_intent_id, "again")

    # -- what holds ----------------------------------------------------------------------------------------------

    async def always(self) -> None:
        """Terminal states never change, fences only grow, and a run that ended clean has no doubtful call."""
        attempt = (await self.world.records(self.intent)).attempt
        if attempt is None:
            return
        assert attempt.fence >= self.fence
        self.fence = attempt.fence
        if self.over is not None and self.over[0] == attempt.run_number:
            assert attempt.status is self.over[1], "a terminal state has changed"
        self.over = (attempt.run_number, attempt.status) if attempt.status in TERMINAL else None
        opened = [permit for permit in await self.world.permits(self.intent) if permit.result is CallResult.OPEN]
        assert len(opened) <= 1
        if attempt.status is not RunStatus.RUNNING:
            assert opened == []

    async def finish(self) -> None:
        """Everybody goes on to the end, and time with them."""
        for _ in range(60):
            for at in self._standing():
                self.holds[at][1].release()
            for worker in WORKERS:
                await self.drive(worker)
            await turns()
            self._note_pauses()
            for worker in WORKERS:
                self._collect(worker)
            await self.always()
            attempt = (await self.world.records(self.intent)).attempt
            if attempt is not None and attempt.status is not RunStatus.RUNNING and not any(self.tasks):
                return
            self.world.clock.advance(20)
        raise AssertionError(f"the run never ended: {await self.world.attempt(self.intent)}")

    def _standing(self) -> list[int]:
        return [at for at, (_, hold) in enumerate(self.holds) if hold.stands]

    def _note_pauses(self) -> None:
        for at in self._standing():
            self.reached_at.setdefault(at, self.world.clock.now_ms())

    def _collect(self, worker: int) -> None:
        task = self.tasks[worker]
        if task is not None and task.done():
            self.tasks[worker] = None
            try:
                self.last[worker] = task.result()
            except Unavailable:
                self.last[worker] = None


async def play(
    kind: str, moves: list[tuple[str, int]], acts: list[Act], holds: set[tuple[Point, int]], undo: Sequence[Act] = ()
) -> None:
    """Plays a game and looks at what is left."""
    clock = ManualClock()
    world = await open_world(MemoryStore(clock), clock)
    world.target.script(*acts)
    world.target.script_undo(*undo)
    intent = await world.approved(kind)
    game = Game(world, intent, holds)
    for what, number in moves:
        await game.move(what, number)
    await game.finish()
    target, records = world.target, await world.records(intent)
    assert records.attempt is not None
    assert records.outcome is not None
    outcome: Any = records.outcome
    status = records.attempt.status
    assert outcome.status is status
    assert len(set(target.objects())) == len(target.made) <= 1, "an effect happened twice"
    unclear = [permit for permit in records.permits if permit.result is CallResult.UNKNOWN or permit.settled_by]
    if kind == "unsafe":
        assert len(unclear) <= 1 or all(permit.settled_by is not None for permit in unclear[:-1])
    standing = [made for made in target.objects() if made not in target.taken_back]
    match status:
        case RunStatus.SUCCEEDED:
            assert [ref.object_id for ref in outcome.external_object_refs] == standing
        case RunStatus.IN_DOUBT:
            assert any(permit.result is CallResult.UNKNOWN and not permit.settled_by for permit in records.permits)
        case _ if outcome.error_code not in ("PARTIAL_EFFECT", "COMPENSATION_FAILED"):
            assert standing == [], "it says that nothing was done"
        case _ if outcome.compensation_status is CompensationStatus.COMPLETED:
            assert standing == []
        case _:
            assert [ref.object_id for ref in outcome.external_object_refs] == target.objects()
    outcomes = await world.store.outcomes(intent.tenant_id, intent.action_intent_id)
    for run_number in range(1, records.attempt.run_number + 1):
        revisions = [each.outcome_revision for each in outcomes if each.run_number == run_number]
        assert revisions == list(range(1, len(revisions) + 1))
    await world.verify()


@pytest.mark.parametrize("kind", ["keyed", "keyed_searched", "searched", "never_final", "unsafe", "burning"])
def test_any_interleaving(kind: str) -> None:
    """One effect at most, nothing false, nothing that ended begins again; and every run ends."""

    @settings(max_examples=EXAMPLES)
    @given(st.lists(MOVES, max_size=14), st.lists(ACTS, max_size=5), HOLDS)
    def one(moves: list[tuple[str, int]], acts: list[Act], holds: set[tuple[Point, int]]) -> None:
        asyncio.run(play(kind, moves, acts, holds))

    one()


@pytest.mark.parametrize("kind", ["partial", "partial_unsafe"])
def test_any_interleaving_with_something_to_take_back(kind: str) -> None:
    """The same for partial effects: what is taken back was really made, and what stands is said to stand."""
    some = st.sampled_from((Act.DO_PARTLY, Act.DO_PARTLY, Act.DO_AND_LOSE_REPLY, Act.REFUSE, Act.NOT_SENT))
    undo = st.sampled_from((Act.DO, Act.DO_AND_LOSE_REPLY, Act.REFUSE, Act.REFUSE_FOR_GOOD, Act.NOT_SENT))

    @settings(max_examples=EXAMPLES)
    @given(st.lists(MOVES, max_size=14), st.lists(some, max_size=3), st.lists(undo, max_size=3), HOLDS)
    def one(moves: list[tuple[str, int]], acts: list[Act], undoing: list[Act], holds: set[tuple[Point, int]]) -> None:
        asyncio.run(play(kind, moves, acts, holds, undoing))

    one()
