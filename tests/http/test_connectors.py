"""What is said of connectors, and to whom."""

from msgspec.structs import replace

from enactor.conformance.tools import ToolPlaneConformance
from tests.http.world import World


async def test_connectors(world: World) -> None:
    """Every one that is on, its tools and their promises, without an address; one without tools is there too."""
    auditor = world.caller("ana", "auditor")
    listed = (await auditor.get("/v1/connectors")).json()
    by_name = {one["connector"]: one for one in listed["items"]}
    internal = by_name["internal"]
    assert internal["configuration_version"] == "1"
    assert internal["verifies_account"] is True
    tools = {tool["tool_name"]: tool for tool in internal["tools"]}
    assert tools["internal.create_note"]["write_semantics"]["mode"] == "IDEMPOTENT"
    assert tools["internal.create_note"]["compensation"]["tool_name"] == "internal.delete_object"
    assert (tools["internal.create_note"]["proposable"], tools["internal.delete_object"]["proposable"]) == (True, False)
    assert by_name["away"] == {
        "connector": "away",
        "configuration_version": None,
        "verifies_account": None,
        "health": {"state": "CLOSED", "reason": "", "retry_in_seconds": 0.0, "calls_out": 0},
        "tools": [],
    }


async def test_how_a_connector_does_is_said_to_its_tenant(world: World) -> None:
    """A breaker that is open for one tenant shows to that tenant, with the reason, and to nobody else."""
    request = replace(
        ToolPlaneConformance.request(tool_name="internal.create_note", argument_bytes='{"title":"x"}'),
        send_not_after=2**62,
    )
    guarded = world.assembly.tools
    door = guarded._door(request.tenant_id, "internal")
    while door.breaker.passes:
        door.breaker.failed(world.clock.elapsed_ms(), probe=False)
    for tenant, state in ((request.tenant_id, "OPEN"), ("globex", "CLOSED")):
        caller = world.caller("ana", "auditor", tenant=tenant)
        listed = (await caller.get("/v1/connectors")).json()["items"]
        health = next(one["health"] for one in listed if one["connector"] == "internal")
        assert (health["state"], bool(health["reason"]), health["retry_in_seconds"] > 0) == (
            state,
            state == "OPEN",
            state == "OPEN",
        )
