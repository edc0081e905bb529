import asyncio
from typing import Any

import httpx
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ConfigDict, Field

from enactor.domain.errors import IdempotencyKeyReused
from enactor.mcp.catalogue import LONGEST_NAME, proposing_tool, tool_name
from tests.http.world import ACCOUNT, NOTE
from tests.mcp.agent import Face, text_of

NOTE_TOOL = "propose_create_internal_note"


def note(title: str = "Test", **more: Any) -> dict[str, Any]:
    """The arguments of a proposal."""
    return {"account_id": ACCOUNT, "parameters": {"title": title}, **more}


async def proposed(agent: Client, title: str = "Test", tool: str = NOTE_TOOL, **more: Any) -> str:
    """The id of the intent that a call made or found."""
    result = await agent.call_tool(tool, note(title, **more))
    assert not result.is_error, text_of(result)
    return str(result.structured_content["action_intent_id"])


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_every_action_type_is_a_tool_that_proposes(face: Face, mode: str) -> None:
    """The action types are tools whose schemas say what is to be given; each says that it only proposes."""
    async with face.agent(mode=mode) as agent:
        tools = {tool.name: tool for tool in (await agent.list_tools()).tools}
        assert {NOTE_TOOL, "propose_bank_transfer", "get_execution_status"} <= tools.keys()
        made = tools[NOTE_TOOL]
        assert "NOT executed by this call" in (made.description or "")
        assert made.input_schema["required"] == ["account_id", "parameters"]
        assert made.input_schema["properties"]["parameters"]["required"] == ["title"]
        assert not any("approve" in name or "decide" in name for name in tools)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_proposing_executes_nothing(face: Face, mode: str) -> None:
    """The answer begins with NOT EXECUTED and gives id, digest and how to ask; the intent waits for somebody else."""
    async with face.agent(mode=mode) as agent:
        result = await agent.call_tool(NOTE_TOOL, note(rationale="because"))
    text = text_of(result)
    intent = (await face.world.ana.get(f"/v1/intents/{result.structured_content['action_intent_id']}")).json()
    assert text.startswith("NOT EXECUTED")
    for part in (intent["action_intent_id"], intent["approval_digest"], "get_execution_status"):
        assert part in text
    assert intent["status"] == "PENDING_APPROVAL"
    assert intent["rationale"] == "because"
    assert result.structured_content == {
        "executed_by_this_call": False,
        "action_intent_id": intent["action_intent_id"],
        "approval_digest": intent["approval_digest"],
        "status": "PENDING_APPROVAL",
        "newly_proposed": True,
    }


async def test_status_follows_the_execution(face: Face) -> None:
    """The status tool says where a proposal stands, until it has been executed and what it made."""
    world = face.world
    async with face.agent() as agent:
        made = await agent.call_tool(NOTE_TOOL, note())
        asked = {"action_intent_id": made.structured_content["action_intent_id"]}
        waiting = await agent.call_tool("get_execution_status", asked)
        assert text_of(waiting).startswith("NOT EXECUTED")
        assert waiting.structured_content["status"] == "PENDING_APPROVAL"
        decided = await world.ana.post(
            f"/v1/intents/{asked['action_intent_id']}/approve",
            {"approval_digest": made.structured_content["approval_digest"]},
        )
        assert decided.status_code == 202
        await world.over(asked["action_intent_id"])
        done = await agent.call_tool("get_execution_status", asked)
        assert text_of(done).startswith("EXECUTED")
        assert done.structured_content["external_object_refs"][0]["object_type"] == "note"


async def test_third_parties_text_does_not_reach_the_agent(face: Face) -> None:
    """What a tool said of its failure is for people; an agent is told the code."""
    world = face.world
    intent = await world.executed("BANK_TRANSFER", payment_id="p-1", outcome="refused")
    async with face.agent() as agent:
        told = await agent.call_tool("get_execution_status", {"action_intent_id": intent["action_intent_id"]})
    assert told.structured_content["error_code"] == "NO_FUNDS"
    assert "funds." not in text_of(told)
    assert "explanation" not in told.structured_content


async def test_same_call_within_ten_minutes_is_the_same_intent(face: Face) -> None:
    """A call that is sent again is the same proposal for ten minutes from the first, and a new one after that."""
    async with face.agent() as agent, face.agent("other") as other:
        first = await proposed(agent)
        again = await agent.call_tool(NOTE_TOOL, note())
        assert again.structured_content["action_intent_id"] == first
        assert again.structured_content["newly_proposed"] is False
        assert text_of(again).startswith("NOT EXECUTED")
        assert await proposed(agent, "Another") != first
        assert await proposed(agent, rationale="other") != first
        assert await proposed(other) != first
        face.world.clock.advance(599)
        assert await proposed(agent) == first
        face.world.clock.advance(1)
        second = await proposed(agent)
        assert second != first
        assert await proposed(agent) == second


