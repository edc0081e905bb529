"""What is asked of DynamoDB most, answered from moto's tables without moto's parsers, checks and serialisers.

They are most of the time that the tests of a store take. Every form that is not one of the few here goes to moto.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict

from enactor.conformance.aws.strict import size_of

PAGE_BYTES: Final = 1024 * 1024
"""What a Query answers with at most."""

_EXISTS: Final = re.compile(r"attribute_(not_)?exists\((#?\w+)\)")
_EQUALS: Final = re.compile(r"(#?\w+) = (:\w+)")
_SET: Final = re.compile(r"SET (#\w+ = :\w+(?:, #\w+ = :\w+)*)(?: REMOVE (\w+(?:, \w+)*))?")
_KEYS: Final = re.compile(r"#pk = :pk(?: AND (.+))?")
_SORTED: Final[tuple[tuple[re.Pattern[str], Callable[[bytes, list[bytes]], bool]], ...]] = (
    (re.compile(r"#sk BETWEEN (:\w+) AND (:\w+)"), lambda key, given: given[0] <= key <= given[1]),
    (re.compile(r"begins_with\(#sk, (:\w+)\)"), lambda key, given: key.startswith(given[0])),
    (re.compile(r"#sk < (:\w+)"), lambda key, given: key < given[0]),
    (re.compile(r"#sk > (:\w+)"), lambda key, given: key > given[0]),
    (re.compile(r"#sk >= (:\w+)"), lambda key, given: key >= given[0]),
)

Given = Mapping[str, Any]


def spare_sizes() -> None:
    """Has moto not measure an item anew for each of its attributes: `strict` measures it once."""
    LimitedSizeDict.__setitem__ = dict.__setitem__  # type: ignore[method-assign]


def read(backend: DynamoDBBackend, table: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """An item as the wire has it."""
    found = backend.get_item(table, key)
    return None if found is None else wire(found)


def wire(item: Item) -> dict[str, Any]:
    """An item as the wire has it."""
    attributes: dict[str, Any] = item.to_json()["Attributes"]
    return attributes


def write(backend: DynamoDBBackend, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A transaction: all conditions first, then all effects. moto's own copies whole tables to be able to undo.

    Returns:
        The reasons why it is cancelled; empty when it has happened.
    """
    reasons: list[dict[str, Any]] = []
    for item in items:
        ((_, given),) = item.items()
        place = given.get("Key") or given["Item"]
        current = backend.get_item(given["TableName"], {"pk": place["pk"], "sk": place["sk"]})
        if holds(given, current):
            reasons.append({"Code": "None"})
            continue
        reasons.append({"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"})
        if given.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and current is not None:
            reasons[-1]["Item"] = wire(current)
    if any(reason["Code"] != "None" for reason in reasons):
        return reasons
    for item in items:
        ((operation, given),) = item.items()
        if operation == "Put":
            backend.put_item(given["TableName"], given["Item"])
        elif operation == "Delete":
            backend.delete_item(given["TableName"], given["Key"])
        elif operation == "Update":
            _update(backend, given)
    return []


def holds(given: Given, current: Item | None) -> bool:
    """Whether a request's condition holds for the item as it is."""
    condition = given.get("ConditionExpression")
    if condition is None:
        return True
    names, values = given.get("ExpressionAttributeNames"), given.get("ExpressionAttributeValues")
    answers = [_clause(clause, names or {}, values or {}, current) for clause in condition.split(" AND ")]
    if None not in answers:
        return all(answers)
    return bool(get_filter_expression(condition, names, values).expr(current))


def _clause(clause: str, names: Given, values: Given, current: Item | None) -> bool | None:
    """Whether a simple condition holds; None when it is not simple."""
    if found := _EXISTS.fullmatch(clause):
        present = current is not None and names.get(found[2], found[2]) in current.attrs
        return present is (found[1] is None)
    if (found := _EQUALS.fullmatch(clause)) and "S" in values.get(found[2], ()):
        stored = current.attrs.get(names.get(found[1], found[1])) if current is not None else None
        return stored is not None and bool((stored.type, stored.value) == ("S", values[found[2]]["S"]))
    return None


