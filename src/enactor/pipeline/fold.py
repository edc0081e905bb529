"""Joining the commands of consecutive steps into one commit, in which each record is touched once."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from enactor.ports.commands import Command, SettlePermit, StartAttempt, UpdateAttempt


def folded(commands: Iterable[Command]) -> tuple[Command, ...]:
    """`commands` with the attempt, and each permit, written once: under its first condition, with its last content."""
    result: list[Command] = []
    held: StartAttempt | UpdateAttempt | None = None
    held_at = 0
    permits: dict[int, tuple[int, SettlePermit]] = {}
    for command in commands:
        if isinstance(command, (StartAttempt, UpdateAttempt)):
            if held is not None:
                result[held_at] = held = msgspec.structs.replace(held, attempt=command.attempt)
                continue
            held, held_at = command, len(result)
        elif isinstance(command, SettlePermit):
            if known := permits.get(command.permit.call_no):
                place, first = known
                result[place] = msgspec.structs.replace(first, permit=command.permit)
                continue
            permits[command.permit.call_no] = (len(result), command)
        result.append(command)
    return tuple(result)
