"""One request, sent once: what proves that it did not leave, and what leaves everybody in doubt."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.http_server import Asked, Given, HttpServer
from enactor.connectors.http_call import Answer, Unclear, retry_after_seconds, send_once
from enactor.connectors.sdk import NotSent
from enactor.gateway.egress import EgressRules, GuardedTransport
from tests.gateway.certificates import Authority


class Target:
    """A server that answers as a test tells it, and what it was asked."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.asked: list[Asked] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.came = asyncio.Event()

    async def answer(self, asked: Asked) -> Given:
        """The answer that was given."""
        self.asked.append(asked)
        self.came.set()
        await self.hold.wait()
        return self.given


@asynccontextmanager
async def client(
    transport: GuardedTransport | None = None, timeout: httpx.Timeout | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client as connectors have it."""
    transport = transport or GuardedTransport(EgressRules(development=True), ManualClock())
    async with httpx.AsyncClient(transport=transport, timeout=timeout or httpx.Timeout(10)) as made:
        yield made


async def post(made: httpx.AsyncClient, url: str, before: Callable[[], None] = lambda: None) -> Answer:
    """One POST."""
    return await send_once(made, made.build_request("POST", url, content=b"{}"), before, longest=1_000)


async def test_a_complete_answer() -> None:
    """Status, headers and body of the answer; a redirect is one, and is not followed."""
    target = Target(Given(status=307, headers={"location": "/elsewhere"}, body=b"go"))
    async with HttpServer(target.answer) as server, client() as made:
        answer = await post(made, server.url)
    assert (answer.status, answer.headers["location"], answer.body) == (307, "/elsewhere", b"go")
    assert len(target.asked) == 1


BROKEN = [
    Given(hang_up=True),
    Given(body=b"x" * 100, cut_after=50),
    Given(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"),
    Given(raw=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"),
    Given(raw=b"nonsense\r\n\r\n"),
    Given(raw=b"HTTP/1.1 200"),
    Given(body=b"x" * 1_001),
    Given(headers={"content-encoding": "gzip"}, body=b"no gzip"),
]


@pytest.mark.parametrize("given", BROKEN)
async def test_a_request_that_left_without_a_complete_answer_is_unclear(given: Given) -> None:
    """Reset, cut short, not HTTP, too long, not decodable: it left, once, and nobody knows."""
    target = Target(given)
    async with HttpServer(target.answer) as server, client() as made:
        with pytest.raises(Unclear):
            await post(made, server.url)
    assert len(target.asked) == 1


async def test_no_answer_in_time_is_unclear() -> None:
    """A request that left and was not answered may have had its effect."""
    target = Target(Given())
    target.hold.clear()
    async with HttpServer(target.answer) as server, client(timeout=httpx.Timeout(10, read=0.05)) as made:
        with pytest.raises(Unclear, match="ReadTimeout"):
            await post(made, server.url)
        target.hold.set()


async def test_nobody_listens() -> None:
    """A refused connection sent nothing."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with client() as made:
            with pytest.raises(NotSent, match="ConnectError") as raised:
                await post(made, f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert (raised.value.code, raised.value.retryable) == ("CONNECT_FAILED", True)


async def test_a_name_that_does_not_resolve() -> None:
    """DNS failure sent nothing."""

    async def nobody(host: str, port: int) -> list[str]:
        raise OSError(f"{host}:{port} is unknown")

    transport = GuardedTransport(EgressRules(), ManualClock(), resolver=nobody)
    async with client(transport) as made:
        with pytest.raises(NotSent) as raised:
            await post(made, "https://crm.example/")
    assert raised.value.code == "CONNECT_FAILED"


async def test_a_certificate_that_is_not_the_hosts(tmp_path: Path) -> None:
    """TLS failure sent nothing of the request."""
    authority = Authority(tmp_path)
    target = Target(Given())

    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    transport = GuardedTransport(
        EgressRules(development=True), ManualClock(), resolver=here, ssl_context=authority.client_context()
    )
    async with (
        HttpServer(target.answer, authority.server_context("other.example")) as server,
        client(transport) as made,
    ):
        with pytest.raises(NotSent) as raised:
            await post(made, f"https://crm.example:{server.port}/")
    assert (raised.value.code, target.asked) == ("CONNECT_FAILED", [])


async def test_a_connection_that_does_not_come_about_in_time() -> None:
    """A connect timeout sent nothing: here the other side never shakes hands for TLS."""
    silent: list[asyncio.StreamWriter] = []

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with client(timeout=httpx.Timeout(10, connect=0.05)) as made:
        with pytest.raises(NotSent) as raised:
            await post(made, f"https://127.0.0.1:{port}/")
    assert raised.value.code == "CONNECT_TIMEOUT"
    server.close()
    for writer in silent:
        writer.transport.abort()
    await server.wait_closed()


async def test_no_free_connection() -> None:
    """Waiting in vain for a connection of a full pool sent nothing."""
    target = Target(Given())
    target.hold.clear()
    transport = GuardedTransport(EgressRules(development=True), ManualClock(), connections=1)
    async with HttpServer(target.answer) as server, client(transport, httpx.Timeout(10, pool=0.05)) as made:
        first = asyncio.create_task(post(made, server.url))
        await target.came.wait()
        with pytest.raises(NotSent) as raised:
            await post(made, server.url)
        target.hold.set()
        assert (await first).status == 200
    assert (raised.value.code, len(target.asked)) == ("NO_FREE_CONNECTION", 1)


async def test_a_place_that_may_not_be_called() -> None:
    """What the egress rules refuse is not sent, and trying again would change nothing."""
    async with client(GuardedTransport(EgressRules(hosts=["crm.example"]), ManualClock())) as made:
        with pytest.raises(NotSent) as raised:
            await post(made, "https://elsewhere.example/")
    assert (raised.value.code, raised.value.retryable) == ("EGRESS_REFUSED", False)


async def test_the_last_check_keeps_the_request_from_leaving() -> None:
    """It is asked once the connection stands, before the first byte; the next request is not hurt by a refusal."""
    target = Target(Given())
    seen: list[int] = []

    def too_late() -> None:
        seen.append(server.connections)
        raise NotSent("TOO_LATE_TO_SEND", "Too late.")

    async with HttpServer(target.answer) as server, client() as made:
        with pytest.raises(NotSent, match="Too late"):
            await post(made, server.url, too_late)
        assert (await post(made, server.url)).status == 200
    assert len(seen) == 1
    assert len(target.asked) == 1


def test_retry_after() -> None:
    """Seconds or a date (RFC 9110); anything else is no wish."""
    cases = {
        "7": 7.0,
        "0": 0.0,
        "Thu, 28 May 2026 20:27:40 GMT": 60.0,
        "Thu, 28 May 2020 20:27:40 GMT": 0.0,
        "soon": None,
        "": None,
        "-5": None,
    }
    for text, seconds in cases.items():
        assert retry_after_seconds(httpx.Headers({"retry-after": text}), 1_780_000_000_000) == seconds
