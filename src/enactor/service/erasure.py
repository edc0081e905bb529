"""Erasing the personal data of an intent, or of all that is about a subject (specification, sections 1 and 10)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from enactor.domain.erasure import is_over
from enactor.domain.errors import IntentNotFound, InvalidInput
from enactor.domain.idempotency import undo_effect_key
from enactor.domain.ids import is_intent_id
from enactor.domain.intent import ActionIntent
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import CallResult
from enactor.domain.principal import ALL_ACCOUNTS, Permission, Principal
from enactor.ports.artifacts import ArtifactStore
from enactor.ports.commands import Conflict, ConflictKind, EraseIntent
from enactor.ports.store import ExecutionFilter
from enactor.service.core import Core

MOST_INTENTS: Final = 1_000
SHORTEST_SUBJECT: Final = 4
_PAGE: Final = 100
_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#-]{0,63}")
_NOT_OVER: Final = "It is pending, running or in doubt: decide, cancel or resolve it first."
_UNKNOWN: Final = "There is no such intent."


class Refusal(Struct, frozen=True, kw_only=True):
    """An intent that was not erased, and why."""

    action_intent_id: str
    reason: str


class Erasure(Struct, frozen=True, kw_only=True):
    """What was erased; of a dry run, what would be.

    Attributes:
        refused: what still has to come to its end, and what does not exist. It keeps its data.
    """

    erased: tuple[str, ...]
    refused: tuple[Refusal, ...]
    dry_run: bool


class Erasures:
    """The use case.

    Args:
        core: the ports.
        artifacts: where answers were put aside; None where nothing ever is.
    """

    def __init__(self, core: Core, artifacts: ArtifactStore | None = None) -> None:
        self._core = core
        self._artifacts = artifacts

    async def erase(
        self,
        by: Principal,
        *,
        reference: str,
        action_intent_ids: Sequence[str] = (),
        subject: str | None = None,
        dry_run: bool = False,
    ) -> Erasure:
        """Erases intents and their undos, each in a commit of its own that also says so in the ledger.

        Args:
            reference: the number of the request, or of a ticket. It stays in the ledger and so must say nothing itself.
            action_intent_ids: which ones.
            subject: and every one in whose target, parameters, preview, rationale, evidence, labels or reasons, in any
                revision, this text appears, whatever its case.
            dry_run: only finds out what would be erased.

        Raises:
            InvalidInput: neither is named, the subject is too short to mean somebody, or the reference is no number.
        """
        by.require(Permission.ERASE)
        if _REFERENCE.fullmatch(reference) is None:
            raise InvalidInput("A reference is a number of a request or ticket: 1 to 64 letters, digits and ._:/#-")
        if not action_intent_ids and subject is None:
            raise InvalidInput("Name intents, or a subject.")
        if subject is not None and len(subject.strip()) < SHORTEST_SUBJECT:
            raise InvalidInput(f"A subject has at least {SHORTEST_SUBJECT} characters; a shorter one is everywhere.")
        if len(action_intent_ids) > MOST_INTENTS:
            raise InvalidInput(f"At most {MOST_INTENTS} intents at once.")
        asked = "SUBJECT" if subject is not None else "INTENT"
        erased: list[str] = []
        refused: list[Refusal] = []
        seen: set[str] = set()
        async for name in self._named(by, action_intent_ids, subject):
            for each in (name, *await self._undos_of(by.tenant_id, name)):
                if each in seen:
                    continue
                seen.add(each)
                reason = await self._one(by, each, reference, asked, dry_run=dry_run)
                if reason is None:
                    erased.append(each)
                else:
                    refused.append(Refusal(action_intent_id=each, reason=reason))
        return Erasure(erased=tuple(erased), refused=tuple(refused), dry_run=dry_run)

    async def _named(self, by: Principal, names: Sequence[str], subject: str | None) -> AsyncIterator[str]:
        for name in dict.fromkeys(names):
            yield name
        if subject is None:
            return
        wanted = subject.strip().casefold()
        accounts = None if ALL_ACCOUNTS in by.account_ids else by.account_ids
        token: str | None = None
        while True:
            page = await self._core.store.list_executions(
                by.tenant_id, ExecutionFilter(account_ids=accounts), _PAGE, token
            )
            for row in page.items:
                if row.intent.action_intent_id not in names and await self._is_about(row.intent, wanted):
                    yield row.intent.action_intent_id
            token = page.next_token
            if token is None:
                return

    async def _undos_of(self, tenant_id: str, name: str) -> tuple[str, ...]:
        """The intents that take back, or took back, what the intent did: they say the same again."""
        records = await self._core.store.execution(tenant_id, name) if is_intent_id(name) else None
        if records is None or records.attempt is None:
            return ()
        found = []
        for run_number in range(1, records.attempt.run_number + 1):
            holder = await self._core.store.effect_holder(tenant_id, undo_effect_key(name, run_number))
            if holder is not None:
                found.append(holder)
        return tuple(found)

    async def _is_about(self, intent: ActionIntent, wanted: str) -> bool:
        if mentions(intent, wanted):
            return True
        if intent.revision == 1:
            return False
        revisions = await self._core.store.revisions(intent.tenant_id, intent.action_intent_id)
        return any(mentions(revision, wanted) for revision in revisions)

    async def _one(self, by: Principal, name: str, reference: str, asked: str, *, dry_run: bool) -> str | None:
        """Erases one intent. Returns why not, if not."""
        core = self._core
        try:
            intent = await core.visible_intent(by, name)
        except IntentNotFound:
            return _UNKNOWN
        records = await core.store.execution(by.tenant_id, name) if is_intent_id(name) else None
        if records is None:
            return _UNKNOWN
        if not is_over(intent, records.attempt) or any(it.result is CallResult.OPEN for it in records.permits):
            return _NOT_OVER
        if dry_run:
            return None
        artifacts = await self._drop_artifacts(intent)
        data: dict[str, Any] = {"reference": reference, "asked_for": asked, "artifacts": artifacts}
        entry = core.intent_entry(intent, LedgerEvent.PERSONAL_DATA_ERASED, by.name, data)
        command = EraseIntent(tenant_id=by.tenant_id, action_intent_id=name, erased_at=core.now())
        try:
            await core.store.commit([command, entry])
        except Conflict as conflict:
            if conflict.kind is ConflictKind.STATUS_CHANGED:
                return _NOT_OVER
            raise
        return None

    async def _drop_artifacts(self, intent: ActionIntent) -> int:
        """Deletes what was put aside: before the references to it go, so that a crash in between forgets none."""
        if self._artifacts is None:
            return 0
        outcomes = await self._core.store.outcomes(intent.tenant_id, intent.action_intent_id)
        references = {it.raw_response_artifact_ref for it in outcomes if it.raw_response_artifact_ref}
        for reference in sorted(references):
            await self._artifacts.forget(intent.tenant_id, reference)
        return len(references)


def mentions(intent: ActionIntent, wanted: str) -> bool:
    """Whether a text is in what somebody said or asked for in an intent. `wanted` is case-folded."""
    target = intent.target
    said: list[Any] = [
        intent.parameters,
        intent.tool_call.argument_bytes,
        intent.summary,
        target.entity_id if target is not None else "",
        msgspec.to_builtins(intent.preview) if intent.preview is not None else "",
        intent.rationale,
        intent.evidence_refs,
        intent.effect_key or "",
        intent.decided_reason,
        intent.labels,
        [ref.object_id for ref in intent.undoes.refs] if intent.undoes is not None else "",
    ]
    return any(wanted in text.casefold() for text in _texts(said))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield str(name)
            yield from _texts(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _texts(member)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
