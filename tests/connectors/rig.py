"""A connector behind the real tool plane and pipeline, as a server would put them together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from enactor.conformance.builders import Builder
from enactor.conformance.clocks import ManualClock, SeededRandomness
from enactor.connectors.context import ConnectorContext
from enactor.connectors.sdk import Connector, ToolCall
from enactor.domain.attempt import RunStatus
from enactor.domain.canonical import canonical, digest
from enactor.domain.intent import ActionIntent, ExecutionPolicy, FrozenCall, Guard, Preview
from enactor.domain.ledger import LedgerEvent
from enactor.domain.outcome import ActionOutcome, ObjectRef
from enactor.domain.permit import CallResult, Purpose, WritePermit
from enactor.engines.local import LocalEngine
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.secrets import EnvFileSecrets, read_reference
from enactor.pipeline.driver import Driven, Driver, Progress
from enactor.pipeline.model import Context, Earlier, Settings
from enactor.ports.clock import Ids
from enactor.ports.commands import CreateIntent, RegisterActionType
from enactor.ports.engine import RunRequest
from enactor.ports.tools import CallRequest, LookUpResult, Reply
from enactor.stores.memory import MemoryStore

TENANT = "acme"
NORTH = "north"
SOUTH = "south"
KEY = "ab" * 32


def context_of(clock: ManualClock, settings: Mapping[str, Any], environment: Mapping[str, str]) -> ConnectorContext:
    """A server's side, under which loopback may be called, with secrets in an environment."""
    return ConnectorContext(
        clock=clock,
        settings=settings,
        read_secret=lambda reference, what: read_reference(reference, environment, what),
        development=True,
    )


class Ended(Struct, frozen=True):
    """How a run ended, or that it is in doubt."""

    outcome: ActionOutcome
    permits: tuple[WritePermit, ...]
    events: tuple[LedgerEvent, ...]

    @property
    def status(self) -> RunStatus:
        """The run's status."""
        return self.outcome.status

    @property
    def calls(self) -> list[str]:
        """How its calls ended, in order; what settled a doubt behind a colon."""
        return [p.result.value + (f":{p.settled_by.value}" if p.settled_by else "") for p in self.permits]

    @property
    def ref(self) -> ObjectRef:
        """The one thing it made or changed."""
        (ref,) = self.outcome.external_object_refs
        return ref


