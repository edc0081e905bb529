"""Engines: who runs the next step, and when."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from enactor.domain.intent import ActionIntent


class RunRequest(Struct, frozen=True, kw_only=True, gc=False):
    """Word that a run may go on. It may come any number of times; a run starts once.

    `intent` hands the approved record over from memory; it is never trusted, the start's conditions check it.
    """

    action_intent_id: str
    tenant_id: str
    run_number: int = 1
    intent: ActionIntent | None = None


class EngineInfo(Struct, frozen=True, kw_only=True):
    """What health and metrics show of an engine."""

    kind: str
    queued: int
    running: int
    waiting: int
    accepting: bool


class Engine(Protocol):
    """Runs the pipeline's steps."""

    async def start(self) -> None:
        """Recovers everything unfinished and begins to work."""
        ...

    async def submit(self, request: RunRequest) -> None:
        """Takes notice of a run that may start or go on. Returns when it is queued, not when it is done."""
        ...

    async def drain(self, timeout_seconds: float) -> None:
        """Takes nothing new, lets running calls end, and stops. What is left is recovered by the next start."""
        ...

    def info(self) -> EngineInfo:
        """How busy it is."""
        ...
