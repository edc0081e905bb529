"""The connector's settings, what its configuration version covers, and what the doctor sees."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from enactor.connectors.http_call import Answer, Unclear
from enactor.connectors.salesforce import SalesforceConnector, SalesforceSettings
from enactor.connectors.salesforce.records import record_id, same, version_of
from enactor.connectors.salesforce.replies import EFFECT_FREE, refusal
from enactor.connectors.sdk import Refused
from enactor.domain.errors import ConfigurationError
from enactor.settings import Settings
from enactor.wiring.assembly import find_connectors
from tests.connectors.salesforce.rig import Rig

WRONG = [
    ({"instance_url": "https://acme.my.salesforce.com/path"}, "instance_url"),
    ({"instance_url": "http://acme.my.salesforce.com"}, "instance_url"),
    ({"instance_url": "https://user:pass@acme.my.salesforce.com"}, "instance_url"),
    ({"accounts": {}}, "accounts"),
    ({"accounts": {"north": "006000000000001AAA"}}, "accounts"),
    ({"api_version": "latest"}, "api_version"),
    ({"key_fields": {"task": "a b"}}, "key_fields.task"),
    ({"colour": "green"}, "colour"),
    ({"oauth": {"client_secret": "the-secret-itself"}}, "client_secret"),
    ({"oauth": {"grant": "refresh_token"}}, "oauth"),
    ({"oauth": {"client_secret": None}}, "oauth"),
    ({"oauth": {"token_url": "ftp://acme.example"}}, "token_url"),
]


@pytest.mark.parametrize(("changes", "names"), WRONG)
async def test_wrong_settings_are_named_and_not_repeated(rig: Rig, changes: dict[str, Any], names: str) -> None:
    """Each mistake is refused when the connector is made, by its dotted name and without the value."""
    with pytest.raises(ConfigurationError) as wrong:
        SalesforceConnector.configured(rig.context(rig.settings(**changes)))
    assert wrong.value.message.startswith("connector_settings.salesforce.organizations.0")
    assert names in wrong.value.message
    assert "the-secret-itself" not in wrong.value.message
    assert "pass@" not in wrong.value.message


async def test_one_account_has_one_organization(rig: Rig) -> None:
    """Two organizations for one account of a tenant are refused; for two tenants they are not."""
    (one,) = rig.settings()["organizations"]
    with pytest.raises(ConfigurationError, match="twice"):
        SalesforceConnector.configured(rig.context({"organizations": [one, one]}))
    both = SalesforceConnector.configured(rig.context({"organizations": [one, {**one, "tenant": "globex"}]}))
    await both.aclose()
    with pytest.raises(ConfigurationError, match="organizations"):
        SalesforceConnector.configured(rig.context({}))


async def test_the_configuration_version_covers_endpoint_and_credential_reference(rig: Rig) -> None:
    """Another address, client, reference, version or mapping is another configuration, and needs a new approval."""
    versions = {rig.connector.configuration_version}
    for changes in (
        {"instance_url": "https://other.my.salesforce.com"},
        {"api_version": "63.0"},
        {"accounts": {"north": rig.south}},
        {"oauth": {"client_secret": "env:OTHER"}},
        {"oauth": {"client_id": "other"}},
    ):
        made = SalesforceConnector.configured(rig.context(rig.settings(**changes)))
        versions.add(made.configuration_version)
        await made.aclose()
    assert len(versions) == 6


def test_the_documented_settings_are_settings() -> None:
    """The example in the documentation is accepted as it stands, by the server and by the connector."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "connectors-salesforce.md").read_text()
    (block,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    settings = Settings.model_validate(tomllib.loads(block))
    (organization,) = SalesforceSettings.of(settings.connector_settings["salesforce"]).organizations
    assert settings.connectors == ("internal", "salesforce")
    assert (organization.tenant, organization.accounts) == ("acme", {"north": "001D000000IqhSLIAZ"})
    assert organization.instance_url == "https://acme.my.salesforce.com"


async def test_a_server_finds_it_by_name(rig: Rig) -> None:
    """The entry point `salesforce` is configured from the settings' own table."""
    (found,) = find_connectors(["salesforce"], rig.store, rig.clock, {"salesforce": rig.settings()}, development=True)
    assert isinstance(found, SalesforceConnector)
    assert found.configuration_version == rig.connector.configuration_version
    await found.aclose()
    with pytest.raises(ConfigurationError, match="needs"):
        find_connectors(["salesforce"], rig.store, rig.clock)


async def test_loopback_needs_development(rig: Rig) -> None:
    """A server that is not for development calls no organization on this machine."""
    made = SalesforceConnector.configured(replace(rig.context(rig.settings()), development=False))
    checks = await made.doctor()
    assert [check.good for check in checks] == [False]
    assert "plain http" in checks[0].text
    await made.aclose()


async def test_the_doctor_is_content_with_a_good_organization(rig: Rig) -> None:
    """Token, limits, permissions, key fields and accounts: all seen, and nothing changed."""
    checks = await rig.connector.doctor()
    assert all(check.good for check in checks), checks
    shown = "\n".join(check.text for check in checks)
    for part in ("access tokens", "API requests", "Task.Enactor_Key__c", "Opportunity.Enactor_Key__c", rig.north):
        assert part in shown
    assert rig.server.writes == []


async def test_the_doctor_sees_what_keeps_tools_from_working(rig: Rig) -> None:
    """A key field that is missing, not unique, no external id or too short, and missing permissions."""
    task, deal = rig.org.objects["Task"], rig.org.objects["Opportunity"]
    task.fields.pop("Enactor_Key__c")
    deal.fields["Enactor_Key__c"] = replace(
        deal.fields["Enactor_Key__c"], unique=False, external_id=False, length=40, createable=False
    )
    deal.deletable = False
    rig.server.requests_left = 10
    rig.org.records[rig.south]["IsDeleted"] = True
    bad = [check for check in await rig.connector.doctor() if not check.good]
    shown = "\n".join(f"{check.text}: {check.advice}" for check in bad)
    for part in (
        "Task has no field Enactor_Key__c",
        "make it on Activity",
        "is not unique",
        "is no external id",
        "fewer than 64",
        "cannot be set",
        "may not delete records of Opportunity",
        "API requests are left",
        f"there is no Account {rig.south}",
    ):
        assert part in shown


async def test_the_doctor_sees_a_foreign_instance_and_a_refused_client(rig: Rig) -> None:
    """Tokens of another instance, and a client that gets none, are problems that block."""
    made = Rig(rig.server, rig.clock, instance_url=rig.server.url.replace("127.0.0.1", "localhost"))
    assert "another instance" in next(check.text for check in await made.connector.doctor() if not check.good)
    await made.close()
    made = Rig(rig.server, rig.clock, oauth={"client_id": "unknown"})
    (check,) = await made.connector.doctor()
    assert (check.good, check.blocks) == (False, True)
    assert "invalid_client_id" in check.text
    await made.close()


ALPHANUMERIC = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=15, max_size=15)


