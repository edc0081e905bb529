"""Where settings come from, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from enactor.domain.errors import ConfigurationError
from enactor.settings import load
from enactor.settings.loading import names, variable


def problems(directory: Path, flags: dict[str, Any], environment: dict[str, str]) -> list[str]:
    """What `load` finds wrong."""
    with pytest.raises(ConfigurationError) as refused:
        load(flags, environment, directory)
    assert refused.value.message
    found = refused.value.details.get("problems", [refused.value.message])
    assert isinstance(found, list)
    return found


def test_the_defaults_are_the_embedded_server_on_loopback(tmp_path: Path) -> None:
    """With nothing set there is a SQLite store, the local engine and loopback's port 8420, all from the defaults."""
    loaded = load({}, {}, tmp_path)
    settings = loaded.settings
    assert (settings.store, settings.engine) == ("sqlite:///enactor.db", "local")
    assert (settings.host, settings.port) == ("127.0.0.1", 8420)
    assert set(loaded.sources.values()) == {"default"}
    assert tuple(loaded.sources) == names()
    assert loaded.file is None


def test_flags_beat_variables_beat_the_file_beats_defaults(tmp_path: Path) -> None:
    """Each source overrides the ones behind it, and each value says where it is from."""
    file = tmp_path / "enactor.toml"
    file.write_text('port = 1\nhost = "::1"\nconcurrency = 7\nlog_level = "error"\n[limits]\nbody_bytes = 2048\n')
    environment = {"ENACTOR_PORT": "2", "ENACTOR_HOST": "localhost", "ENACTOR_LIMITS__BODY_DEPTH": "9"}
    loaded = load({"port": 3, "host": None}, environment, tmp_path)
    settings = loaded.settings
    assert (settings.port, settings.host, settings.concurrency) == (3, "localhost", 7)
    assert (settings.limits.body_bytes, settings.limits.body_depth) == (2048, 9)
    assert loaded.sources["port"] == "flag --port"
    assert loaded.sources["host"] == "ENACTOR_HOST"
    assert loaded.sources["limits.body_bytes"] == str(file)
    assert loaded.sources["limits.body_depth"] == "ENACTOR_LIMITS__BODY_DEPTH"
    assert loaded.sources["limits.pending_per_tenant"] == "default"


