"""`enactor doctor`: what is in force, what is wrong, and what to do."""

import base64
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from enactor.cli import checks
from tests.cli.support import Canned, run, start_on_terminal, unanswered


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port that is free, as the settings' port."""
    with unanswered() as port:
        monkeypatch.setenv("ENACTOR_PORT", str(port))
        yield port


@pytest.fixture
def other() -> Iterator[Canned]:
    """Some server."""
    server = Canned()
    yield server
    server.close()


def examined(*arguments: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """The exit status, and the findings by what they are about."""
    result = run("doctor", *arguments, "--json")
    found: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(result.stdout)["findings"]:
        found.setdefault(finding["area"], []).append(finding)
    return result.exit_code, found


def one(found: dict[str, list[dict[str, str]]], area: str) -> tuple[str, str]:
    """The state and text of the one finding about something."""
    (finding,) = found[area]
    return finding["state"], finding["text"]


def test_a_development_server_on_a_fresh_machine_has_nothing_wrong(free_port: int) -> None:
    """Every setting with its source, every check ok, exit status 0, and nothing was made by looking."""
    result = run("doctor", "--dev")
    assert result.exit_code == 0, result.output
    assert f"port\t{free_port}\tENACTOR_PORT\n" in result.stdout
    assert "dev\tyes\tflag --dev\n" in result.stdout
    assert "store\tsqlite:///enactor.db\tdefault\n" in result.stdout
    states = [line.split("\t")[0] for line in result.stdout.split("Checks:\n")[1].splitlines()[1:]]
    assert set(states) == {"ok"}
    assert list(Path().iterdir()) == []


def test_without_an_issuer_something_is_wrong() -> None:
    """A server that nobody can log in to is a problem, with what to do, and exit status 1."""
    result = run("doctor")
    assert result.exit_code == 1
    assert "problem\tissuers\tnone: nobody can log in\tname an [[issuers]]" in result.stdout
    assert result.stderr == "enactor: 1 thing is wrong.\n"


def test_what_is_in_force_is_shown_without_any_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords and secrets' values appear nowhere; references and names do."""
    monkeypatch.setenv("HOOK", "hunter2")
    monkeypatch.setenv("CRM", "hunter2")
    Path("enactor.toml").write_text(
        'store = "postgresql://ana:hunter2@127.0.0.1:1/e"\nlimits.body_bytes = 2048\n'
        '[[webhooks]]\nurl = "https://hooks.example/x"\nsecret = "env:HOOK"\ntenant = "acme"\n'
        '[[issuers]]\nissuer = "https://127.0.0.1:1"\naudiences = ["a"]\ntenants = ["acme"]\n'
        '[secrets.acme]\ncrm = "env:CRM"\n'
    )
    result = run("doctor")
    assert "hunter2" not in result.output
    assert "store\tpostgresql://ana:***@127.0.0.1:1/e\tenactor.toml\n" in result.stdout
    assert "warning\tstore\tpostgresql://ana:***@127.0.0.1:1/e holds a password" in result.stdout
    assert "limits.body_bytes\t2048\tenactor.toml\n" in result.stdout
    assert "webhooks\thttps://hooks.example/x\tenactor.toml\n" in result.stdout
    assert "issuers\thttps://127.0.0.1:1\tenactor.toml\n" in result.stdout
    assert "secrets\tacme/crm\tenactor.toml\n" in result.stdout
    assert "ok\tsecret\tsecret acme/crm: env:CRM" in result.stdout


def test_every_wrong_setting_is_listed() -> None:
    """When the settings cannot be in force, each of their problems is a line."""
    Path("enactor.toml").write_text("prot = 1\nconcurrency = 0\n")
    status, found = examined()
    assert status == 1
    assert len(found["settings"]) == 2
    assert "did you mean port?" in str(found)
    assert run("doctor").stdout.startswith("Checks:\n")


def test_a_settings_file_that_is_no_toml_is_one_finding() -> None:
    """What stops all settings from being read is told like any other problem."""
    Path("enactor.toml").write_text("port = [")
    assert one(examined()[1], "settings")[0] == "problem"


def test_a_running_server_is_recognised(other: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready or not; its database is its own, and is not opened a second time."""
    monkeypatch.setenv("ENACTOR_PORT", str(other.port))
    Path("enactor.db").touch()
    other.on("GET", "/readyz", {"status": "ok"})
    other.on("GET", "/readyz", {"status": "failing"}, 503)
    status, found = examined("--dev")
    assert (status, one(found, "server")) == (0, ("ok", f"running and ready at {other.url}"))
    assert one(found, "store") == ("ok", "enactor.db is open in the running server")
    status, found = examined("--dev")
    assert (status, one(found, "server")[0], one(found, "store")[0]) == (1, "problem", "problem")


def test_another_program_at_the_port_is_a_problem(other: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers without JSON, and what answers without HTTP, is no Enactor."""
    monkeypatch.setenv("ENACTOR_PORT", str(other.port))
    other.on("GET", "/readyz", b"<html>", content_type="text/html")
    assert one(examined("--dev")[1], "server") == ("problem", f"something that is no Enactor listens at {other.url}")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        monkeypatch.setenv("ENACTOR_PORT", str(listening.getsockname()[1]))
        assert "no Enactor listens" in one(examined("--dev")[1], "server")[1]
        thread.join()


def test_an_address_of_another_machine_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that this machine does not have cannot be listened on."""
    monkeypatch.setenv("ENACTOR_HOST", "192.0.2.1")
    monkeypatch.setattr(checks, "_SECONDS", 0.05)
    _, found = examined()
    assert one(found, "server")[0] == "problem"


def test_port_0_needs_no_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that is chosen at the start is always free; an IPv6 loopback is looked at as well."""
    monkeypatch.setenv("ENACTOR_PORT", "0")
    assert one(examined("--dev")[1], "server") == ("ok", "takes a free port when it starts")


def test_ipv6_is_written_in_brackets(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    """The address of an IPv6 host can be copied from the finding."""
    monkeypatch.setenv("ENACTOR_HOST", "::1")
    assert f"http://[::1]:{free_port}" in one(examined("--dev")[1], "server")[1]


@pytest.mark.parametrize(
    ("store", "state", "said"),
    [
        ("memory://", "warning", "memory at"),
        ("sqlite:///broken.db", "problem", "is not a SQLite database"),
        ("sqlite:///sound.db", "ok", "schema version"),
        ("dynamodb://eu-west-1", "problem", "DynamoDB "),
    ],
)
def test_the_store_is_opened_and_described(monkeypatch: pytest.MonkeyPatch, store: str, state: str, said: str) -> None:
    """Its kind, schema and size, or why it cannot be opened; one that loses everything is a warning."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    Path("broken.db").write_bytes(b"this is no database, however long it is" * 100)
    run("migrate", "--store", "sqlite:///sound.db")
    _, found = examined("--dev", "--store", store)
    assert one(found, "store")[0] == state
    assert said in one(found, "store")[1]


@pytest.mark.parametrize(("limit", "state"), [("_LITTLE_SPACE", "warning"), ("_NO_SPACE", "problem")])
def test_little_room_on_the_disk_is_told(monkeypatch: pytest.MonkeyPatch, limit: str, state: str) -> None:
    """Room runs out in two steps: soon, and now."""
    monkeypatch.setattr(checks, limit, shutil.disk_usage(".").total + 1)
    assert one(examined("--dev")[1], "disk")[0] == state


def test_a_directory_that_is_not_there_is_a_problem() -> None:
    """A database cannot be made where there is no directory."""
    _, found = examined("--dev", "--store", "sqlite:///nowhere/enactor.db")
    assert one(found, "disk")[0] == "problem"


def test_a_missing_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a store or an engine needs beyond the core is named with the command that installs it."""
    monkeypatch.setitem(checks._NEEDS, "memory", ("no_such_module", "postgres"))
    _, found = examined("--dev", "--store", "memory://")
    (finding,) = found["extras"]
    assert (finding["state"], finding["advice"]) == ("problem", "pip install 'enactor[postgres]'")


def test_connectors_are_looked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not installed, and one whose package is broken, are problems."""
    installed = home / "site/broken-1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[enactor.connectors]\nbroken = no_such_module:Connector\n")
    monkeypatch.syspath_prepend(str(home / "site"))
    monkeypatch.setenv("ENACTOR_CONNECTORS", "internal,broken,tickets")
    status, found = examined("--dev")
    assert status == 1
    assert [(finding["state"], finding["text"].split()[0]) for finding in found["connector"]] == [
        ("ok", "internal"),
        ("problem", "broken"),
        ("problem", "there"),
    ]


def issuer(url: str, **more: Any) -> str:
    """Settings of one issuer."""
    return json.dumps([{"issuer": url, "audiences": ["enactor"], "tenants": ["acme"], **more}])


KEY = ECKey.generate_key("P-256", private=False, auto_kid=True).as_dict(private=False)


def test_an_issuers_keys_are_fetched_as_the_server_fetches_them(other: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    """By discovery; keys that fit its algorithms are counted."""
    other.on("GET", "/.well-known/openid-configuration", {"issuer": other.url, "jwks_uri": f"{other.url}/keys"})
    other.on("GET", "/keys", {"keys": [KEY]})
    monkeypatch.setenv("ENACTOR_ISSUERS", issuer(other.url))
    status, found = examined()
    assert (status, one(found, "issuer")) == (0, ("ok", f"{other.url}: 1 keys"))
    monkeypatch.setenv("ENACTOR_ISSUERS", issuer(other.url, algorithms=["RS256"]))
    assert one(examined()[1], "issuer") == ("problem", f"{other.url}: none of its 1 keys is for RS256")
    monkeypatch.setenv("ENACTOR_ISSUERS", issuer(other.url, jwks={"keys": [KEY]}))
    assert one(examined()[1], "issuer") == ("ok", f"{other.url}: 1 keys")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"issuer": "https://another.example", "jwks_uri": "https://x"}, "another issuer's"),
        ({"issuer": "SELF", "jwks_uri": "http://another.example/keys"}, "https://"),
        ([], "ValidationError"),
    ],
)
def test_an_issuer_that_is_not_what_it_says_is_a_problem(
    other: Canned, monkeypatch: pytest.MonkeyPatch, document: Any, said: str
) -> None:
    """A discovery document of somebody else's, or one that leads away, is told."""
    if isinstance(document, dict) and document["issuer"] == "SELF":
        document = {**document, "issuer": other.url}
    other.on("GET", "/.well-known/openid-configuration", document)
    monkeypatch.setenv("ENACTOR_ISSUERS", issuer(other.url))
    state, text = one(examined()[1], "issuer")
    assert state == "problem"
    assert said in text


def test_an_issuer_that_does_not_answer_is_a_problem(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address is named, and what kind of failure it was."""
    monkeypatch.setenv("ENACTOR_ISSUERS", issuer(f"http://127.0.0.1:{free_port}"))
    assert "ConnectError" in one(examined()[1], "issuer")[1]


def test_a_clock_far_from_an_issuers_is_a_warning(other: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens are good between two instants of the issuer's clock."""
    other.on("GET", "/keys", {"keys": [KEY]}, date="Mon, 23 Nov 2015 15:42:00 GMT")
    monkeypatch.setenv("ENACTOR_ISSUERS", issuer(other.url, jwks_uri=f"{other.url}/keys"))
    status, found = examined()
    assert status == 0
    assert [finding["state"] for finding in found["clock"]] == ["warning", "ok"]
    other._answers.clear()
    other.on("GET", "/keys", {"keys": [KEY]}, date="yesterday")
    assert [finding["state"] for finding in examined()[1]["clock"]] == ["ok"]


def test_a_clock_that_was_never_set_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expiries depend on it."""
    monkeypatch.setattr(checks, "_FIRST_PLAUSIBLE", 2**40)
    assert one(examined("--dev")[1], "clock")[0] == "problem"


def test_a_system_without_a_suspend_clock_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where suspended time is not counted, max_pause has to cover it."""
    monkeypatch.delattr(checks.time, "CLOCK_BOOTTIME", raising=False)
    assert one(examined("--dev")[1], "clock")[0] == "warning"


def test_the_development_key_is_looked_at() -> None:
    """A sound one is ok, one that others can read or that is none is a problem."""
    path = Path.home() / ".local/state/enactor/dev-issuer.json"
    run("dev", "token", "--role", "approver", "--subject", "ana", "--tenant", "acme")
    assert one(examined("--dev")[1], "dev key") == ("ok", str(path))
    path.chmod(0o644)
    assert "chmod 600" in one(examined("--dev")[1], "dev key")[1]
    path.write_text("{}")
    path.chmod(0o600)
    assert "holds no development key" in one(examined("--dev")[1], "dev key")[1]
    assert "dev key" not in examined()[1]


def test_secrets_are_read_and_never_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is missing is a problem, one that anybody can read a warning."""
    file = home / "secret"
    file.write_text("hunter2")
    file.chmod(0o644)
    monkeypatch.setenv("ENACTOR_SECRETS", json.dumps({"acme": {"a": f"file:{file}", "b": "env:MISSING"}}))
    result = run("doctor", "--dev", "--json")
    assert "hunter2" not in result.output
    states = [finding["state"] for finding in json.loads(result.stdout)["findings"] if finding["area"] == "secret"]
    assert states == ["warning", "problem"]
    assert result.exit_code == 1


def test_webhooks_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that the server would not call, and a secret that signs nothing, are told before it starts."""
    secret = f"whsec_{base64.b64encode(bytes(32)).decode()}"
    monkeypatch.setenv("GOOD", secret)
    monkeypatch.setenv("BAD", "hunter2")
    hooks = [
        {"url": "https://hooks.example/x", "secret": "env:GOOD", "tenant": "acme"},
        {"url": "https://127.0.0.1/x", "secret": "env:BAD", "tenant": "*"},
    ]
    Path("enactor.toml").write_text("")
    monkeypatch.setenv("ENACTOR_WEBHOOKS", json.dumps(hooks))
    result = run("doctor", "--json")
    assert "hunter2" not in result.output
    found = json.loads(result.stdout)["findings"]
    assert [one["state"] for one in found if one["area"] == "webhook"] == ["ok", "problem"]
    assert [one["state"] for one in found if one["area"] == "secret"] == ["ok", "problem"]


def test_on_a_terminal_it_is_a_table(free_port: int) -> None:
    """States are coloured for a person."""
    status, shown = start_on_terminal("doctor", "--dev", ENACTOR_PORT=str(free_port))
    assert status == 0
    assert "\x1b[32mok" in shown


def test_the_ledgers_key_is_looked_at(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One beside the database is a warning, one that is named is not; one that cannot be used is a problem."""
    assert one(examined()[1], "ledger")[0] == "warning"
    assert one(examined("--dev")[1], "ledger")[0] == "ok"
    run("ledger", "keygen", "log.pem")
    monkeypatch.setenv("ENACTOR_LEDGER__SIGNING_KEYS", f"file:{home}/log.pem")
    assert one(examined()[1], "ledger")[0] == "ok"
    Path("log.pem").write_text("no key")
    assert one(examined()[1], "ledger")[0] == "problem"
    monkeypatch.delenv("ENACTOR_LEDGER__SIGNING_KEYS")
    run("ledger", "keygen", "enactor.db.ledger-key.pem")
    Path("enactor.db.ledger-key.pem").chmod(0o644)
    assert one(examined()[1], "ledger")[0] == "problem"
