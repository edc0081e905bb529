"""Kinds of values: references to secrets, and addresses of stores."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from msgspec import Struct
from pydantic import AfterValidator

from enactor.domain.errors import ConfigurationError

_ENVIRONMENT: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_AWS: Final = re.compile(r"aws-sm:[A-Za-z0-9/_+=.@:-]{1,2048}(#[A-Za-z0-9_.-]{1,256})?")
_STORES: Final = "sqlite:///path, postgresql://…, dynamodb://region?prefix=cc-native, memory://"


def _reference(value: str) -> str:
    if _ENVIRONMENT.fullmatch(value) or _AWS.fullmatch(value) or (value.startswith("file:/") and "\0" not in value):
        return value
    raise ValueError(
        "must say where the secret is, env:NAME, file:/absolute/path or aws-sm:name#key, "
        "and never hold the secret itself"
    )


SecretReference = Annotated[str, AfterValidator(_reference)]
"""`env:NAME`, `file:/absolute/path` or `aws-sm:name#key`: where a secret is read at the moment it is needed."""


class StoreAddress(Struct, frozen=True, kw_only=True):
    """A store URL in its parts.

    Attributes:
        scheme: `sqlite`, `postgresql`, `dynamodb` or `memory`.
        path: the database file of `sqlite`, None for the others.
        region: the AWS region of `dynamodb`, empty for the others.
        options: the query's parameters, for example `prefix`.
    """

    scheme: str
    path: Path | None = None
    region: str = ""
    options: dict[str, str] = {}


def store_address(url: str) -> StoreAddress:
    """The parts of a store URL.

    `sqlite:///name.db` is relative to the working directory, `sqlite:////var/lib/name.db` absolute.

    Raises:
        ConfigurationError: it is no store URL; the message lists the forms and does not repeat the URL's secrets.
    """
    scheme, separator, rest = url.partition("://")
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ConfigurationError(f"The store URL cannot be read; write one of {_STORES}.") from None
    if not separator or scheme not in ("sqlite", "postgresql", "postgres", "dynamodb", "memory"):
        named = f"unknown store scheme '{scheme[:40]}'" if separator else "a store is given as a URL"
        raise ConfigurationError(f"{named[0].upper()}{named[1:]}; write one of {_STORES}.")
    if scheme == "sqlite":
        if not rest.startswith("/") or len(rest) < 2:
            raise ConfigurationError(
                "A SQLite store is sqlite:///name.db (in the working directory) or sqlite:////absolute/name.db."
            )
        return StoreAddress(scheme="sqlite", path=Path(rest[1:]))
    if scheme == "memory":
        if rest:
            raise ConfigurationError("A memory store is written memory:// and nothing else.")
        return StoreAddress(scheme="memory")
    if scheme == "dynamodb":
        if not parts.netloc or unknown_options(options, {"prefix", "endpoint", "artifacts"}):
            raise ConfigurationError("A DynamoDB store is dynamodb://region?prefix=cc-native.")
        return StoreAddress(scheme="dynamodb", region=parts.netloc, options=options)
    return StoreAddress(scheme="postgresql", options=options)


def unknown_options(options: dict[str, str], known: set[str]) -> list[str]:
    """The names in `options` that are not in `known`."""
    return sorted(set(options) - known)


def without_password(url: str) -> str:
    """The URL as it may be shown: the password of its authority replaced by `***`, and any `password=` option's too."""
    parts = urlsplit(url)
    authority = parts.netloc
    if "@" in authority:
        user, _, host = authority.rpartition("@")
        name, colon, _ = user.partition(":")
        authority = f"{name}{':***' if colon else ''}@{host}"
    query = re.sub(r"(?i)(^|&)(password|sslpassword)=[^&]*", r"\1\2=***", parts.query)
    return urlunsplit((parts.scheme, authority, parts.path, query, "")) if authority or query else url


def has_password(url: str) -> bool:
    """Whether the URL carries a password of its own."""
    return without_password(url) != url
