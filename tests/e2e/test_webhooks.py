"""Events of a real server process at a real receiver."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from enactor.demo.stage import TENANT, Caller, DemoFailed, Server
from tests.outbox.receiver import OK, Receiver, Reply
from tests.outbox.rig import SECRET


class ServerWithWebhook(Server):
    """A server whose settings name a webhook."""

    webhook = ""

    @property
    def environment(self) -> dict[str, str]:
        """The environment, with the webhook and its secret."""
        named = {"url": self.webhook, "secret": "env:HOOK_SECRET", "tenant": TENANT}
        return {**super().environment, "ENACTOR_WEBHOOKS": json.dumps([named]), "HOOK_SECRET": SECRET}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerWithWebhook]:
    """A server that has not been started, over an empty folder."""
    made = ServerWithWebhook(tmp_path)
    yield made
    made.kill()


def execute(server: Server, title: str) -> str:
    """Proposes and approves a note. Returns the intent's id."""
    planner = Caller(server, "planner", server.token("planner", "proposer", agent=True))
    ana = Caller(server, "ana", server.token("ana", "approver"))
    with closing(planner.client), closing(ana.client):
        body = {"action_type": "CREATE_INTERNAL_NOTE", "account_id": "a", "parameters": {"title": title}}
        made = planner.ask("POST", "/v1/intents", 201, json=body)
        digest = {"approval_digest": made["approval_digest"]}
        ana.ask("POST", f"/v1/intents/{made['action_intent_id']}/approve", 202, json=digest)
    return str(made["action_intent_id"])


async def test_an_executions_events_reach_the_receiver_and_survive_a_kill(server: ServerWithWebhook) -> None:
    """From proposal to outcome every event arrives signed; one that was not acknowledged comes again after SIGKILL."""
    async with Receiver() as receiver:
        server.webhook = receiver.url
        await asyncio.to_thread(server.start)
        intent = await asyncio.to_thread(execute, server, "a title that must not leave")
        wanted = {"INTENT_PROPOSED", "POLICY_EVALUATED", "ACTION_APPROVED", "EXECUTION_STARTED", "WRITE_PERMITTED"}
        wanted |= {"TOOL_INVOKED", "ACTION_EXECUTED"}
        await receiver.when(lambda: wanted <= {request.event["data"]["event_type"] for request in receiver.received})
        for request in receiver.received:
            request.verify(SECRET)
            assert b"a title" not in request.body
            assert request.event["subject"] == intent
        sequence = sorted(int(request.event["sequence"]) for request in receiver.received)
        assert sequence == list(range(1, len(sequence) + 1))

        receiver.respond = lambda _: Reply(hold=asyncio.Event())
        before = len(receiver.received)
        await asyncio.to_thread(execute, server, "second")
        await receiver.until(before + 1)
        await asyncio.to_thread(server.kill)
        unacknowledged = set(receiver.ids[before:])
        receiver.respond = lambda _: OK
        again = len(receiver.received)
        await asyncio.to_thread(server.start)
        await receiver.when(
            lambda: (
                unacknowledged <= set(receiver.ids[again:])
                and "ACTION_EXECUTED" in {request.event["data"]["event_type"] for request in receiver.received[again:]}
            )
        )
        assert await asyncio.to_thread(server.stop) == 0
        delivered = len(receiver.received)
        assert max(Counter(receiver.ids[again:]).values()) == 1

        await asyncio.to_thread(server.start)
        async with httpx.AsyncClient(base_url=server.url) as client:
            metrics = (await client.get("/metrics")).text
        assert "enactor_webhook_lag_entries 0.0" in metrics
        assert len(receiver.received) == delivered


def test_a_webhook_that_may_not_be_called_is_refused_at_the_start(server: ServerWithWebhook) -> None:
    """A private address is said in one line when the server starts, not at the first event."""
    server.webhook = "https://169.254.169.254/hook"
    with pytest.raises(DemoFailed, match=r"webhooks: 169\.254\.169\.254 has a private or special"):
        server.start()
