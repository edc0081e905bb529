"""Conditions and effects: registry, switches, budgets, policies, internal objects, and consumers of events."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind
from enactor.ports.store import Undelivered
from enactor.stores.sqlite import codec, sql
from enactor.stores.sqlite.book import Book, Unit

_LATEST = (
    "SELECT registry_version, body FROM action_types WHERE tenant_id = ? AND action_type = ? "
    "ORDER BY registry_version DESC LIMIT 1"
)


class MoveCursor(Struct, frozen=True):
    """Remembers how far a consumer of the events has come."""

    name: str
    position: int


class KeepUndelivered(Struct, frozen=True):
    """Remembers an event that a consumer has not taken."""

    record: Undelivered


class ForgetUndelivered(Struct, frozen=True):
    """Forgets such an event."""

    consumer: str
    position: int


def register_action_type(book: Book, command: c.RegisterActionType, body: str, unit: Unit) -> Iterator[None]:
    """Does `RegisterActionType`."""
    entry = command.action_type
    version, stored = _latest(book, entry.tenant_id, entry.action_type)
    if entry.registry_version != version + 1:
        raise Conflict(ConflictKind.VERSION_CHANGED, codec.action_type(stored) if stored else None)
    yield
    book.rows.add(sql.ADD_ACTION_TYPE, (entry.tenant_id, entry.action_type, entry.registry_version, body))
    book.news.action_types.append(entry)


def deprecate_action_type(book: Book, command: c.DeprecateActionType, body: str, unit: Unit) -> Iterator[None]:
    """Does `DeprecateActionType`."""
    entry = command.action_type
    version, stored = _latest(book, entry.tenant_id, entry.action_type)
    if not stored or entry.registry_version != version:
        raise Conflict(ConflictKind.VERSION_CHANGED, codec.action_type(stored) if stored else None)
    yield
    book.rows.add(sql.CHANGE_ACTION_TYPE, (entry.tenant_id, entry.action_type, entry.registry_version, body))
    book.news.action_types.append(entry)


def _latest(book: Book, tenant_id: str, action_type: str) -> tuple[int, str]:
    book.rows.flush()
    found = book.rows.connection.execute(_LATEST, (tenant_id, action_type)).fetchone()
    return (found[0], found[1]) if found else (0, "")


def set_kill_switch(book: Book, command: c.SetKillSwitch, body: str, unit: Unit) -> Iterator[None]:
    """Does `SetKillSwitch`."""
    switch = command.switch
    stored = book.shared.switches.get(switch.scope)
    generation = stored.generation if stored else 0
    turned = switch.enabled != (stored.enabled if stored else False)
    allowed = (generation + 1,) if turned else (generation, generation + 1)
    if command.expected_generation != generation or switch.generation not in allowed:
        raise Conflict(ConflictKind.VERSION_CHANGED, stored)
    yield
    book.shared.switches[switch.scope] = switch
    book.rows.add(sql.PUT_SWITCH, (switch.scope, body))
    book.news.switches.append(switch)


def set_budget(book: Book, command: c.SetBudget, body: str, unit: Unit) -> Iterator[None]:
    """Does `SetBudget`."""
    yield
    budget = command.budget
    book.shared.set_budget(budget)
    book.rows.add(sql.PUT_BUDGET, (budget.tenant_id, budget.action_type, body))


def set_policies(book: Book, command: c.SetPolicies, body: str, unit: Unit) -> Iterator[None]:
    """Does `SetPolicies`."""
    policies = command.policies
    book.rows.flush()
    found = book.rows.connection.execute(
        "SELECT version, body FROM policies WHERE tenant_id = ?", (policies.tenant_id,)
    ).fetchone()
    if policies.version != (found[0] if found else 0) + 1:
        raise Conflict(ConflictKind.VERSION_CHANGED, codec.policies(found[1]) if found else None)
    yield
    book.rows.add(sql.PUT_POLICIES, (policies.tenant_id, policies.version, body))
    book.news.policies.append(policies)


def create_object(book: Book, command: c.CreateObject, body: str, unit: Unit) -> Iterator[None]:
    """Does `CreateObject`."""
    known = book.shared.object_made(command.object)
    if known is not None:
        raise Conflict(ConflictKind.OBJECT_EXISTS, known)
    yield
    book.shared.add_object(command.object, body)


def delete_object(book: Book, command: c.DeleteObject, body: str, unit: Unit) -> Iterator[None]:
    """Does `DeleteObject`."""
    key = (command.tenant_id, command.object_id)
    book.rows.flush()
    found = book.rows.connection.execute(
        "SELECT body FROM objects WHERE tenant_id = ? AND object_id = ? AND deleted = 0", key
    ).fetchone()
    if found is None:
        raise Conflict(ConflictKind.NOT_FOUND)
    stored = codec.internal_object(found[0])
    if stored.version != command.expected_version:
        raise Conflict(ConflictKind.VERSION_CHANGED, stored)
    yield
    book.rows.add(sql.DELETE_OBJECT, key)


def move_cursor(book: Book, command: MoveCursor, body: str, unit: Unit) -> Iterator[None]:
    """Does `MoveCursor`."""
    yield
    book.rows.add(sql.MOVE_CURSOR, (command.name, command.position))


def keep_undelivered(book: Book, command: KeepUndelivered, body: str, unit: Unit) -> Iterator[None]:
    """Does `KeepUndelivered`."""
    yield
    record = command.record
    # What was kept before in this batch has to be there to be replaced.
    book.rows.flush()
    book.rows.add(sql.FORGET_UNDELIVERED, (record.consumer, record.position))
    book.rows.add(sql.KEEP_UNDELIVERED, (record.consumer, int(record.dead), record.position, body))


def forget_undelivered(book: Book, command: ForgetUndelivered, body: str, unit: Unit) -> Iterator[None]:
    """Does `ForgetUndelivered`."""
    yield
    book.rows.flush()
    book.rows.add(sql.FORGET_UNDELIVERED, (command.consumer, command.position))
