"""A small HTTP/1.1 server that can misbehave on purpose: hang up, cut an answer short, wait, or say nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from msgspec import Struct

_REASONS: Final = {200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 401: "Unauthorized"}


class Asked(Struct, frozen=True):
    """A request as it came; header names in lower case, the path decoded and without its query."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Given(Struct, frozen=True, kw_only=True):
    """What is answered.

    Attributes:
        hang_up: no answer at all: the connection is reset.
        cut_after: so many bytes of the body are sent, though all are announced, and then the connection is reset.
        raw: sent instead of everything else.
    """

    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b""
    hang_up: bool = False
    cut_after: int | None = None
    raw: bytes | None = None


Handler = Callable[[Asked], Awaitable[Given]]


class HttpServer:
    """Serves on a free port of 127.0.0.1 for as long as it is entered with `async with`.

    Args:
        handler: answers requests; one connection's requests come one after the other.
        tls: with a certificate it serves https.
    """

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.connections = 0

    async def __aenter__(self) -> HttpServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            self.reset()
            await self._server.wait_closed()

    def reset(self) -> None:
        """Resets every connection."""
        for writer in list(self._open):
            writer.transport.abort()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        asked = await _asked(reader)
        given = await self._handler(asked)
        if given.hang_up:
            writer.transport.abort()
            return False
        if given.raw is not None:
            writer.write(given.raw)
            await writer.drain()
            return False
        headers = {"content-length": str(len(given.body)), **given.headers}
        if given.status == 204:
            del headers["content-length"]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {given.status} {_REASONS.get(given.status, 'Status')}\r\n{lines}\r\n".encode()
        body = b"" if asked.method == "HEAD" else given.body
        writer.write(head + (body if given.cut_after is None else body[: given.cut_after]))
        await writer.drain()
        return given.cut_after is None and asked.headers.get("connection", "").lower() != "close"


async def _asked(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Asked(method, unquote(parts.path), dict(parse_qsl(parts.query)), headers, body)


def json_body(value: object) -> bytes:
    """A JSON body."""
    return msgspec.json.encode(value)
