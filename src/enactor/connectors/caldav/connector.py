"""The tools of the calendar connector (specification, section 6)."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import ClassVar, Final

from enactor.connectors.accounts import AccountTargets
from enactor.connectors.caldav import doctoring
from enactor.connectors.caldav.arguments import DraftEvent
from enactor.connectors.caldav.calendar import CalendarObject, RemoteCalendar, changed_since
from enactor.connectors.caldav.events import uid_of, written
from enactor.connectors.caldav.settings import CaldavSettings, CalendarSettings
from enactor.connectors.context import Check, ConnectorContext
from enactor.connectors.http_target import HttpTarget
from enactor.connectors.sdk import (
    Absent,
    CannotTell,
    Connector,
    Found,
    LookUpAnswer,
    Refused,
    ToolCall,
    ToolResult,
    UndoArguments,
    tool,
)
from enactor.domain.action_type import RiskClass, WriteMode, WriteSemantics
from enactor.domain.canonical import digest
from enactor.domain.errors import ConfigurationError, ErrorClass
from enactor.domain.outcome import ObjectRef

SYSTEM: Final = "caldav"
_KIND: Final = "enactor/caldav/v1"
LONGEST_REQUEST_SECONDS: Final = 600
"""No server works on one small request for longer; what is not there then will not come any more."""

SEMANTICS: Final = WriteSemantics(
    mode=WriteMode.LOOKUP, has_lookup=True, absence_final_after_seconds=LONGEST_REQUEST_SECONDS
)


class CalendarConnector(Connector):
    """Tentative events in calendars that speak CalDAV.

    Args:
        settings: the calendars.
        context: the server's side.
    """

    name: ClassVar[str] = "calendar"

    def __init__(self, settings: CaldavSettings, context: ConnectorContext) -> None:
        self.configuration_version = digest([_KIND, settings.model_dump(mode="json")])[:32]
        self._clock = context.clock
        self._calendars = AccountTargets(_KIND, settings.calendars, lambda one: _calendar(one, context))

    @classmethod
    def configured(cls, context: ConnectorContext) -> CalendarConnector:
        if importlib.util.find_spec("icalendar") is None:
            raise ConfigurationError("The connector caldav needs icalendar: pip install 'enactor[caldav]'.")
        if not context.settings:
            raise ConfigurationError("The connector caldav needs [[connector_settings.caldav.calendars]].")
        return cls(CaldavSettings.of(context.settings), context)

    def version_for(self, tenant_id: str, account_id: str) -> str:
        return self._calendars.version(tenant_id, account_id)

    async def doctor(self) -> Sequence[Check]:
        return [check for one in self._calendars.each for check in await doctoring.examine(one)]

    async def aclose(self) -> None:
        for one in self._calendars.each:
            await one.close()

    @tool(
        write=SEMANTICS,
        risk=RiskClass.LOW,
        undo="delete_draft",
        lookup="find_draft",
        action_type="DRAFT_CALENDAR_EVENT",
        summary="Draft the calendar event “{title}”, {start} to {end}, without inviting anybody",
    )
    async def draft_event(self, args: DraftEvent, call: ToolCall) -> ToolResult:
        """Puts a tentative event into the account's calendar. Nobody is invited."""
        calendar = self._calendar(call)
        uid = uid_of(call.tenant_id, call.account_id, call.idempotency_key)
        try:
            content = written(args, uid, self._clock.now_ms())
        except ValueError as error:
            # The rules of a time zone can change between approval and execution.
            raise Refused(
                "INVALID_TIME", f"The event has no time: {error}.", error_class=ErrorClass.VALIDATION
            ) from None
        return ToolResult(refs=(_ref(await calendar.create(uid, content, call)),))

    async def find_draft(self, args: DraftEvent, call: ToolCall) -> LookUpAnswer:
        """The event that carries the UID of the call's key."""
        try:
            found = await self._calendar(call).find(uid_of(call.tenant_id, call.account_id, call.idempotency_key))
        except Refused as refused:
            return CannotTell(message=f"{refused.code}: {refused.message}")
        return Absent() if found is None else Found(refs=(_ref(found),))

    @tool(write=SEMANTICS, risk=RiskClass.LOW, proposable=False, lookup="find_deleted")
    async def delete_draft(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Deletes a drafted event, if it carries the UID of our key and nobody changed it. Gone already is fine."""
        calendar = self._calendar(call)
        original = _original(args, call)
        async with calendar.target.before_sending(call):
            there = await calendar.find(original.object_id)
        if there is None:
            return ToolResult(refs=(original,), message="It was gone already.")
        if original.version is None or there.etag != original.version:
            raise changed_since()
        deleted = await calendar.delete(there, call)
        return ToolResult(refs=(original,), message="" if deleted else "It was gone already.")

    async def find_deleted(self, args: UndoArguments, call: ToolCall) -> LookUpAnswer:
        """Whether the event that the original key made is gone."""
        try:
            original = _original(args, call)
            there = await self._calendar(call).find(original.object_id)
        except Refused as refused:
            return CannotTell(message=f"{refused.code}: {refused.message}")
        return Found(refs=(original,)) if there is None else Absent()

    def _calendar(self, call: ToolCall) -> RemoteCalendar:
        """The calendar that takes a call's events. Raises `Refused` when none does."""
        calendar = self._calendars.find(call.tenant_id, call.account_id)
        if calendar is None:
            raise Refused(
                "ACCOUNT_NOT_MAPPED",
                "The account has no calendar; name it under connector_settings.caldav.",
                error_class=ErrorClass.VALIDATION,
            )
        return calendar


def _calendar(settings: CalendarSettings, context: ConnectorContext) -> RemoteCalendar:
    what = f"The calendar of tenant {settings.tenant}"
    target = HttpTarget.reached_by(what, settings.url, settings.access, settings.networks, context)
    return RemoteCalendar(settings, target, context.clock)


def _ref(there: CalendarObject) -> ObjectRef:
    return ObjectRef(system=SYSTEM, object_type="event", object_id=there.uid, object_url=there.url, version=there.etag)


def _original(args: UndoArguments, call: ToolCall) -> ObjectRef:
    """The one event that is to be taken back. Raises `Refused` unless the original key made it for the account."""
    try:
        (ref,) = (ref for ref in args.refs if ref.get("system") == SYSTEM)
        uid, url, version = str(ref["object_id"]), ref.get("object_url"), ref.get("version")
    except (ValueError, KeyError):
        raise Refused(
            "NOTHING_TO_UNDO", "The original names no single event.", error_class=ErrorClass.VALIDATION
        ) from None
    if uid != uid_of(call.tenant_id, call.account_id, args.original_key):
        raise Refused(
            "ACCOUNT_MISMATCH", "The event is not what that key made for the account.", error_class=ErrorClass.AUTH
        )
    return ObjectRef(
        system=SYSTEM,
        object_type="event",
        object_id=uid,
        object_url=url if isinstance(url, str) else None,
        version=version if isinstance(version, str) else None,
    )
