"""Whose request it is: nothing that a client could have written itself is believed."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcast.security.clients import MAX_HOPS, client_address, group, parse_address, proxies

TRUSTED = ("127.0.0.1", "10.0.0.0/8", "fd00::/8")
ADDRESSES = st.ip_addresses().map(str)
PROXIES = st.integers(1, 2**24 - 2).map(lambda host: str(ipaddress.ip_address("10.0.0.0") + host))
CLIENTS = st.sampled_from(["192.0.2.1", "198.51.100.7", "2001:db8::5", "203.0.113.9"])


def client(peer: str, forwarded: str = "", trusted: tuple[str, ...] = TRUSTED) -> str:
    return client_address(peer, forwarded, proxies(*trusted))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # no proxy of ours says so
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", " 203.0.113.9 ,10.1.2.3", "203.0.113.9"),
        ("127.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),  # the first is what the client sent
        ("127.0.0.1", "10.0.0.1, 10.0.0.2", "10.0.0.1"),
        ("::ffff:127.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("fd00::1", "2001:DB8:0::5", "2001:db8::5"),
        ("127.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("127.0.0.1", "[2001:db8::5]:4711", "2001:db8::5"),
        ("127.0.0.1", "[2001:db8::5]", "2001:db8::5"),
        ("", "203.0.113.9", ""),  # a Unix socket that is not trusted
        ("testclient", "203.0.113.9", "testclient"),
        ("fe80::1%eth0", "203.0.113.9", "fe80::1"),
    ],
)
def test_client_address_is_the_last_that_is_vouched_for(peer: str, forwarded: str, expected: str) -> None:
    assert client(peer, forwarded) == expected


def test_client_address_is_forwarded_over_a_trusted_unix_socket() -> None:
    assert client("", "203.0.113.9", ("unix",)) == "203.0.113.9"


@pytest.mark.parametrize(
    "rubbish",
    ["unknown", "", "_hidden", "1.2.3", "1.2.3.4.5", "::g", "fe80::1%25x", "127.0.0.1:x", "٣.3.3.3", "1" * 99],
)
def test_client_address_falls_back_where_rubbish_stands(rubbish: str) -> None:
    assert client("127.0.0.1", f"6.6.6.6, {rubbish}, 10.0.0.7") == "10.0.0.7"


@given(CLIENTS, st.text(), st.lists(PROXIES, max_size=5))
def test_client_address_cannot_be_chosen_by_the_client(address: str, sent: str, passed: list[str]) -> None:
    assert client("127.0.0.1", ", ".join([sent, address, *passed])) == str(parse_address(address))


@given(CLIENTS, st.text())
def test_client_address_of_a_stranger_is_his_own(address: str, sent: str) -> None:
    assert client(address, sent) == str(parse_address(address))


@given(st.text(max_size=40), st.text())
def test_client_address_takes_anything(peer: str, sent: str) -> None:
    assert isinstance(client(peer, sent, (*TRUSTED, "unix")), str)


def test_client_address_looks_at_no_more_entries_than_it_says() -> None:
    assert client("127.0.0.1", ",".join(["203.0.113.9", *["10.0.0.1"] * MAX_HOPS])) == "10.0.0.1"


@given(ADDRESSES)
def test_parse_reads_every_address(address: str) -> None:
    assert parse_address(address) is not None


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "proxy.example.com", "", "UNIX", "*"])
def test_proxies_refuse_what_is_no_network(entry: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        proxies(entry)


@given(st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None), st.integers(0, 2**64 - 1))
def test_group_is_one_for_an_ipv6_network_of_64_bits(address: ipaddress.IPv6Address, other: int) -> None:
    neighbour = ipaddress.IPv6Address(int(address) >> 64 << 64 | other)
    assert group(str(address)) == group(str(neighbour))


@pytest.mark.parametrize("address", ["192.0.2.1", "", "testclient", "a:b"])
def test_group_of_anything_else_is_itself(address: str) -> None:
    assert group(address) == address


def test_group_differs_from_network_to_network() -> None:
    assert group("2001:db8:0:1::1") != group("2001:db8:0:2::1")
