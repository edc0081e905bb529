"""`python -m enactor.conformance.salesforce`: the local organization as a process of its own, until its input ends.

The first line it prints is a JSON object: where it is, how to get tokens from it, and the Account that it holds. After
that each line of its input is a command, and is answered with one line of JSON:

    fail FAULT [ON]     the next write goes wrong so, or the next request whose path or query contains ON
    tasks               the tasks that are there
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec

from enactor.conformance.salesforce.faults import Fault
from enactor.conformance.salesforce.server import SalesforceServer
from enactor.system import SystemClock


async def main() -> None:
    """Serves on a free port of 127.0.0.1."""
    async with SalesforceServer(SystemClock()) as server:
        account = server.organization.create("Account", {"Name": "North Farms"})
        _say(
            {
                "url": server.url,
                "client_id": server.client_id,
                "client_secret": server.client_secret,
                "account": account,
            }
        )
        while line := await asyncio.to_thread(sys.stdin.readline):
            _say(_obey(server, *line.split()))


def _obey(server: SalesforceServer, command: str = "", *words: str) -> Any:
    if command == "fail" and words and words[0] in Fault.__members__:
        server.fail(Fault[words[0]], words[1] if words[1:] else "")
        return {"ok": True}
    if command == "tasks":
        return server.organization.live("Task")
    return {"ok": False, "error": "known are: fail FAULT [ON], tasks"}


def _say(answer: Any) -> None:
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
