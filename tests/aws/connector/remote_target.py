"""A connector whose target is a server elsewhere, which decides what happens to each call. Functions install it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any

from pydantic import BaseModel, ConfigDict

from enactor.connectors.context import ConnectorContext
from enactor.connectors.sdk import Absent, Connector, Found, Refused, ToolCall, ToolResult, UndoArguments, tool
from enactor.domain.action_type import RiskClass, WriteMode, WriteSemantics
from enactor.domain.outcome import ObjectRef

KEYED = WriteSemantics(mode=WriteMode.IDEMPOTENT, key_retention_seconds=3_600)
SEARCHED = WriteSemantics(mode=WriteMode.LOOKUP, absence_final_after_seconds=1, has_lookup=True)
UNSAFE = WriteSemantics(mode=WriteMode.UNSAFE)


class Order(BaseModel):
    """What is ordered; `item` names the scenario."""

    model_config = ConfigDict(extra="forbid")
    item: str


class RemoteTarget(Connector):
    """One tool for each promise."""

    name = "target"

    def __init__(self, url: str) -> None:
        self._url = url

    @classmethod
    def configured(cls, context: ConnectorContext) -> RemoteTarget:
        """The settings name the server."""
        return cls(str(context.settings["url"]))

    @tool(write=KEYED, risk=RiskClass.LOW)
    async def keyed(self, args: Order, call: ToolCall) -> ToolResult:
        """Honours our key."""
        return await self._order("keyed", args, call)

    @tool(write=SEARCHED, risk=RiskClass.LOW, lookup="find")
    async def searched(self, args: Order, call: ToolCall) -> ToolResult:
        """Can be searched by our key."""
        return await self._order("searched", args, call)

    @tool(write=UNSAFE, risk=RiskClass.LOW)
    async def unsafe(self, args: Order, call: ToolCall) -> ToolResult:
        """Promises nothing."""
        return await self._order("unsafe", args, call)

    @tool(write=KEYED, risk=RiskClass.LOW, undo="take_back")
    async def partial(self, args: Order, call: ToolCall) -> ToolResult:
        """Can be taken back."""
        return await self._order("partial", args, call)

    @tool(write=KEYED, proposable=False)
    async def take_back(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Takes back."""
        call.ensure_timely()
        refs = [ref["object_id"] for ref in args.refs]
        answer = await self._ask({"op": "take_back", "refs": refs, "key": call.idempotency_key})
        return ToolResult(refs=(_ref(answer["made"]),))

    async def find(self, args: Order, call: ToolCall) -> Found | Absent:
        """What our key made."""
        answer = await self._ask({"op": "find", "item": args.item, "key": call.idempotency_key})
        return Found(refs=(_ref(answer["made"]),)) if answer["made"] else Absent()

    async def _order(self, kind: str, args: Order, call: ToolCall) -> ToolResult:
        call.ensure_timely()
        answer = await self._ask({"op": "order", "kind": kind, "item": args.item, "key": call.idempotency_key})
        if answer["result"] == "refused":
            raise Refused(answer["code"], "The target refuses.", retryable=answer["retryable"])
        if answer["result"] == "lost":
            raise ConnectionResetError("the reply was lost")
        return ToolResult(refs=(_ref(answer["made"]),), partial=answer["result"] == "partial")

    async def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        return await asyncio.to_thread(self._post, body)

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        content = json.dumps(body).encode()
        request = urllib.request.Request(self._url, content)  # noqa: S310 - a server of this test on loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - a server of this test on loopback
            found: dict[str, Any] = json.loads(answer.read())
            return found


def _ref(object_id: str) -> ObjectRef:
    return ObjectRef(system="target", object_type="order", object_id=object_id, version="1")