@given(ALPHANUMERIC)
def test_an_id_is_the_same_in_both_forms(core: str) -> None:
    """15 and 18 characters name the same record, and a change of case is noticed."""
    full = record_id(core)
    assert full[:15] == core
    assert record_id(full) == record_id(full[:15] + full[15:].lower()) == full
    if core.swapcase() != core:
        with pytest.raises(ValueError, match="last three"):
            record_id(core.swapcase() + full[15:])


def test_ids_known_to_be_right() -> None:
    """Examples from Salesforce's documentation."""
    assert record_id("001D000000IqhSL") == "001D000000IqhSLIAZ"
    assert record_id("001D000000IqhSLIAZ", "Account") == "001D000000IqhSLIAZ"
    for wrong in ("", "001", None, 15, "001D000000IqhS!", "001D000000IqhSLIAZ1"):
        with pytest.raises(ValueError, match="record id"):
            record_id(wrong)
    with pytest.raises(ValueError, match="Opportunity"):
        record_id("001D000000IqhSL", "Opportunity")


def test_what_salesforce_stores_as_the_same() -> None:
    """Surrounding blanks, empty text and the form of an instant make no difference; other things do."""
    assert same("Won ", "Won")
    assert same("", None)
    assert same(5, 5.0)
    assert same("2026-05-28T20:26:40.000+0000", "2026-05-28T22:26:40+02:00")
    for left, right in (("Won", "won"), (True, 1), (False, None), (0, None), ("2026-05-28", "2026-05-29"), ("1", 1)):
        assert not same(left, right)
    assert version_of({"Name": "x"}, ("Name",)) is None
    assert version_of({"LastModifiedDate": "t", "Name": "x"}, ("Name",)) != version_of(
        {"LastModifiedDate": "t"}, ("Name",)
    )


UNCLEAR = [
    *(
        (status, b'[{"errorCode":"INVALID_FIELD","message":"x"}]')
        for status in (300, 302, 307, 408, 409, 412, 500, 502, 503)
    ),
    *((400, body) for body in (b"", b"{}", b"[]", b"[1]", b'[{"message":"x"}]', b'[{"errorCode":5}]', b"<html>")),
    (400, b'[{"errorCode":"INVALID_FIELD"},{"errorCode":"NEVER_HEARD_OF"}]'),
    (401, b"<html>"),
    (200, b'[{"errorCode":"INVALID_FIELD"}]'),
    (418, b'[{"errorCode":"INVALID_FIELD"}]'),
]


@pytest.mark.parametrize(("status", "body"), UNCLEAR)
def test_whatever_is_not_listed_is_unclear(status: int, body: bytes) -> None:
    """Only a listed reason, in a readable answer with a refusing status, counts as having had no effect."""
    with pytest.raises(Unclear):
        refusal(Answer(status, httpx.Headers(), body), 0)


@pytest.mark.parametrize("code", sorted(EFFECT_FREE))
def test_every_listed_code_is_refused(code: str) -> None:
    """Each listed code has a class, says whether it may pass, and its message repeats nothing that was sent."""
    body = f'[{{"errorCode":"{code}","message":"hunter2","fields":["Name","<b>"]}}]'.encode()
    if code == "FIELD_CUSTOM_VALIDATION_EXCEPTION":
        body = body.replace(b"hunter2", b"Close it \\u202e first")
    refused = refusal(Answer(400, httpx.Headers({"retry-after": "3"}), body), 0)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retry_after_seconds) == (code, 3.0)
    assert "hunter2" not in refused.message
    assert "<b>" not in refused.message
    assert "\u202e" not in refused.message
