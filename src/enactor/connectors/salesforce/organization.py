"""The conversation with one Salesforce organization: reads, which may be repeated, and writes, which are sent once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from enactor.connectors.http_call import Answer, Unclear
from enactor.connectors.http_target import HttpTarget
from enactor.connectors.salesforce.records import ACCOUNT_FIELDS, OPPORTUNITY, STAMPS, TASK, Record, record_id
from enactor.connectors.salesforce.replies import GONE, only, refusal
from enactor.connectors.salesforce.settings import OrganizationSettings
from enactor.connectors.sdk import NotSent, Refused, ToolCall
from enactor.domain.canonical import canonical
from enactor.domain.errors import ErrorClass
from enactor.ports.clock import Clock

_JSON: Final = {"Accept": "application/json"}
_log = logging.getLogger("enactor.connectors.salesforce")


class Organization:
    """One organization under one tenant's settings.

    Args:
        settings: its address and what it serves.
        target: the server it is on.
        clock: for `Retry-After`.
    """

    def __init__(self, settings: OrganizationSettings, target: HttpTarget, clock: Clock) -> None:
        self.settings = settings
        self.target = target
        self._clock = clock
        self._account_fields = {**ACCOUNT_FIELDS, **settings.account_fields}
        self._keys = {TASK: settings.key_fields.task, OPPORTUNITY: settings.key_fields.opportunity}
        self._base_url = f"{settings.instance_url}/services/data/v{settings.api_version}/"

    def key_field(self, object_type: str) -> str | None:
        """The field of an object that holds our keys, or None when it has none."""
        return self._keys.get(object_type)

    def account_field(self, object_type: str) -> str:
        """The field of an object that names the Account it belongs to. Raises `Refused` when none is known."""
        field = self._account_fields.get(object_type)
        if field is None:
            raise Refused(
                "ACCOUNT_NOT_VERIFIABLE",
                f"It is not known which Account a {object_type} belongs to; name the field in account_fields.",
                error_class=ErrorClass.VALIDATION,
            )
        return field

    def url_of(self, identity: str) -> str:
        """Where people see a record."""
        return f"{self.settings.instance_url}/{identity}"

    async def user_id(self) -> str | None:
        """Who writes here: the integration user's id, as the token's answer names it, or None."""
        identity = (await self.target.about()).get("id", "")
        try:
            return record_id(identity.rstrip("/").rpartition("/")[2])
        except ValueError:
            return None

    # -- writing ---------------------------------------------------------------------------------------------------

    async def write(self, method: str, path: str, body: Mapping[str, Any] | None, call: ToolCall) -> Answer:
        """Sends one request that changes something: once, whatever comes back. Raises as `HttpTarget.write` does."""
        content = None if body is None else canonical(body)
        headers = _JSON if content is None else {**_JSON, "Content-Type": "application/json; charset=UTF-8"}
        answer = await self.target.write(method, f"{self._base_url}{path}", call, headers=headers, content=content)
        if answer.status >= 300:
            _log.warning("%s %s answered %d", method, path.rpartition("/")[0], answer.status)
        return answer

    def refusal(self, answer: Answer) -> Refused:
        """What an answer refuses; see `replies.refusal` for what it raises."""
        return refusal(answer, self._clock.now_ms())

    # -- reading ---------------------------------------------------------------------------------------------------

    async def read(self, path: str, parameters: Mapping[str, str] | None = None) -> Answer:
        """Sends one request that changes nothing. Raises as `HttpTarget.read` does."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return await self.target.read("GET", f"{self._base_url}{path}{query}", headers=_JSON)

    async def record(self, object_type: str, identity: str, fields: Iterable[str]) -> Record | None:
        """The fields of a record, its Account, its change and who changed it last; None when it is not there.

        Raises `NotSent` and `Refused` as `read` does, and when the answer is no such record.
        """
        wanted = {"Id", *STAMPS, "LastModifiedById", self.account_field(object_type), *fields}
        path = f"sobjects/{object_type}/{quote(identity, safe='')}"
        found = await self._found(await self.read(path, {"fields": ",".join(sorted(wanted))}))
        if found is not None and _id_in(found) != identity:
            raise NotSent("READ_FAILED", "Salesforce answered with another record than the one asked for.")
        return found

    async def by_key(self, object_type: str, key: str) -> Record | None:
        """The record that carries our key in its external-id field; None when there is none that can be seen.

        Raises `NotSent` and `Refused` as `read` does, and when the answer is no such record.
        """
        field = self._keys[object_type]
        found = await self._found(await self.read(f"sobjects/{object_type}/{field}/{quote(key, safe='')}"))
        if found is not None and (found.get(field) != key or _id_in(found) is None):
            raise NotSent("READ_FAILED", "Salesforce answered with a record that does not carry the key asked for.")
        return found

    async def rows(self, query: str, *, deleted_too: bool = False) -> list[Record]:
        """The first rows of a SOQL query, those in the recycle bin too if asked. Raises as `read` does."""
        answer = await self.read("queryAll" if deleted_too else "query", {"q": query})
        document = self._document(answer)
        rows = document.get("records")
        if document.get("done") is not True or not isinstance(rows, list):
            raise NotSent("READ_FAILED", "Salesforce's answer to a query cannot be read.")
        return [row for row in rows if isinstance(row, dict)]

    async def document(self, path: str) -> Record:
        """A resource that is a JSON object. Raises as `read` does."""
        return self._document(await self.read(path))

    async def close(self) -> None:
        """Lets go of tokens and connections."""
        await self.target.close()

    # -- details ---------------------------------------------------------------------------------------------------

    async def _found(self, answer: Answer) -> Record | None:
        return None if only(answer, *GONE) else self._document(answer)

    def _document(self, answer: Answer) -> dict[str, Any]:
        if answer.status != 200:
            try:
                raise self.refusal(answer)
            except Unclear as error:
                raise NotSent("READ_FAILED", f"Salesforce could not be read: {error}.") from None
        try:
            document = orjson.loads(answer.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise NotSent("READ_FAILED", "Salesforce's answer cannot be read.")
        return document


def _id_in(record: Record) -> str | None:
    try:
        return record_id(record.get("Id"))
    except ValueError:
        return None
