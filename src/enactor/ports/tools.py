"""The tool plane: what is known of a tool, and the one door through which it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from enactor.domain.action_type import Compensation, RiskClass, TargetRule, WriteSemantics
from enactor.domain.errors import ErrorClass
from enactor.domain.intent import Guard
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import CallResult, Purpose


class ToolDefinition(Struct, frozen=True, kw_only=True):
    """A tool as its connector declares it now.

    Attributes:
        definition_hash: SHA-256 of everything below that decides what a call does.
        connector_version: the connector's configuration version: endpoint and credential reference.
        can_undo: the name of the tool that undoes it, if any.
        verifies_account: the connector checks that the object belongs to the account.
        previews: it can read the target and say what a call would change.
        verifies_undo: as a tool that takes something back it checks itself that the object carries our key at the
            version it was left at, and refuses otherwise.
    """

    tool_name: str
    tool_schema_version: str
    connector_id: str
    connector_version: str
    description: str
    input_schema: dict[str, Any]
    write_semantics: WriteSemantics
    compensation: Compensation
    risk_class: RiskClass
    definition_hash: str
    guard: Guard = Guard.NONE
    required_scopes: tuple[str, ...] = ()
    target: TargetRule | None = None
    summary: str = ""
    effect_key: str | None = None
    verifies_account: bool = True
    governed: bool = True
    previews: bool = False
    verifies_undo: bool = False


class CallRequest(Struct, frozen=True, kw_only=True, gc=False):
    """One permitted call.

    Attributes:
        argument_bytes: the frozen canonical JSON; secrets are references that the gateway resolves last.
        send_not_after: on `Clock.elapsed_ms`: after it the call is not sent and ends NOT_SENT.
        timeout_seconds: how long to wait for the reply once it is sent.
        original: for a compensation or an undo, the refs of the effect to undo.
        original_key: for a compensation or an undo, the key of the effect to undo.
        original_arguments: for a compensation, the canonical JSON that the effect to undo was made with.
        before: for a compensation or an undo, the values there were before, as the original's preview showed them.
            They are not among the argument bytes, which whoever proposed may read.
        expected_version: the version tag of the approved preview, for the tool to hold against the target's; None
            when there is none.
        definition_hash: of the tool as it was approved; a plane whose tools can change between two calls refuses
            another. Empty when nothing is pinned.
    """

    tenant_id: str
    account_id: str
    action_intent_id: str
    run_number: int
    call_no: int
    purpose: Purpose
    tool_name: str
    tool_schema_version: str
    argument_bytes: str
    idempotency_key: str
    trace_id: str
    send_not_after: int
    timeout_seconds: float
    original: tuple[ObjectRef, ...] = ()
    original_key: str = ""
    original_arguments: str = ""
    before: dict[str, Any] = {}
    expected_version: str | None = None
    definition_hash: str = ""


class Reply(Struct, frozen=True, kw_only=True, gc=False):
    """How a call ended: never OPEN, and never an exception.

    Attributes:
        result: one of the four results of the specification, section 3.
        refs: what the tool made or changed.
        partial: DONE, but less than was asked: the rest is taken back if the strategy allows.
        retryable: the situation may pass.
        retry_after_seconds: the target's own wish.
        deferred_reason: NOT_SENT because a door was closed (limit, breaker): the run is put off, not retried.
        artifact_ref: where a large response was put.
        answered: UNKNOWN or REFUSED, but by an answer which shows that the target works: it counts against no breaker.
    """

    result: CallResult
    refs: tuple[ObjectRef, ...] = ()
    partial: bool = False
    retryable: bool = False
    error_class: ErrorClass | None = None
    error_code: str | None = None
    message: str = ""
    retry_after_seconds: float | None = None
    deferred_reason: str = ""
    artifact_ref: str | None = None
    answered: bool = False


class LookUpResult(Struct, frozen=True, kw_only=True):
    """What a search of the target by our key found. `found` None means that the target cannot tell.

    Attributes:
        deferred_reason: the target was not asked, because a door was closed (breaker): the look-up is put off.
        retry_after_seconds: for how long at least.
    """

    found: bool | None
    refs: tuple[ObjectRef, ...] = ()
    message: str = ""
    deferred_reason: str = ""
    retry_after_seconds: float | None = None


class Reading(Struct, frozen=True, kw_only=True):
    """What a preview read from the target, or why it could not. It never is an exception.

    Attributes:
        offered: the tool has a preview; without one everything else is left out.
        before: by name, the values that would change, as they are; None when the target was not read.
        after: the same names, as they would be.
        version_tag: changes whenever the object does.
        retryable: the situation may pass.
        deferred_reason: a door was closed (limit, breaker).
    """

    offered: bool = True
    before: dict[str, Any] | None = None
    after: dict[str, Any] = {}
    version_tag: str = ""
    retryable: bool = False
    error_class: ErrorClass | None = None
    error_code: str | None = None
    message: str = ""
    retry_after_seconds: float | None = None
    deferred_reason: str = ""


NOT_OFFERED: Final = Reading(offered=False)


class ConnectorHealth(Struct, frozen=True, kw_only=True):
    """How a tenant's calls to a connector do, as this process knows it.

    Attributes:
        state: `CLOSED` calls pass, `OPEN` none does, `HALF_OPEN` one may try; as of a circuit breaker.
        reason: why calls do not pass; safe to show.
        retry_in_seconds: when one may try.
        calls_out: calls and look-ups that have not come back.
    """

    state: str = "CLOSED"
    reason: str = ""
    retry_in_seconds: float = 0.0
    calls_out: int = 0


class ToolPlane(Protocol):
    """The one door to tools. Nothing in it, or below it, repeats a call."""

    def definition(self, tool_name: str) -> ToolDefinition | None:
        """The tool as it is declared now, or None."""
        ...

    def definitions(self) -> Mapping[str, ToolDefinition]:
        """Every tool by name."""
        ...

    def connector_version(self, tool_name: str, tenant_id: str, account_id: str) -> str:
        """The version of the configuration that serves a tenant's account: what is changed for another is not in it."""
        ...

    def validate(self, tool_name: str, arguments: Mapping[str, Any]) -> None:
        """Checks arguments against the tool's model, at proposal. Raises `InvalidParameters`."""
        ...

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Makes the call once.

        Args:
            request: what to call.
            check: asked immediately before the request leaves; False means it is too late, and nothing is sent.
        """
        ...

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Searches the target for what `request`'s key made. Raises nothing; trouble is `found=None`."""
        ...

    async def preview(self, request: CallRequest) -> Reading:
        """Reads what a call would change, changing nothing. Raises nothing; without a preview, `NOT_OFFERED`.

        It goes to the target as a call does, so whatever limits calls of the connector limits it too.
        """
        ...

    def undo_arguments(self, request: CallRequest) -> dict[str, Any]:
        """The arguments of the call that takes back what `original` and `original_key` name.

        Args:
            request: the call of the tool that undoes; its argument bytes are those of the original.

        Raises:
            ConfigurationError: the tool is not made to take anything back.
        """
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...
