"""What operators, administrators and auditors do over HTTP."""

import json
from typing import Any, ClassVar

import pytest

from enactor.domain.ledger import commitment
from enactor.domain.verification import verify_bundle
from tests.http.world import ACCOUNT, NOTE, World, problem, proposal

PLATFORM = {"tenant": ""}


@pytest.fixture(params=["memory", "sqlite"])
def store_kind(request: pytest.FixtureRequest) -> str:
    """Everything here holds over each store."""
    return str(request.param)


async def test_a_kill_switch_stops_and_reports(world: World) -> None:
    """Turning a switch answers with its report; what is approved afterwards is blocked and listed as such."""
    olga = world.caller("olga", "operator")
    done = await world.executed(title="Before")
    answer = await olga.put("/v1/kill-switches/tenant", {"enabled": True, "reason": "incident"})
    assert answer.status_code == 200
    report = answer.json()
    assert (report["scope"], report["enabled"]) == ("tenant", True)
    assert [run["action_intent_id"] for run in report["executed"]] == [done["action_intent_id"]]
    late = await world.executed(title="After")
    view = (await world.ana.get(f"/v1/executions/{late['action_intent_id']}")).json()
    assert (view["status"], view["error_code"]) == ("CANCELLED", "KILL_SWITCH_ENABLED") or view["error_code"] == (
        "KILL_SWITCH_ENABLED"
    )
    report = (await olga.get("/v1/kill-switches/tenant/report")).json()
    assert [run["action_intent_id"] for run in report["blocked"]] == [late["action_intent_id"]]
    assert report["unknown"] == []
    pages = (await olga.get("/v1/kill-switches/tenant/report", limit="1")).json()
    assert pages["next_token"]
    entries = (await world.caller("audrey", "auditor").get("/v1/ledger", account_id="_tenant")).json()["items"]
    changed = [entry["data"] for entry in entries if entry["event_type"] == "KILL_SWITCH_CHANGED"]
    assert [(data["scope"], data["enabled"], data["reason"]) for data in changed] == [("tenant", True, "incident")]
    since = (await olga.get("/v1/kill-switches/tenant/report", since="2030-01-01T00:00:00+02:00")).json()
    assert (since["since"], since["executed"]) == ("2029-12-31T22:00:00.000Z", [])


async def test_switches_are_listed_by_the_scope_they_are_named_by(world: World) -> None:
    """A tenant sees its own switches and the platform's, without who set those; the platform sees its own."""
    olga, root = world.caller("olga", "operator"), world.caller("root", "platform_admin", tenant="")
    body = {"enabled": True, "reason": "x", "compensation": True}
    for scope in ("tenant", "action-type:X", "connector:internal"):
        assert (await olga.put(f"/v1/kill-switches/{scope}", body)).status_code == 200
    for scope in ("global", "platform:action-type:X", "platform:connector:internal"):
        assert (await root.put(f"/v1/kill-switches/{scope}", body)).status_code == 200
    elsewhere = world.caller("eve", "operator", tenant="globex")
    platform = {"global", "platform:action-type:X", "platform:connector:internal"}
    own = {"tenant", "action-type:X", "connector:internal"}
    for caller, scopes in ((olga, own | platform), (elsewhere, platform), (root, platform)):
        items = (await caller.get("/v1/kill-switches")).json()["items"]
        assert {item["scope"] for item in items} == scopes
        assert all(item["enabled"] and item["compensation"] for item in items)
        for item in items:
            hidden = item["scope"] in platform and caller is not root
            assert item["set_by"] == (None if hidden else "dev:root" if item["scope"] in platform else "dev:olga")


