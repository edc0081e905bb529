"""The world as a connector of Enactor's: one tool for each kind of promise, through the product's own HTTP door."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import httpx
import msgspec
from pydantic import BaseModel

from enactor import (
    Absent,
    CannotTell,
    Connector,
    Found,
    ObjectRef,
    PreviewResult,
    Refused,
    RiskClass,
    ToolCall,
    ToolResult,
    UndoArguments,
    tool,
)
from enactor.connectors.http_call import Answer, Unclear, send_once
from enactor.connectors.sdk import ToolSpec
from enactor.domain.action_type import WriteMode, WriteSemantics
from enactor.domain.errors import ErrorClass
from killpoints.kinds import ABSENCE_FINAL_AFTER_SECONDS, KEY_RETENTION_SECONDS
from killpoints.oracle import BLIND, BROKEN

_KEYED = WriteSemantics(mode=WriteMode.IDEMPOTENT)
_BRIEFLY = WriteSemantics(mode=WriteMode.IDEMPOTENT, key_retention_seconds=KEY_RETENTION_SECONDS)
_SEARCHED = WriteSemantics(mode=WriteMode.LOOKUP, absence_final_after_seconds=ABSENCE_FINAL_AFTER_SECONDS)
_UNSAFE = WriteSemantics(mode=WriteMode.UNSAFE)


class Order(BaseModel):
    """What is ordered."""

    order: str


class Shop(Connector):
    """The world as a connector: one tool for each kind of promise."""

    name = "shop"

    def __init__(self, world: str, folder: Path, kinds: Collection[str] = ()) -> None:
        self._kinds = kinds
        self._blind, self._broken = folder / BLIND, folder / BROKEN
        self.last_sent: dict[str, float] = {}
        self.last_absent: dict[str, float] = {}
        """When an order was last sent, and when a look-up began that did not find it; on the monotonic clock."""
        # The world speaks plain HTTP: there is nothing to verify, and loading certificates takes a tenth of a second.
        nothing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(base_url=world, timeout=30, limits=limits, verify=nothing, trust_env=False)

    def tools(self) -> dict[str, tuple[ToolSpec, Callable[..., Awaitable[ToolResult]]]]:
        """Those of the kinds that there are orders of; all, unless they were named. Starting is quicker with few."""
        offered = super().tools()
        needed = {*self._kinds, *(offered[kind][0].undo for kind in self._kinds)} or offered
        return {name: each for name, each in offered.items() if name in needed}

    @tool(write=_KEYED, risk=RiskClass.LOW)
    async def keyed(self, args: Order, call: ToolCall) -> ToolResult:
        """The world honours our key for a day."""
        return await self._make(args, call)

    @tool(write=_BRIEFLY, risk=RiskClass.LOW)
    async def briefly(self, args: Order, call: ToolCall) -> ToolResult:
        """The world honours our key for some seconds."""
        return await self._make(args, call)

    @tool(
        write=msgspec.structs.replace(_BRIEFLY, absence_final_after_seconds=ABSENCE_FINAL_AFTER_SECONDS),
        risk=RiskClass.LOW,
        lookup="find",
    )
    async def briefly_searched(self, args: Order, call: ToolCall) -> ToolResult:
        """The world honours our key for some seconds, and can be searched by it."""
        return await self._make(args, call)

    @tool(
        write=_SEARCHED,
        risk=RiskClass.LOW,
        lookup="find",
    )
    async def searched(self, args: Order, call: ToolCall) -> ToolResult:
        """The world can be searched by our key, and an absence is final after a while."""
        return await self._make(args, call)

    @tool(write=WriteMode.LOOKUP, risk=RiskClass.LOW, lookup="find")
    async def never_final(self, args: Order, call: ToolCall) -> ToolResult:
        """The world can be searched by our key, and an absence is never final."""
        return await self._make(args, call)

    @tool(write=_UNSAFE, risk=RiskClass.LOW)
    async def unsafe(self, args: Order, call: ToolCall) -> ToolResult:
        """The world promises nothing."""
        return await self._make(args, call)

    @tool(write=msgspec.structs.replace(_KEYED, failure_burns_key=True), risk=RiskClass.LOW)
    async def burning(self, args: Order, call: ToolCall) -> ToolResult:
        """The world honours our key, and burns it with a refusal."""
        return await self._make(args, call)

    @tool(write=_KEYED, risk=RiskClass.LOW, undo="take_back")
    async def partial(self, args: Order, call: ToolCall) -> ToolResult:
        """The world may do half of it; it can be taken back by a call that honours our key."""
        return await self._make(args, call)

    @tool(write=_KEYED, risk=RiskClass.LOW, undo="take_back_unsafely")
    async def partial_unsafe(self, args: Order, call: ToolCall) -> ToolResult:
        """The world may do half of it; it can be taken back by a call of which nothing is promised."""
        return await self._make(args, call)

    @tool(write=_SEARCHED, risk=RiskClass.LOW, lookup="find", undo="take_back")
    async def reversible(self, args: Order, call: ToolCall) -> ToolResult:
        """It can be found by our key, and a person can have it taken back by a call that honours a key of its own."""
        return await self._make(args, call)

    @tool(write=_SEARCHED, risk=RiskClass.LOW, lookup="find", undo="take_back_unsafely")
    async def reversible_unsafe(self, args: Order, call: ToolCall) -> ToolResult:
        """It can be found by our key, and be taken back by a call of which nothing is promised."""
        return await self._make(args, call)

    @tool(write=_KEYED, risk=RiskClass.LOW, preview="read")
    async def previewed(self, args: Order, call: ToolCall) -> ToolResult:
        """What would change is read before it is approved, and again before the call; the world honours our key."""
        return await self._make(args, call)

    @tool(write=_KEYED, proposable=False)
    async def take_back(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Takes an effect back; the world honours our key."""
        return await self._undo(args, call)

    @tool(write=_UNSAFE, proposable=False)
    async def take_back_unsafely(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Takes an effect back; the world promises nothing."""
        return await self._undo(args, call)

    async def find(self, args: Order, call: ToolCall) -> Found | Absent | CannotTell:
        """What our key has made."""
        began = time.monotonic()
        try:
            response = await self._client.get("/effects", params={"order": args.order, "key": call.idempotency_key})
        except BaseException:
            # A look-up that broke off leaves a doubt that the promise alone does not explain: the oracle is told.
            with self._blind.open("a") as blind:
                blind.write(f"{args.order}\n")
            raise
        if response.status_code != httpx.codes.OK:
            return CannotTell(message="The world cannot be searched.")
        found = response.json()
        if not found:
            self.last_absent[args.order] = began
            return Absent()
        return Found(refs=tuple(_ref(each["id"]) for each in found))

    async def read(self, args: Order, call: ToolCall) -> PreviewResult:
        """What the order would change."""
        found = (await self._client.get(f"/targets/{args.order}")).raise_for_status().json()
        effects = found["effects"]
        return PreviewResult(before={"effects": effects}, after={"effects": effects + 1}, version_tag=found["version"])

    async def aclose(self) -> None:
        """Lets go of connections."""
        await self._client.aclose()

    async def _make(self, args: Order, call: ToolCall) -> ToolResult:
        answer = await self._send("/effects", {"order": args.order}, call, args.order)
        made = _ref(json.loads(answer.body)["id"])
        if answer.status == httpx.codes.MULTI_STATUS:
            return ToolResult(refs=(made,), partial=True, message="Half of it.")
        return ToolResult(refs=(made,))

    async def _undo(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        for ref in args.refs:
            await self._send(f"/effects/{ref['object_id']}/undo", {}, call, args.original_arguments["order"])
        return ToolResult()

    async def _send(self, path: str, body: dict[str, Any], call: ToolCall, order: str) -> Answer:
        name = os.urandom(8).hex()
        content = _Body(body)
        headers = {
            "Idempotency-Key": call.idempotency_key,
            "Call-Name": name,
            "Content-Type": "application/json",
            "Content-Length": str(content.length),
        }
        request = self._client.build_request("POST", path, content=content.stream(), headers=headers)
        untimely = False

        def before_send() -> None:
            nonlocal untimely
            untimely = True
            call.ensure_timely()
            untimely = False
            self.last_sent[order] = time.monotonic()

        try:
            answer = await send_once(self._client, request, before_send)
        except BaseException:
            # Unless the world broke it off, the oracle takes it as a fact of the machine. What our
            # own check has kept back is none.
            if not untimely:
                with self._broken.open("a") as broken:
                    broken.write(f"{order} {name}\n")
            raise
        if answer.status in (httpx.codes.OK, httpx.codes.CREATED, httpx.codes.MULTI_STATUS):
            return answer
        # What the world documents as effect-free; everything else it may have done.
        if answer.status == httpx.codes.TOO_MANY_REQUESTS:
            raise Refused("BUSY", "The world is busy.", retryable=True, error_class=ErrorClass.RATE_LIMIT)
        if answer.status == httpx.codes.UNPROCESSABLE_ENTITY:
            raise Refused("NO_STOCK", "There is none left.", error_class=ErrorClass.VALIDATION)
        if answer.status == httpx.codes.UNAUTHORIZED:
            raise Refused("REVOKED", "The credential was revoked.", error_class=ErrorClass.AUTH)
        raise Unclear(f"the world answered {answer.status}")


def _ref(object_id: str) -> ObjectRef:
    return ObjectRef(system="world", object_type="effect", object_id=object_id)


class _Body:
    """A body that says when it was sent, as it leaves: after the last check, and after whatever pause was there."""

    _AT = "{:020.6f}"

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body
        self.length = len(self._encoded())

    def _encoded(self) -> bytes:
        # A string of a fixed length, because the length is announced before.
        return json.dumps({**self._body, "sent_at": self._AT.format(time.monotonic())}).encode()

    async def stream(self) -> AsyncIterator[bytes]:
        """The body, once."""
        yield self._encoded()
