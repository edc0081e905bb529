"""Access tokens for targets: fetched, kept for as long as they are good, and replaced once when they are refused.

A token lives in this process's memory and nowhere else: not in records, logs, messages or `repr`. Secrets are read
where they are needed, by reference, and are not kept at all.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import httpx
import orjson

from enactor.domain.errors import ConfigurationError, EnactorError, ErrorClass
from enactor.ports.clock import Clock

if TYPE_CHECKING:
    from enactor.settings import OAuthSettings

_LONGEST_ANSWER: Final = 64 * 1024
_TIMEOUT: Final = httpx.Timeout(10.0, connect=5.0)
_EARLY_SECONDS: Final = 60.0
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")
_ERROR: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_PASSING: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_SECRET_MEMBERS: Final = frozenset({"access_token", "refresh_token", "id_token", "signature"})


class OAuthRefused(EnactorError):
    """The authorization server gives no token to this client. Somebody has to look at the client or its secret."""

    error_class = ErrorClass.AUTH
    error_code = "OAUTH_REFUSED"


class OAuthUnavailable(EnactorError):
    """The authorization server cannot be asked now."""

    error_class = ErrorClass.DOWNSTREAM
    error_code = "OAUTH_UNAVAILABLE"
    retryable = True


class AccessToken:
    """A token, and what the server said with it. Printing it shows nothing.

    Attributes:
        value: for the `Authorization` header, and for nothing else.
        about: the members of the server's answer that are text and not secret, such as `instance_url`.
    """

    __slots__ = ("_accepted", "_good_until", "_replaces_refused", "about", "value")

    def __init__(self, value: str, about: dict[str, str], good_until: int, *, replaces_refused: bool) -> None:
        self.value = value
        self.about = about
        self._good_until = good_until
        self._replaces_refused = replaces_refused
        self._accepted = False

    def __repr__(self) -> str:
        return "AccessToken(…)"


class TokenSource:
    """The tokens of one client: one for each tenant and connector, or for each account where those differ.

    Args:
        settings: the client.
        read_secret: gives a secret by reference; its second argument says what it is. It is called in a thread.
        transport: what the token endpoint is called through.
        clock: for the age of tokens.
        what: names the client in messages, such as `Salesforce of tenant acme`.
    """

    def __init__(
        self,
        settings: OAuthSettings,
        read_secret: Callable[[str, str], str],
        transport: httpx.AsyncBaseTransport,
        clock: Clock,
        what: str,
    ) -> None:
        self._settings = settings
        self._read_secret = read_secret
        self._client = httpx.AsyncClient(transport=transport, timeout=_TIMEOUT, trust_env=False)
        self._clock = clock
        self._what = what
        self._current: AccessToken | None = None
        self._flight: asyncio.Task[AccessToken] | None = None
        self._replacing_refused = False
        self._rotated: str | None = None

    async def token(self) -> AccessToken:
        """A token that is good as far as is known. However many ask at once, one request is made.

        Raises:
            OAuthRefused: the server refuses the client; asking again changes nothing.
            OAuthUnavailable: the server cannot be asked now.
            ConfigurationError: a secret cannot be read.
        """
        current = self._current
        if current is not None and self._clock.elapsed_ms() < current._good_until:
            return current
        if self._flight is None:
            self._flight = asyncio.create_task(self._fetch())
            self._flight.add_done_callback(self._landed)
        # Whoever gives up waiting leaves the request to the others.
        return await asyncio.shield(self._flight)

    def accepted(self, token: AccessToken) -> None:
        """The target took the token."""
        token._accepted = True

    def refused(self, token: AccessToken) -> bool:
        """The target answered 401: the token is not given out again.

        Returns:
            Whether another token may help. False when this one was already fetched in place of a refused one, and has
            never been taken: then a further one would be refused as well.
        """
        if self._current is token:
            self._current = None
            self._replacing_refused = True
        return token._accepted or not token._replaces_refused

    async def close(self) -> None:
        """Lets go of connections and of the token."""
        self._current = self._rotated = None
        if self._flight is not None:
            self._flight.cancel()
        await self._client.aclose()

    def _landed(self, flight: asyncio.Task[AccessToken]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()

    async def _fetch(self) -> AccessToken:
        uri, headers, body = await self._request()
        try:
            async with self._client.stream("POST", uri, headers=headers, content=body) as response:
                status, content = response.status_code, await _bounded(response)
        except httpx.HTTPError as error:
            raise OAuthUnavailable(
                f"{self._what}: the token endpoint cannot be reached: {type(error).__name__}."
            ) from None
        token = self._token(status, _object(content))
        self._current, self._replacing_refused = token, False
        return token

    async def _request(self) -> tuple[str, dict[str, str], str]:
        """The token request (RFC 6749, sections 4.4.2 and 6), with the client's authentication."""
        try:
            from authlib.oauth2.auth import ClientAuth
            from authlib.oauth2.rfc6749.parameters import prepare_token_request
        except ImportError:
            raise ConfigurationError("OAuth needs authlib: pip install 'enactor[oauth]'.") from None
        settings = self._settings
        secret = await self._secret(settings.client_secret, "client secret")
        parameters: dict[str, str] = {"scope": settings.scope} if settings.scope else {}
        if settings.grant == "refresh_token":
            parameters["refresh_token"] = self._rotated or await self._secret(settings.refresh_token, "refresh token")
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            body = prepare_token_request(settings.grant, **parameters)
            prove = ClientAuth(settings.client_id, secret, settings.authentication)
            uri, headers, body = prove.prepare("POST", settings.token_url, headers, body)
        except ValueError:
            raise ConfigurationError(f"{self._what}: the client secret has characters that cannot be sent.") from None
        return uri, headers, body

    async def _secret(self, reference: str | None, kind: str) -> str:
        if reference is None:
            return ""
        return await asyncio.to_thread(self._read_secret, reference, f"{self._what}, {kind}")

    def _token(self, status: int, answer: dict[str, Any] | None) -> AccessToken:
        error = (answer or {}).get("error")
        if status == 429 or status >= 500 or error in _PASSING:
            raise OAuthUnavailable(f"{self._what}: the token endpoint answers {status}; it may pass.")
        if isinstance(error, str) and _ERROR.fullmatch(error):
            raise OAuthRefused(f"{self._what}: the authorization server refuses the client: {error}.")
        if status != 200 or answer is None:
            raise OAuthRefused(f"{self._what}: the token endpoint answers {status} without a token.")
        value, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
        if not isinstance(value, str) or not _TOKEN.fullmatch(value) or str(kind).lower() != "bearer":
            raise OAuthRefused(f"{self._what}: the token endpoint's answer holds no bearer token.")
        rotated = answer.get("refresh_token")
        if self._settings.grant == "refresh_token" and isinstance(rotated, str) and rotated:
            # RFC 6749, section 6: the earlier one may be good no more. It is kept for this process's lifetime only.
            self._rotated = rotated
        about = {k: v for k, v in answer.items() if isinstance(v, str) and k not in _SECRET_MEMBERS}
        good_ms = round(1000 * self._good_seconds(answer.get("expires_in")))
        return AccessToken(value, about, self._clock.elapsed_ms() + good_ms, replaces_refused=self._replacing_refused)

    def _good_seconds(self, expires_in: object) -> float:
        try:
            lifetime = float(str(expires_in))
        except ValueError:
            lifetime = float(self._settings.lifetime_seconds)
        if not 0 < lifetime < 10 * 365 * 86_400:
            lifetime = float(self._settings.lifetime_seconds)
        return lifetime - min(_EARLY_SECONDS, lifetime / 10)


async def _bounded(response: httpx.Response) -> bytes:
    """The body, as far as an answer of a token endpoint can go. A longer one is none."""
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > _LONGEST_ANSWER:
            return b""
    return bytes(content)


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
