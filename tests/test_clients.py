from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest
from django.test import override_settings

from eventcast.http.head import Head
from eventcast.http.request import Request
from eventcast.security import clients

BEHIND_A_PROXY = override_settings(EVENTCAST={"TRUSTED_PROXIES": ["127.0.0.1", "unix"]})


def scope(client: Any, *forwarded: bytes, **more: Any) -> dict[str, Any]:
    return {
        "client": client,
        "headers": [(b"host", b"x"), *((b"x-forwarded-for", value) for value in forwarded)],
        **more,
    }


class Protocol:
    """Daphne's, as far as the other end of its connection goes."""

    def __init__(self, host: str | None) -> None:
        self.transport = self
        self._host = host

    def getPeer(self) -> Any:
        return type("Address", (), {} if self._host is None else {"host": self._host})()


@pytest.mark.parametrize(
    ("client", "text"), [(["192.0.2.1", 80], "192.0.2.1:80"), (("::1", 80), "::1:80"), (None, ""), ([], "")]
)
def test_describe_takes_what_a_scope_holds(client: Any, text: str) -> None:
    assert clients.describe(scope(client, b"203.0.113.9")) == text


@BEHIND_A_PROXY
@pytest.mark.parametrize("peer", [("127.0.0.1", 80), None])
def test_describe_tells_who_is_behind_a_trusted_proxy(peer: Any) -> None:
    assert clients.describe(scope(peer, b"203.0.113.9")) == "203.0.113.9"


@BEHIND_A_PROXY
def test_describe_keeps_the_port_of_who_comes_straight() -> None:
    assert clients.describe(scope(("192.0.2.1", 80), b"203.0.113.9")) == "192.0.2.1:80"


@BEHIND_A_PROXY
def test_address_is_told_from_all_headers_of_that_name() -> None:
    assert clients.address_of(scope(("127.0.0.1", 80), b"6.6.6.6", b"203.0.113.9")) == "203.0.113.9"


@BEHIND_A_PROXY
def test_address_is_not_what_a_client_made_daphne_believe() -> None:
    spoofed = scope(("127.0.0.1", 0), b"6.6.6.6", **{"eventcast.protocol": Protocol("192.0.2.1")})
    assert clients.address_of(spoofed) == "192.0.2.1"


@BEHIND_A_PROXY
def test_address_over_daphnes_unix_socket_is_forwarded() -> None:
    assert clients.address_of(scope(None, b"203.0.113.9", **{"eventcast.protocol": Protocol(None)})) == "203.0.113.9"


def test_address_ignores_headers_where_no_proxy_is_trusted() -> None:
    assert clients.address_of(scope(("192.0.2.1", 80), b"203.0.113.9")) == "192.0.2.1"


def address_counted(host: str, *, of_the_door: bool) -> str:
    if of_the_door:
        made: Any = Request(Head("GET", "/a", "1.0", []), (host, 1), ("127.0.0.1", 80))
    else:
        made = HttpRequest()
        made.scope = scope((host, 1))
    return clients.described(made, "", "")["address"]


@pytest.mark.parametrize("of_the_door", [True, False])
@override_settings(EVENTCAST={"MAX_SUBSCRIBERS_PER_ADDRESS": 1})
def test_address_that_is_counted_is_one_for_an_ipv6_network(of_the_door: bool) -> None:
    one, other = (address_counted(f"2001:db8::{host}", of_the_door=of_the_door) for host in (1, 2))
    assert one == other != ""


@pytest.mark.parametrize("of_the_door", [True, False])
def test_no_address_is_counted_without_a_limit(of_the_door: bool) -> None:
    assert address_counted("192.0.2.1", of_the_door=of_the_door) == ""
