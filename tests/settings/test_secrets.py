"""Secrets come from where the settings say, at the moment they are needed."""

from pathlib import Path

import pytest

from enactor.domain.errors import ConfigurationError
from enactor.gateway.secrets import EnvFileSecrets, read_reference


def test_secrets_are_read_by_tenant_and_name(tmp_path: Path) -> None:
    """Variables and files are read each time, so that a rotated secret counts at once."""
    file = tmp_path / "secret"
    file.write_text("one\n")
    environment = {"CRM": "two"}
    secrets = EnvFileSecrets({"acme": {"a": f"file:{file}", "b": "env:CRM"}}, environment)
    assert (secrets.read("acme", "a"), secrets.read("acme", "b")) == ("one", "two")
    file.write_text("three\r\n")
    environment["CRM"] = "four"
    assert (secrets.read("acme", "a"), secrets.read("acme", "b")) == ("three", "four")


def test_the_process_variables_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment of its own it looks into the process's."""
    monkeypatch.setenv("SOME_SECRET", "s")
    assert EnvFileSecrets({"acme": {"a": "env:SOME_SECRET"}}).read("acme", "a") == "s"


def test_another_tenants_secret_is_none() -> None:
    """A tenant reaches only its own names."""
    secrets = EnvFileSecrets({"acme": {"a": "env:A"}}, {"A": "x"})
    with pytest.raises(ConfigurationError, match="There is no secret 'a' for this tenant"):
        secrets.read("umbrella", "a")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"x" * 70_000, "is too long"), (b"\xff\xfe", "is not UTF-8")],
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """An empty, endless or binary file is named, and nothing of it shown."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as refused:
        read_reference(f"file:{file}", {}, "Secret 'a'")
    assert "xxxx" not in str(refused.value)


@pytest.mark.parametrize(
    ("reference", "said"),
    [("env:A", "variable A is not set"), ("file:/nowhere/s", "cannot be read"), ("vault:a", "env:NAME")],
)
def test_a_reference_that_leads_nowhere_is_refused(reference: str, said: str) -> None:
    """The message names the secret and where it was looked for."""
    with pytest.raises(ConfigurationError, match=said):
        read_reference(reference, {}, "Secret 'a'")
