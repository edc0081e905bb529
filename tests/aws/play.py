"""Plays every scenario once through the deployment, all at the same time, and writes down what came of each."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import Any, Final, NamedTuple

from enactor.conformance.clocks import ManualClock
from enactor.conformance.engine import SCENARIOS
from enactor.conformance.target import Act
from enactor.domain.intent import ActionIntent, ExecutionPolicy
from enactor.domain.ledger import ChainVerifier, LedgerEvent
from enactor.domain.principal import agent, person
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.secrets import EnvFileSecrets
from enactor.pipeline.model import Context, Settings
from enactor.policies.cedar import CedarPolicyEngine
from enactor.ports.clock import Clock, Ids
from enactor.service import Core, Limits, Proposal, Service
from enactor.stores.dynamodb import DynamoStore
from enactor.system import SystemClock, SystemRandomness
from scripts.e2e_aws import Nobody
from tests.aws.cloud import PREFIX, Cloud, Pump
from tests.aws.connector.remote_target import RemoteTarget
from tests.aws.lambdas import REGION
from tests.aws.shim import Fate
from tests.aws.target import TargetServer

ACCOUNT: Final = "north"
_ENOUGH_SECONDS: Final = 400
_UNIMPORTANT: Final = (LedgerEvent.INTENT_PROPOSED, LedgerEvent.POLICY_EVALUATED, LedgerEvent.ACTION_APPROVED)


class Scenario(NamedTuple):
    """A scenario: its tenant's name, the tool, what the target does, and how often a call may be repeated."""

    name: str
    kind: str
    script: tuple[Act, ...] = ()
    retries: int = 3
    seconds: int = 30


def slug(name: str) -> str:
    """A scenario's name as a tenant's."""
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
    Scenario("dies-before-the-lock", "keyed"),
    Scenario("dies-after-the-lock", "keyed"),
    Scenario("dies-before-the-permit", "unsafe"),
    Scenario("dies-after-the-permit", "keyed", seconds=1),
    Scenario("dies-after-the-result", "unsafe"),
)
_LONG: Final = ("dies-after-the-permit", slug("request lost, searched twice, called again"), "switched-during")
"""Those that wait for long, or are watched while they wait: they begin first."""
_AT_ONCE: Final = 3
_FATES: Final = {
    "dies-before-the-lock": ("validator", False, "EXECUTION_STARTED"),
    "dies-after-the-lock": ("validator", True, "EXECUTION_STARTED"),
    "dies-before-the-permit": ("invoker", False, "WRITE_PERMITTED"),
    "dies-after-the-permit": ("invoker", True, "WRITE_PERMITTED"),
    "dies-after-the-result": ("invoker", True, "ACTION_EXECUTED"),
}


