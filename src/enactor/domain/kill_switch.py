"""Kill switches: their scopes and generations (specification, section 8)."""

from __future__ import annotations

from msgspec import Struct

from enactor.domain.intent import SwitchMark


class KillSwitch(Struct, frozen=True, kw_only=True):
    """One switch. `generation` grows each time it is turned on or off, so "was on in between" is a comparison.

    Attributes:
        scope: a storage scope as `scopes_of` builds them.
        compensation: compensation stays allowed while it is on.
    """

    scope: str
    tenant_id: str
    generation: int
    enabled: bool
    reason: str
    set_by: str
    set_at: str
    compensation: bool = False


def scopes_of(tenant_id: str, action_type: str, connector_id: str) -> tuple[str, ...]:
    """The six storage scopes that can stop a run: three of the platform, three of its tenant."""
    return (
        "global",
        f"connector:{connector_id}",
        f"action-type:{action_type}",
        f"tenant:{tenant_id}",
        f"tenant:{tenant_id}/connector:{connector_id}",
        f"tenant:{tenant_id}/action-type:{action_type}",
    )


def marks(scopes: tuple[str, ...], switches: dict[str, KillSwitch]) -> tuple[SwitchMark, ...]:
    """What `switches` say now, to be compared when a permit is taken. A switch never set has generation 0."""
    return tuple(SwitchMark(scope, switches[scope].generation if scope in switches else 0) for scope in scopes)


def stopped_by(
    authorised: tuple[SwitchMark, ...], switches: dict[str, KillSwitch], *, for_compensation: bool = False
) -> str | None:
    """The scope of a switch that refuses the run, or None.

    A switch refuses while it is on, and for ever after if it was on at any time since the run was authorised.

    Args:
        authorised: the generations when the run was authorised.
        switches: the switches that apply now, by scope.
        for_compensation: a switch that allows compensation does not refuse it.
    """
    if not switches:
        return None
    for mark in authorised:
        switch = switches.get(mark.scope)
        if switch is None:
            continue
        if for_compensation and switch.compensation:
            continue
        if switch.enabled or switch.generation != mark.generation:
            return mark.scope
    return None
