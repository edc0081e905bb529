"""A containment report on DynamoDB is read from two places, and runs move from one to the other meanwhile."""

from typing import Any

import pytest
from msgspec.structs import replace

from enactor.conformance.aws.stores import opened
from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import ended, running, start
from enactor.domain.attempt import RunStatus
from enactor.domain.time import rfc3339
from enactor.ports.commands import UpdateAttempt
from enactor.stores.dynamodb.containment import Report


async def test_a_report_misses_no_run_that_moves(
    dynamo: Any, clock: ManualClock, build: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends just before what is live is read, and what is replayed just after it, are both listed."""
    store = await opened(dynamo, clock)
    ending, attempt = await running(store, build)
    failed, _ = await ended(store, build, RunStatus.FAILED)
    read = Report._first_live

    async def meanwhile(report: Report, *asked: Any) -> dict[str, Any]:
        await store.commit([UpdateAttempt(attempt=replace(attempt, status=RunStatus.FAILED), expected_fence=1)])
        live = await read(report, *asked)
        await store.commit([start(failed, build.attempt(failed, run_number=2), now_ms=clock.now_ms())])
        return live

    monkeypatch.setattr(Report, "_first_live", meanwhile)
    page = await store.runs_in_scope(TENANT, "global", rfc3339(0), 10, None)
    assert {run.action_intent_id for run in page.items} == {ending.action_intent_id, failed.action_intent_id}
    await store.close()
