"""Creating tasks and opportunities, finding what our key created, and taking it back.

The key is in a unique external-id field: Salesforce refuses a second record with it (`DUPLICATE_VALUE`), and finds the
first one by it.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Final

import orjson

from enactor.connectors.http_call import Answer, Unclear
from enactor.connectors.salesforce.arguments import CreateOpportunity, CreateTask
from enactor.connectors.salesforce.records import (
    OPPORTUNITY,
    STAMPS,
    TASK,
    VERSION_FIELDS,
    Record,
    record_id,
    type_of,
    version_of,
)
from enactor.connectors.salesforce.replies import DUPLICATE, errors_of, only
from enactor.connectors.salesforce.site import Site, cannot_tell_when_refused, original_ref
from enactor.connectors.sdk import (
    Absent,
    CannotTell,
    ChangedSince,
    Found,
    LookUpAnswer,
    Refused,
    ToolCall,
    ToolResult,
    UndoArguments,
)
from enactor.domain.errors import ErrorClass
from enactor.domain.outcome import ObjectRef

_KEY: Final = re.compile(r"[0-9a-f]{64}")
_DUPLICATED: Final = re.compile(r"duplicate value found: (?P<field>[A-Za-z]\w*) duplicates")
_RELATED: Final = frozenset({"Account", OPPORTUNITY, "Case", "Contract", "Order", "Asset"})
"""What a task can be about and whose Account is known."""


async def create_task(site: Site, args: CreateTask, call: ToolCall) -> ToolResult:
    """Creates a task about a record of the Account."""
    _check_date(args.due_date, "due date")
    about = site.account
    async with site.organization.target.before_sending(call):
        if args.related_to_id is not None:
            about = await _of_account(site, args.related_to_id, _RELATED)
        contact = await _of_account(site, args.contact_id, {"Contact"}) if args.contact_id is not None else None
    fields = {
        "Subject": args.subject,
        "Description": args.description,
        "ActivityDate": args.due_date,
        "Priority": args.priority,
        "Status": args.status,
        "WhatId": about,
        "WhoId": contact,
        "OwnerId": args.owner_id,
    }
    return await _create(site, TASK, fields, call)


async def create_opportunity(site: Site, args: CreateOpportunity, call: ToolCall) -> ToolResult:
    """Creates an opportunity of the Account."""
    _check_date(args.close_date, "close date")
    fields = {
        "Name": args.name,
        "StageName": args.stage,
        "CloseDate": args.close_date,
        "Amount": args.amount,
        "Description": args.description,
        "NextStep": args.next_step,
        "AccountId": site.account,
        "OwnerId": args.owner_id,
    }
    return await _create(site, OPPORTUNITY, fields, call)


@cannot_tell_when_refused
async def find(site: Site, object_type: str, key: str) -> LookUpAnswer:
    """What our key created. A record in the recycle bin was created too; only where there is none was it not."""
    record = await site.organization.by_key(object_type, key)
    if record is not None:
        return Found(refs=(_ref(site, object_type, record),))
    # The external-id resource answers 404 also for a field that is not there, and for a record that was deleted since.
    rows = await _rows(site, object_type, key)
    if len(rows) > 1:
        return CannotTell(message="More than one record carries the key.")
    return Found(refs=(_ref(site, object_type, rows[0]),)) if rows else Absent()


async def delete_created(site: Site, args: UndoArguments, call: ToolCall) -> ToolResult:
    """Deletes a created record, if it carries our key and is as it was left."""
    object_type, identity, version = original_ref(args.refs, tuple(VERSION_FIELDS))
    ref = site.ref(object_type, identity, version)
    fields = VERSION_FIELDS[object_type]
    async with site.organization.target.before_sending(call):
        key_field = str(site.organization.key_field(object_type))
        record = await site.organization.record(object_type, identity, (key_field, *fields))
        if record is None:
            return await _gone(site, object_type, args.original_key, ref)
    if record.get(key_field) != args.original_key:
        raise Refused("NOT_OURS", f"The {object_type} does not carry our key.", error_class=ErrorClass.AUTH)
    if record.get(site.organization.account_field(object_type)) is not None:
        site.check_account(object_type, record)
    if version is None or version_of(record, fields) != version:
        raise ChangedSince(f"The {object_type} is not as it was left; take it back by hand.")
    answer = await site.organization.write("DELETE", f"sobjects/{object_type}/{identity}", None, call)
    if answer.status == 204:
        return ToolResult(refs=(ref,))
    if only(answer, "ENTITY_IS_DELETED"):
        return ToolResult(refs=(ref,), message="It was gone already.")
    raise site.organization.refusal(answer)


@cannot_tell_when_refused
async def find_deleted(site: Site, args: UndoArguments) -> LookUpAnswer:
    """Whether what the original key created is in the recycle bin, or still there."""
    object_type, identity, version = original_ref(args.refs, tuple(VERSION_FIELDS))
    for row in await _rows(site, object_type, args.original_key):
        if _id(row) == identity:
            deleted = row.get("IsDeleted") is True
            return Found(refs=(site.ref(object_type, identity, version),)) if deleted else Absent()
    return CannotTell(message="The record is neither there nor in the recycle bin.")


async def _create(site: Site, object_type: str, fields: dict[str, Any], call: ToolCall) -> ToolResult:
    key_field = str(site.organization.key_field(object_type))
    body = {name: value for name, value in fields.items() if value is not None}
    body[key_field] = call.idempotency_key
    answer = await site.organization.write("POST", f"sobjects/{object_type}", body, call)
    if answer.status == 201:
        identity = _created(answer, object_type)
        fields_read = (key_field, *VERSION_FIELDS[object_type])
        readable, record = await site.read_back(object_type, identity, fields_read, call)
        if not readable:
            return ToolResult(refs=(site.ref(object_type, identity, None),))
        if record is None or record.get(key_field) != call.idempotency_key:
            raise Unclear("Salesforce named a record that does not carry our key")
        return ToolResult(refs=(_ref(site, object_type, record),))
    if answer.status == 400 and _duplicates_key(answer, key_field):
        return await _settled(site, object_type, call)
    raise site.organization.refusal(answer)


def _duplicates_key(answer: Answer, key_field: str) -> bool:
    """Whether a record with our key is there already, or may be: Salesforce does not always name the field."""
    errors = errors_of(answer)
    if any(error.code != DUPLICATE for error in errors):
        return False
    named = [_DUPLICATED.search(error.message) for error in errors]
    return any(match is None or match["field"].lower() == key_field.lower() for match in named)


async def _settled(site: Site, object_type: str, call: ToolCall) -> ToolResult:
    """The record that an earlier call with the same key created. If it cannot be seen, nobody knows."""
    try:
        record = await site.organization.by_key(object_type, call.idempotency_key)
    except Refused as refused:
        raise Unclear(f"a record with our key is there, and cannot be read: {refused.code}") from None
    if record is None:
        raise Unclear("a record with our key is said to be there, and cannot be found")
    return ToolResult(refs=(_ref(site, object_type, record),), message="An earlier call had created it.")


async def _gone(site: Site, object_type: str, key: str, ref: ObjectRef) -> ToolResult:
    rows = await _rows(site, object_type, key)
    if any(_id(row) == ref.object_id and row.get("IsDeleted") is True for row in rows):
        return ToolResult(refs=(ref,), message="It was gone already.")
    raise Refused("NOT_FOUND", f"The {object_type} is neither there nor in the recycle bin, or cannot be seen.")


async def _rows(site: Site, object_type: str, key: str) -> list[Record]:
    """Every record with the key, those in the recycle bin too. A field that is not there is refused, not empty."""
    if not _KEY.fullmatch(key):
        raise Refused("INVALID_KEY", "That is not one of our keys.", error_class=ErrorClass.VALIDATION)
    fields = ", ".join(("Id", "IsDeleted", *STAMPS, *VERSION_FIELDS[object_type]))
    field = site.organization.key_field(object_type)
    query = f"SELECT {fields} FROM {object_type} WHERE {field} = '{key}'"  # noqa: S608 - names of settings, and a hash
    return await site.organization.rows(query, deleted_too=True)


async def _of_account(site: Site, text: str, object_types: frozenset[str] | set[str]) -> str:
    """The id of a record of one of these types that belongs to the Account. Raises `Refused`."""
    try:
        identity = record_id(text)
    except ValueError as error:
        raise Refused("MALFORMED_ID", f"{text}: {error}.", error_class=ErrorClass.VALIDATION) from None
    object_type = type_of(identity)
    if object_type not in object_types:
        names = ", ".join(sorted(object_types))
        raise Refused("WRONG_OBJECT", f"The record {identity} is none of: {names}.", error_class=ErrorClass.VALIDATION)
    record = await site.organization.record(str(object_type), identity, ())
    if record is None:
        raise Refused("NOT_FOUND", f"There is no {object_type} {identity}.", error_class=ErrorClass.VALIDATION)
    site.check_account(str(object_type), record)
    return identity


def _created(answer: Answer, object_type: str) -> str:
    """The id in a 201. Raises `Unclear` when it names no record of that type."""
    try:
        document = orjson.loads(answer.body)
        identity = record_id(document.get("id", document.get("Id")), object_type)
    except (ValueError, AttributeError):
        raise Unclear("Salesforce said that it created a record, and not which") from None
    if document.get("success") is not True:
        raise Unclear("Salesforce said that it created a record, and that it did not succeed")
    return identity


def _check_date(text: str | None, what: str) -> None:
    if text is not None:
        try:
            date.fromisoformat(text)
        except ValueError:
            raise Refused(
                "INVALID_DATE", f"The {what} is not a calendar date.", error_class=ErrorClass.VALIDATION
            ) from None


def _id(record: Record) -> str:
    try:
        return record_id(record.get("Id"))
    except ValueError:
        return ""


def _ref(site: Site, object_type: str, record: Record) -> ObjectRef:
    try:
        identity = record_id(record.get("Id"), object_type)
    except ValueError:
        raise Refused("READ_FAILED", "Salesforce answered with something that is no record.") from None
    return site.ref(object_type, identity, version_of(record, VERSION_FIELDS[object_type]))
