"""Joining the commands of consecutive steps into one commit, in which each record is touched once."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from enactor.ports.commands import Command, SettlePermit, StartAttempt, UpdateAttempt


def folded(commands: Iterable[Command]) -> tuple[Command, ...]:
    """`commands` with the attempt, and each permit, written once: under its first condition, with its last content."""
    result: list[Command] = []
    attempt_at = -1
    permits: dict[int, int] = {}
    for command in commands:
        match command:
            case StartAttempt():
                attempt_at = len(result)
            case UpdateAttempt():
                if attempt_at >= 0:
                    held = result[attempt_at]
                    assert isinstance(held, StartAttempt | UpdateAttempt)
                    result[attempt_at] = msgspec.structs.replace(held, attempt=command.attempt)
                    continue
                attempt_at = len(result)
            case SettlePermit():
                if command.permit.call_no in permits:
                    held = result[permits[command.permit.call_no]]
                    assert isinstance(held, SettlePermit)
                    result[permits[command.permit.call_no]] = msgspec.structs.replace(held, permit=command.permit)
                    continue
                permits[command.permit.call_no] = len(result)
            case _:
                pass
        result.append(command)
    return tuple(result)