async def test_a_run_in_doubt_is_resolved(world: World) -> None:
    """A lost reply is in doubt, without the transport's words; a person's finding ends it."""
    intent = await world.executed("BANK_TRANSFER", payment_id="p1", outcome="lost")
    path = f"/v1/executions/{intent['action_intent_id']}"
    found = await world.ana.get(path)
    assert found.json()["status"] == "IN_DOUBT"
    assert "hunter2" not in found.text
    assert "hunter2" not in (await world.ana.get(f"{path}/timeline")).text
    olga = world.caller("olga", "operator")
    problem(await olga.post(f"{path}/resolve", {"resolution": "EXECUTED"}), 400, "INVALID_INPUT")
    ref = {"system": "bank", "object_type": "payment", "object_id": "p1", "object_url": "https://bank.example/p1"}
    body = {"resolution": "EXECUTED", "comment": "It is in the bank's list.", "external_object_refs": [ref]}
    answer = await olga.post(f"{path}/resolve", body)
    assert answer.json() == {
        "action_intent_id": intent["action_intent_id"],
        "status": "SUCCEEDED",
        "approvals_missing": 0,
    }
    refs = (await world.ana.get(path)).json()["external_object_refs"]
    assert [(item["object_id"], item["object_url"]) for item in refs] == [("p1", "https://bank.example/p1")]


async def test_high_risk_is_resolved_by_two(world: World) -> None:
    """For HIGH risk a second person has to say the same before it counts; where two disagree, a third decides."""
    intent = await world.executed("BANK_CLOSE", payment_id="p1", outcome="lost")
    path = f"/v1/executions/{intent['action_intent_id']}/resolve"
    body = {"resolution": "NOT_EXECUTED", "comment": "Nothing there."}
    first = (await world.caller("olga", "operator").post(path, body)).json()
    assert (first["status"], first["approvals_missing"]) == ("IN_DOUBT", 1)
    otto = world.caller("otto", "operator")
    other = (await otto.post(path, {"resolution": "EXECUTED", "comment": "There."})).json()
    assert (other["status"], other["approvals_missing"]) == ("IN_DOUBT", 1)
    assert "stands" in problem(await otto.post(path, body), 409, "ILLEGAL_TRANSITION")["detail"]
    third = (await world.caller("oda", "operator").post(path, body)).json()
    assert (third["status"], third["approvals_missing"]) == ("FAILED", 0)


async def test_a_failed_run_is_replayed(world: World) -> None:
    """A replay is a new run of a failed execution; one that succeeded is not replayed."""
    intent = await world.executed("BANK_TRANSFER", payment_id="p1", outcome="refused")
    path = f"/v1/executions/{intent['action_intent_id']}"
    view = (await world.ana.get(path)).json()
    assert (view["status"], view["error_code"], view["run_number"]) == ("FAILED", "NO_FUNDS", 1)
    ada = world.caller("ada", "admin")
    answer = await ada.post(f"{path}/replay", {"replay_reason": "funds arrived"})
    assert (answer.status_code, answer.json()["run_number"]) == (202, 2)
    await world.over(intent["action_intent_id"])
    assert (await world.ana.get(path)).json()["run_number"] == 2
    entries = (
        await world.caller("audrey", "auditor").get("/v1/ledger", action_intent_id=intent["action_intent_id"])
    ).json()
    told = [entry["event_type"] for entry in entries["items"] if entry["event_type"].startswith("REPLAY")]
    assert told == ["REPLAY_REQUESTED", "REPLAY_STARTED", "REPLAY_FAILED"]
    done = await world.executed()
    path = f"/v1/executions/{done['action_intent_id']}/replay"
    problem(await ada.post(path, {"replay_reason": "x"}), 409, "ILLEGAL_TRANSITION")


async def test_budgets(world: World) -> None:
    """A budget is set and shown with its use; without room an execution is refused, and so is a replay."""
    ada = world.caller("ada", "admin")
    answer = await ada.put("/v1/budgets/*", {"window_seconds": 3_600, "max_executions": 1})
    assert (answer.status_code, answer.json()["max_executions"]) == (200, 1)
    intent = await world.executed("BANK_TRANSFER", payment_id="p1", outcome="refused")
    (shown,) = (await ada.get("/v1/budgets")).json()["items"]
    assert (shown["action_type"], shown["used"], shown["set_by"]) == ("*", 1, "dev:ada")
    refused = await world.executed(title="Too much")
    view = (await world.ana.get(f"/v1/executions/{refused['action_intent_id']}")).json()
    assert view["error_code"] == "BUDGET_EXCEEDED"
    replay = await ada.post(f"/v1/executions/{intent['action_intent_id']}/replay", {"replay_reason": "funds arrived"})
    assert problem(replay, 409, "BUDGET_EXCEEDED")["error_class"] == "RATE_LIMIT"
    assert "retry-after" not in replay.headers


