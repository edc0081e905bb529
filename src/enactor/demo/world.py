"""The outside world of a demonstration: a CRM and a calendar, each a server process of its own on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final

import httpx

from enactor.demo.stage import ACCOUNT, TENANT, DemoFailed

_CRM_SECRET: Final = "CRM_SECRET"  # noqa: S105 - a variable's name
_CALENDAR_PASSWORD: Final = "CALENDAR_PASSWORD"  # noqa: S105 - as above


class _Process:
    """A server. It says in one line of JSON where it is; its input takes orders, its output answers them."""

    def __init__(self, stack: ExitStack, log: Path, *arguments: str) -> None:
        self._name = arguments[0]
        self._process = subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stack.enter_context(log.open("ab")),
            text=True,
        )
        stack.callback(self._end)
        self.about: dict[str, Any] = self.answer()

    def ask(self, order: str) -> Any:
        """What it answers to an order."""
        pipe = self._pipe(self._process.stdin)
        pipe.write(f"{order}\n")
        pipe.flush()
        return self.answer()

    def answer(self) -> Any:
        """Its next line. Raises `DemoFailed` when it has none."""
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise DemoFailed(f"{self._name} ended")
        return json.loads(line)

    def _pipe(self, stream: IO[str] | None) -> IO[str]:
        if stream is None:
            raise DemoFailed(f"{self._name} has no pipes")
        return stream

    def _end(self) -> None:
        """Its input ends, which ends it too, with whatever it started."""
        self._process.communicate(timeout=20)


class Crm:
    """A Salesforce organization on a free port."""

    def __init__(self, process: _Process) -> None:
        self._process = process
        self.about = process.about

    def fail(self, fault: str, on: str = "") -> None:
        """Lets the next write, or the next request that contains `on`, go wrong."""
        if not self._process.ask(f"fail {fault} {on}")["ok"]:
            raise DemoFailed(f"the CRM does not know the fault {fault}")

    def tasks(self, subject: str) -> list[dict[str, Any]]:
        """The tasks of that subject, as the CRM itself knows them."""
        return [task for task in self._process.ask("tasks") if task["Subject"] == subject]


class Calendar:
    """A CalDAV server on a free port."""

    def __init__(self, process: _Process) -> None:
        self.about = process.about

    def event(self, url: str) -> str:
        """What the calendar holds there, as iCalendar; empty when nothing is."""
        answer = httpx.get(url, auth=(self.about["user"], self.about["password"]), trust_env=False)
        return answer.text if answer.status_code == httpx.codes.OK else ""


class World:
    """Both, and what a server has to be told to reach them."""

    def __init__(self, crm: Crm, calendar: Calendar) -> None:
        self.crm, self.calendar = crm, calendar

    @property
    def secrets(self) -> dict[str, str]:
        """The variables that `settings` refers to."""
        return {
            _CRM_SECRET: self.crm.about["client_secret"],
            _CALENDAR_PASSWORD: self.calendar.about["password"],
        }

    @property
    def settings(self) -> str:
        """The server's settings file."""
        crm, calendar = self.crm.about, self.calendar.about
        return f"""connectors = ["internal", "salesforce", "caldav"]
doubt_look_up_seconds = 1

[[connector_settings.salesforce.organizations]]
tenant = "{TENANT}"
instance_url = "{crm["url"]}"

[connector_settings.salesforce.organizations.accounts]
{ACCOUNT} = "{crm["account"]}"

[connector_settings.salesforce.organizations.oauth]
token_url = "{crm["url"]}/services/oauth2/token"
client_id = "{crm["client_id"]}"
client_secret = "env:{_CRM_SECRET}"

[[connector_settings.caldav.calendars]]
tenant = "{TENANT}"
accounts = ["{ACCOUNT}"]
url = "{calendar["url"]}"

[connector_settings.caldav.calendars.access.basic]
user = "{calendar["user"]}"
password = "env:{_CALENDAR_PASSWORD}"
"""


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """A running world, stopped at the end."""
    log = folder / "world.log"
    with ExitStack() as stack:
        crm = _Process(stack, log, "enactor.conformance.salesforce")
        calendar = _Process(stack, log, "enactor.conformance.radicale", str(folder / "calendar"))
        yield World(Crm(crm), Calendar(calendar))
