"""The wire forms of answers about everything but intents (specification, section 1)."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from enactor.domain.action_type import ActionType
from enactor.domain.budget import Budget
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.ledger import LedgerEntry
from enactor.domain.policy import PolicySet
from enactor.domain.principal import Principal
from enactor.ports.commands import InternalObject
from enactor.service import ExecutionView
from enactor.service.timeline import TimelineLine


class ExecutionPage(Struct, kw_only=True):
    """Executions, newest first."""

    items: tuple[ExecutionView, ...]
    next_token: str | None = None


class Timeline(Struct, kw_only=True):
    """What happened, in order. It comes whole: `next_token` is always null."""

    items: tuple[TimelineLine, ...]
    next_token: str | None = None


class ResolutionView(Struct, kw_only=True):
    """The status of the run after a resolve, and how many people have to say the same before it counts."""

    action_intent_id: str
    status: str
    approvals_missing: int


class Replay(Struct, kw_only=True):
    """The new run."""

    action_intent_id: str
    run_number: int


class KillSwitchView(Struct, kw_only=True):
    """A kill switch that was ever set. `set_by` is not shown to tenants for the platform's."""

    scope: str
    enabled: bool
    generation: int
    reason: str
    set_by: str | None
    set_at: str
    compensation: bool


class KillSwitchPage(Struct, kw_only=True):
    """Switches that were ever set."""

    items: tuple[KillSwitchView, ...]
    next_token: str | None = None


def kill_switch_view(switch: KillSwitch, by: Principal) -> KillSwitchView:
    """A switch under the scope that the caller names it by."""
    own = switch.scope.removeprefix(f"tenant:{by.tenant_id}") if by.tenant_id else switch.scope
    if by.tenant_id and own != switch.scope:
        scope = own.removeprefix("/") or "tenant"
        set_by: str | None = switch.set_by
    else:
        scope = switch.scope if switch.scope == "global" else f"platform:{switch.scope}"
        set_by = None if by.tenant_id else switch.set_by
    return KillSwitchView(
        scope=scope,
        enabled=switch.enabled,
        generation=switch.generation,
        reason=switch.reason,
        set_by=set_by,
        set_at=switch.set_at,
        compensation=switch.compensation,
    )


class ActionTypePage(Struct, kw_only=True):
    """The latest version of each action type, by name."""

    items: tuple[ActionType, ...]
    next_token: str | None = None


class RegisteredView(Struct, kw_only=True):
    """The entry; while it is not in force, how many administrators still have to ask for the same."""

    entry: ActionType
    in_force: bool
    approvals_missing: int


class BudgetView(Struct, kw_only=True):
    """A budget, and how many executions its current window has seen start."""

    action_type: str
    window_seconds: int
    max_executions: int
    used: int | None
    set_by: str
    set_at: str


class BudgetPage(Struct, kw_only=True):
    """The tenant's budgets, by action type."""

    items: tuple[BudgetView, ...]
    next_token: str | None = None


def budget_view(budget: Budget, used: int | None) -> BudgetView:
    """A budget as it is shown."""
    return BudgetView(
        action_type=budget.action_type,
        window_seconds=budget.window_seconds,
        max_executions=budget.max_executions,
        used=used,
        set_by=budget.set_by,
        set_at=budget.set_at,
    )


class PoliciesView(Struct, kw_only=True):
    """The tenant's own policies; version 0 while it has none and only the built-in ones hold."""

    tenant_id: str
    version: int
    text: str
    mode: str
    set_by: str
    set_at: str


def policies_view(policies: PolicySet | None, tenant_id: str) -> PoliciesView:
    """Policies as they are shown."""
    if policies is None:
        return PoliciesView(tenant_id=tenant_id, version=0, text="", mode="ENFORCE", set_by="", set_at="")
    return PoliciesView(
        tenant_id=tenant_id,
        version=policies.version,
        text=policies.text,
        mode=policies.mode.value,
        set_by=policies.set_by,
        set_at=policies.set_at,
    )


class LedgerEntryView(Struct, kw_only=True):
    """A ledger entry: the members that its `hash` covers, as they are hashed, and `data`, `salt`, `hash`, `position`.

    `action_intent_id` is empty and `run_number` 0 where it is about none. `data` is null and `salt` empty once erased.
    """

    entry_id: str
    tenant_id: str
    account_id: str
    seq: int
    event_type: str
    timestamp: str
    actor: str
    trace_id: str
    decision_trace_id: str
    action_intent_id: str
    run_number: int
    sequence: int
    data: msgspec.Raw | None
    salt: str
    data_commitment: str
    prev_hash: str
    hash: str
    position: int


def ledger_entry_view(entry: LedgerEntry) -> LedgerEntryView:
    """An entry as it is shown, its data read."""
    return LedgerEntryView(
        entry_id=entry.entry_id,
        tenant_id=entry.tenant_id,
        account_id=entry.account_id,
        seq=entry.seq,
        event_type=entry.event_type.value,
        timestamp=entry.timestamp,
        actor=entry.actor,
        trace_id=entry.trace_id,
        decision_trace_id=entry.decision_trace_id,
        action_intent_id=entry.action_intent_id,
        run_number=entry.run_number,
        sequence=entry.sequence,
        data=msgspec.Raw(entry.data) if entry.data else None,
        salt=entry.salt,
        data_commitment=entry.data_commitment,
        prev_hash=entry.prev_hash,
        hash=entry.hash,
        position=entry.position,
    )


class LedgerPage(Struct, kw_only=True):
    """Ledger entries, in the order in which they were written."""

    items: tuple[LedgerEntryView, ...]
    next_token: str | None = None


class ObjectPage(Struct, kw_only=True):
    """Notes or tasks of the internal connector, newest first."""

    items: tuple[InternalObject, ...]
    next_token: str | None = None


class Me(Struct, kw_only=True):
    """Who the token says you are."""

    principal: str
    iss: str
    sub: str
    tenant_id: str
    account_ids: tuple[str, ...]
    roles: tuple[str, ...]
    interactive: bool
    actors: tuple[str, ...]
    client_id: str


def me(by: Principal) -> Me:
    """The principal as it is shown to itself."""
    return Me(
        principal=by.name,
        iss=by.iss,
        sub=by.sub,
        tenant_id=by.tenant_id,
        account_ids=by.account_ids,
        roles=by.role_names,
        interactive=by.interactive,
        actors=tuple(map(str, by.actors)),
        client_id=by.client_id,
    )


class Health(Struct, kw_only=True):
    """`ok`, or which part is not: `checks` says `ok` or `failing` for each, and of the ledger's log `ok` or `late`."""

    status: str
    version: str
    checks: dict[str, str] = {}
