"""From where a request may come: matching of origins, and which requests are held to it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.test import RequestFactory, override_settings
from hypothesis import given
from hypothesis import strategies as st

from eventcast.exceptions import OriginNotAllowed
from eventcast.security import admission, origins
from eventcast.security.origins import Allowed, Origin

LABEL = st.builds("".join, st.tuples(st.sampled_from("abz"), st.text("az09_-", max_size=4)))
HOST = st.lists(LABEL, min_size=1, max_size=3).map(".".join)
SCHEME = st.sampled_from(["http", "https", "app", "chrome-extension"])
PORT = st.none() | st.integers(1, 65535)
ORIGIN = st.builds(lambda *parts: spelled(*parts), SCHEME, HOST, PORT)
# Origins, and what is nearly one.
TEXT = st.text() | ORIGIN | st.builds("".join, st.lists(st.sampled_from([*"https://.:*@,#?\\ 80[]\n", "example.com"])))


def spelled(scheme: str, host: str, port: int | None = None) -> str:
    return f"{scheme}://{host}" + (f":{port}" if port else "")


# --- reading ----------------------------------------------------------------------------------------------------------


@given(scheme=SCHEME, host=HOST, port=PORT)
def test_origin_is_read_whatever_its_case(scheme: str, host: str, port: int | None) -> None:
    expected = Origin(scheme, host, port or {"http": 80, "https": 443}.get(scheme))
    text = spelled(scheme, host, port)
    assert origins.parse(text) == origins.parse(text.upper()) == expected


@pytest.mark.parametrize(
    "text",
    [
        *["", "null", "*", "a", "//a", "https://", "https://a/", "https://a:", "https://a:0x50", "https://a:65536"],
        *["https://a b", "https://a,https://b", "https://a\n", "https://u@a", "https://*.a", "https://\u212a"],
        "https://[a",
        "https://" + "a" * 300,
    ],
)
def test_what_is_no_origin_is_not_read(text: str) -> None:
    assert origins.parse(text) is None


@pytest.mark.parametrize("text", ["http://127.0.0.1:8000", "http://[::1]:8000", "app://x", "file://", "https://a."])
def test_unusual_origin_is_read(text: str) -> None:
    assert origins.parse(text) is not None


# --- matching ---------------------------------------------------------------------------------------------------------


@given(TEXT, st.booleans())
def test_empty_list_lets_nobody_in(text: str, cookies: bool) -> None:
    assert not Allowed([]).lets_in(text, cookies=cookies)


@given(ORIGIN, st.booleans())
def test_listed_origin_is_let_in(text: str, cookies: bool) -> None:
    assert Allowed([text]).lets_in(text, cookies=cookies)
    assert Allowed([text.upper()]).lets_in(text, cookies=cookies)


@given(ORIGIN, TEXT)
def test_listed_origin_lets_in_no_other(listed: str, text: str) -> None:
    assert Allowed([listed]).lets_in(text) == (origins.parse(text) == origins.parse(listed))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("https://app.example", "http://app.example"),
        ("https://app.example", "https://app.example:8443"),
        ("https://app.example:8443", "https://app.example"),
        ("https://app.example", "https://app.example.evil.example"),
        ("https://app.example", "https://app.example@evil.example"),
        ("https://app.example", "https://evil.example/https://app.example"),
        ("https://app.example", "https://app.example, https://evil.example"),
        ("https://*.example.com", "https://example.com"),
        ("https://*.example.com", "https://.example.com"),
        ("https://*.example.com", "https://evilexample.com"),
        ("https://*.example.com", "https://a.example.com.evil.example"),
        ("https://*.example.com", "http://a.example.com"),
        ("https://*.example.com", "https://a.example.com:8443"),
        ("*.example.com", "https://a.example.com:8443"),
        ("*.example.com:8443", "https://a.example.com"),
        ("*.0.0.1", "http://10.0.0.1"),
        ("https://*", "https://app.example"),
        ("*.com.*", "https://a.com.b"),
        ("https://app.example/", "https://app.example"),
        ("app.example", "https://app.example"),
        ("null", "https://app.example"),
        ("https://app.example", "null"),
    ],
)
def test_entry_does_not_let_in_what_only_looks_like_it(entry: str, text: str) -> None:
    assert not Allowed([entry]).lets_in(text)


@given(scheme=SCHEME, label=LABEL, domain=HOST, port=PORT)
def test_wildcard_lets_in_every_host_below_its_domain(scheme: str, label: str, domain: str, port: int | None) -> None:
    wildcard = Allowed([spelled(scheme, f"*.{domain}", port)])
    assert wildcard.lets_in(spelled(scheme, f"{label}.{domain}", port))
    assert wildcard.lets_in(spelled(scheme, f"x.{label}.{domain}", port))
    assert not wildcard.lets_in(spelled(scheme, domain, port))
    assert not wildcard.lets_in(spelled(scheme, label + domain, port))
    any_scheme = Allowed([f"*.{domain}" + (f":{port}" if port else "")])
    assert any_scheme.lets_in(spelled(scheme, f"{label}.{domain}", port))


@given(TEXT | st.builds(lambda text: f"https://{text}.example.com", st.text()))
def test_wildcard_lets_in_only_what_another_parser_finds_below_its_domain(text: str) -> None:
    if Allowed(["https://*.example.com"]).lets_in(text):
        parts = urlsplit(text)
        assert (parts.scheme, parts.path, parts.query, parts.username) == ("https", "", "", None)
        assert (parts.hostname or "").endswith(".example.com")


@given(TEXT)
def test_star_lets_in_what_is_an_origin_and_nothing_that_would_break_a_header(text: str) -> None:
    let_in = Allowed(["*"]).lets_in(text)
    assert let_in == (text == "null" or origins.parse(text) is not None)
    assert not let_in or (text.isascii() and text.isprintable() and " " not in text and "," not in text)


@given(TEXT, st.lists(TEXT))
def test_cookies_never_let_in_more(text: str, entries: list[str]) -> None:
    allowed = Allowed(entries)
    assert allowed.lets_in(text) or not allowed.lets_in(text, cookies=True)


@pytest.mark.parametrize("text", ["https://app.example", "null"])
def test_star_does_not_count_where_cookies_do(text: str) -> None:
    assert not Allowed(["*", "null"]).lets_in(text, cookies=True)


@pytest.mark.parametrize("entries", [["null"], ["*"]])
def test_opaque_origin_is_let_in_by_name_or_by_star(entries: list[str]) -> None:
    assert Allowed(entries).lets_in("null")


@given(st.text() | st.builds(lambda a, b: f"{a}://*{b}", st.text(), st.text()))
def test_entry_without_a_mistake_is_one_that_lets_somebody_in(entry: str) -> None:
    allowed = Allowed([entry])
    lets_in = bool(allowed.any or allowed.opaque or allowed.exact or allowed.wildcards)
    assert lets_in or not origins.may_be_listed(entry)


@pytest.mark.parametrize("value", ["*", "https://*.example.com", None, 1, [["*"]], [None], {"*": 1}])
def test_setting_of_a_wrong_type_lets_nobody_in(value: Any) -> None:
    with override_settings(EVENTCAST={"ALLOWED_ORIGINS": value}):
        assert not origins.allowed().lets_in("https://a.example.com")


# --- this server's own ------------------------------------------------------------------------------------------------


def scope(**headers: str) -> dict[str, Any]:
    fields = {"host": "testserver", **headers}
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return {"path": "/a", "query_string": b"", "headers": encoded}


def request(method: str = "GET", **headers: str) -> HttpRequest:
    return ASGIRequest({**scope(**headers), "type": "http", "scheme": "http", "method": method}, io.BytesIO())


def handshake(scheme: str = "ws", **headers: str) -> HttpRequest:
    return admission.request_of_websocket({**scope(**headers), "type": "websocket", "scheme": scheme})


FORWARDED = override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"))


@pytest.mark.parametrize(
    ("asked", "own"),
    [
        (request(host="localhost:8000"), "http://localhost:8000"),
        (handshake(host="localhost:8000"), "http://localhost:8000"),
        (handshake("wss", host="localhost"), "https://localhost"),
        (request(host="evil.example"), ""),
        (request(x_forwarded_proto="https"), "http://testserver"),
        (request(x_forwarded_host="localhost"), "http://testserver"),
    ],
)
def test_own_origin_is_that_of_the_request(asked: HttpRequest, own: str) -> None:
    assert origins.own(asked) == own


@pytest.mark.parametrize(
    ("asked", "own"),
    [
        (request(x_forwarded_proto="https"), "https://testserver"),
        (request(x_forwarded_proto="https, http"), "https://testserver"),
        (request(x_forwarded_proto="wss"), "https://testserver"),
        (handshake(x_forwarded_proto="https"), "https://testserver"),
        (handshake(x_forwarded_proto="wss"), "https://testserver"),
        (handshake("wss", x_forwarded_proto="http"), "http://testserver"),
        (handshake("wss", x_forwarded_proto="ws"), "http://testserver"),
        (handshake("wss"), "https://testserver"),
    ],
)
def test_own_scheme_is_the_one_that_the_proxy_says(asked: HttpRequest, own: str) -> None:
    with FORWARDED:
        assert origins.own(asked) == own


def test_own_host_is_the_one_that_the_proxy_says() -> None:
    with override_settings(USE_X_FORWARDED_HOST=True):
        assert origins.own(request(x_forwarded_host="localhost:8443")) == "http://localhost:8443"


def test_own_origin_is_known_without_asgi() -> None:
    assert origins.own(RequestFactory().get("/a", secure=True)) == "https://testserver"


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("http://testserver", True),
        ("HTTP://TestServer:80", True),
        ("https://testserver", False),
        ("http://testserver:8000", False),
        ("http://testserver.evil.example", False),
        ("ws://testserver", False),
        ("null", False),
        ("", False),
    ],
)
def test_own_origin_has_the_same_scheme_host_and_port(text: str, own: bool) -> None:
    assert origins.is_own(request(), text) is own
    assert origins.is_own(handshake(), text) is own


def test_name_of_somebody_else_that_points_here_is_not_ours() -> None:
    # DNS rebinding: Origin and Host agree, and ALLOWED_HOSTS knows neither.
    with pytest.raises(OriginNotAllowed):
        origins.check(request(host="evil.example", origin="http://evil.example"))


# --- which requests ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(OriginNotAllowed) as caught:
        yield
    assert (caught.value.status, caught.value.code) == (403, "origin_not_allowed")


@pytest.mark.parametrize("cookies", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_program_needs_no_origin(method: str, cookies: bool) -> None:
    origins.check(request(method), cookies=cookies)
    origins.check(handshake(), cookies=cookies)


@pytest.mark.parametrize("text", ["", " ", "nonsense", "null", "http://testserver,http://testserver"])
def test_origin_that_is_none_is_refused(text: str) -> None:
    with refused():
        origins.check(request(origin=text))


def test_refusal_tells_both_origins() -> None:
    with pytest.raises(OriginNotAllowed, match=r"'https://testserver'.*'http://testserver'"):
        origins.check(request(origin="https://testserver"))


@override_settings(EVENTCAST={"ALLOWED_ORIGINS": ["*", "https://app.example"]})
def test_foreign_page_has_to_be_named_where_cookies_count() -> None:
    origins.check(request("POST", origin="https://other.example"))
    origins.check(request("POST", origin="https://app.example", cookie="a=b"), cookies=True)
    for asked in (request("POST", origin="https://other.example"), handshake(origin="https://other.example")):
        with refused():
            origins.check(asked, cookies=True)


PROVEN = [
    {"sec_fetch_site": "same-origin"},
    {"sec_fetch_site": "none"},
    {"referer": "http://testserver/page?x"},
    {"referer": "https://app.example/"},
]
UNPROVEN = [
    {},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"sec_fetch_site": "cross-site", "referer": "http://testserver/"},
    {"sec_fetch_site": ""},
    {"referer": "https://testserver/"},
    {"referer": "http://evil.example/"},
    {"referer": "http://testserver@evil.example/"},
    {"referer": "http://[evil/"},
    {"referer": ""},
    {"referer": "null"},
]
NAMED = override_settings(EVENTCAST={"ALLOWED_ORIGINS": ["*", "https://app.example"]})


@pytest.mark.parametrize("headers", PROVEN, ids=str)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_cookies_without_origin_count_if_another_header_tells_where_from(method: str, headers: dict[str, str]) -> None:
    with NAMED:
        origins.check(request(method, cookie="sessionid=x", **headers), cookies=True)


@pytest.mark.parametrize("headers", UNPROVEN, ids=str)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_cookies_without_origin_are_refused_unless_told_where_from(method: str, headers: dict[str, str]) -> None:
    asked = request(method, cookie="sessionid=x", **headers)
    with NAMED, refused():
        origins.check(asked, cookies=True)
    origins.check(asked)
    # What only reads is safe: a page elsewhere does not get to see the answer.
    origins.check(request("GET", cookie="sessionid=x", **headers), cookies=True)
