"""What a URL says to a client."""

from __future__ import annotations

import pytest

from eventcast.client.targets import channel_url, parse_url, pattern_url
from eventcast.engine.names import channel_from_target


@pytest.mark.parametrize(
    ("url", "websocket_url"),
    [
        ("http://127.0.0.1:8000/a", "ws://127.0.0.1:8000/a"),
        ("ws://127.0.0.1:8000/a", "ws://127.0.0.1:8000/a"),
        ("https://events.example.com/a?token=x", "wss://events.example.com/a?token=x"),
        ("wss://events.example.com:8443/a", "wss://events.example.com:8443/a"),
        ("http://[::1]:8000/a", "ws://[::1]:8000/a"),
        ("http://localhost", "ws://localhost/"),
        ("http://localhost//a/", "ws://localhost//a/"),
        ("http://localhost/a%2Fb/%E5%BC%A0", "ws://localhost/a%2Fb/%E5%BC%A0"),
        ("http://localhost/张 3", "ws://localhost/%E5%BC%A0%203"),
    ],
)
def test_websocket_url_means_the_same_channel(url: str, websocket_url: str) -> None:
    assert parse_url(url).websocket_url == websocket_url


@pytest.mark.parametrize(
    "url", ["", "/a", "127.0.0.1:8000/a", "ftp://host/a", "http:///a", "http://host:port/a", "http://host/a#b"]
)
def test_parse_url_refuses_what_is_none(url: str) -> None:
    with pytest.raises(ValueError):
        parse_url(url)


@pytest.mark.parametrize("url", ["http://host:99999/a", "http://[::1/a", "http://a b/c", "http://host/\udcff"])
def test_parse_url_names_what_is_none(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_url(url)
    assert repr(url) in str(refused.value)


def test_parse_url_makes_authorization_of_user_and_password() -> None:
    target = parse_url("https://worker:p%40ss@events.example.com/a")
    assert target.headers == {"Authorization": "Basic d29ya2VyOnBAc3M="}
    assert target.websocket_url == "wss://events.example.com/a"


def test_parse_url_knows_the_port_of_the_scheme() -> None:
    assert (parse_url("http://host/a").port, parse_url("wss://host/a").port) == (80, 443)


@pytest.mark.parametrize("channel", ["/orders/42", "/a b", "/张", "//a", "/a%2Fb", "/?#", "/"])
def test_channel_url_leads_to_the_channel(channel: str) -> None:
    url = channel_url("http://127.0.0.1:8000/live/", channel)
    assert channel_from_target(parse_url(url).path.encode()) == channel


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("http://host/live", "http://host/live/a%20b/%3F"),
        ("https://u:p@host:8443/live/?x", "https://u:p@host:8443/live/a%20b/%3F"),
        ("http://host", "http://host/a%20b/%3F"),
    ],
)
def test_channel_url_of_a_name_without_a_slash_is_below_the_mount(server: str, url: str) -> None:
    assert channel_url(server, "a b/?") == url


@pytest.mark.parametrize(
    ("server", "channel"),
    [
        ("http://host", "a/.."),
        ("host", "/a"),
        ("http://host", "/\udcff"),
        ("http://host", "/a/../b"),
        ("http://host", "/."),
    ],
)
def test_channel_url_refuses_what_is_none(server: str, channel: str) -> None:
    with pytest.raises(ValueError):
        channel_url(server, channel)


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("http://host", "http://host/-/subscribe?pattern=%2Fa%20b%2F%3Cint%3Aid%3E"),
        ("https://u:p@host:8443/live/", "https://u:p@host:8443/live/-/subscribe?pattern=%2Fa%20b%2F%3Cint%3Aid%3E"),
    ],
)  # fmt: skip
def test_pattern_url_is_below_the_mount(server: str, url: str) -> None:
    assert pattern_url(server, "/a b/<int:id>") == url


@pytest.mark.parametrize(("server", "pattern"), [("http://host", "<a>"), ("host", "/<a>"), ("http://host", "/\udcff")])
def test_pattern_url_refuses_what_is_none(server: str, pattern: str) -> None:
    with pytest.raises(ValueError):
        pattern_url(server, pattern)
