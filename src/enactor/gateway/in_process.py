"""Calling connectors that live in this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from pydantic import BaseModel, ValidationError

from enactor.connectors.sdk import (
    Absent,
    Connector,
    Found,
    NotSent,
    Refused,
    ToolCall,
    ToolResult,
    ToolSpec,
    UndoArguments,
    compensation_of,
)
from enactor.domain.action_type import WriteMode, default_action_type
from enactor.domain.canonical import canonical, digest
from enactor.domain.errors import ConfigurationError, ErrorClass, FailureCode, InvalidParameters
from enactor.domain.mapping import is_secret_reference
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import CallResult
from enactor.gateway.containing import class_of, seconds_of
from enactor.gateway.deadlines import Deadlines
from enactor.gateway.previews import read_preview
from enactor.ports.secrets import SecretSource
from enactor.ports.tools import NOT_OFFERED, CallRequest, LookUpResult, Reading, Reply, ToolDefinition

_log = logging.getLogger("enactor.gateway")
_SECRET_STAND_IN: Final = "secret"  # noqa: S105 - what a secret looks like to the argument model at proposal


class _Bound(Struct, frozen=True):
    definition: ToolDefinition
    spec: ToolSpec
    connector: Connector
    method: Callable[..., Awaitable[ToolResult]]
    look_up: Callable[..., Awaitable[Any]] | None
    preview: Callable[..., Awaitable[Any]] | None


class InProcessToolPlane:
    """The tools of connectors in this process.

    Args:
        connectors: whose tools it offers. Two with tools of the same name are a `ConfigurationError`.
        secrets: where `{"$secret": name}` in arguments is read from, at the last moment before a call.
    """

    keeps_time = True
    """Calls end within their timeout by themselves."""

    def __init__(self, connectors: Iterable[Connector], secrets: SecretSource) -> None:
        self._secrets = secrets
        self._connectors = tuple(connectors)
        self._tools: dict[str, _Bound] = {}
        self._deadlines = Deadlines()
        for connector in self._connectors:
            for method_name, (spec, method) in connector.tools().items():
                bound = _bind(connector, method_name, spec, method)
                if bound.definition.tool_name in self._tools:
                    raise ConfigurationError(f"Two connectors have a tool named '{bound.definition.tool_name}'.")
                self._tools[bound.definition.tool_name] = bound
        self._definitions = {name: bound.definition for name, bound in self._tools.items()}

    def definition(self, tool_name: str) -> ToolDefinition | None:
        """The tool as it is declared now, or None."""
        return self._definitions.get(tool_name)

    def definitions(self) -> Mapping[str, ToolDefinition]:
        """Every tool by name."""
        return self._definitions

    def action_types(self) -> dict[str, str]:
        """The tools that get a registry entry by themselves, each with the entry's name."""
        return {
            name: bound.spec.action_type or default_action_type(name)
            for name, bound in self._tools.items()
            if bound.spec.proposable
        }

    def connector_version(self, tool_name: str, tenant_id: str, account_id: str) -> str:
        """The version of the configuration that serves a tenant's account; empty for a tool that is not there."""
        bound = self._tools.get(tool_name)
        return bound.connector.version_for(tenant_id, account_id) if bound is not None else ""

    def undo_arguments(self, request: CallRequest) -> dict[str, Any]:
        """The arguments of the tool that takes back `request.original`; see `ports.tools`."""
        bound = self._tools.get(request.tool_name)
        if bound is None or not bound.definition.verifies_undo:
            raise ConfigurationError(f"The tool {request.tool_name} takes nothing back: it takes no UndoArguments.")
        return {
            "original_key": request.original_key,
            "refs": msgspec.to_builtins(request.original),
            "original_arguments": msgspec.json.decode(request.argument_bytes),
        }

    def validate(self, tool_name: str, arguments: Mapping[str, Any]) -> None:
        """Checks arguments against the tool's model. Raises `InvalidParameters`."""
        bound = self._tools.get(tool_name)
        if bound is None:
            raise InvalidParameters(f"There is no tool '{tool_name}'.")
        stand_in = {n: _SECRET_STAND_IN if is_secret_reference(v) else v for n, v in arguments.items()}
        try:
            bound.spec.arguments.model_validate_json(canonical(stand_in))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            what = f"Argument '{where}' of {tool_name}" if where else f"The arguments of {tool_name}"
            reason = first["msg"].removeprefix("Value error, ")
            raise InvalidParameters(f"{what}: {reason}.", parameter=where or "arguments") from None

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Makes the call once and says how it ended; see `ports.tools`."""
        bound = self._tools.get(request.tool_name)
        if bound is None:
            return _not_sent("TOOL_NOT_FOUND", f"The tool {request.tool_name} is not available.", retryable=False)
        try:
            arguments = await self._arguments(bound, request)
        except (ConfigurationError, ValidationError) as error:
            message = (
                error.message if isinstance(error, ConfigurationError) else "The arguments no longer fit the tool."
            )
            return _not_sent("ARGUMENTS_UNUSABLE", message, retryable=False)
        if not check():
            return _not_sent("TOO_LATE_TO_SEND", "The permit ran out before the call left.", retryable=True)
        try:
            told = _tool_call(request, check)
            result = await self._deadlines.within(request.timeout_seconds, bound.method, arguments, told)
            if isinstance(result, ToolResult):
                return _done(result)
        except NotSent as error:
            return _refusal(CallResult.NOT_SENT, error)
        except Refused as error:
            return _refusal(CallResult.REFUSED, error)
        except TimeoutError:
            return Reply(
                result=CallResult.UNKNOWN,
                retryable=True,
                error_class=ErrorClass.TIMEOUT,
                error_code=FailureCode.TOOL_TIMEOUT.value,
                message=f"No answer within {request.timeout_seconds:g} seconds.",
            )
        except Exception as error:  # noqa: BLE001 - whatever a tool raises, the call was made, and nobody knows
            _log.warning("%s raised %s", request.tool_name, type(error).__name__)
            return Reply(
                result=CallResult.UNKNOWN,
                retryable=True,
                error_class=ErrorClass.UNKNOWN,
                error_code=FailureCode.TOOL_FAILED.value,
                message="The tool failed without saying whether it had an effect.",
            )
        return Reply(
            result=CallResult.UNKNOWN,
            error_class=ErrorClass.UNKNOWN,
            error_code=FailureCode.TOOL_FAILED.value,
            message="The tool's answer is not a ToolResult.",
        )

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Searches the target for what the request's key made; trouble is "cannot tell"."""
        bound = self._tools.get(request.tool_name)
        if bound is None or bound.look_up is None:
            return LookUpResult(found=None, message="The tool cannot be looked up.")
        try:
            arguments = await self._arguments(bound, request)
            told = _tool_call(request, lambda: True)
            answer = await self._deadlines.within(request.timeout_seconds, bound.look_up, arguments, told)
            if isinstance(answer, Found):
                return LookUpResult(found=True, refs=tuple(_clean_ref(ref) for ref in answer.refs))
        except Exception as error:  # noqa: BLE001 - a look-up that fails in any way cannot tell
            _log.warning("the look-up of %s raised %s", request.tool_name, type(error).__name__)
            return LookUpResult(found=None, message="The look-up failed.")
        if isinstance(answer, Absent):
            return LookUpResult(found=False)
        return LookUpResult(found=None, message=_clean(getattr(answer, "message", "")))

    async def preview(self, request: CallRequest) -> Reading:
        """Reads what a call would change; see `ports.tools`."""
        bound = self._tools.get(request.tool_name)
        if bound is None or bound.preview is None:
            return NOT_OFFERED
        kept: list[str] = []
        try:
            arguments = await self._arguments(bound, request, kept)
        except (ConfigurationError, ValidationError) as error:
            message = (
                error.message if isinstance(error, ConfigurationError) else "The arguments no longer fit the tool."
            )
            return Reading(error_class=ErrorClass.VALIDATION, error_code="ARGUMENTS_UNUSABLE", message=message)
        told = _tool_call(request, lambda: True)
        return await read_preview(self._deadlines, bound.preview, arguments, told, kept)

    async def close(self) -> None:
        """Lets every connector let go of its connections."""
        for connector in self._connectors:
            await connector.aclose()

    async def _arguments(self, bound: _Bound, request: CallRequest, kept: list[str] | None = None) -> BaseModel:
        """The call's arguments. `kept` takes up the secrets that are among them."""
        model = bound.spec.arguments
        if request.original_key and issubclass(model, UndoArguments):
            return model.model_validate(_undo_arguments(request))
        if "$secret" not in request.argument_bytes:
            return model.model_validate_json(request.argument_bytes)
        # In a thread, because a secret may be in a file or at a secrets service.
        return await asyncio.to_thread(self._with_secrets, bound, request, kept if kept is not None else [])

    def _with_secrets(self, bound: _Bound, request: CallRequest, kept: list[str]) -> BaseModel:
        arguments = msgspec.json.decode(request.argument_bytes)
        for name, value in arguments.items():
            if is_secret_reference(value):
                arguments[name] = self._secrets.read(request.tenant_id, value["$secret"])
                kept.append(arguments[name])
        return bound.spec.arguments.model_validate(arguments)


