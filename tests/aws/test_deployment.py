"""The stack on an emulator, from deploy.sh to destroy.sh: every scenario through two interpreters of the definition.

The command line, the handlers under AWS's runtime client and the definition are the real ones. Everything is played
once (`play.py`), by whichever test process comes first; each test looks at what was seen. Labelled: the emulator serves
its database one request at a time, the queue is moved by `Pump`, and dead letters are sent back by the shim.
"""

import fcntl
import json
import shutil
from typing import Any

import pytest

from deploy.aws.generator.template import template
from enactor.conformance.engine import SCENARIOS
from tests.aws.iam import granted, needed, resolved
from tests.aws.lambdas import ACCOUNT
from tests.aws.play import MOTO, NODE, OWN, PARITY, PLAYED, perform, slug
from tests.npm import asked

pytestmark = pytest.mark.timeout(1_200)

EXPECTED = {
    "exhausted": ("FAILED", 2, 0),
    "expired": ("EXPIRED", 0, 0),
    "switched-before": ("CANCELLED", 0, 0),
    "twice": ("SUCCEEDED", 1, 1),
    "done-already": ("SUCCEEDED", 1, 1),
    "early": ("SUCCEEDED", 1, 1),
    "timeout-keyed": ("SUCCEEDED", 2, 1),
    "timeout-unsafe": ("IN_DOUBT", 1, 0),
    "dies-after-the-lock": ("SUCCEEDED", 1, 1),
    "dies-after-the-permit": ("SUCCEEDED", 1, 1),
    "dies-after-the-result": ("SUCCEEDED", 1, 1),
}
"""Scenario → how the run ends, how many calls arrive, and how many objects there are."""

TIMED = {slug("request lost, searched twice, called again"), "dies-after-the-permit", "timeout-keyed"}
"""How often these wait and call hangs on how busy the machine is; how they end, and what there is then, does not."""

STOPPED = {"switched-during": "KILL_SWITCH_ENABLED", "cancelled-during": "CANCELLED_BY_REQUEST"}

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


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Any]:
    """What was seen, by this process or by another one before."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    written = shared / "aws-seen.json"
    with (shared / "aws.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not written.exists():
            directory = shared / "aws"
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            written.write_text(json.dumps(perform(directory), default=str))
    found: dict[str, Any] = json.loads(written.read_text())
    return found


def of(*names: str) -> list[str]:
    """The tenants that play these scenarios, by either interpreter."""
    return [f"{by}-{scenario.name}" for by, scenario in PLAYED if scenario.name in names]


def states_of(seen: dict[str, Any], tenant: str) -> list[str]:
    """The states that the tenant's execution entered."""
    if tenant.startswith(NODE):
        return list(seen["by_node"][tenant]["states"])
    return list(seen["executions"][f"exec-{seen['scenarios'][tenant]['intent']}"]["states"])


# -- the command line --------------------------------------------------------------------------------------------


def test_it_is_deployed_checked_end_to_end_and_destroyed(seen: dict[str, Any]) -> None:
    """deploy.sh, e2e-aws.sh and destroy.sh with the real command line; destroying keeps the data."""
    code, said, complaint = seen["e2e"]
    assert code == 0, said + complaint
    assert said.splitlines()[-1] == "e2e: passed"
    assert "outputs are in" in seen["deployed"]
    assert "kept: the tables" in seen["destroyed"]


def test_every_resource_is_made_or_listed(seen: dict[str, Any]) -> None:
    """The emulator says that it made everything; what has no physical id must be of a kind that is known for it."""
    wanted = {name: resource["Type"] for name, resource in template()["Resources"].items()}
    made = {name for name, found in seen["resources"].items() if found.get("PhysicalResourceId")}
    assert {wanted[name] for name in set(wanted) - made} <= UNSEEN


# -- scenarios ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tenant", of(*(scenario.name for scenario in PARITY)))
def test_the_ledger_is_the_local_engine_s(seen: dict[str, Any], tenant: str) -> None:
    """The same scenario leaves the same ledger, event by event, and the chains verify."""
    name = tenant.partition("-")[2]
    events = next(events for known, (_, _, events) in SCENARIOS.items() if slug(known) == name)
    scenario = seen["scenarios"][tenant]
    assert scenario["events"] == [event.value for event in events]
    assert scenario["faults"] == 0


