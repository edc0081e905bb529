"""The conversation with one HTTP server: reads, which may be repeated, and writes, which are sent once."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from enactor.connectors.context import ConnectorContext
from enactor.connectors.http_access import Access, AccessSettings, Proof
from enactor.connectors.http_call import Answer, Unclear, retry_after_seconds, send_once
from enactor.connectors.sdk import NotSent, Refused, ToolCall
from enactor.domain.errors import ErrorClass
from enactor.gateway.egress import EgressRules, GuardedTransport

CONNECT_SECONDS: Final = 5.0
_READ_SECONDS: Final = 20.0
_BEFORE: Final = 0.5
"""The part of a call's time that may pass before the request that changes something is sent."""
_AFTER: Final = 0.25
"""The part that reading back what was written may take. What was done is known by then, and must not be lost."""


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Reading the trusted certificates is slow, and they are the same for every target."""
    return httpx.create_ssl_context()


def _in_time() -> None:
    """Reads have no permit, and are never too late."""


class HttpTarget:
    """One server, as one tenant's settings reach it.

    Args:
        what: names it in messages, such as `The calendar of tenant acme`.
        access: how requests are authenticated.
        transport: what it is called through.
    """

    def __init__(self, what: str, access: Access, transport: httpx.AsyncBaseTransport) -> None:
        self.what = what
        self._access = access
        timeout = httpx.Timeout(_READ_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity", "User-Agent": "enactor"},
            # No cookie is kept: one call must not change who the next one is.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            transport=transport,
            timeout=timeout,
            trust_env=False,
        )

    @classmethod
    def reached_by(
        cls,
        what: str,
        url: str,
        access: AccessSettings,
        networks: tuple[str, ...],
        context: ConnectorContext,
    ) -> HttpTarget:
        """The server of a URL, under the egress rules: its own host, and the token endpoint's.

        Raises:
            ConfigurationError: a network is not in CIDR notation.
        """
        host = httpx.URL(url).host
        rules = EgressRules(hosts={host, *access.hosts}, networks=networks, development=context.development)
        transport = GuardedTransport(rules, context.clock, ssl_context=_trusted())
        return cls(what, Access(access, context.read_secret, transport, context.clock, what), transport)

    async def write(
        self, method: str, url: str, call: ToolCall, *, headers: Mapping[str, str], content: bytes | None = None
    ) -> Answer:
        """Sends one request that changes something: once, whatever comes back.

        Raises:
            NotSent: it did not leave.
            Refused: there is no token, or 401 (after which the next call gets another one, if that may help).
            Unclear: it may have left, and no complete answer came.
        """
        proof = await self._access.proof()
        request = self._request(method, url, proof, headers, content, call.timeout_seconds)
        answer = await send_once(self._client, request, call.ensure_timely)
        if answer.status == 401:
            raise self._unauthorized(another_may_help=self._access.refused(proof))
        self._access.accepted(proof)
        return answer

    async def read(self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None = None) -> Answer:
        """Sends one request that changes nothing, and once more with another token if this one was refused.

        Raises:
            NotSent: no answer came; what was to be written after it was not sent.
            Refused: there is no token, or it is not taken.
        """
        for _ in range(2):
            proof = await self._access.proof()
            request = self._request(method, url, proof, headers, content, _READ_SECONDS)
            try:
                answer = await send_once(self._client, request, _in_time)
            except Unclear as error:
                raise NotSent("READ_FAILED", f"{self.what} could not be read: {error}.") from None
            if answer.status != 401:
                self._access.accepted(proof)
                return answer
            if not self._access.refused(proof):
                break
        raise self._unauthorized(another_may_help=False)

    @asynccontextmanager
    async def before_sending(self, call: ToolCall) -> AsyncIterator[None]:
        """What is read before anything is written: too slow means that nothing was sent, not that nobody knows."""
        try:
            async with asyncio.timeout(call.timeout_seconds * _BEFORE):
                yield
        except TimeoutError:
            raise NotSent("READ_TIMEOUT", f"{self.what} was too slow to be read before the write.") from None

    @asynccontextmanager
    async def after_sending(self, call: ToolCall) -> AsyncIterator[None]:
        """What is read back after a write, as long as it takes little of the call's time. Raises `TimeoutError`."""
        async with asyncio.timeout(call.timeout_seconds * _AFTER):
            yield

    async def about(self) -> Mapping[str, str]:
        """What the token endpoint said with the token that is in use. Raises `NotSent` and `Refused` as `read` does."""
        proof = await self._access.proof()
        return {} if proof.token is None else proof.token.about

    async def close(self) -> None:
        """Lets go of tokens and connections."""
        await self._access.close()
        await self._client.aclose()

    def _request(
        self,
        method: str,
        url: str,
        proof: Proof,
        headers: Mapping[str, str],
        content: bytes | None,
        read_seconds: float,
    ) -> httpx.Request:
        timeout = httpx.Timeout(read_seconds, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
        return self._client.build_request(
            method, url, headers={**headers, **proof.headers}, content=content, timeout=timeout
        )

    def _unauthorized(self, *, another_may_help: bool) -> Refused:
        said = "did not take the access token" if another_may_help else "does not take our credentials"
        return Refused("UNAUTHORIZED", f"{self.what} {said}.", retryable=another_may_help, error_class=ErrorClass.AUTH)


def refusal(answer: Answer, what: str, now_ms: int, effect_free: Mapping[int, tuple[ErrorClass, bool, str]]) -> Refused:
    """What an answer that is no success refuses, if its status says that nothing was changed.

    Args:
        answer: the answer.
        what: who answered.
        now_ms: for a `Retry-After` that names an instant.
        effect_free: the statuses after which nothing was changed, each with its class, whether it may pass, and why.

    Raises:
        Unclear: its status is none of those.
    """
    known = effect_free.get(answer.status)
    if known is None:
        raise Unclear(f"{what} answered {answer.status}")
    error_class, retryable, text = known
    return Refused(
        f"HTTP_{answer.status}",
        f"{what} answered {answer.status}: {text}.",
        retryable=retryable,
        error_class=error_class,
        retry_after_seconds=retry_after_seconds(answer.headers, now_ms),
    )
