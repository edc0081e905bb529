"""Secrets from the environment, from files and from AWS Secrets Manager, by the references of the settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from enactor.domain.errors import ConfigurationError
from enactor.domain.text import visible
from enactor.gateway.aws_secrets import read_aws_secret

_LONGEST: Final = 64 * 1024


def read_reference(reference: str, environment: Mapping[str, str], what: str) -> str:
    """The secret that a reference points at, without a file's last line feed.

    Args:
        reference: `env:NAME`, `file:/absolute/path` or `aws-sm:name#key`. The last one blocks while AWS answers.
        what: how a message names the secret.

    Raises:
        ConfigurationError: it cannot be read or is empty. The message never holds a value.
    """
    kind, _, place = reference.partition(":")
    if kind == "env":
        value = environment.get(place, "")
        if not value:
            raise ConfigurationError(f"{what}: the variable {place} is not set.")
        return value
    if kind == "aws-sm":
        return read_aws_secret(place, what)
    if kind != "file":
        raise ConfigurationError(f"{what}: a secret is named by env:NAME, file:/absolute/path or aws-sm:name#key.")
    try:
        with Path(place).open("rb") as file:
            content = file.read(_LONGEST + 1)
        value = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigurationError(f"{what}: the file {place} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{what}: the file {place} is not UTF-8 text.") from None
    if not value or len(content) > _LONGEST:
        raise ConfigurationError(f"{what}: the file {place} {'is empty' if not value else 'is too long'}.")
    return value


class EnvFileSecrets:
    """Each tenant's own secrets, read at the moment they are needed and kept nowhere.

    Args:
        references: by tenant and name, where each secret is.
        environment: where `env:` references look; the process's variables when absent.
    """

    def __init__(
        self, references: Mapping[str, Mapping[str, str]], environment: Mapping[str, str] | None = None
    ) -> None:
        self._references = references
        self._environment = os.environ if environment is None else environment

    def read(self, tenant_id: str, name: str) -> str:
        reference = self._references.get(tenant_id, {}).get(name)
        if reference is None:
            raise ConfigurationError(
                f"There is no secret '{visible(name, 100)}' for this tenant; name it under [secrets] in the settings."
            )
        return read_reference(reference, self._environment, f"Secret '{name}'")