class ConnectorRig:
    """Runs actions of tenant acme with one connector.

    Args:
        connector: the connector under test.
        clock: Enactor's time, and the target's where the target is ours.
    """

    def __init__(self, connector: Connector, clock: ManualClock) -> None:
        self.connector, self.clock = connector, clock
        self.plane = InProcessToolPlane([self.connector], EnvFileSecrets({}, {}))
        self.store = MemoryStore(clock)
        self.builder = Builder(clock, SeededRandomness(7))
        randomness = SeededRandomness(8)
        self.driver = Driver(self.store, self.plane, Context(clock, Ids(clock, randomness), randomness, Settings()))
        self._entries: dict[str, int] = {}

    async def close(self) -> None:
        """Lets go of connections."""
        await self.plane.close()

    # -- through the pipeline --------------------------------------------------------------------------------------

    async def approve(
        self, tool: str, arguments: dict[str, Any], *, account: str = NORTH, preview: bool = False, retries: int = 3
    ) -> ActionIntent:
        """An approved intent in the store, with its registry entry."""
        definition = self.plane.definition(tool)
        assert definition is not None
        action_type = self.plane.action_types()[tool]
        self.plane.validate(tool, arguments)
        shown = await self.preview(tool, arguments, account) if preview else None
        intent = self.builder.approved(
            tenant_id=TENANT,
            account_id=account,
            action_type=action_type,
            parameters=arguments,
            tool_call=FrozenCall(tool, definition.tool_schema_version, canonical(arguments).decode()),
            write_semantics=definition.write_semantics,
            compensation=definition.compensation,
            connector_id=definition.connector_id,
            connector_version=self.plane.connector_version(tool, TENANT, account),
            definition_hash=definition.definition_hash,
            execution_policy=ExecutionPolicy(retry_count=retries, timeout_seconds=30),
            preview=shown,
        )
        if action_type not in self._entries:
            self._entries[action_type] = 1
            entry = self.builder.action_type(
                action_type,
                tool_name=tool,
                connector_id=definition.connector_id,
                write_semantics=definition.write_semantics,
                compensation=definition.compensation,
                definition_hash=definition.definition_hash,
            )
            await self.store.commit([RegisterActionType(action_type=entry)])
        await self.store.commit([CreateIntent(intent=intent, max_pending_of_proposer=50, max_pending_of_tenant=500)])
        return intent

    async def preview(self, tool: str, arguments: dict[str, Any], account: str = NORTH) -> Preview:
        """What approvers would be shown."""
        spec, _ = self.connector.tools()[tool.partition(".")[2]]
        assert spec.preview is not None
        parsed = spec.arguments.model_validate(arguments)
        read = await self.connector.method(spec.preview)(parsed, _call(account))
        return Preview(read.before, read.after, read.version_tag, Guard.CHECK_THEN_WRITE, digest([read.version_tag]))

    async def once(self, intent: ActionIntent, earlier: Earlier = Earlier.UNKNOWN, fence: int = 0) -> Driven:
        """Drives a run until it ends or has to wait."""
        request = RunRequest(action_intent_id=intent.action_intent_id, tenant_id=intent.tenant_id)
        return await self.driver.drive(request, earlier, fence)

    async def drive(self, intent: ActionIntent, *, waits: int = 40, earlier: Earlier = Earlier.UNKNOWN) -> Ended:
        """Drives a run to its end, or until it is in doubt, moving the clock to whenever it waits for."""
        driven = await self.once(intent, earlier)
        while driven.progress is Progress.WAITING and waits:
            waits -= 1
            self.clock.advance((driven.until - self.clock.now_ms()) / 1000)
            driven = await self.once(intent, Earlier.SELF, driven.fence)
        return await self.ended(intent)

    async def run(self, tool: str, arguments: dict[str, Any], **options: Any) -> Ended:
        """An approved action, driven to its end."""
        return await self.drive(await self.approve(tool, arguments, **options))

    async def in_engine(self, intents: list[ActionIntent]) -> list[Ended]:
        """The runs as the local engine runs them, side by side, until none of them runs any more."""
        waiting = {intent.action_intent_id for intent in intents}
        engine = LocalEngine(
            self.driver, self.store, self.clock, listener=lambda identity, _status: waiting.discard(identity)
        )
        await engine.start()
        try:
            for intent in intents:
                await engine.submit(
                    RunRequest(action_intent_id=intent.action_intent_id, tenant_id=intent.tenant_id, intent=intent)
                )
            while waiting:
                info = engine.info()
                if info.running or info.queued:
                    await asyncio.sleep(0)
                else:
                    self.clock.advance(self.clock.next_wake_seconds or 1)
                    await asyncio.sleep(0)
        finally:
            await engine.drain(1)
        return [await self.ended(intent) for intent in intents]

    async def ended(self, intent: ActionIntent) -> Ended:
        """What the store says about a run."""
        records = await self.store.execution(intent.tenant_id, intent.action_intent_id)
        assert records is not None
        assert records.outcome is not None, records.attempt
        entries = await self.store.entries_after(0, 500, intent.tenant_id, intent.action_intent_id)
        return Ended(records.outcome, records.permits, tuple(entry.event_type for entry in entries))

    # -- at the tool plane -----------------------------------------------------------------------------------------

    def request(self, tool: str, arguments: dict[str, Any], **changes: Any) -> CallRequest:
        """One call as the pipeline would ask for it."""
        fields: dict[str, Any] = {
            "tenant_id": TENANT,
            "account_id": NORTH,
            "action_intent_id": "ai_test",
            "run_number": 1,
            "call_no": 1,
            "purpose": Purpose.EFFECT,
            "tool_name": tool,
            "tool_schema_version": "1",
            "argument_bytes": canonical(arguments).decode(),
            "idempotency_key": KEY,
            "trace_id": "0" * 32,
            "send_not_after": self.clock.elapsed_ms() + 5_000,
            "timeout_seconds": 30.0,
            **changes,
        }
        return CallRequest(**fields)

    async def call(self, tool: str, arguments: dict[str, Any], **changes: Any) -> Reply:
        """One call through the tool plane."""
        return await self.plane.call(self.request(tool, arguments, **changes), lambda: True)

    async def look_up(self, tool: str, arguments: dict[str, Any], **changes: Any) -> LookUpResult:
        """One look-up through the tool plane."""
        return await self.plane.look_up(self.request(tool, arguments, **changes))

    async def undo(self, ended: Ended, tool: str, **more: Any) -> Reply:
        """Takes an effect back, as compensation and undo do."""
        return await self.call(
            tool, self.undoing(ended, **more), purpose=Purpose.COMPENSATION, idempotency_key="cd" * 32
        )

    def undoing(self, ended: Ended, **more: Any) -> dict[str, Any]:
        """The arguments of the undoing tool."""
        done = next(permit for permit in ended.permits if permit.result is CallResult.DONE)
        refs = msgspec.to_builtins(ended.outcome.external_object_refs)
        return {"original_key": done.idempotency_key, "refs": refs, **more}


def _call(account: str) -> ToolCall:
    return ToolCall(
        tenant_id=TENANT,
        account_id=account,
        action_intent_id="ai_test",
        run_number=1,
        call_no=1,
        idempotency_key=KEY,
        trace_id="0" * 32,
        timeout_seconds=30,
        ensure_timely=lambda: None,
    )
