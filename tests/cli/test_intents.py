"""Proposing, deciding and cancelling from the command line."""

import json
from pathlib import Path

import pytest

from tests.cli.answers import DIGEST, INTENT_ID, intent
from tests.cli.support import TOKEN, Canned, problem, run


def test_propose_sends_the_proposal_and_shows_the_frozen_call(api: Canned) -> None:
    """What is given becomes the body, once, with the token; the call and the digest are shown."""
    api.on("POST", "/v1/intents", intent(), 201)
    result = run(
        "propose", "CREATE_INTERNAL_NOTE", "--account", "acc-1", "--parameters", '{"title": "Call back"}',
        "-p", "body=text", "-p", "stars:=5", "--target", "Contact:003", "--rationale", "The customer asked.",
        "--evidence", "mail:1",
        "--expires-in", "2h", "--retry-count", "1", "--timeout", "30s", "--idempotency-key", "k1",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    (request,) = api.requests
    assert request.body == {
        "action_type": "CREATE_INTERNAL_NOTE",
        "account_id": "acc-1",
        "parameters": {"title": "Call back", "body": "text", "stars": 5},
        "target": {"entity_type": "Contact", "entity_id": "003"},
        "rationale": "The customer asked.",
        "evidence_refs": ["mail:1"],
        "expires_in_seconds": 7200,
        "execution_policy": {"retry_count": 1, "timeout_seconds": 30},
    }
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["idempotency-key"] == "k1"
    for shown in (INTENT_ID, DIGEST, "internal.create_note", '"title": "Call back"', "in the proposer's word only"):
        assert shown in result.stdout


def test_propose_takes_parameters_from_a_file_or_standard_input(api: Canned, tmp_path: Path) -> None:
    """`@FILE` and `-` are read as JSON objects."""
    api.on("POST", "/v1/intents", intent(), 201)
    (tmp_path / "p.json").write_text('{"title": "from a file"}')
    assert run("propose", "T", "--account", "a", "--parameters", "@p.json", "--json").exit_code == 0
    assert run("propose", "T", "--account", "a", "--parameters", "-", given='{"title": "piped"}').exit_code == 0
    assert [request.body["parameters"]["title"] for request in api.requests] == ["from a file", "piped"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--parameters", "[1]"),
        ("--parameters", "{"),
        ("--parameters", '{"a": NaN}'),
        ("--parameters", "[" * 100_000),
        ("--parameters", "@missing.json"),
        ("-p", "title"),
        ("-p", "=x"),
        ("-p", "n:=nope"),
        ("-p", "a=1", "-p", "a=2"),
        ("--parameters", '{"a": 1}', "-p", "a=2"),
        ("--target", "Contact"),
        ("--target", ":1"),
        ("--expires-in", "soon"),
        ("--expires-in", "0"),
        ("--timeout", "1w"),
        ("--retry-count", "-1"),
    ],
)
def test_a_malformed_proposal_is_bad_usage_and_never_sent(api: Canned, arguments: tuple[str, ...]) -> None:
    """Exit status 2, the option named, and no request made."""
    result = run("propose", "T", "--account", "a", *arguments)
    assert result.exit_code == 2
    assert "Error: Invalid value" in result.stderr
    assert api.requests == []


def test_propose_json_prints_the_answer_as_it_is(api: Canned) -> None:
    """--json is the API's answer, whatever members it has."""
    api.on("POST", "/v1/intents", intent(more=1), 201)
    result = run("propose", "T", "--account", "a", "--json")
    assert json.loads(result.stdout) == intent(more=1)


def test_a_refused_proposal_is_one_line_with_its_code(api: Canned) -> None:
    """The problem's detail and code on standard error, exit status 1, nothing on standard output."""
    detail = "The parameter 'title' is missing."
    api.on(
        "POST", "/v1/intents", problem(422, "INVALID_PARAMETERS", detail), 422, content_type="application/problem+json"
    )
    result = run("propose", "T", "--account", "a")
    assert result.exit_code == 1
    assert result.stderr == f"enactor: {detail} [INVALID_PARAMETERS]\n"
    assert result.stdout == ""


