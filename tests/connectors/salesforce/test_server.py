"""The local organization, driven by a client that knows nothing of Enactor: `simple-salesforce`, over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from enactor.conformance.clocks import ManualClock
from enactor.conformance.salesforce import Fault, SalesforceServer
from tests.gateway.certificates import Authority

Do = Callable[..., Any]


@pytest.fixture
async def server(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SalesforceServer]:
    """The organization over https, because `simple-salesforce` speaks nothing else."""
    authority = Authority(tmp_path)
    (tmp_path / "ca.pem").write_bytes(authority.certificate())
    async with SalesforceServer(clock, authority.server_context("localhost")) as running:
        yield running


@pytest.fixture
async def crm(server: SalesforceServer, tmp_path: Path) -> AsyncIterator[Salesforce]:
    """`simple-salesforce`, logged in with a token of the organization."""
    token = await asyncio.to_thread(log_in, server, str(tmp_path / "ca.pem"))
    with requests.Session() as session:
        session.verify = str(tmp_path / "ca.pem")
        session.trust_env = False
        yield Salesforce(
            instance=f"localhost:{server.http.port}", session_id=token["access_token"], version="62.0", session=session
        )


def log_in(server: SalesforceServer, authority: str) -> dict[str, str]:
    """The token endpoint's answer to the organization's own client."""
    form = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    url = f"https://localhost:{server.http.port}/services/oauth2/token"
    answer = requests.post(url, data=form, verify=authority, timeout=10)
    assert answer.status_code == 200
    return answer.json()


async def do(function: Do, *args: Any, **kwargs: Any) -> Any:
    """A blocking call, beside the server."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def test_records_are_created_read_changed_and_deleted(crm: Salesforce, server: SalesforceServer) -> None:
    """The whole life of a record, as another client sees it."""
    account = await do(crm.Account.create, {"Name": "North Farms"})
    assert account == {"id": account["id"], "success": True, "errors": []}
    task = await do(crm.Task.create, {"Subject": "Call", "WhatId": account["id"], "Enactor_Key__c": "k1"})
    read = await do(crm.Task.get, task["id"])
    assert (read["Subject"], read["Status"], read["AccountId"]) == ("Call", "Not Started", account["id"])
    assert read["attributes"]["url"] == f"/services/data/v62.0/sobjects/Task/{task['id']}"
    assert (await do(crm.Task.get_by_custom_id, "Enactor_Key__c", "K1"))["Id"] == task["id"]
    assert await do(crm.Task.update, task["id"], {"Status": "Completed"}) == 204
    assert server.organization.records[task["id"]]["Status"] == "Completed"
    assert await do(crm.Task.delete, task["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound) as gone:
        await do(crm.Task.get, task["id"])
    assert gone.value.content[0]["errorCode"] == "NOT_FOUND"
    with pytest.raises(SalesforceResourceNotFound) as deleted:
        await do(crm.Task.update, task["id"], {"Status": "Completed"})
    assert deleted.value.content == [{"message": "entity is deleted", "errorCode": "ENTITY_IS_DELETED", "fields": []}]


async def test_queries_describe_and_limits(crm: Salesforce) -> None:
    """SOQL over live and deleted records, the description of an object, and the requests that are left."""
    for number in range(3):
        await do(crm.Account.create, {"Name": f"Farm {number}"})
    rows = await do(crm.query, "SELECT Id, Name FROM Account WHERE Name != 'farm 1' ORDER BY Name DESC LIMIT 5")
    assert ([row["Name"] for row in rows["records"]], rows["totalSize"], rows["done"]) == (
        ["Farm 2", "Farm 0"],
        2,
        True,
    )
    await do(crm.Account.delete, rows["records"][0]["Id"])
    assert (await do(crm.query, "SELECT Id FROM Account"))["totalSize"] == 2
    found = await do(
        crm.query_all, "SELECT Id, IsDeleted FROM Account WHERE Name IN ('Farm 2', 'none')", include_deleted=True
    )
    assert [row["IsDeleted"] for row in found["records"]] == [True]
    described = await do(crm.Task.describe)
    (key,) = (field for field in described["fields"] if field["name"] == "Enactor_Key__c")
    assert (key["externalId"], key["unique"], key["length"]) == (True, True, 64)
    assert (await do(crm.limits))["DailyApiRequests"]["Max"] == 15_000


REFUSED = [
    ({}, "REQUIRED_FIELD_MISSING", ["Name"]),
    ({"Name": "x", "Nothing__c": 1}, "INVALID_FIELD", None),
    ({"Name": "x" * 256}, "STRING_TOO_LONG", ["Name"]),
    ({"Name": "x", "SystemModstamp": "now"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["SystemModstamp"]),
]


@pytest.mark.parametrize(("values", "code", "fields"), REFUSED)
async def test_refusals_come_in_arrays_of_errors(crm: Salesforce, values: dict, code: str, fields: list | None) -> None:
    """Each refusal is an array with message and code, and with fields where Salesforce names them."""
    with pytest.raises(SalesforceMalformedRequest) as refused:
        await do(crm.Account.create, values)
    (error,) = refused.value.content
    assert (error["errorCode"], error.get("fields")) == (code, fields)
    assert error["message"]


async def test_unique_references_and_pick_lists_are_enforced(crm: Salesforce) -> None:
    """A key is taken once whatever its case; ids must be those of the right object; lists are closed."""
    first = await do(crm.Task.create, {"Subject": "Call", "Enactor_Key__c": "k1"})
    for values, code in (
        ({"Enactor_Key__c": "K1"}, "DUPLICATE_VALUE"),
        ({"WhatId": "nonsense"}, "MALFORMED_ID"),
        ({"WhatId": "001000000000001AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"Priority": "Urgent"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"ActivityDate": "tomorrow"}, "JSON_PARSER_ERROR"),
    ):
        with pytest.raises(SalesforceMalformedRequest) as refused:
            await do(crm.Task.create, values)
        assert refused.value.content[0]["errorCode"] == code
    with pytest.raises(SalesforceMalformedRequest) as refused:
        await do(crm.Task.create, {"Enactor_Key__c": "k1"})
    expected = f"duplicate value found: Enactor_Key__c duplicates value on record with id: {first['id'][:15]}"
    assert refused.value.content[0]["message"] == expected


async def test_wrong_queries_and_resources_are_refused(crm: Salesforce) -> None:
    """Unknown objects, columns and words each have their own code."""
    for query, code in (
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Nothing FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Nothing = 1", "INVALID_FIELD"),
        ("SELECT FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name LIKE 'x'", "MALFORMED_QUERY"),
    ):
        with pytest.raises(SalesforceMalformedRequest) as refused:
            await do(crm.query, query)
        assert refused.value.content[0]["errorCode"] == code
    with pytest.raises(SalesforceResourceNotFound):
        await do(crm.Nothing.get, "001000000000001AAA")
    with pytest.raises(SalesforceResourceNotFound) as refused:
        await do(crm.Task.get_by_custom_id, "Subject", "Call")
    assert "Provided external ID field does not exist" in refused.value.content[0]["message"]


async def test_sessions_end_and_limits_are_reached(crm: Salesforce, server: SalesforceServer) -> None:
    """An expired session is a 401, a reached limit a 403, each as other clients know them."""
    server.fail(Fault.OUT_OF_REQUESTS)
    with pytest.raises(SalesforceRefusedRequest) as refused:
        await do(crm.Account.create, {"Name": "x"})
    assert refused.value.content[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"
    server.expire_sessions()
    with pytest.raises(SalesforceExpiredSession) as expired:
        await do(crm.Account.create, {"Name": "x"})
    assert expired.value.content == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


async def test_the_rest_of_the_protocol(server: SalesforceServer, tmp_path: Path) -> None:
    """Versions without a token, wrong methods and bodies, and clients that are not known."""
    import ssl

    trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    base = f"https://localhost:{server.http.port}"
    async with httpx.AsyncClient(base_url=base, verify=trusted, trust_env=False) as client:
        assert [one["version"] for one in (await client.get("/services/data/")).json()] == ["61.0", "62.0", "63.0"]
        assert (await client.get("/services/data/v62.0/limits")).json()[0]["errorCode"] == "INVALID_AUTH_HEADER"
        form = {"grant_type": "client_credentials", "client_id": server.client_id, "client_secret": "wrong"}
        for changes, error in (
            ({}, "invalid_client"),
            ({"client_id": "x"}, "invalid_client_id"),
            ({"client_secret": server.client_secret, "grant_type": "password"}, "unsupported_grant_type"),
            ({"client_secret": server.client_secret, "grant_type": "refresh_token"}, "invalid_grant"),
        ):
            answer = await client.post("/services/oauth2/token", data={**form, **changes})
            assert (answer.status_code, answer.json()["error"]) == (400, error)
        good = await client.post("/services/oauth2/token", data={**form, "client_secret": server.client_secret})
        client.headers["Authorization"] = f"Bearer {good.json()['access_token']}"
        account = "/services/data/v62.0/sobjects/Account"
        assert (await client.put(f"{account}/001000000000001AAA")).status_code == 405
        assert (await client.post(account, content=b"<x/>")).json()[0]["errorCode"] == "UNSUPPORTED_MEDIA_TYPE"
        broken = await client.post(account, content=b"{", headers={"Content-Type": "application/json"})
        assert broken.json()[0]["errorCode"] == "JSON_PARSER_ERROR"
        assert "api-usage=" in broken.headers["sforce-limit-info"]
