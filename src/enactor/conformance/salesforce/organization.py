"""What an organization holds and enforces: objects, fields, records, unique fields, permissions, the recycle bin."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from enactor.connectors.salesforce.records import record_id
from enactor.ports.clock import Clock

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SYSTEM: Final = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp", "IsDeleted")


class Field(Struct, frozen=True, kw_only=True):
    """A field. `references` names the objects whose ids it takes; `picklist` the values of a restricted list."""

    name: str
    type: str = "string"
    length: int = 0
    required: bool = False
    createable: bool = True
    updateable: bool = True
    external_id: bool = False
    unique: bool = False
    references: tuple[str, ...] = ()
    picklist: tuple[str, ...] = ()


class SObject(Struct):
    """An object with its fields, as the integration user sees it."""

    name: str
    prefix: str
    fields: dict[str, Field]
    createable: bool = True
    updateable: bool = True
    deletable: bool = True
    queryable: bool = True

    def field(self, name: str) -> Field | None:
        """A field by name, in any case, as Salesforce takes names."""
        return next((field for known, field in self.fields.items() if known.lower() == name.lower()), None)


class Refusal(Exception):
    """What Salesforce answers instead: a status, and one element of its array of errors."""

    def __init__(self, status: int, code: str, message: str, fields: tuple[str, ...] | None = ()) -> None:
        super().__init__(code)
        self.status = status
        self.error: dict[str, Any] = {"message": message, "errorCode": code}
        if fields is not None:
            self.error["fields"] = list(fields)


def standard_objects(key_field: str = "Enactor_Key__c") -> dict[str, SObject]:
    """Accounts, contacts, opportunities, cases and tasks, with our key field where the setup guide wants it."""
    key = Field(name=key_field, length=64, external_id=True, unique=True)
    return {
        one.name: one
        for one in (
            _object("Account", "001", _text("Name", 255, required=True), _text("Description", 32_000)),
            _object("Contact", "003", _text("LastName", 80, required=True), _reference("AccountId", "Account")),
            _object(
                "Opportunity",
                "006",
                _text("Name", 120, required=True),
                Field(name="StageName", type="picklist", length=255, required=True),
                Field(name="CloseDate", type="date", required=True),
                Field(name="Amount", type="currency"),
                _text("Description", 32_000),
                _text("NextStep", 255),
                _reference("AccountId", "Account"),
                _reference("OwnerId", "User"),
                key,
            ),
            _object("Case", "500", _text("Subject", 255), _reference("AccountId", "Account")),
            _object(
                "Task",
                "00T",
                _text("Subject", 255),
                _text("Description", 32_000),
                Field(name="ActivityDate", type="date"),
                Field(name="Status", type="picklist", length=255),
                Field(name="Priority", type="picklist", length=255, picklist=("High", "Normal", "Low")),
                _reference("WhatId", "Account", "Opportunity", "Case"),
                _reference("WhoId", "Contact"),
                _reference("OwnerId", "User"),
                Field(name="AccountId", type="reference", createable=False, updateable=False, references=("Account",)),
                key,
            ),
        )
    }


class Organization:
    """The records, and what may be done to them.

    Args:
        clock: when things happen. Times are kept to the second, as Salesforce does.
        objects: what it knows; `standard_objects()` when absent.
    """

    def __init__(self, clock: Clock, objects: dict[str, SObject] | None = None) -> None:
        self._clock = clock
        self.objects = objects if objects is not None else standard_objects()
        self.records: dict[str, dict[str, Any]] = {}
        self.types: dict[str, str] = {}
        self.locked: set[str] = set()
        self.readonly: set[str] = set()
        self._made = 0
        self.user_id = self.new_id("005")
        self.organization_id = self.new_id("00D")

    # -- what is there ---------------------------------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        """An id that was never given before, in its 18-character form."""
        self._made += 1
        number, digits = self._made * 7_919, ""
        for _ in range(8):
            number, digit = divmod(number, 62)
            digits = _BASE62[digit] + digits
        return record_id(f"{prefix}5f00{digits}"[:15])

    def of_type(self, object_type: str) -> SObject:
        """An object. Raises `Refusal`."""
        found = next((one for name, one in self.objects.items() if name.lower() == object_type.lower()), None)
        if found is None:
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist", None)
        return found

    def live(self, object_type: str) -> list[dict[str, Any]]:
        """The records of an object that are not in the recycle bin."""
        return [self.records[one] for one in self.records if self.types[one] == object_type and not self.deleted(one)]

    def deleted(self, identity: str) -> bool:
        """Whether a record is in the recycle bin."""
        return bool(self.records[identity]["IsDeleted"])

    def get(self, sobject: SObject, identity: str) -> dict[str, Any]:
        """A record that is not deleted. Raises `Refusal`."""
        record = self._known(sobject, identity)
        if record is None or record["IsDeleted"]:
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist", None)
        return record

    # -- what is done ----------------------------------------------------------------------------------------------

    def create(self, object_type: str, values: dict[str, Any], by: str | None = None) -> str:
        """Creates a record and gives its id. Raises `Refusal`, and has changed nothing then."""
        sobject = self.of_type(object_type)
        if not sobject.createable:
            raise Refusal(403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
        checked = self._checked(sobject, values, creating=True)
        missing = [field.name for field in sobject.fields.values() if field.required and not checked.get(field.name)]
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise Refusal(400, "REQUIRED_FIELD_MISSING", message, tuple(missing))
        self._check_unique(sobject, checked, None)
        identity, now, user = self.new_id(sobject.prefix), self._now(), by or self.user_id
        record = dict.fromkeys(sobject.fields)
        defaults = {"OwnerId": user, "Status": "Not Started", "Priority": "Normal"}
        record.update({name: value for name, value in defaults.items() if name in sobject.fields})
        record.update(checked)
        stamps = {"CreatedDate": now, "CreatedById": user, "IsDeleted": False}
        self.records[identity] = {"Id": identity, **record, **stamps}
        self.types[identity] = sobject.name
        self._touch(identity, user)
        return identity

    def update(self, object_type: str, identity: str, values: dict[str, Any], by: str | None = None) -> None:
        """Changes a record. Raises `Refusal`, and has changed nothing then."""
        sobject = self.of_type(object_type)
        record = self._writable(sobject, identity)
        if not sobject.updateable:
            raise Refusal(403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
        checked = self._checked(sobject, values, creating=False)
        self._check_unique(sobject, checked, record["Id"])
        record.update(checked)
        self._touch(record["Id"], by or self.user_id)

    def delete(self, object_type: str, identity: str) -> None:
        """Puts a record into the recycle bin. Raises `Refusal`."""
        sobject = self.of_type(object_type)
        record = self._writable(sobject, identity)
        if not sobject.deletable:
            raise Refusal(403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
        record["IsDeleted"] = True
        self._touch(record["Id"], self.user_id)

    # -- details ---------------------------------------------------------------------------------------------------

    def _writable(self, sobject: SObject, identity: str) -> dict[str, Any]:
        record = self._known(sobject, identity)
        if record is None:
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist", None)
        if record["IsDeleted"]:
            raise Refusal(404, "ENTITY_IS_DELETED", "entity is deleted")
        if record["Id"] in self.locked:
            message = f"unable to obtain exclusive access to this record or 1 records: {record['Id']}"
            raise Refusal(400, "UNABLE_TO_LOCK_ROW", message)
        if record["Id"] in self.readonly:
            raise Refusal(403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
        return record

    def _known(self, sobject: SObject, identity: str) -> dict[str, Any] | None:
        try:
            full = record_id(identity)
        except ValueError:
            raise Refusal(
                404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible", None
            ) from None
        return self.records.get(full) if self.types.get(full) == sobject.name else None

    def _checked(self, sobject: SObject, values: dict[str, Any], *, creating: bool) -> dict[str, Any]:
        checked: dict[str, Any] = {}
        for name, value in values.items():
            field = sobject.field(name)
            if (field is None and name in ("Id", *_SYSTEM)) or (field and not _may_set(field, creating=creating)):
                message = (
                    f"Unable to create/update fields: {name}. Please check the security settings of this field and "
                    "verify that it is read/write for your profile or permission set."
                )
                raise Refusal(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, (name,))
            if field is None:
                raise Refusal(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}", None)
            checked[field.name] = self._value(field, value)
        return checked

    def _value(self, field: Field, value: Any) -> Any:
        if isinstance(value, str) and field.type not in ("date", "reference"):
            value = value.strip()
        if value is None or value == "":
            if field.required:
                message = f"Required fields are missing: [{field.name}]"
                raise Refusal(400, "REQUIRED_FIELD_MISSING", message, (field.name,))
            return None
        if field.type in ("string", "picklist", "textarea") and field.length and len(str(value)) > field.length:
            message = f"{field.name}: data value too large: {value} (max length={field.length})"
            raise Refusal(400, "STRING_TOO_LONG", message, (field.name,))
        if field.picklist and value not in field.picklist:
            message = f"{field.name}: bad value for restricted picklist field: {value}"
            raise Refusal(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, (field.name,))
        if field.type == "currency":
            return _number(field, value)
        if field.type == "date" and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value)):
            message = f"Cannot deserialize instance of date from VALUE_STRING value {value}"
            raise Refusal(400, "JSON_PARSER_ERROR", message, None)
        if field.type == "reference":
            return self._reference(field, value)
        return value

    def _reference(self, field: Field, value: Any) -> str:
        try:
            identity = record_id(value)
        except ValueError:
            message = f"{field.name}: id value of incorrect type: {value}"
            raise Refusal(400, "MALFORMED_ID", message, (field.name,)) from None
        if "User" in field.references and identity[:3] == "005":
            return identity
        if self.types.get(identity) not in field.references or self.deleted(identity):
            raise Refusal(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        return identity

    def _check_unique(self, sobject: SObject, values: dict[str, Any], own: str | None) -> None:
        for name, value in values.items():
            if not sobject.fields[name].unique or value is None:
                continue
            for record in self.live(sobject.name):
                if record["Id"] != own and str(record[name]).lower() == str(value).lower():
                    message = f"duplicate value found: {name} duplicates value on record with id: {record['Id'][:15]}"
                    raise Refusal(400, "DUPLICATE_VALUE", message)

    def _touch(self, identity: str, user: str) -> None:
        record = self.records[identity]
        record.update(LastModifiedDate=self._now(), SystemModstamp=self._now(), LastModifiedById=user)
        if self.types[identity] == "Task":
            record["AccountId"] = self._account_of_task(record)

    def _account_of_task(self, task: dict[str, Any]) -> str | None:
        for name in ("WhatId", "WhoId"):
            about = task.get(name)
            if about is not None:
                return str(about) if self.types[about] == "Account" else self.records[about].get("AccountId")
        return None

    def _now(self) -> str:
        moment = datetime.fromtimestamp(self._clock.now_ms() // 1000, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.000+0000"


def _object(name: str, prefix: str, *fields: Field) -> SObject:
    return SObject(name, prefix, {field.name: field for field in fields})


def _text(name: str, length: int, *, required: bool = False) -> Field:
    return Field(name=name, length=length, required=required)


def _reference(name: str, *objects: str) -> Field:
    return Field(name=name, type="reference", references=objects)


def _may_set(field: Field, *, creating: bool) -> bool:
    return field.createable if creating else field.updateable


def _number(field: Field, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"Cannot deserialize instance of {field.type} from VALUE_STRING value {value}"
        raise Refusal(400, "JSON_PARSER_ERROR", message, None)
    return float(value)
