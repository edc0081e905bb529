"""Where a call takes place: one Account of one organization, and the care that every tool takes there."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, Final, ParamSpec

from enactor.connectors.salesforce.organization import Organization
from enactor.connectors.salesforce.records import Record, record_id
from enactor.connectors.sdk import CannotTell, LookUpAnswer, Refused, ToolCall
from enactor.domain.errors import EnactorError, ErrorClass
from enactor.domain.outcome import ObjectRef
from enactor.ports.clock import Clock

SYSTEM: Final = "salesforce"

Parameters = ParamSpec("Parameters")


class Site:
    """An Account of an organization, for one call.

    Args:
        organization: where it is.
        account: the Salesforce Account that the call's account stands for.
        clock: for how long the call has been going on.
    """

    def __init__(self, organization: Organization, account: str, clock: Clock) -> None:
        self.organization = organization
        self.account = account
        self._clock = clock
        self._since = clock.elapsed_ms()

    async def read_back(
        self, object_type: str, identity: str, fields: Sequence[str], call: ToolCall
    ) -> tuple[bool, Record | None]:
        """What was just written, as it is now: whether it could be read in the time that is left, and the record."""
        passed = (self._clock.elapsed_ms() - self._since) / 1000
        left = max(0.0, (call.timeout_seconds - passed) / 2)
        try:
            async with asyncio.timeout(left), self.organization.target.after_sending(call):
                return True, await self.organization.record(object_type, identity, fields)
        except (Refused, EnactorError, TimeoutError):
            return False, None

    def belongs(self, object_type: str, record: Record) -> bool:
        """Whether a record is one of the Account's."""
        try:
            return record_id(record.get(self.organization.account_field(object_type))) == self.account
        except ValueError:
            return False

    def check_account(self, object_type: str, record: Record) -> None:
        """Raises `Refused` unless a record is one of the Account's."""
        if not self.belongs(object_type, record):
            raise Refused(
                "ACCOUNT_MISMATCH", f"The {object_type} belongs to another account.", error_class=ErrorClass.AUTH
            )

    def ref(self, object_type: str, identity: str, version: str | None) -> ObjectRef:
        """A reference to a record."""
        return ObjectRef(
            system=SYSTEM,
            object_type=object_type,
            object_id=identity,
            object_url=self.organization.url_of(identity),
            version=version,
        )


def original_ref(
    refs: Sequence[dict[str, Any]], object_types: Sequence[str] | None = None
) -> tuple[str, str, str | None]:
    """Type, id and version of the one Salesforce record that is to be undone. Raises `Refused` when it is not one."""
    try:
        (ref,) = (ref for ref in refs if ref.get("system") == SYSTEM)
        object_type, version = str(ref["object_type"]), ref.get("version")
        identity = record_id(ref.get("object_id"), object_type)
    except (ValueError, KeyError):
        raise Refused(
            "NOTHING_TO_UNDO", "The original names no single Salesforce record.", error_class=ErrorClass.VALIDATION
        ) from None
    if object_types is not None and object_type not in object_types:
        raise Refused(
            "NOTHING_TO_UNDO", f"A {object_type} is nothing that was created.", error_class=ErrorClass.VALIDATION
        )
    return object_type, identity, version if isinstance(version, str) else None


def cannot_tell_when_refused(
    look: Callable[Concatenate[Site, Parameters], Awaitable[LookUpAnswer]],
) -> Callable[Concatenate[Site, Parameters], Awaitable[LookUpAnswer]]:
    """Makes a look-up say that it cannot tell, where reading is refused or fails."""

    @functools.wraps(look)
    async def looked_up(site: Site, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> LookUpAnswer:
        try:
            return await look(site, *args, **kwargs)
        except Refused as refused:
            return CannotTell(message=f"{refused.code}: {refused.message}")

    return looked_up
