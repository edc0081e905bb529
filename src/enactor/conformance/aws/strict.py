"""What DynamoDB refuses and moto lets pass. Each rule is one of the service's documented limits or validations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

MAX_TRANSACTION_ITEMS: Final = 100
MAX_BATCH_GET: Final = 100
MAX_BATCH_WRITE: Final = 25
MAX_ITEM_BYTES: Final = 400 * 1024
MAX_TRANSACTION_BYTES: Final = 4 * 1024 * 1024
MAX_PARTITION_KEY_BYTES: Final = 2_048
MAX_SORT_KEY_BYTES: Final = 1_024

_NAME: Final = re.compile(r"#\w+")
_VALUE: Final = re.compile(r":\w+")
_EXPRESSIONS: Final = (
    "ConditionExpression",
    "FilterExpression",
    "KeyConditionExpression",
    "ProjectionExpression",
    "UpdateExpression",
)


class Rules:
    """Checks requests against the tables that it has seen created."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, Any]] = {}

    def forget(self) -> None:
        """Forgets every table."""
        self._tables.clear()

    def created(self, request: dict[str, Any]) -> None:
        """A table was created."""
        self._tables[request["TableName"]] = request

    def problem(self, operation: str, request: dict[str, Any]) -> str | None:
        """The first thing that is wrong with a request, or None."""
        return next(self._problems(operation, request), None)

    def _problems(self, operation: str, request: dict[str, Any]) -> Iterator[str]:
        if operation in ("TransactWriteItems", "TransactGetItems"):
            yield from self._transaction(request)
        elif operation == "BatchGetItem":
            yield from self._batch_get(request)
        elif operation == "BatchWriteItem":
            if sum(len(writes) for writes in request["RequestItems"].values()) > MAX_BATCH_WRITE:
                yield f"Too many items in a batch: at most {MAX_BATCH_WRITE}"
        else:
            yield from self._one(request)
        if operation == "Query" and request.get("IndexName") and request.get("ConsistentRead"):
            yield "Consistent reads are not supported on global secondary indexes"

    def _transaction(self, request: dict[str, Any]) -> Iterator[str]:
        parts = [next(iter(item.values())) for item in request["TransactItems"]]
        if not 1 <= len(parts) <= MAX_TRANSACTION_ITEMS:
            yield f"A transaction has from 1 to {MAX_TRANSACTION_ITEMS} items"
        keys = [self._key(part) for part in parts]
        if len(set(keys)) < len(keys):
            yield "Transaction request cannot include multiple operations on one item"
        if sum(size_of(part.get("Item", {})) for part in parts) > MAX_TRANSACTION_BYTES:
            yield "A transaction has at most 4 MB"
        if len(str(request.get("ClientRequestToken", ""))) > 36:
            yield "ClientRequestToken has at most 36 characters"
        for part in parts:
            yield from self._one(part)

    def _key(self, part: dict[str, Any]) -> tuple[str, str, str]:
        place = part.get("Key") or part["Item"]
        return part["TableName"], json.dumps(place["pk"]), json.dumps(place["sk"])

    def _batch_get(self, request: dict[str, Any]) -> Iterator[str]:
        wanted = [
            (table, json.dumps(key, sort_keys=True))
            for table, asked in request["RequestItems"].items()
            for key in asked["Keys"]
        ]
        if not 1 <= len(wanted) <= MAX_BATCH_GET:
            yield f"A batch reads from 1 to {MAX_BATCH_GET} items"
        if len(set(wanted)) < len(wanted):
            yield "Provided list of item keys contains duplicates"
        for table, asked in request["RequestItems"].items():
            for key in asked["Keys"]:
                yield from self._keys(table, key, whole=False)

    def _one(self, request: dict[str, Any]) -> Iterator[str]:
        text = " ".join(str(request.get(name, "")) for name in _EXPRESSIONS)
        for pattern, attribute in ((_NAME, "ExpressionAttributeNames"), (_VALUE, "ExpressionAttributeValues")):
            if attribute in request:
                given, used = set(request[attribute]), set(pattern.findall(text))
                if not given:
                    yield f"{attribute} must not be empty"
                if given - used:
                    yield f"Value provided in {attribute} unused in expressions: {sorted(given - used)}"
                if used - given:
                    yield f"An expression attribute used in an expression is not defined: {sorted(used - given)}"
            elif pattern.search(text):
                yield f"An expression uses what {attribute} does not define"
        if "Item" in request:
            yield from self._keys(request["TableName"], request["Item"], whole=True)
            if size_of(request["Item"]) > MAX_ITEM_BYTES:
                yield "Item size has exceeded the maximum allowed size of 400 KB"
        elif "Key" in request:
            yield from self._keys(request["TableName"], request["Key"], whole=False)

    def _keys(self, name: str, item: dict[str, Any], *, whole: bool) -> Iterator[str]:
        table = self._tables.get(name)
        if table is None:
            return
        types = {it["AttributeName"]: it["AttributeType"] for it in table["AttributeDefinitions"]}
        own = [it["AttributeName"] for it in table["KeySchema"]]
        for attribute, limit in zip(own, (MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES), strict=False):
            if attribute not in item:
                yield f"The item lacks the key {attribute}"
            elif not 1 <= len(str(item[attribute].get("S", "")).encode()) <= limit:
                yield f"The key {attribute} is empty or longer than {limit} bytes"
        if not whole and set(item) != set(own):
            yield "The provided key element does not match the schema"
        for attribute, value in item.items():
            if attribute in types and types[attribute] not in value:
                yield f"Type mismatch for index key {attribute}: expected {types[attribute]}"
            elif attribute in types and value[types[attribute]] == "":
                yield f"The index key {attribute} is an empty string"


def size_of(value: Any) -> int:
    """About what DynamoDB counts: names and values in UTF-8, and 3 bytes for each list or map."""
    if isinstance(value, dict):
        return 3 + sum(len(name.encode()) + size_of(part) for name, part in value.items())
    if isinstance(value, list):
        return 3 + sum(size_of(part) for part in value)
    return len(str(value).encode())
