"""What `e2e-aws.sh` cannot say in the words of the `aws` command line: an approved intent, and a verified ledger.

python scripts/e2e_aws.py seed STORE_URL             proposes and approves a task of the internal connector for the
                                                     tenant `e2e`; prints intent, tenant and account
python scripts/e2e_aws.py verify STORE_URL TENANT    checks its chains of the ledger; exit status 1 at any fault
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from enactor.connectors.internal import InternalConnector
from enactor.domain.ledger import ChainVerifier
from enactor.domain.principal import agent, person
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.secrets import EnvFileSecrets
from enactor.pipeline.model import Context, Settings
from enactor.policies.cedar import CedarPolicyEngine
from enactor.ports.clock import Ids
from enactor.ports.engine import EngineInfo, RunRequest
from enactor.ports.store import Store
from enactor.service import Core, Limits, Proposal, Service
from enactor.settings import store_address
from enactor.stores.dynamodb import DynamoStore
from enactor.system import SystemClock, SystemRandomness

TENANT = "e2e"
ACCOUNT = "e2e"


class Nobody:
    """The engine of a program that leaves the running to others: the event on the bus starts the run."""

    async def start(self) -> None:
        """Nothing to do."""

    async def submit(self, request: RunRequest) -> None:
        """Nothing to do."""

    async def drain(self, timeout_seconds: float) -> None:
        """Nothing to do."""

    def info(self) -> EngineInfo:
        """Never busy."""
        return EngineInfo(kind="none", queued=0, running=0, waiting=0, accepting=True)


def service_over(store: Store, connectors: list[Any], clock: Any, randomness: Any) -> Service:
    """The use cases over a store."""
    ids = Ids(clock, randomness)
    core = Core(
        store=store,
        tools=InProcessToolPlane(connectors, EnvFileSecrets({})),
        engine=Nobody(),
        policy=CedarPolicyEngine(),
        clock=clock,
        ids=ids,
        randomness=randomness,
        limits=Limits(),
        transforms={},
    )
    return Service(core, Context(clock, ids, randomness, Settings()))


async def main(what: str, url: str, *more: str) -> int:
    """Seeds or verifies."""
    address, clock, randomness = store_address(url), SystemClock(), SystemRandomness()
    store = await DynamoStore.open(
        address.region, prefix=address.options.get("prefix", "cc-native"), clock=clock, randomness=randomness
    )
    try:
        if what == "seed":
            connector = InternalConnector(store, clock)
            service = service_over(store, [connector], clock, randomness)
            await service.registry.ensure_defaults({"internal.create_task": "CREATE_INTERNAL_TASK"})
            task = {"title": "End-to-end check", "assignee": "nobody"}
            proposal = Proposal(action_type="CREATE_INTERNAL_TASK", account_id=ACCOUNT, parameters=task)
            intent = (await service.proposals.propose(agent("e2e", tenant_id=TENANT), proposal)).intent
            approver = person("e2e-approver", tenant_id=TENANT)
            await service.decisions.approve(approver, intent.action_intent_id, intent.approval_digest)
            print(intent.action_intent_id, TENANT, ACCOUNT)
            return 0
        verifier, position = ChainVerifier(), 0
        while page := await store.entries_after(position, 1_000, more[0]):
            verifier.feed_all(page)
            position = page[-1].position
        print(f"e2e: checked {verifier.entries} ledger entries of the tenant; faults: {len(verifier.faults)}")
        return 0 if verifier.entries and not verifier.faults else 1
    finally:
        await store.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
