"""The stack on an emulator, with the real command line, the real handlers and the generated state machine.

Everything is played once (`play.py`), whoever of several test processes comes first; each test looks at what was seen.
Labelled: the emulator's database is serialised by the shim, and the queue is moved by `Pump`.
"""

import fcntl
import json
import shutil
from typing import Any

import pytest

from deploy.aws.generator.template import template
from enactor.conformance.engine import SCENARIOS
from tests.aws.iam import granted, needed
from tests.aws.play import OWN, PARITY, perform, slug

pytestmark = pytest.mark.timeout(900)

EXPECTED = {
    "exhausted": ("FAILED", 2, 0),
    "expired": ("EXPIRED", 0, 0),
    "switched-before": ("CANCELLED", 0, 0),
    "twice": ("SUCCEEDED", 1, 1),
    "done-already": ("SUCCEEDED", 1, 1),
    "early": ("SUCCEEDED", 1, 1),
    "timeout-keyed": ("SUCCEEDED", 2, 1),
    "timeout-unsafe": ("IN_DOUBT", 1, 0),
    "dies-before-the-lock": ("SUCCEEDED", 1, 1),
    "dies-after-the-lock": ("SUCCEEDED", 1, 1),
    "dies-before-the-permit": ("SUCCEEDED", 1, 1),
    "dies-after-the-permit": ("SUCCEEDED", 1, 1),
    "dies-after-the-result": ("SUCCEEDED", 1, 1),
}
"""Scenario → how the run ends, how many calls arrive, and how many objects there are."""

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
            written.write_text(json.dumps(perform(directory)))
    found: dict[str, Any] = json.loads(written.read_text())
    return found


# -- the command line --------------------------------------------------------------------------------------------


def test_it_is_deployed_and_checked_end_to_end(seen: dict[str, Any]) -> None:
    """deploy.sh, e2e-aws.sh and destroy.sh with the real command line; destroying keeps the data."""
    code, said, complaint = seen["e2e"]
    assert code == 0, said + complaint
    assert said.splitlines()[-1] == "e2e: passed"
    assert "outputs are in" in seen["deployed"]
    assert "kept: the tables" in seen["items_left"]


def test_every_resource_is_made_or_listed(seen: dict[str, Any]) -> None:
    """The emulator says that it made everything; what has no physical id must be of a kind that is known for it."""
    wanted = {name: resource["Type"] for name, resource in template()["Resources"].items()}
    made = {name for name, found in seen["resources"].items() if found.get("PhysicalResourceId")}
    assert {wanted[name] for name in set(wanted) - made} <= UNSEEN


# -- scenarios ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [scenario.name for scenario in PARITY])
def test_the_ledger_is_the_local_engine_s(seen: dict[str, Any], name: str) -> None:
    """The same scenario leaves the same ledger, event by event, and the chains verify."""
    events = next(events for known, (_, _, events) in SCENARIOS.items() if slug(known) == name)
    scenario = seen["scenarios"][name]
    assert scenario["events"] == [event.value for event in events]
    assert scenario["faults"] == 0


@pytest.mark.parametrize("name", EXPECTED)
def test_a_scenario_ends_as_it_must(seen: dict[str, Any], name: str) -> None:
    """How it ends, how often the target was called, and what there is."""
    scenario = seen["scenarios"][name]
    assert (scenario["status"], scenario["sent"], scenario["made"]) == EXPECTED[name]
    assert scenario["outcome"] == scenario["status"]
    assert scenario["events"].count("EXECUTION_STARTED") == 1
    assert scenario["faults"] == 0


@pytest.mark.parametrize(
    ("name", "code"), [("switched-during", "KILL_SWITCH_ENABLED"), ("cancelled-during", "CANCELLED_BY_REQUEST")]
)
def test_a_running_execution_is_stopped(seen: dict[str, Any], name: str, code: str) -> None:
    """A switch or a cancel between two calls: no further call, and every call that was made is in the record."""
    scenario = seen["scenarios"][name]
    assert (scenario["status"], scenario["code"], scenario["made"]) == ("CANCELLED", code, 0)
    assert 1 <= scenario["sent"] == len(scenario["permits"]) < 40


def test_every_scenario_is_looked_at() -> None:
    """None is played for nothing."""
    assert {scenario.name for scenario in OWN} == {*EXPECTED, "switched-during", "cancelled-during"}