def test_enactor_config_names_another_file(tmp_path: Path) -> None:
    """ENACTOR_CONFIG is read instead of ./enactor.toml, and must exist."""
    (tmp_path / "enactor.toml").write_text("port = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("port = 2\n")
    assert load({}, {"ENACTOR_CONFIG": str(other)}, tmp_path).settings.port == 2
    assert "does not exist" in problems(tmp_path, {}, {"ENACTOR_CONFIG": str(tmp_path / "none.toml")})[0]


@pytest.mark.parametrize("content", [b"port = [", b"port = 1\xff"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    """A broken settings file is named, with where it breaks."""
    (tmp_path / "enactor.toml").write_bytes(content)
    assert "is not valid TOML" in problems(tmp_path, {}, {})[0]


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A directory in the file's place is one clear error."""
    (tmp_path / "enactor.toml").mkdir()
    assert "cannot be read" in problems(tmp_path, {}, {})[0]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("prot = 1", "Unknown setting prot"),
        ("prot = 1", "did you mean port?"),
        ("[limits]\nbody_byte = 5", "Unknown setting limits.body_byte"),
        ("[limits]\nbody_byte = 5", "did you mean body_bytes?"),
        ('[[issuers]]\nissuer = "https://i"\naudience = ["a"]\ntenants = ["t"]', "did you mean audiences?"),
        ("[[issuers]]\n[issuers.claims]\ntennant = 'x'", "did you mean tenant?"),
        ("zzzzzz = 1", "known are store, engine"),
        ("limits = 3", "limits ({file}): must be a table"),
        ("[[webhooks]]", "webhooks[0].url ({file}): is missing"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_name(tmp_path: Path, document: str, said: str) -> None:
    """A misspelled setting never passes silently, at any depth."""
    (tmp_path / "enactor.toml").write_text(document)
    said = said.format(file=tmp_path / "enactor.toml")
    assert any(said in problem for problem in problems(tmp_path, {}, {}))


def test_an_unknown_variable_is_refused_and_secrets_variables_are_not(tmp_path: Path) -> None:
    """ENACTOR_PROT is a misspelling; a variable that a reference names, and the client's own, are not."""
    assert problems(tmp_path, {}, {"ENACTOR_PROT": "1"}) == [
        "Unknown variable ENACTOR_PROT: did you mean ENACTOR_PORT?"
    ]
    webhook = {"url": "https://hooks.example/x", "secret": "env:ENACTOR_HOOK", "tenant": "acme"}
    environment = {
        "ENACTOR_WEBHOOKS": json.dumps([webhook]),
        "ENACTOR_SECRETS": '{"acme": {"crm": "env:ENACTOR_CRM"}}',
        "ENACTOR_HOOK": "x",
        "ENACTOR_CRM": "y",
        "ENACTOR_URL": "http://127.0.0.1:1",
        "ENACTOR_TOKEN": "t",
    }
    settings = load({}, environment, tmp_path).settings
    assert settings.webhooks[0].secret == "env:ENACTOR_HOOK"
    assert settings.secrets == {"acme": {"crm": "env:ENACTOR_CRM"}}


def test_lists_in_variables_are_words_or_json(tmp_path: Path) -> None:
    """Words by commas, JSON in brackets; what is neither is refused with the variable's name."""
    assert load({}, {"ENACTOR_CONNECTORS": "internal, tickets"}, tmp_path).settings.connectors == (
        "internal",
        "tickets",
    )
    assert load({}, {"ENACTOR_CONNECTORS": '["internal"]'}, tmp_path).settings.connectors == ("internal",)
    assert problems(tmp_path, {}, {"ENACTOR_ISSUERS": "[{]"}) == ["ENACTOR_ISSUERS: must be JSON"]


def test_a_group_of_the_wrong_type_and_its_member_are_both_told(tmp_path: Path) -> None:
    """A member's variable over a group that the file has wrong breaks nothing but the settings."""
    (tmp_path / "enactor.toml").write_text("limits = 3\n")
    assert "limits" in problems(tmp_path, {}, {"ENACTOR_LIMITS__BODY_BYTES": "4096"})[0]


def test_every_problem_is_listed_and_the_first_stands_in_the_message(tmp_path: Path) -> None:
    """One line says the first problem and how many more there are."""
    with pytest.raises(ConfigurationError) as refused:
        load({"port": 70_000}, {"ENACTOR_CONCURRENCY": "many"}, tmp_path)
    assert len(refused.value.details["problems"]) == 2  # type: ignore[arg-type] # a list, by the docstring
    assert "(1 more: see `enactor doctor`)" in refused.value.message
    assert "flag --port" in refused.value.message


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ENACTOR_STORE": "mysql://u:hunter2@h/d"}, "unknown store scheme 'mysql'"),
        ({"ENACTOR_STORE": "enactor.db"}, "a store is given as a URL"),
        ({"ENACTOR_STORE": "sqlite://enactor.db"}, "sqlite:////absolute/name.db"),
        ({"ENACTOR_STORE": "sqlite:///"}, "sqlite:////absolute/name.db"),
        ({"ENACTOR_STORE": "memory://x"}, "nothing else"),
        ({"ENACTOR_STORE": "dynamodb://eu-west-1?prefx=a"}, "dynamodb://region?prefix=cc-native"),
        ({"ENACTOR_STORE": "dynamodb://"}, "dynamodb://region?prefix=cc-native"),
        ({"ENACTOR_STORE": "postgresql://u:hunter2@[x/d"}, "cannot be read"),
        ({"ENACTOR_ENGINE": "temporal"}, "engine (ENACTOR_ENGINE)"),
        ({"ENACTOR_DEV": "true", "ENACTOR_HOST": "192.0.2.1"}, "dev works on loopback only"),
        ({"ENACTOR_WORKERS": "2"}, "sqlite takes one process"),
        ({"ENACTOR_SECRETS": '{"acme": {"crm": "hunter2"}}'}, "env:NAME or file:/absolute/path"),
        ({"ENACTOR_SECRETS": '{"acme": {"crm": "file:relative"}}'}, "env:NAME or file:/absolute/path"),
        ({"ENACTOR_WEBHOOKS": '[{"url": "http://h.example", "secret": "env:A", "tenant": "t"}]'}, "https://"),
        (
            {"ENACTOR_WEBHOOKS": '[{"url": "https://h", "secret": "env:A", "tenant": "t", "event_types": ["NOPE"]}]'},
            "webhooks[0].event_types",
        ),
    ],
)
def test_a_bad_value_is_refused_without_repeating_it(tmp_path: Path, environment: dict[str, str], said: str) -> None:
    """The problem names the setting and what to write; a secret put in the wrong place is not echoed."""
    found = problems(tmp_path, {}, environment)
    assert any(said in problem for problem in found), found
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("issuer", "said"),
    [
        ({"issuer": "http://issuer.example", "audiences": ["a"], "tenants": ["t"]}, "https://"),
        ({"issuer": "enactor-dev", "audiences": ["a"], "tenants": ["t"]}, "development issuer"),
        ({"issuer": "https://i", "tenants": ["t"]}, "audiences or client_ids"),
        ({"issuer": "https://i", "audiences": ["a"]}, "tenants"),
        ({"issuer": "https://i", "audiences": ["a"], "tenants": ["t"], "algorithms": ["HS256"]}, "must be some of"),
        ({"issuer": "https://i", "audiences": ["a"], "tenants": ["t"], "algorithms": []}, "must be some of"),
        ({"issuer": "https://i", "audiences": ["a"], "tenants": ["t"], "jwks": {"keys": []}}, "JSON Web Key Set"),
        ({"issuer": "https://i", "audiences": ["a"], "tenants": ["t"], "jwks": "keys.json"}, "file:/path"),
        ({"issuer": "https://i", "audiences": ["a"], "tenants": ["t"], "jwks": "file:/nowhere/k"}, "cannot be read"),
        (
            {"issuer": "https://i", "audiences": ["a"], "tenants": ["t"], "jwks": {"keys": [{"kty": "oct", "k": "s"}]}},
            "private or symmetric",
        ),
        (
            {
                "issuer": "https://i",
                "audiences": ["a"],
                "tenants": ["t"],
                "jwks": {"keys": [{"kty": "OKP"}]},
                "jwks_uri": "https://i/keys",
            },
            "not both",
        ),
    ],
)
def test_an_issuer_that_could_let_the_wrong_ones_in_is_refused(
    tmp_path: Path, issuer: dict[str, Any], said: str
) -> None:
    """Plain http, shared secrets, no audience and no tenant are each refused."""
    found = problems(tmp_path, {}, {"ENACTOR_ISSUERS": json.dumps([issuer])})
    assert any(said in problem for problem in found), found


def test_an_issuer_named_twice_is_refused(tmp_path: Path) -> None:
    """Two entries of one issuer would leave open which counts."""
    issuer = {"issuer": "https://i", "audiences": ["a"], "tenants": ["t"]}
    assert "names an issuer twice" in problems(tmp_path, {}, {"ENACTOR_ISSUERS": json.dumps([issuer, issuer])})[0]


def test_a_key_set_comes_from_a_file(tmp_path: Path) -> None:
    """`file:/path` stands for the key set in it; a file without JSON is refused."""
    keys = tmp_path / "keys.json"
    keys.write_text('{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "abc"}]}')
    issuer = {"issuer": "https://i", "client_ids": ["c"], "platform": True, "jwks": f"file:{keys}"}
    settings = load({}, {"ENACTOR_ISSUERS": json.dumps([issuer])}, tmp_path).settings
    assert settings.issuers[0].jwks == json.loads(keys.read_text())
    keys.write_text("not json")
    assert "holds no JSON" in problems(tmp_path, {}, {"ENACTOR_ISSUERS": json.dumps([issuer])})[0]


def test_the_development_key_lies_in_the_state_directory(tmp_path: Path) -> None:
    """$XDG_STATE_HOME moves it, a setting beats that, and ~ is the home directory."""
    state = {"XDG_STATE_HOME": str(tmp_path)}
    assert load({}, state, tmp_path).settings.dev_key_file == tmp_path / "enactor" / "dev-issuer.json"
    named = {**state, "ENACTOR_DEV_KEY_FILE": "~/key.json"}
    assert load({}, named, tmp_path).settings.dev_key_file == Path.home() / "key.json"


def test_a_process_without_a_home_can_still_have_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no home directory can be found the default stays unexpanded, and nothing fails."""

    def no_home(_: Path) -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "expanduser", no_home)
    assert str(load({}, {}, tmp_path).settings.dev_key_file).startswith("~")


def test_variables_follow_from_names() -> None:
    """A setting's variable is its name in capitals; a group's member is set apart by two underscores."""
    assert variable("port") == "ENACTOR_PORT"
    assert variable("limits.body_bytes") == "ENACTOR_LIMITS__BODY_BYTES"
