"""A tenant's log over a store, without the rest of the service."""

from typing import Any

from pymerkle import InmemoryTree

from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock, SeededRandomness
from enactor.domain.ledger import LedgerEvent
from enactor.domain.note import Signer
from enactor.ports.clock import Ids
from enactor.ports.commands import AppendLedger
from enactor.ports.store import Store
from enactor.service import LogOptions
from enactor.service.core import Core
from enactor.service.log import TenantLog
from tests.bundles import SIGNER


class Rig:
    """A tenant's log over a store."""

    def __init__(self, store: Store, clock: ManualClock, **options: Any) -> None:
        self.store = store
        self.clock = clock
        self.build = Builder(clock)
        self.signers: list[Signer] = [SIGNER]
        randomness = SeededRandomness(1)
        unused: Any = None
        core = Core(
            store=store,
            tools=unused,
            engine=unused,
            policy=unused,
            clock=clock,
            ids=Ids(clock, randomness),
            randomness=randomness,
            limits=unused,
            transforms={},
        )
        self.options = LogOptions(**{"origin": "log.example", "signers": lambda: self.signers, **options})
        self.log = TenantLog(core, self.options)

    async def write(self, count: int, account_id: str = "north", tenant_id: str = TENANT) -> list[AppendLedger]:
        """So many entries."""
        intent = self.build.intent(account_id=account_id, tenant_id=tenant_id)
        entries = [self.build.entry(intent) for _ in range(count)]
        for begin in range(0, count, 50):
            await self.store.commit(entries[begin : begin + 50])
        return entries

    async def theirs(self, tenant_id: str = TENANT) -> InmemoryTree:
        """The tree that an independent implementation makes of the ledger."""
        rows = [row for row in await self.store.log_feed(0, 100_000) if row.tenant_id == tenant_id]
        return InmemoryTree.init_from_entries([bytes.fromhex(row.hash) for row in rows], algorithm="sha256")

    async def events(self) -> list[LedgerEvent]:
        """The tenant's own chain."""
        return [it.event_type for it in await self.store.entries_after(0, 10_000) if it.account_id == "_tenant"]
