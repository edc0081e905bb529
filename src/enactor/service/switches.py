"""Kill switches: turned durably first, then the report of what they stopped and what had already left."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from enactor.domain.attempt import RunStatus
from enactor.domain.containment import ContainedRun, Containment
from enactor.domain.errors import Forbidden, InvalidInput, NotFound
from enactor.domain.kill_switch import KillSwitch, stopped_by
from enactor.domain.ledger import LedgerEvent
from enactor.domain.policy import PolicyAction, PolicyQuestion
from enactor.domain.principal import Permission, Principal
from enactor.domain.time import epoch_ms, rfc3339
from enactor.ports.commands import ConflictKind, SetKillSwitch
from enactor.ports.engine import RunRequest
from enactor.ports.store import Page
from enactor.service.core import Core, racing

_SCOPE: Final = re.compile(r"global|tenant|(?:platform:)?(?:action-type|connector):[A-Za-z0-9_.-]{1,128}")
_LOOK_BACK_MS: Final = 3_600_000


class ContainmentReport(Struct, frozen=True, kw_only=True):
    """What a switch stopped and what had already left, for the caller's tenant. What it does not stop is not listed.

    `since` bounds what ended before: runs that ended earlier are not listed. `next_token` continues the listing.
    """

    scope: str
    enabled: bool
    generation: int
    set_at: str | None
    since: str
    executed: tuple[ContainedRun, ...]
    blocked: tuple[ContainedRun, ...]
    unknown: tuple[ContainedRun, ...]
    next_token: str | None = None


class KillSwitches:
    """The use cases around kill switches."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def set_switch(
        self, by: Principal, scope: str, *, enabled: bool, reason: str, compensation: bool = False
    ) -> ContainmentReport:
        """Turns a switch, durably, before it answers; then says what it stopped and what had already left.

        Args:
            scope: `global`, `tenant`, `action-type:{t}`, `connector:{c}`, or the last two prefixed `platform:`.
            compensation: partial effects may still be taken back while it is on.

        Raises:
            InvalidInput, Forbidden, PolicyDenied: it was not turned.
        """
        stored = self._storage_scope(by, scope)
        if not reason.strip():
            raise InvalidInput("A kill switch needs a reason; operators will read it.")
        question = PolicyQuestion(
            action=PolicyAction.SWITCH,
            tenant_id=by.tenant_id,
            principal_id=by.name,
            principal_human=by.interactive,
            principal_roles=by.role_names,
            scope=stored,
        )
        answer = await self._core.ask(by, question)

        async def attempt() -> bool:
            core = self._core
            before = (await core.store.switches([stored])).get(stored)
            generation = before.generation if before else 0
            turned = enabled != (before.enabled if before else False)
            after = KillSwitch(
                scope=stored,
                tenant_id=by.tenant_id if stored.startswith("tenant:") else "",
                generation=generation + 1 if turned else generation,
                enabled=enabled,
                reason=reason,
                set_by=by.name,
                set_at=core.now() if turned or before is None else before.set_at,
                compensation=compensation,
            )
            entry = core.chain_entry(
                after.tenant_id,
                LedgerEvent.KILL_SWITCH_CHANGED,
                by.name,
                {
                    "scope": scope,
                    "enabled": enabled,
                    "generation": after.generation,
                    "reason": reason,
                    "compensation": compensation,
                    "policy_version": answer.policy_version,
                },
            )
            await core.store.commit([SetKillSwitch(switch=after, expected_generation=generation), entry])
            return turned

        if await racing(attempt, {ConflictKind.VERSION_CHANGED}) and enabled:
            await self._wake(by, stored)
        return await self._report(by, scope, stored, None, 100, None)

    async def report(
        self, by: Principal, scope: str, *, since: str | None = None, limit: int = 100, page_token: str | None = None
    ) -> ContainmentReport:
        """The containment report, read strongly. `since` is RFC 3339; without it, an hour before the switch was set."""
        by.require(Permission.READ, Permission.PLATFORM_SWITCH)
        if _SCOPE.fullmatch(scope) is None:
            raise NotFound("There is no such kill switch scope.")
        return await self._report(by, scope, storage_scope(by.tenant_id, scope), since, limit, page_token)

    async def switches(self, by: Principal) -> tuple[KillSwitch, ...]:
        """The switches that were ever set: the tenant's own and the platform's."""
        by.require(Permission.READ, Permission.PLATFORM_SWITCH)
        return await self._core.store.list_switches(by.tenant_id)

    def _storage_scope(self, by: Principal, scope: str) -> str:
        if _SCOPE.fullmatch(scope) is None:
            raise InvalidInput(
                "A scope is 'global', 'tenant', 'action-type:NAME', 'connector:NAME' or one of the last two "
                "prefixed 'platform:'."
            )
        platform = scope == "global" or scope.startswith("platform:")
        by.require(Permission.PLATFORM_SWITCH if platform else Permission.SWITCH)
        if not platform and not by.tenant_id:
            raise Forbidden("A token without a tenant turns only the platform's switches.")
        return storage_scope(by.tenant_id, scope)

    async def _wake(self, by: Principal, stored: str) -> None:
        if stored.startswith("tenant:"):
            await self._wake_tenant(by, stored)
            return
        core = self._core
        after = ""
        while due := await core.store.due(core.clock.now_ms(), 500, after):
            for run in due:
                await self._submit(run.tenant_id, run.action_intent_id, run.run_number)
            after = due[-1].action_intent_id

    async def _wake_tenant(self, by: Principal, stored: str) -> None:
        token: str | None = None
        while True:
            page = await self._core.store.runs_in_scope(by.tenant_id, stored, self._core.now(), 500, token)
            for run in page.items:
                if run.status in ("PENDING", RunStatus.RUNNING):
                    await self._submit(by.tenant_id, run.action_intent_id, max(run.run_number, 1))
            token = page.next_token
            if token is None:
                return

    async def _submit(self, tenant_id: str, action_intent_id: str, run_number: int) -> None:
        await self._core.engine.submit(
            RunRequest(action_intent_id=action_intent_id, tenant_id=tenant_id, run_number=run_number)
        )

    async def _report(
        self, by: Principal, scope: str, stored: str, since: str | None, limit: int, page_token: str | None
    ) -> ContainmentReport:
        core = self._core
        switch = (await core.store.switches([stored])).get(stored)
        if since is None:
            set_at = epoch_ms(switch.set_at) if switch else core.clock.now_ms()
            since = rfc3339(set_at - _LOOK_BACK_MS)
        page: Page[ContainedRun] = Page((), None)
        if by.tenant_id:
            page = await core.store.runs_in_scope(by.tenant_id, stored, since, limit, page_token)
        runs = [run for run in page.items if by.reaches(run.account_id) and await self._is_contained(by, run, switch)]
        return ContainmentReport(
            scope=scope,
            enabled=switch.enabled if switch else False,
            generation=switch.generation if switch else 0,
            set_at=switch.set_at if switch else None,
            since=since,
            executed=tuple(run for run in runs if run.containment is Containment.EXECUTED),
            blocked=tuple(run for run in runs if run.containment is Containment.BLOCKED),
            unknown=tuple(run for run in runs if run.containment is Containment.UNKNOWN),
            next_token=page.next_token,
        )

    async def _is_contained(self, by: Principal, run: ContainedRun, switch: KillSwitch | None) -> bool:
        """Whether the report may list the run. What a switch that is off does not refuse may run at any moment."""
        over = run.containment is not Containment.BLOCKED or run.status not in ("PENDING", RunStatus.RUNNING)
        if over or (switch is not None and switch.enabled):
            return True
        records = await self._core.store.execution(by.tenant_id, run.action_intent_id)
        if records is None or switch is None:
            return False
        authorised = records.attempt.switch_marks if records.attempt else records.intent.switch_marks
        return stopped_by(authorised, {switch.scope: switch}) is not None


def storage_scope(tenant_id: str, scope: str) -> str:
    """A public scope as the store keeps it."""
    if scope == "global":
        return scope
    if scope == "tenant":
        return f"tenant:{tenant_id}"
    if scope.startswith("platform:"):
        return scope.removeprefix("platform:")
    return f"tenant:{tenant_id}/{scope}"
