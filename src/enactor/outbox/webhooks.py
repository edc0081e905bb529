"""One delivery: a CloudEvent in structured JSON mode (CloudEvents HTTP binding, section 3.2), signed per Standard
Webhooks, posted once. Whether it is tried again is the lane's decision.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

import httpx
import orjson
from msgspec import Struct
from standardwebhooks.webhooks import Webhook

from enactor.domain.errors import ConfigurationError, EnactorError
from enactor.domain.event import cloud_event
from enactor.domain.ledger import LedgerEntry, LedgerEvent
from enactor.ports.clock import Clock

CONTENT_TYPE: Final = "application/cloudevents+json"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how every such secret begins, not one of them
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RESPONSE_BYTES: Final = 16 * 1024
_CONNECT_SECONDS: Final = 5.0


class WebhookTarget(Struct, frozen=True, kw_only=True):
    """A receiver of events.

    Raises `ConfigurationError` for an id or a URL that is none. Whether the URL may be called is not judged here.

    Attributes:
        id: stable, because how far the receiver has come is kept under it; letters, digits, `-` and `_`.
        tenant_id: the tenant whose events it gets; "" for every tenant's and the platform's own.
        url: where events are posted.
        secret: where its secrets are; how that is read is the sender's `read_secret`.
        event_types: which events it gets; empty means all.
        replay_history: whether a new receiver gets what happened before it was configured too.
    """

    id: str
    tenant_id: str
    url: str
    secret: str
    event_types: frozenset[LedgerEvent] = frozenset()
    replay_history: bool = False

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ConfigurationError("A webhook's id is 1 to 64 letters, digits, '-' and '_'.")
        try:
            httpx.URL(self.url)
        except httpx.InvalidURL:
            raise ConfigurationError(f"The URL of webhook {self.id} cannot be read.") from None

    def wants(self, entry: LedgerEntry) -> bool:
        """Whether the event of an entry goes to this receiver."""
        if self.tenant_id and entry.tenant_id != self.tenant_id:
            return False
        return not self.event_types or entry.event_type in self.event_types


def webhook_id(tenant_id: str, url: str) -> str:
    """An id for a receiver that is configured without one: the same for the same tenant and URL."""
    return hashlib.sha256(f"{tenant_id}\n{url}".encode()).hexdigest()[:32]


class Answer(StrEnum):
    """What came of a delivery."""

    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    GONE = "GONE"


class Delivery(Struct, frozen=True):
    """What came of a delivery.

    Attributes:
        error: why it failed, safe to show: nothing that the receiver wrote, no part of its URL but the host.
        retry_after: seconds for which the receiver asked to be left alone.
    """

    answer: Answer
    error: str = ""
    retry_after: float = 0.0


def signing_keys(value: str, what: str) -> tuple[Webhook, ...]:
    """The keys in a secret's value: one or more `whsec_…`, separated by white space, all of them in force.

    To rotate, put the new one beside the old one, change the receiver, and take the old one away.

    Args:
        what: how a message names the secret.

    Raises:
        ConfigurationError: there is none, or one is not `whsec_` and the base64 of 24 to 64 bytes.
    """
    keys = []
    for secret in value.split():
        try:
            if not secret.startswith(SECRET_PREFIX):
                raise ValueError
            key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except (ValueError, binascii.Error):
            key = b""
        if not 24 <= len(key) <= 64:
            raise ConfigurationError(f"{what}: a webhook secret is {SECRET_PREFIX} and the base64 of 24 to 64 bytes.")
        keys.append(Webhook(key))
    if not keys:
        raise ConfigurationError(f"{what}: there is no webhook secret in it.")
    return tuple(keys)


class WebhookSender:
    """Posts events, one request a delivery.

    The transport is used bare, without an `httpx.AsyncClient` around it: a client would keep one receiver's cookies,
    take credentials and proxies from the environment, and log whole URLs.

    Args:
        transport: how requests leave; `GuardedTransport` in production.
        clock: for timestamps and the time limit.
        read_secret: reads the value of a target's secret at the last moment; raises `ConfigurationError`.
        timeout_seconds: how long one delivery may take, from resolving the name to the end of the answer.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        clock: Clock,
        *,
        read_secret: Callable[[WebhookTarget], str],
        timeout_seconds: float = 15.0,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._read_secret = read_secret
        self._timeout_seconds = timeout_seconds

    async def send(self, target: WebhookTarget, entry: LedgerEntry) -> Delivery:
        """Delivers an entry's event, or says why not. Never raises for what a receiver or the network does."""
        try:
            request = self._request(target, entry)
            return await self._within_time(request)
        except EnactorError as error:
            return Delivery(Answer.FAILED, error.message)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return Delivery(Answer.FAILED, "No connection came about.")
        except (httpx.HTTPError, OSError):
            return Delivery(Answer.FAILED, "The connection broke before there was an answer.")

    async def close(self) -> None:
        """Closes every connection."""
        await self._transport.aclose()

    def _request(self, target: WebhookTarget, entry: LedgerEntry) -> httpx.Request:
        keys = signing_keys(self._read_secret(target), f"The secret of webhook {target.id}")
        body = orjson.dumps(cloud_event(entry))
        attempted = datetime.fromtimestamp(self._clock.now_ms() // 1000, UTC)
        text = body.decode()
        return httpx.Request(
            "POST",
            target.url,
            content=body,
            headers={
                "content-type": CONTENT_TYPE,
                "user-agent": "enactor-webhooks",
                "accept-encoding": "identity",
                "webhook-id": entry.entry_id,
                "webhook-timestamp": str(int(attempted.timestamp())),
                "webhook-signature": " ".join(key.sign(entry.entry_id, attempted, text) for key in keys),
            },
            extensions={"timeout": {"connect": _CONNECT_SECONDS, "read": None, "write": None, "pool": None}},
        )

    async def _within_time(self, request: httpx.Request) -> Delivery:
        """Posts within the time limit of the injected clock."""
        post = _Post(self._transport, request)
        posting = asyncio.create_task(post.run())
        limit = asyncio.create_task(self._sleep())
        try:
            await asyncio.wait((posting, limit), return_when=asyncio.FIRST_COMPLETED)
        finally:
            limit.cancel()
            posting.cancel()
            await asyncio.wait((posting, limit))
        error = None if posting.cancelled() else posting.exception()
        if post.response is not None:
            return self._judged(post.response)
        if error is not None:
            raise error
        return Delivery(Answer.FAILED, f"No answer within {self._timeout_seconds:g} seconds.")

    async def _sleep(self) -> None:
        await self._clock.sleep(self._timeout_seconds)

    def _judged(self, response: httpx.Response) -> Delivery:
        status = response.status_code
        if 200 <= status < 300:
            return Delivery(Answer.DELIVERED)
        if status == 410:
            return Delivery(Answer.GONE, "The receiver answered 410 Gone.")
        redirect = " Redirects are not followed." if 300 <= status < 400 else ""
        asked = status in (429, 503)
        return Delivery(
            Answer.FAILED,
            f"The receiver answered {status}.{redirect}",
            self._retry_after(response.headers.get("retry-after", "")) if asked else 0.0,
        )

    def _retry_after(self, value: str) -> float:
        """Seconds in a `Retry-After` header (RFC 9110, section 10.2.3); 0 when it says nothing that can be read."""
        value = value.strip()
        if value.isascii() and value.isdigit():
            return float(value[:9])
        try:
            instant = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        return max(0.0, instant.timestamp() - self._clock.now_ms() / 1000)


class _Post:
    """One request. `response` is set once its status is known, whatever becomes of the body."""

    def __init__(self, transport: httpx.AsyncBaseTransport, request: httpx.Request) -> None:
        self._transport = transport
        self._request = request
        self.response: httpx.Response | None = None

    async def run(self) -> None:
        response = await self._transport.handle_async_request(self._request)
        self.response = response
        try:
            if isinstance(response.stream, AsyncIterable):
                await self._skip(response.stream)
        finally:
            await response.aclose()

    @staticmethod
    async def _skip(stream: AsyncIterable[bytes]) -> None:
        """Reads the body away so that the connection can be used again, unless that is more than it is worth."""
        read = 0
        async for chunk in stream:
            read += len(chunk)
            if read > _RESPONSE_BYTES:
                return
