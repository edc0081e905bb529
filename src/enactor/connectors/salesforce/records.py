"""What Salesforce records say about themselves: ids, versions, and which Account they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from enactor.domain.canonical import canonical, sha256_hex

ACCOUNT: Final = "Account"
TASK: Final = "Task"
OPPORTUNITY: Final = "Opportunity"

Record = Mapping[str, Any]

PREFIXES: Final = {
    ACCOUNT: "001",
    "Contact": "003",
    OPPORTUNITY: "006",
    TASK: "00T",
    "Event": "00U",
    "Case": "500",
    "Contract": "800",
    "Order": "801",
    "Asset": "02i",
}
"""The first three characters of the ids of standard objects; those of custom objects differ between organizations."""

ACCOUNT_FIELDS: Final = {name: "Id" if name == ACCOUNT else "AccountId" for name in PREFIXES}
"""Which field of an object names the Account it belongs to."""

VERSION_FIELDS: Final = {
    TASK: ("Subject", "Description", "Status", "Priority", "ActivityDate", "WhatId", "WhoId", "OwnerId"),
    OPPORTUNITY: ("Name", "StageName", "CloseDate", "Amount", "Description", "NextStep", "AccountId", "OwnerId"),
}
"""What a created record's version covers besides its time of change."""

STAMPS: Final = ("SystemModstamp", "LastModifiedDate")
_ID: Final = re.compile(r"[a-zA-Z0-9]{15}(?:[a-zA-Z0-9]{3})?")
_SUFFIX: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def record_id(text: object, object_type: str | None = None) -> str:
    """An id in its 18-character form, which is the same for every way of writing it.

    The last three characters say which of the first fifteen are capital letters, so a mistyped id is noticed.

    Args:
        text: an id of 15 or 18 characters.
        object_type: what it is an id of, when that is known.

    Raises:
        ValueError: it is none, or one of another object.
    """
    if not isinstance(text, str) or not _ID.fullmatch(text):
        raise ValueError("that is not a record id")
    core = text[:15]
    groups = (core[start : start + 5] for start in (0, 5, 10))
    suffix = "".join(
        _SUFFIX[sum(1 << at for at, letter in enumerate(group) if "A" <= letter <= "Z")] for group in groups
    )
    if len(text) == 18 and text[15:].upper() != suffix:
        raise ValueError("that is not a record id: its last three characters do not fit")
    prefix = PREFIXES.get(object_type or "")
    if prefix is not None and core[:3] != prefix:
        raise ValueError(f"that is not an id of {object_type}")
    return core + suffix


def type_of(identity: str) -> str | None:
    """The standard object that an id belongs to, or None."""
    return next((name for name, prefix in PREFIXES.items() if identity[:3] == prefix), None)


def version_of(record: Record, fields: Iterable[str]) -> str | None:
    """What changes whenever the record does, or None when the record does not say.

    `SystemModstamp` (or `LastModifiedDate`) counts whole seconds, so the values of `fields` are in it too: two changes
    within one second are told apart by what they changed.
    """
    stamp = next((record[name] for name in STAMPS if isinstance(record.get(name), str)), None)
    if stamp is None:
        return None
    return f"{stamp}/{sha256_hex(canonical([record.get(name) for name in fields]))[:16]}"


def same(left: object, right: object) -> bool:
    """Whether Salesforce would store two values as the same one.

    It trims text, stores empty text as nothing, and writes instants in its own form.
    """
    left, right = _stored(left), _stored(right)
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _stored(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if "T" in text and text[:4].isdigit():
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            return text
        return instant if instant.tzinfo is not None else text
    return text or None