async def test_policies(world: World) -> None:
    """Policies are replaced as a whole; a broken text changes nothing; what they forbid is 403 with the reason."""
    ada = world.caller("ada", "admin")
    assert (await ada.get("/v1/policies")).json()["version"] == 0
    text = '@id("no-notes") forbid (principal, action == Enactor::Action::"propose", resource);'
    answer = await ada.put("/v1/policies", {"text": text})
    assert (answer.status_code, answer.json()["version"], answer.json()["mode"]) == (200, 1, "ENFORCE")
    problem(await ada.put("/v1/policies", {"text": "forbid ("}), 422, "INVALID_POLICY")
    assert (await ada.get("/v1/policies")).json()["text"] == text
    assert "no-notes" in problem(await world.agent.post("/v1/intents", proposal()), 403, "POLICY_DENIED")["detail"]
    elsewhere = world.caller("eve", "proposer", tenant="globex")
    assert (await elsewhere.post("/v1/intents", proposal())).status_code == 201


async def test_a_policy_approves_and_shows_that_it_did(world: World) -> None:
    """What a policy approves is executed, and the answer to the proposal already shows its approval."""
    text = '@id("notes") permit (principal, action == Enactor::Action::"auto_approve", resource);'
    await world.caller("ada", "admin").put("/v1/policies", {"text": text})
    intent = await world.proposed()
    assert (intent["status"], intent["approval_source"]) == ("APPROVED", "POLICY")
    assert [said["approval_source"] for said in intent["approvals"]] == ["POLICY"]
    await world.over(intent["action_intent_id"])
    (item,) = (await world.agent.post("/v1/intents/batch", [proposal()])).json()["items"]
    assert (item["intent"]["status"], "approvals" in item["intent"]) == ("APPROVED", False)


