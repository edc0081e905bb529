"""Checkpoints, proofs, bundles and erasure over HTTP."""

from typing import Any

import pytest
from msgspec.structs import replace

from enactor.domain.canonical import canonical, sha256_hex
from enactor.domain.ledger import ChainVerifier, LedgerEntry
from enactor.domain.merkle import includes, is_consistent, leaf_hash
from enactor.domain.note import parse_checkpoint, parse_key, parse_note
from enactor.domain.verification import verify_bundle
from enactor.service.keeper import KeeperStatus
from tests.bundles import trusting
from tests.http.world import NOTE, World, problem

SECRET = "Grace-Hopper-1906"


@pytest.fixture(params=["memory", "sqlite"])
def store_kind(request: pytest.FixtureRequest) -> str:
    """Both stores."""
    kind: str = request.param
    return kind


async def audited(world: World, path: str, **params: Any) -> Any:
    """What an auditor is answered."""
    response = await world.caller("audrey", "auditor").get(path, **params)
    assert response.status_code == 200, response.text
    return response.json()


async def test_an_auditor_checks_it_all_himself(world: World) -> None:
    """From the answers alone: the signature, an entry's proof, the log's growth, and a bundle held against both."""
    problem(await world.caller("audrey", "auditor").get("/v1/ledger/checkpoint"), 404, "NOT_FOUND")
    first_intent = await world.executed(NOTE, title="one")
    first = await audited(world, "/v1/ledger/checkpoint")
    await world.executed(NOTE, title="two")
    made = await world.caller("audrey", "auditor").post("/v1/ledger/checkpoint")
    second = made.json()
    assert second["size"] > first["size"]
    (key,) = (await audited(world, "/v1/ledger/keys"))["items"]
    for said in (first, second):
        note = parse_note(said["checkpoint"])
        assert parse_key(key["key"]).has_signed(note) == 0
        checkpoint = parse_checkpoint(note.text)
        assert (checkpoint.size, checkpoint.root.hex()) == (said["size"], said["root_hash"])
    entries = (await audited(world, "/v1/ledger", action_intent_id=first_intent["action_intent_id"]))["items"]
    everything = (await audited(world, "/v1/ledger", limit="100"))["items"]
    assert {entry["action_intent_id"] == "" for entry in everything} == {True, False}
    for entry in everything:
        covered = {name: it for name, it in entry.items() if name not in ("data", "salt", "hash", "position")}
        assert sha256_hex(canonical(covered)) == entry["hash"], "what is shown is what was hashed"
    proof = await audited(world, f"/v1/ledger/proof/{entries[3]['entry_id']}")
    leaf = leaf_hash(bytes.fromhex(entries[3]["hash"]))
    path = [bytes.fromhex(text) for text in proof["inclusion_path"]]
    assert (leaf.hex(), proof["entry"]) == (proof["leaf_hash"], entries[3])
    assert includes(bytes.fromhex(proof["root_hash"]), proof["tree_size"], proof["leaf_index"], leaf, path)
    between = await audited(world, "/v1/ledger/consistency", **{"from": first["size"], "to": second["size"]})
    roots = [bytes.fromhex(said["root_hash"]) for said in (first, second)]
    growth = [bytes.fromhex(text) for text in between["consistency_path"]]
    assert is_consistent(first["size"], roots[0], second["size"], roots[1], growth)
    trusted = trusting(parse_key(key["key"]), held=[first["checkpoint"]])
    for parameters in ({}, {"action_intent_id": first_intent["action_intent_id"], "since": first["size"]}):
        response = await world.caller("audrey", "auditor").get("/v1/ledger/export", **parameters)
        report = verify_bundle(response.content.splitlines(keepends=True), trusted)
        assert (report.ok, report.held, report.signed_by) == (True, (first["size"],), (key["key"],))
        assert report.partial is bool(parameters)


async def test_a_checkpoint_is_its_note_for_who_asks_for_text(world: World) -> None:
    """Byte for byte what was signed, to be kept as a file."""
    await world.executed()
    auditor = world.caller("audrey", "auditor")
    known = await audited(world, "/v1/ledger/checkpoint")
    response = await auditor.ask("GET", "/v1/ledger/checkpoint", headers={"accept": "text/plain"})
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text == known["checkpoint"]


async def test_a_selection_by_time_and_account_verifies(world: World) -> None:
    """The parts of a ledger that an export can be narrowed to, each with its proofs."""
    await world.executed()
    world.clock.advance(10)
    auditor = world.caller("audrey", "auditor")
    for parameters in ({"account_id": "acc-1"}, {"to": "2026-05-28T20:26:45Z"}, {"from": "2026-05-28T20:26:45Z"}):
        response = await auditor.get("/v1/ledger/export", **parameters)
        report = verify_bundle(response.content.splitlines(keepends=True))
        assert (report.ok, report.partial) == (True, True), report.faults
    limited = await world.caller("li", "auditor", accounts=("acc-2",)).get("/v1/ledger/export")
    assert verify_bundle(limited.content.splitlines(keepends=True)).entries == 0
    problem(await auditor.get("/v1/ledger/consistency", **{"from": 9_999}), 400, "INVALID_INPUT")


