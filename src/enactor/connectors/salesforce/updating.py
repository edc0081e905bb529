"""Changing one field of a record that is there, finding out whether we did, and changing it back.

An update leaves no key of ours on the record, so what a look-up can establish is limited; `find` says how far it goes.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from enactor.connectors.salesforce.arguments import UpdateField
from enactor.connectors.salesforce.records import Record, record_id, same, version_of
from enactor.connectors.salesforce.site import Site, cannot_tell_when_refused, original_ref
from enactor.connectors.sdk import (
    Absent,
    CannotTell,
    ChangedSince,
    Found,
    LookUpAnswer,
    PreviewResult,
    Refused,
    ToolCall,
    ToolResult,
    UndoArguments,
)
from enactor.domain.errors import ErrorClass


async def preview(site: Site, args: UpdateField) -> PreviewResult:
    """The field before and after, with the record's version."""
    record = await _record(site, args)
    version = version_of(record, (args.field,))
    if version is None:
        raise Refused("NO_VERSION", f"The {args.object_type} does not say when it was changed.")
    return PreviewResult(
        before={args.field: record.get(args.field)}, after={args.field: args.value}, version_tag=version
    )


async def update_field(site: Site, args: UpdateField, call: ToolCall) -> ToolResult:
    """Writes the field, if the record is at the approved version. A value it has already is not written again."""
    async with site.organization.target.before_sending(call):
        record = await _record(site, args)
    version = version_of(record, (args.field,))
    if call.expected_version is not None and version != call.expected_version:
        raise Refused("CHANGED_SINCE_PREVIEW", "Somebody changed the record since the preview that was approved.")
    identity = record_id(args.record_id)
    if same(record.get(args.field), args.value):
        return ToolResult(
            refs=(site.ref(args.object_type, identity, version),), message="The field had that value already."
        )
    return await _write(site, args, identity, call)


@cannot_tell_when_refused
async def find(site: Site, args: UpdateField, expected_version: str | None) -> LookUpAnswer:
    """Whether the update took place, as far as that can be known.

    - The record is at the approved version still: every write changes the version, so ours did not take place.
    - The field has the approved value, the version is a later one, and the last to change the record was our
      integration user: it did. Who else writes as that user, and writes the very same value, is taken for us.
    - Anything else, such as a later change by somebody, hides what we did: it cannot be told.
    """
    record = await _record(site, args)
    if expected_version is None:
        return CannotTell(message="No version was approved that the record could be held against.")
    identity = record_id(args.record_id)
    return await _compared(site, args, record, identity, expected_version)


async def restore_field(site: Site, args: UndoArguments, call: ToolCall) -> ToolResult:
    """Writes the earlier value back, if the record is as the update left it."""
    update, identity, version = _original(args)
    async with site.organization.target.before_sending(call):
        record = await _record(site, update)
    if same(record.get(update.field), update.value):
        ref = site.ref(update.object_type, identity, version_of(record, (update.field,)))
        return ToolResult(refs=(ref,), message="The field has its earlier value already.")
    if version is None or version_of(record, (update.field,)) != version:
        raise ChangedSince("Somebody changed the record since, or its version is not known.")
    return await _write(site, update, identity, call)


@cannot_tell_when_refused
async def find_restored(site: Site, args: UndoArguments) -> LookUpAnswer:
    """Whether the earlier value is back; see `find`."""
    update, identity, version = _original(args)
    record = await _record(site, update)
    if version is None:
        return CannotTell(message="The version that the update left is not known.")
    return await _compared(site, update, record, identity, version)


async def _compared(site: Site, args: UpdateField, record: Record, identity: str, earlier_version: str) -> LookUpAnswer:
    version = version_of(record, (args.field,))
    if version == earlier_version:
        return Absent()
    user = await site.organization.user_id()
    if same(record.get(args.field), args.value) and user is not None and _changed_by(record, user):
        return Found(refs=(site.ref(args.object_type, identity, version),))
    return CannotTell(message="Somebody changed the record since, which hides whether we did before.")


async def _write(site: Site, args: UpdateField, identity: str, call: ToolCall) -> ToolResult:
    path = f"sobjects/{args.object_type}/{identity}"
    answer = await site.organization.write("PATCH", path, {args.field: args.value}, call)
    if answer.status != 204:
        raise site.organization.refusal(answer)
    _, written = await site.read_back(args.object_type, identity, (args.field,), call)
    version = None
    if written is not None and same(written.get(args.field), args.value):
        version = version_of(written, (args.field,))
    return ToolResult(refs=(site.ref(args.object_type, identity, version),))


async def _record(site: Site, args: UpdateField) -> Record:
    """The record, which belongs to the Account. Raises `Refused`."""
    organization = site.organization
    fixed = {"Id", organization.account_field(args.object_type), organization.key_field(args.object_type)}
    if args.field in fixed:
        raise Refused(
            "FIELD_NOT_UPDATABLE",
            f"{args.field} says which record it is, whose, or by whom it was made; it cannot be set.",
            error_class=ErrorClass.VALIDATION,
        )
    try:
        identity = record_id(args.record_id, args.object_type)
    except ValueError as error:
        raise Refused("MALFORMED_ID", f"{args.record_id}: {error}.", error_class=ErrorClass.VALIDATION) from None
    record = await organization.record(args.object_type, identity, (args.field,))
    if record is None:
        raise Refused("NOT_FOUND", f"There is no {args.object_type} {identity}.", error_class=ErrorClass.VALIDATION)
    site.check_account(args.object_type, record)
    return record


def _original(args: UndoArguments) -> tuple[UpdateField, str, str | None]:
    """The update that would undo the original one, the record's id, and the version that the original left."""
    object_type, identity, version = original_ref(args.refs)
    try:
        original = UpdateField.model_validate(args.original_arguments)
        before: Any = args.before[original.field]
        update = original.model_copy(update={"object_type": object_type, "record_id": identity, "value": before})
    except (ValidationError, KeyError):
        raise Refused(
            "EARLIER_VALUE_UNKNOWN",
            "No preview recorded what the field was before; set it by hand.",
            error_class=ErrorClass.VALIDATION,
        ) from None
    return update, identity, version


def _changed_by(record: Record, user: str) -> bool:
    try:
        return record_id(record.get("LastModifiedById")) == user
    except ValueError:
        return False
