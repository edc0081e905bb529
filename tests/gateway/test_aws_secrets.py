"""Secrets from AWS Secrets Manager, against moto's server."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import TypeAdapter, ValidationError

from enactor.domain.errors import ConfigurationError
from enactor.gateway.secrets import EnvFileSecrets, read_reference
from enactor.settings import SecretReference


@pytest.fixture(scope="module")
def manager() -> Iterator[str]:
    """The address of a secrets manager with three secrets in it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    url = f"http://127.0.0.1:{port}"
    client = boto3.client(
        "secretsmanager", endpoint_url=url, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    client.create_secret(Name="crm/plain", SecretString="plain-value")
    client.create_secret(Name="crm/json", SecretString=json.dumps({"client_secret": "member-value", "number": 5}))
    client.create_secret(Name="crm/binary", SecretBinary=b"bytes")
    yield url
    server.stop()


@pytest.fixture
def aws(manager: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's variables, as the AWS SDK reads them."""
    for name, value in {
        "AWS_ENDPOINT_URL": manager,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("aws")
def test_a_secret_and_a_member_of_one() -> None:
    """`aws-sm:name` is the secret's text, `aws-sm:name#member` a member of its JSON object."""
    assert read_reference("aws-sm:crm/plain", {}, "x") == "plain-value"
    assert read_reference("aws-sm:crm/json#client_secret", {}, "x") == "member-value"
    secrets = EnvFileSecrets({"acme": {"crm": "aws-sm:crm/json#client_secret"}}, {})
    assert secrets.read("acme", "crm") == "member-value"


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("aws-sm:crm/nothing", "ResourceNotFoundException"),
        ("aws-sm:crm/plain#member", "no JSON object|is not a JSON object"),
        ("aws-sm:crm/json#other", "no text named other"),
        ("aws-sm:crm/json#number", "no text named number"),
        ("aws-sm:crm/binary", "holds no text"),
    ],
)
def test_what_is_not_there_is_named_without_a_value(reference: str, says: str) -> None:
    """A wrong reference says what is wrong, and nothing of what is in the secret."""
    with pytest.raises(ConfigurationError, match=says) as raised:
        read_reference(reference, {}, "the CRM's secret")
    assert raised.value.message.startswith("the CRM's secret: ")
    assert "value" not in raised.value.message


@pytest.mark.usefixtures("aws")
def test_aws_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials or a region AWS is not asked, and the message says so."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match="NoCredentialsError"):
        read_reference("aws-sm:crm/plain", {}, "x")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigurationError, match="NoRegionError"):
        read_reference("aws-sm:crm/plain", {}, "x")


def test_without_boto3_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named when it is missing."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigurationError, match=r"enactor\[aws\]"):
        read_reference("aws-sm:crm/plain", {}, "x")


def test_references_have_a_form() -> None:
    """Names, ARNs and members are references; anything with blanks or without a name is not."""
    check = TypeAdapter(SecretReference)
    arn = "aws-sm:arn:aws:secretsmanager:eu-west-1:123456789012:secret:crm/json-AbCdEf#client_secret"
    for good in ("aws-sm:crm", "aws-sm:crm/json#client_secret", arn, "env:NAME", "file:/run/secret"):
        assert check.validate_python(good) == good
    for bad in ("aws-sm:", "aws-sm:a b", "aws-sm:crm#", "aws-sm:crm#a#b", "vault:x"):
        with pytest.raises(ValidationError):
            check.validate_python(bad)
