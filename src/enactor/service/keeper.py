"""The keeper of the logs: merges, signs at an interval, and raises the alarm when an entry stays out of its log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from enactor.domain.errors import EnactorError, StoreFailed
from enactor.domain.log import ALARM_SECONDS, LogHead
from enactor.ports.clock import Clock
from enactor.ports.commands import Conflict
from enactor.ports.store import Store
from enactor.service.log import TenantLog

_LISTEN_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 5.0
_PAGE: Final = 500
_TROUBLE: Final = (EnactorError, Conflict, LookupError)
"""What may befall one log; it is told, and tried again."""

_log = logging.getLogger("enactor.ledger")


class KeeperStatus(Struct, frozen=True, kw_only=True):
    """How the logs stand.

    Attributes:
        unmerged_seconds: the age of the oldest entry that is in no log yet, when somebody last looked.
        alarm: whether that is too long, so that the log may be stuck or somebody may hold entries back.
        checkpoints: how many were published since the start.
        failures: how often merging or signing failed since the start.
        error: why it last failed, safe to show; empty once it works again.
    """

    unmerged_seconds: float = 0.0
    alarm: bool = False
    checkpoints: int = 0
    failures: int = 0
    error: str = ""


class LedgerKeeper:
    """Keeps all tenants' logs, in the background, apart from the executions' commits.

    Args:
        log: what merges and signs.
        store: tells when there is something new.
        clock: for all waits.
        merge_seconds: how long entries are collected before they are merged.
        checkpoint_seconds: how often a log that has grown is signed.

    Attributes:
        failed: from `start` on; ends with the `StoreFailed` after which the process has to stop. Never ends otherwise.
    """

    def __init__(
        self,
        log: TenantLog,
        store: Store,
        clock: Clock,
        *,
        merge_seconds: float = 2.0,
        checkpoint_seconds: float = 60.0,
    ) -> None:
        self._tenant_log = log
        self._store = store
        self._clock = clock
        self._merge_seconds = merge_seconds
        self._checkpoint_seconds = checkpoint_seconds
        self._signed: dict[str, int] = {}
        self._work: list[asyncio.Task[None]] = []
        self._status = KeeperStatus()
        self.failed: asyncio.Future[None] | None = None

    def status(self) -> KeeperStatus:
        """How the logs stand."""
        return self._status

    async def start(self) -> None:
        """Begins to work."""
        self.failed = asyncio.get_running_loop().create_future()
        for work in (self._keep_merging(), self._keep_signing(), self._keep_looking()):
            self._begin(work)

    async def stop(self) -> None:
        """Ends. What is not merged yet is merged after the next start. Stopping twice is stopping once."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        self._work.clear()

    async def round(self) -> KeeperStatus:
        """Merges, signs and looks once, for whoever has a schedule of his own instead of `start`.

        What fails is in the status, and does not keep the rest from being done. Raises `StoreFailed`.
        """
        first = ""
        for action in (self._tenant_log.sequencer.merge, self.sign_all, self.look):
            await self._try(action)
            first = first or self._status.error
        self._status = replace(self._status, error=first)
        return self._status

    async def _keep_merging(self) -> None:
        sequencer = self._tenant_log.sequencer
        seen = -1
        while True:
            if not await self._store.wait_beyond(seen, _LISTEN_SECONDS):
                await self._clock.sleep(0)  # a store that is being closed answers at once, and must not be pestered
                continue
            await self._clock.sleep(self._merge_seconds)
            end = await self._store.last_position()
            if await self._try(sequencer.merge):
                seen = end

    async def _keep_signing(self) -> None:
        while True:
            await self._clock.sleep(self._checkpoint_seconds)
            await self._try(self.sign_all)

    async def sign_all(self) -> None:
        """Publishes a checkpoint of every log that has grown by more than checkpoints.

        One tenant's trouble holds up no other one; the first is raised when all have had their turn.
        """
        after: str | None = None
        trouble: Exception | None = None
        while heads := await self._store.log_heads(_PAGE, after):
            for head in heads:
                if self._signed.get(head.tenant_id) != head.size:
                    try:
                        await self._sign(head)
                    except StoreFailed:
                        raise
                    except _TROUBLE as error:
                        trouble = trouble or error
            after = heads[-1].tenant_id
        if trouble is not None:
            raise trouble

    async def _sign(self, head: LogHead) -> None:
        before = await self._store.log_checkpoint(head.tenant_id)
        made = await self._tenant_log.checkpoint(head.tenant_id)
        self._signed[head.tenant_id] = head.size
        if before is None or made.size > before.size:
            self._status = replace(self._status, checkpoints=self._status.checkpoints + 1)

    async def _keep_looking(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            await self._try(self.look)

    async def look(self) -> None:
        """Finds out how late the oldest unmerged entry is, and says so when it is too late."""
        seconds = await self._tenant_log.sequencer.unmerged_seconds()
        alarm = seconds >= ALARM_SECONDS
        if alarm and not self._status.alarm:
            _log.error("a ledger entry has been in no log for %d seconds; see docs/ledger.md", seconds)
        elif self._status.alarm and not alarm:
            _log.warning("every ledger entry is in its log again")
        self._status = replace(self._status, unmerged_seconds=seconds, alarm=alarm)

    async def _try(self, action: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Does it. Only what the store cannot survive ends the keeper; everything else is told and tried again."""
        try:
            await action()
        except StoreFailed:
            raise
        except _TROUBLE as error:
            text = error.message if isinstance(error, EnactorError) else f"The log could not grow: {error}."
            if text != self._status.error:
                _log.error("the ledger's log: %s", text)
            self._status = replace(self._status, failures=self._status.failures + 1, error=text)
            return False
        if self._status.error:
            self._status = replace(self._status, error="")
        return True

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self.failed is not None and not self.failed.done():
            self.failed.set_exception(error)