@pytest.mark.parametrize("into_window", [0, 1, 300, 599, 599.9])
async def test_the_rule_holds_across_edges_of_time_windows(face: Face, into_window: float) -> None:
    """Wherever in a window the first call falls: ten minutes are ten minutes, again and again."""
    clock = face.world.clock
    clock.advance(600 - clock.now_ms() / 1000 % 600 + into_window)
    async with face.agent(lifetime_seconds=86_400) as agent:
        for _ in range(4):
            first = await proposed(agent)
            for step in (0.05, 200, 200, 199.9):
                clock.advance(step)
                assert await proposed(agent) == first
            clock.advance(0.05)
            assert await proposed(agent) != first
            clock.advance(700)


async def test_calls_at_the_same_moment_make_one_intent(face: Face) -> None:
    """Identical calls at once, from connections of their own, make one intent."""

    async def once() -> str:
        async with face.agent() as agent:
            return await proposed(agent)

    assert len(set(await asyncio.gather(*(once() for _ in range(8))))) == 1


async def test_calls_on_two_sides_of_an_edge_make_one_intent(face: Face) -> None:
    """Of two servers' simultaneous proposals just before and just after an edge, one finds the other's."""
    from enactor.mcp.sameness import keys_of
    from enactor.service import Proposal
    from tests.http.world import TENANT

    world = face.world
    by = (await world.deps.authenticator.authenticate(world.token("planner", "proposer", agent=True))).principal
    assert by.tenant_id == TENANT
    world.clock.advance(600 - world.clock.now_ms() / 1000 % 600 - 0.001)
    proposal = Proposal(action_type=NOTE, account_id=ACCOUNT, parameters={"title": "x"})
    before = await keys_of(by, NOTE, {}, None, world.store, world.clock)
    world.clock.advance(0.002)
    after = await keys_of(by, NOTE, {}, None, world.store, world.clock)
    assert before[0] != after[0]
    propose = world.assembly.service.proposals.propose
    late = await propose(by, proposal, idempotency_key=after[0], also=after[1:])
    early = await propose(by, proposal, idempotency_key=before[0], also=before[1:])
    assert early.intent.action_intent_id == late.intent.action_intent_id
    assert (late.created, early.created) == (True, False)
    with pytest.raises(IdempotencyKeyReused):
        await propose(
            by, Proposal(action_type=NOTE, account_id=ACCOUNT, parameters={"title": "y"}), idempotency_key=after[0]
        )


async def test_a_named_key_has_no_end(face: Face) -> None:
    """The same idempotency_key is the same proposal at any time; with other arguments it is refused."""
    async with face.agent() as agent:
        first = await proposed(agent, idempotency_key="k-1")
        face.world.clock.advance(3_000)
        assert await proposed(agent, idempotency_key="k-1") == first
        assert await proposed(agent, idempotency_key="k-2") != first
        refused = await agent.call_tool(NOTE_TOOL, note("Other", idempotency_key="k-1"))
        assert refused.is_error
        assert text_of(refused).startswith("NOT EXECUTED")
        assert "IDEMPOTENCY_KEY_REUSED" in text_of(refused)


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        (NOTE_TOOL, {"account_id": ACCOUNT, "parameters": {}}, "INVALID_PARAMETERS"),
        (NOTE_TOOL, {"account_id": ACCOUNT, "parameters": {"title": 7}}, "INVALID_PARAMETERS"),
        (NOTE_TOOL, {"account_id": ACCOUNT, "parameters": {"title": "x"}, "approve": True}, "INVALID_INPUT"),
        (NOTE_TOOL, {"account_id": ACCOUNT}, "INVALID_INPUT"),
        (NOTE_TOOL, {"parameters": {"title": "x"}}, "INVALID_INPUT"),
        (NOTE_TOOL, note(idempotency_key=""), "INVALID_INPUT"),
        (NOTE_TOOL, note(idempotency_key="x" * 201), "INVALID_INPUT"),
        (NOTE_TOOL, note(expires_in_seconds=0), "INVALID_INPUT"),
        ("get_execution_status", {"action_intent_id": "ai_nothing"}, "INTENT_NOT_FOUND"),
        ("get_execution_status", {}, "INVALID_INPUT"),
    ],
)
async def test_bad_calls_are_refused(face: Face, tool: str, arguments: dict[str, Any], code: str) -> None:
    """What cannot be meant is refused with a code, and nothing is proposed."""
    async with face.agent() as agent:
        result = await agent.call_tool(tool, arguments)
    assert result.is_error
    assert text_of(result).startswith("NOT EXECUTED")
    assert text_of(result).endswith(f"[{code}]")
    assert (await face.world.ana.get("/v1/intents")).json()["items"] == []


async def test_unknown_tools_are_protocol_errors(face: Face) -> None:
    """A tool that is not there is said so by the protocol."""
    async with face.agent() as agent:
        for name in ("propose_nothing", "CREATE_INTERNAL_NOTE", "propose_CREATE_INTERNAL_NOTE", "x" * 64):
            with pytest.raises(MCPError, match="Unknown tool"):
                await agent.call_tool(name, note())


