"""Plays every scenario once through one deployment, all at the same time, and writes down what came of each.

Each is played by two interpreters of the deployed definition, over the same functions: the emulator's, which is
reached by bus, queue and starter, and npm's aws-local-stepfunctions, which is handed executions
(`tests/npm/stepfunctions.mjs`).
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.engine import SCENARIOS
from enactor.conformance.target import Act
from enactor.domain.intent import ActionIntent, ExecutionPolicy
from enactor.domain.ledger import ChainVerifier, LedgerEvent
from enactor.domain.principal import agent, person
from enactor.engines.stepfunctions.contract import StepState
from enactor.engines.stepfunctions.engine import as_input
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.secrets import EnvFileSecrets
from enactor.ports.clock import Clock
from enactor.service import Proposal, Service
from enactor.stores.dynamodb import DynamoStore
from enactor.system import SystemClock, SystemRandomness
from scripts.e2e_aws import service_over
from tests.aws.cloud import PREFIX, Cloud, Pump
from tests.aws.connector.remote_target import RemoteTarget
from tests.aws.lambdas import REGION
from tests.aws.shim import Fate
from tests.aws.target import TargetServer
from tests.npm import asked

ACCOUNT: Final = "north"
_ENOUGH_SECONDS: Final = 400
_UNIMPORTANT: Final = (LedgerEvent.INTENT_PROPOSED, LedgerEvent.POLICY_EVALUATED, LedgerEvent.ACTION_APPROVED)


class Scenario(NamedTuple):
    """A scenario: its name, the tool, what the target does, how often a call may be repeated, and for how long."""

    name: str
    kind: str
    script: tuple[Act, ...] = ()
    retries: int = 3
    seconds: int = 30


def slug(name: str) -> str:
    """A scenario's name as a part of a tenant's."""
    return name.replace(",", "").replace(" ", "-")


PARITY: Final = tuple(Scenario(slug(name), kind, script) for name, (kind, script, _) in SCENARIOS.items())
"""The local engine's scenarios: they must leave the same ledger here."""

OWN: Final = (
    Scenario("exhausted", "keyed", (Act.REFUSE, Act.REFUSE), retries=1),
    Scenario("expired", "keyed"),
    Scenario("switched-before", "keyed"),
    Scenario("switched-during", "keyed", (Act.REFUSE,) * 50, retries=40),
    Scenario("cancelled-during", "keyed", (Act.REFUSE,) * 50, retries=40),
    Scenario("twice", "unsafe"),
    Scenario("done-already", "unsafe"),
    Scenario("early", "keyed"),
    Scenario("timeout-keyed", "keyed", (Act.TIME_OUT,), seconds=1),
    Scenario("timeout-unsafe", "unsafe", (Act.TIME_OUT,), seconds=1),
    Scenario("dies-after-the-lock", "keyed"),
    Scenario("dies-after-the-permit", "keyed", seconds=1),
    Scenario("dies-after-the-result", "unsafe"),
)
MOTO: Final = "moto"
NODE: Final = "node"
NOT_BY_NODE: Final = {
    "early": "the starter and the queue send an early event back; an execution is never asked for",
    "done-already": "that a used name is not started again is the service's promise, and the interpreter has no names",
}
"""What the second interpreter cannot play, and why. Malformed and forged events end at the starter likewise."""

_FATES: Final = {
    "dies-after-the-lock": ("validator", "EXECUTION_STARTED"),
    "dies-after-the-permit": ("invoker", "WRITE_PERMITTED"),
    "dies-after-the-result": ("invoker", "ACTION_EXECUTED"),
}
"""Scenario → whose process dies when that event has been committed, and before it hears of it."""
_LONG: Final = ("switched-during", "cancelled-during", "dies-after-the-permit", slug("refused to the last"))
"""Those that wait for long: they begin first."""
_AT_ONCE: Final = 4
"""How many others run at a time: a function has one process here, and whoever waits for it for too long gives up."""
PLAYED: Final = tuple(
    (by, scenario)
    for by in (MOTO, NODE)
    for scenario in (*PARITY, *OWN)
    if by == MOTO or scenario.name not in NOT_BY_NODE
)


