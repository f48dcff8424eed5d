"""Which addresses are called for a merchant: public ones, and none inside the own network.

A name is resolved once, every address behind it is checked, and the connection goes to one of
those that were checked: a name that says something else a moment later changes nothing.
"""

import asyncio
import errno
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import httpx
from aiohttp.abc import AbstractResolver, ResolveResult

Address = IPv4Address | IPv6Address

NEVER: Final[tuple[IPv4Network | IPv6Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "100.64.0.0/10",  # shared by a carrier's customers, and some clouds' own services
        "168.63.129.16/32",  # a cloud's host, though the address looks public
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "fec0::/10",
        "fd00:ec2::254/128",
        "64:ff9b:1::/48",  # a network's own translator (RFC 8215)
        "5f00::/16",  # segment routing, never beyond an operator's own network
    )
)
EMBEDDING: Final = IPv6Network("64:ff9b::/96")
"""IPv4 addresses as a translator (NAT64) writes them."""
REFUSED: Final = errno.EACCES
"""What a refused name's OSError says."""
LOOK_UPS: Final = ThreadPoolExecutor(64, "look-up")
"""Where names of merchants' choosing are looked up. One whose server does not answer holds a thread
for as long as the system waits, whoever has given up meanwhile: not one that our own calls need.
"""
NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


def is_public(address: Address) -> bool:
    """Whether it is on the internet, for IPv6 together with any IPv4 address inside it."""
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(inner)
    return (
        address.is_global
        and not address.is_private
        and not address.is_loopback
        and not address.is_link_local
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
        and not any(address in network for network in NEVER)
    )


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address.teredo is not None:
        return address.teredo[1]
    if address in EMBEDDING:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


class AddressRefused(ValueError):
    """We do not call there; the text says why, to whoever named the address."""


def check(url: str, *, private: bool) -> None:
    """Raise AddressRefused where `url` may not be called. With `private` it may be plain HTTP, and
    inside the own network.
    """
    try:
        parts = urlsplit(url)
        usable = _is_usable(parts) and bool(httpx.URL(url).host.encode("idna"))
    except (ValueError, httpx.InvalidURL):  # or what calls it could not say the name
        raise AddressRefused("This is not an address that can be called.") from None
    if not usable:
        raise AddressRefused("This is not an address that can be called.")
    if private:
        return
    if parts.scheme != "https":
        raise AddressRefused("The address must begin with https://.")
    literal = _literal(parts.hostname or "")
    if literal is not None and not is_public(literal):
        raise AddressRefused("The address lies inside a private network.")


def _is_usable(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    named = bool(host) and "%" not in host and parts.port != 0
    if host.rstrip(".").rpartition(".")[2].isdigit():
        named = named and _literal(host) is not None  # 127.1 and 2130706433 are addresses to some
    plain = parts.username is None and parts.password is None and not parts.fragment
    return parts.scheme in {"http", "https"} and named and plain


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


class Names(AbstractResolver):
    """The system's resolver, in threads of its own."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises OSError."""
        ask = partial(
            socket.getaddrinfo,
            host,
            port,
            family,
            socket.SOCK_STREAM,
            flags=socket.AI_ADDRCONFIG,
        )
        found = await asyncio.get_running_loop().run_in_executor(LOOK_UPS, ask)
        return [
            ResolveResult(
                hostname=host,
                host=str(place[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=NUMERIC,
            )
            for kind, _, protocol, _, place in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


class CheckingResolver(AbstractResolver):
    """Resolves names to public addresses; a name with any other is not resolved at all."""

    def __init__(self) -> None:
        self._resolver: AbstractResolver = Names()
        self.has_refused = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises OSError."""
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(ip_address(one["host"].partition("%")[0])) for one in found):
            self.has_refused = True
            raise OSError(REFUSED, "the name leads into a private network")
        return found

    async def close(self) -> None:
        """Nothing is open."""
        await self._resolver.close()


def public_socket(found: tuple[Any, ...]) -> socket.socket:
    """A socket for what `getaddrinfo` found, if that is public: the last look before a connection,
    also at what was no name and passed no resolver. Raises OSError.
    """
    family, kind, protocol, _, place = found
    try:
        public = is_public(ip_address(str(place[0]).partition("%")[0]))
    except ValueError:
        public = False  # nothing but an address as it is written now: 127.1 is one to some
    if not public:
        raise OSError(REFUSED, "the address lies inside a private network")
    return socket.socket(family=family, type=kind, proto=protocol)
