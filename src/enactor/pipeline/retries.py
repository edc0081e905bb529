"""Putting a run off: for how long, and durably."""

from __future__ import annotations

from enactor.pipeline.model import Context, Run, Turn, Wait, with_attempt
from enactor.ports.commands import Command, UpdateAttempt


def wait(run: Run, ctx: Context, until: int, reason: str, commands: tuple[Command, ...]) -> Turn:
    """Puts the run off, durably, until an instant (epoch milliseconds)."""
    lock = run.lock
    run = with_attempt(
        run,
        resume_at=until,
        waiting_for=reason,
        deadline_at=until + ctx.settings.grace_ms,
        updated_at=ctx.now(),
    )
    update = UpdateAttempt(attempt=run.lock, expected_fence=lock.fence, expected_status=lock.status)
    return Wait(run=run, commands=(*commands, update), until=until, reason=reason)


def backoff_ms(retries_before: int, retry_after_seconds: float | None, ctx: Context) -> int:
    """How long to wait before a retry, in milliseconds: doubling with jitter, and never less than the target asks."""
    settings = ctx.settings
    ceiling = min(settings.backoff_ms * 2**retries_before, settings.backoff_cap_ms)
    jittered = ceiling * ctx.randomness.uniform(0.5, 1.0)
    wished = min((retry_after_seconds or 0.0) * 1000, 86_400_000)
    return int(max(jittered, wished))
