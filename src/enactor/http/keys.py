"""The public keys of an issuer: given, or fetched, cached and fetched again when they may have changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import httpx
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from enactor.domain.errors import EnactorError, Unavailable
from enactor.ports.clock import Clock
from enactor.settings import IssuerSettings
from enactor.settings.issuers import require_web_address

REFRESH_MS: Final = 300_000
"""How old fetched keys may be before they are fetched again: a revoked key is good for no longer."""
RETRY_MS: Final = 10_000
"""The least time between two fetches: whoever sends tokens with made-up key ids causes no more than that."""
KEEP_MS: Final = 24 * 3_600_000
"""How long keys are trusted while their issuer does not answer."""
MAX_DOCUMENT_BYTES: Final = 512 * 1024
_MAX_KEYS: Final = 100
_MIN_RSA_BYTES: Final = 256
_SECONDS: Final = 5.0

_PUBLIC_MEMBERS: Final = ("kty", "kid", "use", "alg", "crv", "x", "y", "n", "e")
_KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_EDDSA: Final = frozenset({"EdDSA", "Ed25519"})

_log = logging.getLogger("enactor.http")

Fetch = Callable[[], Awaitable[list[Any]]]


def usable_keys(documents: Iterable[Any]) -> tuple[Key, ...]:
    """The keys of a JWK set (RFC 7517) that can verify signatures; whatever else is in it is left out.

    Symmetric keys are never among them, so no token can be verified with a secret; RSA keys have at least 2048 bits
    (RFC 7518, section 3.3).
    """
    keys: list[Key] = []
    for document in list(documents)[:_MAX_KEYS]:
        if not isinstance(document, dict) or document.get("use", "sig") != "sig":
            continue
        public = {name: document[name] for name in _PUBLIC_MEMBERS if isinstance(document.get(name), str)}
        if public.get("kty") not in _KEY_TYPES.values() or not _long_enough(public):
            continue
        try:
            keys.append(JWKRegistry.import_key(dict(public)))
        except (JoseError, ValueError, TypeError):
            continue
    return tuple(keys)


def _long_enough(public: dict[str, str]) -> bool:
    # Base64url without padding: four characters hold three bytes.
    return public["kty"] != "RSA" or len(public.get("n", "").rstrip("=")) * 3 // 4 >= _MIN_RSA_BYTES


def fits(key: Key, algorithm: str) -> bool:
    """Whether a key can have signed with `algorithm`: its type fits, and it is not meant for another."""
    meant = key.get("alg")
    same = meant is None or meant == algorithm or {meant, algorithm} <= _EDDSA
    return key.key_type == _KEY_TYPES.get(algorithm[:2]) and same


class KeyRing:
    """The keys of one issuer.

    Args:
        name: the issuer, for the log.
        clock: for the age of fetched keys.
        keys: keys that are given; they are never fetched.
        fetch: where keys are fetched when none are given.
        on_change: called when keys came or went, so that tokens they signed are looked at again.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        keys: Iterable[Any] = (),
        fetch: Fetch | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._clock = clock
        self._keys = usable_keys(keys)
        self._fetch = fetch
        self._on_change = on_change
        self._fetched_at: int | None = None
        self._tried_at: int | None = None
        self._task: asyncio.Task[None] | None = None

    async def candidates(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """The keys that may have signed a token with this key id and algorithm; empty when there is none.

        Raises:
            Unavailable: the keys have to be fetched, and cannot be.
        """
        if self._fetch is None:
            return self._matching(kid, algorithm)
        if self._age() is None or not self._trusted():
            await self._refresh()
            if not self._trusted():
                raise Unavailable("The keys of the token's issuer cannot be fetched now; try again shortly.")
        found = self._matching(kid, algorithm)
        if not found and kid is not None:
            await self._refresh()
            found = self._matching(kid, algorithm)
        self.look_after()
        return found

    def look_after(self) -> None:
        """Begins to fetch the keys again, in the background, when they have grown old."""
        age = self._age()
        if age is not None and age >= REFRESH_MS and self._task is None and self._may_try():
            self._start()

    async def close(self) -> None:
        """Stops a fetch that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _matching(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        return tuple(key for key in self._keys if fits(key, algorithm) and (kid is None or key.get("kid") == kid))

    def _age(self) -> int | None:
        return None if self._fetched_at is None else self._clock.elapsed_ms() - self._fetched_at

    def _trusted(self) -> bool:
        age = self._age()
        return age is not None and age < KEEP_MS

    def _may_try(self) -> bool:
        return self._tried_at is None or self._clock.elapsed_ms() - self._tried_at >= RETRY_MS

    async def _refresh(self) -> None:
        """Fetches the keys, once however many ask; does nothing when they were fetched a moment ago."""
        if self._task is None:
            if not self._may_try():
                return
            self._start()
        if self._task is not None:
            # One who no longer waits must not end the fetch that others wait for.
            await asyncio.shield(self._task)

    def _start(self) -> None:
        self._tried_at = self._clock.elapsed_ms()
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._task = None

    async def _run(self) -> None:
        if self._fetch is None:
            return
        try:
            keys = usable_keys(await self._fetch())
        except (httpx.HTTPError, EnactorError, ValueError) as error:
            _log.warning("the keys of the issuer %s could not be fetched: %s", self._name, type(error).__name__)
            return
        changed = {_identity(key) for key in keys} != {_identity(key) for key in self._keys}
        self._keys = keys
        self._fetched_at = self._clock.elapsed_ms()
        if changed:
            self._on_change()


def _identity(key: Key) -> tuple[object, ...]:
    return (key.thumbprint(), key.get("kid"), key.get("alg"))


def fetcher(settings: IssuerSettings, client: Callable[[], httpx.AsyncClient]) -> Fetch:
    """How an issuer's keys are fetched: from its `jwks_uri`, else from the one its discovery document names.

    Args:
        client: a client that follows no redirects.
    """

    async def fetch() -> list[Any]:
        address = settings.jwks_uri
        if address is None:
            # OpenID Connect Discovery 1.0, sections 4.1 and 4.3.
            found = await _document(client(), f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != settings.issuer:
                raise ValueError("the discovery document is another issuer's")
            address = require_web_address(str(found.get("jwks_uri")))
        keys = (await _document(client(), address)).get("keys")
        if not isinstance(keys, list):
            raise ValueError("no JSON Web Key Set")
        return keys

    return fetch


async def _document(client: httpx.AsyncClient, address: str) -> dict[str, Any]:
    """A JSON object. Raises `httpx.HTTPError`, `ValueError`: no answer, a redirect, too long, or something else."""
    body = b""
    async with client.stream("GET", address, headers={"accept": "application/json"}) as response:
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"answered {response.status_code}")
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES:
                raise ValueError("longer than any key set")
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except RecursionError:
        raise ValueError("nested too deeply") from None


def new_client() -> httpx.AsyncClient:
    """A client that follows no redirects and waits for no more than five seconds."""
    # A proxy of the environment is for the world outside, not for an issuer on this machine.
    direct = {f"all://{host}": httpx.AsyncHTTPTransport() for host in ("127.0.0.1", "localhost", "[::1]")}
    return httpx.AsyncClient(follow_redirects=False, timeout=_SECONDS, headers={"user-agent": "enactor"}, mounts=direct)