class Play:
    """One performance."""

    def __init__(self, cloud: Cloud, target: TargetServer, store: DynamoStore) -> None:
        self.cloud = cloud
        self.target = target
        self.store = store
        self.pump = Pump(cloud)
        self.intents: dict[str, ActionIntent] = {}
        self.answers: dict[str, Any] = {}

    def service(self, clock: Clock) -> Service:
        """The use cases at a time of their own."""
        randomness = SystemRandomness()
        ids = Ids(clock, randomness)
        core = Core(
            store=self.store,
            tools=InProcessToolPlane([RemoteTarget(self.target.url)], EnvFileSecrets({})),
            engine=Nobody(),
            policy=CedarPolicyEngine(),
            clock=clock,
            ids=ids,
            randomness=randomness,
            limits=Limits(),
            transforms={},
        )
        return Service(core, Context(clock, ids, randomness, Settings()))

    async def run(self) -> dict[str, Any]:
        """Plays, and returns everything that was seen, as plain data."""
        service = self.service(SystemClock())
        tools = InProcessToolPlane([RemoteTarget(self.target.url)], EnvFileSecrets({}))
        await service.registry.ensure_defaults(tools.action_types())
        for scenario in (*PARITY, *OWN):
            self.target.scripts[scenario.name].extend(scenario.script)
            await self.seed(scenario, service)
        for name, (function, after, event) in _FATES.items():
            self.cloud.shim.fates.append(Fate(function, after, _about(name, event)))
        self.pump.start()
        try:
            await self.act(service)
            await asyncio.to_thread(self.until_over)
            await self.afterwards()
        finally:
            self.pump.stop()
        return await self.seen()

    async def seed(self, scenario: Scenario, service: Service) -> None:
        """An approved intent, but for the scenario whose event is early."""
        if scenario.name == "expired":
            service = self.service(ManualClock(SystemClock().now_ms() - 7_200_000))
        proposal = Proposal(
            action_type=f"TARGET_{scenario.kind.upper()}",
            account_id=ACCOUNT,
            parameters={"item": scenario.name},
            expires_in_seconds=3_600,
            execution_policy=ExecutionPolicy(retry_count=scenario.retries, timeout_seconds=scenario.seconds),
        )
        intent = (await service.proposals.propose(agent("robot", tenant_id=scenario.name), proposal)).intent
        if scenario.name != "early":
            intent = await self.approve(service, intent)
        self.intents[scenario.name] = intent

    async def approve(self, service: Service, intent: ActionIntent) -> ActionIntent:
        """Approves as somebody else."""
        ana = person("ana", tenant_id=intent.tenant_id)
        decided = await service.decisions.approve(ana, intent.action_intent_id, intent.approval_digest)
        assert decided.approvals_missing == 0
        return decided.intent

    async def act(self, service: Service) -> None:
        """What people do meanwhile, and every event."""
        ana = person("ana", tenant_id="switched-before")
        await service.operations.set_switch(ana, "tenant", enabled=True, reason="stop")
        await asyncio.to_thread(self.put_malformed)
        for name in sorted(self.intents, key=lambda name: name not in _LONG):
            await asyncio.to_thread(self.until_less)
            await asyncio.to_thread(self.put, *((name,) * (2 if name == "twice" else 1)))
        for name in ("switched-during", "cancelled-during"):
            await self.until_waiting(self.intents[name])
            ana = person("ana", tenant_id=name)
            if name.startswith("switched"):
                await service.operations.set_switch(ana, "tenant", enabled=True, reason="stop")
            else:
                await service.decisions.cancel(ana, self.intents[name].action_intent_id)
        early = self.intents["early"]
        assert (await self.store.execution(early.tenant_id, early.action_intent_id)).attempt is None  # type: ignore[union-attr]
        await self.approve(service, early)
        await asyncio.to_thread(self.put, "early")

    def put(self, *names: str) -> None:
        """Puts the events of scenarios on the bus."""
        for name in names:
            intent = self.intents[name]
            data = {"action_intent_id": intent.action_intent_id, "tenant_id": name, "account_id": ACCOUNT}
            self.put_event(json.dumps({"data": data}))

    def put_malformed(self) -> None:
        """Events that are none, and one that names another tenant's intent."""
        forged = self.intents["twice"].action_intent_id
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

    def executions(self) -> list[dict[str, Any]]:
        """Every execution of the state machine."""
        machine = self.cloud.resources["StateMachine"]["PhysicalResourceId"]
        pages = self.cloud.client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=machine)
        return [execution for page in pages for execution in page["executions"]]

    def until_less(self) -> None:
        """Returns when few executions are busy: the emulator runs them all in one process, and takes its time."""
        pause = threading.Event()
        for _ in range(_ENOUGH_SECONDS):
            busy = [execution for execution in self.executions() if execution["status"] == "RUNNING"]
            if len(busy) < len(_LONG) + _AT_ONCE:
                return
            pause.wait(0.5)
        raise AssertionError("nothing ends")

    def until_over(self) -> None:
        """Returns when every scenario's execution has ended. The emulator's waits are real, and nothing else is."""
        looked, pause = 0, threading.Event()
        while looked < _ENOUGH_SECONDS:
            found = self.executions()
            if len(found) >= len(self.intents) and all(e["status"] != "RUNNING" for e in found):
                return
            looked += 1
            pause.wait(1)
            if self.pump.failed:
                raise self.pump.failed
        raise AssertionError([execution for execution in self.executions() if execution["status"] == "RUNNING"])

    async def afterwards(self) -> None:
        """A finished run is started again under another name, and once more by its event; lost runs are swept up."""
        done = self.intents["done-already"]
        document = {"action_intent_id": done.action_intent_id, "tenant_id": done.tenant_id}
        machine = self.cloud.resources["StateMachine"]["PhysicalResourceId"]
        await asyncio.to_thread(
            self.cloud.client("stepfunctions").start_execution,
            stateMachineArn=machine,
            name="by-hand",
            input=json.dumps({**document, "run_number": 1, "fence": 0}),
        )
        await asyncio.to_thread(self.put, "done-already")
        await asyncio.to_thread(self.until_over)
        for function in ("sweeper", "publisher"):
            await asyncio.to_thread(self.cloud.invoke, function, {})
        for path in ("/readyz", "/v1/intents", "/openapi.json"):
            self.answers[path] = await asyncio.to_thread(self.cloud.invoke, "api", get(path))

    async def seen(self) -> dict[str, Any]:
        """Everything that the tests look at."""
        states = self.cloud.client("stepfunctions")
        found: dict[str, Any] = {"scenarios": {}, "executions": {}}
        for execution in self.executions():
            history = states.get_execution_history(executionArn=execution["executionArn"], maxResults=1_000)["events"]
            entered = [e["stateEnteredEventDetails"] for e in history if "stateEnteredEventDetails" in e]
            found["executions"][execution["name"]] = {
                "status": execution["status"],
                "states": [state["name"] for state in entered],
                "inputs": [json.loads(state.get("input", "{}")) for state in entered],
            }
        for name, intent in self.intents.items():
            records = await self.store.execution(name, intent.action_intent_id)
            assert records is not None
            assert records.attempt is not None, name
            entries = await self.store.entries_after(0, 1_000, name, intent.action_intent_id)
            verifier = ChainVerifier()
            verifier.feed_all(await self.store.entries_after(0, 1_000, name))
            found["scenarios"][name] = {
                "intent": intent.action_intent_id,
                "status": records.attempt.status.value,
                "outcome": records.outcome.status.value if records.outcome else None,
                "code": records.attempt.last_error_code,
                "events": [e.event_type.value for e in entries if e.event_type not in _UNIMPORTANT],
                "faults": len(verifier.faults),
                "sent": self.target.sent[name],
                "made": len(self.target.made[name]),
                "permits": [permit.result.value for permit in records.permits],
                "written": {
                    table: self.item(table, f"{kind}#{intent.action_intent_id}", name)
                    for table, kind in (("execution-attempts", "EXECUTION"), ("execution-outcomes", "OUTCOME"))
                },
            }
        shim = self.cloud.shim
        found["calls"] = [[*call[:3], call.body] for call in shim.calls]
        found["invocations"] = {name: function.invocations for name, function in shim.functions.items()}
        found["logs"] = {name: function.log.read_text() for name, function in shim.functions.items()}
        found["returned"] = [returned for _, returned in self.pump.batches if returned]
        found["dead"] = self.dead_letters()
        found["api"] = self.answers
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


