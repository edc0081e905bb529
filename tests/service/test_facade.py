"""Enactor opened in one's own program: what the guides do not show."""

from enactor import Enactor, ExecutionPolicy, Target, agent


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
