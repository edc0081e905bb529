"""Previews and undos over HTTP: what approvers see, what proposers do not, and taking back."""

from typing import Any

import pytest

from enactor.conformance.shelf import Item
from enactor.connectors.sdk import Refused
from enactor.domain.errors import ErrorClass
from tests.http.world import World, problem

SECRET = "Somebody's earlier label"


def on_the_shelf(world: World) -> None:
    """Something that nobody who proposes may read."""
    world.shelf.items["item-1"] = Item(label=SECRET, key="", changed_by="", version=3)


async def approved(world: World, intent: dict[str, Any], *names: str) -> None:
    """Has those people approve an intent, and waits for the end of its run."""
    for name in names:
        path = f"/v1/intents/{intent['action_intent_id']}/approve"
        answer = await world.caller(name, "approver").post(path, {"approval_digest": intent["approval_digest"]})
        assert answer.status_code == 202, answer.text
    await world.over(intent["action_intent_id"])


async def test_a_preview_is_for_approvers_who_did_not_propose(world: World) -> None:
    """Nobody else is given it in any answer: not its proposer, an approver or operator that proposed, or the ledger."""
    on_the_shelf(world)
    both = world.caller("planner", "proposer", "approver", "operator", "auditor")
    body = {"action_type": "SHELF_RELABEL", "account_id": "acc-1", "parameters": {"object_id": "item-1", "label": "x"}}
    made = await both.post("/v1/intents", body)
    assert made.status_code == 201, made.text
    intent = made.json()
    path = f"/v1/intents/{intent['action_intent_id']}"
    seen = (await world.ana.get(path)).json()["preview"]
    assert (seen["before"], seen["after"]) == ({"label": SECRET}, {"label": "x"})
    assert (seen["version_tag"], seen["guard"]) == ("3", "ATOMIC")
    (listed,) = (await world.ana.get("/v1/intents", action_type="SHELF_RELABEL")).json()["items"]
    assert listed["preview"] == seen
    edited = await world.caller("eve", "approver").ask(
        "PUT",
        f"{path}/parameters",
        {"parameters": {"object_id": "item-1", "label": "y"}},
        {"if-match": f'"{intent["approval_digest"]}"'},
    )
    assert edited.status_code == 200
    assert (await world.ana.get(path)).json()["preview"]["after"] == {"label": "y"}
    await approved(world, edited.json(), "ana")
    execution = f"/v1/executions/{intent['action_intent_id']}"
    urls = (path, f"{path}/revisions", "/v1/intents", execution, f"{execution}/timeline", "/v1/ledger")
    texts = [made.text, edited.text, *[(await both.get(url)).text for url in (*urls, "/v1/ledger/export")]]
    assert not [text for text in texts if SECRET in text]


@pytest.mark.parametrize(
    ("trouble", "status", "code"),
    [
        (Refused("BUSY", "The shelf is busy.", retryable=True), 503, "TARGET_UNREADABLE"),
        (ConnectionResetError("secret"), 503, "TARGET_UNREADABLE"),
        (Refused("NOT_FOUND", "There is no item-1.", error_class=ErrorClass.VALIDATION), 422, "PREVIEW_REFUSED"),
        (Refused("MISMATCH", "It is another account's.", error_class=ErrorClass.AUTH), 422, "PREVIEW_REFUSED"),
    ],
)
async def test_a_target_that_cannot_be_read_is_not_proposed_for(
    world: World, trouble: Exception, status: int, code: str
) -> None:
    """A clear problem, retryable where the situation may pass, and nothing is stored."""
    on_the_shelf(world)
    world.shelf.unreadable.append(trouble)
    body = {"action_type": "SHELF_RELABEL", "account_id": "acc-1", "parameters": {"object_id": "item-1", "label": "x"}}
    refused = problem(await world.agent.post("/v1/intents", body), status, code)
    assert refused["retryable"] is (status == 503)
    assert "another account" not in refused["detail"]
    assert (await world.ana.get("/v1/intents")).json()["items"] == []


