"""After a restore from backup: whatever may have been executed since the backup was made says so.

The restored store knows nothing of what happened after the backup, and the world does. Each intent that was not over,
or whose run had failed or was cancelled and could still be replayed, is given a call 0 of unknown result. From there
the ordinary rules hold: where the target honours our key it is called again under the same key, where it can be
searched it is looked up first, and elsewhere a person has to resolve it.
"""

from __future__ import annotations

from typing import Final

from enactor.domain.attempt import Phase, RunStatus
from enactor.domain.intent import ActionIntent, IntentStatus, is_expired
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import CallResult, WritePermit, done_by
from enactor.domain.time import epoch_ms
from enactor.pipeline.start import effect_idempotency_key
from enactor.ports.commands import DoubtAfterRestore
from enactor.service.core import Core

_PAGE: Final = 500
_FAR_FUTURE_MS: Final = 2**52
_REPLAYABLE: Final = frozenset({LedgerEvent.ACTION_FAILED, LedgerEvent.EXECUTION_CANCELLED})


class Restoration:
    """The use case of opening a store that comes from a backup."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def put_in_doubt(self) -> int:
        """Marks every intent that was not over when the backup was made. Before the engine starts. Returns how many."""
        count, after = 0, ""
        while waiting := await self._core.store.expired(_FAR_FUTURE_MS, _PAGE, after):
            for intent in waiting:
                await self._mark(intent)
            count, after = count + len(waiting), waiting[-1].action_intent_id
        after = ""
        while due := await self._core.store.due(_FAR_FUTURE_MS, _PAGE, after):
            for run in due:
                records = await self._core.store.execution(run.tenant_id, run.action_intent_id)
                if records is not None and records.attempt is not None:
                    await self._mark(records.intent)
                    count += 1
            after = due[-1].action_intent_id
        return count + await self._mark_replayable()

    async def _mark_replayable(self) -> int:
        """Marks what had failed and may have been replayed since. Which those are is only in the ledger."""
        ended: dict[tuple[str, str], None] = {}
        position, made_at = 0, 0
        while entries := await self._core.store.entries_after(position, _PAGE):
            for entry in entries:
                if entry.event_type in _REPLAYABLE:
                    ended[entry.tenant_id, entry.action_intent_id] = None
            position, made_at = entries[-1].position, max(made_at, epoch_ms(entries[-1].timestamp))
        count = 0
        for tenant_id, action_intent_id in ended:
            records = await self._core.store.execution(tenant_id, action_intent_id)
            attempt = records.attempt if records else None
            if records is None or attempt is None or attempt.status not in (RunStatus.FAILED, RunStatus.CANCELLED):
                continue
            intent = records.intent
            known = done_by(records.permits, Phase.EFFECT) is not None
            if intent.status is IntentStatus.APPROVED and not known and not is_expired(intent, made_at):
                await self._mark(intent)
                count += 1
        return count

    async def _mark(self, intent: ActionIntent) -> None:
        core = self._core
        now = core.clock.now_ms()
        permit = WritePermit(
            idempotency_key=effect_idempotency_key(intent),
            action_intent_id=intent.action_intent_id,
            tenant_id=intent.tenant_id,
            purpose=Phase.EFFECT,
            run_number=0,
            call_no=0,
            fence=0,
            call_not_after=now,
            reply_not_after=now,
            # The retention of the key counts from the first call, and that may have been as early as this.
            taken_at=epoch_ms(intent.created_at),
            result=CallResult.UNKNOWN,
            taken_over=True,
        )
        data = {"restored": True, "unknown_calls": [0], "status": intent.status.value}
        entry = core.intent_entry(intent, LedgerEvent.LEASE_TAKEN_OVER, "enactor", data)
        await core.store.commit([DoubtAfterRestore(permit=permit), entry])
