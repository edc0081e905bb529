"""What would keep the Salesforce tools from working in an organization: looked at, never changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

from enactor.connectors.context import Check
from enactor.connectors.salesforce.organization import Organization
from enactor.connectors.salesforce.records import ACCOUNT, OPPORTUNITY, TASK
from enactor.connectors.sdk import Refused
from enactor.domain.errors import EnactorError

_LITTLE: Final = 0.05
_KEY_LENGTH: Final = 64
_NEEDED: Final = {"createable": "create", "updateable": "change", "deletable": "delete", "queryable": "search"}


async def examine(organization: Organization) -> list[Check]:
    """Every check of an organization: token, API version, requests left, fields, permissions, accounts."""
    name = organization.settings.instance_url
    found: list[Check] = []
    try:
        async for check in _examined(organization, name):
            found.append(check)  # noqa: PERF401 - what was found before a failure is kept
    except (Refused, EnactorError) as error:
        message = error.message
        found.append(Check(False, f"{name}: {message}", "check address, credentials and permissions"))
    return found


async def _examined(organization: Organization, name: str) -> AsyncIterator[Check]:
    said = (await organization.target.about()).get("instance_url", name)
    if said.rstrip("/").lower() == name.lower():
        yield Check(True, f"{name}: gives access tokens")
    else:
        yield Check(False, f"{name}: its tokens are for another instance", "set instance_url to the organization's own")
    if await organization.user_id() is None:
        advice = "a look-up of an update cannot tell without: ask for the scope id"
        yield Check(False, f"{name}: its tokens do not say whose they are", advice, blocks=False)
    limits = await organization.document("limits")
    yield _requests(limits, name)
    for object_type in (TASK, OPPORTUNITY):
        described = await organization.document(f"sobjects/{object_type}/describe")
        for check in _described(organization, object_type, described):
            yield check
    for ours, theirs in sorted(organization.settings.accounts.items()):
        record = await organization.record(ACCOUNT, theirs, ())
        if record is None:
            yield Check(False, f"{name}: there is no Account {theirs} for {ours}", "correct accounts, or share it")
        else:
            yield Check(True, f"{name}: {ours} is Account {theirs}")


def _requests(limits: Mapping[str, Any], name: str) -> Check:
    daily = limits.get("DailyApiRequests")
    try:
        most, left = int(daily["Max"]), int(daily["Remaining"])  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return Check(False, f"{name}: does not say how many API requests are left", blocks=False)
    text = f"{name}: {left} of {most} API requests are left today"
    return Check(
        left > most * _LITTLE, text, "" if left > most * _LITTLE else "have the limit raised", blocks=left == 0
    )


def _described(organization: Organization, object_type: str, described: Mapping[str, Any]) -> Iterator[Check]:
    name = organization.settings.instance_url
    missing = [verb for member, verb in _NEEDED.items() if described.get(member) is not True]
    if missing:
        text = f"{name}: the integration user may not {', '.join(missing)} records of {object_type}"
        yield Check(False, text, "grant it in the user's permission set")
    else:
        yield Check(True, f"{name}: may create, change, delete and search records of {object_type}")
    key_field = organization.key_field(object_type)
    fields = described.get("fields")
    listed = fields if isinstance(fields, list) else []
    field = next((one for one in listed if isinstance(one, dict) and one.get("name") == key_field), None)
    home = "Activity" if object_type == TASK else object_type
    if field is None:
        text = f"{name}: {object_type} has no field {key_field} that the integration user sees"
        yield Check(False, text, f"make it on {home}: text of {_KEY_LENGTH}, external id, unique")
        return
    wrong = [
        words
        for words, bad in (
            ("is no external id", field.get("externalId") is not True),
            ("is not unique", field.get("unique") is not True),
            ("cannot be set when a record is created", field.get("createable") is not True),
            (f"holds fewer than {_KEY_LENGTH} characters", not _long_enough(field.get("length"))),
        )
        if bad
    ]
    if wrong:
        text = f"{name}: {object_type}.{key_field} {', '.join(wrong)}"
        yield Check(False, text, f"correct it on {home}: without it nothing tells two records of one key apart")
    else:
        yield Check(True, f"{name}: {object_type}.{key_field} is a unique external id")


def _long_enough(length: object) -> bool:
    return isinstance(length, int) and length >= _KEY_LENGTH
