"""What docs/events.md says of events is so: the types, the example, and the receiver it shows."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from enactor.domain.event import cloud_event
from enactor.domain.ledger import GENESIS, LedgerEvent, chained, record
from enactor.stores.memory import MemoryStore
from tests.outbox.rig import OTHER_SECRET, SECRET, Rig, eventually, hook, present

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text()


def block(language: str) -> str:
    """The page's only block in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return found


def test_every_event_type_is_explained() -> None:
    """The table has each event type once, in the ledger's order, and no other."""
    explained = re.findall(r"^\| `([A-Z_]+)` \| \S", PAGE, re.MULTILINE)
    assert explained == [event.value for event in LedgerEvent]


def test_the_example_is_what_leaves() -> None:
    """The page's JSON is the CloudEvent of such an entry, member for member."""
    shown = json.loads(block("json"))
    entry = record(
        entry_id=shown["id"],
        salt=bytes(16),
        tenant_id="acme",
        account_id="north",
        event_type=LedgerEvent.ACTION_EXECUTED,
        timestamp=shown["time"],
        actor="enactor",
        trace_id=shown["traceid"],
        decision_trace_id=shown["id"],
        action_intent_id=shown["subject"],
        run_number=1,
        data={"status": "SUCCEEDED", "outcome_revision": 1},
    )
    assert cloud_event(chained(entry, seq=9, sequence=6, prev_hash=GENESIS)) == shown


@pytest.mark.parametrize("secret", [SECRET, f"{OTHER_SECRET} {SECRET}"])
async def test_the_receiver_on_the_page_works(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Served as it stands it takes real deliveries, knows a repeated one, and refuses a forged one."""
    monkeypatch.setenv("ENACTOR_HOOK_SECRET", SECRET)
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(block("python"), "docs/events.md", "exec", dont_inherit=True), names)  # noqa: S102 - our own page
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(names["app"], lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/enactor"
    clock = present()
    rig = Rig(MemoryStore(clock), clock)
    rig.secrets["one"] = secret
    dispatcher = await rig.start(hook(url))
    written = await rig.write(3)
    await eventually(lambda: dispatcher.stats()[0].delivered == 3)
    await rig.crash(dispatcher)
    again = await rig.start(hook(url))
    await eventually(lambda: again.stats()[0].delivered == 3)
    assert sorted(names["inbox"]) == sorted(written)
    async with httpx.AsyncClient() as client:
        forged = {"webhook-id": "x", "webhook-timestamp": str(clock.now_ms() // 1000), "webhook-signature": "v1,AAAA"}
        assert (await client.post(url, content=b"{}", headers=forged)).status_code == 401
        assert (await client.post(url, content=b"{}")).status_code == 401
    assert len(names["inbox"]) == 3
    await rig.close()
    server.should_exit = True
    await serving