def _bind(
    connector: Connector, method_name: str, spec: ToolSpec, method: Callable[..., Awaitable[ToolResult]]
) -> _Bound:
    if spec.semantics.mode is WriteMode.LOOKUP and spec.lookup is None:
        raise ConfigurationError(f"The tool '{connector.name}.{method_name}' is LOOKUP and names no look-up.")
    name = f"{connector.name}.{method_name}"
    semantics = msgspec.structs.replace(spec.semantics, has_lookup=spec.lookup is not None)
    compensation = compensation_of(connector, spec)
    schema = spec.arguments.model_json_schema()
    definition_hash = digest(
        [
            "enactor/tool/v1",
            name,
            spec.version,
            schema,
            msgspec.to_builtins(semantics),
            msgspec.to_builtins(compensation),
            connector.name,
            spec.guard.value,
            spec.risk.value,
            list(spec.scopes),
            spec.summary,
            spec.effect_key,
            msgspec.to_builtins(spec.target),
            *([spec.definition] if spec.definition else []),
        ]
    )
    definition = ToolDefinition(
        tool_name=name,
        tool_schema_version=spec.version,
        connector_id=connector.name,
        connector_version=connector.configuration_version,
        description=spec.description,
        input_schema=schema,
        write_semantics=semantics,
        compensation=compensation,
        risk_class=spec.risk,
        definition_hash=definition_hash,
        guard=spec.guard,
        required_scopes=spec.scopes,
        target=spec.target,
        summary=spec.summary,
        effect_key=spec.effect_key,
        verifies_account=connector.verifies_account,
        governed=spec.proposable,
        previews=spec.preview is not None,
        verifies_undo=issubclass(spec.arguments, UndoArguments),
    )
    try:
        definition = msgspec.convert(msgspec.to_builtins(definition), ToolDefinition)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"What '{name}' declares of itself does not fit: {error}.") from None
    look_up = connector.method(spec.lookup) if spec.lookup else None
    preview = connector.method(spec.preview) if spec.preview else None
    return _Bound(definition, spec, connector, method, look_up, preview)


