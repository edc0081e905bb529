"""Secrets from AWS Secrets Manager, by references such as `aws-sm:production/crm#client_secret`.

Region and credentials are those of the AWS SDK's own chain: variables, profile, or the role of the machine.
"""

from __future__ import annotations

import json
from typing import Any, Final

from enactor.domain.errors import ConfigurationError

_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 10


def read_aws_secret(place: str, what: str) -> str:
    """The value of a secret, or of one member of a secret that is a JSON object. Blocks while AWS answers.

    Args:
        place: the secret's name or ARN; `#member` picks a member.
        what: how a message names the secret.

    Raises:
        ConfigurationError: boto3 is not installed, or the secret cannot be read. The message never holds a value.
    """
    name, _, member = place.partition("#")
    text = _secret_string(name, what)
    if not member:
        return text
    try:
        value = json.loads(text).get(member)
    except (ValueError, AttributeError):
        raise ConfigurationError(
            f"{what}: {name} is not a JSON object, so that #{member} names nothing in it."
        ) from None
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{what}: {name} has no text named {member}.")
    return value


def _secret_string(name: str, what: str) -> str:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise ConfigurationError(f"{what}: aws-sm: needs boto3: pip install 'enactor[aws]'.") from None
    config = Config(
        connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS, retries={"mode": "standard", "max_attempts": 2}
    )
    try:
        # A session of its own, because boto3's default one must not be used from several threads.
        client = boto3.session.Session().client("secretsmanager", config=config)
        answer: dict[str, Any] = client.get_secret_value(SecretId=name)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "an error"))[:100]
        raise ConfigurationError(f"{what}: AWS Secrets Manager answers {code} for {name}.") from None
    except BotoCoreError as error:
        raise ConfigurationError(f"{what}: AWS Secrets Manager cannot be asked: {type(error).__name__}.") from None
    text = answer.get("SecretString")
    if not isinstance(text, str) or not text:
        raise ConfigurationError(f"{what}: {name} holds no text.")
    return text