async def test_erased_data_is_gone_everywhere(world: World) -> None:
    """By subject: records, listings, objects, timeline and bundle; the ledger verifies, and a replay is refused."""
    failed = await world.executed("BANK_TRANSFER", payment_id=SECRET, outcome="refused")
    await world.executed(NOTE, title=f"About {SECRET}", body="x")
    kept = await world.executed(NOTE, title="Somebody else")
    waiting = await world.proposed(NOTE, title=SECRET)
    identity = failed["action_intent_id"]
    held = (await audited(world, "/v1/ledger/checkpoint"))["checkpoint"]
    admin = world.caller("boss", "admin")
    asked = {"reference": "GDPR-17", "subject": SECRET.lower(), "dry_run": True}
    seen = (await admin.post("/v1/ledger/erasures", asked)).json()
    assert (len(seen["erased"]), seen["dry_run"]) == (2, True)
    assert SECRET in (await admin.get(f"/v1/intents/{identity}")).text
    done = (await admin.post("/v1/ledger/erasures", {**asked, "dry_run": False})).json()
    assert (sorted(done["erased"]), done["dry_run"]) == (sorted(seen["erased"]), False)
    assert [item["action_intent_id"] for item in done["refused"]] == [waiting["action_intent_id"]]
    assert "decide, cancel or resolve it first" in done["refused"][0]["reason"]
    refused = await admin.post(f"/v1/executions/{identity}/replay", {"replay_reason": "again"})
    problem(refused, 409, "DATA_ERASED")
    await world.caller("olga", "operator").post(f"/v1/intents/{waiting['action_intent_id']}/cancel", {})
    assert len((await admin.post("/v1/ledger/erasures", {**asked, "dry_run": False})).json()["erased"]) == 1
    reader = world.caller("all", "auditor", "approver", "admin")
    for path in ("/v1/intents", "/v1/executions", "/v1/objects?type=note", "/v1/ledger", "/v1/ledger/export"):
        response = await reader.get(path)
        assert response.status_code == 200
        assert SECRET not in response.text
    for path in ("", "/revisions"):
        assert SECRET not in (await reader.get(f"/v1/intents/{identity}{path}")).text
    timeline = (await reader.get(f"/v1/executions/{identity}/timeline")).json()["items"]
    assert timeline[-1]["text"] == "dev:boss had its personal data erased"
    assert "its data was erased" in timeline[0]["text"]
    assert "Somebody else" in (await reader.get(f"/v1/intents/{kept['action_intent_id']}")).text
    bundle = (await world.caller("audrey", "auditor").get("/v1/ledger/export")).content
    report = verify_bundle(bundle.splitlines(keepends=True), trusting(held=[held]))
    assert (report.ok, report.erased > 10) == (True, True)
    verifier = ChainVerifier()
    entries: tuple[LedgerEntry, ...] = await world.store.entries_after(0, 10_000)
    verifier.feed_all(entries)
    assert verifier.faults == []


@pytest.mark.parametrize(
    "body",
    [
        {"reference": "T-1"},
        {"reference": "Grace Hopper asked", "subject": SECRET},
        {"reference": "T-1", "subject": "ab"},
    ],
)
async def test_an_erasure_says_what_and_not_who(world: World, body: Any) -> None:
    """Nothing named, a reference that says something itself, and a subject that would be everywhere are refused."""
    problem(await world.caller("boss", "admin").post("/v1/ledger/erasures", body), 400, "INVALID_INPUT")


async def test_another_tenants_intent_is_not_there(world: World) -> None:
    """And nothing of it is touched."""
    intent = await world.executed()
    body = {"reference": "T-1", "action_intent_ids": [intent["action_intent_id"], "nonsense"]}
    answer = (await world.caller("boss", "admin", tenant="globex").post("/v1/ledger/erasures", body)).json()
    assert answer["erased"] == []
    assert [item["reason"] for item in answer["refused"]] == ["There is no such intent."] * 2
    stored = await world.store.intent("acme", intent["action_intent_id"])
    assert stored is not None
    assert stored.erased_at == ""


async def test_a_late_log_is_said(world: World) -> None:
    """/readyz names it and stays ready; /metrics has the alarm."""
    status = [KeeperStatus()]
    world.app.state.deps = replace(world.deps, ledger=lambda: status[0])
    assert (await world.anybody().get("/readyz")).json()["checks"]["ledger"] == "ok"
    status[0] = KeeperStatus(unmerged_seconds=75, alarm=True)
    response = await world.anybody().get("/readyz")
    assert (response.status_code, response.json()["checks"]["ledger"]) == (200, "late")