class TestRegistry:
    ENTRY: ClassVar[dict[str, Any]] = {"action_type": "NOTE_STRICT", "tool_name": "internal.create_note"}

    async def test_a_version_is_added_and_stays(self, world: World) -> None:
        """Versions grow; each can be read for ever; the list shows the latest."""
        root = world.caller("root", "platform_admin", tenant="")
        first = await root.post("/v1/action-types", self.ENTRY)
        assert first.status_code == 201
        assert (first.json()["in_force"], first.json()["entry"]["registry_version"]) == (True, 1)
        second = await root.post("/v1/action-types", {**self.ENTRY, "risk_class": "HIGH", "caps": {"retry_count": 1}})
        assert second.json()["entry"]["registry_version"] == 2
        for version, risk in ((1, "MINIMAL"), (2, "HIGH")):
            entry = (await world.ana.get(f"/v1/action-types/NOTE_STRICT/versions/{version}")).json()
            assert (entry["registry_version"], entry["risk_class"]) == (version, risk)
        assert (await world.ana.get("/v1/action-types/NOTE_STRICT")).json()["registry_version"] == 2
        names = [entry["action_type"] for entry in (await world.ana.get("/v1/action-types")).json()["items"]]
        assert names == sorted(names)
        assert {NOTE, "NOTE_STRICT"} <= set(names)
        assert (await world.proposed("NOTE_STRICT", title="x"))["required_approvals"] == 2

    async def test_the_specifications_members(self, world: World) -> None:
        """The tool's schema version may be said again, and a strategy alone is enough; AUTOMATIC is the tool's own."""
        root = world.caller("root", "platform_admin", tenant="")
        said = {**self.ENTRY, "tool_schema_version": "1"}
        for number, strategy in enumerate(("MANUAL", "AUTOMATIC")):
            answer = await root.post("/v1/action-types", {**said, "compensation_strategy": strategy})
            assert (answer.status_code, answer.json()["entry"]["registry_version"]) == (201, number + 1)
            compensation = answer.json()["entry"]["compensation"]
            undoing = "internal.delete_object" if strategy == "AUTOMATIC" else None
            assert (compensation["strategy"], compensation["tool_name"]) == (strategy, undoing)

    async def test_what_weakens_needs_two(self, world: World) -> None:
        """Lowering risk waits for a second platform administrator: 202, then 201."""
        root, other = (world.caller(who, "platform_admin", tenant="") for who in ("root", "other"))
        await root.post("/v1/action-types", {**self.ENTRY, "risk_class": "HIGH"})
        weaker = {**self.ENTRY, "risk_class": "LOW"}
        answer = await root.post("/v1/action-types", weaker)
        assert (answer.status_code, answer.json()["in_force"], answer.json()["approvals_missing"]) == (202, False, 1)
        problem(await root.post("/v1/action-types", weaker), 409, "ILLEGAL_TRANSITION")
        assert (await other.post("/v1/action-types", weaker)).status_code == 201

    async def test_a_retired_type_is_shown_and_not_proposed(self, world: World) -> None:
        """A deprecated entry can be read, says so, and can no longer be proposed."""
        root = world.caller("root", "platform_admin", tenant="")
        await root.post("/v1/action-types", self.ENTRY)
        assert (await root.post("/v1/action-types", {**self.ENTRY, "deprecated": True})).status_code == 201
        assert (await world.ana.get("/v1/action-types/NOTE_STRICT")).json()["deprecated_at"]
        problem(await world.agent.post("/v1/intents", proposal("NOTE_STRICT")), 422, "UNKNOWN_ACTION_TYPE")
        problem(
            await root.post("/v1/action-types", {**self.ENTRY, "action_type": "NONE", "deprecated": True}),
            404,
            "NOT_FOUND",
        )

    async def test_a_tenants_override_is_stricter(self, world: World) -> None:
        """A tenant's administrator may only tighten what the platform registered."""
        ada = world.caller("ada", "admin")
        stricter = {"action_type": NOTE, "tool_name": "internal.create_note", "risk_class": "HIGH"}
        assert (await ada.post("/v1/action-types", stricter)).status_code == 201
        problem(await ada.post("/v1/action-types", self.ENTRY), 403, "FORBIDDEN")
        assert (await world.proposed())["risk_class"] == "HIGH"
        elsewhere = world.caller("eve", "proposer", tenant="globex")
        assert (await elsewhere.post("/v1/intents", proposal())).json()["risk_class"] == "MINIMAL"

    @pytest.mark.parametrize(
        "change",
        [
            {"action_type": "lower"},
            {"parameter_schema": {"type": 5}},
            {"parameter_schema": {"properties": [], "required": 5}},
            {"parameter_schema": {"properties": {"a": {"pattern": "("}}}},
            {"parameter_schema": {"$ref": "http://127.0.0.1:9/schema"}},
            {"parameter_schema": {"$ref": "file:///etc/hostname"}},
            {"parameter_mapping": [{"param": "nothing", "tool_param": "title"}]},
            {"parameter_mapping": [{"param": "title", "tool_param": "title", "transform": "CUSTOM"}]},
            {"parameter_mapping": [{"param": "title", "tool_param": "title", "transforms": "UPPERCASE"}]},
            {"summary": "Write {nothing}"},
            {"effect_key": "{nothing}"},
            {"caps": {"retry_cout": 1}},
            {"caps": {"retry_count": -1}},
            {"risk_class": "NONE"},
            {"surprise": 1},
            {"tool_schema_version": "7"},
            {"compensation_strategy": "SOMEHOW"},
            {"compensation_strategy": "NONE", "compensation": {"strategy": "MANUAL"}},
        ],
    )
    async def test_an_entry_that_does_not_fit(self, world: World, change: dict[str, Any]) -> None:
        """A broken or far-away schema, a mapping of nothing, and misspelled or impossible members are refused."""
        root = world.caller("root", "platform_admin", tenant="")
        problem(await root.post("/v1/action-types", {**self.ENTRY, **change}), 400, "INVALID_INPUT")


