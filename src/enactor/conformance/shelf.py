"""A target whose objects have versions: what previews and undos are tried against.

`shelf.put` makes an object that carries our key, `shelf.relabel` changes one, and each can be taken back. A test plays
everybody else: it changes and removes objects, has answers lost, and closes the target for reading.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct
from pydantic import BaseModel, ConfigDict

from enactor.connectors.sdk import (
    Absent,
    CannotTell,
    ChangedSince,
    Connector,
    Found,
    LookUpAnswer,
    PreviewResult,
    Refused,
    ToolCall,
    ToolResult,
    UndoArguments,
    tool,
)
from enactor.domain.action_type import RiskClass, TargetRule, WriteMode, WriteSemantics
from enactor.domain.errors import ErrorClass
from enactor.domain.intent import Guard
from enactor.domain.outcome import ObjectRef

_KEYED = WriteSemantics(mode=WriteMode.IDEMPOTENT, key_retention_seconds=3_600, has_lookup=True)
_SEARCHED = WriteSemantics(mode=WriteMode.LOOKUP, has_lookup=True, absence_final_after_seconds=30)


class Put(BaseModel):
    """Something to put on the shelf."""

    model_config = ConfigDict(extra="forbid")
    label: str


class Relabel(BaseModel):
    """A new label for what is on the shelf."""

    model_config = ConfigDict(extra="forbid")
    object_id: str
    label: str


class Item(Struct, kw_only=True):
    """What is on the shelf: whose key put it there, which key changed it last, and how often it was changed."""

    label: str
    key: str
    changed_by: str
    version: int = 1


class Shelf(Connector):
    """The shelf.

    Attributes:
        items: what is on it, by id.
        calls: the tools that were called, in order.
        reads: how often it was read for a preview.
        unreadable: what the next readings raise.
        partly: how many of the next writes are said to be done in part.
        lost: how many of the next writes happen and lose their reply.
        dark: the look-ups that cannot tell.
        seen_versions: the version each call was told to expect.
    """

    name = "shelf"

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.calls: list[str] = []
        self.reads = 0
        self.unreadable: deque[Exception] = deque()
        self.refused: deque[Refused] = deque()
        self.lost = 0
        self.partly = 0
        self.dark: set[str] = set()
        self.seen_versions: list[str | None] = []
        self.versions: dict[tuple[str, str], str] = {}

    def version_for(self, tenant_id: str, account_id: str) -> str:
        """Each account has settings of its own."""
        return self.versions.get((tenant_id, account_id), "1")

    def touch(self, object_id: str, label: str = "somebody's") -> None:
        """Somebody else changes an object."""
        item = self.items[object_id]
        item.label, item.changed_by, item.version = label, "", item.version + 1

    @tool(write=_KEYED, risk=RiskClass.LOW, undo="take_off", lookup="find", summary="Put {label} there")
    async def put(self, args: Put, call: ToolCall) -> ToolResult:
        """Puts something on the shelf."""
        self._called("put", call)
        known = next((name for name, item in self.items.items() if item.key == call.idempotency_key), None)
        name = known or f"item-{len(self.items) + 1}"
        if known is None:
            self.items[name] = Item(label=args.label, key=call.idempotency_key, changed_by=call.idempotency_key)
        return self._answer(name)

    @tool(
        write=_SEARCHED,
        risk=RiskClass.MEDIUM,
        undo="label_back",
        lookup="find_label",
        preview="labels",
        guard=Guard.ATOMIC,
        summary="Label {object_id} {label}",
        target=TargetRule(entity_type="item", argument="object_id"),
    )
    async def relabel(self, args: Relabel, call: ToolCall) -> ToolResult:
        """Labels something on the shelf anew."""
        self._called("relabel", call)
        item = self._item(args.object_id)
        if call.expected_version is not None and call.expected_version != str(item.version):
            raise Refused("VERSION_CHANGED", "It was changed.")
        self._write(item, args.label, call)
        return self._answer(args.object_id)

    @tool(write=_KEYED, risk=RiskClass.LOW, manual_undo="Sweep it up.")
    async def spill(self, args: Put, call: ToolCall) -> ToolResult:
        """Cannot be taken back by Enactor."""
        return self._answer(f"spill-{args.label}")

    @tool(write=_KEYED, risk=RiskClass.LOW)
    async def burn(self, args: Put, call: ToolCall) -> ToolResult:
        """Cannot be taken back at all."""
        return self._answer(f"ash-{args.label}")

    async def labels(self, args: Relabel, call: ToolCall) -> PreviewResult:
        """The label before and after."""
        self.reads += 1
        if self.unreadable:
            raise self.unreadable.popleft()
        item = self._item(args.object_id)
        return PreviewResult(before={"label": item.label}, after={"label": args.label}, version_tag=str(item.version))

    async def find(self, args: Put, call: ToolCall) -> LookUpAnswer:
        """What our key put there."""
        if "find" in self.dark:
            return CannotTell(message="The shelf is in the dark.")
        found = [name for name, item in self.items.items() if item.key == call.idempotency_key]
        return Found(refs=(self._ref(found[0]),)) if found else Absent()

    async def find_label(self, args: Relabel, call: ToolCall) -> LookUpAnswer:
        """Whether our key labelled it last, or not at all."""
        item = self.items.get(args.object_id)
        if "find_label" in self.dark or item is None:
            return CannotTell(message="The shelf is in the dark.")
        if item.changed_by == call.idempotency_key:
            return Found(refs=(self._ref(args.object_id),))
        return Absent() if str(item.version) == call.expected_version else CannotTell(message="Somebody changed it.")

    @tool(write=_SEARCHED, risk=RiskClass.LOW, proposable=False, lookup="find_taken_off")
    async def take_off(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Takes off what our key put there."""
        self._called("take_off", call)
        name = args.refs[0]["object_id"]
        item = self.items.get(name)
        if item is None:
            return ToolResult(message="It was gone already.")
        if item.key != args.original_key or str(item.version) != args.refs[0]["version"]:
            raise ChangedSince("It is not as it was left.")
        del self.items[name]
        return self._answer(name)

    @tool(write=_SEARCHED, risk=RiskClass.HIGH, proposable=False, lookup="find_labelled_back")
    async def label_back(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Gives it its earlier label back."""
        self._called("label_back", call)
        item = self._item(args.original_arguments["object_id"])
        if str(item.version) != args.refs[0]["version"] or item.changed_by != args.original_key:
            raise ChangedSince("It is not as it was left.")
        self._write(item, args.before["label"], call)
        return self._answer(args.original_arguments["object_id"])

    async def find_taken_off(self, args: UndoArguments, call: ToolCall) -> LookUpAnswer:
        """Whether it is gone."""
        if "find_taken_off" in self.dark:
            return CannotTell(message="The shelf is in the dark.")
        return Absent() if args.refs[0]["object_id"] in self.items else Found(refs=())

    async def find_labelled_back(self, args: UndoArguments, call: ToolCall) -> LookUpAnswer:
        """Whether our key labelled it last."""
        item = self.items[args.original_arguments["object_id"]]
        return Found(refs=()) if item.changed_by == call.idempotency_key else Absent()

    def _called(self, name: str, call: ToolCall) -> None:
        call.ensure_timely()
        self.calls.append(name)
        self.seen_versions.append(call.expected_version)
        if self.refused:
            raise self.refused.popleft()

    def _item(self, object_id: str) -> Item:
        item = self.items.get(object_id)
        if item is None:
            raise Refused("NOT_FOUND", f"There is no {object_id}.", error_class=ErrorClass.VALIDATION)
        return item

    def _write(self, item: Item, label: str, call: ToolCall) -> None:
        item.label, item.changed_by, item.version = label, call.idempotency_key, item.version + 1

    def _answer(self, object_id: str) -> ToolResult:
        if self.lost:
            self.lost -= 1
            raise ConnectionResetError("the reply was lost")
        partial, self.partly = self.partly > 0, max(0, self.partly - 1)
        return ToolResult(refs=(self._ref(object_id),), partial=partial)

    def _ref(self, object_id: str) -> ObjectRef:
        item = self.items.get(object_id)
        version = None if item is None else str(item.version)
        return ObjectRef(system="shelf", object_type="item", object_id=object_id, version=version)