class Play:
    """One performance."""

    def __init__(self, cloud: Cloud, target: TargetServer, store: DynamoStore) -> None:
        self.cloud = cloud
        self.target = target
        self.store = store
        self.pump = Pump(cloud)
        self.intents: dict[str, ActionIntent] = {}
        self.put_so_far = 0

    def service(self, clock: Clock) -> Service:
        """The use cases at a time of their own."""
        return service_over(self.store, [RemoteTarget(self.target.url)], clock, SystemRandomness())

    async def run(self, checking: Callable[[], Any]) -> dict[str, Any]:
        """Plays, and returns everything that was seen, as plain data.

        Args:
            checking: what else is done meanwhile; its answer is returned as `e2e`.
        """
        service = self.service(SystemClock())
        tools = InProcessToolPlane([RemoteTarget(self.target.url)], EnvFileSecrets({}))
        await service.registry.ensure_defaults(tools.action_types())
        for by, scenario in PLAYED:
            await self.seed(f"{by}-{scenario.name}", scenario, service)
            if scenario.name in _FATES:
                function, event = _FATES[scenario.name]
                self.cloud.shim.fates.append(Fate(function, True, _about(f"{by}-{scenario.name}", event)))
        self.pump.start()
        try:
            checked = asyncio.create_task(asyncio.to_thread(checking))
            node = asyncio.create_task(asyncio.to_thread(self.played_by_node))
            await self.act(service)
            executions = await node
            e2e = await checked
            await asyncio.to_thread(self.until_over)
            await self.afterwards()
        finally:
            self.pump.stop()
        return {**await self.seen(executions), "e2e": e2e}

    async def seed(self, tenant: str, scenario: Scenario, service: Service) -> None:
        """An approved intent, but for the scenario whose event is early."""
        self.target.scripts[tenant].extend(scenario.script)
        if scenario.name == "expired":
            service = self.service(ManualClock(SystemClock().now_ms() - 7_200_000))
        proposal = Proposal(
            action_type=f"TARGET_{scenario.kind.upper()}",
            account_id=ACCOUNT,
            parameters={"item": tenant},
            expires_in_seconds=3_600,
            execution_policy=ExecutionPolicy(retry_count=scenario.retries, timeout_seconds=scenario.seconds),
        )
        intent = (await service.proposals.propose(agent("robot", tenant_id=tenant), proposal)).intent
        if scenario.name != "early":
            intent = await self.approve(service, intent)
        if scenario.name == "switched-before":
            await service.operations.set_switch(person("ana", tenant_id=tenant), "tenant", enabled=True, reason="stop")
        self.intents[tenant] = intent

    async def approve(self, service: Service, intent: ActionIntent) -> ActionIntent:
        """Approves as somebody else."""
        ana = person("ana", tenant_id=intent.tenant_id)
        decided = await service.decisions.approve(ana, intent.action_intent_id, intent.approval_digest)
        assert decided.approvals_missing == 0
        return decided.intent

    async def act(self, service: Service) -> None:
        """Every event, and what people do meanwhile."""
        await asyncio.to_thread(self.put_malformed)
        for name in _LONG:
            await asyncio.to_thread(self.put, f"{MOTO}-{name}")
        for by in (MOTO, NODE):
            for name in ("switched-during", "cancelled-during"):
                tenant = f"{by}-{name}"
                intent = self.intents[tenant]
                await self.until_waiting(intent)
                ana = person("ana", tenant_id=tenant)
                if name.startswith("switched"):
                    await service.operations.set_switch(ana, "tenant", enabled=True, reason="stop")
                else:
                    await service.decisions.cancel(ana, intent.action_intent_id)
        for name in (scenario.name for by, scenario in PLAYED if by == MOTO and scenario.name not in _LONG):
            await asyncio.to_thread(self.until_less)
            await asyncio.to_thread(self.put, *((f"{MOTO}-{name}",) * (2 if name == "twice" else 1)))
        early = self.intents[f"{MOTO}-early"]
        records = await self.store.execution(early.tenant_id, early.action_intent_id)
        assert records is not None
        assert records.attempt is None
        await asyncio.to_thread(self.until_dead, 3)
        await self.approve(service, early)
        await asyncio.to_thread(self.cloud.send_dead_letters_back)

    def put(self, *tenants: str) -> None:
        """Puts the events of scenarios on the bus."""
        self.put_so_far += len(set(tenants) - {f"{MOTO}-early"})
        for tenant in tenants:
            intent = self.intents[tenant]
            data = {"action_intent_id": intent.action_intent_id, "tenant_id": tenant, "account_id": ACCOUNT}
            self.put_event(json.dumps({"data": data}))

    def put_malformed(self) -> None:
        """Events that are none, and one that names another tenant's intent."""
        forged = self.intents[f"{MOTO}-twice"].action_intent_id
        self.put_event(json.dumps({"data": {"action_intent_id": "x"}}))
        self.put_event(
            json.dumps({"data": {"action_intent_id": forged, "tenant_id": "stranger", "account_id": ACCOUNT}})
        )

    def put_event(self, detail: str) -> None:
        """Puts one event."""
        entry = {
            "Source": "cc-native",
            "DetailType": "ACTION_APPROVED",
            "EventBusName": f"{PREFIX}-events",
            "Detail": detail,
        }
        assert self.cloud.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0

    def played_by_node(self) -> dict[str, Any]:
        """The second interpreter's executions, by name; whose event comes twice has two of them."""
        executions = {}
        for tenant, intent in self.intents.items():
            if tenant.startswith(NODE):
                document = first(intent)
                executions[tenant] = document
                if tenant == f"{NODE}-twice":
                    executions[f"{tenant}-again"] = document
        machine = self.cloud.resources["StateMachine"]["PhysicalResourceId"]
        deployed = self.cloud.client("stepfunctions").describe_state_machine(stateMachineArn=machine)["definition"]
        given = {"definition": json.loads(deployed), "lambda": self.cloud.shim.url, "executions": executions}
        given |= {"first": [f"{NODE}-{name}" for name in _LONG], "atOnce": _AT_ONCE}
        found: dict[str, Any] = asked("stepfunctions.mjs", given, _ENOUGH_SECONDS)
        return found

    async def until_waiting(self, intent: ActionIntent) -> None:
        """Returns when the run waits for its retry."""
        for _ in range(_ENOUGH_SECONDS):
            records = await self.store.execution(intent.tenant_id, intent.action_intent_id)
            if records is not None and records.attempt is not None and records.attempt.resume_at:
                return
            if self.pump.failed:
                raise self.pump.failed
            await asyncio.sleep(0.3)
        raise AssertionError(f"{intent.tenant_id} never waited")

    def until_dead(self, letters: int) -> None:
        """Returns when so many messages are among the dead letters."""
        queue = self.cloud.resources["ApprovalsDeadLetters"]["PhysicalResourceId"]
        pause, names = threading.Event(), ["ApproximateNumberOfMessages"]
        for _ in range(_ENOUGH_SECONDS):
            found = self.cloud.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
            if int(found[names[0]]) == letters:
                return
            if self.pump.failed:
                raise self.pump.failed
            pause.wait(0.5)
        raise AssertionError(f"never {letters} dead letters")

    def executions(self) -> list[dict[str, Any]]:
        """Every execution of the state machine."""
        machine = self.cloud.resources["StateMachine"]["PhysicalResourceId"]
        pages = self.cloud.client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=machine)
        return [execution for page in pages for execution in page["executions"]]

    def until_less(self) -> None:
        """Returns when few executions are busy, those whose event is still on its way with them."""
        pause = threading.Event()
        for _ in range(_ENOUGH_SECONDS):
            ended = sum(execution["status"] != "RUNNING" for execution in self.executions())
            if self.put_so_far - ended < len(_LONG) + _AT_ONCE:
                return
            pause.wait(0.5)
        raise AssertionError("nothing ends")

    def until_over(self) -> None:
        """Returns when every scenario's execution has ended. The emulator's waits are real, and nothing else is."""
        looked, pause = 0, threading.Event()
        by_moto = sum(tenant.startswith(MOTO) for tenant in self.intents)
        while looked < _ENOUGH_SECONDS:
            found = self.executions()
            if len(found) >= by_moto and all(e["status"] != "RUNNING" for e in found):
                return
            looked += 1
            pause.wait(1)
            if self.pump.failed:
                raise self.pump.failed
        raise AssertionError([execution for execution in self.executions() if execution["status"] == "RUNNING"])

    async def afterwards(self) -> None:
        """A finished run is started again under another name, and again by its event; then what the clock starts."""
        done = self.intents[f"{MOTO}-done-already"]
        machine = self.cloud.resources["StateMachine"]["PhysicalResourceId"]
        await asyncio.to_thread(
            self.cloud.client("stepfunctions").start_execution,
            stateMachineArn=machine,
            name="by-hand",
            input=json.dumps(first(done)),
        )
        await asyncio.to_thread(self.put, done.tenant_id)
        await asyncio.to_thread(self.until_over)
        await asyncio.to_thread(self.until_dead, 2)
        for function in ("sweeper", "publisher"):
            await asyncio.to_thread(self.cloud.invoke, function, {})

    async def seen(self, by_node: dict[str, Any]) -> dict[str, Any]:
        """Everything that the tests look at."""
        states = self.cloud.client("stepfunctions")
        found: dict[str, Any] = {"scenarios": {}, "executions": {}, "by_node": by_node}
        for execution in self.executions():
            history = states.get_execution_history(executionArn=execution["executionArn"], maxResults=1_000)["events"]
            entered = [e["stateEnteredEventDetails"] for e in history if "stateEnteredEventDetails" in e]
            found["executions"][execution["name"]] = {
                "status": execution["status"],
                "states": [state["name"] for state in entered],
                "inputs": [json.loads(state.get("input", "{}")) for state in entered],
            }
        for tenant, intent in self.intents.items():
            records = await self.store.execution(tenant, intent.action_intent_id)
            assert records is not None
            assert records.attempt is not None, tenant
            entries = await self.store.entries_after(0, 1_000, tenant)
            verifier = ChainVerifier()
            verifier.feed_all(entries)
            own = [e for e in entries if e.event_type not in _UNIMPORTANT and e.account_id == ACCOUNT]
            found["scenarios"][tenant] = {
                "intent": intent.action_intent_id,
                "status": records.attempt.status.value,
                "outcome": records.outcome.status.value if records.outcome else None,
                "code": records.attempt.last_error_code,
                "events": [e.event_type.value for e in own],
                "faults": len(verifier.faults),
                "sent": self.target.sent[tenant],
                "made": len(self.target.made[tenant]),
                "permits": [permit.result.value for permit in records.permits],
                "written": {
                    table: self.item(table, f"{kind}#{intent.action_intent_id}", tenant)
                    for table, kind in (("execution-attempts", "EXECUTION"), ("execution-outcomes", "OUTCOME"))
                },
            }
        shim = self.cloud.shim
        found["calls"] = [[*call[:3], call.body] for call in shim.calls]
        found["invocations"] = {name: function.invocations for name, function in shim.functions.items()}
        found["logs"] = {name: function.log.read_text() for name, function in shim.functions.items()}
        found["batches"] = self.pump.batches
        found["dead"] = self.dead_letters()
        found["redriven"] = shim.moved
        found["policies"] = self.cloud.policies()
        found["taken_back"] = self.target.taken_back
        return found

    def item(self, table: str, sk: str, tenant: str) -> bool:
        """Whether the item is where operators' scripts look for it."""
        key = {"pk": {"S": f"TENANT#{tenant}#ACCOUNT#{ACCOUNT}"}, "sk": {"S": sk}}
        return "Item" in self.cloud.client("dynamodb").get_item(TableName=f"{PREFIX}-{table}", Key=key)

    def dead_letters(self) -> list[str]:
        """The messages that nobody could take."""
        queue = self.cloud.resources["ApprovalsDeadLetters"]["PhysicalResourceId"]
        found: dict[str, str] = {}
        while (
            messages := self.cloud.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages")
        ):
            found |= {message["MessageId"]: message["Body"] for message in messages}
        return list(found.values())


