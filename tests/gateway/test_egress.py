"""Where Enactor connects to, and where it does not."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enactor.conformance.clocks import ManualClock
from enactor.domain.errors import ConfigurationError
from enactor.gateway.egress import EgressRefused, EgressRules, GuardedTransport, is_public, system_resolver
from tests.gateway.certificates import Authority
from tests.outbox.receiver import OK, Receiver, Reply

LOOPBACK = "127.0.0.0/8"
PRIVATE = (
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16"),  # noqa: S104 - called, not bound
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.1.1"),
    *("240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "fe80::1", "fec0::1", "fd00:ec2::254", "ff02::1"),
    *("ff0e::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "64:ff9b:1::1", "::ffff:127.0.0.1"),
    *("::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
)
PUBLIC = ("1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")


class Names:
    """A resolver with names of its own, which counts what it is asked."""

    def __init__(self, **names: Sequence[str]) -> None:
        self.names = {name.replace("_", "."): addresses for name, addresses in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The host's addresses."""
        self.asked.append(host)
        if host not in self.names:
            raise OSError("no such host")
        return self.names[host]


def url_of(address: str) -> str:
    """An https URL of an address."""
    return f"https://[{address}]/" if ":" in address else f"https://{address}/"


def refused(rules: EgressRules, url: str) -> str:
    """The message with which a URL is refused."""
    with pytest.raises(EgressRefused) as error:
        rules.check_url(url)
    return error.value.message


@pytest.mark.parametrize("address", PRIVATE)
def test_private_and_special_addresses_are_refused(address: str) -> None:
    """Loopback, private networks, metadata services, multicast, reserved, and IPv4 dressed up as IPv6: all refused."""
    assert "private or special address" in refused(EgressRules(), url_of(address))
    with pytest.raises(EgressRefused):
        EgressRules().check_addresses("https", "name.example", ["8.8.8.8", address])


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    """The open internet may be called, over https."""
    EgressRules().check_url(url_of(address))
    EgressRules().check_addresses("https", "name.example", [address])
    assert "plain http" in refused(EgressRules(), url_of(address).replace("https", "http"))
    assert "plain http" in refused(EgressRules(development=True), url_of(address).replace("https", "http"))


@given(
    st.sampled_from(["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"])
    .map(ipaddress.ip_network)
    .flatmap(lambda network: st.ip_addresses(network=str(network)))
)
def test_no_private_address_passes_for_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """No address of a private network is public, nor is an IPv6 address with one inside."""
    assert not is_public(address)
    if isinstance(address, ipaddress.IPv4Address):
        for prefix in ("::ffff:0:0", "64:ff9b::", "::"):
            assert not is_public(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + int(address)))


def test_a_listed_network_is_allowed() -> None:
    """A private network that is listed may be called, over https, and no other one with it."""
    rules = EgressRules(networks=["10.20.0.0/16", "fd12::/32"])
    rules.check_url("https://10.20.3.4:8443/hook")
    rules.check_url("https://[::ffff:10.20.3.4]/")
    rules.check_url("https://[fd12::1]/")
    refused(rules, "https://10.21.0.1/")
    assert "plain http" in refused(rules, "http://10.20.3.4/")


@pytest.mark.parametrize("network", ["10.20.0.1/16", "intranet", "", "10.0.0.0/33"])
def test_a_network_must_be_one(network: str) -> None:
    """A network that cannot be read is refused when it is configured, not ignored."""
    with pytest.raises(ConfigurationError, match=r"10\.20\.0\.0/16"):
        EgressRules(networks=[network])


def test_development_adds_loopback_alone() -> None:
    """In development loopback may be called, over plain http too; everything else stays as it is."""
    rules = EgressRules(development=True)
    for url in ("http://127.0.0.1:8000/", "https://127.0.0.1/", "http://[::1]:1/", "http://localhost:9/"):
        rules.check_url(url)
    for url in ("http://10.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/", "http://8.8.8.8/"):
        refused(rules, url)
    with pytest.raises(EgressRefused):
        rules.check_addresses("http", "name.example", ["8.8.8.8"])
    rules.check_addresses("http", "localhost", ["127.0.0.1", "::1"])


