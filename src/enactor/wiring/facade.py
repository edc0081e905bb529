"""Enactor in your own program: one object, opened over a store.

async with Enactor.open("sqlite:///enactor.db", connectors=[Tickets()]) as enactor:
    intent = await enactor.propose("TICKETS_CREATE", account_id="acme", parameters={...}, by=agent)
    await enactor.approve(intent.action_intent_id, digest=intent.approval_digest, by=ana)
    outcome = await enactor.outcome(intent.action_intent_id, timeout=30)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from enactor.connectors.internal import InternalConnector
from enactor.connectors.sdk import Connector
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ConfigurationError, IntentNotFound, NotApproved
from enactor.domain.intent import ActionIntent, ExecutionPolicy, IntentStatus, Target
from enactor.domain.mapping import CustomTransform
from enactor.domain.outcome import ActionOutcome, ObjectRef
from enactor.domain.policy import PolicyMode
from enactor.domain.principal import Principal
from enactor.gateway.guards import Guards
from enactor.gateway.secrets import EnvFileSecrets
from enactor.pipeline.model import Settings as PipelineSettings
from enactor.ports.clock import Clock, Randomness
from enactor.ports.secrets import SecretSource
from enactor.service import Cancelled, ContainmentReport, Decided, Limits, LogOptions, Proposal, Resolution, Service
from enactor.service.evidence import StoreReport, verify_store
from enactor.service.timeline import TimelineLine
from enactor.system import SystemClock, SystemRandomness
from enactor.wiring.assembly import Assembly, as_connectors, assemble, open_store
from enactor.wiring.given import checked, known
from enactor.wiring.ledger import default_signers

_LOOK_AGAIN_SECONDS: Final = 1.0
_OVER: Final = frozenset({IntentStatus.REJECTED, IntentStatus.EXPIRED, IntentStatus.CANCELLED})


class Enactor:
    """An embedded Enactor. Open it with `Enactor.open` and use it as an async context manager."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url = url
        self._options = options
        self._assembly: Assembly | None = None
        self._waiting: dict[str, list[asyncio.Event]] = {}

    @classmethod
    def open(
        cls,
        url: str = "sqlite:///enactor.db",
        *,
        connectors: Iterable[Connector | Callable[..., Any]] = (),
        transforms: Mapping[str, CustomTransform] | None = None,
        limits: Limits | None = None,
        concurrency: int = 64,
        drain_seconds: float = 30.0,
        sweep_seconds: float = 5.0,
        secrets: SecretSource | None = None,
        pipeline: PipelineSettings | None = None,
        guards: Guards | None = None,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
    ) -> Self:
        """An Enactor over the store of `url`, to be entered with `async with`.

        Args:
            connectors: connectors, and functions marked with `@tool`; the internal connector is always there.
            transforms: the functions that CUSTOM parameter mappings may name.
            limits: how much may wait for a decision.
            concurrency: executions in flight at once.
            drain_seconds: how long leaving waits for calls that are out.
            sweep_seconds: how often runs that nobody looks after are looked for.
            guards: what is held against calls to each connector; a circuit breaker alone, unless given.
        """
        return cls(
            url,
            {
                "connectors": tuple(connectors),
                "transforms": dict(transforms or {}),
                "limits": limits or Limits(),
                "concurrency": concurrency,
                "drain_seconds": drain_seconds,
                "sweep_seconds": sweep_seconds,
                "secrets": secrets or EnvFileSecrets({}),
                "pipeline": pipeline or PipelineSettings(),
                "guards": guards,
                "clock": clock or SystemClock(),
                "randomness": randomness or SystemRandomness(),
            },
        )

    async def __aenter__(self) -> Self:
        options = self._options
        store = await open_store(self._url, options["clock"])
        try:
            connectors = (InternalConnector(store, options["clock"]), *as_connectors(options["connectors"]))
            self._assembly = assemble(
                store,
                connectors=connectors,
                clock=options["clock"],
                randomness=options["randomness"],
                secrets=options["secrets"],
                limits=options["limits"],
                pipeline=options["pipeline"],
                guards=options["guards"],
                transforms=options["transforms"],
                concurrency=options["concurrency"],
                sweep_seconds=options["sweep_seconds"],
                listener=self._ended,
                log=_log_options(self._url),
            )
            await self._assembly.start()
            await self._assembly.keeper.start()
        except BaseException:
            await store.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._assembly is not None:
            await self._assembly.stop(self._options["drain_seconds"])

    @property
    def service(self) -> Service:
        """Every use case, for what the shortcuts below leave out."""
        return self._running.service

    @property
    def _running(self) -> Assembly:
        if self._assembly is None:
            raise ConfigurationError("Enter it first: async with Enactor.open(...) as enactor.")
        return self._assembly

    def _ended(self, action_intent_id: str, status: RunStatus) -> None:
        for waiting in self._waiting.get(action_intent_id, ()):
            waiting.set()

    async def propose(
        self,
        action_type: str,
        *,
        account_id: str,
        parameters: dict[str, Any],
        by: Principal,
        rationale: str = "",
        target: Target | None = None,
        evidence_refs: Sequence[str] = (),
        execution_policy: ExecutionPolicy | None = None,
        expires_in_seconds: int | None = None,
        idempotency_key: str | None = None,
    ) -> ActionIntent:
        """Proposes an action; see `Proposals.propose` for what it raises.

        Args:
            action_type: what is to be done, as the registry names it.
            account_id: for which account.
            parameters: as the action type's schema has them.
            by: who proposes.
            rationale: why, for the approvers.
            target: what it is about, where the action type does not take that from the parameters.
            evidence_refs: where the approvers find more.
            execution_policy: attempts and time limits; at most those of the action type.
            expires_in_seconds: how long it may wait; at most as long as the action type allows.
            idempotency_key: proposing again with the same key gives the same intent.
        """
        # The parameters are checked against the action type's schema.
        proposal = checked(
            Proposal,
            {
                "action_type": action_type,
                "account_id": account_id,
                "parameters": {},
                "target": target,
                "rationale": rationale,
                "evidence_refs": evidence_refs,
                "execution_policy": execution_policy,
                "expires_in_seconds": expires_in_seconds,
            },
            "The proposal",
        )
        key = None if idempotency_key is None else checked(str, idempotency_key, "The idempotency_key")
        proposal = msgspec.structs.replace(proposal, parameters=parameters)
        proposed = await self.service.proposals.propose(known(by), proposal, idempotency_key=key)
        return proposed.intent

    async def approve(self, action_intent_id: str, *, digest: str, by: Principal, comment: str = "") -> Decided:
        """Approves exactly what `digest` stands for; see `Decisions.approve` for what it raises."""
        comment = checked(str, comment, "The comment")
        return await self.service.decisions.approve(known(by), action_intent_id, digest, comment)

    async def reject(self, action_intent_id: str, *, reason: str, by: Principal) -> ActionIntent:
        """Rejects an intent for good. Raises `IntentNotFound`, `Forbidden`, `SelfDecision`, `IllegalTransition`."""
        return await self.service.decisions.reject(known(by), action_intent_id, checked(str, reason, "The reason"))

    async def cancel(self, action_intent_id: str, *, by: Principal, reason: str = "") -> Cancelled:
        """Cancels what has not started; asks what is running to stop before its next call.

        Raises:
            IntentNotFound, Forbidden: it is not there, or not theirs to cancel.
            IllegalTransition: it is over.
        """
        return await self.service.decisions.cancel(known(by), action_intent_id, checked(str, reason, "The reason"))

    async def outcome(
        self, action_intent_id: str, *, timeout: float | None = None, tenant_id: str = "default"
    ) -> ActionOutcome:
        """Waits for the outcome of an intent's run: an end, or that it is in doubt.

        Args:
            timeout: seconds; None waits for ever.

        Raises:
            TimeoutError: there is none yet.
            NotApproved: it was rejected, cancelled, has expired or is in shadow mode; there will never be one.
            StoreFailed: the store can no longer be trusted.
            IntentNotFound: there is no such intent in the tenant.
        """
        waiting, loop = asyncio.Event(), asyncio.get_running_loop()
        self._waiting.setdefault(action_intent_id, []).append(waiting)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    waiting.clear()
                    records = await self._running.store.execution(tenant_id, action_intent_id)
                    if records is None:
                        raise IntentNotFound("There is no such intent.")
                    if records.attempt is not None and records.attempt.status is not RunStatus.RUNNING:
                        if records.outcome is not None:
                            return records.outcome
                    elif records.intent.status in _OVER:
                        raise NotApproved(f"The intent is {records.intent.status}; it will have no outcome.")
                    elif records.intent.shadow and records.intent.status is IntentStatus.APPROVED:
                        raise NotApproved("The intent is approved in shadow mode; it will have no outcome.")
                    # Ends of runs here are told at once. What else can happen, also elsewhere, is looked for.
                    look_again = loop.call_later(_LOOK_AGAIN_SECONDS, waiting.set)
                    await waiting.wait()
                    look_again.cancel()
        finally:
            others = self._waiting[action_intent_id]
            others.remove(waiting)
            if not others:
                del self._waiting[action_intent_id]

    async def resolve(
        self,
        action_intent_id: str,
        *,
        executed: bool,
        comment: str,
        by: Principal,
        refs: tuple[ObjectRef, ...] = (),
    ) -> Resolution:
        """Says what a person found out about a run in doubt. For HIGH risk two people have to say the same.

        Args:
            executed: whether the target did it.
            comment: how that was found out; the ledger keeps it.
            refs: what it made, where that is known.

        Raises:
            IntentNotFound, Forbidden, PolicyDenied: it is not there, or not theirs to resolve.
            IllegalTransition: it is not in doubt, or they have said so already.
        """
        refs = checked(tuple[ObjectRef, ...], refs, "The references")
        comment = checked(str, comment, "The comment")
        return await self.service.operations.resolve(
            known(by), action_intent_id, executed=executed, refs=refs, comment=comment
        )

    async def replay(self, action_intent_id: str, *, reason: str, by: Principal) -> int:
        """Starts a new run of a failed or cancelled one, under the same key. Returns its number.

        Raises:
            IntentNotFound, Forbidden: it is not there, or not theirs to replay.
            IllegalTransition, EffectKeyTaken, BudgetExceeded, DataErased: it cannot run again; the message says why.
        """
        return await self.service.operations.replay(known(by), action_intent_id, checked(str, reason, "The reason"))

    async def undo(self, action_intent_id: str, *, reason: str, by: Principal) -> ActionIntent:
        """Proposes to take back what a run did; somebody else approves it. See `Undoing.undo` for what it raises."""
        return await self.service.undoing.undo(known(by), action_intent_id, checked(str, reason, "The reason"))

    async def kill_switch(
        self, scope: str, *, enabled: bool, reason: str, by: Principal, compensation: bool = False
    ) -> ContainmentReport:
        """Turns a switch, durably, before it answers; then says what it stopped and what had already left.

        Args:
            scope: `global`, `tenant`, `action-type:{t}`, `connector:{c}`, or the last two prefixed `platform:`.
            compensation: partial effects may still be taken back while it is on.

        Raises:
            InvalidInput, Forbidden, PolicyDenied: it was not turned.
        """
        enabled, reason = checked(bool, enabled, "'enabled'"), checked(str, reason, "The reason")
        return await self.service.operations.set_switch(
            known(by), scope, enabled=enabled, reason=reason, compensation=checked(bool, compensation, "'compensation'")
        )

    async def set_policies(self, text: str, *, by: Principal, mode: PolicyMode = PolicyMode.ENFORCE) -> None:
        """Replaces the tenant's Cedar policies. Raises `InvalidPolicy`, and then the old ones stay, and `Forbidden`."""
        await self.service.operations.set_policies(
            known(by), checked(str, text, "The text"), checked(PolicyMode, mode, "The mode")
        )

    async def timeline(self, action_intent_id: str, *, by: Principal) -> tuple[TimelineLine, ...]:
        """What happened to an intent, one readable line each. Raises `IntentNotFound`, `Forbidden`."""
        return await self.service.inspection.timeline(by, action_intent_id)

    async def verify_ledger(self) -> StoreReport:
        """Checks every chain and every log of the ledger."""
        return await verify_store(self._running.store)


def _log_options(url: str) -> LogOptions | None:
    """Logs signed by the key beside the database; by one that is gone with the process where there is no folder."""
    signers = default_signers(url)
    return LogOptions(signers=signers) if signers is not None else None
