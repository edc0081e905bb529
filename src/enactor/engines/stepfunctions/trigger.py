"""The way from an approval to an execution: an event on the bus, a rule, a queue, and a starter.

A rule cannot name an execution of its target, and only the name makes a run start once; so the starter does it. Events
come at least once, late, and in any order: what the store says decides.
"""

from __future__ import annotations

import logging
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from enactor.domain.attempt import RunStatus
from enactor.domain.errors import EnactorError
from enactor.domain.ids import is_intent_id, is_name, run_name
from enactor.domain.intent import IntentStatus
from enactor.engines.stepfunctions.engine import StepFunctionsEngine
from enactor.pipeline.stepping import Stepper
from enactor.ports.commands import Conflict
from enactor.ports.engine import EngineInfo, RunRequest
from enactor.ports.store import Store

SOURCE: Final = "cc-native"
DETAIL_TYPE: Final = "ACTION_APPROVED"
_LARGEST_RUN: Final = 10_000
_log = logging.getLogger("enactor.engine")


class Approved(Struct, frozen=True, kw_only=True):
    """`detail.data` of the event: whose intent may run."""

    action_intent_id: str
    tenant_id: str
    account_id: str
    run_number: int = 1


class _Detail(Struct, frozen=True):
    data: Approved


class _Event(Struct, frozen=True):
    source: str
    detail_type: str = msgspec.field(name="detail-type")
    detail: _Detail


class EventBus(Protocol):
    """The bus that the trigger event is put on."""

    async def publish(self, approved: Approved) -> None:
        """Puts the event. Raises `Unavailable` when the bus did not take it."""
        ...


class MalformedEvent(Exception):
    """It is not an event of an approval; trying again does not help. The message names no content."""


class TooEarly(Exception):
    """The store does not know of the approval (yet): the queue brings it again, and puts it aside in the end."""


class ApprovalTrigger:
    """The engine as the API sees it: approved runs are put on the bus, waiting ones that must stop are stopped.

    Args:
        stepper: for runs that wait; see `Stepper.stop_waiting`.
    """

    def __init__(self, bus: EventBus, store: Store, stepper: Stepper) -> None:
        self._bus = bus
        self._store = store
        self._stepper = stepper

    async def start(self) -> None:
        """Nothing to recover: no run depends on this process."""

    async def submit(self, request: RunRequest) -> None:
        """Announces a run that has not begun; of another, looks whether it waits and has to stop.

        What the bus does not take is started by the sweeper: the approval is durable.
        """
        records = await self._store.execution(request.tenant_id, request.action_intent_id)
        if records is None or records.intent.status is not IntentStatus.APPROVED:
            return
        if any(permit.run_number == request.run_number for permit in records.permits):
            await self._stop(request)
            return
        if records.attempt is not None and records.attempt.status is not RunStatus.RUNNING:
            return
        approved = Approved(
            action_intent_id=request.action_intent_id,
            tenant_id=request.tenant_id,
            account_id=records.intent.account_id,
            run_number=max(request.run_number, 1),
        )
        try:
            await self._bus.publish(approved)
        except EnactorError as error:
            _log.warning("intent %s not announced: %s; the sweeper will", request.action_intent_id, error.error_code)

    async def _stop(self, request: RunRequest) -> None:
        try:
            await self._stepper.stop_waiting(request)
        except (Conflict, EnactorError):
            # Its holder is at it, and takes no permit against a switch or a cancel.
            _log.info("run %s of intent %s is under way", request.run_number, request.action_intent_id)

    async def drain(self, timeout_seconds: float) -> None:
        """Nothing to wait for."""

    def info(self) -> EngineInfo:
        """How busy the state machine is, its own metrics say."""
        return EngineInfo(kind="stepfunctions", queued=0, running=0, waiting=0, accepting=True)


class Starter:
    """Starts the execution that an event asks for."""

    def __init__(self, engine: StepFunctionsEngine, store: Store) -> None:
        self._engine = engine
        self._store = store

    async def take(self, body: str) -> bool:
        """Takes one message of the queue. Returns whether it asked for an execution.

        The intent is read first: an execution that finds no approval would use the name up.

        Raises:
            MalformedEvent, TooEarly: it goes back to the queue, and after some times to the dead letters.
            Unavailable: the state machine takes no more now.
        """
        approved = approved_of(body)
        intent = await self._store.intent(approved.tenant_id, approved.action_intent_id)
        if intent is None or intent.account_id != approved.account_id:
            raise TooEarly("INTENT_NOT_FOUND")
        if intent.status is IntentStatus.PENDING_APPROVAL:
            raise TooEarly("APPROVAL_REQUIRED")
        if intent.status is not IntentStatus.APPROVED or intent.shadow:
            _log.info("intent %s is %s; nothing to start", approved.action_intent_id, intent.status.value)
            return False
        await self._engine.submit(
            RunRequest(
                action_intent_id=approved.action_intent_id,
                tenant_id=approved.tenant_id,
                run_number=approved.run_number,
            )
        )
        _log.info("asked for %s", run_name(approved.action_intent_id, approved.run_number))
        return True


def approved_of(body: str) -> Approved:
    """The approval that a message of the queue is about. Raises `MalformedEvent`."""
    try:
        event = msgspec.json.decode(body, type=_Event)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        raise MalformedEvent("MALFORMED_EVENT") from None
    approved = event.detail.data
    if event.source != SOURCE or event.detail_type != DETAIL_TYPE:
        raise MalformedEvent("NOT_AN_APPROVAL")
    fits = is_intent_id(approved.action_intent_id) and is_name(approved.tenant_id) and is_name(approved.account_id)
    if not fits or not 1 <= approved.run_number <= _LARGEST_RUN:
        raise MalformedEvent("MALFORMED_EVENT")
    return approved


def detail_of(approved: Approved) -> dict[str, Any]:
    """`detail` of the event."""
    return {"data": msgspec.to_builtins(approved)}
