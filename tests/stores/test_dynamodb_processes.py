"""Several Enactors on one DynamoDB store, each put together as a program or a server puts it together."""

import asyncio
from typing import Any
from urllib.parse import quote

from enactor import Enactor, WriteSemantics, agent, person, tool
from enactor.conformance.aws import Emulator
from enactor.conformance.aws.emulator import REGION

ANA = person("ana")


async def approved(enactor: Enactor, action_type: str) -> str:
    """The id of an intent that is about to run."""
    intent = await enactor.propose(action_type, account_id="a", parameters={"amount": 1}, by=agent("planner"))
    await enactor.approve(intent.action_intent_id, digest=intent.approval_digest, by=ANA)
    return intent.action_intent_id


async def test_who_starts_second_gives_nobody_up_for_dead(dynamo: Any, emulator: Emulator) -> None:
    """A call of the first is out while the second starts and works: it is left alone, and ends as what it was."""
    called, answer = asyncio.Event(), asyncio.Event()

    @tool(write=WriteSemantics.UNSAFE)
    async def pay(amount: int) -> None:
        called.set()
        await answer.wait()

    @tool(write=WriteSemantics.IDEMPOTENT)
    async def count(amount: int) -> None:
        """Takes no time, so that what the second found at its start has had its turn once this is done."""

    url = f"dynamodb://{REGION}?endpoint={quote(emulator.endpoint, safe='')}"
    async with Enactor.open(url, connectors=[pay, count]) as first:
        paying = await approved(first, "FUNCTION_PAY")
        await called.wait()
        async with Enactor.open(url, connectors=[pay, count]) as second:
            await second.outcome(await approved(second, "FUNCTION_COUNT"), timeout=60)
            answer.set()
            outcome = await first.outcome(paying, timeout=60)
            events = {line.event_type for line in await second.timeline(paying, by=ANA)}
    assert outcome.status == "SUCCEEDED"
    assert not events & {"LEASE_TAKEN_OVER", "EXECUTION_IN_DOUBT", "LATE_RESULT"}