@pytest.mark.parametrize(
    "url",
    [
        *("", "hook", "//example.com/", "https:///path", "ftp://example.com/", "file:///etc/passwd", "gopher://x/"),
        *("data:,x", "javascript:1", "https://user@example.com/", "https://user:secret-1@example.com/", "https://[::1"),
    ],
)
def test_odd_urls_are_refused(url: str) -> None:
    """Other schemes, URLs without a host, with credentials or broken ones are refused, credentials untold."""
    assert "secret-1" not in refused(EgressRules(development=True), url)


def test_hosts_may_be_listed() -> None:
    """With a list of hosts only those are called; `*.` stands for what is below a name and not for the name."""
    rules = EgressRules(hosts=["api.example.com", "*.Hooks.example", "xn--bcher-kva.example"])
    for host in ("api.example.com", "API.example.com.", "a.hooks.example", "a.b.hooks.example", "bücher.example"):
        rules.check_url(f"https://{host}/")
    for host in (
        "example.com",
        "x.api.example.com",
        "hooks.example",
        "evilhooks.example",
        "api.example.com.evil.example",
    ):
        assert "list of hosts" in refused(rules, f"https://{host}/")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.1", "127.1", "localhost", "localhost."])
async def test_other_spellings_of_loopback_are_refused(host: str) -> None:
    """What the operating system makes of a name is what is checked, however the address is spelled."""
    transport = GuardedTransport(EgressRules(), ManualClock(), resolver=system_resolver)
    with pytest.raises(EgressRefused, match="private or special"):
        await transport.handle_async_request(httpx.Request("GET", f"https://{host}/"))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority of the test's own."""
    return Authority(tmp_path)


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[Receiver]:
    """A server with a certificate for hooks.example, on loopback."""
    async with Receiver(tls=authority.server_context("hooks.example")) as receiver:
        yield receiver


async def get(transport: GuardedTransport, url: str) -> httpx.Response:
    """One request through the transport, its answer read and closed."""
    async with httpx.AsyncClient(transport=transport) as client:
        return await client.get(url)


async def test_the_connection_goes_to_the_address_that_was_checked(authority: Authority, server: Receiver) -> None:
    """The name is resolved here and once; TLS and the Host header still see the name."""
    names = Names(hooks_example=["127.0.0.1"])
    transport = GuardedTransport(
        EgressRules(networks=[LOOPBACK]), ManualClock(), resolver=names, ssl_context=authority.client_context()
    )
    async with httpx.AsyncClient(transport=transport) as client:
        for _ in range(3):
            assert (await client.get(f"https://hooks.example:{server.port}/x")).status_code == 204
    assert names.asked == ["hooks.example"]
    assert server.connections == 1
    assert server.received[0].headers["host"] == f"hooks.example:{server.port}"
    assert server.names == ["hooks.example"]


async def test_a_certificate_must_be_for_the_name(authority: Authority, server: Receiver) -> None:
    """A name that leads to somebody else's server fails in TLS, also when that server was called before."""
    names = Names(hooks_example=["127.0.0.1"], other_example=["127.0.0.1"])
    transport = GuardedTransport(
        EgressRules(networks=[LOOPBACK]), ManualClock(), resolver=names, ssl_context=authority.client_context()
    )
    async with httpx.AsyncClient(transport=transport) as client:
        await client.get(f"https://hooks.example:{server.port}/")
        with pytest.raises(httpx.ConnectError):
            await client.get(f"https://other.example:{server.port}/")
    assert len(server.received) == 1


async def test_an_unknown_authority_is_not_trusted(server: Receiver) -> None:
    """Without being told otherwise, only the usual authorities are trusted."""
    names = Names(hooks_example=["127.0.0.1"])
    transport = GuardedTransport(EgressRules(networks=[LOOPBACK]), ManualClock(), resolver=names)
    with pytest.raises(httpx.ConnectError):
        await get(transport, f"https://hooks.example:{server.port}/")
    assert server.received == []


