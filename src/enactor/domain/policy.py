"""What a policy is asked and what it answers; and how many people a risk class needs (specification, section 4)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from enactor.domain.action_type import RiskClass

REQUIRED_APPROVALS: Final[dict[RiskClass, int]] = {
    RiskClass.MINIMAL: 0,
    RiskClass.LOW: 1,
    RiskClass.MEDIUM: 1,
    RiskClass.HIGH: 2,
}
"""How many different people must approve. With 0, any single approval is enough, a program's too."""

AUTO_APPROVABLE: Final = frozenset({RiskClass.MINIMAL, RiskClass.LOW, RiskClass.MEDIUM})
"""A policy may stand in for the people of these classes; nothing stands in for the two people of HIGH."""


class PolicyAction(StrEnum):
    """What policies permit or forbid."""

    PROPOSE = "propose"
    AUTO_APPROVE = "auto_approve"
    APPROVE = "approve"
    UNDO = "undo"
    RESOLVE = "resolve"
    SWITCH = "switch"


class PolicyMode(StrEnum):
    """SHADOW evaluates and records without executing."""

    ENFORCE = "ENFORCE"
    SHADOW = "SHADOW"


class PolicySet(Struct, frozen=True, kw_only=True):
    """A tenant's own policies (Cedar text), on top of the built-in set. `version` counts from 1; 0 is "none set"."""

    tenant_id: str
    version: int
    text: str
    mode: PolicyMode
    set_by: str
    set_at: str


class PolicyQuestion(Struct, frozen=True, kw_only=True):
    """One question to the policy engine: may `principal` do `action` on the resource described?

    Attributes:
        principal: identity, `human` or `program`, roles.
        arguments: the mapped tool arguments, for bounds; secrets are references only.
    """

    action: PolicyAction
    tenant_id: str
    principal_id: str
    principal_human: bool
    principal_roles: tuple[str, ...]
    account_id: str = ""
    action_type: str = ""
    action_intent_id: str = ""
    connector_id: str = ""
    risk_class: RiskClass = RiskClass.HIGH
    target_type: str = ""
    target_id: str = ""
    scope: str = ""
    arguments: dict[str, Any] = {}


class PolicyAnswer(Struct, frozen=True, kw_only=True):
    """The answer, with the ids of the policies that determined it and a version to bind into digests."""

    allowed: bool
    reasons: tuple[str, ...]
    errors: tuple[str, ...]
    policy_version: str
