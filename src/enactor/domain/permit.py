"""Write permits and the two tables of the specification, section 3: how calls end, and whether another may follow.

This module alone decides whether a call may be repeated. Everything here is a plain function of recorded facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from enactor.domain.action_type import WriteMode, WriteSemantics
from enactor.domain.attempt import Phase
from enactor.domain.outcome import ObjectRef

Purpose = Phase
"""A permit's purpose is the phase of the run that took it: EFFECT or COMPENSATION."""


class CallResult(StrEnum):
    """What a call ended as; OPEN until it has."""

    OPEN = "OPEN"
    NOT_SENT = "NOT_SENT"
    REFUSED = "REFUSED"
    DONE = "DONE"
    UNKNOWN = "UNKNOWN"


class SettledBy(StrEnum):
    """What ended the doubt about an UNKNOWN call."""

    LATE_RESULT = "LATE_RESULT"
    LOOKUP_FOUND = "LOOKUP_FOUND"
    LOOKUP_ABSENT = "LOOKUP_ABSENT"
    SAME_KEY_DONE = "SAME_KEY_DONE"
    RESOLVED = "RESOLVED"


class WritePermit(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Leave to make one external call, durable before the call is made.

    Attributes:
        call_no: 1, 2, … over all runs of the intent; a restore from backup writes a call 0 of unknown result.
        call_not_after: epoch milliseconds; the caller checks it on a clock that counts suspended time.
        reply_not_after: epoch milliseconds by which the call's own timeout has passed.
        taken_over: somebody else fenced the caller off while the permit was open: it may still send, late.
        caller_dead: the earlier caller is proven dead, so nothing of this permit can be sent any more.
        gone_by: epoch milliseconds by which the caller had come back without an answer, or was proven dead: nothing of
            the call was sent later; 0 when that is not known.
        partial: DONE, but less than was asked.
        settled_by: what ended the doubt, when the result is or was UNKNOWN.
    """

    idempotency_key: str
    action_intent_id: str
    tenant_id: str
    purpose: Purpose
    run_number: int
    call_no: int
    fence: int
    call_not_after: int
    reply_not_after: int
    taken_at: int
    result: CallResult = CallResult.OPEN
    external_object_refs: tuple[ObjectRef, ...] = ()
    retryable: bool = False
    error_code: str | None = None
    taken_over: bool = False
    caller_dead: bool = False
    gone_by: int = 0
    partial: bool = False
    settled_by: SettledBy | None = None


CLEAN: Final = frozenset({CallResult.NOT_SENT, CallResult.REFUSED})


def in_doubt(permit: WritePermit) -> bool:
    """Whether the permit's call may have had an effect that nobody has established."""
    return permit.result is CallResult.OPEN or (permit.result is CallResult.UNKNOWN and permit.settled_by is None)


def done_by(permits: Sequence[WritePermit], purpose: Purpose) -> WritePermit | None:
    """The first call of the purpose that is known to have done it, or None."""
    for permit in permits:
        if permit.result is CallResult.DONE and permit.purpose is purpose:
            return permit
    return None


def of_purpose(permits: Sequence[WritePermit], purpose: Purpose) -> tuple[WritePermit, ...]:
    """The permits of one purpose, in the order of their calls."""
    return tuple([permit for permit in permits if permit.purpose is purpose])


class Verdict(StrEnum):
    """What may happen next, given all calls made so far."""

    CALL = "CALL"
    SETTLE = "SETTLE"
    RECOVER = "RECOVER"
    LOOK_UP = "LOOK_UP"
    WAIT = "WAIT"
    IN_DOUBT = "IN_DOUBT"


class Repeat(Struct, frozen=True, gc=False):
    """A verdict, with its reason for the ledger.

    Attributes:
        until: WAIT: until when (epoch milliseconds).
        proves_absence: CALL: the doubtful calls are proven to have had no effect.
    """

    verdict: Verdict
    reason: str
    until: int = 0
    proves_absence: bool = False


_FIRST: Final = Repeat(Verdict.CALL, "no earlier call can have had an effect")


def last_possible_send(permits: Sequence[WritePermit], max_pause_ms: int) -> int:
    """The latest instant (epoch milliseconds) at which a call in doubt can still have been sent.

    Every caller may have been paused between its check and its send, for at most `max_pause_ms`: the one assumption of
    the protocol. A caller that came back, or is proven dead, has sent nothing since.
    """
    return max(_sent_by(permit, max_pause_ms) for permit in permits)


def _sent_by(permit: WritePermit, max_pause_ms: int) -> int:
    longest = permit.call_not_after + max_pause_ms
    if permit.taken_over and not permit.caller_dead:
        return longest
    return max(permit.call_not_after, min(permit.gone_by, longest))


def next_call(
    permits: Sequence[WritePermit],
    semantics: WriteSemantics,
    *,
    now_ms: int,
    max_pause_ms: int,
    call_window_ms: int,
    absent_at: int | None = None,
    cannot_tell: bool = False,
) -> Repeat:
    """Decides what may follow the calls made so far under one key.

    Args:
        permits: every permit of the purpose, over all runs.
        semantics: the tool's promise.
        now_ms: now, epoch milliseconds.
        max_pause_ms: the longest pause between check and send that is assumed possible.
        call_window_ms: how long after its permit a call may be sent.
        absent_at: when a look-up made since the last call found nothing, epoch milliseconds.
        cannot_tell: a look-up was made and could not tell.
    """
    results = {permit.result for permit in permits}
    if CallResult.OPEN in results:
        return Repeat(Verdict.RECOVER, "a permit is open")
    if CallResult.DONE in results:
        return Repeat(Verdict.SETTLE, "the tool has done it")
    doubtful = [permit for permit in permits if in_doubt(permit)]
    if not doubtful:
        return _FIRST
    mode = semantics.mode
    if semantics.failure_burns_key and any(permit.call_no == 0 for permit in doubtful):
        return Repeat(Verdict.IN_DOUBT, "the key of the calls that a restore forgot is not known")
    sent_by = last_possible_send(doubtful, max_pause_ms)
    if mode is WriteMode.IDEMPOTENT:
        kept_until = min(permit.taken_at for permit in permits) + semantics.key_retention_seconds * 1000
        # The call that is made now may be paused before it is sent, and an earlier one may be sent after it: both have
        # to find the key still known.
        if max(now_ms + call_window_ms + max_pause_ms, sent_by) < kept_until:
            return Repeat(Verdict.CALL, "the target honours our key, and retains it")
        mode = WriteMode.LOOKUP if semantics.has_lookup else WriteMode.UNSAFE
    if mode is WriteMode.UNSAFE or not semantics.has_lookup:
        return Repeat(Verdict.IN_DOUBT, "the target neither honours our key nor can be searched by it")
    if cannot_tell:
        return Repeat(Verdict.IN_DOUBT, "the look-up cannot tell")
    if now_ms < sent_by and any(permit.taken_over and not permit.caller_dead for permit in doubtful):
        return Repeat(Verdict.WAIT, "an earlier caller may still send", sent_by)
    if absent_at is None:
        return Repeat(Verdict.LOOK_UP, "the target can be searched by our key")
    if semantics.absence_final_after_seconds is None:
        return Repeat(Verdict.IN_DOUBT, "nothing was found, and the tool does not declare when an absence is final")
    final_at = sent_by + semantics.absence_final_after_seconds * 1000
    if absent_at >= final_at:
        return Repeat(Verdict.CALL, "the look-up found nothing, and an absence is final", 0, True)
    if now_ms >= final_at:
        return Repeat(Verdict.LOOK_UP, "an absence is final by now")
    return Repeat(Verdict.WAIT, "an absence is not final yet", final_at)


def is_clean(permits: Sequence[WritePermit]) -> bool:
    """Whether every call was NOT_SENT or REFUSED; a person's word or a look-up is not enough to give up a key."""
    return all(permit.result in CLEAN for permit in permits)


def may_end_clean(permits: Sequence[WritePermit]) -> bool:
    """Whether a run may end FAILED, CANCELLED or EXPIRED: no call of it may have had an effect."""
    return all(permit.result in CLEAN or (permit.settled_by is not None) for permit in permits) and not any(
        permit.result is CallResult.DONE for permit in permits
    )


def collides(known: Sequence[ObjectRef], reported: Sequence[ObjectRef]) -> bool:
    """Whether one key is said to have made two different things: an incident, never an overwrite."""
    return bool(known) and bool(reported) and {ref.identity for ref in known} != {ref.identity for ref in reported}
