"""How requests to a target prove who sends them: with a password, a key, a fixed token, or tokens of OAuth.

Secrets are named by reference in the settings, read for one request, and kept nowhere.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import httpx
from msgspec import Struct
from pydantic import Field, model_validator

from enactor.connectors.sdk import NotSent, Refused
from enactor.domain.errors import ConfigurationError, EnactorError
from enactor.gateway.oauth import AccessToken, TokenSource
from enactor.ports.clock import Clock
from enactor.settings import OAuthSettings, SecretReference
from enactor.settings.model import SettingsModel

HEADER_NAME: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"
"""A field name of RFC 9110, section 5.1."""

_SENDABLE: Final = re.compile(r"[\x20-\x7e]{1,16384}")


class BasicSettings(SettingsModel):
    """A user name and a password (RFC 7617)."""

    user: str = Field(min_length=1, max_length=500, pattern=r"^[^:\x00-\x1f\x7f]+$", description="The user's name.")
    password: SecretReference = Field(description="Where the password is.")


class ApiKeySettings(SettingsModel):
    """A key in a header."""

    header: str = Field(pattern=HEADER_NAME, description="The header's name, such as X-API-Key.")
    value: SecretReference = Field(description="Where the key is.")


class AccessSettings(SettingsModel):
    """How requests are authenticated: in one of these ways, or not at all."""

    basic: BasicSettings | None = Field(default=None, description="User name and password.")
    bearer: SecretReference | None = Field(default=None, description="Where a bearer token is that does not expire.")
    api_key: ApiKeySettings | None = Field(default=None, description="A key in a header.")
    oauth: OAuthSettings | None = Field(default=None, description="Tokens of an authorization server.")

    @model_validator(mode="after")
    def _one(self) -> AccessSettings:
        if sum(way is not None for way in (self.basic, self.bearer, self.api_key, self.oauth)) > 1:
            raise ValueError("names several ways; one of basic, bearer, api_key and oauth is used")
        return self

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that are called for it: the token endpoint's."""
        host = urlsplit(self.oauth.token_url).hostname if self.oauth is not None else None
        return frozenset() if host is None else frozenset({host})

    @property
    def headers(self) -> frozenset[str]:
        """The headers that it sets, in lower case."""
        if self.api_key is not None:
            return frozenset({self.api_key.header.lower()})
        return frozenset({"authorization"})


class Proof(Struct, frozen=True):
    """The headers that prove who sends one request. They go into that request, and nowhere else."""

    headers: dict[str, str]
    token: AccessToken | None = None

    def __repr__(self) -> str:
        return "Proof(…)"


class Access:
    """One tenant's way into one target.

    Args:
        settings: the way.
        read_secret: gives a secret by reference; its second argument says what it is. It is called in a thread.
        transport: what a token endpoint is called through.
        clock: for the age of tokens.
        what: names the target in messages, such as `the calendar of tenant acme`.
    """

    def __init__(
        self,
        settings: AccessSettings,
        read_secret: Callable[[str, str], str],
        transport: httpx.AsyncBaseTransport,
        clock: Clock,
        what: str,
    ) -> None:
        self._settings = settings
        self._read_secret = read_secret
        self._what = what
        self._tokens = (
            TokenSource(settings.oauth, read_secret, transport, clock, what) if settings.oauth is not None else None
        )

    async def proof(self) -> Proof:
        """The headers of one request.

        Raises:
            NotSent: no token can be had now.
            Refused: no token is given to us, or a secret cannot be read; asking again changes nothing.
        """
        try:
            return await self._proof()
        except EnactorError as error:
            kind = NotSent if error.retryable else Refused
            raise kind(
                error.error_code, error.message, retryable=error.retryable, error_class=error.error_class
            ) from None

    def accepted(self, proof: Proof) -> None:
        """The target took it."""
        if self._tokens is not None and proof.token is not None:
            self._tokens.accepted(proof.token)

    def refused(self, proof: Proof) -> bool:
        """The target answered 401. Whether another token may help; a password or a key stays the same."""
        return self._tokens is not None and proof.token is not None and self._tokens.refused(proof.token)

    async def close(self) -> None:
        """Lets go of tokens."""
        if self._tokens is not None:
            await self._tokens.close()

    async def _proof(self) -> Proof:
        settings = self._settings
        if self._tokens is not None:
            token = await self._tokens.token()
            return Proof({"Authorization": f"Bearer {token.value}"}, token)
        if settings.basic is not None:
            password = await self._secret(settings.basic.password, "password")
            pair = base64.b64encode(f"{settings.basic.user}:{password}".encode()).decode()
            return Proof({"Authorization": f"Basic {pair}"})
        if settings.bearer is not None:
            return Proof({"Authorization": f"Bearer {await self._header_secret(settings.bearer, 'token')}"})
        if settings.api_key is not None:
            return Proof({settings.api_key.header: await self._header_secret(settings.api_key.value, "key")})
        return Proof({})

    async def _header_secret(self, reference: str, kind: str) -> str:
        value = await self._secret(reference, kind)
        if not _SENDABLE.fullmatch(value):
            raise ConfigurationError(f"{self._what}: the {kind} has characters that cannot be sent in a header.")
        return value

    async def _secret(self, reference: str, kind: str) -> str:
        return await asyncio.to_thread(self._read_secret, reference, f"{self._what}, {kind}")
