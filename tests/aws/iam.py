"""Which grants a call needs: an evaluator of our own for the calls that functions make, over the template's roles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.aws.generator.functions import FUNCTIONS, logical
from deploy.aws.generator.rules import statements
from tests.aws.lambdas import ACCOUNT, REGION

Grant = tuple[str, str, str]
"""Role's function, action, resource: `("invoker", "dynamodb:GetItem", "table/ledger")`."""

_MEMBERS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}


def needed(function: str, service: str, operation: str, body: Mapping[str, Any]) -> Iterator[Grant]:
    """The grants that one call needs; a transaction needs those of its members."""
    match service, operation:
        case "dynamodb", "TransactWriteItems":
            for member in body["TransactItems"]:
                for kind, action in _MEMBERS.items():
                    if kind in member:
                        yield function, f"dynamodb:{action}", _table(member[kind]["TableName"])
        case "dynamodb", "TransactGetItems":
            for member in body["TransactItems"]:
                yield function, "dynamodb:GetItem", _table(member["Get"]["TableName"])
        case "dynamodb", "BatchGetItem":
            for name in body["RequestItems"]:
                yield function, "dynamodb:BatchGetItem", _table(name)
        case "dynamodb", _:
            index = f"/index/{body['IndexName']}" if "IndexName" in body else ""
            yield function, f"dynamodb:{operation}", _table(body["TableName"]) + index
        case "events", "PutEvents":
            yield function, "events:PutEvents", "EventBus"
        case "states", "StartExecution":
            yield function, "states:StartExecution", "StateMachine"
        case _:
            yield function, f"{service}:{operation}", "?"


def granted(template: Mapping[str, Any]) -> set[Grant]:
    """Every grant of every function's role, but for logs and traces, which Lambda itself uses."""
    names = {f"{logical(function.name)}Role": function.name for function in FUNCTIONS}
    found: set[Grant] = set()
    for role, statement in statements(template):
        if role not in names:
            continue
        for action in statement["Action"]:
            if action.startswith(("logs:", "xray:")):
                continue
            for resource in statement["Resource"]:
                found.add((names[role], action, _resource(resource)))
    return found


def resolved(grant: Grant) -> Grant:
    """A grant that a call needs, with the ARN that the resource has in the emulator."""
    function, action, resource = grant
    place = f"{REGION}:{ACCOUNT}"
    arns = {
        "EventBus": f"arn:aws:events:{place}:event-bus/cc-native-events",
        "StateMachine": f"arn:aws:states:{place}:stateMachine:cc-native-action-execution",
    }
    return function, action, arns.get(resource) or f"arn:aws:dynamodb:{place}:table/cc-native-{resource[6:]}"


def _table(name: str) -> str:
    return f"table/{name.removeprefix('cc-native-')}"


def _resource(resource: Any) -> str:
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    text = str(resource["Fn::Sub"])
    if ":table/" in text:
        return f"table/{text.partition('${Prefix}-')[2]}"
    if ":stateMachine:" in text:
        return "StateMachine"
    return "Artifacts" if ":s3:::" in text else "Secrets" if ":secret:" in text else text
