"""The OpenAPI connector over the orders API, by way of a proxy that a test can make lose replies."""

from __future__ import annotations

from typing import Any

from enactor.conformance.clocks import ManualClock
from enactor.connectors.openapi import OpenApiConnector
from tests.connectors.openapi.orders import API_KEY, Orders
from tests.connectors.proxy import Proxy
from tests.connectors.rig import NORTH, SOUTH, TENANT, ConnectorRig, context_of

CREATE = "orders.create_order"
UNDO = "orders.undo_create_order"
TEA: dict[str, Any] = {"item": "tea", "quantity": 2}
REFS = [{"system": "orders", "object_type": "order", "id": "/order_id", "version": "/version"}]
ENVIRONMENT = {"ORDERS_KEY": API_KEY, "WRONG": "nonsense"}

TOOL: dict[str, Any] = {
    "operation": "createOrder",
    "fixed": {"customer_id": "$account", "reference": "$key"},
    "write": "LOOKUP",
    "absence_final_after_seconds": 60,
    "effect_free_statuses": [401, 422, 429],
    "error_code": "/detail/code",
    "risk": "MEDIUM",
    "summary": "Order {quantity} {item}",
    "refs": REFS,
    "lookup": {
        "operation": "GET /orders",
        "arguments": {"reference": "$key"},
        "found": "/items",
        "key": "/reference",
        "account": "/customer_id",
    },
    "undo": {
        "operation": "deleteOrder",
        "arguments": {"order_id": "$ref/object_id"},
        "headers": {"If-Match": "$ref/version"},
        "absence_final_after_seconds": 60,
        "read": {
            "operation": "getOrder",
            "arguments": {"order_id": "$ref/object_id"},
            "key": "/reference",
            "version": "/version",
            "account": "/customer_id",
        },
    },
}
IDEMPOTENT: dict[str, Any] = {**TOOL, "write": "IDEMPOTENT", "headers": {"Idempotency-Key": "$key"}}


def api(base_url: str, document: Any, tool: dict[str, Any] = TOOL, **changes: Any) -> dict[str, Any]:
    """The connector's table, as it would be in enactor.toml."""
    server = {
        "tenant": TENANT,
        "accounts": {NORTH: "C-17", SOUTH: "C-18"},
        "base_url": base_url,
        "access": {"api_key": {"header": "X-API-Key", "value": "env:ORDERS_KEY"}},
        **changes.pop("server", {}),
    }
    one = {"name": "orders", "document": document, "servers": [server], "tools": {"create_order": tool}, **changes}
    return {"apis": [one]}


def connector_of(clock: ManualClock, settings: dict[str, Any]) -> OpenApiConnector:
    """The one API of a table as a connector."""
    (made,) = OpenApiConnector.configured_many(context_of(clock, settings, ENVIRONMENT))
    assert isinstance(made, OpenApiConnector)
    return made


class Rig(ConnectorRig):
    """Orders things for tenant acme; its accounts north and south are two customers."""

    def __init__(
        self, orders: Orders, proxy: Proxy, clock: ManualClock, tool: dict[str, Any] = TOOL, **api_changes: Any
    ):
        self.orders, self.proxy = orders, proxy
        settings = api(proxy.origin, orders.document, tool, verifies_account=True, **api_changes)
        super().__init__(connector_of(clock, settings), clock)
