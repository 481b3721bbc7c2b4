"""Where a backend's client may connect to: a deny list of networks, checked at every connect.

An endpoint is text that a tenant wrote, so it may name the node's metadata service, the API server or the operator itself. What
counts is the address that the socket goes to, not the name: it is checked after each resolution and a denied one opens no socket, so
that a name which resolves to an allowed address first and to a denied one later (DNS rebinding) gains nothing. One denied address
among several refuses the name: no honest endpoint has one. IPv4 addresses inside IPv6 (mapped, NAT64, 6to4) count as what they hold.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from stow.errors import EndpointForbiddenError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host; raises OSError where there are none."""

DEFAULT_DENIED: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this host": Linux connects it to loopback
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "224.0.0.0/4",
        "255.255.255.255/32",
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "168.63.129.16/32",  # Azure's platform address (WireServer)
        "192.0.0.192/32",  # metadata of Oracle Cloud, classic
        "::/128",
        "::1/128",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::254/128",  # metadata of AWS over IPv6
        "fd20:ce::254/128",  # metadata of Google Cloud over IPv6
    )
)
LOOPBACK: Final[tuple[Network, ...]] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
"""What a development set-up opens with ``allowed``."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
_IPV4_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """The system's resolver (a thread): addresses in its order, without duplicates."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Which addresses may be connected to. ``allowed`` wins over ``denied``; what neither names is allowed."""

    denied: tuple[Network, ...] = DEFAULT_DENIED
    allowed: tuple[Network, ...] = ()

    def denying(self, addresses: Iterable[str]) -> EgressPolicy:
        """The same with more denied addresses or networks, for example the API server's.

        Raises:
            ValueError: not an address and not a network.
        """
        return EgressPolicy((*self.denied, *(ipaddress.ip_network(text) for text in addresses)), self.allowed)

    def permits(self, address: str) -> bool:
        """Whether a socket may go to this address. What is no address is not permitted."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return all(self._permits(form) for form in _forms(parsed))

    def _permits(self, address: Address) -> bool:
        if any(address in network for network in self.allowed):
            return True
        return not any(address in network for network in self.denied)

    def check_host(self, host: str) -> None:
        """Refuse a host that is a denied address itself, in any way of writing one; names pass and are checked when they resolve.

        Raises:
            EndpointForbiddenError
        """
        address = _literal(host)
        if address is not None and not self.permits(address):
            raise forbidden()

    async def addresses(self, host: str, port: int, *, resolve: Resolve = system_resolve) -> list[str]:
        """The addresses of ``host``, every one of them permitted.

        Raises:
            EndpointForbiddenError: one of them is denied.
            OSError: it does not resolve.
        """
        self.check_host(host)
        found = await resolve(host, port)
        if not all(self.permits(address) for address in found):
            raise forbidden()
        return list(found)


def forbidden() -> EndpointForbiddenError:
    """Says neither name nor address: which internal names exist is none of the asker's business."""
    return EndpointForbiddenError(
        "The endpoint resolves to an address that is not allowed (loopback, link-local, metadata service or the API server). "
        "Use a routable endpoint, or ask the platform team to change the operator's deny list."
    )


def _forms(address: Address) -> list[Address]:
    """The address and every IPv4 address that it carries inside."""
    forms: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return [address.ipv4_mapped]
        if address.sixtofour is not None:
            forms.append(address.sixtofour)
        if address.teredo is not None:
            forms.extend(address.teredo)
        if address in _NAT64 or address in _NAT64_LOCAL or (address in _IPV4_COMPATIBLE and int(address) > 1):
            forms.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return forms


def _literal(host: str) -> str | None:
    """The address that the text is, None for a name. ``inet_aton`` knows the old forms too: 127.1, 0x7f000001, 2130706433."""
    bare = host.strip("[]").partition("%")[0]
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(bare))
    except (OSError, UnicodeEncodeError):
        return None


class EgressResolver(AbstractResolver):
    """The policy as aiohttp's resolver. Give it to a connector with ``use_dns_cache=False``: then it runs at every connect.

    aiohttp does not ask a resolver about address literals: whoever uses it calls :meth:`EgressPolicy.check_host` before each request.
    """

    def __init__(self, policy: EgressPolicy, *, resolve: Resolve = system_resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._policy.addresses(host, port, resolve=self._resolve)
        results = [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for address in addresses
            if family in {kind := socket.AF_INET6 if ":" in address else socket.AF_INET, socket.AF_UNSPEC}
        ]
        if not results:
            raise OSError("the host has no address of the wanted family")
        return results

    async def close(self) -> None:
        """Nothing to close."""
