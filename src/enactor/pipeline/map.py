"""MapActionToTool: the call is the frozen one; what would be called must still be what was approved."""

from __future__ import annotations

from enactor.domain.approval import approval_digest
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ErrorClass, FailureCode
from enactor.pipeline.model import Context, Continue, Reads, Run, Turn
from enactor.pipeline.preflight import effect_is_known
from enactor.pipeline.record import Ending, finish


def _difference(reads: Reads) -> tuple[FailureCode, str] | None:
    intent, entry, tool = reads.intent, reads.entry, reads.tool
    if entry is None or entry.tool_name != intent.tool_call.tool_name:
        return FailureCode.TOOL_MAPPING_NOT_FOUND, "The pinned registry entry no longer maps the action to its tool."
    if tool is None:
        return FailureCode.TOOL_MAPPING_NOT_FOUND, f"The tool {intent.tool_call.tool_name} is not there any more."
    if approval_digest(intent) != intent.approval_digest:
        return FailureCode.APPROVAL_DIGEST_MISMATCH, "The record is not the one that was approved."
    if tool.definition_hash != intent.definition_hash:
        return (
            FailureCode.APPROVAL_DIGEST_MISMATCH,
            "The tool's definition changed after the approval; propose it again.",
        )
    if reads.connector_version != intent.connector_version or tool.connector_id != intent.connector_id:
        return (
            FailureCode.APPROVAL_DIGEST_MISMATCH,
            "The connector's configuration changed after the approval; propose it again.",
        )
    return None


def map_action_to_tool(run: Run, reads: Reads, ctx: Context) -> Turn:
    """Goes on only if registry entry, tool definition, connector configuration and digest are the approved ones."""
    difference = None if effect_is_known(run) else _difference(reads)
    if difference is None:
        return Continue(run=run)
    code, message = difference
    ending = Ending(RunStatus.FAILED, code=code.value, error_class=ErrorClass.VALIDATION, message=message)
    return finish(run, reads, ctx, ending)