@pytest.mark.parametrize("tenant", of(*EXPECTED))
def test_a_scenario_ends_as_it_must(seen: dict[str, Any], tenant: str) -> None:
    """How it ends, how often the target was called, and what there is."""
    scenario, name = seen["scenarios"][tenant], tenant.partition("-")[2]
    status, sent, made = EXPECTED[name]
    assert (scenario["status"], scenario["made"]) == (status, made)
    assert scenario["sent"] == sent or (name in TIMED and scenario["sent"] > sent)
    assert scenario["outcome"] == scenario["status"]
    assert scenario["events"].count("EXECUTION_STARTED") == 1
    assert scenario["faults"] == 0


@pytest.mark.parametrize("tenant", of(*STOPPED))
def test_a_running_execution_is_stopped(seen: dict[str, Any], tenant: str) -> None:
    """A switch or a cancel between two calls: no further call, and every call that was made is in the record."""
    scenario = seen["scenarios"][tenant]
    assert (scenario["status"], scenario["code"]) == ("CANCELLED", STOPPED[tenant.partition("-")[2]])
    assert scenario["made"] == 0
    assert 1 <= scenario["sent"] == len(scenario["permits"]) < 10


def test_every_scenario_is_looked_at() -> None:
    """None is played for nothing."""
    assert {scenario.name for scenario in OWN} == {*EXPECTED, *STOPPED}


@pytest.mark.parametrize("tenant", of("done-in-part-taken-back"))
def test_a_partial_effect_is_taken_back(seen: dict[str, Any], tenant: str) -> None:
    """By the pinned tool, in the state that is there for it."""
    assert states_of(seen, tenant)[-5:] == ["CompensateAction", "WhatNext", "RecordFailure", "WhatNext", "Recorded"]
    assert seen["taken_back"].count(f"order-{tenant}-1") == 1


def test_records_are_where_operators_look(seen: dict[str, Any]) -> None:
    """Attempt and outcome under the published keys, for every scenario."""
    for tenant, scenario in seen["scenarios"].items():
        assert all(scenario["written"].values()), tenant


# -- the state machine -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tenant", of("done-at-once"))
def test_a_run_that_is_done_at_once_enters_six_states(seen: dict[str, Any], tenant: str) -> None:
    """Seven transitions with the way into the first one, and three write transactions."""
    assert states_of(seen, tenant) == [
        *("StartExecution", "ValidatePreflight", "MapActionToTool", "InvokeTool", "WhatNext", "RecordOutcome")
    ]
    writes = [
        call for call in seen["calls"] if call[2] == "TransactWriteItems" and f"TENANT#{tenant}#" in json.dumps(call[3])
    ]
    assert [call[0] for call in writes if call[0] != "publisher"] == ["validator", "invoker", "invoker"]


def test_both_interpreters_go_the_same_way(seen: dict[str, Any]) -> None:
    """State by state, in every scenario whose way does not hang on how long something takes."""
    names = {scenario.name for by, scenario in PLAYED if by == NODE} - {*STOPPED, "twice", *TIMED}
    assert len(names) >= 12
    for name in names:
        assert states_of(seen, f"{NODE}-{name}") == states_of(seen, f"{MOTO}-{name}"), name


def test_duplicates_end_in_a_state_that_does_nothing(seen: dict[str, Any]) -> None:
    """Under another name when it was over, or at the same time; by its event, the name was used."""
    assert seen["executions"]["by-hand"]["states"] == ["StartExecution", "AlreadyHandled"]
    for tenant in (f"{MOTO}-twice", f"{MOTO}-done-already"):
        intent = seen["scenarios"][tenant]["intent"]
        assert [known for known in seen["executions"] if known.endswith(intent)] == [f"exec-{intent}"]
    twins = [seen["by_node"][name] for name in (f"{NODE}-twice", f"{NODE}-twice-again")]
    assert [twin["status"] for twin in twins] == ["SUCCEEDED", "SUCCEEDED"]
    assert sorted(twin["states"][-1] for twin in twins) == ["AlreadyHandled", "RecordOutcome"]


