"""Where a request may go: every way to write an inner address is refused; what was judged is what is connected to."""

import ipaddress
import socket
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from governance.notifications import addresses


def answers(*found: str) -> addresses.Lookup:
    return lambda host, port, **_: [(0, 0, 0, "", (address, port)) for address in found]


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fd12::1", "private"),
        ("fe80::1%eth0", "link-local"),
        ("169.254.1.1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("::ffff:10.0.0.1", "private"),
        ("64:ff9b::10.0.0.1", "private"),
        ("2002:7f00:1::", "loopback"),
        ("192.0.2.1", "private or reserved"),
        ("169.254.169.254", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
    ],
)
def test_an_inner_address_is_refused_in_every_spelling(address: str, word: str) -> None:
    assert word in addresses.problem_with(address, allow_private=False)
    with pytest.raises(addresses.Refused, match=r"^hook"):
        addresses.resolve("hook.example.org", 443, allow_private=False, lookup=answers(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_a_public_address_is_pinned(address: str) -> None:
    pinned = addresses.resolve("hook.example.org", 443, allow_private=False, lookup=answers(address, address))

    assert pinned == addresses.Pinned("hook.example.org", 443, (address,))


def test_one_inner_address_among_public_ones_refuses_all() -> None:
    with pytest.raises(addresses.Refused):
        addresses.resolve("h.example.org", 443, allow_private=False, lookup=answers("8.8.8.8", "10.0.0.1"))


def test_metadata_is_refused_even_where_private_addresses_are_allowed() -> None:
    assert addresses.problem_with("10.0.0.1", allow_private=True) == ""
    assert addresses.problem_with("127.0.0.1", allow_private=True) == ""
    for metadata in addresses.METADATA:
        with pytest.raises(addresses.Refused, match="never allowed"):
            addresses.resolve("h", 80, allow_private=True, lookup=answers(f"{metadata}"))


@given(st.ip_addresses())
def test_what_passes_is_global_or_leads_to_a_global_address(ip: Any) -> None:
    if addresses.problem_with(f"{ip}", allow_private=False) == "":
        assert ip.is_global or ip.version == 6
        assert ip not in addresses.METADATA


@given(st.ip_addresses(v=4).filter(lambda ip: not ip.is_global))
def test_no_wrapping_of_a_private_address_passes(ip: ipaddress.IPv4Address) -> None:
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (int(ip) << 80))
    for wrapped in (f"{ip}", f"::ffff:{ip}", f"64:ff9b::{ip}", f"{six_to_four}"):
        assert addresses.problem_with(wrapped, allow_private=False)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "localhost", "127.1"])
def test_odd_spellings_of_loopback_are_refused_after_the_systems_own_reading(host: str) -> None:
    with pytest.raises((addresses.Refused, addresses.NotFound)):
        addresses.resolve(host, 80, allow_private=False)


def test_requests_under_guard_go_to_the_pinned_address_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the second answer would be loopback; there is no second question."""
    asked: list[str] = []

    def lookup(host: str, port: int, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1" if len(asked) > 1 else "8.8.8.8", port))]

    reached: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        reached.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(addresses, "_create_connection", connect)
    monkeypatch.setattr(addresses.resolve, "__kwdefaults__", {"lookup": lookup})
    with addresses.guarded(allow_private=False) as guard:
        for _ in range(2):
            with pytest.raises(requests.ConnectionError):
                requests.post("http://hook.example.org/", timeout=1)

    assert asked == ["hook.example.org"]
    assert reached == [("8.8.8.8", 80), ("8.8.8.8", 80)]
    assert not guard.connected


def test_requests_under_guard_reach_no_inner_address_and_without_it_nothing_changes(hook: Any) -> None:
    with addresses.guarded(allow_private=False) as guard, pytest.raises(requests.ConnectionError):
        requests.post(hook.url, timeout=1)
    assert guard.refusal.startswith("127.0.0.1 is a loopback address: use a public address")
    assert hook.requests == []

    assert requests.post(hook.url, timeout=5).status_code == 200
    with addresses.guarded(allow_private=True) as guard:
        assert requests.post(hook.url, timeout=5).status_code == 200
    assert guard.connected
