"""Exploring the model: from each state every move that anybody can make, breadth first, until something is wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from enactor.domain.attempt import TERMINAL, Phase, RunStatus
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.permit import CallResult, WritePermit
from enactor.pipeline.fold import folded
from enactor.pipeline.invoke import looked_up
from enactor.pipeline.model import (
    Call,
    Continue,
    Duplicate,
    Earlier,
    LookUp,
    Reads,
    Run,
    Turn,
    Wait,
)
from enactor.pipeline.recover import late_result, recover
from enactor.pipeline.resolve import resolved
from enactor.pipeline.settle import settled
from enactor.pipeline.start import new_attempt
from enactor.pipeline.steps import STEPS, Step, following, step
from enactor.ports.commands import Command, StartAttempt
from enactor.ports.tools import LookUpResult, Reply
from killpoints.model.rules import Assumption, Rule, left_out
from killpoints.model.state import (
    DONE,
    FINAL_AFTER,
    NO_ENTRY,
    REF,
    REFUSED,
    RETENTION,
    SETTINGS,
    TICK,
    TOO_LATE,
    TOOLS,
    UNKNOWN,
    Bounds,
    ModelClock,
    ModelContext,
    Outside,
    Quiet,
    State,
    Worker,
    subject,
)
from killpoints.model.store import Refused, commit


@dataclass
class Result:
    """What exploring found: how many states, and the shortest way to something wrong, if there is one."""

    states: int
    violation: str = ""
    trace: tuple[str, ...] = ()
    complete: bool = True


class Model:
    """The moves of everybody, for one write semantics."""

    def __init__(
        self, semantics: str, bounds: Bounds, rule_out: Rule | None = None, unassumed: Assumption | None = None
    ) -> None:
        self.semantics = semantics
        self.bounds = bounds
        self.rule_out = rule_out
        self.unassumed = unassumed
        self.intent, self._tool, self._entry = subject(TOOLS[semantics])
        self.clock = ModelClock()
        quiet: Any = Quiet()
        self.ctx = ModelContext(self.clock, quiet, quiet, SETTINGS)

    # -- what workers see and decide -----------------------------------------------------------------------------

    def _reads(self, state: State) -> Reads:
        switches = {}
        if state.stored.switch:
            scope = f"tenant:{self.intent.tenant_id}"
            generation, on = state.stored.switch, state.stored.switch % 2 == 1
            switch = KillSwitch(
                scope=scope, tenant_id="", generation=generation, enabled=on, reason="", set_by="", set_at=""
            )
            switches = {scope: switch}
        return Reads(
            intent=self.intent,
            entry=self._entry,
            tool=self._tool,
            connector_version=self.intent.connector_version,
            switches=switches,
        )

    def _run(self, state: State) -> Run:
        attempt = state.stored.attempt
        number = attempt.run_number if attempt is not None else 1
        revision = max((found[1] for found in state.stored.outcomes if found[0] == number), default=0)
        return Run(
            action_intent_id=self.intent.action_intent_id,
            tenant_id=self.intent.tenant_id,
            run_number=number,
            attempt=attempt,
            permits=state.stored.permits,
            outcome_revision=revision,
        )

    def _follow(self, worker: Worker, turn: Turn, current: Step, reads: Reads) -> Worker:
        """Follows turns to the next commit, as the driver does."""
        pending: list[Command] = []
        while isinstance(turn, Continue):
            pending += turn.commands
            current = step("CompensateAction") if turn.run.lock.phase is Phase.COMPENSATION else following(current.name)
            turn = current.run(turn.run, reads, self.ctx)
        if isinstance(turn, Duplicate):
            return Worker(fence=worker.fence)
        commands = folded(c for c in (*pending, *turn.commands) if c is not NO_ENTRY)
        bare = msgspec.structs.replace(turn, commands=())
        if isinstance(bare, Call | LookUp):
            # What was there before is for undoing, which is not modelled; and a dict is no part of a state.
            bare = msgspec.structs.replace(bare, request=msgspec.structs.replace(bare.request, before=None))
        return worker._replace(place="commit", commands=commands, turn=bare, run=turn.run)

    def _drive(self, state: State, worker: Worker) -> Worker:
        """What a worker decides that gets word of the run, from what is durable now."""
        run, reads = self._run(state), self._reads(state)
        fresh = Worker(fence=worker.fence)
        turn = STEPS[0].run(run, reads, self.ctx)
        if not isinstance(turn, Duplicate) or run.attempt is None:
            return self._follow(fresh, turn, STEPS[0], reads)
        earlier = Earlier.DEAD if state.dead else Earlier.SELF if worker.fence else Earlier.UNKNOWN
        turn = recover(run, reads, self.ctx, earlier, worker.fence)
        if isinstance(turn, Wait) and not turn.commands:
            return worker
        return self._follow(fresh, turn, step("ValidatePreflight"), reads)

    # -- moves ---------------------------------------------------------------------------------------------------

    def moves(self, state: State) -> Iterator[tuple[str, State]]:
        """Everything that can happen next, each with the state that it leads to."""
        self.clock.ms = state.now * TICK
        for at in (0, 1):
            for name, changed in self._worker_moves(state, at):
                yield f"worker {at + 1} {name}", changed
        yield from self._others(state)

    def _worker_moves(self, state: State, at: int) -> Iterator[tuple[str, State]]:
        worker = state.workers[at]
        match worker.place:
            case "idle":
                decided = self._drive(state, worker)
                if decided != worker:
                    yield "takes it up", self._put(state, at, decided)
            case "commit":
                if self.rule_out is Rule.PERMIT_FIRST and isinstance(worker.turn, Call):
                    yield from self._send(state, at, worker)
                yield self._commit(state, at, worker)
            case "check":
                assert isinstance(worker.turn, Call)
                timely = self.clock.ms <= worker.turn.request.send_not_after
                if timely or self.rule_out is Rule.CHECK:
                    yield "checks", self._put(state, at, worker._replace(place="send", since=state.now))
                else:
                    yield "is too late", self._replied(state, at, worker, TOO_LATE)
            case "send":
                yield from self._send(state, at, worker)
            case "reply":
                assert worker.reply is not None
                yield "hears", self._replied(state, at, worker, worker.reply)
            case "look":
                yield self._look(state, at, worker)

    def _put(self, state: State, at: int, worker: Worker) -> State:
        workers = (worker, state.workers[1]) if at == 0 else (state.workers[0], worker)
        return state._replace(workers=workers)

    def _commit(self, state: State, at: int, worker: Worker) -> tuple[str, State]:
        try:
            stored = commit(state.stored, worker.commands, self.rule_out)
        except Refused as refused:
            if worker.reply is not None:
                return f"is refused: {refused}", self._late(state, at, worker)
            return f"is refused: {refused}", self._put(state, at, Worker())
        assert worker.run is not None
        fence = worker.run.lock.fence
        state = state._replace(stored=stored, dead=False)
        match worker.turn:
            case Call() if worker.reply is not None and self.rule_out is Rule.PERMIT_FIRST:
                held = Worker("reply", fence, worker.run, turn=worker.turn, reply=worker.reply)
                return "commits", self._put(state, at, held)
            case Call():
                return "commits, permitted", self._put(state, at, Worker("check", fence, worker.run, turn=worker.turn))
            case LookUp():
                return "commits", self._put(state, at, Worker("look", fence, worker.run, turn=worker.turn))
            case Wait():
                return "commits, and waits", self._put(state, at, Worker(fence=fence))
            case _:
                assert stored.attempt is not None
                return f"commits: {stored.attempt.status}", self._put(state, at, Worker())

    def _late(self, state: State, at: int, worker: Worker) -> State:
        """A reply whose commit was refused: settled by what is known now, or recorded as late."""
        call, reply = worker.turn, worker.reply
        permit, run, reads = _permit_of(worker), self._run(state), self._reads(state)
        assert reply is not None
        stored = next((known for known in run.permits if known.call_no == permit.call_no), None)
        ours = run.attempt is not None and run.attempt.fence == permit.fence
        if ours and stored is not None and stored.result is CallResult.OPEN and isinstance(call, Call):
            turn = settled(msgspec.structs.replace(call, run=run), reads, self.ctx, reply)
        else:
            turn = late_result(run, reads, self.ctx, permit, reply)
        held = Worker(fence=worker.fence, reply=reply, since=permit.call_no)
        return self._put(state, at, self._follow(held, turn, step("InvokeTool"), reads))

    def _send(self, state: State, at: int, worker: Worker) -> Iterator[tuple[str, State]]:
        outside = state.outside
        if outside.sends >= self.bounds.sends:
            return
        sent = outside._replace(sends=outside.sends + 1)
        place = "commit" if worker.place == "commit" else "reply"
        for kind in self.bounds.replies:
            now = sent
            match kind:
                case "done":
                    now, reply = self._make(sent, state.now), DONE
                case "lost":
                    now, reply = self._make(sent, state.now), UNKNOWN
                case "late":
                    now, reply = sent._replace(landing=(*sent.landing, state.now + FINAL_AFTER)), UNKNOWN
                case "refused":
                    reply = REFUSED
                case _:
                    reply = UNKNOWN
            if worker.reply is not None and place == "commit":
                return
            yield (
                f"sends: {kind}",
                self._put(state._replace(outside=now), at, worker._replace(place=place, reply=reply)),
            )

    def _make(self, outside: Outside, sent_at: int) -> Outside:
        known_for = sent_at - outside.key_since
        if self.semantics == "IDEMPOTENT" and outside.key_since >= 0 and known_for < RETENTION:
            return outside
        return outside._replace(made=outside.made + 1, key_since=sent_at)

    def _replied(self, state: State, at: int, worker: Worker, reply: Reply) -> State:
        assert isinstance(worker.turn, Call)
        reads = self._reads(state)
        turn = settled(worker.turn, reads, self.ctx, reply)
        held = worker._replace(reply=reply, since=worker.turn.permit.call_no)
        decided = self._follow(held, turn, step("InvokeTool"), reads)
        return self._put(state, at, decided)

    def _look(self, state: State, at: int, worker: Worker) -> tuple[str, State]:
        assert isinstance(worker.turn, LookUp)
        refs = (REF,) if state.outside.made else ()
        reads = self._reads(state)
        turn = looked_up(worker.turn, reads, self.ctx, self.clock.ms, LookUpResult(found=bool(refs), refs=refs))
        decided = self._follow(worker._replace(reply=None), turn, step("InvokeTool"), reads)
        return f"looks: {'found' if refs else 'nothing'}", self._put(state, at, decided)

    def _others(self, state: State) -> Iterator[tuple[str, State]]:
        """Time, death, what lands late, a switch, and people."""
        outside, bounds = state.outside, self.bounds
        for at in range(len(outside.landing)):
            rest = outside._replace(landing=outside.landing[:at] + outside.landing[at + 1 :])
            # A retained key is a promise about requests that are sent while it is, whenever they are worked on.
            yield "it lands late", state._replace(outside=self._make(rest, outside.landing[at] - FINAL_AFTER))
        pausing = [worker.since for worker in state.workers if worker.place == "send"]
        longest = SETTINGS.max_pause_ms
        steady = self.unassumed is Assumption.PAUSE or all(
            (state.now + 1 - since) * TICK <= longest for since in pausing
        )
        # What lands late has landed before its absence is final.
        if state.now < bounds.ticks and steady and all(state.now + 1 < due for due in outside.landing):
            yield "time passes", state._replace(now=state.now + 1)
        if state.deaths < bounds.deaths and any(worker != Worker() for worker in state.workers):
            died = state._replace(workers=(Worker(), Worker()), dead=True, deaths=state.deaths + 1)
            yield "the process dies", died
        if state.stored.switch < bounds.switches:
            yield "a switch is turned", state._replace(stored=state.stored._replace(switch=state.stored.switch + 1))
        yield from self._people(state)

    def _people(self, state: State) -> Iterator[tuple[str, State]]:
        attempt = state.stored.attempt
        if attempt is None or state.people >= self.bounds.people or not _quiet(state):
            return
        state = state._replace(people=state.people + 1)
        if attempt.status is RunStatus.IN_DOUBT:
            # Whoever has looked says how it is; nothing is in the air.
            made = state.outside.made > 0
            refs = (REF,) if made else ()
            end = resolved(self._run(state), self._reads(state), self.ctx, executed=made, refs=refs)
            commands = [command for command in end.commands if command is not NO_ENTRY]
            word = "EXECUTED" if made else "NOT_EXECUTED"
            yield f"a person says {word}", state._replace(stored=commit(state.stored, commands, self.rule_out))
        elif attempt.status in (RunStatus.FAILED, RunStatus.CANCELLED):
            fresh = new_attempt(self.intent, attempt.run_number + 1, self.ctx)
            marks = tuple(msgspec.structs.replace(mark, generation=state.stored.switch) for mark in fresh.switch_marks)
            fresh = msgspec.structs.replace(fresh, fence=attempt.fence + 1, switch_marks=marks)
            start = StartAttempt(attempt=fresh, intent_version=1, revision=1, approval_digest="", now_ms=self.clock.ms)
            yield "a person replays it", state._replace(stored=commit(state.stored, [start], self.rule_out))

    # -- what must hold ------------------------------------------------------------------------------------------

    @staticmethod
    def wrong(state: State) -> str:
        """What is wrong with a state, if anything."""
        if state.stored.violation:
            return state.stored.violation
        if state.outside.made > 1:
            return "it was done twice"
        attempt = state.stored.attempt
        if attempt is None or attempt.status not in TERMINAL or not _quiet(state):
            return ""
        done = attempt.status is RunStatus.SUCCEEDED
        if done is not (state.outside.made > 0):
            return f"it says {attempt.status}, and {'nothing was done' if done else 'it was done'}"
        return ""


def _quiet(state: State) -> bool:
    """Nothing is in the air: no call may still leave, and nothing land."""
    return not state.outside.landing and all(worker.place not in ("check", "send") for worker in state.workers)


def _permit_of(worker: Worker) -> WritePermit:
    if isinstance(worker.turn, Call) and worker.place != "commit":
        return worker.turn.permit
    assert worker.run is not None
    number = worker.since
    return next(permit for permit in worker.run.permits if permit.call_no == number)


def explore(
    semantics: str,
    bounds: Bounds,
    rule_out: Rule | None = None,
    unassumed: Assumption | None = None,
    most: int = 2_000_000,
) -> Result:
    """Explores every state within the bounds, until one is wrong or there are none left.

    Args:
        semantics: IDEMPOTENT, LOOKUP or UNSAFE.
        rule_out: a rule to leave out.
        unassumed: an assumption to give up.
        most: how many states to look at.
    """
    model, first = Model(semantics, bounds, rule_out, unassumed), State()
    came: dict[State, tuple[State, str] | None] = {_same(first): None}
    queue = deque([first])
    with left_out(rule_out):
        while queue:
            state = queue.popleft()
            for name, following_state in model.moves(state):
                same = _same(following_state)
                if same in came:
                    continue
                came[same] = (state, name)
                if problem := model.wrong(following_state):
                    return Result(len(came), problem, _way(came, following_state))
                queue.append(following_state)
            if len(came) > most:
                return Result(len(came), complete=False)
    return Result(len(came))


def _same(state: State) -> State:
    """One of the two states that differ only in which worker is called which."""
    first, second = state.workers
    return state if hash(first) <= hash(second) else state._replace(workers=(second, first))


def _way(came: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    """How a state came about."""
    names = []
    while (step_before := came[_same(state)]) is not None:
        state, name = step_before
        names.append(name)
    return tuple(reversed(names))
