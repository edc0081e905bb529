"""The internal connector: notes and tasks kept by Enactor itself. The safe first thing to let an agent do."""

from __future__ import annotations

from datetime import date
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from enactor.connectors.sdk import (
    Absent,
    CannotTell,
    ChangedSince,
    Connector,
    Found,
    Refused,
    ToolCall,
    ToolResult,
    UndoArguments,
    tool,
)
from enactor.domain.action_type import RiskClass, WriteMode, WriteSemantics
from enactor.domain.errors import EnactorError, ErrorClass
from enactor.domain.outcome import ObjectRef
from enactor.domain.time import rfc3339
from enactor.ports.clock import Clock
from enactor.ports.commands import Conflict, ConflictKind, CreateObject, DeleteObject, InternalObject
from enactor.ports.store import Store

SYSTEM: Final = "internal"
_SEMANTICS: Final = WriteSemantics(
    mode=WriteMode.IDEMPOTENT, key_retention_seconds=10 * 365 * 86_400, has_lookup=True, absence_final_after_seconds=1
)


class CreateNote(BaseModel):
    """A note about an account."""

    model_config = ConfigDict(extra="forbid", strict=True)
    title: str = Field(min_length=1, max_length=200, description="One line.")
    body: str = Field(default="", max_length=20_000, description="The note itself, plain text.")


class CreateTask(BaseModel):
    """Something for a person to do."""

    model_config = ConfigDict(extra="forbid", strict=True)
    title: str = Field(min_length=1, max_length=200, description="What is to be done, in one line.")
    description: str = Field(default="", max_length=20_000, description="Whatever helps to do it.")
    assignee: str | None = Field(default=None, max_length=200, description="Who should do it.")
    due_date: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$", description="By when, as YYYY-MM-DD.")


class InternalConnector(Connector):
    """Notes and tasks in the store. Each is made under its idempotency key, which stays with it for ever."""

    name = SYSTEM

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @tool(
        write=_SEMANTICS,
        risk=RiskClass.MINIMAL,
        undo="delete_object",
        lookup="find",
        action_type="CREATE_INTERNAL_NOTE",
        summary="Write the internal note “{title}”",
    )
    async def create_note(self, args: CreateNote, call: ToolCall) -> ToolResult:
        """Writes an internal note about the account."""
        return await self._create("note", {"title": args.title, "body": args.body}, call)

    @tool(
        write=_SEMANTICS,
        risk=RiskClass.LOW,
        undo="delete_object",
        lookup="find",
        action_type="CREATE_INTERNAL_TASK",
        summary="Create the internal task “{title}” for {assignee}, due {due_date}",
    )
    async def create_task(self, args: CreateTask, call: ToolCall) -> ToolResult:
        """Creates an internal task for a person."""
        if args.due_date is not None:
            try:
                date.fromisoformat(args.due_date)
            except ValueError as error:
                raise Refused(
                    "INVALID_DUE_DATE", "The due date is not a calendar date.", error_class=ErrorClass.VALIDATION
                ) from error
        return await self._create("task", args.model_dump(), call)

    @tool(write=_SEMANTICS, risk=RiskClass.LOW, proposable=False, lookup="find_deleted")
    async def delete_object(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Takes a note or task back. Deleting what is gone changes nothing; what somebody changed since is refused."""
        made = await self._store.object_by_key(call.tenant_id, args.original_key)
        if made is None:
            return ToolResult(message="It was gone already.")
        if made.account_id != call.account_id:
            raise Refused("ACCOUNT_MISMATCH", "The object belongs to another account.", error_class=ErrorClass.AUTH)
        version = next((ref.get("version") for ref in args.refs if ref.get("object_id") == made.object_id), None)
        if version is not None and version != str(made.version):
            raise ChangedSince("Somebody changed the object since; take it back by hand.")
        call.ensure_timely()
        delete = DeleteObject(tenant_id=call.tenant_id, object_id=made.object_id, expected_version=made.version)
        try:
            await self._store.commit([delete])
        except Conflict as conflict:
            if conflict.kind is not ConflictKind.NOT_FOUND:
                raise ChangedSince("Somebody changed the object since; take it back by hand.") from conflict
        return ToolResult(refs=(_ref(made),))

    async def find(self, args: BaseModel, call: ToolCall) -> Found | Absent | CannotTell:
        """What the call's key made."""
        try:
            made = await self._store.object_by_key(call.tenant_id, call.idempotency_key)
        except EnactorError as error:
            return CannotTell(message=error.message)
        return Absent() if made is None else Found(refs=(_ref(made),))

    async def find_deleted(self, args: UndoArguments, call: ToolCall) -> Found | Absent | CannotTell:
        """Whether what the original key made is gone."""
        made = await self._store.object_by_key(call.tenant_id, args.original_key)
        return Found(refs=()) if made is None else Absent()

    async def _create(self, object_type: str, body: dict[str, object], call: ToolCall) -> ToolResult:
        made = InternalObject(
            object_id=f"{object_type}_{call.idempotency_key[:24]}",
            tenant_id=call.tenant_id,
            account_id=call.account_id,
            object_type=object_type,
            creation_key=call.idempotency_key,
            version=1,
            created_at=rfc3339(self._clock.now_ms()),
            body={name: value for name, value in body.items() if value is not None},
        )
        call.ensure_timely()
        try:
            await self._store.commit([CreateObject(object=made)])
        except Conflict as conflict:
            if not isinstance(conflict.current, InternalObject):
                raise
            made = conflict.current
            if made.account_id != call.account_id or made.object_type != object_type:
                raise Refused(
                    "KEY_USED_ELSEWHERE", "The key made another object.", error_class=ErrorClass.VALIDATION
                ) from conflict
        return ToolResult(refs=(_ref(made),))


def _ref(made: InternalObject) -> ObjectRef:
    return ObjectRef(
        system=SYSTEM,
        object_type=made.object_type,
        object_id=made.object_id,
        object_url=f"/v1/objects/{made.object_id}",
        version=str(made.version),
    )
