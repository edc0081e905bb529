"""A proxy that loses what it carries: the requests reach the real server, and the test decides what comes back."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from urllib.parse import quote, urlencode, urlsplit

import httpx

from enactor.conformance.http_server import Asked, Given, HttpServer

WRITES = frozenset({"PUT", "POST", "DELETE", "PATCH", "MOVE"})
_NOT_CARRIED = frozenset({"host", "content-length", "connection", "transfer-encoding", "server", "date"})


class Proxy:
    """Passes requests on to the server of a URL.

    Attributes:
        asked: every request that came, in order.
        before: called before a request is passed on; what it returns is answered instead, if anything.
        after: called with the server's answer; what it returns is answered instead.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._server = HttpServer(self._carried)
        self._client = httpx.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False, timeout=30)
        self.asked: list[Asked] = []
        self.before: Callable[[Asked], Awaitable[Given | None]] | None = None
        self.after: Callable[[Asked, Given], Given] | None = None

    async def __aenter__(self) -> Proxy:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None):
        await self._server.__aexit__(kind, error, at)
        await self._client.aclose()

    def url(self, behind: str) -> str:
        """A URL of the server's, by way of the proxy."""
        return behind.replace(self._origin, self._server.url)

    @property
    def origin(self) -> str:
        """Where it listens."""
        return self._server.url

    @property
    def writes(self) -> list[str]:
        """The methods of the requests that change something."""
        return [asked.method for asked in self.asked if asked.method in WRITES]

    def lose_replies_to(self, method: str) -> None:
        """From now on, requests of a method do their work, and the connection breaks before the answer."""
        self.after = lambda asked, given: Given(hang_up=True) if asked.method == method else given

    def answer(self, method: str, *given: Given) -> None:
        """The next requests of a method are answered so, and do not reach the server."""
        left = list(given)

        async def instead(asked: Asked) -> Given | None:
            return left.pop(0) if asked.method == method and left else None

        self.before = instead

    async def _carried(self, asked: Asked) -> Given:
        self.asked.append(asked)
        if self.before is not None and (instead := await self.before(asked)) is not None:
            return instead
        query = f"?{urlencode(asked.query)}" if asked.query else ""
        headers = {name: value for name, value in asked.headers.items() if name not in _NOT_CARRIED}
        answer = await self._client.request(
            asked.method, f"{self._origin}{quote(asked.path)}{query}", headers=headers, content=asked.body
        )
        carried = {name: value for name, value in answer.headers.items() if name not in _NOT_CARRIED}
        given = Given(status=answer.status_code, headers=carried, body=answer.content)
        return self.after(asked, given) if self.after is not None else given
