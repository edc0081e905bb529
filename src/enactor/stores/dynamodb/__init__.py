"""The AWS store: seven DynamoDB tables, any number of processes; each commit is one transaction."""

from __future__ import annotations

from enactor.stores.dynamodb.store import DynamoStore

__all__ = ["DynamoStore"]
