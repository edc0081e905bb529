"""The definition and the template as linters see them, and that the linters would see what is wrong."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.aws.generator.functions import FUNCTIONS
from deploy.aws.generator.rules import definition_faults, kept_faults, policy_faults
from deploy.aws.generator.template import template
from enactor.engines.stepfunctions.definition import FUNCTIONS as STEP_FUNCTIONS
from enactor.engines.stepfunctions.definition import definition
from enactor.stores.dynamodb.tables import TABLES
from tests.npm import asked

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def statelint(machine: dict[str, Any], directory: Path) -> str:
    """What statelint says of a definition; nothing when it is good."""
    path = directory / "definition.json"
    path.write_text(json.dumps(machine))
    done = subprocess.run([str(BIN / "statelint"), str(path)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else done.stdout.strip()


def machine_with(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The definition with something wrong in it."""
    machine = definition({name: f"arn:aws:lambda:us-east-1:1:function:{name}" for name in STEP_FUNCTIONS.values()})
    change(machine["States"])
    return machine


def test_what_is_generated_is_what_is_committed() -> None:
    """The template and the definition in the repository are what the steps, the tables and the grants make of them."""
    done = subprocess.run(
        [sys.executable, "scripts/aws_template.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_linters_have_nothing_to_say(tmp_path: Path) -> None:
    """cfn-lint about the template, statelint and asl-validator about the definition."""
    done = subprocess.run(
        [str(BIN / "cfn-lint"), "deploy/aws/template.yaml"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    machine = machine_with(lambda states: None)
    assert statelint(machine, tmp_path) == ""
    assert asked("asl.mjs", {"it": machine}) == {"it": []}


SEEDED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a way to nowhere": lambda s: s["InvokeTool"].update(Next="Nowhere"),
    "a state that nobody comes to": lambda s: s.update(Lost={"Type": "Succeed"}),
    "no way out": lambda s: s["MapActionToTool"].pop("Next"),
    "a misspelled member": lambda s: s["InvokeTool"].update(TimeoutSecond=5),
    "a retry without errors": lambda s: s["InvokeTool"]["Retry"][0].pop("ErrorEquals"),
    "a choice without a way": lambda s: s["WhatNext"]["Choices"][0].pop("Next"),
    "a wait for nothing": lambda s: s["WaitUntil"].pop("TimestampPath"),
    "a path without its mark": lambda s: s["InvokeTool"]["Parameters"]["Payload"].update(
        fence=s["InvokeTool"]["Parameters"]["Payload"].pop("fence.$")
    ),
    "no function": lambda s: s["InvokeTool"]["Parameters"].pop("FunctionName"),
    "a parameter that there is not": lambda s: s["InvokeTool"]["Parameters"].update(Functionname="x"),
    "no time limit": lambda s: s["InvokeTool"].pop("TimeoutSeconds"),
    "an error that nobody catches": lambda s: s["InvokeTool"].pop("Catch"),
}


@pytest.fixture(scope="module")
def validated() -> dict[str, list[str]]:
    """What asl-validator says of each defect, asked once."""
    found: dict[str, list[str]] = asked("asl.mjs", {name: machine_with(change) for name, change in SEEDED.items()})
    return found


OURS_ALONE = {
    "a path without its mark",
    "no function",
    "a parameter that there is not",
    "no time limit",
    "an error that nobody catches",
}
"""Defects that no linter of others sees: what the house rules are there for."""


@pytest.mark.parametrize("defect", SEEDED)
def test_a_defect_in_the_definition_is_seen(defect: str, tmp_path: Path, validated: dict[str, list[str]]) -> None:
    """By statelint or asl-validator, or by the house's own rules: each has some that the others do not see."""
    machine = machine_with(SEEDED[defect])
    of_others = bool(statelint(machine, tmp_path) or validated[defect])
    assert of_others or definition_faults(machine)
    assert of_others is (defect not in OURS_ALONE)


def _grant(action: str, resource: Any) -> Callable[[dict[str, Any]], object]:
    def change(resources: dict[str, Any]) -> None:
        policies = resources["InvokerRole"]["Properties"]["Policies"]
        policies[0]["PolicyDocument"]["Statement"].append(
            {"Effect": "Allow", "Action": [action], "Resource": [resource]}
        )

    return change


LOOSE: dict[str, Callable[[dict[str, Any]], object]] = {
    "an action of every kind": _grant("dynamodb:*", "arn:aws:dynamodb:us-east-1:1:table/x"),
    "every resource": _grant("dynamodb:GetItem", "*"),
    "every table": _grant("dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:1:table/*-x"),
    "a scan": _grant("dynamodb:Scan", "arn:aws:dynamodb:us-east-1:1:table/x"),
    "another role": _grant("sts:AssumeRole", "arn:aws:iam::1:role/x"),
    "a rewritten ledger": _grant("dynamodb:DeleteItem", {"Fn::Sub": "table/${Prefix}-ledger"}),
    "a table that can be lost": lambda r: r["LedgerTable"]["Properties"].update(DeletionProtectionEnabled=False),
    "a table that goes with its stack": lambda r: r["LedgerTable"].update(DeletionPolicy="Delete"),
    "a table without restore": lambda r: r["LedgerTable"]["Properties"].pop("PointInTimeRecoverySpecification"),
}


def test_no_role_may_more_than_it_must() -> None:
    """No wildcard, nothing forbidden, and every table kept."""
    assert policy_faults(template()) == []
    assert kept_faults(template()) == []


@pytest.mark.parametrize("defect", LOOSE)
def test_a_loose_role_is_seen(defect: str) -> None:
    """Each kind of looseness is a fault."""
    loose = copy.deepcopy(template())
    LOOSE[defect](loose["Resources"])
    assert policy_faults(loose) + kept_faults(loose)


def test_the_template_holds_what_the_code_needs() -> None:
    """A table for each of the store's, a function for each of the states', each with a role and a log of its own."""
    resources = yaml.safe_load((ROOT / "deploy/aws/template.yaml").read_text())["Resources"]
    kinds = [resource["Type"] for resource in resources.values()]
    assert kinds.count("AWS::DynamoDB::Table") == len(TABLES)
    assert {function.name for function in FUNCTIONS} >= set(STEP_FUNCTIONS.values())
    assert kinds.count("AWS::Lambda::Function") == len(FUNCTIONS)
    assert kinds.count("AWS::IAM::Role") == len(FUNCTIONS) + 1
    assert kinds.count("AWS::Logs::LogGroup") == len(FUNCTIONS) + 1
