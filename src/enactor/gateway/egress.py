"""What Enactor may connect to (specification, section 6, "Egress").

A name is resolved once, every address of it is checked, and the connection goes to an address that was checked: a name
that resolves differently a moment later (DNS rebinding) changes nothing. Redirects are never followed, because nothing
here follows them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import httpx
from msgspec import Struct

from enactor.domain.errors import ConfigurationError, EnactorError, ErrorClass
from enactor.ports.clock import Clock

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host name for a port, best first. Raises `OSError` when there are none."""

# The IANA special-purpose registries (RFC 6890), spelled out because what `ipaddress` calls global differs between
# versions of Python, and what no registry knows: the address at which Azure serves its virtual machines' metadata.
_REFUSED_V4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6: Final = tuple(
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_PORTS: Final = {"http": 80, "https": 443}


class EgressRefused(EnactorError):
    """The place is not one that Enactor may connect to. Nothing was sent."""

    error_class = ErrorClass.VALIDATION
    error_code = "EGRESS_REFUSED"


class EgressRules:
    """Which places may be connected to.

    Args:
        hosts: the host names that are allowed, `*.example.com` standing for every name below; None for any.
        networks: networks in CIDR notation that are allowed although they are private or special.
        development: also allow loopback, and plain http to it.

    Raises:
        ConfigurationError: a network is not in CIDR notation.
    """

    def __init__(
        self, *, hosts: Iterable[str] | None = None, networks: Iterable[str] = (), development: bool = False
    ) -> None:
        self._hosts = None if hosts is None else tuple(_normal(host) for host in hosts)
        self._networks = tuple(_network(text) for text in networks)
        self._development = development

    def check_url(self, url: httpx.URL | str) -> httpx.URL:
        """The URL, if its form and host are allowed; the host's addresses are checked when it is connected to.

        Raises:
            EgressRefused: it is not an https URL (in development: or http), has no host or a user name in it, its host
                is not listed, or it is an address that is refused.
        """
        try:
            url = httpx.URL(url)
        except httpx.InvalidURL:
            raise EgressRefused("That is not a URL; write https://host/path.") from None
        host = host_of(url)
        if url.scheme not in _PORTS or not host:
            raise EgressRefused("Only https URLs with a host can be called.")
        if url.userinfo:
            raise EgressRefused(f"The URL of {host} has a user name in it; credentials do not belong into a URL.")
        if url.scheme == "http" and not self._development:
            raise EgressRefused(f"{host} would be called over plain http; write https.")
        if self._hosts is not None and not any(_covers(pattern, host) for pattern in self._hosts):
            raise EgressRefused(f"{host} is not on the list of hosts that may be called.")
        if (literal := _address(host)) is not None:
            self._check_address(url.scheme, host, literal)
        return url

    def check_addresses(self, scheme: str, host: str, addresses: Sequence[str]) -> None:
        """Checks every address of a host: one that is refused refuses the host.

        Raises:
            EgressRefused: an address is private, special or not an address. The message does not say which, because
                whoever configured the URL may not be entitled to the names inside this network.
        """
        for text in addresses:
            address = _address(text)
            if address is None:
                raise EgressRefused(f"{host} has an address that cannot be read.")
            self._check_address(scheme, host, address)

    def _check_address(self, scheme: str, host: str, address: Address) -> None:
        address = embedded(address)
        if scheme == "http" and not address.is_loopback:
            raise EgressRefused(f"{host} would be called over plain http; write https.")
        if self._development and address.is_loopback:
            return
        if not is_public(address) and not any(address in network for network in self._networks):
            raise EgressRefused(
                f"{host} has a private or special address; if it is meant, list its network among the allowed ones."
            )


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet: not private, loopback, link-local, multicast or reserved."""
    address = embedded(address)
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)


def embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped (RFC 4291) or NAT64 (RFC 6052) one, or the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def host_of(url: httpx.URL) -> str:
    """The URL's host as it goes over the wire: lower case, IDNA, no final dot, no brackets."""
    return _normal(url.raw_host.decode("ascii"))


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The operating system's answer, in its order of preference (RFC 6724). Raises `OSError`."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{host} cannot be a host name") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Pin(Struct, frozen=True):
    addresses: tuple[str, ...]
    until: int


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that connects only where the rules allow, and only to addresses it checked.

    Connections are kept and reused per scheme, host and port. TLS certificates are verified against the URL's host. It
    raises what every httpx transport raises, and `EgressRefused`, which like `httpx.ConnectError` means that nothing
    was sent. It never repeats a request: only the next address of a host is tried while no connection has come about.

    Args:
        rules: where it may connect.
        clock: for the age of pins.
        resolver: finds addresses; the operating system's by default.
        ssl_context: which certificates are trusted; httpx's default without it.
        pin_seconds: for how long the addresses of a host stand, so that a service can move without a restart here.
        connections: at most so many to one scheme, host and port.
    """

    def __init__(
        self,
        rules: EgressRules,
        clock: Clock,
        *,
        resolver: Resolver = system_resolver,
        ssl_context: ssl.SSLContext | None = None,
        pin_seconds: float = 60.0,
        connections: int = 32,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._resolver = resolver
        self._ssl_context = ssl_context or httpx.create_ssl_context()
        self._pin_ms = round(pin_seconds * 1000)
        self._limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._pins: dict[tuple[str, str, int], _Pin] = {}
        self._pools: dict[tuple[str, str, int], httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends the request once, to a checked address of its host."""
        url = self._rules.check_url(request.url)
        origin = (url.scheme, host_of(url), url.port or _PORTS[url.scheme])
        failure: httpx.TransportError | None = None
        for address in await self._addresses(origin, request):
            try:
                return await self._pool(origin).handle_async_request(_towards(request, origin[1], address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        self._pins.pop(origin, None)
        raise failure or httpx.ConnectError("The host has no address.", request=request)

    async def aclose(self) -> None:
        """Closes every connection."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.aclose()

    def _pool(self, origin: tuple[str, str, int]) -> httpx.AsyncHTTPTransport:
        # One pool per origin: in a shared one two names at the same address would share a connection, and with it a
        # certificate that was checked for one of them only.
        pool = self._pools.get(origin)
        if pool is None:
            pool = httpx.AsyncHTTPTransport(verify=self._ssl_context, trust_env=False, limits=self._limits)
            self._pools[origin] = pool
        return pool

    async def _addresses(self, origin: tuple[str, str, int], request: httpx.Request) -> tuple[str, ...]:
        scheme, host, port = origin
        pin = self._pins.get(origin)
        if pin is None or pin.until <= self._clock.elapsed_ms():
            try:
                found = tuple(await self._resolver(host, port))
            except OSError:
                raise httpx.ConnectError("The host's name cannot be resolved.", request=request) from None
            self._rules.check_addresses(scheme, host, found)
            pin = self._pins[origin] = _Pin(found, self._clock.elapsed_ms() + self._pin_ms)
        return pin.addresses


def _towards(request: httpx.Request, host: str, address: str) -> httpx.Request:
    """The request, sent to an address; the Host header and the name in TLS stay the URL's."""
    extensions = dict(request.extensions)
    if _address(host) is None:
        extensions["sni_hostname"] = host
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions=extensions,
    )


def _normal(host: str) -> str:
    return host.lower().strip("[]").removesuffix(".")


def _covers(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ConfigurationError(f"'{text[:100]}' is not a network; write it like 10.20.0.0/16.") from None
