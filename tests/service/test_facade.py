"""Enactor opened in one's own program: what the guides do not show."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from enactor import Enactor, ExecutionPolicy, Target, agent, person
from enactor.domain.errors import InvalidInput, NotApproved
from enactor.domain.intent import ActionIntent
from enactor.domain.policy import PolicyMode
from enactor.wiring import facade

ANA = person("ana")


async def noted(enactor: Enactor, **more: Any) -> ActionIntent:
    """An intent that waits for approval."""
    fields: dict[str, Any] = {
        "account_id": "acme",
        "parameters": {"title": "Call back"},
        "by": agent("planner"),
        **more,
    }
    return await enactor.propose("CREATE_INTERNAL_NOTE", **fields)


async def test_a_proposal_takes_what_the_interface_takes() -> None:
    """Target, evidence and execution policy are kept; the policy at most as far as the action type goes."""
    async with Enactor.open("memory://") as enactor:
        intent = await enactor.propose(
            "CREATE_INTERNAL_NOTE",
            account_id="acme",
            parameters={"title": "Call Grace back"},
            by=agent("planner"),
            rationale="She asked for it.",
            target=Target("contact", "grace"),
            evidence_refs=["mail/17"],
            execution_policy=ExecutionPolicy(retry_count=1, timeout_seconds=5),
            expires_in_seconds=60,
        )
    assert (intent.target, intent.evidence_refs) == (Target("contact", "grace"), ("mail/17",))
    assert intent.execution_policy == ExecutionPolicy(retry_count=1, timeout_seconds=5)


async def test_whoever_waits_for_an_outcome_is_told_that_there_will_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejected while somebody waits, or approved in shadow mode: an error, and no wait for ever."""
    monkeypatch.setattr(facade, "_LOOK_AGAIN_SECONDS", 0.001)
    async with Enactor.open("memory://") as enactor:
        intent = await noted(enactor)
        waiting = asyncio.create_task(enactor.outcome(intent.action_intent_id))
        await asyncio.sleep(0)
        await enactor.reject(intent.action_intent_id, reason="no", by=ANA)
        with pytest.raises(NotApproved, match="REJECTED"):
            await waiting
        await enactor.set_policies("", by=ANA, mode=PolicyMode.SHADOW)
        shadow = await noted(enactor)
        await enactor.approve(shadow.action_intent_id, digest=shadow.approval_digest, by=ANA)
        with pytest.raises(NotApproved, match="shadow"):
            await enactor.outcome(shadow.action_intent_id)


async def test_one_who_gives_up_waiting_does_not_keep_it_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two wait for one outcome; after the first has given up, the second is told at once."""
    monkeypatch.setattr(facade, "_LOOK_AGAIN_SECONDS", 3_600)
    async with Enactor.open("memory://") as enactor:
        intent = await noted(enactor)
        impatient, patient = [asyncio.create_task(enactor.outcome(intent.action_intent_id)) for _ in range(2)]
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        await enactor.approve(intent.action_intent_id, digest=intent.approval_digest, by=ANA)
        assert (await asyncio.wait_for(patient, 30)).status == "SUCCEEDED"


@pytest.mark.parametrize(
    "wrong",
    [
        {"expires_in_seconds": 1.5},
        {"execution_policy": ExecutionPolicy(retry_count=1, timeout_seconds=2.5)},  # type: ignore[arg-type]
        {"evidence_refs": [["mail/17"]]},
        {"evidence_refs": "mail/17"},
        {"rationale": 5},
        {"idempotency_key": 5},
        {"target": Target("contact", 5)},  # type: ignore[arg-type]
        {"by": agent(5)},  # type: ignore[arg-type]
        {"by": None},
    ],
    ids=str,
)
async def test_what_could_not_be_read_again_is_not_recorded(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """A value of another type is refused, whatever a program passes; the file holds nothing of it, and goes on."""
    async with Enactor.open(f"sqlite:///{tmp_path}/enactor.db") as enactor:
        with pytest.raises(InvalidInput, match=r"fit|by"):
            await noted(enactor, **wrong)
        kept = await noted(enactor)
        with pytest.raises(InvalidInput, match="comment"):
            await enactor.approve(kept.action_intent_id, digest=kept.approval_digest, by=ANA, comment=5)  # type: ignore[arg-type]
        listed = await enactor.service.inspection.executions(ANA)
        assert [view.action_intent_id for view in listed.items] == [kept.action_intent_id]
