"""An MCP server's tool is undone as any other: with the arguments its rule makes of what was made."""

from __future__ import annotations

import json

import pytest

from enactor.conformance.world import ANA, World, open_world
from enactor.domain.action_type import WriteMode, WriteSemantics
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import UndoConflict, UndoImpossible
from enactor.domain.outcome import CompensationStatus
from enactor.gateway.mcp_rules import LookUpRule, RefRule, ToolRule
from enactor.stores.memory import MemoryStore
from tests.gateway.rig import TICKET, Rig
from tests.gateway.servers import Tickets, over_http

FIND = LookUpRule(
    tool="find",
    arguments={"title": "$key"},
    found="/items",
    refs=(RefRule(system="tickets", object_type="ticket", id="/id"),),
)
CLOSE = ToolRule(
    semantics=WriteSemantics(mode=WriteMode.UNSAFE), undo_arguments={"title": "$ref/object_id"}, proposable=False
)


async def world_of(rig: Rig, url: str, *, look_up: bool) -> World:
    """A world over one server whose tickets can be closed again."""
    create = ToolRule(
        semantics=WriteSemantics(mode=WriteMode.LOOKUP if look_up else WriteMode.UNSAFE),
        refs=(TICKET,),
        undo="close",
        key_argument="key",
        lookup=FIND if look_up else None,
    )
    plane = await rig.over(url, rules={"create": create, "close": CLOSE})
    return await open_world(MemoryStore(rig.clock), rig.clock, plane=plane)


@pytest.mark.parametrize("gone", [False, True])
async def test_what_can_be_looked_up_is_undone(rig: Rig, gone: bool) -> None:
    """It is read back by our key; the frozen arguments are those that the server's tool takes."""
    tickets = Tickets()
    async with over_http(tickets) as url:
        world = await world_of(rig, url, look_up=True)
        intent = await world.decided(await world.proposed("tickets.create", parameters={"title": "Printer"}))
        await world.run(intent)
        assert await world.status(intent) is RunStatus.SUCCEEDED
        if gone:
            tickets.made.clear()
            with pytest.raises(UndoConflict):
                await world.service.undoing.undo(ANA, intent.action_intent_id, "wrong")
            return
        undo = await world.service.undoing.undo(ANA, intent.action_intent_id, "wrong")
        assert json.loads(undo.tool_call.argument_bytes) == {"title": "T-1"}
        await world.run(await world.decided(undo))
        assert await world.status(undo) is RunStatus.SUCCEEDED
        assert (await world.outcome(intent)).compensation_status is CompensationStatus.COMPLETED
    assert tickets.made == {}
    assert tickets.calls[-1].arguments == {"title": "T-1"}


async def test_what_nothing_can_read_back_is_not_undone(rig: Rig) -> None:
    """A server of somebody else's checks neither key nor version: without a look-up nobody knows what it would take."""
    tickets = Tickets()
    async with over_http(tickets) as url:
        world = await world_of(rig, url, look_up=False)
        intent = await world.decided(await world.proposed("tickets.create", parameters={"title": "Printer"}))
        await world.run(intent)
        with pytest.raises(UndoImpossible, match="read back"):
            await world.service.undoing.undo(ANA, intent.action_intent_id, "wrong")
    assert len(tickets.made) == 1