def first(intent: ActionIntent) -> dict[str, Any]:
    """The input of the execution of an intent's first run."""
    return as_input(StepState(action_intent_id=intent.action_intent_id, tenant_id=intent.tenant_id))


def _about(tenant: str, event: str) -> Any:
    def matches(body: dict[str, Any]) -> bool:
        text = json.dumps(body)
        return f"TENANT#{tenant}#" in text and event in text

    return matches


def perform(directory: Path) -> dict[str, Any]:
    """Brings everything up, plays, and takes it down."""
    target = TargetServer()
    cloud = Cloud(directory, target_url=target.url)
    try:
        deployed = cloud.deploy()
        cloud.take_up()
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AWS_ACCESS_KEY_ID", "test")
            environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
            seen = asyncio.run(_played(cloud, target))
        return {
            **seen,
            "deployed": deployed,
            "resources": cloud.resources,
            "destroyed": cloud.script("deploy/aws/destroy.sh").stderr,
        }
    finally:
        cloud.close()
        target.close()


async def _played(cloud: Cloud, target: TargetServer) -> dict[str, Any]:
    def checking() -> list[Any]:
        done = cloud.script("scripts/e2e-aws.sh", ENV_FILE=str(cloud.directory / "env"), WAIT_SECONDS="300")
        return [done.returncode, done.stdout, done.stderr]

    clock = SystemClock()
    store = await DynamoStore.open(
        REGION, prefix=PREFIX, clock=clock, randomness=SystemRandomness(), endpoint=cloud.shim.url
    )
    try:
        return await Play(cloud, target, store).run(checking)
    finally:
        await store.close()
