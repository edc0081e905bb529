"""House rules of the state machine and of the roles: what the linters of others do not see."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

INVOKE: Final = frozenset({"FunctionName", "Payload", "InvocationType", "ClientContext", "Qualifier", "LogType"})
"""What `lambda:invoke` takes."""

WITHOUT_RESOURCES: Final = frozenset({"xray:PutTraceSegments", "xray:PutTelemetryRecords"})
"""Actions that AWS grants on `*` alone."""

FORBIDDEN: Final = (
    "iam:*",
    "sts:AssumeRole",
    "kms:*",
    "dynamodb:DeleteTable",
    "dynamodb:UpdateTable",
    "dynamodb:Scan",
    "dynamodb:BatchWriteItem",
    "dynamodb:PartiQL*",
    "dynamodb:UpdateContinuousBackups",
    "lambda:Update*",
    "lambda:Add*",
    "logs:Delete*",
    "s3:DeleteBucket*",
    "s3:DeleteObject",
    "s3:Put*Policy",
    "secretsmanager:Put*",
    "secretsmanager:List*",
    "states:Stop*",
    "states:Update*",
    "states:Delete*",
    "events:Delete*",
)
"""What no role of a function may ever have."""

ERASES: Final = "ApiRole"
"""The one role that may delete artifacts: what a person has erased."""

APPEND_ONLY: Final = "ledger"
"""The table whose items no function may delete."""

_PATH: Final = re.compile(r"\$\$?(\.[A-Za-z_]|$)")
_OPEN_ENDS: Final = re.compile(r":\*$|/\*$|-\?{6}$")
"""Ends that AWS itself names: log streams, objects of a bucket, and the six characters of a secret's ARN."""


def definition_faults(machine: Mapping[str, Any]) -> list[str]:
    """What is wrong with a definition: paths that are texts, functions without a name, parameters unknown to AWS."""
    faults: list[str] = []
    for name, state in machine["States"].items():
        parameters = state.get("Parameters", {})
        faults += [f"{name}: {where} is a path, and its name does not end in .$" for where in _texts(parameters)]
        if state["Type"] != "Task":
            continue
        if state.get("Resource", "").endswith(":lambda:invoke"):
            if not parameters.get("FunctionName"):
                faults.append(f"{name}: no FunctionName")
            unknown = {key.removesuffix(".$") for key in parameters} - INVOKE
            faults += [f"{name}: lambda:invoke takes no {key}" for key in sorted(unknown)]
        if "TimeoutSeconds" not in state:
            faults.append(f"{name}: no TimeoutSeconds: it would wait for a year")
        if not any("States.ALL" in catch["ErrorEquals"] for catch in state.get("Catch", ())):
            faults.append(f"{name}: nothing catches States.ALL")
    return faults


def _texts(value: Any, where: str = "Parameters") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and _PATH.match(inner) and not key.endswith(".$"):
                yield f"{where}.{key}"
            yield from _texts(inner, f"{where}.{key}")


def policy_faults(template: Mapping[str, Any]) -> list[str]:
    """What is wrong with the roles: wildcards, and what no role may have."""
    faults: list[str] = []
    for name, statement in statements(template):
        resources = [_text(resource) for resource in _list(statement["Resource"])]
        for action in _list(statement["Action"]):
            if "*" in action:
                faults.append(f"{name}: {action} is a wildcard")
            faults += [f"{name}: {action} is forbidden" for bad in FORBIDDEN if fnmatch.fnmatchcase(action, bad)]
            for resource in resources:
                if resource == "*" and action not in WITHOUT_RESOURCES:
                    faults.append(f"{name}: {action} on every resource")
                if action == "dynamodb:DeleteItem" and resource.endswith(f"-{APPEND_ONLY}"):
                    faults.append(f"{name}: the ledger is append-only")
            if action == "s3:DeleteObjectVersion" and name != ERASES:
                faults.append(f"{name}: {action} is for {ERASES} alone")
        for resource in resources:
            if resource != "*" and "*" in _OPEN_ENDS.sub("", resource):
                faults.append(f"{name}: {resource} is a wildcard")
    return faults


def statements(template: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every role, with the role's logical id."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            for policy in resource["Properties"].get("Policies", ()):
                for statement in policy["PolicyDocument"]["Statement"]:
                    yield name, statement


def kept_faults(template: Mapping[str, Any]) -> list[str]:
    """What is wrong with the tables: each is encrypted, protected, restorable, and outlives its stack."""
    faults: list[str] = []
    for name, resource in template["Resources"].items():
        if resource["Type"] != "AWS::DynamoDB::Table":
            continue
        properties = resource["Properties"]
        good = (
            properties.get("SSESpecification", {}).get("SSEEnabled") is True
            and properties.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled") is True
            and properties.get("DeletionProtectionEnabled") is True
            and resource.get("DeletionPolicy") == resource.get("UpdateReplacePolicy") == "Retain"
        )
        if not good:
            faults.append(f"{name}: not encrypted, restorable, protected and kept")
    return faults


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(resource: Any) -> str:
    if isinstance(resource, str):
        return resource
    if "Fn::Sub" in resource:
        return str(resource["Fn::Sub"])
    if "Fn::GetAtt" in resource:
        logical, attribute = resource["Fn::GetAtt"]
        # A log group's Arn ends in its streams.
        return f"{logical}.{attribute}" + (":*" if logical.endswith("Logs") else "")
    return str(resource)
