"""The registry: what can be proposed, and which tool call fulfils it (specification, section 1)."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from msgspec import Struct, field


class RiskClass(StrEnum):
    """How much an approver must look, in growing order."""

    MINIMAL = "MINIMAL"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"

    @property
    def rank(self) -> int:
        """0 for MINIMAL to 3 for HIGH."""
        return list(RiskClass).index(self)


class WriteMode(StrEnum):
    """What the target promises about a call whose reply was lost (specification, section 3)."""

    IDEMPOTENT = "IDEMPOTENT"
    LOOKUP = "LOOKUP"
    UNSAFE = "UNSAFE"


class WriteSemantics(Struct, frozen=True, kw_only=True):
    """A tool's promise, with its parameters.

    Attributes:
        mode: the promise.
        key_retention_seconds: IDEMPOTENT: how long the target remembers our key, from the first call.
        absence_final_after_seconds: how long after the last possible send an absence found by look-up is final;
            None means that it never is.
        has_lookup: the target can be searched by our key.
        failure_burns_key: a refused call makes the key useless; only then does a key's generation grow.
    """

    mode: WriteMode
    key_retention_seconds: int = 86_400
    absence_final_after_seconds: int | None = None
    has_lookup: bool = False
    failure_burns_key: bool = False


class Transform(StrEnum):
    """What happens to a parameter on its way to a tool argument."""

    PASSTHROUGH = "PASSTHROUGH"
    UPPERCASE = "UPPERCASE"
    LOWERCASE = "LOWERCASE"
    CUSTOM = "CUSTOM"


class ParameterMapping(Struct, frozen=True, kw_only=True):
    """How one parameter becomes one tool argument. `function` names a registered function when CUSTOM."""

    param: str
    tool_param: str
    transform: Transform = Transform.PASSTHROUGH
    required: bool = False
    function: str | None = None


class CompensationStrategy(StrEnum):
    """What undoes a partial effect: the pinned tool, a person, or nothing (documented)."""

    AUTOMATIC = "AUTOMATIC"
    MANUAL = "MANUAL"
    NONE = "NONE"


class Compensation(Struct, frozen=True, kw_only=True):
    """How an effect is taken back. The tool receives the refs of the effect and our original key.

    `write_semantics` are the undoing tool's own; `note` documents why there is none, or what a person must do
    (invariant 2).
    """

    strategy: CompensationStrategy
    tool_name: str | None = None
    tool_schema_version: str | None = None
    write_semantics: WriteSemantics | None = None
    note: str = ""


class TargetRule(Struct, frozen=True, kw_only=True):
    """Where the target entity is found in the mapped arguments."""

    entity_type: str
    argument: str


class Caps(Struct, frozen=True, kw_only=True):
    """Upper bounds on what a proposal's `execution_policy` and expiry may ask for."""

    retry_count: int = 10
    timeout_seconds: int = 300
    expires_in_seconds: int = 30 * 86_400


class ActionType(Struct, frozen=True, kw_only=True):
    """One version of one registry entry. Versions only grow; an intent keeps its version for ever.

    Attributes:
        tenant_id: empty for the platform's own entry; a tenant's override may only be stricter.
        parameter_schema: JSON Schema (2020-12) of the parameters; `writeOnly` ones take only `{"$secret": name}`.
        effect_key: a template such as `refund:{payment_id}` over the parameters, or None.
        summary: the template of the one sentence an approver reads.
        definition_hash: hash of the tool definition that this entry was registered against.
        undo_only: only an undo may propose it: its tool takes back what another one did.
    """

    action_type: str
    registry_version: int
    tool_name: str
    tool_schema_version: str
    connector_id: str
    parameter_schema: dict[str, Any]
    parameter_mapping: tuple[ParameterMapping, ...]
    risk_class: RiskClass
    write_semantics: WriteSemantics
    compensation: Compensation
    summary: str
    definition_hash: str
    created_at: str
    required_scopes: tuple[str, ...] = ()
    effect_key: str | None = None
    target: TargetRule | None = None
    caps: Caps = field(default_factory=Caps)
    deprecated_at: str | None = None
    tenant_id: str = ""
    undo_only: bool = False


def default_action_type(tool_name: str) -> str:
    """The action type a tool gets by itself: `tickets.create` becomes `TICKETS_CREATE`."""
    return re.sub(r"[^A-Z0-9]+", "_", tool_name.upper()).strip("_")