def test_a_partial_effect_is_taken_back(seen: dict[str, Any]) -> None:
    """By the pinned tool, in the state that is there for it."""
    name = "done-in-part-taken-back"
    execution = seen["executions"][f"exec-{seen['scenarios'][name]['intent']}"]
    assert execution["states"][-5:] == ["CompensateAction", "WhatNext", "RecordFailure", "WhatNext", "Recorded"]
    assert seen["taken_back"] == [f"order-{name}-1"]


def test_records_are_where_operators_look(seen: dict[str, Any]) -> None:
    """Attempt and outcome under the published keys, for every scenario."""
    for name, scenario in seen["scenarios"].items():
        assert all(scenario["written"].values()), name


# -- the state machine -------------------------------------------------------------------------------------------


def test_a_run_that_is_done_at_once_enters_six_states(seen: dict[str, Any]) -> None:
    """Seven transitions with the way into the first one, and three write transactions."""
    intent = seen["scenarios"]["done-at-once"]["intent"]
    execution = seen["executions"][f"exec-{intent}"]
    assert execution["states"] == [
        *("StartExecution", "ValidatePreflight", "MapActionToTool", "InvokeTool", "WhatNext", "RecordOutcome")
    ]
    writes = [
        call
        for call in seen["calls"]
        if call[2] == "TransactWriteItems" and "TENANT#done-at-once#" in json.dumps(call[3])
    ]
    assert [call[0] for call in writes] == ["validator", "invoker", "invoker"]


def test_duplicates_end_in_a_state_that_does_nothing(seen: dict[str, Any]) -> None:
    """Started by hand under another name when it was over; its event again: the name was used."""
    assert seen["executions"]["by-hand"]["states"] == ["StartExecution", "AlreadyHandled"]
    for name in ("twice", "done-already"):
        intent = seen["scenarios"][name]["intent"]
        assert [known for known in seen["executions"] if known.endswith(intent)] == [f"exec-{intent}"]


def test_only_ids_are_between_the_states(seen: dict[str, Any]) -> None:
    """No parameter, argument, reply or error text is in any execution's history."""
    allowed = {"action_intent_id", "tenant_id", "run_number", "fence", "next", "until", "status"}
    for execution in seen["executions"].values():
        for document in execution["inputs"]:
            assert set(document) <= allowed


def test_no_failure_of_a_call_is_recorded_before_recover_has_looked(seen: dict[str, Any]) -> None:
    """A function that died at InvokeTool goes to Recover."""
    for name in ("dies-before-the-permit", "dies-after-the-permit", "dies-after-the-result"):
        states = seen["executions"][f"exec-{seen['scenarios'][name]['intent']}"]["states"]
        assert states[states.index("InvokeTool") + 1] == "Recover"


# -- events ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_started_ends_in_the_dead_letters(seen: dict[str, Any]) -> None:
    """The malformed event and the stranger's; those beside them in a batch were started."""
    assert sorted(json.loads(body)["detail"]["data"].get("tenant_id", "") for body in seen["dead"]) == ["", "stranger"]
    assert seen["returned"]


# -- the API -----------------------------------------------------------------------------------------------------


def test_the_http_interface_answers_behind_the_gateway(seen: dict[str, Any]) -> None:
    """Ready over the real store; who has no token is refused by the function too, with a problem document."""
    ready, refused, document = (seen["api"][path] for path in ("/readyz", "/v1/intents", "/openapi.json"))
    assert (ready["statusCode"], json.loads(ready["body"])["checks"]["store"]) == (200, "ok")
    assert refused["statusCode"] == 401
    assert json.loads(refused["body"])["error_code"] == "UNAUTHENTICATED"
    assert refused["headers"]["content-type"] == "application/problem+json"
    assert "/v1/intents" in json.loads(document["body"])["paths"]


# -- what functions do -------------------------------------------------------------------------------------------


def test_every_call_is_granted_and_every_grant_is_used(seen: dict[str, Any]) -> None:
    """What the functions were seen to do is what their roles allow, both ways; the API's and the bucket's apart."""
    grants = {grant for grant in granted(template()) if grant[0] != "api"}
    used = {
        grant
        for function, service, operation, body in seen["calls"]
        if function != "api"
        for grant in needed(function, service, operation, body)
    }
    assert used - grants == set()
    unused = {grant for grant in grants - used if grant[2] not in ("Artifacts", "Secrets")}
    assert unused == set()


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