async def test_the_ledger_is_queried(world: World) -> None:
    """Entries are found by intent, trace, type, account and time, and carry what proves them."""
    audrey = world.caller("audrey", "auditor")
    first = await world.executed(title="First")
    world.clock.advance(60)
    second = await world.executed(title="Second")
    view = (await world.ana.get(f"/v1/executions/{second['action_intent_id']}")).json()

    async def found(**query: str) -> list[Any]:
        items: list[Any] = (await audrey.get("/v1/ledger", limit="100", **query)).json()["items"]
        return items

    of_first = await found(action_intent_id=first["action_intent_id"])
    assert {entry["action_intent_id"] for entry in of_first} == {first["action_intent_id"]}
    assert of_first[0]["data"]["parameters"] == {"title": "First"}
    for entry in of_first:
        canonical = json.dumps(entry["data"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert commitment(entry["salt"], canonical) == entry["data_commitment"]
    by_trace = await found(trace_id=view["trace_id"])
    assert {entry["event_type"] for entry in by_trace} >= {"EXECUTION_STARTED", "TOOL_INVOKED", "ACTION_EXECUTED"}
    assert len(await found(trace_id=second["trace_id"])) >= len(by_trace)
    assert len(await found(event_type="ACTION_EXECUTED")) == 2
    assert {entry["account_id"] for entry in await found(account_id=ACCOUNT)} == {ACCOUNT}
    split = of_first[-1]["timestamp"].replace("Z", "+00:00")
    later = await found(**{"from": split, "event_type": "INTENT_PROPOSED"})
    assert [entry["action_intent_id"] for entry in later] == [
        first["action_intent_id"],
        second["action_intent_id"],
    ]
    until = await found(to=second["created_at"], event_type="INTENT_PROPOSED")
    assert [entry["action_intent_id"] for entry in until] == [first["action_intent_id"]]


async def test_the_ledger_is_exported_and_checked(world: World) -> None:
    """An export is a bundle that anybody can check; a selection of it says that it is one."""
    for title in ("First", "Second"):
        intent = await world.executed(title=title)
    audrey = world.caller("audrey", "auditor")
    response = await audrey.get("/v1/ledger/export")
    assert response.headers["content-type"] == "application/x-ndjson"
    report = verify_bundle(response.content.splitlines(keepends=True))
    assert report.ok
    assert not report.partial
    assert report.entries == response.content.count(b'{"kind":"entry"')
    altered = response.content.replace(b"First", b"Third", 1)
    assert not verify_bundle(altered.splitlines(keepends=True)).ok
    selected = await audrey.get("/v1/ledger/export", action_intent_id=intent["action_intent_id"])
    assert verify_bundle(selected.content.splitlines(keepends=True)).partial
    assert b"First" not in selected.content


async def test_objects_are_the_accounts(world: World) -> None:
    """Notes and tasks are listed by kind and account, and read by the address an execution names."""
    await world.executed(title="A note")
    await world.executed("CREATE_INTERNAL_TASK", title="A task")
    for kind, title in (("note", "A note"), ("task", "A task")):
        (item,) = (await world.ana.get("/v1/objects", type=kind, account_id=ACCOUNT)).json()["items"]
        assert item["body"]["title"] == title
        assert (await world.ana.get(f"/v1/objects/{item['object_id']}")).json() == item
        narrow = world.caller("narrow", "approver", accounts=("acc-2",))
        problem(await narrow.get(f"/v1/objects/{item['object_id']}"), 404, "NOT_FOUND")
        elsewhere = world.caller("eve", "approver", tenant="globex")
        problem(await elsewhere.get(f"/v1/objects/{item['object_id']}"), 404, "NOT_FOUND")


async def test_secrets_are_references(world: World) -> None:
    """A parameter that is to be secret takes only a reference, and the reference is all that is ever shown."""
    root = world.caller("root", "platform_admin", tenant="")
    entry = {
        "action_type": "NOTE_SECRET",
        "tool_name": "internal.create_note",
        "parameter_schema": {
            "type": "object",
            "properties": {"title": {"type": "string"}, "body": {"type": "string", "writeOnly": True}},
            "required": ["title"],
        },
    }
    assert (await root.post("/v1/action-types", entry)).status_code == 201
    for body in ("hunter2", {"hunter2": 1}, {"$secret": "x", "hunter2": "y"}, ["hunter2"]):
        plain = await world.agent.post("/v1/intents", proposal("NOTE_SECRET", title="x", body=body))
        problem(plain, 422, "INVALID_PARAMETERS")
        assert "hunter2" not in plain.text
    intent = await world.proposed("NOTE_SECRET", title="x", body={"$secret": "api-key"})
    assert intent["tool_call"]["arguments"]["body"] == {"$secret": "api-key"}
