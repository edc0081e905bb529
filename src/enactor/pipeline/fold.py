"""Joining the commands of consecutive steps into one commit, in which each record is touched once."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from enactor.ports.commands import Command, SettlePermit, StartAttempt, UpdateAttempt


def folded(commands: Iterable[Command]) -> tuple[Command, ...]:
    """`commands` with the attempt, and each permit, written once: under its first condition, with its last content."""
    result: list[Command] = []
    places: dict[str, int] = {}
    for command in commands:
        match command:
            case StartAttempt() | UpdateAttempt():
                record = "attempt"
            case SettlePermit():
                record = f"permit {command.permit.call_no}"
            case _:
                result.append(command)
                continue
        place = places.setdefault(record, len(result))
        if place == len(result):
            result.append(command)
            continue
        match result[place], command:
            case (StartAttempt() | UpdateAttempt()) as held, (StartAttempt() | UpdateAttempt()) as later:
                result[place] = msgspec.structs.replace(held, attempt=later.attempt)
            case SettlePermit() as held, SettlePermit() as later:
                result[place] = msgspec.structs.replace(held, permit=later.permit)
    return tuple(result)
