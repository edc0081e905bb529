"""What the tests of the outbox share: a ledger to write to, a clock that only they move, a dispatcher over them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from enactor.conformance.clocks import ManualClock, SeededRandomness
from enactor.domain.errors import StoreFailed
from enactor.domain.ids import intent_id
from enactor.domain.ledger import LedgerEvent, record
from enactor.domain.time import rfc3339
from enactor.gateway.egress import EgressRules, GuardedTransport
from enactor.outbox.dispatcher import Dispatcher
from enactor.outbox.pacing import DeliveryPolicy
from enactor.outbox.webhooks import WebhookSender, WebhookTarget
from enactor.ports.clock import Ids
from enactor.ports.commands import AppendLedger
from enactor.ports.store import Store
from enactor.system import SystemClock

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET: Final = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


async def eventually(condition: Callable[[], object]) -> None:
    """Lets everything else go on until `condition` holds; the test's own time limit ends a wait in vain."""
    while not condition():  # noqa: ASYNC110 - conditions are on what others see; there is no event for each of them
        await asyncio.sleep(0)


def present() -> ManualClock:
    """A manual clock that starts now, because receivers' libraries refuse old and future signatures."""
    return ManualClock(start_ms=SystemClock().now_ms())


class Rig:
    """A store with a ledger to write to, and dispatchers over it."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.randomness = SeededRandomness()
        self.ids = Ids(clock, self.randomness)
        self.secrets = {"one": SECRET, "other": OTHER_SECRET, "both": f"{OTHER_SECRET} {SECRET}"}
        self._running: list[Dispatcher] = []

    def entry(
        self,
        tenant_id: str = "acme",
        event: LedgerEvent = LedgerEvent.ACTION_EXECUTED,
        intent: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> AppendLedger:
        """A ledger entry to commit."""
        return AppendLedger(
            record=record(
                entry_id=self.ids.new(),
                salt=self.randomness.bytes(16),
                tenant_id=tenant_id,
                account_id="account-1",
                event_type=event,
                timestamp=rfc3339(self.clock.now_ms()),
                actor="https://issuer.example#ana",
                trace_id=self.ids.new(),
                decision_trace_id=self.ids.new(),
                action_intent_id=intent if intent is not None else intent_id(self.ids.new()),
                run_number=1,
                data=data or {},
            )
        )

    async def write(self, count: int = 1, **entry: Any) -> list[str]:
        """Commits so many entries, one commit each. Returns their ids."""
        commands = [self.entry(**entry) for _ in range(count)]
        for start in range(0, count, 50):
            await self.store.commit(commands[start : start + 50])
        return [command.record.entry_id for command in commands]

    def sender(self, **settings: Any) -> WebhookSender:
        """A sender over real connections, which may use loopback as in development."""
        transport = GuardedTransport(EgressRules(development=True), self.clock)
        return WebhookSender(transport, self.clock, read_secret=lambda it: self.secrets[it.secret], **settings)

    async def start(self, *targets: WebhookTarget, store: Any = None, **policy: Any) -> Dispatcher:
        """A dispatcher that has started."""
        dispatcher = Dispatcher(
            store or self.store,
            targets,
            self.sender(),
            clock=self.clock,
            randomness=self.randomness,
            policy=DeliveryPolicy(**policy),
        )
        self._running.append(dispatcher)
        await dispatcher.start()
        return dispatcher

    async def crash(self, dispatcher: Dispatcher) -> None:
        """Ends a dispatcher as a crash does: nothing is finished, nothing is saved."""
        tasks = [*dispatcher._work, *(task for lane in dispatcher._lanes for task in lane._tasks)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await dispatcher._sender.close()
        self._running.remove(dispatcher)

    async def close(self) -> None:
        """Ends every dispatcher that still runs."""
        for dispatcher in self._running:
            await dispatcher.drain(0)


def hook(url: str, tenant_id: str = "acme", events: Iterable[LedgerEvent] = (), **target: Any) -> WebhookTarget:
    """A target with an id of its own per tenant."""
    given = {"id": f"hook-{tenant_id or 'all'}", "secret": "one", **target}
    return WebhookTarget(tenant_id=tenant_id, url=url, event_types=frozenset(events), **given)


class CountingStore:
    """A store in front of another: counts what is asked of it, and fails or does nothing where it is told to."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()
        self.broken = ""
        self.forgotten = ""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def counted(*arguments: Any, **named: Any) -> Any:
            self.calls[name] += 1
            if name == self.broken:
                raise StoreFailed("The disk is gone.")
            return None if name == self.forgotten else await method(*arguments, **named)

        return counted
