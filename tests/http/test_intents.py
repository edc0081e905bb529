import asyncio
from pathlib import Path

import pytest

from enactor.domain.ids import is_intent_id
from enactor.service import Limits
from tests.http.world import ACCOUNT, NOTE, World, problem, proposal, world_of


@pytest.fixture(params=["memory", "sqlite"])
def store_kind(request: pytest.FixtureRequest) -> str:
    """Everything here holds over each store."""
    return str(request.param)


async def test_a_proposal_is_frozen_and_shown(world: World) -> None:
    """A proposal answers 201 with the frozen call, its digest as ETag, and nothing has happened."""
    response = await world.agent.post("/v1/intents", proposal(title="Grüße", body="b"))
    assert response.status_code == 201
    intent = response.json()
    assert is_intent_id(intent["action_intent_id"])
    assert intent["tool_call"]["arguments"] == {"title": "Grüße", "body": "b"}
    assert intent["tool_call"]["argument_bytes"] == '{"body":"b","title":"Grüße"}'
    assert intent["tool_call"]["tool_name"] == "internal.create_note"
    assert response.headers["etag"] == f'"{intent["approval_digest"]}"'
    assert (intent["status"], intent["approvals"]) == ("PENDING_APPROVAL", [])
    assert (await world.ana.get("/v1/objects", type="note")).json()["items"] == []


async def test_the_whole_way(world: World) -> None:
    """Proposed, approved by somebody else, executed once, and told as status, timeline and object."""
    intent = await world.executed(title="Done")
    identity = intent["action_intent_id"]
    for path in (f"/v1/executions/{identity}", f"/v1/executions/{identity}/status"):
        view = (await world.ana.get(path)).json()
        assert (view["status"], view["run_number"], view["attempt_count"]) == ("SUCCEEDED", 1, 1)
        assert view["external_object_refs"][0]["system"] == "internal"
    timeline = (await world.ana.get(f"/v1/executions/{identity}/timeline")).json()
    stages = [line["stage"] for line in timeline["items"]]
    assert stages == sorted(stages, key=["decision", "approval", "execution", "outcome"].index)
    assert set(stages) == {"decision", "approval", "execution", "outcome"}
    read = (await world.ana.get(f"/v1/intents/{identity}")).json()
    assert [(said["decision"], said["decided_by"]) for said in read["approvals"]] == [("APPROVED", "dev:ana")]
    url = view["external_object_refs"][0]["object_url"]
    assert (await world.ana.get(url)).json()["body"]["title"] == "Done"


async def test_what_the_proposer_says_of_the_target_is_marked(world: World) -> None:
    """A target in a proposal is the proposer's word, and cannot claim to come from the arguments."""
    body = {**proposal(), "target": {"entity_type": "Contact", "entity_id": "7"}}
    made = (await world.agent.post("/v1/intents", body)).json()
    assert made["target"] == {"entity_type": "Contact", "entity_id": "7", "source": "PROPOSER"}
    body["target"]["source"] = "ARGUMENTS"
    problem(await world.agent.post("/v1/intents", body), 400, "INVALID_INPUT")


