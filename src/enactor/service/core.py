"""What every use case shares: the ports, the limits, and how a use case writes the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from msgspec import Struct

from enactor.domain.action_type import ActionType
from enactor.domain.errors import IntentNotFound, PolicyDenied, Unavailable
from enactor.domain.ids import is_intent_id
from enactor.domain.intent import ActionIntent
from enactor.domain.kill_switch import scopes_of
from enactor.domain.ledger import SYSTEM_CHAIN, TENANT_CHAIN, LedgerEvent, record
from enactor.domain.mapping import CustomTransform
from enactor.domain.policy import PolicyAction, PolicyAnswer, PolicyQuestion
from enactor.domain.principal import Permission, Principal
from enactor.domain.time import rfc3339
from enactor.ports.clock import Clock, Ids, Randomness
from enactor.ports.commands import AppendLedger, Conflict, ConflictKind
from enactor.ports.engine import Engine
from enactor.ports.policy import PolicyEngine
from enactor.ports.store import Store
from enactor.ports.tools import ToolPlane

_RACES: Final = 20
Result = TypeVar("Result")


class Limits(Struct, frozen=True, kw_only=True):
    """How much may wait for a decision, and how long a proposal lives when it does not say (seconds)."""

    max_pending_of_proposer: int = 50
    max_pending_of_tenant: int = 500
    expires_in_seconds: int = 7 * 86_400
    shadow: bool = False


class Core:
    """The ports and the limits of one Enactor."""

    def __init__(
        self,
        *,
        store: Store,
        tools: ToolPlane,
        engine: Engine,
        policy: PolicyEngine,
        clock: Clock,
        ids: Ids,
        randomness: Randomness,
        limits: Limits,
        transforms: Mapping[str, CustomTransform],
    ) -> None:
        self.store = store
        self.tools = tools
        self.engine = engine
        self.policy = policy
        self.clock = clock
        self.ids = ids
        self.randomness = randomness
        self.limits = limits
        self.transforms = transforms

    def now(self) -> str:
        """Now, as RFC 3339."""
        return rfc3339(self.clock.now_ms())

    def intent_entry(
        self,
        intent: ActionIntent,
        event: LedgerEvent,
        actor: str,
        data: dict[str, Any],
        run_number: int = 0,
        *,
        from_outside: bool = True,
    ) -> AppendLedger:
        """A ledger entry about an intent, in its account's chain. For `from_outside` see `domain.ledger.record`."""
        return AppendLedger(
            record=record(
                entry_id=self.ids.new(),
                salt=self.randomness.bytes(16),
                tenant_id=intent.tenant_id,
                account_id=intent.account_id,
                event_type=event,
                timestamp=self.now(),
                actor=actor,
                trace_id=intent.trace_id,
                decision_trace_id=intent.trace_id,
                action_intent_id=intent.action_intent_id,
                run_number=run_number,
                data=data,
                from_outside=from_outside,
            )
        )

    def chain_entry(self, tenant_id: str, event: LedgerEvent, actor: str, data: dict[str, Any]) -> AppendLedger:
        """A ledger entry about a tenant, or with no tenant about the platform, in its own chain."""
        trace_id = self.ids.new()
        return AppendLedger(
            record=record(
                entry_id=self.ids.new(),
                salt=self.randomness.bytes(16),
                tenant_id=tenant_id,
                account_id=TENANT_CHAIN if tenant_id else SYSTEM_CHAIN,
                event_type=event,
                timestamp=self.now(),
                actor=actor,
                trace_id=trace_id,
                decision_trace_id=trace_id,
                data=data,
            )
        )

    async def visible_intent(self, by: Principal, action_intent_id: str) -> ActionIntent:
        """The intent, if it exists for this principal.

        Raises:
            IntentNotFound: it does not exist, belongs to another tenant or to an account the token does not cover, or
                the principal may read only its own and it is somebody else's. All of them look the same.
        """
        by.require(Permission.READ, Permission.READ_OWN)
        intent = await self.store.intent(by.tenant_id, action_intent_id) if is_intent_id(action_intent_id) else None
        readable = intent is not None and (
            by.may(Permission.READ) or intent.proposed_by == by.ref or by.ref in intent.contributors
        )
        if intent is None or not by.reaches(intent.account_id) or not readable:
            raise IntentNotFound("There is no such intent.")
        return intent

    async def action_type_for(self, tenant_id: str, action_type: str, version: int | None = None) -> ActionType | None:
        """The entry a tenant sees: its own override, else the platform's. A version names one of either."""
        own = await self.store.action_type(tenant_id, action_type, version)
        return own if own is not None else await self.store.action_type("", action_type, version)

    async def ask(self, by: Principal, question: PolicyQuestion) -> PolicyAnswer:
        """The policies' answer. Raises `PolicyDenied` naming the deciding policies when it is no."""
        answer = self.policy.ask(question, await self.store.policies(by.tenant_id))
        if not answer.allowed:
            raise PolicyDenied(f"Policy does not permit '{question.action.value}' here.{because(answer)}")
        return answer

    def question(
        self, action: PolicyAction, by: Principal, intent: ActionIntent, arguments: dict[str, Any]
    ) -> PolicyQuestion:
        """The question whether `by` may do `action` on an intent."""
        return PolicyQuestion(
            action=action,
            tenant_id=by.tenant_id,
            principal_id=by.name,
            principal_human=by.interactive,
            principal_roles=by.role_names,
            account_id=intent.account_id,
            action_type=intent.action_type,
            action_intent_id=intent.action_intent_id,
            connector_id=intent.connector_id,
            risk_class=intent.risk_class,
            target_type=intent.target.entity_type if intent.target else "",
            target_id=intent.target.entity_id if intent.target else "",
            arguments=arguments,
        )

    async def scopes_and_marks(self, intent: ActionIntent) -> tuple[tuple[str, ...], dict[str, Any]]:
        """The switch scopes that apply to an intent, and the switches of them that were ever set."""
        scopes = scopes_of(intent.tenant_id, intent.action_type, intent.connector_id)
        return scopes, await self.store.switches(scopes)


def because(answer: PolicyAnswer) -> str:
    """Why a policy's answer is no, for people."""
    if answer.errors:
        return f" A policy could not be evaluated: {answer.errors[0]}"
    return f" Decided by: {', '.join(answer.reasons)}." if answer.reasons else " No policy permits it."


async def racing(action: Callable[[], Awaitable[Result]], retry_on: Iterable[ConflictKind]) -> Result:
    """Runs a read-decide-commit action again while somebody else got in between.

    Raises:
        Unavailable: it lost too many races in a row; nothing was changed.
    """
    retried = frozenset(retry_on)
    for _ in range(_RACES):
        try:
            return await action()
        except Conflict as conflict:
            if conflict.kind not in retried:
                raise
    raise Unavailable("Too many others are changing this at the same time; try again.")
