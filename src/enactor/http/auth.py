"""Who a request comes from: bearer tokens (RFC 6750) that are JWTs of configured issuers (RFC 7519, RFC 8725)."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import httpx
import msgspec
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import Key
from msgspec import Struct

from enactor.domain.errors import TokenMissing, Unauthenticated
from enactor.domain.principal import Principal
from enactor.http.claims import Trust, principal_of, require_times, trust_of
from enactor.http.dev_issuer import ALGORITHM, DevIssuer
from enactor.http.keys import KeyRing, fetcher, new_client
from enactor.ports.clock import Clock
from enactor.settings import IssuerSettings

MAX_TOKEN_BYTES: Final = 16_384
CACHED_TOKENS: Final = 10_000
_TYPES: Final = frozenset({"", "jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""`typ` of a token that may be an access token; any other says that it is something else (RFC 8725, section 3.11)."""


class Session(Struct, frozen=True, kw_only=True):
    """A verified token: who it is about, and until when (milliseconds since the epoch) it is accepted.

    `development` marks a token of the development issuer, which is good on this machine only.
    """

    principal: Principal
    expires_at: int
    development: bool = False


class _Algorithms(jws.JWSRegistry):
    """The algorithms that may be used, whatever the library thinks of their names.

    It warns of the name `EdDSA`, which RFC 9864 replaces by `Ed25519` and which issuers go on using.
    """

    max_header_length = 8_192

    def get_alg(self, name: str) -> Any:
        if self.allowed is None or name not in self.allowed:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


class _Issuer:
    """An issuer as it is trusted: with what, by which algorithms and by which keys."""

    def __init__(self, trust: Trust, algorithms: Iterable[str], keys: KeyRing, *, development: bool = False) -> None:
        named = frozenset(algorithms)
        self.trust = trust
        self.algorithms = named | {"Ed25519"} if "EdDSA" in named else named
        self.registry = _Algorithms(algorithms=self.algorithms, strict_check_header=False)
        self.keys = keys
        self.development = development


class Authenticator:
    """Verifies bearer tokens, and remembers those it has verified until they expire or a key set changes.

    Args:
        issuers: the issuers whose tokens are accepted.
        clock: for expiry and for the age of keys.
        dev_issuer: the development issuer, which only `serve --dev` has.
        client: fetches key sets; it must not follow redirects. Made when absent.
        cached_tokens: how many verified tokens are remembered.
    """

    def __init__(
        self,
        issuers: Iterable[IssuerSettings],
        clock: Clock,
        *,
        dev_issuer: DevIssuer | None = None,
        client: httpx.AsyncClient | None = None,
        cached_tokens: int = CACHED_TOKENS,
    ) -> None:
        self._clock = clock
        self._client = client
        self._cache: OrderedDict[bytes, tuple[Session, _Issuer]] = OrderedDict()
        self._cached_tokens = cached_tokens
        self._issuers = {settings.issuer: self._issuer(settings) for settings in issuers}
        if dev_issuer is not None:
            keys = KeyRing(dev_issuer.trust.issuer, clock, keys=[dev_issuer.public_key])
            self._issuers[dev_issuer.trust.issuer] = _Issuer(dev_issuer.trust, [ALGORITHM], keys, development=True)

    @property
    def accepts_development_tokens(self) -> bool:
        """Whether the development issuer is one of the issuers."""
        return any(issuer.development for issuer in self._issuers.values())

    @property
    def cached(self) -> int:
        """How many verified tokens are remembered now."""
        return len(self._cache)

    def forget(self) -> None:
        """Forgets every verified token: each is verified again when it comes."""
        self._cache.clear()

    def known(self, token: str) -> Session | None:
        """The session of a token that was verified before and is still good, without waiting for anything."""
        key = hashlib.sha256(token.encode()).digest()
        entry = self._cache.get(key)
        if entry is None:
            return None
        session, issuer = entry
        if self._clock.now_ms() >= session.expires_at:
            del self._cache[key]
            return None
        self._cache.move_to_end(key)
        issuer.keys.look_after()
        return session

    async def authenticate(self, token: str) -> Session:
        """The session of a token.

        Raises:
            Unauthenticated: it is not a valid token of a configured issuer for this API.
            Unavailable: its issuer's keys cannot be fetched.
        """
        if (session := self.known(token)) is not None:
            return session
        session, issuer = await self._verified(token)
        self._cache[hashlib.sha256(token.encode()).digest()] = (session, issuer)
        while len(self._cache) > self._cached_tokens:
            self._cache.popitem(last=False)
        return session

    async def close(self) -> None:
        """Lets go of connections to issuers."""
        await asyncio.gather(*(issuer.keys.close() for issuer in self._issuers.values()))
        if self._client is not None:
            await self._client.aclose()

    def _issuer(self, settings: IssuerSettings) -> _Issuer:
        if settings.jwks is not None:
            keys = KeyRing(settings.issuer, self._clock, keys=settings.jwks["keys"])
        else:
            fetch = fetcher(settings, self._connection)
            keys = KeyRing(settings.issuer, self._clock, fetch=fetch, on_change=self.forget)
        return _Issuer(trust_of(settings), settings.algorithms, keys)

    def _connection(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = new_client()
        return self._client

    async def _verified(self, token: str) -> tuple[Session, _Issuer]:
        header, claimed = _unverified(token)
        issuer = self._issuers.get(str(claimed.get("iss")))
        if issuer is None:
            raise Unauthenticated("The token's issuer is not configured here.")
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
            raise Unauthenticated("The token is signed with an algorithm that is not accepted from its issuer.")
        if kid is not None and not isinstance(kid, str):
            raise Unauthenticated("The token's key id is not text.")
        if str(header.get("typ", "")).lower() not in _TYPES or "crit" in header or "b64" in header:
            raise Unauthenticated("The token is of a kind that is not accepted here.")
        keys = await issuer.keys.candidates(kid, algorithm)
        if not any(_signed_by(token, key, issuer.registry) for key in keys):
            raise Unauthenticated("The token is not signed by a key of its issuer.")
        expires_at = require_times(claimed, self._clock.now_ms())
        principal = principal_of(claimed, issuer.trust)
        return Session(principal=principal, expires_at=expires_at, development=issuer.development), issuer


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the token says of itself. Nothing of it may be believed before its signature is verified."""
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        raise Unauthenticated("This is not a token.")
    try:
        parts = jws.extract_compact(token.encode())
        claims = msgspec.json.decode(parts.payload, type=dict[str, Any])
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        raise Unauthenticated("This is not a signed JSON Web Token.") from None
    return parts.headers(), claims


def _signed_by(token: str, key: Key, registry: jws.JWSRegistry) -> bool:
    try:
        jws.deserialize_compact(token.encode(), key, registry=registry)
    except (JoseError, ValueError, TypeError):
        return False
    return True


def bearer_token(values: list[str]) -> str:
    """The token in a request's `Authorization` headers. Raises `TokenMissing` when there is not exactly one."""
    if not values:
        raise TokenMissing("Send a token: Authorization: Bearer …")
    scheme, _, token = values[0].partition(" ")
    if len(values) != 1 or scheme.lower() != "bearer" or not token.strip():
        raise TokenMissing("Send exactly one Authorization header, of the form: Bearer …")
    return token.strip()