async def test_the_trace_of_the_request_is_the_decision_trace(world: World) -> None:
    """A valid traceparent gives the decision trace; an invalid one is as if it were not there."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    for header, kept in (
        (f"00-{trace}-00f067aa0ba902b7-01", True),
        (f"00-{trace}-0000000000000000-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"ff-{trace}-00f067aa0ba902b7-01", False),
        (f"00-{trace}-00f067aa0ba902b7-01-more", False),
        (f"01-{trace}-00f067aa0ba902b7-01-more", True),
        ("nonsense", False),
    ):
        response = await world.agent.post("/v1/intents", proposal(), {"traceparent": header})
        assert (response.json()["trace_id"] == trace) is kept
        assert response.headers["x-trace-id"] == response.json()["trace_id"]


async def test_the_request_id_comes_back(world: World) -> None:
    """A plain X-Request-Id is echoed; anything else is replaced by the trace id."""
    response = await world.ana.ask("GET", "/v1/me", headers={"x-request-id": "req-1"})
    assert response.headers["x-request-id"] == "req-1"
    response = await world.ana.ask("GET", "/v1/me", headers={"x-request-id": "<script>"})
    assert response.headers["x-request-id"] == response.headers["x-trace-id"]


class TestIdempotencyKey:
    async def test_the_same_key_and_body_give_the_same_intent(self, world: World) -> None:
        """A repeated request answers 200 with the intent that the first one made, and makes nothing."""
        first = await world.agent.post("/v1/intents", proposal(), {"idempotency-key": "k1"})
        again = await world.agent.post("/v1/intents", proposal(), {"idempotency-key": "k1"})
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["action_intent_id"] == again.json()["action_intent_id"]
        assert len((await world.agent.get("/v1/intents")).json()["items"]) == 1

    async def test_the_same_key_with_another_body_is_refused(self, world: World) -> None:
        """Another body under a used key is 422."""
        await world.agent.post("/v1/intents", proposal(), {"idempotency-key": "k1"})
        response = await world.agent.post("/v1/intents", proposal(title="Other"), {"idempotency-key": "k1"})
        problem(response, 422, "IDEMPOTENCY_KEY_REUSED")

    async def test_two_at_once_make_one(self, world: World) -> None:
        """Of requests with one key at the same time one makes the intent; the others get it or are told to wait."""
        responses = await asyncio.gather(
            *(world.agent.post("/v1/intents", proposal(), {"idempotency-key": "k1"}) for _ in range(5))
        )
        assert sorted({response.status_code for response in responses} - {200, 409}) == [201]
        for response in responses:
            if response.status_code == 409:
                assert problem(response, 409, "REQUEST_IN_PROGRESS")["retryable"] is True
        assert len((await world.agent.get("/v1/intents")).json()["items"]) == 1

    async def test_another_principals_key_is_another_key(self, world: World) -> None:
        """Keys are each principal's own."""
        await world.agent.post("/v1/intents", proposal(), {"idempotency-key": "k1"})
        other = world.caller("other", "proposer", agent=True)
        assert (await other.post("/v1/intents", proposal(), {"idempotency-key": "k1"})).status_code == 201

    async def test_a_key_that_is_none_is_refused(self, world: World) -> None:
        """An empty, too long or unprintable key is 400."""
        for key in ("", " ", "x" * 256, "a\tb"):
            problem(await world.agent.post("/v1/intents", proposal(), {"idempotency-key": key}), 400, "INVALID_INPUT")


class TestBatch:
    async def test_a_thousand_at_once(self, world: World) -> None:
        """A batch of 1,000 gives 1,000 results in the order of its items."""
        items = [proposal(title=f"Note {number}") for number in range(1_000)]
        response = await world.agent.post("/v1/intents/batch", {"items": items})
        assert response.status_code == 200
        made = response.json()["items"]
        assert [item["intent"]["parameters"]["title"] for item in made] == [f"Note {n}" for n in range(1_000)]
        assert {item["status"] for item in made} == {201}
        assert len({item["intent"]["action_intent_id"] for item in made}) == 1_000

    async def test_each_item_stands_for_itself(self, world: World) -> None:
        """What is wrong with one item is its own problem, and the others are made."""
        items = [
            proposal(title="Good"),
            {"action_type": NOTE},
            proposal("NO_SUCH"),
            proposal(title=7),
            {**proposal(), "account_id": ACCOUNT, "surprise": 1},
            proposal(title="Good too"),
        ]
        for body in ({"items": items}, items):
            made = (await world.agent.post("/v1/intents/batch", body)).json()["items"]
            assert [item["status"] for item in made] == [201, 400, 422, 422, 400, 201]
            codes = [item.get("problem", {}).get("error_code") for item in made]
            assert codes == [None, "INVALID_INPUT", "UNKNOWN_ACTION_TYPE", "INVALID_PARAMETERS", "INVALID_INPUT", None]

    async def test_a_batch_has_bounds(self, world: World) -> None:
        """No items, more than 1,000 and an Idempotency-Key are refused as a whole."""
        batch = "/v1/intents/batch"
        problem(await world.agent.post(batch, {"items": []}), 400, "INVALID_INPUT")
        problem(await world.agent.post(batch, {"items": [{}] * 1_001}), 400, "INVALID_INPUT")
        problem(await world.agent.post(batch, [proposal()], {"idempotency-key": "k"}), 400, "INVALID_INPUT")
        assert (await world.agent.get("/v1/intents")).json()["items"] == []

    async def test_all_wrong_is_an_answer_too(self, world: World) -> None:
        """A batch in which nothing is right answers item by item."""
        made = (await world.agent.post("/v1/intents/batch", [{}, []])).json()["items"]
        assert [item["status"] for item in made] == [400, 400]