def get(path: str) -> dict[str, Any]:
    """An event of API Gateway for a GET without a token."""
    http = {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"}
    context = {"http": http, "stage": "$default", "domainName": "api.example", "requestId": "id", "accountId": "1"}
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"accept": "application/json"},
        "requestContext": context,
        "isBase64Encoded": False,
    }


def _about(tenant: str, event: str) -> Any:
    def matches(body: dict[str, Any]) -> bool:
        text = json.dumps(body)
        return f"TENANT#{tenant}#" in text and event in text

    return matches


def perform(directory: Path) -> dict[str, Any]:
    """Brings everything up, plays, and takes it down."""
    target = TargetServer()
    cloud = Cloud(directory, target_url=target.url)
    before = dict(os.environ)
    os.environ.update({"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"})
    try:
        deployed = cloud.deploy()
        cloud.take_up()
        seen = asyncio.run(_played(cloud, target))
        e2e = Pump(cloud)
        e2e.start()
        checked = cloud.script("scripts/e2e-aws.sh", ENV_FILE=str(directory / "env"))
        e2e.stop()
        seen["deployed"] = deployed
        seen["e2e"] = [checked.returncode, checked.stdout, checked.stderr]
        seen["resources"] = cloud.resources
        seen["items_left"] = cloud.script("deploy/aws/destroy.sh").stderr
        return seen
    finally:
        os.environ.clear()
        os.environ.update(before)
        cloud.close()
        target.close()


async def _played(cloud: Cloud, target: TargetServer) -> dict[str, Any]:
    clock = SystemClock()
    store = await DynamoStore.open(
        REGION, prefix=PREFIX, clock=clock, randomness=SystemRandomness(), endpoint=cloud.shim.url
    )
    try:
        return await Play(cloud, target, store).run()
    finally:
        await store.close()
