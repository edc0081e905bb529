"""The tables and their indexes, as data: `migrate` creates them from it, and deployment templates are checked by it."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

INTENTS: Final = "action-intents"
ATTEMPTS: Final = "execution-attempts"
OUTCOMES: Final = "execution-outcomes"
REGISTRY: Final = "action-type-registry"
DEDUPE: Final = "external-write-dedupe"
LEDGER: Final = "ledger"
TENANTS: Final = "tenants"

TTL_ATTRIBUTE: Final = "expires_at"
"""Seconds since the epoch. Only counters of starts carry it; locks, permits, records and the ledger never do."""


class Index(Struct, frozen=True):
    """A global secondary index. Both its keys are strings; `everything` projects whole items, otherwise keys only."""

    name: str
    partition_key: str
    sort_key: str
    everything: bool = False


class Table(Struct, frozen=True):
    """A table with the string keys `pk` and `sk`. `expires`: its `expires_at` is a TTL attribute."""

    name: str
    indexes: tuple[Index, ...] = ()
    expires: bool = False


def _index(number: int, *, everything: bool = False) -> Index:
    return Index(f"gsi{number}-index", f"gsi{number}pk", f"gsi{number}sk", everything)


TABLES: Final = (
    Table(INTENTS, (_index(1), _index(2))),
    Table(ATTEMPTS, (_index(1, everything=True), _index(2))),
    Table(OUTCOMES),
    Table(REGISTRY),
    Table(DEDUPE),
    Table(LEDGER, (_index(1, everything=True), _index(2), _index(3), _index(4))),
    Table(TENANTS, expires=True),
)


def creation(prefix: str, table: Table) -> dict[str, Any]:
    """The parameters of `CreateTable` for a table, billed by request and encrypted at rest."""
    names = ["pk", "sk", *(key for index in table.indexes for key in (index.partition_key, index.sort_key))]
    parameters: dict[str, Any] = {
        "TableName": f"{prefix}-{table.name}",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in names],
        "KeySchema": _schema("pk", "sk"),
        "SSESpecification": {"Enabled": True},
    }
    if table.indexes:
        parameters["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index.name,
                "KeySchema": _schema(index.partition_key, index.sort_key),
                "Projection": {"ProjectionType": "ALL" if index.everything else "KEYS_ONLY"},
            }
            for index in table.indexes
        ]
    return parameters


def _schema(partition_key: str, sort_key: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition_key, "KeyType": "HASH"},
        {"AttributeName": sort_key, "KeyType": "RANGE"},
    ]
