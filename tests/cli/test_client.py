"""Reaching a server, and what is said when it cannot be reached or says no."""

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from enactor.cli import client
from enactor.cli.client import Api, Refused
from enactor.cli.credentials import Access
from enactor.cli.failures import Failure
from tests.cli.answers import INTENT_ID
from tests.cli.support import TOKEN, Canned, problem, run, unanswered


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


@pytest.fixture
def hanging_up() -> Iterator[int]:
    """The port of a server that reads a request and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_no_server_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing listens the address is named, and how to start a server."""
    with unanswered() as port:
        monkeypatch.setenv("ENACTOR_URL", f"http://127.0.0.1:{port}")
        result = run("list")
    assert result.exit_code == 1
    assert result.stderr == (
        f"enactor: Nothing answers at http://127.0.0.1:{port}. Start a server with `enactor serve`, "
        "or set ENACTOR_URL to where one is.\n"
    )


@pytest.mark.parametrize(("method", "doubt"), [("GET", False), ("POST", True)])
def test_no_answer_in_time_leaves_a_doubt_only_about_writes(
    silent: int, monkeypatch: pytest.MonkeyPatch, method: str, doubt: bool
) -> None:
    """A write that was not answered may have been done, and the line says so."""
    monkeypatch.setattr(client, "_SECONDS", 0.05)
    with pytest.raises(Failure, match="did not answer in time") as failed:
        Api(Access(f"http://127.0.0.1:{silent}", TOKEN)).call(method, "/v1/intents", body={} if doubt else None)
    assert ("look before you repeat it" in failed.value.message) == doubt


@pytest.mark.parametrize(("method", "doubt"), [("GET", False), ("POST", True)])
def test_a_broken_connection_leaves_a_doubt_only_about_writes(hanging_up: int, method: str, doubt: bool) -> None:
    """A connection that ends without an answer is told like one that timed out, and nothing is sent twice."""
    with pytest.raises(Failure, match=r"The connection to .* broke") as failed:
        Api(Access(f"http://127.0.0.1:{hanging_up}", TOKEN)).call(method, "/v1/intents")
    assert ("look before you repeat it" in failed.value.message) == doubt


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (502, b"<html>Bad gateway</html>", "answered 502, and not as Enactor does"),
        (404, b'{"message": "no"}', "answered 404, and not as Enactor does"),
        (200, b"<html>Welcome</html>", "is not Enactor's"),
        (302, b"", "answered 302, and not as Enactor does"),
        (200, b'{"items": [{"nothing": 1}]}', "is not understood"),
        (200, b'"text"', "is not understood"),
    ],
)
def test_an_answer_that_is_not_enactors_is_one_line(api: Canned, status: int, body: bytes, said: str) -> None:
    """Proxies, other programs and other versions are told apart from refusals, and never end in a traceback."""
    api.on("GET", "/v1/executions", body, status, location="http://127.0.0.1:1/")
    result = run("list")
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_empty_answer_is_none(api: Canned) -> None:
    """204 has no body, and needs none."""
    api.on("DELETE", "/v1/x", b"", 204)
    assert Api().call("DELETE", "/v1/x") is None


def test_a_refusal_says_what_to_do(api: Canned) -> None:
    """Not logged in, too early and broken inside each carry their advice."""
    path = f"/v1/executions/{INTENT_ID}"
    api.on("GET", path, problem(401, "UNAUTHENTICATED", "The token has expired"), 401)
    api.on("GET", path, problem(429, "TOO_MANY_STREAMS", "Too many."), 429, retry_after="3")
    api.on("GET", path, problem(500, "INTERNAL_ERROR", "Something went wrong.", trace_id="abc"), 500)
    assert "Log in with `enactor login`, or set ENACTOR_TOKEN." in run("status", INTENT_ID).stderr
    assert "Try again in 3 s." in run("status", INTENT_ID).stderr
    assert "Its trace is abc." in run("status", INTENT_ID).stderr


def test_what_a_problem_quotes_cannot_act_on_the_terminal(api: Canned) -> None:
    """Escape sequences, lines and links in a problem's detail are spelled out."""
    api.on("GET", "/v1/executions", problem(400, "INVALID_INPUT", "a\x1b[2J\nb https://evil.example"), 400)
    line = run("list").stderr
    assert "\x1b" not in line
    assert "https://" not in line
    assert line.count("\n") == 1


def test_a_stream_that_is_refused_is_a_refusal(api: Canned) -> None:
    """The problem document of a stream is read like any other."""
    api.on("GET", "/v1/events", problem(403, "FORBIDDEN", "This needs one of the roles: auditor."), 403)
    with pytest.raises(Refused) as refused, Api().stream("/v1/events"):
        pass
    assert refused.value.status == 403
    assert refused.value.problem["error_code"] == "FORBIDDEN"


def test_parameters_are_sent_as_the_api_writes_them(api: Canned) -> None:
    """None is left out, and truth is written in lower case."""
    api.on("GET", "/v1/x", {})
    Api().get("/v1/x", one=True, two=None, three="ü")
    assert httpx.QueryParams(api.requests[0].query) == httpx.QueryParams({"one": "true", "three": "ü"})