async def test_a_preview_is_read_only_for_what_may_be_proposed(world: World) -> None:
    """Another account, or what a policy forbids: refused before the target is read."""
    on_the_shelf(world)
    body = {"action_type": "SHELF_RELABEL", "account_id": "acc-9", "parameters": {"object_id": "item-1", "label": "x"}}
    narrow = world.caller("planner", "proposer", accounts=("acc-1",))
    problem(await narrow.post("/v1/intents", body), 403, "FORBIDDEN")
    policy = (
        'forbid (principal, action == Enactor::Action::"propose", resource) when { context.arguments.label == "x" };'
    )
    assert (await world.caller("ada", "admin").put("/v1/policies", {"text": policy})).status_code == 200
    problem(await world.agent.post("/v1/intents", body), 403, "POLICY_DENIED")
    assert world.shelf.reads == 0
    made = await world.agent.post("/v1/intents", {**body, "parameters": {"object_id": "item-1", "label": "fine"}})
    intent = made.json()
    edit = {"parameters": {"object_id": "item-1", "label": "x"}}
    refused = await world.ana.ask(
        "PUT",
        f"/v1/intents/{intent['action_intent_id']}/parameters",
        edit,
        {"if-match": f'"{intent["approval_digest"]}"'},
    )
    problem(refused, 403, "POLICY_DENIED")


async def test_an_undo_takes_back_what_was_done(world: World) -> None:
    """Proposed by an operator, approved by somebody else, executed, and seen on the original; a second one is 409."""
    intent = await world.executed(title="Wrong customer")
    path = f"/v1/executions/{intent['action_intent_id']}"
    olga = world.caller("olga", "operator")
    made = await olga.post(f"{path}/undo", {"reason": "wrong customer"})
    assert made.status_code == 201, made.text
    undo = made.json()
    assert made.headers["etag"] == f'"{undo["approval_digest"]}"'
    assert undo["undoes"]["action_intent_id"] == intent["action_intent_id"]
    assert (undo["status"], undo["rationale"]) == ("PENDING_APPROVAL", "wrong customer")
    await approved(world, undo, "ana")
    original = (await olga.get(path)).json()
    assert (original["status"], original["compensation_status"]) == ("SUCCEEDED", "COMPLETED")
    assert original["compensated_by"] == undo["action_intent_id"]
    assert (await olga.get("/v1/objects", type="note")).json()["items"] == []
    second = problem(await olga.post(f"{path}/undo", {"reason": "again"}), 409, "EFFECT_KEY_TAKEN")
    assert second["action_intent_id"] == undo["action_intent_id"]
    of_undo = f"/v1/executions/{undo['action_intent_id']}"
    problem(await olga.post(f"{of_undo}/undo", {"reason": "undo the undo"}), 409, "UNDO_IMPOSSIBLE")
    assert (await olga.get(of_undo)).json()["undoes"] == intent["action_intent_id"]


async def test_an_undo_that_cannot_be(world: World) -> None:
    """By hand, in doubt, changed since, another tenant's: each is a problem that says why."""
    olga = world.caller("olga", "operator")
    paid = await world.executed("BANK_TRANSFER", payment_id="p1")
    refused = await olga.post(f"/v1/executions/{paid['action_intent_id']}/undo", {"reason": "x"})
    by_hand = problem(refused, 409, "UNDO_IMPOSSIBLE")
    assert (by_hand["compensation_strategy"], "Ask the bank" in by_hand["detail"]) == ("MANUAL", True)
    assert by_hand["compensation_note"] == "Ask the bank to send it back."
    lost = await world.executed("BANK_TRANSFER", payment_id="p2", outcome="lost")
    doubt = await olga.post(f"/v1/executions/{lost['action_intent_id']}/undo", {"reason": "x"})
    assert "resolve" in problem(doubt, 409, "ILLEGAL_TRANSITION")["detail"]
    put = await world.executed("SHELF_PUT", label="tea")
    world.shelf.touch("item-1")
    path = f"/v1/executions/{put['action_intent_id']}"
    problem(await olga.post(f"{path}/undo", {"reason": "x"}), 409, "UNDO_CONFLICT")
    lines = (await olga.get(f"{path}/timeline")).json()["items"]
    assert lines[-1]["text"] == "What it did was read back: changed since"
    stranger = world.caller("stan", "operator", tenant="globex")
    problem(await stranger.post(f"{path}/undo", {"reason": "x"}), 404, "INTENT_NOT_FOUND")


async def test_what_undoes_is_proposed_by_undos_alone(world: World) -> None:
    """Its action type is in the registry, for policies and switches, and agents can neither see nor use it."""
    entry = (await world.ana.get("/v1/action-types/INTERNAL_DELETE_OBJECT")).json()
    assert entry["undo_only"] is True
    body = {
        "action_type": "INTERNAL_DELETE_OBJECT",
        "account_id": "acc-1",
        "parameters": {"original_key": "k", "refs": []},
    }
    problem(await world.agent.post("/v1/intents", body), 422, "UNKNOWN_ACTION_TYPE")
