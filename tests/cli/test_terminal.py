"""What a person at a terminal sees, and what a pipe gets."""

import re
from pathlib import Path

import pytest

from tests.cli.answers import DIGEST, INTENT_ID, execution, intent
from tests.cli.support import TOKEN, Canned, run, start, start_on_terminal

PREVIEW = {"before": {"stage": "Open"}, "after": {"stage": "Won"}, "guard": "CHECK_THEN_WRITE", "version_tag": "v7"}


@pytest.mark.parametrize(("typed", "approved"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_approve_shows_everything_and_asks(api: Canned, typed: str, approved: bool) -> None:
    """The call, the preview and the digest are on the screen before the question; only a yes approves, exactly that."""
    approval = {"decision": "APPROVED", "decided_by": "dev:bob", "revision": 1}
    api.on("GET", f"/v1/intents/{INTENT_ID}", intent(preview=PREVIEW, approvals=[approval]))
    api.on("POST", f"/v1/intents/{INTENT_ID}/approve", {"approvals_missing": 0}, 202)
    status, shown = start_on_terminal("approve", INTENT_ID, asked="Approve exactly this?", typed=typed)
    question = shown.index("Approve exactly this?")
    for detail in (
        "internal.create_note",
        '"title": "Call back"',
        "preview: stage, now",
        '"Open"',
        '"Won"',
        "v7",
        "CHECK_THEN_WRITE",
        DIGEST,
        "APPROVED by dev:bob",
    ):
        assert detail in shown[:question]
    sent = [request.body for request in api.requests if request.method == "POST"]
    assert sent == ([{"approval_digest": DIGEST, "comment": ""}] if approved else [])
    assert status == (0 if approved else 1)
    assert ("Approved." in shown) == approved
    assert ("Nothing was decided." in shown) == (not approved)


def test_a_terminal_gets_colours_and_a_pipe_does_not(api: Canned) -> None:
    """Tables are drawn for people; in a pipe there is no escape sequence and no box."""
    api.on("GET", "/v1/executions", {"items": [execution()], "next_token": None})
    api.on("GET", f"/v1/executions/{INTENT_ID}", execution())
    for arguments in (("list",), ("status", INTENT_ID)):
        status, shown = start_on_terminal(*arguments)
        assert status == 0
        assert "\x1b[32mSUCCEEDED" in shown
        piped = start(*arguments)
        assert piped.returncode == 0
        assert piped.stdout.isascii()
        assert "\x1b" not in piped.stdout


@pytest.mark.parametrize("width", ["60", "80", "140"])
def test_an_id_on_a_terminal_can_be_copied(api: Canned, width: str) -> None:
    """However narrow the terminal, no id and no status is broken, and no line is longer than it."""
    waiting = execution(status="PENDING_APPROVAL", summary="Write the internal note of the customer who called back")
    api.on("GET", "/v1/executions", {"items": [waiting, waiting], "next_token": None})
    status, shown = start_on_terminal("list", COLUMNS=width, NO_COLOR="1")
    assert (status, shown.count(INTENT_ID), shown.count("PENDING_APPROVAL")) == (0, 2, 2)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert all(len(line.rstrip()) <= int(width) for line in plain.splitlines())


def test_an_empty_listing_is_a_sentence_on_a_terminal(api: Canned) -> None:
    """A person reads that there is nothing; a pipe gets the column names alone."""
    api.on("GET", "/v1/executions", {"items": []})
    assert "There are none." in start_on_terminal("list")[1]
    assert run("list").stdout == "INTENT\tSTATUS\tACCOUNT\tPROPOSED\tSUMMARY\n"


def test_login_asks_without_showing_the_token(api: Canned, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is typed unseen, tried, and kept in a file of its owner's alone."""
    monkeypatch.delenv("ENACTOR_TOKEN")
    api.on("GET", "/v1/executions", {"items": []})
    status, shown = start_on_terminal("login", asked=f"Token for {api.url}: ", typed=f"{TOKEN}\n")
    assert status == 0, shown
    assert TOKEN not in shown
    file = home / ".config/enactor/credentials.json"
    assert file.stat().st_mode & 0o777 == 0o600


def test_export_to_a_terminal_is_bad_usage(api: Canned) -> None:
    """A ledger is not poured over somebody's screen."""
    status, shown = start_on_terminal("ledger", "export")
    assert status == 2
    assert "Name a file" in shown
    assert api.requests == []


def test_progress_shows_on_a_terminal_and_the_file_is_whole(api: Canned, home: Path) -> None:
    """An export to a file reports how many entries there were."""
    bundle = b'{"kind":"bundle"}\n{"kind":"entry","seq":1}\n{"kind":"end","entries":1}\n'
    api.on("GET", "/v1/ledger/export", bundle, content_type="application/jsonl")
    status, shown = start_on_terminal("ledger", "export", "-o", "ledger.jsonl")
    assert status == 0, shown
    assert "Exported 1 entry to ledger.jsonl." in shown
    assert (home / "ledger.jsonl").read_bytes() == bundle