async def test_limits_on_pending_intents_are_429(key_file: Path) -> None:
    """Beyond the limit of pending intents a proposal is 429 with a word on when to try again."""
    async with world_of(key_file, limits=Limits(max_pending_of_proposer=1)) as world:
        await world.proposed()
        response = await world.agent.post("/v1/intents", proposal())
        assert problem(response, 429, "TOO_MANY_PENDING")["retryable"] is True
        assert response.headers["retry-after"]
        made = (await world.agent.post("/v1/intents/batch", [proposal()])).json()["items"]
        assert (made[0]["status"], made[0]["problem"]["error_code"]) == (429, "TOO_MANY_PENDING")


class TestEditing:
    async def test_an_edit_makes_a_new_revision(self, world: World) -> None:
        """New parameters give a new revision and digest; both revisions can be read, and the editor may not decide."""
        intent = await world.proposed()
        path = f"/v1/intents/{intent['action_intent_id']}"
        response = await world.ana.put(
            f"{path}/parameters", {"parameters": {"title": "Better"}}, {"if-match": f'"{intent["approval_digest"]}"'}
        )
        assert response.status_code == 200
        edited = response.json()
        assert (edited["revision"], edited["parameters"]) == (2, {"title": "Better"})
        assert edited["approval_digest"] != intent["approval_digest"]
        revisions = (await world.ana.get(f"{path}/revisions")).json()["items"]
        assert [revision["parameters"]["title"] for revision in revisions] == ["Test note", "Better"]
        audrey = world.caller("audrey", "auditor")
        entries = (await audrey.get("/v1/ledger", action_intent_id=intent["action_intent_id"])).json()["items"]
        (told,) = [entry["data"] for entry in entries if entry["event_type"] == "INTENT_EDITED"]
        assert (told["revision"], told["approval_digest"]) == (2, edited["approval_digest"])
        body = {"approval_digest": edited["approval_digest"]}
        problem(await world.ana.post(f"{path}/approve", body), 403, "SELF_DECISION_FORBIDDEN")

    async def test_an_edit_says_what_it_edits(self, world: World) -> None:
        """Without If-Match, with another digest, none, or a weak tag: 412, and nothing was changed."""
        intent = await world.proposed()
        path = f"/v1/intents/{intent['action_intent_id']}/parameters"
        body = {"parameters": {"title": "Better"}}
        problem(await world.ana.put(path, body), 412, "PRECONDITION_FAILED")
        stale = problem(await world.ana.put(path, body, {"if-match": '"stale"'}), 412, "PRECONDITION_FAILED")
        assert stale["current_digest"] == intent["approval_digest"]
        for tag in ("*", f'W/"{intent["approval_digest"]}"', intent["approval_digest"], '"'):
            problem(await world.ana.put(path, body, {"if-match": tag}), 412, "PRECONDITION_FAILED")
        assert (await world.ana.get(path.removesuffix("/parameters"))).json()["revision"] == 1

    async def test_bad_parameters_are_refused_when_edited(self, world: World) -> None:
        """An edit validates as a proposal does."""
        intent = await world.proposed()
        path = f"/v1/intents/{intent['action_intent_id']}/parameters"
        tag = {"if-match": f'"{intent["approval_digest"]}"'}
        problem(await world.ana.put(path, {"parameters": {"title": 1}}, tag), 422, "INVALID_PARAMETERS")


