"""What a registry entry may allow, so that every run of it can be ended honestly."""

import pytest
from msgspec.structs import replace

from enactor.conformance.target import Act
from enactor.conformance.world import ANA, PLATFORM, World
from enactor.domain.action_type import Caps, WriteMode, WriteSemantics
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import InvalidInput
from enactor.domain.intent import ExecutionPolicy
from enactor.service import Registration
from enactor.service.registry import MAX_RETRIES


@pytest.mark.parametrize(
    "wish",
    [
        {"caps": Caps(retry_count=-1)},
        {"caps": Caps(retry_count=MAX_RETRIES + 1)},
        {"caps": Caps(timeout_seconds=0)},
        {"caps": Caps(expires_in_seconds=0)},
        {"write_semantics": WriteSemantics(mode=WriteMode.IDEMPOTENT, key_retention_seconds=-1)},
        {"write_semantics": WriteSemantics(mode=WriteMode.LOOKUP, has_lookup=True, absence_final_after_seconds=-1)},
    ],
)
async def test_what_no_entry_may_say(world: World, wish: dict[str, object]) -> None:
    """Bounds that would make a run endless, or a promise that reaches into the past."""
    registration = Registration(action_type="ORDER", tool_name="target.keyed", **wish)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        await world.service.registry.register(PLATFORM, registration)


@pytest.mark.parametrize("done", [True, False])
async def test_as_many_unknown_calls_as_there_can_be(world: World, done: bool) -> None:
    """Thirty retries, each of unknown result: the last commit settles them all, or says that nobody knows."""
    registration = Registration(
        action_type="TARGET_PATIENT", tool_name="target.keyed", caps=Caps(retry_count=MAX_RETRIES)
    )
    await world.service.registry.register(PLATFORM, registration)
    world.target.script(*[Act.LOSE_REQUEST] * (MAX_RETRIES + (not done)))
    # Short waits, so that the key is retained to the end.
    world.ctx.settings = replace(world.settings, backoff_cap_ms=2_000)
    intent = await world.approved("patient", execution_policy=ExecutionPolicy(MAX_RETRIES, 1))
    await world.run(intent)
    assert len(await world.permits(intent)) == MAX_RETRIES + 1
    assert await world.status(intent) is (RunStatus.SUCCEEDED if done else RunStatus.IN_DOUBT)
    if not done:
        operations = world.service.operations
        resolved = await operations.resolve(ANA, intent.action_intent_id, executed=False, comment="I looked.")
        assert resolved.status is RunStatus.FAILED
