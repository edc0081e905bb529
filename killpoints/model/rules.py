"""The rules of the protocol, each of which can be left out, and what leaving it out means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import msgspec

from enactor.domain.action_type import WriteMode, WriteSemantics
from enactor.domain.permit import Repeat, Verdict, WritePermit, next_call
from enactor.pipeline import invoke, record, recover
from enactor.pipeline.model import Run, Turn, with_permit
from enactor.ports.commands import SettlePermit


class Rule(StrEnum):
    """One rule of the specification, sections 2, 3 and 8."""

    ONE_LOCK = "there is one lock, one open permit, and one permit for each call"
    FENCE = "a commit on what somebody else has changed since is refused"
    PERMIT_FIRST = "the permit is durable before the call leaves"
    CHECK = "a call is not sent after its permit has run out"
    SEMANTICS = "after UNKNOWN only the tool's promise allows another call"
    RETENTION = "a key is relied on only while it is retained"
    FINAL_ABSENCE = "an absence counts only once it is final"
    MAX_PAUSE = "a look-up after a takeover waits for the longest pause"
    GONE = "an absence is final only so long after the caller was gone"
    OPEN_IS_UNKNOWN = "an open permit that is found is UNKNOWN, not forgotten"
    HONEST_END = "a run with an unknown call ends in doubt"
    SWITCH = "no permit after a switch"


class Assumption(StrEnum):
    """What the protocol takes for granted."""

    PAUSE = "no pause longer than max_pause between check and send"


@contextmanager
def left_out(rule: Rule | None) -> Iterator[None]:
    """The product's own functions, without what one rule makes them do. The store's rules are left out in the store."""
    patches: list[tuple[Any, str, Any]] = []

    def patch(module: Any, name: str, value: Any) -> None:
        patches.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    match rule:
        case Rule.SEMANTICS:
            patch(invoke, "next_call", _careless)
        case Rule.RETENTION:
            patch(invoke, "next_call", _changed(key_retention_seconds=1_000_000))
        case Rule.FINAL_ABSENCE:
            patch(invoke, "next_call", _any_absence)
        case Rule.MAX_PAUSE:
            patch(invoke, "next_call", _impatient)
        case Rule.GONE:
            patch(invoke, "next_call", _forgetful)
        case Rule.OPEN_IS_UNKNOWN:
            patch(recover, "_take_over", _forgetting(recover._take_over))
        case Rule.HONEST_END:
            patch(record, "honest", lambda run, ending: ending)
        case _:
            pass
    try:
        yield
    finally:
        for module, name, value in reversed(patches):
            setattr(module, name, value)


Permits = Sequence[WritePermit]


def _careless(permits: Permits, semantics: WriteSemantics, **facts: Any) -> Repeat:
    answer = next_call(permits, semantics, **facts)
    if answer.verdict in (Verdict.IN_DOUBT, Verdict.LOOK_UP, Verdict.WAIT) and semantics.mode is not WriteMode.LOOKUP:
        return Repeat(Verdict.CALL, "it failed, so it is tried again")
    return answer


def _changed(**changes: Any) -> Callable[..., Repeat]:
    def changed(permits: Permits, semantics: WriteSemantics, **facts: Any) -> Repeat:
        return next_call(permits, msgspec.structs.replace(semantics, **changes), **facts)

    return changed


def _any_absence(permits: Permits, semantics: WriteSemantics, **facts: Any) -> Repeat:
    if facts["absent_at"] is not None:
        facts["absent_at"] = facts["now_ms"] = 1 << 60
    return next_call(permits, semantics, **facts)


def _impatient(permits: Permits, semantics: WriteSemantics, **facts: Any) -> Repeat:
    return next_call(permits, semantics, **{**facts, "max_pause_ms": 0})


def _forgetful(permits: Permits, semantics: WriteSemantics, **facts: Any) -> Repeat:
    return next_call([msgspec.structs.replace(permit, gone_by=0) for permit in permits], semantics, **facts)


def _forgetting(take_over: Callable[..., Turn]) -> Callable[..., Turn]:
    def forgetting(run: Run, *args: Any) -> Turn:
        for permit in run.permits:
            if permit.result == "OPEN":
                run = with_permit(run, msgspec.structs.replace(permit, result="NOT_SENT", retryable=True))
        turn = take_over(run, *args)
        # The store still has it open: it is settled as if nothing had left.
        forgotten = [p for p in run.permits if p.result == "NOT_SENT" and p.taken_at]
        settle = tuple(SettlePermit(permit=permit) for permit in forgotten[-1:])
        return msgspec.structs.replace(turn, commands=(*settle, *turn.commands))  # type: ignore[call-arg, type-var]

    return forgetting
