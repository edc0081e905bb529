"""Looking at executions, following them, resolving and replaying."""

import json
from typing import Any

import pytest

from enactor.cli import executions
from tests.cli.answers import DIGEST, INTENT_ID, execution, intent
from tests.cli.support import Canned, problem, run, unanswered

PATH = f"/v1/executions/{INTENT_ID}"


def stream(*events: tuple[str, str]) -> bytes:
    """A stream of server-sent events, ended; (id, event type) each."""
    body = b": hello\n\n"
    for event_id, kind in events:
        data = json.dumps({"time": "2026-11-23T15:42:00.123Z", "data": {"event_type": kind}})
        body += f"id: {event_id}\nevent: enactor\ndata: {data}\n\n".encode()
    return body


def on_stream(api: Canned, *events: tuple[str, str]) -> None:
    """Adds a stream as the next answer, ended by closing the connection."""
    api.on("GET", f"{PATH}/events", stream(*events), content_type="text/event-stream", connection="close")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses the command would make, without making them."""
    made: list[float] = []
    monkeypatch.setattr(executions.time, "sleep", made.append)
    return made


def test_status_shows_where_it_stands(api: Canned) -> None:
    """Status, explanation and object are shown; --json is the API's answer."""
    api.on("GET", PATH, execution())
    result = run("status", INTENT_ID)
    assert result.exit_code == 0, result.stderr
    assert "status: SUCCEEDED\nexplanation: Executed exactly as approved.\n" in result.stdout
    assert "objects: internal/note/n_1\n" in result.stdout
    assert json.loads(run("status", INTENT_ID, "--json").stdout) == execution()


def test_status_of_a_failure_is_read_without_failing(api: Canned) -> None:
    """Reading about a failed execution is done, and so exit status 0."""
    failed = execution("FAILED", error_class="TIMEOUT", error_code="TOOL_TIMEOUT", error_message="No answer.",
                       compensation_status="COMPLETED", run_number=2)  # fmt: skip
    api.on("GET", PATH, failed)
    result = run("status", INTENT_ID)
    assert result.exit_code == 0
    assert "error: TIMEOUT TOOL_TIMEOUT No answer.\ntaken back: COMPLETED\n" in result.stdout
    assert "run: 2\n" in result.stdout


@pytest.mark.parametrize(("ending", "status"), [("SUCCEEDED", 0), ("FAILED", 1), ("IN_DOUBT", 1), ("REJECTED", 1)])
def test_watch_follows_to_the_end(api: Canned, ending: str, status: int) -> None:
    """Every event is one line as it comes; the exit status says whether it succeeded."""
    on_stream(api, ("1", "ACTION_APPROVED"), ("2", "EXECUTION_STARTED"), ("3", "ACTION_EXECUTED"))
    for state in ("PENDING_APPROVAL", ending):
        api.on("GET", PATH, execution(state))
    result = run("status", INTENT_ID, "--watch")
    assert result.exit_code == status, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["ACTION_APPROVED", "EXECUTION_STARTED", "ACTION_EXECUTED"]
    assert f"status: {ending}" in lines


def test_watch_goes_on_while_an_ending_is_not_the_end(api: Canned) -> None:
    """An event of a kind it does not know, or a request to cancel, ends nothing by itself: the status does."""
    on_stream(api, ("1", "INTENT_CANCELLED"), ("2", "SOMETHING_NEW"), ("3", "EXECUTION_CANCELLED"))
    for state in ("RUNNING", "RUNNING", "RUNNING", "CANCELLED"):
        api.on("GET", PATH, execution(state))
    result = run("status", INTENT_ID, "--watch")
    assert result.exit_code == 1
    assert len(result.stdout.split("SOMETHING_NEW")) == 2
    assert "status: CANCELLED" in result.stdout


def test_watch_of_what_is_over_waits_for_nothing(api: Canned) -> None:
    """An execution that ended earlier is shown at once."""
    on_stream(api)
    api.on("GET", PATH, execution())
    assert "status: SUCCEEDED" in run("status", INTENT_ID, "--watch").stdout


