"""Where a request to an address that a person entered may go: resolve once, judge every answer, connect to those only.

A name is never resolved a second time between judging and connecting, so an answer that changes in between (DNS
rebinding) reaches nothing. Only `connect` and, for libraries that open their own connections, `guarded` connect.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import urllib3.util.connection

# Instance metadata hands credentials to whoever asks from inside: never allowed, whatever is set. Of AWS, Azure and
# GCP; AWS over IPv6; AWS containers; Alibaba; Azure's wire server.
METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("169.254.169.254", "fd00:ec2::254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16"),
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_FIX = "use a public address, or let an operator set WEIR_ALLOW_PRIVATE_ADDRESSES"
IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[..., list[Any]]


class Refused(OSError):
    """The address may not be connected to; the message says why and never holds more than the host. Never retryable."""

    retryable = False


class NotFound(OSError):
    """The name has no address now. Retryable."""

    retryable = True


@dataclass(frozen=True)
class Pinned:
    """A host with the addresses that were judged; nothing else is connected to."""

    host: str
    port: int
    addresses: tuple[str, ...]


def resolve(host: str, port: int, *, allow_private: bool, lookup: Lookup = socket.getaddrinfo) -> Pinned:
    """The addresses of `host`. Raises Refused if any of them may not be connected to, NotFound if there is none."""
    try:
        answers = lookup(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotFound(f"the name {host} has no address now") from error
    addresses = tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))
    if not addresses:
        raise NotFound(f"the name {host} has no address now")
    for address in addresses:
        why = problem_with(address, allow_private=allow_private)
        if why:
            raise Refused(f"{host} is {why}: {_FIX}" if "metadata" not in why else f"{host} is {why}, never allowed")
    return Pinned(host, port, addresses)


def problem_with(address: str, *, allow_private: bool) -> str:
    """What forbids `address`, in words; '' if nothing does. An address inside an address is judged too."""
    # A zone ("fe80::1%eth0") says which network, not which kind of address.
    ip = ipaddress.ip_address(address.partition("%")[0])
    for each in (ip, *_inside(ip)):
        if each in METADATA:
            return "an instance metadata address"
        if not allow_private:
            word = _kind(each)
            if word:
                return word
    return ""


def connect(pinned: Pinned, timeout_seconds: float) -> socket.socket:
    """A TCP connection to the first pinned address that answers. Raises the last OSError."""
    last: OSError | None = None
    for address in pinned.addresses:
        try:
            return socket.create_connection((address, pinned.port), timeout=timeout_seconds)
        except OSError as error:
            last = error
    raise last or NotFound(f"the name {pinned.host} has no address now")


@dataclass
class Guard:
    """What happened to the connections made under `guarded`."""

    allow_private: bool
    pins: dict[tuple[str, int], Pinned] = field(default_factory=dict)
    refusal: str = ""
    connected: bool = False


@contextmanager
def guarded(*, allow_private: bool) -> Iterator[Guard]:
    """Every connection that urllib3 (so: requests) opens in this context is resolved once, judged and pinned."""
    guard = Guard(allow_private)
    token = _guard.set(guard)
    try:
        yield guard
    finally:
        _guard.reset(token)


_guard: ContextVar[Guard | None] = ContextVar("guard", default=None)
_create_connection = urllib3.util.connection.create_connection


def _guarded_connection(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
    guard = _guard.get()
    if guard is None:
        return _create_connection(address, *args, **kwargs)
    try:
        if address not in guard.pins:
            guard.pins[address] = resolve(*address, allow_private=guard.allow_private)
    except Refused as error:
        guard.refusal = str(error)
        raise
    last: OSError | None = None
    for one in guard.pins[address].addresses:
        try:
            made = _create_connection((one, address[1]), *args, **kwargs)
        except OSError as error:
            last = error
        else:
            guard.connected = True
            return made
    raise last or NotFound(f"the name {address[0]} has no address now")


# Apprise's plugins call requests themselves and take no transport of ours; outside of `guarded` nothing changes.
urllib3.util.connection.create_connection = _guarded_connection


def _inside(ip: IP) -> list[IP]:
    """The IPv4 addresses that an IPv6 address leads to: mapped, NAT64, 6to4, Teredo."""
    if isinstance(ip, ipaddress.IPv4Address):
        return []
    found: list[IP | None] = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in _NAT64:
        found.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return [one for one in found if one is not None]


def _kind(ip: IP) -> str:
    for word, holds in (
        ("a loopback address", ip.is_loopback),
        ("a link-local address", ip.is_link_local),
        ("a multicast address", ip.is_multicast),
        ("an unspecified address", ip.is_unspecified),
    ):
        if holds:
            return word
    # A tunnel's own address is not global; what it leads to is judged by itself.
    tunnels = isinstance(ip, ipaddress.IPv6Address) and bool(_inside(ip))
    return "" if ip.is_global or tunnels else "a private or reserved address"