async def test_only_proposers_and_only_their_tenant(face: Face) -> None:
    """Without the role nothing is listed or proposed; another tenant's intent does not exist."""
    async with face.agent() as agent:
        mine = await proposed(agent)
    async with face.client(face.world.token("ana", "approver")) as approver:
        with pytest.raises(MCPError, match="needs one of the roles"):
            await approver.list_tools()
        result = await approver.call_tool(NOTE_TOOL, note())
        assert "FORBIDDEN" in text_of(result)
    async with face.agent("spy", tenant="globex") as spy:
        result = await spy.call_tool("get_execution_status", {"action_intent_id": mine})
        assert "INTENT_NOT_FOUND" in text_of(result)
    async with face.agent("colleague") as colleague:
        result = await colleague.call_tool("get_execution_status", {"action_intent_id": mine})
        assert "INTENT_NOT_FOUND" in text_of(result)


async def test_one_account_need_not_be_named(face: Face) -> None:
    """A token of one account makes that account the default; one of several has to say which."""
    async with face.agent("small", accounts=("north",)) as small:
        tools = {tool.name: tool for tool in (await small.list_tools()).tools}
        assert tools[NOTE_TOOL].input_schema["properties"]["account_id"]["default"] == "north"
        made = await small.call_tool(NOTE_TOOL, {"parameters": {"title": "x"}})
        assert not made.is_error
        elsewhere = await small.call_tool(NOTE_TOOL, {"parameters": {"title": "x"}, "account_id": "south"})
        assert "FORBIDDEN" in text_of(elsewhere)


async def test_tokens_and_where_to_get_them(face: Face) -> None:
    """Without a good token: 401, and where the metadata are; the metadata say what the resource is (RFC 9728)."""
    async with httpx.AsyncClient(base_url=face.base) as http:
        bare = await http.post("/mcp", json={})
        bad = await http.post("/mcp", json={}, headers={"authorization": "Bearer x.y.z"})
        where = f'resource_metadata="{face.base}/.well-known/oauth-protected-resource/mcp"'
        for response in (bare, bad):
            assert response.status_code == 401
            assert response.headers["content-type"] == "application/problem+json"
            assert where in response.headers["www-authenticate"]
        assert "invalid_token" not in bare.headers["www-authenticate"]
        assert 'error="invalid_token"' in bad.headers["www-authenticate"]
        for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
            document = (await http.get(path)).json()
            assert document["resource"] == f"{face.base}/mcp"
            assert document["bearer_methods_supported"] == ["header"]
        for method in ("GET", "DELETE"):
            assert (await http.request(method, "/mcp")).status_code == 405


async def test_other_names_for_this_machine_are_not_answered(face: Face) -> None:
    """A page in a browser that reaches us by a name of its own gets nothing (DNS rebinding)."""
    token = face.world.token("planner", "proposer", agent=True)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json", "accept": "application/json"}
    async with httpx.AsyncClient(base_url=face.base, headers=headers) as http:
        for more in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
            assert (await http.post("/mcp", content=b"{}", headers=more)).status_code in (403, 421)


async def test_a_failure_says_nothing_of_itself(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is answered with a trace and without a word of what it was."""

    async def broken(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    async with face.agent() as agent:
        monkeypatch.setattr(face.world.store, "request", broken)
        with pytest.raises(MCPError) as failed:
            await agent.call_tool(NOTE_TOOL, note())
    assert "hunter2" not in str(failed.value)
    assert "trace" in str(failed.value)


def test_names_fit_models_interfaces() -> None:
    """Names are short enough for every model's interface, and different for different action types."""
    long = "A" * 80
    names = {tool_name(f"{long}{n}") for n in range(5)}
    assert len(names) == 5
    assert all(len(name) <= LONGEST_NAME for name in names)
    assert tool_name("CREATE_NOTE") == "propose_create_note"


class Part(BaseModel):
    """A part."""

    size: int


class Order(BaseModel):
    """An order of parts."""

    model_config = ConfigDict(extra="forbid")
    parts: list[Part]
    secret: str = Field(json_schema_extra={"writeOnly": True})


async def test_schemas_keep_their_references(face: Face) -> None:
    """References inside a parameter schema point at the same things inside the tool's schema."""
    import jsonschema_rs
    import msgspec

    world = face.world
    entry = await world.assembly.service.core.action_type_for("acme", NOTE)
    assert entry is not None
    by = (await world.deps.authenticator.authenticate(world.token("a", "proposer"))).principal
    schema = Order.model_json_schema()
    schema["properties"]["same"] = {"$ref": "#/properties/parts"}
    tool = proposing_tool(msgspec.structs.replace(entry, parameter_schema=schema), by)
    validator = jsonschema_rs.Draft202012Validator(tool.input_schema)
    good = {"parts": [{"size": 1}], "same": [{"size": 2}], "secret": {"$secret": "name"}}
    assert validator.is_valid(note() | {"parameters": good})
    for bad in ({"parts": [{"size": "x"}]}, {"same": [{"size": "x"}]}, {"secret": "plain"}):
        assert not validator.is_valid(note() | {"parameters": good | bad})