def test_watch_resumes_a_stream_that_broke(api: Canned, pauses: list[float]) -> None:
    """The next try begins behind the last event seen, at once the first time."""
    on_stream(api, ("7", "EXECUTION_STARTED"))
    on_stream(api, ("8", "ACTION_EXECUTED"))
    for state in ("PENDING", "RUNNING", "SUCCEEDED"):
        api.on("GET", PATH, execution(state))
    result = run("status", INTENT_ID, "--watch", "--json")
    assert result.exit_code == 0, result.stderr
    streams = [request for request in api.requests if request.path.endswith("/events")]
    assert [request.headers.get("last-event-id") for request in streams] == [None, "7"]
    assert pauses == [0.0]
    lines: list[dict[str, Any]] = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line.get("data", {}).get("event_type") for line in lines[:2]] == ["EXECUTION_STARTED", "ACTION_EXECUTED"]
    assert lines[2] == execution()


def test_watch_gives_up_on_a_stream_that_keeps_ending(api: Canned, pauses: list[float]) -> None:
    """After growing pauses it says so, with exit status 1."""
    on_stream(api)
    api.on("GET", PATH, execution("RUNNING"))
    result = run("status", INTENT_ID, "--watch")
    assert result.exit_code == 1
    assert "keeps ending the stream" in result.stderr
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0]


def test_watch_gives_up_on_a_server_that_is_gone(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not come back is said to be gone."""
    with unanswered() as port:
        monkeypatch.setenv("ENACTOR_URL", f"http://127.0.0.1:{port}")
        result = run("status", INTENT_ID, "--watch")
    assert result.exit_code == 1
    assert "Nothing answers at" in result.stderr
    assert len(pauses) == 5


def test_watch_is_refused_at_once(api: Canned, pauses: list[float]) -> None:
    """A refusal is no broken connection: it is not tried again."""
    api.on("GET", f"{PATH}/events", problem(404, "INTENT_NOT_FOUND", "There is no such intent."), 404)
    result = run("status", INTENT_ID, "--watch")
    assert (result.exit_code, pauses) == (1, [])
    assert "[INTENT_NOT_FOUND]" in result.stderr


def test_timeline_is_one_line_each(api: Canned) -> None:
    """In a pipe: names of columns first, then tab-separated lines."""
    line = {"timestamp": "2026-11-23T15:42:00.123Z", "stage": "approval", "event_type": "ACTION_APPROVED",
            "actor": "dev:ana", "text": "dev:ana approved it (HUMAN)", "run_number": 0, "folded": 1}  # fmt: skip
    api.on("GET", f"{PATH}/timeline", {"items": [line]})
    assert run("timeline", INTENT_ID).stdout == (
        "WHEN\tSTAGE\tWHAT\n2026-11-23T15:42:00.123Z\tapproval\tdev:ana approved it (HUMAN)\n"
    )
    assert json.loads(run("timeline", INTENT_ID, "--json").stdout) == {"items": [line]}


def test_list_filters_and_pages(api: Canned) -> None:
    """Filters become the query; a further page is announced on standard error, out of a pipe's way."""
    api.on("GET", "/v1/executions", {"items": [execution()], "next_token": "abc"})
    result = run("list", "--account", "acc 1", "--status", "SUCCEEDED", "--action-type", "T", "--limit", "7",
                 "--next-token", "xyz")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert api.requests[0].query == "account_id=acc+1&status=SUCCEEDED&action_type=T&limit=7&next_token=xyz"
    assert result.stdout.splitlines()[0] == "INTENT\tSTATUS\tACCOUNT\tPROPOSED\tSUMMARY"
    assert result.stdout.splitlines()[1].startswith(f"{INTENT_ID}\tSUCCEEDED\tacc-1\t")
    assert "--next-token abc" in result.stderr
    assert json.loads(run("list", "--json").stdout)["next_token"] == "abc"


@pytest.mark.parametrize("limit", ["0", "101", "x"])
def test_a_limit_outside_its_range_is_bad_usage(api: Canned, limit: str) -> None:
    """1 to 100, and nothing is asked otherwise."""
    assert run("list", "--limit", limit).exit_code == 2
    assert api.requests == []


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (
            ("--executed", "--ref", "caldav/event/cal/a/1.ics"),
            {
                "resolution": "EXECUTED",
                "comment": "Seen.",
                "external_object_refs": [{"system": "caldav", "object_type": "event", "object_id": "cal/a/1.ics"}],
            },
        ),
        (("--not-executed",), {"resolution": "NOT_EXECUTED", "comment": "Seen."}),
    ],
)
def test_resolve_says_what_was_found(api: Canned, arguments: tuple[str, ...], body: dict[str, Any]) -> None:
    """The resolution, the comment and the objects are sent as the API names them."""
    api.on("POST", f"{PATH}/resolve", {"status": "SUCCEEDED", "approvals_missing": 0})
    result = run("resolve", INTENT_ID, "--comment", "Seen.", *arguments)
    assert result.exit_code == 0, result.stderr
    assert api.requests[0].body == body
    assert result.stdout == f"Resolved: {body['resolution']}.\n"
    assert run("resolve", INTENT_ID, "--comment", "Seen.", *arguments, "--json").exit_code == 0