def test_what_agents_wrote_is_shown_quoted(api: Canned) -> None:
    """Escape sequences, bidirectional overrides and links of a proposal cannot act on the approver's terminal."""
    nasty = "ok\x1b[2J\u202egnp.exe http://evil.example"
    call = {"tool_name": "t.x", "argument_bytes": json.dumps({"title": nasty}, ensure_ascii=False)}
    api.on("POST", "/v1/intents", intent(summary=nasty, rationale=nasty, tool_call=call, preview={"after": nasty}), 201)
    shown = run("propose", "T", "--account", "a").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "http://" not in shown
    assert shown.count("\\u{202E}") == 4


def test_arguments_that_are_no_json_are_shown_as_they_are(api: Canned) -> None:
    """Whatever bytes were frozen, the approver sees them."""
    call = {"tool_name": "t.x", "argument_bytes": "not json\x07"}
    api.on("POST", "/v1/intents", intent(tool_call=call), 201)
    assert "not json\\u{0007}" in run("propose", "T", "--account", "a").stdout


def test_approve_with_a_digest_sends_exactly_that(api: Canned) -> None:
    """No reading first, no question: the digest given is what is approved."""
    api.on("POST", f"/v1/intents/{INTENT_ID}/approve", {"approvals_missing": 0}, 202)
    result = run("approve", INTENT_ID, "--digest", DIGEST, "--comment", "Looks right.")
    assert result.exit_code == 0, result.stderr
    assert [request.body for request in api.requests] == [{"approval_digest": DIGEST, "comment": "Looks right."}]
    assert result.stdout.startswith("Approved. Follow it with:")


@pytest.mark.parametrize(("missing", "said"), [(1, "1 more approval by"), (2, "2 more approvals by")])
def test_approve_says_how_many_more_are_needed(api: Canned, missing: int, said: str) -> None:
    """A first approval of several is not mistaken for the last."""
    api.on("POST", f"/v1/intents/{INTENT_ID}/approve", {"approvals_missing": missing}, 202)
    assert said in run("approve", INTENT_ID, "--digest", DIGEST).stdout


def test_a_stale_digest_is_refused_with_the_current_one(api: Canned) -> None:
    """The approver is told to look again, and what the digest is now."""
    stale = problem(409, "APPROVAL_STALE", "The intent is not what this digest stands for", current_digest="e" * 64)
    api.on("POST", f"/v1/intents/{INTENT_ID}/approve", stale, 409)
    result = run("approve", INTENT_ID, "--digest", DIGEST)
    assert result.exit_code == 1
    assert "e" * 64 in result.stderr
    assert "Look at it again" in result.stderr
    assert result.stderr.endswith("[APPROVAL_STALE]\n")


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_without_a_digest_nothing_is_approved_down_a_pipe(api: Canned, arguments: tuple[str, ...]) -> None:
    """A script that forgets the digest is bad usage; it must not approve whatever is there."""
    result = run("approve", INTENT_ID, *arguments, given="y\n")
    assert result.exit_code == 2
    assert "--digest" in result.stderr
    assert api.requests == []


@pytest.mark.parametrize(
    ("command", "body", "said"),
    [
        (("reject", "--reason", "No."), {"reason": "No."}, "Rejected"),
        (("cancel",), {"reason": ""}, "Cancelled"),
        (("cancel", "--reason", "Changed."), {"reason": "Changed."}, "Cancelled"),
    ],
)
def test_reject_and_cancel(api: Canned, command: tuple[str, ...], body: dict[str, str], said: str) -> None:
    """Each is one request with its reason, and one sentence, or the answer as JSON."""
    api.on("POST", f"/v1/intents/{INTENT_ID}/{command[0]}", intent())
    result = run(command[0], INTENT_ID, *command[1:])
    assert result.exit_code == 0, result.stderr
    assert api.requests[0].body == body
    assert result.stdout == f"{said} {INTENT_ID}.\n"
    assert json.loads(run(command[0], INTENT_ID, *command[1:], "--json").stdout) == intent()


def test_cancel_says_when_it_is_only_a_request(api: Canned) -> None:
    """A running run is asked to stop, which is not the same as stopped."""
    api.on("POST", f"/v1/intents/{INTENT_ID}/cancel", {"intent": intent(), "requested_only": True}, 202)
    assert "stops before its next call" in run("cancel", INTENT_ID).stdout


def test_an_id_cannot_reach_another_path(api: Canned) -> None:
    """Slashes and dots in an id are escaped, so that it names an intent or nothing."""
    result = run("cancel", "../action-types?x=#")
    assert result.exit_code == 1
    assert api.requests[0].path == "/v1/intents/..%2Faction-types%3Fx%3D%23/cancel"