def test_only_ids_are_between_the_states(seen: dict[str, Any]) -> None:
    """No parameter, argument, reply or error text is in any execution's history."""
    allowed = {"action_intent_id", "tenant_id", "run_number", "fence", "next", "until", "status"}
    for execution in (*seen["executions"].values(), *seen["by_node"].values()):
        for document in execution["inputs"]:
            assert set(document) <= allowed


@pytest.mark.parametrize("tenant", of("dies-after-the-permit", "dies-after-the-result"))
def test_no_failure_of_a_call_is_recorded_before_recover_has_looked(seen: dict[str, Any], tenant: str) -> None:
    """A function that died at InvokeTool goes to Recover."""
    states = states_of(seen, tenant)
    assert states[states.index("InvokeTool") + 1] == "Recover"


# -- events ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_started_ends_in_the_dead_letters(seen: dict[str, Any]) -> None:
    """The malformed event and the stranger's, each after five tries; those beside them in a batch were started.

    What was early had ended there too, and ran when all of them were sent back by the command of docs/aws.md.
    """
    assert sorted(json.loads(body)["detail"]["data"].get("tenant_id", "") for body in seen["dead"]) == ["", "stranger"]
    batches = [(len(bodies), len(returned)) for bodies, returned in seen["batches"]]
    assert any(0 < returned < taken for taken, returned in batches), batches
    assert seen["redriven"] == 3


# -- what functions do -------------------------------------------------------------------------------------------


def test_every_call_is_granted(seen: dict[str, Any]) -> None:
    """What the functions were seen to do is within their roles, by our own reading of the template."""
    grants = granted(template())
    used = {grant for call in seen["calls"] for grant in needed(*call)}
    assert used - grants == set()


def test_every_call_is_granted_by_another_evaluator_too(seen: dict[str, Any]) -> None:
    """iam-simulate, which knows every action's resources, over the roles as they were deployed; and what it refuses."""
    calls = sorted({resolved(grant) for call in seen["calls"] for grant in needed(*call)})
    tables = {(function, resource) for function, _, resource in calls if ":table/" in resource}
    refused = [(function, "dynamodb:DeleteTable", table) for function, table in tables if "/index/" not in table]
    given = {"account": ACCOUNT, "policies": seen["policies"], "calls": [*calls, *refused]}
    verdicts = asked("iam.mjs", given)
    assert len(calls) > 40
    wrong = [pair for pair in zip(calls, verdicts, strict=False) if pair[1] != "Allowed"]
    assert wrong == []
    assert set(verdicts[len(calls) :]) == {"ImplicitlyDenied"}


def test_logs_say_what_happened_and_nothing_else(seen: dict[str, Any]) -> None:
    """Each line is JSON; no parameter, no stack, no text of an error that is not ours."""
    for name, log in seen["logs"].items():
        for line in log.splitlines():
            record = json.loads(line)
            assert "stackTrace" not in record or len(record["stackTrace"]) <= 2, (name, line)
        assert '"item"' not in log
    metrics = [json.loads(line) for line in seen["logs"]["recorder"].splitlines() if '"_aws"' in line]
    assert metrics
    assert all(line["ExecutionsSucceeded"] == 1 and line["Deployment"] == "cc-native" for line in metrics)


def test_the_bus_gets_outcomes_as_events(seen: dict[str, Any]) -> None:
    """The publisher put every entry but approvals, as CloudEvents without parameters."""
    put = [
        json.loads(entry["Detail"])
        for function, _, operation, body in seen["calls"]
        if (function, operation) == ("publisher", "PutEvents")
        for entry in body["Entries"]
    ]
    kinds = {event["type"] for event in put}
    assert {"enactor.action_executed", "enactor.action_failed", "enactor.execution_in_doubt"} <= kinds
    assert "enactor.action_approved" not in kinds
    assert all("parameters" not in event["data"] for event in put)
