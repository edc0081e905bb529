"""Which server is asked, and with which token."""

import json
from pathlib import Path

import pytest

from enactor.cli import credentials
from tests.cli.support import TOKEN, Canned, problem, run

OTHER = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJib2IifQ.b3RoZXI"


@pytest.fixture
def file(home: Path) -> Path:
    """Where the token is kept."""
    return home / ".config/enactor/credentials.json"


def test_login_tries_the_token_and_keeps_it_private(api: Canned, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From standard input, tried against the server, saved with mode 0600, and used from then on."""
    url = api.url
    monkeypatch.delenv("ENACTOR_TOKEN")
    monkeypatch.delenv("ENACTOR_URL")
    api.on("GET", "/v1/executions", {"items": []})
    result = run("login", "--url", f"{url}/", given=f"{TOKEN}\n")
    assert result.exit_code == 0, result.stderr
    assert TOKEN not in result.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert run("list").exit_code == 0
    assert [request.headers["authorization"] for request in api.requests] == [f"Bearer {TOKEN}"] * 2


def test_login_reads_a_file_and_keeps_several_servers(api: Canned, file: Path) -> None:
    """Each server has its own token; logging in again replaces it."""
    api.on("GET", "/v1/executions", {"items": []})
    Path("token").write_text(OTHER)
    credentials.save("https://elsewhere.example", TOKEN)
    assert run("login", "--token-file", "token").exit_code == 0
    saved = json.loads(file.read_text())
    assert saved == {"url": api.url, "tokens": {"https://elsewhere.example": TOKEN, api.url: OTHER}}


def test_a_token_that_is_refused_is_not_kept(api: Canned, file: Path) -> None:
    """A bad token is told at login; one that only lacks the right to list is good."""
    api.on("GET", "/v1/executions", problem(401, "UNAUTHENTICATED", "The token has expired."), 401)
    api.on("GET", "/v1/executions", problem(403, "FORBIDDEN", "This needs another role."), 403)
    assert run("login", given=TOKEN).exit_code == 1
    assert not file.exists()
    assert run("login", given=TOKEN).exit_code == 0
    assert file.exists()


def test_what_is_no_token_is_not_sent(api: Canned) -> None:
    """A password pasted by mistake stays here, and is not shown."""
    result = run("login", given="hunter2\n")
    assert result.exit_code == 1
    assert "is not a token" in result.stderr
    assert "hunter2" not in result.output
    assert api.requests == []


def test_the_variables_beat_the_login(api: Canned) -> None:
    """ENACTOR_TOKEN is used even where another was saved."""
    credentials.save(api.url, OTHER)
    api.on("GET", "/v1/executions", {"items": []})
    run("list")
    assert api.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_without_a_token_none_is_sent(api: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server decides what an anonymous caller may do: nothing."""
    monkeypatch.delenv("ENACTOR_TOKEN")
    api.on("GET", "/v1/executions", {"items": []})
    run("list")
    assert "authorization" not in api.requests[0].headers


def test_logout_forgets_one_server(api: Canned, file: Path) -> None:
    """The other servers' tokens stay; a second logout has nothing to do."""
    credentials.save("https://elsewhere.example", OTHER)
    credentials.save(api.url, TOKEN)
    assert run("logout").stdout == f"Logged out of {api.url}.\n"
    assert json.loads(file.read_text())["tokens"] == {"https://elsewhere.example": OTHER}
    assert run("logout", "--url", api.url).stdout == f"There was no login at {api.url}.\n"


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "127.0.0.1:8420", "https://", "https://u:p@x", "https://x?y=1", "https://x#y", "http://x.example"],
)
def test_an_address_that_could_leak_a_token_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain http beyond this machine, and what is no server's address, are refused before anything is sent."""
    monkeypatch.setenv("ENACTOR_URL", url)
    result = run("list")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


def test_a_token_that_others_can_read_is_not_used(api: Canned, file: Path) -> None:
    """A saved file that is open to others is refused, with what to do."""
    credentials.save(api.url, TOKEN)
    file.chmod(0o644)
    result = run("list")
    assert result.exit_code == 1
    assert "chmod 600" in result.stderr
    assert api.requests == []


@pytest.mark.parametrize("content", ["{", "[]", '{"tokens": 1}'])
def test_a_damaged_file_is_told(api: Canned, file: Path, content: str) -> None:
    """It is named, and what to do."""
    credentials.save(api.url, TOKEN)
    file.write_text(content)
    result = run("list")
    assert result.exit_code == 1
    assert "is damaged; remove it" in result.stderr


def test_a_directory_that_cannot_be_written_leaves_nothing_behind(
    api: Canned, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the file cannot be put in its place, no half of it stays."""
    api.on("GET", "/v1/executions", {"items": []})
    file.parent.mkdir(parents=True)
    file.mkdir()
    monkeypatch.setattr(credentials, "_saved", dict)
    result = run("login", given=TOKEN)
    assert result.exit_code == 1
    assert list(file.parent.iterdir()) == [file]


def test_the_xdg_directory_is_honoured(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CONFIG_HOME moves the file; a relative one is ignored, as the standard says."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "cfg"))
    assert credentials.credentials_file() == home / "cfg/enactor/credentials.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", "cfg")
    assert credentials.credentials_file() == home / ".config/enactor/credentials.json"