async def test_a_name_that_moves_inside_is_refused(authority: Authority, server: Receiver) -> None:
    """DNS rebinding: while the pin stands the new answer is not asked for, and afterwards it is refused."""
    names = Names(hooks_example=["127.0.0.1"])
    clock = ManualClock()
    rules = EgressRules(networks=["127.0.0.1/32"])
    transport = GuardedTransport(rules, clock, resolver=names, ssl_context=authority.client_context())
    url = f"https://hooks.example:{server.port}/"
    async with httpx.AsyncClient(transport=transport) as client:
        await client.get(url)
        names.names["hooks.example"] = ["169.254.169.254"]
        clock.advance(59)
        await client.get(url)
        clock.advance(2)
        with pytest.raises(EgressRefused):
            await client.get(url)
    assert names.asked == ["hooks.example"] * 2
    assert len(server.received) == 2


async def test_one_bad_address_refuses_the_name(authority: Authority, server: Receiver) -> None:
    """An answer that mixes allowed and refused addresses is refused, whatever comes first; so is nonsense."""
    names = Names(hooks_example=["127.0.0.1", "10.0.0.1"], odd_example=["127.0.0.1", "not an address"])
    transport = GuardedTransport(EgressRules(networks=[LOOPBACK]), ManualClock(), resolver=names)
    for name in names.names:
        with pytest.raises(EgressRefused):
            await transport.handle_async_request(httpx.Request("GET", f"https://{name}:{server.port}/"))
    assert server.connections == 0


async def test_the_next_address_is_tried_while_nothing_was_sent(authority: Authority, server: Receiver) -> None:
    """A host with several addresses is reached by the first that answers, and is sent the request once."""
    names = Names(hooks_example=["127.0.0.2", "127.0.0.1"])
    transport = GuardedTransport(
        EgressRules(networks=[LOOPBACK]), ManualClock(), resolver=names, ssl_context=authority.client_context()
    )
    assert (await get(transport, f"https://hooks.example:{server.port}/")).status_code == 204
    assert len(server.received) == 1


async def test_nothing_is_sent_twice(authority: Authority, server: Receiver) -> None:
    """Once a request left, the next address is not tried: only the caller knows whether it may be repeated."""
    server.respond = lambda _: Reply(close=True)
    names = Names(hooks_example=["127.0.0.1", "127.0.0.1"])
    transport = GuardedTransport(
        EgressRules(networks=[LOOPBACK]), ManualClock(), resolver=names, ssl_context=authority.client_context()
    )
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await get(transport, f"https://hooks.example:{server.port}/")
    assert len(server.received) == 1


async def test_a_host_that_moved_is_found_again() -> None:
    """When none of a host's addresses answers, the next request asks for them anew."""
    names = Names(localhost=["127.0.0.2"])
    transport = GuardedTransport(EgressRules(development=True), ManualClock(), resolver=names)
    async with Receiver() as receiver, httpx.AsyncClient(transport=transport) as client:
        url = f"http://localhost:{receiver.port}/"
        with pytest.raises(httpx.ConnectError):
            await client.get(url)
        names.names["localhost"] = ["127.0.0.1"]
        assert (await client.get(url)).status_code == 204


@pytest.mark.parametrize("addresses", [None, []])
async def test_a_name_without_addresses_cannot_be_connected_to(addresses: list[str] | None) -> None:
    """A name that does not resolve is a connection that did not come about."""
    names = Names() if addresses is None else Names(hooks_example=addresses)
    transport = GuardedTransport(EgressRules(), ManualClock(), resolver=names)
    with pytest.raises(httpx.ConnectError):
        await transport.handle_async_request(httpx.Request("GET", "https://hooks.example/"))


async def test_a_name_that_cannot_be_one_cannot_be_connected_to() -> None:
    """A label longer than DNS allows is no crash."""
    transport = GuardedTransport(EgressRules(), ManualClock())
    with pytest.raises(httpx.ConnectError):
        await transport.handle_async_request(httpx.Request("GET", f"https://{'a' * 64}.{'b' * 300}.example/"))


async def test_redirects_are_handed_back() -> None:
    """The transport follows nothing: a redirect is an answer like any other."""
    transport = GuardedTransport(EgressRules(development=True), ManualClock())
    async with Receiver(lambda _: Reply(302, {"location": "http://169.254.169.254/"})) as receiver:
        assert (await get(transport, receiver.url)).status_code == 302
        receiver.respond = lambda _: OK