def _update(backend: DynamoDBBackend, given: Given) -> None:
    names, values = given.get("ExpressionAttributeNames", {}), given.get("ExpressionAttributeValues", {})
    current = backend.get_item(given["TableName"], given["Key"])
    found = _SET.fullmatch(given["UpdateExpression"])
    if current is None or found is None:
        backend.update_item(
            given["TableName"],
            given["Key"],
            update_expression=given["UpdateExpression"],
            expression_attribute_names=names,
            expression_attribute_values=values,
        )
        return
    for assignment in found[1].split(", "):
        name, _, value = assignment.partition(" = ")
        current.attrs[names[name]] = DynamoType(values[value])
    for name in (found[2] or "").split(", "):
        current.attrs.pop(name, None)


def query(backend: DynamoDBBackend, request: Given) -> dict[str, Any] | None:
    """A page of a partition, in the order of its sort keys; None for a form that moto has to answer."""
    names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
    found = _KEYS.fullmatch(request.get("KeyConditionExpression", ""))
    matches = _sort_condition(found[1] or "", values) if found else None
    if matches is None or "#pk" not in names or {"ProjectionExpression", "Select", "QueryFilter"} & request.keys():
        return None
    table = backend.get_table(request["TableName"])
    index = next((it for it in table.all_indexes() if it.name == request.get("IndexName")), None)
    if (index is None) is ("IndexName" in request):
        return None
    pk, partition = names["#pk"], values[":pk"]
    sk = f"{pk[:-2]}sk" if index is not None else "sk"
    if index is None:
        candidates = [*table.items.get(DynamoType(partition), {}).values()]
    else:
        name = partition["S"]
        everything = (item for part in table.items.values() for item in part.values())
        candidates = [it for it in everything if sk in it.attrs and pk in it.attrs and it.attrs[pk].value == name]
    ordered = sorted(((_order(item, sk), item) for item in candidates if matches(_bytes(item, sk))), key=_first)
    if not request.get("ScanIndexForward", True):
        ordered.reverse()
    if start := request.get("ExclusiveStartKey"):
        last = tuple(start[name]["S"].encode() for name in (sk, "pk", "sk"))
        forward = request.get("ScanIndexForward", True)
        ordered = [pair for pair in ordered if (pair[0] > last if forward else pair[0] < last)]
    kept = {"pk", "sk", pk, sk} if index is not None and index.projection["ProjectionType"] == "KEYS_ONLY" else None
    return _page(ordered, request, kept, {"pk", "sk", pk, sk})


def _page(
    ordered: list[tuple[tuple[bytes, ...], Item]], request: Given, kept: set[str] | None, key: set[str]
) -> dict[str, Any]:
    """The items of one answer: up to the limit or to a megabyte, both before the filter."""
    expression = request.get("FilterExpression")
    wanted = get_filter_expression(
        expression, request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
    )
    found: list[dict[str, Any]] = []
    seen: list[dict[str, Any]] = []
    size = 0
    for _, item in ordered:
        shown = wire(item)
        size += size_of(shown)
        if len(seen) == request.get("Limit") or (size > PAGE_BYTES and seen):
            break
        seen.append(shown)
        if expression is None or wanted.expr(item):
            found.append(shown if kept is None else {name: shown[name] for name in kept})
    answer: dict[str, Any] = {"Items": found, "Count": len(found), "ScannedCount": len(seen)}
    if len(seen) < len(ordered):
        answer["LastEvaluatedKey"] = {name: seen[-1][name] for name in key}
    return answer


def _sort_condition(text: str, values: Given) -> Callable[[bytes], bool] | None:
    if not text:
        return lambda key: True
    for pattern, holds_for in _SORTED:
        if found := pattern.fullmatch(text):
            given = [values[name]["S"].encode() for name in found.groups()]
            return lambda key: holds_for(key, given)
    return None


def _bytes(item: Item, name: str) -> bytes:
    text: str = item.attrs[name].value
    return text.encode()


def _order(item: Item, sk: str) -> tuple[bytes, ...]:
    return _bytes(item, sk), _bytes(item, "pk"), _bytes(item, "sk")


def _first(pair: tuple[tuple[bytes, ...], Item]) -> tuple[bytes, ...]:
    return pair[0]
