"""The preview of a proposal: the target is read for whoever decides, and never shown to who proposed."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from enactor.domain.errors import ErrorClass, PreviewRefused, TargetUnreadable
from enactor.domain.intent import ActionIntent, preview_of
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import Purpose
from enactor.pipeline.undoing import READ_SECONDS
from enactor.ports.commands import AppendLedger
from enactor.ports.tools import CallRequest, Reading
from enactor.service.core import Core

_AT_ONCE: Final = 16


class Previewer:
    """Reads targets for proposals and edits, a few at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def previewed(self, intent: ActionIntent, actor: str) -> tuple[ActionIntent, tuple[AppendLedger, ...]]:
        """The intent with its preview, and the ledger entry that says that the target was read.

        The entry holds nothing of what was read: whoever reads the ledger may be one who must not see it.

        Args:
            intent: with its frozen call; unchanged when the tool offers no preview.
            actor: for whom it is read.

        Raises:
            PreviewRefused: the target says that what the action is about is not there, or not as it must be.
            TargetUnreadable: it could not be read now.
        """
        definition = self._core.tools.definition(intent.tool_call.tool_name)
        if definition is None or not definition.previews:
            return intent, ()
        async with self._at_once:
            reading = await self._core.tools.preview(_request(intent))
        if not reading.offered:
            return intent, ()
        if reading.before is None:
            raise _trouble(reading)
        preview = preview_of(reading.before, reading.after, reading.version_tag, definition.guard)
        data = {"tool_name": intent.tool_call.tool_name, "purpose": "PREVIEW", "guard": definition.guard.value}
        entry = self._core.intent_entry(intent, LedgerEvent.TARGET_READ, actor, data)
        return msgspec.structs.replace(intent, preview=preview), (entry,)


def _request(intent: ActionIntent) -> CallRequest:
    return CallRequest(
        tenant_id=intent.tenant_id,
        account_id=intent.account_id,
        action_intent_id=intent.action_intent_id,
        run_number=0,
        call_no=0,
        purpose=Purpose.EFFECT,
        tool_name=intent.tool_call.tool_name,
        tool_schema_version=intent.tool_call.tool_schema_version,
        argument_bytes=intent.tool_call.argument_bytes,
        idempotency_key="",
        trace_id=intent.trace_id,
        send_not_after=0,
        timeout_seconds=min(READ_SECONDS, intent.execution_policy.timeout_seconds),
        definition_hash=intent.definition_hash,
    )


def _trouble(reading: Reading) -> Exception:
    if reading.deferred_reason:
        return TargetUnreadable(
            f"The target is not read now: {reading.deferred_reason}. Nothing was stored; try again.",
            retry_after_seconds=reading.retry_after_seconds,
        )
    if reading.retryable:
        return TargetUnreadable(
            f"The target could not be read for the preview, and nothing was stored. {reading.message}".strip(),
            target_error_code=reading.error_code,
            retry_after_seconds=reading.retry_after_seconds,
        )
    if reading.error_class is ErrorClass.AUTH:
        # Whether it is there and another account's, or not there at all, is not for a proposer to learn.
        return PreviewRefused("What the action is about cannot be read for this account; nothing was stored.")
    return PreviewRefused(
        f"What the action is about is not as it must be, and nothing was stored. {reading.message}".strip(),
        target_error_code=reading.error_code,
    )