def test_resolve_says_when_a_second_person_is_needed(api: Canned) -> None:
    """One of two voices has not resolved it."""
    api.on("POST", f"{PATH}/resolve", {"status": "IN_DOUBT", "approvals_missing": 1})
    assert "second person" in run("resolve", INTENT_ID, "--executed", "--comment", "Seen.").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--comment", "c"),
        ("--executed",),
        ("--not-executed", "--comment", "c", "--ref", "a/b/c"),
        ("--executed", "--comment", "c", "--ref", "a/b"),
        ("--executed", "--comment", "c", "--ref", "a//c"),
    ],
)
def test_a_resolve_that_contradicts_itself_is_bad_usage(api: Canned, arguments: tuple[str, ...]) -> None:
    """Without a resolution or a comment, or with an object of what did not happen, nothing is sent."""
    assert run("resolve", INTENT_ID, *arguments).exit_code == 2
    assert api.requests == []


def test_undo_shows_what_is_proposed(api: Canned) -> None:
    """It posts the reason and shows the undo, with what it takes back and the digest to approve it by."""
    undo = intent(undoes={"action_intent_id": "ai_1", "run_number": 1}, summary="Take back: Call")
    for _ in range(2):
        api.on("POST", f"{PATH}/undo", undo, 201)
    result = run("undo", INTENT_ID, "--reason", "The wrong customer.")
    assert api.requests[0].body == {"reason": "The wrong customer."}
    for shown in ("Take back: Call", "ai_1, run 1", DIGEST):
        assert shown in result.stdout
    assert json.loads(run("undo", INTENT_ID, "--reason", "r", "--json").stdout) == undo


def test_a_second_undo_is_refused_with_the_first_one(api: Canned) -> None:
    """Exit status 1, and the message of the server that names it."""
    api.on("POST", f"{PATH}/undo", problem(409, "EFFECT_KEY_TAKEN", "Intent ai_7 takes this run back, or did."), 409)
    result = run("undo", INTENT_ID, "--reason", "again")
    assert result.exit_code == 1
    assert "ai_7" in result.stderr


def test_status_says_how_it_is_taken_back(api: Canned) -> None:
    """MANUAL with what a person has to do; what an undo came to, with the undo's id."""
    by_hand = execution(compensation_strategy="MANUAL", compensation_note="Call the shop.")
    failed = {"compensation_status": "FAILED", "compensated_by": "ai_7", "compensation_error": "It was changed."}
    api.on("GET", PATH, by_hand)
    api.on("GET", PATH, execution(compensation_strategy="AUTOMATIC", **failed))
    assert "MANUAL Call the shop." in run("status", INTENT_ID).stdout
    assert "FAILED by ai_7: It was changed." in run("status", INTENT_ID).stdout


def test_replay_starts_a_new_run(api: Canned) -> None:
    """The reason is sent, and the run's number shown."""
    api.on("POST", f"{PATH}/replay", {"run_number": 2}, 202)
    result = run("replay", INTENT_ID, "--reason", "The target is back.")
    assert api.requests[0].body == {"replay_reason": "The target is back."}
    assert result.stdout == "Run 2 started.\n"
    assert json.loads(run("replay", INTENT_ID, "--reason", "r", "--json").stdout) == {"run_number": 2}
