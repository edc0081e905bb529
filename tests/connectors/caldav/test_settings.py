"""The connector's settings, what its configuration version covers, and what the doctor sees."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.http_server import Given
from enactor.conformance.radicale import Radicale
from enactor.connectors.caldav import CalendarConnector
from enactor.domain.errors import ConfigurationError
from enactor.settings import Settings
from enactor.wiring.assembly import find_connectors
from tests.connectors.caldav.rig import Rig
from tests.connectors.rig import context_of

WRONG = [
    ({"url": "http://cal.example.com/ana/"}, "url"),
    ({"url": "https://ana:pass@cal.example.com/ana/"}, "url"),
    ({"url": "https://cal.example.com/ana/?x=y"}, "url"),
    ({"accounts": []}, "accounts"),
    ({"colour": "green"}, "colour"),
    ({"access": {"basic": {"user": "a:b", "password": "env:X"}}}, "user"),
    ({"access": {"bearer": "the-secret-itself"}}, "bearer"),
    ({"access": {"bearer": "env:X", "basic": {"user": "a", "password": "env:X"}}}, "several ways"),
    ({"access": {"api_key": {"header": "X Y", "value": "env:X"}}}, "header"),
]


@pytest.mark.parametrize(("changes", "names"), WRONG)
async def test_wrong_settings_are_named_and_not_repeated(rig: Rig, changes: dict[str, Any], names: str) -> None:
    """Each mistake is refused when the connector is made, by its dotted name and without the value."""
    with pytest.raises(ConfigurationError) as wrong:
        CalendarConnector.configured(context_of(rig.clock, rig.settings(**changes), {}))
    assert wrong.value.message.startswith("connector_settings.caldav.calendars.0")
    assert names in wrong.value.message
    assert "the-secret-itself" not in wrong.value.message
    assert "pass@" not in wrong.value.message


async def test_settings_as_a_whole(rig: Rig) -> None:
    """None, a network that is none, and one account with two calendars are refused; another URL is another version."""
    (one,) = rig.settings()["calendars"]
    for table, says in (
        ({}, "connector_settings.caldav.calendars"),
        ({"calendars": [one, one]}, "twice"),
        ({"calendars": [{**one, "networks": ["ten"]}]}, "not a network"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            CalendarConnector.configured(context_of(rig.clock, table, {}))
    other = CalendarConnector.configured(context_of(rig.clock, rig.settings(url=f"{rig.url}x/"), {}))
    assert other.configuration_version != rig.connector.configuration_version
    await other.aclose()


async def test_the_settings_in_the_documentation(clock: ManualClock) -> None:
    """What docs/connectors-caldav.md shows is taken as it stands, and the server finds the connector by its name."""
    page = (Path(__file__).parents[3] / "docs" / "connectors-caldav.md").read_text()
    block = page.partition("```toml\n")[2].partition("```")[0]
    settings = Settings.model_validate(tomllib.loads(block))
    internal, calendar = find_connectors(settings.connectors, None, clock, settings.connector_settings)  # type: ignore[arg-type]
    assert internal.name == "internal"
    assert isinstance(calendar, CalendarConnector)
    await calendar.aclose()


async def test_the_doctor(radicale: Radicale, rig: Rig, clock: ManualClock) -> None:
    """A calendar that can be written to is good; each thing that would keep the tool from working is named."""
    tasks = f"{rig.url[:-1]}-tasks/"
    only_tasks = (
        b'<C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop>'
        b'<C:supported-calendar-component-set><C:comp name="VTODO"/></C:supported-calendar-component-set>'
        b"</D:prop></D:set></C:mkcalendar>"
    )
    assert (await radicale.request("MKCALENDAR", tasks, only_tasks)).status_code == 201
    found = {}
    for name, changes in {
        "good": {},
        "missing": {"url": rig.proxy.url(f"{rig.url[:-1]}-missing/")},
        "home": {"url": rig.proxy.url(radicale.home)},
        "tasks": {"url": rig.proxy.url(tasks)},
        "password": {"access": {"basic": {"user": "ana", "password": "env:WRONG"}}},
        "secret": {"access": {"bearer": "env:NOT_THERE"}},
        "closed": {"url": "http://127.0.0.1:9/x/"},
        "elsewhere": {"url": "https://10.0.0.1/x/"},
    }.items():
        context = context_of(clock, rig.settings(**changes), rig.environment)
        connector = CalendarConnector.configured(context)
        (found[name],) = await connector.doctor()
        await connector.aclose()
    assert found["good"].good
    says = {
        "missing": "there is no such calendar",
        "home": "that is no calendar",
        "tasks": "takes no events",
        "password": "does not take our credentials",
        "secret": "NOT_THERE",
        "closed": "No connection",
        "elsewhere": "private or special address",
    }
    for name, text in says.items():
        assert not found[name].good, name
        assert text in found[name].text, found[name]
        assert found[name].advice, name
    assert rig.proxy.writes == []


@pytest.mark.parametrize(
    ("privileges", "good", "says"),
    [
        ("<D:privilege><D:read/></D:privilege>", False, "we may not make, delete, write events"),
        ("<D:privilege><D:bind/></D:privilege><D:privilege><D:write-content/></D:privilege>", False, "not delete"),
        ("<D:privilege><D:all/></D:privilege>", True, "may write"),
        (None, False, "does not say"),
    ],
)
async def test_what_we_may_do(rig: Rig, privileges: str | None, good: bool, says: str) -> None:
    """The privileges that the server lists decide; one that lists none makes a warning."""
    granted = "" if privileges is None else f"<D:current-user-privilege-set>{privileges}</D:current-user-privilege-set>"
    body = (
        '<D:multistatus xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:response><D:href>/x/</D:href>'
        "<D:propstat><D:status>HTTP/1.1 200 OK</D:status><D:prop><D:resourcetype><D:collection/><C:calendar/>"
        f"</D:resourcetype>{granted}</D:prop></D:propstat></D:response></D:multistatus>"
    )
    rig.proxy.answer("PROPFIND", Given(status=207, body=body.encode()))
    (check,) = await rig.connector.doctor()
    assert (check.good, check.blocks) == (good, privileges is not None)
    assert says in check.text