def _tool_call(request: CallRequest, check: Callable[[], bool]) -> ToolCall:
    def ensure_timely() -> None:
        if not check():
            raise NotSent("TOO_LATE_TO_SEND", "The permit ran out before the call left.")

    return ToolCall(
        tenant_id=request.tenant_id,
        account_id=request.account_id,
        action_intent_id=request.action_intent_id,
        run_number=request.run_number,
        call_no=request.call_no,
        idempotency_key=request.idempotency_key,
        trace_id=request.trace_id,
        timeout_seconds=request.timeout_seconds,
        ensure_timely=ensure_timely,
        expected_version=request.expected_version,
    )


def _undo_arguments(request: CallRequest) -> dict[str, Any]:
    """The frozen arguments of a tool that takes something back, and what is left out of them for its readers' sake."""
    arguments: dict[str, Any] = msgspec.json.decode(request.argument_bytes)
    if request.original_arguments:
        arguments.setdefault("original_arguments", msgspec.json.decode(request.original_arguments))
    return {**arguments, "before": request.before} if request.before else arguments


def _not_sent(code: str, message: str, *, retryable: bool) -> Reply:
    return Reply(
        result=CallResult.NOT_SENT,
        retryable=retryable,
        error_class=ErrorClass.DOWNSTREAM,
        error_code=code,
        message=message,
    )


def _done(result: ToolResult) -> Reply:
    refs = tuple(_clean_ref(ref) for ref in result.refs)
    return Reply(result=CallResult.DONE, refs=refs, partial=bool(result.partial), message=_clean(result.message))


def _refusal(result: CallResult, error: Refused) -> Reply:
    # Whatever a connector put there: a record of another type could not be read again.
    return Reply(
        result=result,
        retryable=bool(error.retryable),
        error_class=class_of(error),
        error_code=_clean(error.code, 100),
        message=_clean(error.message),
        retry_after_seconds=seconds_of(error),
    )


def _clean(text: str, longest: int = 2_000) -> str:
    """What a tool said, as text that can be stored: valid Unicode, and not endless."""
    return str(text)[:longest].encode("utf-8", "replace").decode()


def _clean_ref(ref: ObjectRef) -> ObjectRef:
    if all(text is None or text.isascii() for text in (*ref.identity, ref.object_url, ref.version)):
        return ref
    return ObjectRef(
        system=_clean(ref.system),
        object_type=_clean(ref.object_type),
        object_id=_clean(ref.object_id),
        object_url=None if ref.object_url is None else _clean(ref.object_url),
        version=None if ref.version is None else _clean(ref.version),
    )