class TestDeciding:
    async def test_a_stale_digest_is_told_the_current_one(self, world: World) -> None:
        """A digest that is not the current one is 409 with the current one."""
        intent = await world.proposed()
        path = f"/v1/intents/{intent['action_intent_id']}/approve"
        found = problem(await world.ana.post(path, {"approval_digest": "0" * 64}), 409, "APPROVAL_STALE")
        assert found["current_digest"] == intent["approval_digest"]

    async def test_nobody_decides_their_own(self, world: World) -> None:
        """A proposer with the approver's role can neither approve nor reject what it proposed."""
        bob = world.caller("bob", "proposer", "approver")
        intent = (await bob.post("/v1/intents", proposal())).json()
        path = f"/v1/intents/{intent['action_intent_id']}"
        body = {"approval_digest": intent["approval_digest"]}
        problem(await bob.post(f"{path}/approve", body), 403, "SELF_DECISION_FORBIDDEN")
        problem(await bob.post(f"{path}/reject", {"reason": "no"}), 403, "SELF_DECISION_FORBIDDEN")

    async def test_an_approval_says_what_is_missing(self, world: World) -> None:
        """HIGH risk waits for two people; a program's approval fills no place, and the same person's no second one."""
        intent = await world.proposed("BANK_CLOSE", payment_id="1")
        path = f"/v1/intents/{intent['action_intent_id']}/approve"
        body = {"approval_digest": intent["approval_digest"], "comment": "fine"}
        answers = [
            (await caller.post(path, body)).json()
            for caller in (
                world.caller("bot", "approver", agent=True),
                world.ana,
                world.ana,
                world.caller("ben", "approver"),
            )
        ]
        assert [answer["approvals_missing"] for answer in answers] == [2, 1, 1, 0]
        assert answers[0].keys() == {"action_intent_id", "status", "approvals_missing", "execution_status"}
        assert [answer["status"] for answer in answers] == ["PENDING_APPROVAL"] * 3 + ["APPROVED"]
        assert answers[3]["execution_status"] in ("PENDING", "RUNNING", "SUCCEEDED")

    async def test_rejecting_ends_it(self, world: World) -> None:
        """A rejected intent is shown as such, and cannot be approved, cancelled or executed any more."""
        intent = await world.proposed()
        path = f"/v1/intents/{intent['action_intent_id']}"
        rejected = (await world.ana.post(f"{path}/reject", {"reason": "not now"})).json()
        assert (rejected["status"], rejected["decided_reason"]) == ("REJECTED", "not now")
        body = {"approval_digest": intent["approval_digest"]}
        problem(await world.ana.post(f"{path}/approve", body), 409, "ILLEGAL_TRANSITION")
        problem(await world.agent.post(f"{path}/cancel"), 409, "ILLEGAL_TRANSITION")
        execute = {"action_intent_id": intent["action_intent_id"]}
        problem(await world.agent.post("/v1/executions", execute), 409, "APPROVAL_REQUIRED")

    async def test_cancelling_needs_no_body(self, world: World) -> None:
        """A proposer cancels its own; somebody else's it cannot even see."""
        intent = await world.proposed()
        path = f"/v1/intents/{intent['action_intent_id']}/cancel"
        stranger = world.caller("stranger", "proposer")
        problem(await stranger.post(path), 404, "INTENT_NOT_FOUND")
        answer = (await world.agent.post(path)).json()
        assert (answer["status"], answer["requested_only"]) == ("CANCELLED", False)

    async def test_delivering_an_approval_again_starts_one_run(self, world: World) -> None:
        """Fifty deliveries at once are each 202, and there is one run and one note."""
        intent = await world.approved(title="Once")
        body = {"action_intent_id": intent["action_intent_id"]}
        responses = await asyncio.gather(*(world.ana.post("/v1/executions", body) for _ in range(50)))
        assert {response.status_code for response in responses} == {202}
        await world.over(intent["action_intent_id"])
        assert len((await world.ana.get("/v1/objects", type="note")).json()["items"]) == 1

    async def test_executing_without_an_approval_is_refused(self, world: World) -> None:
        """An intent nobody approved is not executed, whoever asks."""
        intent = await world.proposed()
        body = {"action_intent_id": intent["action_intent_id"]}
        problem(await world.agent.post("/v1/executions", body), 409, "APPROVAL_REQUIRED")


async def test_an_effect_key_is_held_by_one_intent(world: World) -> None:
    """A second intent to do the same thing is 409 and names the first."""
    first = await world.proposed("BANK_TRANSFER", payment_id="p1")
    response = await world.agent.post("/v1/intents", proposal("BANK_TRANSFER", payment_id="p1"))
    assert problem(response, 409, "EFFECT_KEY_TAKEN")["action_intent_id"] == first["action_intent_id"]
