import pytest

from enactor.connectors.sdk import Connector, ToolCall, ToolResult, UndoArguments, tool
from enactor.domain.errors import ConfigurationError, InvalidParameters, StoreFailed
from enactor.domain.permit import CallResult
from enactor.gateway.composite import CompositeToolPlane
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.mcp_rules import McpServer, ToolRule
from tests.gateway.rig import CREATE, Rig, made, request
from tests.gateway.servers import Tickets, over_http


class Notes(Connector):
    """A connector in this process."""

    name = "notes"

    @tool
    async def drop(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Drops a note."""
        return ToolResult()


class Impostor(Notes):
    """A connector with the name of an MCP server."""

    name = "tickets"


async def test_each_tool_is_called_through_the_plane_that_offers_it(rig: Rig) -> None:
    """Tools of this process and of an MCP server are one plane."""
    tickets = Tickets()
    async with over_http(tickets) as url:
        plane = CompositeToolPlane([InProcessToolPlane([Notes()], rig.vault), await rig.over(url)])
        assert sorted(plane.definitions()) == ["notes.drop", "tickets.close", "tickets.create", "tickets.find"]
        assert plane.action_types()["notes.drop"] == "NOTES_DROP"
        assert plane.action_types()["tickets.create"] == "TICKETS_CREATE"
        assert (await plane.call(request("notes.drop", original_key="k", refs=[]), lambda: True)).result == "DONE"
        assert (await made(plane)).result is CallResult.DONE  # type: ignore[arg-type]
        nothing = await plane.call(request("nothing.here"), lambda: True)
        assert (nothing.result, nothing.error_code) == (CallResult.NOT_SENT, "TOOL_NOT_FOUND")
        assert (await plane.look_up(request("notes.drop", original_key="k", refs=[]))).found is None
        assert (await plane.look_up(request("nothing.here"))).found is None
        plane.validate("tickets.create", {"title": "x"})
        for name, arguments in (("tickets.create", {"title": 1}), ("notes.drop", {}), ("nothing.here", {})):
            with pytest.raises(InvalidParameters):
                plane.validate(name, arguments)
        assert plane.definition("nothing.here") is None
        await plane.close()
    assert len(tickets.calls) == 1


async def test_names_belong_to_one_plane(rig: Rig) -> None:
    """A connector and a server of one name, or two tools that want one action type, are refused."""
    async with over_http(Tickets()) as url:
        with pytest.raises(ConfigurationError, match="named 'tickets'"):
            CompositeToolPlane([InProcessToolPlane([Impostor()], rig.vault), await rig.over(url)])
        rules = {**CREATE, "find": ToolRule(action_type="NOTES_DROP")}
        plane = CompositeToolPlane([InProcessToolPlane([Notes()], rig.vault), await rig.over(url, rules=rules)])
        with pytest.raises(ConfigurationError, match="both want to be NOTES_DROP"):
            plane.action_types()
        twice = McpServer(name="tickets", url=url)
        with pytest.raises(ConfigurationError, match="Two MCP servers"):
            await rig.plane(twice, twice)


async def test_artifacts_are_kept_whole_and_apart(rig: Rig) -> None:
    """What was put is found by its reference and its tenant alone; what was altered is not handed out."""
    kept = rig.artifacts
    reference = await kept.put("acme", b"answer")
    assert await kept.put("acme", b"answer") == reference
    assert await kept.read("acme", reference) == b"answer"
    assert await kept.read("..", reference) is None
    for other in ("", "artifact/sha256/../../x", "artifact/sha256/" + "0" * 64):
        assert await kept.read("acme", other) is None
    (file,) = (path for path in (rig.directory / "artifacts").rglob("*") if path.is_file())
    file.chmod(0o600)
    file.write_bytes(b"another")
    with pytest.raises(StoreFailed, match="not what was put"):
        await kept.read("acme", reference)


async def test_an_artifact_that_cannot_be_kept_changes_no_result(rig: Rig) -> None:
    """A call has ended as it has, whether or not its answer can be put aside."""
    (rig.directory / "artifacts").write_text("in the way")
    async with over_http(Tickets()) as url:
        reply = await made(await rig.over(url, keep_answers=True))
    assert (reply.result, reply.artifact_ref) == (CallResult.DONE, None)
