"""The stack on an emulator, with the real command line and the real handlers, from deploy.sh to destroy.sh."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.aws.generator.template import template
from tests.aws.cloud import Cloud, Pump
from tests.aws.target import TargetServer

pytestmark = pytest.mark.timeout(900)

UNSEEN = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Authorizer",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::Events::EventBus",
    "AWS::Lambda::Permission",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
}
"""Kinds of resources that the emulator does not make, or gives no physical id; only a real account shows them."""


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """The emulator, with nothing deployed."""
    target = TargetServer()
    cloud = Cloud(tmp_path, target_url=target.url)
    yield cloud
    cloud.close()
    target.close()


def test_it_is_deployed_executes_verifies_and_is_destroyed(cloud: Cloud, tmp_path: Path) -> None:
    """deploy.sh, one execution through queue, starter, state machine and functions, e2e-aws.sh, destroy.sh."""
    assert "outputs are in" in cloud.deploy()
    cloud.take_up()
    wanted = {name: resource["Type"] for name, resource in template()["Resources"].items()}
    made = {name for name, found in cloud.resources.items() if found.get("PhysicalResourceId")}
    assert {wanted[name] for name in set(wanted) - made} <= UNSEEN
    pump = Pump(cloud)
    pump.start()
    checked = cloud.script("scripts/e2e-aws.sh", ENV_FILE=str(tmp_path / "env"), WAIT_SECONDS="120")
    pump.stop()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.splitlines()[-1] == "e2e: passed"
    machine = cloud.resources["StateMachine"]["PhysicalResourceId"]
    states = cloud.client("stepfunctions")
    (execution,) = states.list_executions(stateMachineArn=machine)["executions"]
    history = states.get_execution_history(executionArn=execution["executionArn"])["events"]
    assert execution["name"].startswith("exec-ai_")
    assert [e["stateEnteredEventDetails"]["name"] for e in history if "stateEnteredEventDetails" in e] == [
        *("StartExecution", "ValidatePreflight", "MapActionToTool", "InvokeTool", "WhatNext", "RecordOutcome")
    ]
    assert sum(call.operation == "TransactWriteItems" and call.function != "sweeper" for call in cloud.shim.calls) >= 3
    assert "kept: the tables" in cloud.script("deploy/aws/destroy.sh").stderr
